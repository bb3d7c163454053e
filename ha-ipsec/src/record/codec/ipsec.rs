//! The codec of [`IpsecSa`].

use core::net::{IpAddr, Ipv4Addr};

use ha_core::checkpoint::{DecodeError, Record};

use super::reader::{Field, Fields, Schema};
use super::{check_version, parts, writer as w};
use crate::id::{IkeId, Protocol, SaId};
use crate::record::{Direction, IpsecSa, MAX_SELECTORS, Mode, RecordError, TransformKind};
use crate::replay::{InboundPolicy, Isolated, WindowSize};

pub(super) const SCHEMA: Schema = Schema {
    names: &[
        "spi",
        "protocol",
        "destination",
        "source",
        "direction",
        "mode",
        "ike_initiator",
        "ike_responder",
        "pair_spi",
        "local",
        "remote",
        "encryption",
        "encryption_key",
        "window",
        "budget",
        "instance",
        "integrity",
        "integrity_key",
        "esn",
        "policy",
        "isolated",
        "reqid",
        "nat_t",
        "soft_seconds",
        "soft_bytes",
        "soft_packets",
        "hard_seconds",
        "hard_bytes",
        "hard_packets",
        "created_unix_s",
        "crypto_map",
        "flow_id",
        "path_mtu",
        "idle_timeout_s",
        "pair_destination",
        "compression",
        "vrf",
        "interface_id",
        "mark",
        "flags",
        "linux",
    ],
    repeated: &[10, 11],
};

const DIRECTIONS: [(u64, Direction); 2] = [(1, Direction::Inbound), (2, Direction::Outbound)];
const MODES: [(u64, Mode); 2] = [(1, Mode::Tunnel), (2, Mode::Transport)];
/// Strict is 0, and so is continuing: what is left out of a record.
const POLICIES: [(u64, InboundPolicy); 2] =
    [(1, InboundPolicy::Resume), (2, InboundPolicy::PeerSync)];
const ISOLATED: [(u64, Isolated); 1] = [(1, Isolated::Freeze)];

