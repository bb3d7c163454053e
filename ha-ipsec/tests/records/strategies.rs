//! Any record that is free of contradictions.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use ha_ipsec::dpd::{Backoff, DpdConfig, DpdMode, DpdState};
use ha_ipsec::id::{IkeId, Protocol, SaId};
use ha_ipsec::lifetime::{Lifetime, Limits};
use ha_ipsec::message_id::MessageIds;
use ha_ipsec::record::{
    Authentication, Certificate, ConfigAttribute, Direction, Extensions, Identity, IkeKeys,
    IkeProgress, IkeRole, IkeSa, IkeState, IkeV1Keys, IkeV2Keys, IkeVersion, IpsecSa,
    LinuxAttributes, Mark, Mode, Name, NatT, SaFlags, SaKeys, Selector, SyncSupport, Transform,
};
use ha_ipsec::replay::{InboundPolicy, Isolated, WindowSize};
use ha_ipsec::secret::Secret;
use ha_ipsec::sequence::MAX_BUDGET;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn ipsec_sa() -> impl Strategy<Value = IpsecSa> {
    (any::<bool>(), protection())
        .prop_flat_map(|(ipv4, protection)| {
            let attributes = (attributes(ipv4), selectors(), rest(), Just(protection));
            (family(ipv4), family(ipv4), attributes)
        })
        .prop_map(
            |(destination, source, (attributes, selectors, rest, protection))| {
                let id = SaId {
                    spi: protection.spi,
                    destination,
                    protocol: protection.protocol,
                };
                let (direction, mode, pair) = attributes.0;
                let mut sa = IpsecSa::new(id, direction, source, mode);
                sa.pair = pair
                    .map(|(spi, elsewhere)| SaId {
                        spi: spi % 0xff00 + 256,
                        destination: elsewhere.unwrap_or(source),
                        protocol: protection.protocol,
                    })
                    .filter(|pair| *pair != id);
                (sa.ike, sa.instance, sa.reqid) = attributes.1;
                (sa.local, sa.remote) = selectors;
                protection.give_to(&mut sa);
                rest.give_to(&mut sa);
                sa
            },
        )
}

type Ends = (Direction, Mode, Option<(u32, Option<IpAddr>)>);

fn attributes(ipv4: bool) -> impl Strategy<Value = (Ends, (Option<IkeId>, u64, u32))> {
    let ends = (
        select(vec![Direction::Inbound, Direction::Outbound]),
        select(vec![Mode::Tunnel, Mode::Transport]),
        option::of((any::<u32>(), option::of(family(ipv4)))),
    );
    (ends, (option::of(ike_id()), any::<u64>(), any::<u32>()))
}

fn ike_id() -> impl Strategy<Value = IkeId> {
    (1..=u64::MAX, any::<u64>()).prop_map(|(initiator, responder)| IkeId {
        initiator,
        responder,
    })
}

fn family(ipv4: bool) -> BoxedStrategy<IpAddr> {
    if ipv4 {
        any::<[u8; 4]>().prop_map(IpAddr::from).boxed()
    } else {
        any::<[u8; 16]>().prop_map(IpAddr::from).boxed()
    }
}

fn address() -> impl Strategy<Value = IpAddr> {
    any::<bool>().prop_flat_map(family)
}

fn selectors() -> impl Strategy<Value = (Vec<Selector>, Vec<Selector>)> {
    (vec(selector(), 0..4), vec(selector(), 0..4))
}

fn selector() -> impl Strategy<Value = Selector> {
    let addresses = any::<bool>().prop_flat_map(|ipv4| (family(ipv4), family(ipv4)));
    let port = prop_oneof![Just(0), Just(u16::MAX), any::<u16>()];
    let ports = (port.clone(), port).prop_map(|(one, other)| match (one, other) {
        (u16::MAX, 0) => Selector::OPAQUE_PORT,
        _ => one.min(other)..=one.max(other),
    });
    (any::<u8>(), ports, addresses).prop_map(|(protocol, ports, (one, other))| Selector {
        protocol,
        ports,
        addresses: one.min(other)..=one.max(other),
    })
}

