//! IPsec SAs that contradict themselves, refused at insertion and at decoding.

use bytes::Bytes;
use ha_ipsec::id::{IkeId, Protocol};
use ha_ipsec::lifetime::LifetimeError;
use ha_ipsec::record::{
    IpsecSa, LinuxAttributes, MAX_SECURITY_CONTEXT, MAX_SELECTORS, Mode, Name, NatT, RecordError,
    SaFlags, Selector, Transform, Unusable,
};
use ha_ipsec::secret::Secret;
use ha_ipsec::sequence::MAX_BUDGET;

use super::samples::{ah, full_transport, gcm_tunnel, ip, ipcomp, secret};
use super::{decode, encode, refuse};

/// The check refuses the changed record, and so does the other unit.
#[track_caller]
fn refused(mut sa: IpsecSa, change: impl FnOnce(&mut IpsecSa), why: &RecordError) {
    assert_eq!(sa.check(), Ok(()));
    change(&mut sa);
    assert_eq!(sa.check(), Err(why.clone()));
    refuse::<IpsecSa>(&encode(&sa), why);
}

#[track_caller]
fn contradicts(sa: IpsecSa, change: impl FnOnce(&mut IpsecSa), what: &'static str) {
    refused(sa, change, &RecordError::Contradiction { what });
}

const fn too_small(field: &'static str, got: u64, allowed: u64) -> RecordError {
    RecordError::TooSmall {
        field,
        got,
        allowed,
    }
}

const fn limit(field: &'static str, got: u64, allowed: u64) -> RecordError {
    RecordError::Limit {
        field,
        got,
        allowed,
    }
}

#[test]
fn spis() {
    refused(
        gcm_tunnel(),
        |it| it.id.spi = 255,
        &too_small("spi", 255, 256),
    );
    refused(ah(), |it| it.id.spi = 1, &too_small("spi", 1, 256));
    refused(ah(), |it| it.id.spi = 0, &too_small("spi", 0, 256));
    refused(ipcomp(), |it| it.id.spi = 0, &too_small("spi", 0, 1));
    refused(
        ipcomp(),
        |it| it.id.spi = 0x1_0000,
        &limit("spi", 0x1_0000, 0xffff),
    );
    let pair = |it: &mut IpsecSa| it.pair.as_mut().unwrap().spi = 255;
    refused(gcm_tunnel(), pair, &too_small("pair_spi", 255, 256));
    let mut least = gcm_tunnel();
    least.id.spi = 256;
    assert_eq!(least.check(), Ok(()));
    let mut most = ipcomp();
    most.id.spi = 0xffff;
    assert_eq!(most.check(), Ok(()));
}

#[test]
fn ends() {
    let what = "a source and a destination of different families";
    contradicts(ah(), |it| it.source = ip("2001:db8::1"), what);
    let what = "a pair of another protocol or family";
    let change = |it: &mut IpsecSa| it.pair.as_mut().unwrap().destination = ip("::1");
    contradicts(gcm_tunnel(), change, what);
    // The protocol of the pair is not sent.
    let mut sa = gcm_tunnel();
    sa.pair.as_mut().unwrap().protocol = Protocol::Ah;
    assert_eq!(sa.check(), Err(RecordError::Contradiction { what }));
    let what = "an SA that is its own pair";
    contradicts(gcm_tunnel(), |it| it.pair = Some(it.id), what);
    let ike = IkeId {
        initiator: 0,
        responder: 1,
    };
    let field = "ike_initiator";
    refused(
        ah(),
        |it| it.ike = Some(ike),
        &RecordError::Missing { field },
    );
}

#[test]
fn selectors() {
    let what = "a traffic selector whose first address is above its last";
    let change = |it: &mut IpsecSa| it.local[0].addresses = ip("10.0.0.2")..=ip("10.0.0.1");
    contradicts(gcm_tunnel(), change, what);
    let what =
        "a traffic selector whose first port is above its last (only 65535..=0, OPAQUE, may be)";
    #[allow(clippy::reversed_empty_ranges, reason = "that is what is refused")]
    let change = |it: &mut IpsecSa| it.remote[0].ports = 2..=1;
    contradicts(gcm_tunnel(), change, what);
    let many = vec![Selector::host(ip("10.0.0.1")); MAX_SELECTORS + 1];
    let most = many[1..].to_vec();
    let (got, allowed) = (many.len() as u64, MAX_SELECTORS as u64);
    refused(
        gcm_tunnel(),
        |it| it.remote = many,
        &limit("remote", got, allowed),
    );
    let mut sa = gcm_tunnel();
    sa.remote = most;
    assert_eq!(decode(&encode(&sa)), Ok(sa));
}

