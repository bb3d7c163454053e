//! The codec of [`IkeSa`].

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use ha_core::checkpoint::{DecodeError, Record};

use super::reader::{Field, Fields, Schema};
use super::{check_version, parts, writer as w};
use crate::id::IkeId;
use crate::record::{
    Authentication, ConfigAttribute, Extensions, Identity, IkeKeys, IkeRole, IkeSa, IkeState,
    IkeV1Keys, IkeV2Keys, IkeVersion, MAX_ATTRIBUTES, MAX_USER_BYTES, RecordError, TransformKind,
    UnknownAuthentication,
};
use crate::secret::Secret;

pub(super) const SCHEMA: Schema = Schema {
    names: &[
        "initiator",
        "responder",
        "version",
        "role",
        "state",
        "local_address",
        "local_port",
        "remote_address",
        "remote_port",
        "local_id_kind",
        "local_id",
        "remote_id_kind",
        "remote_id",
        "local_authentication",
        "authentication",
        "user",
        "encryption",
        "integrity",
        "prf",
        "group",
        "sk_d",
        "sk_ai",
        "sk_ar",
        "sk_ei",
        "sk_er",
        "sk_pi",
        "sk_pr",
        "skeyid",
        "skeyid_d",
        "skeyid_a",
        "skeyid_e",
        "iv",
        "attributes",
        "nat_local",
        "nat_remote",
        "soft_seconds",
        "soft_bytes",
        "soft_packets",
        "hard_seconds",
        "hard_bytes",
        "hard_packets",
        "created_unix_s",
        "reauthenticate_unix_s",
        "idle_timeout_s",
        "dpd",
        "sync_message_ids",
        "sync_replay_counters",
        "extensions",
        "ha_stamp",
        "conn_id",
        "crypto_map",
        "profile",
        "vrf",
    ],
    repeated: &[33],
};

const VERSIONS: [(u64, IkeVersion); 2] = [(1, IkeVersion::V1), (2, IkeVersion::V2)];
const ROLES: [(u64, IkeRole); 2] = [(1, IkeRole::Initiator), (2, IkeRole::Responder)];

impl Record for IkeSa {
    fn encode(&self, version: u16, out: &mut Vec<u8>) {
        debug_assert!(check_version(version).is_ok(), "versions are agreed");
        out.reserve(self.len_bound());
        put_names(self, out);
        put_authentication(self, out);
        put_keys(self, out);
        put_agreed(self, out);
        put_rest(self, out);
        out.extend_from_slice(self.unknown.as_bytes());
    }

    fn decode(version: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
        check_version(version)?;
        let sa = decode(bytes)?;
        sa.check()?;
        Ok(sa)
    }

    fn encode_onto(&self, version: u16, kept: &[u8], out: &mut Vec<u8>) {
        self.encode(version, out);
        if self.unknown.is_empty() {
            out.extend_from_slice(super::unknown_of(kept, &SCHEMA).as_bytes());
        }
    }

    fn encoded_len_bound(&self) -> Option<usize> {
        Some(self.len_bound())
    }
}

impl IkeSa {
    fn len_bound(&self) -> usize {
        let attributes = self.attributes.iter();
        FIXED_BOUND
            + self.local_identity.data.len()
            + self.remote_identity.data.len()
            + authentication_bound(&self.local_authentication)
            + authentication_bound(&self.authentication)
            + self.user.as_ref().map_or(0, String::len)
            + self.keys.each().map(|(_, key)| key.len()).sum::<usize>()
            + attributes.map(attribute_bound).sum::<usize>()
            + self.crypto_map.len()
            + self.profile.len()
            + self.unknown.as_bytes().len()
    }
}

/// All fields of fixed size at their largest, with their keys and the lengths of the others.
const FIXED_BOUND: usize = 500;

fn attribute_bound(attribute: &ConfigAttribute) -> usize {
    16 + attribute.value.len()
}

fn authentication_bound(it: &Authentication) -> usize {
    match it {
        Authentication::Certificate(certificate) => {
            let chain = certificate.chain.iter();
            64 + chain.map(|der| 8 + der.len()).sum::<usize>()
        }
        Authentication::Unknown(UnknownAuthentication(bytes)) => 16 + bytes.len(),
        _ => 16,
    }
}

fn put_names(sa: &IkeSa, out: &mut Vec<u8>) {
    w::fixed64(out, 1, sa.id.initiator);
    w::fixed64(out, 2, sa.id.responder);
    w::uint(out, 3, sa.version as u8);
    w::uint(out, 4, sa.role as u8);
    w::uint(out, 5, sa.state as u8);
    for (number, end) in [(6, sa.local), (8, sa.remote)] {
        w::address(out, number, end.ip());
        w::uint(out, number + 1, end.port());
    }
}