/// A protocol with algorithms and keys that fit.
#[derive(Clone, Debug)]
struct Protection {
    protocol: Protocol,
    spi: u32,
    encryption: Option<Transform>,
    integrity: Option<Transform>,
    compression: Option<u16>,
    keys: SaKeys,
    esn: bool,
    nat_t: Option<NatT>,
}

impl Protection {
    fn give_to(self, sa: &mut IpsecSa) {
        (sa.encryption, sa.integrity) = (self.encryption, self.integrity);
        (sa.compression, sa.keys) = (self.compression, self.keys);
        (sa.esn, sa.nat_t) = (self.esn, self.nat_t.map(Box::new));
    }
}

fn protection() -> impl Strategy<Value = Protection> {
    prop_oneof![esp(), ah(), ipcomp()]
}

fn esp() -> impl Strategy<Value = Protection> {
    let aead = select(vec![
        Transform::AES_GCM_128,
        Transform::AES_GCM_256,
        Transform::CHACHA20_POLY1305,
        Transform::encryption(20, 192),
    ]);
    let block = select(vec![
        Transform::AES_CBC_128,
        Transform::AES_CBC_256,
        Transform::TRIPLE_DES,
        Transform::NULL,
    ]);
    let unknown = (32u16.., any::<u16>()).prop_map(|(id, bits)| Transform::encryption(id, bits));
    let algorithms = prop_oneof![
        aead.prop_map(|it| (it, None)),
        (block, integrity()).prop_map(|(it, integrity)| (it, Some(integrity))),
        (unknown, option::of(integrity())),
    ];
    (algorithms, 256u32.., any::<bool>(), option::of(nat_t())).prop_flat_map(
        |((encryption, integrity), spi, esn, nat_t)| {
            keys(Some(encryption), integrity).prop_map(move |keys| Protection {
                protocol: Protocol::Esp,
                spi,
                encryption: Some(encryption),
                integrity,
                compression: None,
                keys,
                esn,
                nat_t,
            })
        },
    )
}

fn integrity() -> impl Strategy<Value = Transform> {
    prop_oneof![
        select(vec![Transform::HMAC_SHA1_96, Transform::HMAC_SHA512_256]),
        (20u16..).prop_map(Transform::integrity),
    ]
}

fn ah() -> impl Strategy<Value = Protection> {
    (integrity(), 256u32.., any::<bool>()).prop_flat_map(|(integrity, spi, esn)| {
        keys(None, Some(integrity)).prop_map(move |keys| Protection {
            protocol: Protocol::Ah,
            spi,
            encryption: None,
            integrity: Some(integrity),
            compression: None,
            keys,
            esn,
            nat_t: None,
        })
    })
}

fn ipcomp() -> impl Strategy<Value = Protection> {
    (1u32..=0xffff, 1u16..).prop_map(|(spi, id)| Protection {
        protocol: Protocol::IpComp,
        spi,
        encryption: None,
        integrity: None,
        compression: Some(id),
        keys: SaKeys::default(),
        esn: false,
        nat_t: None,
    })
}

fn keys(
    encryption: Option<Transform>,
    integrity: Option<Transform>,
) -> impl Strategy<Value = SaKeys> {
    (key(encryption), key(integrity)).prop_map(|(encryption, integrity)| SaKeys {
        encryption,
        integrity,
    })
}

fn key(transform: Option<Transform>) -> impl Strategy<Value = Secret> {
    let bytes = match transform.map(|it| it.key_bytes()) {
        None => 0..=0,
        Some(Some(bytes)) => bytes..=bytes,
        Some(None) => 0..=Secret::MAX_BYTES,
    };
    vec(any::<u8>(), bytes).prop_map(Secret::from_vec)
}