/// What cannot even be written is refused as damaged.
#[test]
fn a_selector_of_two_families() {
    let mut sa = gcm_tunnel();
    sa.local[0].addresses = ip("10.0.0.1")..=ip("::1");
    let what = "a traffic selector from IPv4 to IPv6";
    assert_eq!(sa.check(), Err(RecordError::Contradiction { what }));
    refuse::<IpsecSa>(&encode(&sa), &RecordError::Malformed { field: "local" });
}

#[test]
fn modes() {
    let what = "transport mode with what only a tunnel has (an outer DF bit, an inner family, \
                fragmentation before encryption, TFC padding)";
    for flag in [
        SaFlags::SET_DF,
        SaFlags::ANY_INNER_FAMILY,
        SaFlags::FRAGMENT_BEFORE,
    ] {
        contradicts(full_transport(), |it| it.flags = it.flags | flag, what);
    }
    let pad = |it: &mut IpsecSa| it.linux.as_mut().unwrap().tfc_padding = 1;
    contradicts(full_transport(), pad, what);
    let mut tunnel = full_transport();
    tunnel.mode = Mode::Tunnel;
    tunnel.flags = tunnel.flags | SaFlags::SET_DF;
    pad(&mut tunnel);
    assert_eq!(tunnel.check(), Ok(()));
    let both = SaFlags::SET_DF | SaFlags::CLEAR_DF;
    contradicts(
        gcm_tunnel(),
        |it| it.flags = both,
        "a DF bit both set and clear",
    );
}

#[test]
fn what_esp_has() {
    let field = "encryption";
    refused(
        gcm_tunnel(),
        |it| it.encryption = None,
        &RecordError::Missing { field },
    );
    let what = "compression in an ESP SA; it is an SA of its own";
    contradicts(gcm_tunnel(), |it| it.compression = Some(3), what);
    let what = "an integrity algorithm beside a combined mode (RFC 7296 §3.3)";
    contradicts(
        gcm_tunnel(),
        |it| it.integrity = Some(Transform::HMAC_SHA1_96),
        what,
    );
    let what = "neither encryption nor integrity (RFC 4303 §3.2)";
    contradicts(
        gcm_tunnel(),
        |it| it.encryption = Some(Transform::NULL),
        what,
    );
}

#[test]
fn what_ah_has() {
    let field = "integrity";
    refused(
        ah(),
        |it| it.integrity = None,
        &RecordError::Missing { field },
    );
    let what = "an AH SA with encryption or compression";
    contradicts(
        ah(),
        |it| it.encryption = Some(Transform::AES_GCM_128),
        what,
    );
    contradicts(ah(), |it| it.compression = Some(3), what);
    let nat_t = |it: &mut IpsecSa| it.nat_t = Some(Box::new(NatT::new(4500, 4500)));
    contradicts(ah(), nat_t, "an AH SA behind NAT (RFC 3948 §1)");
    let what = "a key without an algorithm";
    contradicts(ah(), |it| it.keys.encryption = secret(1, 16), what);
}

#[test]
fn what_ipcomp_has() {
    let field = "compression";
    refused(
        ipcomp(),
        |it| it.compression = None,
        &RecordError::Missing { field },
    );
    refused(
        ipcomp(),
        |it| it.compression = Some(0),
        &RecordError::Missing { field },
    );
    let what = "an IPComp SA with encryption or integrity";
    contradicts(
        ipcomp(),
        |it| it.integrity = Some(Transform::HMAC_SHA1_96),
        what,
    );
    let what = "an IPComp SA with keys";
    contradicts(ipcomp(), |it| it.keys.encryption = secret(1, 16), what);
    contradicts(ipcomp(), |it| it.keys.integrity = secret(1, 16), what);
    let what = "an IPComp SA with sequence numbers or UDP encapsulation";
    contradicts(ipcomp(), |it| it.esn = true, what);
}

#[test]
fn algorithms() {
    let what = "a key length that the algorithm does not have";
    let odd = Transform::encryption(20, 100);
    contradicts(gcm_tunnel(), |it| it.encryption = Some(odd), what);
    let what = "an algorithm with the id 0, which is reserved (or NONE: leave the field out)";
    let none = Transform::encryption(0, 1);
    contradicts(gcm_tunnel(), |it| it.encryption = Some(none), what);
    // The kind is not sent.
    let mut sa = gcm_tunnel();
    sa.encryption = Some(Transform::HMAC_SHA1_96);
    let what = "an algorithm of another kind than its field";
    assert_eq!(sa.check(), Err(RecordError::Contradiction { what }));
}