impl Record for IpsecSa {
    fn encode(&self, version: u16, out: &mut Vec<u8>) {
        debug_assert!(check_version(version).is_ok(), "versions are agreed");
        out.reserve(self.len_bound());
        put_names(self, out);
        put_protection(self, out);
        put_replay(self, out);
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

impl IpsecSa {
    fn len_bound(&self) -> usize {
        let linux = self.linux.as_ref().map_or(0, |linux| {
            LINUX_BOUND + linux.offload_device.len() + linux.security_context.len()
        });
        FIXED_BOUND
            + SELECTOR_BOUND * (self.local.len() + self.remote.len())
            + self.keys.encryption.len()
            + self.keys.integrity.len()
            + self.crypto_map.len()
            + linux
            + self.unknown.as_bytes().len()
    }
}

/// All fields of fixed size at their largest, with their keys and the lengths of the others.
const FIXED_BOUND: usize = 400;
/// Two keys, three lengths, two addresses, a protocol and ports.
const SELECTOR_BOUND: usize = 48;
/// As [`FIXED_BOUND`], of the message.
const LINUX_BOUND: usize = 80;

fn put_names(sa: &IpsecSa, out: &mut Vec<u8>) {
    w::fixed32(out, 1, sa.id.spi);
    w::uint(out, 2, sa.id.protocol.number());
    w::address(out, 3, sa.id.destination);
    w::address(out, 4, sa.source);
    w::uint(out, 5, sa.direction as u8);
    w::uint(out, 6, sa.mode as u8);
    if let Some(ike) = sa.ike {
        w::fixed64(out, 7, ike.initiator);
        w::fixed64(out, 8, ike.responder);
    }
    if let Some(pair) = sa.pair {
        w::fixed32(out, 9, pair.spi);
    }
    parts::put_selectors(out, 10, &sa.local);
    parts::put_selectors(out, 11, &sa.remote);
}

fn put_protection(sa: &IpsecSa, out: &mut Vec<u8>) {
    w::uint(out, 12, parts::transform_number(sa.encryption));
    w::bytes(out, 13, sa.keys.encryption.expose());
    w::uint(out, 14, sa.window.packets());
    w::uint(out, 15, sa.budget);
    w::fixed64(out, 16, sa.instance);
    w::uint(out, 17, parts::transform_number(sa.integrity));
    w::bytes(out, 18, sa.keys.integrity.expose());
}

fn put_replay(sa: &IpsecSa, out: &mut Vec<u8>) {
    w::uint(out, 19, sa.esn);
    w::uint(out, 20, number_of(&POLICIES, sa.policy));
    w::uint(out, 21, number_of(&ISOLATED, sa.isolated));
    w::uint(out, 22, sa.reqid);
    if let Some(nat_t) = &sa.nat_t {
        w::message(out, 23, |out| parts::put_nat_t(out, nat_t));
    }
    parts::put_lifetime(out, LIFETIME, &sa.lifetime);
    w::uint(out, 30, sa.created_unix_s);
}

fn put_rest(sa: &IpsecSa, out: &mut Vec<u8>) {
    w::bytes(out, 31, sa.crypto_map.as_bytes());
    w::uint(out, 32, sa.flow_id);
    w::some_uint(out, 33, sa.path_mtu);
    w::some_uint(out, 34, sa.idle_timeout_s);
    if let Some(pair) = sa.pair.filter(|pair| pair.destination != sa.source) {
        w::address(out, 35, pair.destination);
    }
    w::uint(out, 36, sa.compression.unwrap_or(0));
    w::uint(out, 37, sa.vrf);
    w::uint(out, 38, sa.interface_id);
    w::some_fixed64(out, 39, parts::mark_number(sa.mark));
    w::uint(out, 40, sa.flags.bits());
    if let Some(linux) = &sa.linux {
        w::message(out, 41, |out| parts::put_linux(out, linux));
    }
}

/// The number of the first of the six fields of a lifetime.
pub(super) const LIFETIME: u32 = 24;

fn number_of<T: PartialEq>(values: &[(u64, T)], value: T) -> u64 {
    let found = values.iter().find(|(_, it)| *it == value);
    found.map_or(0, |(number, _)| *number)
}

/// An SA of which not all is read yet.
struct Draft {
    sa: IpsecSa,
    protocol: Option<Protocol>,
    destination: Option<IpAddr>,
    source: Option<IpAddr>,
    direction: Option<Direction>,
    mode: Option<Mode>,
    window: Option<WindowSize>,
    ike: IkeId,
    pair_spi: Option<u32>,
    pair_destination: Option<IpAddr>,
}

fn decode(bytes: &[u8]) -> Result<IpsecSa, RecordError> {
    let mut draft = Draft::new();
    let mut fields = Fields::new(bytes, &SCHEMA);
    while let Some(field) = fields.next()? {
        match field.number {
            1..=11 => draft.set_names(&field)?,
            12..=18 => draft.set_protection(&field)?,
            19..=30 => draft.set_replay(&field)?,
            _ => draft.set_rest(&field)?,
        }
    }
    draft.sa.unknown = fields.unknown()?;
    draft.finish()
}

impl Draft {
    fn new() -> Self {
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let id = SaId {
            spi: 0,
            destination: nowhere,
            protocol: Protocol::Esp,
        };
        let mut sa = IpsecSa::new(id, Direction::Inbound, nowhere, Mode::Tunnel);
        sa.budget = 0;
        Self {
            sa,
            protocol: None,
            destination: None,
            source: None,
            direction: None,
            mode: None,
            window: None,
            ike: IkeId {
                initiator: 0,
                responder: 0,
            },
            pair_spi: None,
            pair_destination: None,
        }
    }

    fn set_names(&mut self, field: &Field<'_>) -> Result<(), RecordError> {
        let sa = &mut self.sa;
        match field.number {
            1 => sa.id.spi = field.fixed32()?,
            2 => self.protocol = Some(parts::protocol(field)?),
            3 => self.destination = Some(field.address()?),
            4 => self.source = Some(field.address()?),
            5 => self.direction = Some(field.one_of(&DIRECTIONS)?),
            6 => self.mode = Some(field.one_of(&MODES)?),
            7 => self.ike.initiator = field.fixed64()?,
            8 => self.ike.responder = field.fixed64()?,
            9 => self.pair_spi = Some(field.fixed32()?),
            10 => parts::push_selector(&mut sa.local, field, MAX_SELECTORS)?,
            _ => parts::push_selector(&mut sa.remote, field, MAX_SELECTORS)?,
        }
        Ok(())
    }

    fn set_protection(&mut self, field: &Field<'_>) -> Result<(), RecordError> {
        let sa = &mut self.sa;
        match field.number {
            12 => sa.encryption = Some(parts::transform(TransformKind::Encryption, field)?),
            13 => sa.keys.encryption = field.secret()?,
            14 => self.window = Some(window(field)?),
            15 => sa.budget = field.uint()?,
            16 => sa.instance = field.fixed64()?,
            17 => sa.integrity = Some(parts::transform(TransformKind::Integrity, field)?),
            _ => sa.keys.integrity = field.secret()?,
        }
        Ok(())
    }

    fn set_replay(&mut self, field: &Field<'_>) -> Result<(), RecordError> {
        let sa = &mut self.sa;
        match field.number {
            19 => sa.esn = field.yes()?,
            20 => sa.policy = field.one_of(&POLICIES)?,
            21 => sa.isolated = field.one_of(&ISOLATED)?,
            22 => sa.reqid = field.small()?,
            23 => sa.nat_t = Some(Box::new(parts::nat_t(field)?)),
            30 => sa.created_unix_s = field.uint()?,
            number => parts::set_lifetime(&mut sa.lifetime, number - LIFETIME, field)?,
        }
        Ok(())
    }

    fn set_rest(&mut self, field: &Field<'_>) -> Result<(), RecordError> {
        let sa = &mut self.sa;
        match field.number {
            31 => sa.crypto_map = field.name()?,
            32 => sa.flow_id = field.small()?,
            33 => sa.path_mtu = Some(field.some_small()?),
            34 => sa.idle_timeout_s = Some(field.some_small()?),
            35 => self.pair_destination = Some(field.address()?),
            36 => sa.compression = Some(field.small()?),
            37 => sa.vrf = field.small()?,
            38 => sa.interface_id = field.small()?,
            39 => sa.mark = Some(parts::mark(field)?),
            40 => sa.flags = crate::record::SaFlags::from_bits(field.small()?),
            _ => sa.linux = Some(Box::new(parts::linux(field)?)),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<IpsecSa, RecordError> {
        let sa = &mut self.sa;
        if sa.esn && self.window.is_none() {
            // RFC 4303 §3.3.3: "Use of ESN creates a need for the receiver to manage the
            // anti-replay window".
            return Err(RecordError::contradiction(
                "extended sequence numbers without an anti-replay window",
            ));
        }
        sa.id.protocol = there("protocol", self.protocol)?;
        sa.id.destination = there("destination", self.destination)?;
        sa.source = there("source", self.source)?;
        sa.direction = there("direction", self.direction)?;
        sa.mode = there("mode", self.mode)?;
        sa.window = there("window", self.window)?;
        sa.ike = (self.ike.initiator != 0).then_some(self.ike);
        if sa.ike.is_none() && self.ike.responder != 0 {
            return Err(missing("ike_initiator"));
        }
        sa.pair = pair(sa, self.pair_spi, self.pair_destination)?;
        Ok(self.sa)
    }
}

/// The other direction as a rule ends where this one begins, which is then left out.
fn pair(
    sa: &IpsecSa,
    spi: Option<u32>,
    destination: Option<IpAddr>,
) -> Result<Option<SaId>, RecordError> {
    let field = "pair_destination";
    match (spi, destination) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(missing("pair_spi")),
        (Some(_), Some(destination)) if destination == sa.source => {
            Err(RecordError::NotCanonical { field })
        }
        (Some(spi), destination) => Ok(Some(SaId {
            spi,
            destination: destination.unwrap_or(sa.source),
            protocol: sa.id.protocol,
        })),
    }
}

fn window(field: &Field<'_>) -> Result<WindowSize, RecordError> {
    let packets: u32 = field.small()?;
    let window = WindowSize::new(packets).map_err(|_| {
        let (field, got) = (field.name, packets.into());
        let (min, max) = (WindowSize::MIN.packets(), WindowSize::MAX.packets());
        if packets < min {
            let allowed = min.into();
            RecordError::TooSmall {
                field,
                got,
                allowed,
            }
        } else {
            let allowed = max.into();
            RecordError::Limit {
                field,
                got,
                allowed,
            }
        }
    })?;
    // A size is rounded before it is sent.
    if window.packets() == packets {
        Ok(window)
    } else {
        Err(field.not_canonical())
    }
}

fn there<T>(field: &'static str, value: Option<T>) -> Result<T, RecordError> {
    value.ok_or(missing(field))
}

const fn missing(field: &'static str) -> RecordError {
    RecordError::Missing { field }
}