fn nat_t() -> impl Strategy<Value = NatT> {
    (1u16.., 1u16.., option::of(address()), option::of(address())).prop_map(
        |(local_port, remote_port, original_local, original_remote)| NatT {
            local_port,
            remote_port,
            original_local,
            original_remote,
        },
    )
}

/// What fits every SA.
#[derive(Clone, Debug)]
struct Rest {
    replay: (WindowSize, InboundPolicy, Isolated, u64),
    place: (u32, u32, Option<Mark>),
    time: (Lifetime, u64, Option<u32>),
    labels: (Name, u32, Option<u16>),
    flags: (SaFlags, Option<LinuxAttributes>),
}

impl Rest {
    fn give_to(self, sa: &mut IpsecSa) {
        (sa.window, sa.policy, sa.isolated, sa.budget) = self.replay;
        (sa.vrf, sa.interface_id, sa.mark) = self.place;
        (sa.lifetime, sa.created_unix_s, sa.idle_timeout_s) = self.time;
        (sa.crypto_map, sa.flow_id, sa.path_mtu) = self.labels;
        (sa.flags, sa.linux) = (self.flags.0, self.flags.1.map(Box::new));
    }
}

fn rest() -> impl Strategy<Value = Rest> {
    let window = (32u32..=WindowSize::MAX.packets()).prop_map(|it| WindowSize::new(it).unwrap());
    let policies = [
        InboundPolicy::Strict,
        InboundPolicy::Resume,
        InboundPolicy::PeerSync,
    ];
    let isolated = select(vec![Isolated::Freeze, Isolated::Continue]);
    let replay = (window, select(policies.to_vec()), isolated, 1..=MAX_BUDGET);
    let place = (any::<u32>(), any::<u32>(), option::of(mark()));
    let time = (lifetime(), any::<u64>(), option::of(any::<u32>()));
    let labels = (name(), any::<u32>(), option::of(any::<u16>()));
    // Those that a tunnel alone may have, and those that contradict each other, are left out.
    let taken = SaFlags::SET_DF | SaFlags::ANY_INNER_FAMILY | SaFlags::FRAGMENT_BEFORE;
    let flags = any::<u32>().prop_map(move |bits| SaFlags::from_bits(bits & !taken.bits()));
    let flags = (flags, option::of(linux()));
    (replay, place, time, labels, flags).prop_map(|(replay, place, time, labels, flags)| Rest {
        replay,
        place,
        time,
        labels,
        flags,
    })
}

fn mark() -> impl Strategy<Value = Mark> {
    (any::<u32>(), any::<u32>()).prop_map(|(value, mask)| Mark { value, mask })
}

fn name() -> impl Strategy<Value = Name> {
    "[a-zA-Zäß -]{0,40}".prop_map(Name::from)
}

fn lifetime() -> impl Strategy<Value = Lifetime> {
    let limit = || (option::of(any::<u64>()), option::of(1u64..));
    [limit(), limit(), limit()].prop_map(|limits| {
        let [seconds, bytes, packets] = limits.map(|(soft, hard)| match (soft, hard) {
            (Some(soft), Some(hard)) => (Some(soft.min(hard)), Some(hard)),
            other => other,
        });
        let limits = |seconds, bytes, packets| Limits {
            seconds,
            bytes,
            packets,
        };
        Lifetime {
            soft: limits(seconds.0, bytes.0, packets.0),
            hard: limits(seconds.1, bytes.1, packets.1),
        }
    })
}

fn linux() -> impl Strategy<Value = LinuxAttributes> {
    let offload = (name(), any::<u8>());
    let other = (any::<u32>(), option::of(address()), vec(any::<u8>(), 0..40));
    (option::of(mark()), 0u16..64, offload, other).prop_map(|(mark, icv, offload, other)| {
        let mut linux = LinuxAttributes::default();
        linux.output_mark = mark;
        linux.icv_bits = icv * 8;
        (linux.offload_device, linux.offload_flags) = offload;
        (linux.extra_flags, linux.care_of) = (other.0, other.1);
        linux.security_context = other.2.into();
        linux
    })
}

