//! No key byte in any text.

use core::fmt::Debug;

use ha_core::checkpoint::Record;
use ha_ipsec::record::{
    Authentication, Certificate, ConfigAttribute, IkeKeys, IkeSa, IkeV1Keys, IkeV2Keys, IpsecSa,
    SaKeys,
};
use ha_ipsec::secret::Secret;

use super::{decode, encode, samples};

/// In decimal 165; nothing else in the samples has it.
const MARKER: u8 = 0xa5;

fn check(it: &impl Debug) {
    for text in [
        format!("{it:?}"),
        format!("{it:#?}"),
        format!("{it:x?}"),
        format!("{it:02X?}"),
    ] {
        for marker in ["165", "a5", "A5", "¥"] {
            assert!(!text.contains(marker), "{marker} in {text}");
        }
    }
}

fn marked(len: usize) -> Secret {
    Secret::from_vec(vec![MARKER; len])
}

fn marked_ipsec() -> IpsecSa {
    let mut sa = samples::full_transport();
    sa.local.clear(); // port 1701 is 0x6a5
    sa.keys.encryption = marked(32);
    sa.keys.integrity = marked(32);
    sa
}

fn marked_ikev2() -> IkeSa {
    let mut keys = IkeV2Keys::default();
    for key in [&mut keys.sk_d, &mut keys.sk_pi, &mut keys.sk_pr] {
        *key = marked(32);
    }
    for key in [&mut keys.sk_ei, &mut keys.sk_er] {
        *key = marked(36);
    }
    let mut sa = samples::ikev2();
    sa.local.set_ip(samples::ip("192.0.2.1"));
    sa.keys = IkeKeys::V2(keys);
    sa
}

fn marked_ikev1() -> IkeSa {
    let mut keys = IkeV1Keys::default();
    [
        keys.skeyid,
        keys.skeyid_d,
        keys.skeyid_a,
        keys.skeyid_e,
        keys.iv,
    ] = core::array::from_fn(|_| marked(20));
    let mut sa = samples::ikev1();
    sa.keys = IkeKeys::V1(keys);
    sa
}

#[test]
fn records_show_no_key() {
    check(&marked(20));
    check(&SaKeys::new(&[MARKER; 20], &[MARKER; 20]));
    check(&marked_ipsec());
    check(&marked_ikev1());
    check(&marked_ikev2());
}

/// A gateway may keep what a client answered to XAUTH.
#[test]
fn attributes_show_addresses_alone() {
    let password = ConfigAttribute::new(28_672, vec![MARKER; 8]);
    check(&password);
    check(&Authentication::Certificate(Box::new(Certificate {
        method: 1,
        sha256: None,
        chain: vec![vec![MARKER; 8].into()],
    })));
    assert_eq!(format!("{password:?}"), "ConfigAttribute(28672, 8 bytes)");
    let address = ConfigAttribute::new(ConfigAttribute::IP4_ADDRESS, vec![10, 1, 2, 3]);
    assert_eq!(format!("{address:?}"), "ConfigAttribute(1, 10.1.2.3)");
}

/// A newer release may put a key where this one knows no field.
#[test]
fn unknown_fields_are_not_shown() {
    let mut bytes = encode(&samples::ah());
    bytes.extend_from_slice(&[0x9a, 0x06, 3, MARKER, MARKER, MARKER]);
    let sa: IpsecSa = decode(&bytes).unwrap();
    assert!(!sa.unknown.is_empty());
    check(&sa);
}

/// Each way of spoiling the bytes gives an error without a key.
fn errors_show_no_key<R: Record + Debug>(record: &R) {
    let bytes = encode(record);
    for n in 0..bytes.len() {
        if let Err(error) = decode::<R>(&bytes[..n]) {
            check(&error);
            check(&format_args!("{error}"));
        }
        let mut spoilt = bytes.clone();
        spoilt[n] ^= 0x40;
        if let Err(error) = decode::<R>(&spoilt) {
            check(&error);
        }
    }
}

#[test]
fn errors_show_no_key_either() {
    errors_show_no_key(&marked_ipsec());
    errors_show_no_key(&marked_ikev1());
    errors_show_no_key(&marked_ikev2());
}