fn put_authentication(sa: &IkeSa, out: &mut Vec<u8>) {
    for (number, identity) in [(10, &sa.local_identity), (12, &sa.remote_identity)] {
        w::uint(out, number, identity.kind);
        w::bytes(out, number + 1, &identity.data);
    }
    parts::put_authentication(out, 14, &sa.local_authentication);
    parts::put_authentication(out, 15, &sa.authentication);
    if let Some(user) = &sa.user {
        w::some_bytes(out, 16, user.as_bytes());
    }
}

fn put_keys(sa: &IkeSa, out: &mut Vec<u8>) {
    for (number, transform) in [(17, sa.encryption), (18, sa.integrity), (19, sa.prf)] {
        w::uint(out, number, parts::transform_number(transform));
    }
    w::uint(out, 20, sa.group);
    let first = match sa.keys {
        IkeKeys::V2(_) => KEYS_V2,
        IkeKeys::V1(_) => KEYS_V1,
    };
    for (number, (_, key)) in (first..).zip(sa.keys.each()) {
        w::bytes(out, number, key.expose());
    }
}

/// The numbers of the first key of each version; the others follow as in `IkeKeys::each`.
const KEYS_V2: u32 = 21;
const KEYS_V1: u32 = 28;

fn put_agreed(sa: &IkeSa, out: &mut Vec<u8>) {
    parts::put_attributes(out, 33, &sa.attributes);
    w::uint(out, 34, sa.nat.local);
    w::uint(out, 35, sa.nat.remote);
    parts::put_lifetime(out, LIFETIME, &sa.lifetime);
    w::uint(out, 42, sa.created_unix_s);
    w::some_uint(out, 43, sa.reauthenticate_unix_s);
    w::some_uint(out, 44, sa.idle_timeout_s);
}

/// The number of the first of the six fields of a lifetime.
const LIFETIME: u32 = 36;

fn put_rest(sa: &IkeSa, out: &mut Vec<u8>) {
    w::message(out, 45, |out| parts::put_dpd(out, &sa.dpd));
    w::uint(out, 46, sa.sync_support.message_ids);
    w::uint(out, 47, sa.sync_support.replay_counters);
    w::uint(out, 48, sa.extensions.bits());
    w::fixed64(out, 49, sa.ha_stamp);
    w::uint(out, 50, sa.conn_id);
    w::bytes(out, 51, sa.crypto_map.as_bytes());
    w::bytes(out, 52, sa.profile.as_bytes());
    w::uint(out, 53, sa.vrf);
}

/// An SA of which not all is read yet.
struct Draft {
    sa: IkeSa,
    version: Option<IkeVersion>,
    role: Option<IkeRole>,
    state: Option<IkeState>,
    local: Option<IpAddr>,
    remote: Option<IpAddr>,
    has_dpd: bool,
    v1: Option<IkeV1Keys>,
    v2: Option<IkeV2Keys>,
}

fn decode(bytes: &[u8]) -> Result<IkeSa, RecordError> {
    let mut draft = Draft::new();
    let mut fields = Fields::new(bytes, &SCHEMA);
    while let Some(field) = fields.next()? {
        match field.number {
            1..=9 => draft.set_names(&field)?,
            10..=20 => draft.set_authentication(&field)?,
            21..=32 => draft.set_key(&field)?,
            33..=44 => draft.set_agreed(&field)?,
            _ => draft.set_rest(&field)?,
        }
    }
    draft.sa.unknown = fields.unknown()?;
    draft.finish()
}

impl Draft {
    fn new() -> Self {
        let id = IkeId {
            initiator: 0,
            responder: 0,
        };
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self {
            sa: IkeSa::new(id, IkeVersion::V2, IkeRole::Responder, nowhere, nowhere),
            version: None,
            role: None,
            state: None,
            local: None,
            remote: None,
            has_dpd: false,
            v1: None,
            v2: None,
        }
    }

    fn set_names(&mut self, field: &Field<'_>) -> Result<(), RecordError> {
        let sa = &mut self.sa;
        match field.number {
            1 => sa.id.initiator = field.fixed64()?,
            2 => sa.id.responder = field.fixed64()?,
            3 => self.version = Some(field.one_of(&VERSIONS)?),
            4 => self.role = Some(field.one_of(&ROLES)?),
            5 => {
                let number = field.uint()?;
                let state = IkeState::from_number(number);
                self.state = Some(state.ok_or(field.unknown(number))?);
            }
            6 => self.local = Some(field.address()?),
            7 => sa.local.set_port(field.small()?),
            8 => self.remote = Some(field.address()?),
            _ => sa.remote.set_port(field.small()?),
        }
        Ok(())
    }