pub(crate) fn ike_sa() -> impl Strategy<Value = IkeSa> {
    (ike_base(), ike_who(), ike_rest()).prop_map(|(mut sa, who, rest)| {
        (sa.local_identity, sa.remote_identity) = who.0;
        (sa.local_authentication, sa.authentication) = who.1;
        (sa.user, sa.attributes) = who.2;
        let ((local, remote), lifetime, (created, again, idle), dpd, bits, labels) = rest;
        (sa.nat.local, sa.nat.remote) = (local, remote);
        (sa.lifetime, sa.created_unix_s) = (lifetime, created);
        (sa.reauthenticate_unix_s, sa.idle_timeout_s) = (again, idle);
        (sa.dpd, sa.sync_support) = (dpd, SyncSupport::from_bits(bits.0));
        (sa.extensions, sa.ha_stamp) = (Extensions::from_bits(bits.1), bits.2);
        (sa.conn_id, sa.vrf, sa.crypto_map, sa.profile) = labels;
        sa
    })
}

fn ike_base() -> impl Strategy<Value = IkeSa> {
    let ends = any::<bool>().prop_flat_map(|ipv4| {
        let end = move || (family(ipv4), 1u16..).prop_map(SocketAddr::from);
        (end(), end())
    });
    let role = select(vec![IkeRole::Initiator, IkeRole::Responder]);
    (ike_id(), role, ends, agreed(), any::<u16>()).prop_map(
        |(mut id, role, ends, agreed, group)| {
            let (state, encryption, integrity, prf, keys) = agreed;
            id.responder |= 1;
            let mut sa = IkeSa::new(id, state.version(), role, ends.0, ends.1);
            (sa.state, sa.group, sa.keys) = (state, group, keys);
            (sa.encryption, sa.integrity, sa.prf) = (encryption, integrity, prf);
            sa
        },
    )
}

type Agreed = (
    IkeState,
    Option<Transform>,
    Option<Transform>,
    Option<Transform>,
    IkeKeys,
);

fn agreed() -> impl Strategy<Value = Agreed> {
    prop_oneof![fresh(), established_v1(), established_v2()]
}

fn fresh() -> impl Strategy<Value = Agreed> {
    let states = [
        IkeState::MmNoState,
        IkeState::AgAuthenticated,
        IkeState::InNegotiation,
    ];
    select(states.to_vec()).prop_map(|state| {
        let keys = match state.version() {
            IkeVersion::V1 => IkeKeys::V1(IkeV1Keys::default()),
            IkeVersion::V2 => IkeKeys::V2(IkeV2Keys::default()),
        };
        (state, None, None, None, keys)
    })
}

fn established_v1() -> impl Strategy<Value = Agreed> {
    let secret = || vec(any::<u8>(), 1..40).prop_map(Secret::from_vec);
    [secret(), secret(), secret(), secret(), secret()].prop_map(|secrets| {
        let mut keys = IkeV1Keys::default();
        [
            keys.skeyid,
            keys.skeyid_d,
            keys.skeyid_a,
            keys.skeyid_e,
            keys.iv,
        ] = secrets;
        let encryption = Some(Transform::TRIPLE_DES);
        let prf = Some(Transform::PRF_HMAC_SHA1);
        (IkeState::QmIdle, encryption, None, prf, IkeKeys::V1(keys))
    })
}