#[test]
fn key_lengths() {
    let wrong = |field, transform, expected, got| RecordError::KeyLength {
        field,
        transform,
        expected,
        got,
    };
    let why = wrong("encryption_key", Transform::AES_GCM_128, 20, 16);
    refused(gcm_tunnel(), |it| it.keys.encryption = secret(1, 16), &why);
    let why = wrong("encryption_key", Transform::AES_GCM_128, 20, 0);
    refused(
        gcm_tunnel(),
        |it| it.keys.encryption = Secret::empty(),
        &why,
    );
    let why = wrong("integrity_key", Transform::HMAC_SHA1_96, 20, 32);
    refused(ah(), |it| it.keys.integrity = secret(1, 32), &why);
    let change = |it: &mut IpsecSa| {
        it.encryption = Some(Transform::encryption(999, 0));
        it.keys.encryption = secret(1, 257);
    };
    refused(gcm_tunnel(), change, &limit("encryption_key", 257, 256));
}

#[test]
fn unknown_algorithms_are_kept_and_not_used() {
    let unknown = Transform::encryption(999, 77);
    let mut sa = gcm_tunnel();
    sa.encryption = Some(unknown);
    sa.keys.encryption = secret(1, 99);
    let decoded: IpsecSa = decode(&encode(&sa)).unwrap();
    assert_eq!(decoded, sa);
    assert_eq!(decoded.usable(), Err(Unusable::Transform(unknown)));
    assert!(
        decoded
            .usable()
            .unwrap_err()
            .to_string()
            .starts_with("encryption 999")
    );
    assert_eq!(gcm_tunnel().usable(), Ok(()));
    let mut sa = ipcomp();
    assert_eq!(sa.usable(), Ok(()));
    sa.compression = Some(99);
    assert_eq!(
        (sa.check(), sa.usable()),
        (Ok(()), Err(Unusable::Compression(99)))
    );
    let mut sa = ah();
    sa.integrity = Some(Transform::integrity(999));
    assert_eq!(sa.check(), Ok(()));
    assert!(sa.usable().is_err());
}

#[test]
fn budgets() {
    refused(gcm_tunnel(), |it| it.budget = 0, &too_small("budget", 0, 1));
    let beyond = MAX_BUDGET + 1;
    refused(
        gcm_tunnel(),
        |it| it.budget = beyond,
        &limit("budget", beyond, MAX_BUDGET),
    );
    let mut sa = gcm_tunnel();
    sa.budget = MAX_BUDGET;
    assert_eq!(sa.check(), Ok(()));
}

#[test]
fn lifetimes() {
    type Case = (&'static str, fn(&mut IpsecSa));
    let cases: [Case; 3] = [
        ("seconds", |it| {
            (it.lifetime.soft.seconds, it.lifetime.hard.seconds) = (Some(2), Some(1));
        }),
        ("bytes", |it| {
            (it.lifetime.soft.bytes, it.lifetime.hard.bytes) = (Some(2), Some(1));
        }),
        ("packets", |it| {
            (it.lifetime.soft.packets, it.lifetime.hard.packets) = (Some(2), Some(1));
        }),
    ];
    for (unit, change) in cases {
        let (soft, hard) = (2, 1);
        let why = RecordError::Lifetime(LifetimeError::Order { unit, soft, hard });
        refused(gcm_tunnel(), change, &why);
    }
    let why = RecordError::Lifetime(LifetimeError::Zero { unit: "bytes" });
    refused(gcm_tunnel(), |it| it.lifetime.hard.bytes = Some(0), &why);
}

#[test]
fn names_and_other_attributes() {
    let long = Name::from("x".repeat(256));
    refused(
        gcm_tunnel(),
        |it| it.crypto_map = long.clone(),
        &limit("crypto_map", 256, 255),
    );
    let with = |change: fn(&mut LinuxAttributes)| {
        move |it: &mut IpsecSa| change(it.linux.get_or_insert_default())
    };
    let name = with(|it| it.offload_device = Name::from("x".repeat(256)));
    refused(gcm_tunnel(), name, &limit("offload_device", 256, 255));
    let context = with(|it| it.security_context = vec![1; MAX_SECURITY_CONTEXT + 1].into());
    let (got, allowed) = (MAX_SECURITY_CONTEXT as u64 + 1, MAX_SECURITY_CONTEXT as u64);
    refused(
        gcm_tunnel(),
        context,
        &limit("security_context", got, allowed),
    );
    let icv = with(|it| it.icv_bits = 9);
    contradicts(gcm_tunnel(), icv, "an ICV that is no whole number of bytes");
    let mut sa = gcm_tunnel();
    with(|it| it.security_context = Bytes::from(vec![1; MAX_SECURITY_CONTEXT]))(&mut sa);
    assert_eq!(decode(&encode(&sa)), Ok(sa));
    for (field, nat_t) in [
        ("local_port", NatT::new(0, 1)),
        ("remote_port", NatT::new(1, 0)),
    ] {
        let change = |it: &mut IpsecSa| it.nat_t = Some(Box::new(nat_t));
        refused(gcm_tunnel(), change, &RecordError::Missing { field });
    }
}