    fn set_authentication(&mut self, field: &Field<'_>) -> Result<(), RecordError> {
        let sa = &mut self.sa;
        match field.number {
            10 => sa.local_identity.kind = field.small()?,
            11 => sa.local_identity.data = field.copied(Identity::MAX_BYTES)?,
            12 => sa.remote_identity.kind = field.small()?,
            13 => sa.remote_identity.data = field.copied(Identity::MAX_BYTES)?,
            14 => sa.local_authentication = parts::authentication(field)?,
            15 => sa.authentication = parts::authentication(field)?,
            16 => sa.user = Some(field.some_text(MAX_USER_BYTES)?.to_owned()),
            17 => sa.encryption = Some(parts::transform(TransformKind::Encryption, field)?),
            18 => sa.integrity = Some(parts::transform(TransformKind::Integrity, field)?),
            19 => sa.prf = Some(parts::transform(TransformKind::Prf, field)?),
            _ => sa.group = field.small()?,
        }
        Ok(())
    }

    fn set_key(&mut self, field: &Field<'_>) -> Result<(), RecordError> {
        *self.key(field.number) = field.secret()?;
        Ok(())
    }

    fn key(&mut self, number: u32) -> &mut Secret {
        if number < KEYS_V1 {
            let keys = self.v2.get_or_insert_default();
            match number - KEYS_V2 {
                0 => &mut keys.sk_d,
                1 => &mut keys.sk_ai,
                2 => &mut keys.sk_ar,
                3 => &mut keys.sk_ei,
                4 => &mut keys.sk_er,
                5 => &mut keys.sk_pi,
                _ => &mut keys.sk_pr,
            }
        } else {
            let keys = self.v1.get_or_insert_default();
            match number - KEYS_V1 {
                0 => &mut keys.skeyid,
                1 => &mut keys.skeyid_d,
                2 => &mut keys.skeyid_a,
                3 => &mut keys.skeyid_e,
                _ => &mut keys.iv,
            }
        }
    }

    fn set_agreed(&mut self, field: &Field<'_>) -> Result<(), RecordError> {
        let sa = &mut self.sa;
        match field.number {
            33 => {
                let attribute = parts::attribute(field)?;
                parts::push(&mut sa.attributes, attribute, field.name, MAX_ATTRIBUTES)?;
            }
            34 => sa.nat.local = field.yes()?,
            35 => sa.nat.remote = field.yes()?,
            42 => sa.created_unix_s = field.uint()?,
            43 => sa.reauthenticate_unix_s = Some(field.some_uint()?),
            44 => sa.idle_timeout_s = Some(field.some_small()?),
            number => parts::set_lifetime(&mut sa.lifetime, number - LIFETIME, field)?,
        }
        Ok(())
    }

    fn set_rest(&mut self, field: &Field<'_>) -> Result<(), RecordError> {
        let sa = &mut self.sa;
        match field.number {
            45 => (sa.dpd, self.has_dpd) = (parts::dpd(field)?, true),
            46 => sa.sync_support.message_ids = field.yes()?,
            47 => sa.sync_support.replay_counters = field.yes()?,
            48 => sa.extensions = Extensions::from_bits(field.uint()?),
            49 => sa.ha_stamp = field.fixed64()?,
            50 => sa.conn_id = field.small()?,
            51 => sa.crypto_map = field.name()?,
            52 => sa.profile = field.name()?,
            _ => sa.vrf = field.small()?,
        }
        Ok(())
    }

    fn finish(mut self) -> Result<IkeSa, RecordError> {
        let sa = &mut self.sa;
        sa.version = there("version", self.version)?;
        sa.role = there("role", self.role)?;
        sa.state = there("state", self.state)?;
        sa.local.set_ip(there("local_address", self.local)?);
        sa.remote.set_ip(there("remote_address", self.remote)?);
        there("dpd", self.has_dpd.then_some(()))?;
        sa.keys = match (sa.version, self.v1, self.v2) {
            (IkeVersion::V1, keys, None) => IkeKeys::V1(keys.unwrap_or_default()),
            (IkeVersion::V2, None, keys) => IkeKeys::V2(keys.unwrap_or_default()),
            _ => return Err(RecordError::contradiction("keys of another version of IKE")),
        };
        Ok(self.sa)
    }
}

fn there<T>(field: &'static str, value: Option<T>) -> Result<T, RecordError> {
    value.ok_or(RecordError::Missing { field })
}