fn established_v2() -> impl Strategy<Value = Agreed> {
    let encryption = select(vec![Transform::AES_GCM_256, Transform::AES_CBC_128]);
    (encryption, any::<bool>()).prop_flat_map(|(encryption, keep)| {
        let integrity = (!encryption.is_aead()).then_some(Transform::HMAC_SHA256_128);
        let (encryption, prf) = (Some(encryption), Some(Transform::PRF_HMAC_SHA512));
        let auth = prf.filter(|_| keep);
        let ends = move |it| (key(it), key(it));
        (key(prf), ends(integrity), ends(encryption), ends(auth)).prop_map(
            move |(sk_d, integrity_keys, encryption_keys, auth_keys)| {
                let mut keys = IkeV2Keys::default();
                keys.sk_d = sk_d;
                (keys.sk_ai, keys.sk_ar) = integrity_keys;
                (keys.sk_ei, keys.sk_er) = encryption_keys;
                (keys.sk_pi, keys.sk_pr) = auth_keys;
                (
                    IkeState::Ready,
                    encryption,
                    integrity,
                    prf,
                    IkeKeys::V2(keys),
                )
            },
        )
    })
}

type Who = (
    (Identity, Identity),
    (Authentication, Authentication),
    (Option<String>, Vec<ConfigAttribute>),
);

fn ike_who() -> impl Strategy<Value = Who> {
    let attribute = (any::<u16>(), bytes(20)).prop_map(|(kind, it)| ConfigAttribute::new(kind, it));
    (
        (identity(), identity()),
        (authentication(), authentication()),
        (option::of("[a-zö@.]{0,30}"), vec(attribute, 0..5)),
    )
}

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=max).prop_map(Bytes::from)
}

fn identity() -> impl Strategy<Value = Identity> {
    let some = (1u8.., bytes(40)).prop_map(|(kind, data)| Identity::new(kind, data));
    prop_oneof![Just(Identity::default()), some]
}

fn authentication() -> impl Strategy<Value = Authentication> {
    let certificate = (
        any::<u8>(),
        option::of(any::<[u8; 32]>()),
        vec(bytes(40), 0..4),
    );
    prop_oneof![
        Just(Authentication::None),
        Just(Authentication::PreSharedKey),
        Just(Authentication::PublicKeyEncryption),
        Just(Authentication::Xauth),
        Just(Authentication::Null),
        any::<u32>().prop_map(Authentication::Eap),
        certificate.prop_map(|(method, sha256, chain)| {
            Authentication::Certificate(Box::new(Certificate {
                method,
                sha256,
                chain,
            }))
        }),
    ]
}

type IkeRest = (
    (bool, bool),
    Lifetime,
    (u64, Option<u64>, Option<u32>),
    DpdConfig,
    (u8, u64, u64),
    (u32, u32, Name, Name),
);

fn ike_rest() -> impl Strategy<Value = IkeRest> {
    let mode = select(vec![DpdMode::OnDemand, DpdMode::Periodic]);
    let backoff = select(vec![Backoff::Fixed, Backoff::Doubling]);
    let dpd = (1u16..=3600, 1u16..=600, 1u8..=20, mode, backoff).prop_map(
        |(interval_s, retry_s, retries, mode, backoff)| DpdConfig {
            interval_s,
            retry_s,
            retries,
            mode,
            backoff,
        },
    );
    (
        any::<(bool, bool)>(),
        lifetime(),
        (
            any::<u64>(),
            option::of(any::<u64>()),
            option::of(any::<u32>()),
        ),
        dpd,
        (0u8..4, any::<u64>(), any::<u64>()),
        (any::<u32>(), any::<u32>(), name(), name()),
    )
}

pub(crate) fn progress() -> impl Strategy<Value = IkeProgress> {
    let dpd = (any::<u32>(), option::of(any::<u32>()));
    (any::<[u32; 2]>(), dpd, any::<[u64; 4]>()).prop_map(|(ids, dpd, counters)| {
        let (answered, expected) = dpd;
        let state = DpdState { answered, expected };
        // The last id is never used.
        let [send, receive] = ids.map(|id| id.min(u32::MAX - 1));
        let mut it = IkeProgress::new(MessageIds::new(send, receive), state);
        [it.bytes_in, it.bytes_out, it.packets_in, it.packets_out] = counters;
        it
    })
}
