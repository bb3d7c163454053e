//! What a newer release sent survives a release that does not know it (P8).

use core::fmt::Debug;

use ha_core::checkpoint::Record;
use ha_ipsec::record::{Authentication, IkeProgress, IkeSa, IpsecSa, RecordError, Unknown};

use super::{VERSION, decode, encode, refuse, samples};

/// Field 100 = 1, field 101 = "abc", field 101 again, field 102 of 4 bytes, 103 of 8.
const NEWER: &[u8] =
    b"\xa0\x06\x01\xaa\x06\x03abc\xaa\x06\x00\xb5\x06\0\0\0\x01\xb9\x06\x01\0\0\0\0\0\0\0";

fn with_newer(record: &impl Record) -> Vec<u8> {
    let mut bytes = encode(record);
    bytes.extend_from_slice(NEWER);
    bytes
}

fn survives<R: Record + PartialEq + Debug>(record: &R) -> R {
    let bytes = with_newer(record);
    let decoded: R = decode(&bytes).unwrap();
    assert_ne!(decoded, *record);
    assert_eq!(encode(&decoded), bytes);
    assert!(bytes.len() <= decoded.encoded_len_bound().unwrap());
    decoded
}

#[test]
fn unknown_fields_survive() {
    survives(&samples::full_transport());
    survives(&samples::ikev1());
    survives(&samples::ikev2());
    survives(&samples::progress());
}

#[test]
fn they_survive_a_change() {
    let mut sa = survives(&samples::gcm_tunnel());
    sa.flow_id += 1;
    let mut expected = samples::gcm_tunnel();
    expected.flow_id += 1;
    assert_eq!(encode(&sa), with_newer(&expected));
}

fn onto<R: Record>(record: &R, kept: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    record.encode_onto(VERSION, kept, &mut out);
    out
}

/// A record made anew takes the place of one that a newer release sent.
#[test]
fn they_survive_a_replacement() {
    let kept = with_newer(&samples::gcm_tunnel());
    assert_eq!(onto(&samples::ah(), &kept), with_newer(&samples::ah()));
    let kept = with_newer(&samples::ikev2());
    assert_eq!(
        onto(&samples::ikev1(), &kept),
        with_newer(&samples::ikev1())
    );
    let kept = with_newer(&samples::progress());
    assert_eq!(
        onto(&IkeProgress::default(), &kept),
        with_newer(&IkeProgress::default())
    );
    let decoded: IpsecSa = decode(&with_newer(&samples::ah())).unwrap();
    assert_eq!(
        onto(&decoded, &with_newer(&samples::ah())),
        encode(&decoded)
    );
    assert_eq!(onto(&samples::ah(), b"no record"), encode(&samples::ah()));
}

#[test]
fn what_is_kept_is_limited() {
    const FIELD: &str = "fields of a newer release";
    let with = |len: usize| {
        let mut bytes = encode(&samples::ah());
        bytes.extend_from_slice(&[0xaa, 0x06, (len & 0x7f) as u8 | 0x80, (len >> 7) as u8]);
        bytes.extend(std::iter::repeat_n(7, len));
        bytes
    };
    let most = Unknown::MAX_BYTES - 4;
    assert!(decode::<IpsecSa>(&with(most)).is_ok());
    let (got, allowed) = (most as u64 + 5, most as u64 + 4);
    let field = FIELD;
    refuse::<IpsecSa>(
        &with(most + 1),
        &RecordError::Limit {
            field,
            got,
            allowed,
        },
    );
}

#[test]
fn they_are_in_order_too() {
    let field = "fields of a newer release";
    let mut bytes = encode(&samples::ah());
    let len = bytes.len();
    bytes.extend_from_slice(b"\xa8\x06\x01\xa0\x06\x01");
    refuse::<IpsecSa>(&bytes, &RecordError::NotCanonical { field });
    // A known one behind.
    bytes.truncate(len);
    bytes.extend_from_slice(b"\xa8\x06\x01\x98\x01\x01");
    refuse::<IpsecSa>(&bytes, &RecordError::NotCanonical { field });
}

#[test]
fn a_newer_way_to_authenticate_survives() {
    let mut sa = samples::ikev1();
    sa.authentication = Authentication::Null;
    let (known, newer) = (encode(&sa), b"\x08\x07\x52\x02hi");
    let at = known
        .windows(4)
        .position(|it| it == b"\x7a\x02\x08\x06")
        .unwrap();
    let mut bytes = known[..at].to_vec();
    bytes.extend_from_slice(&[0x7a, newer.len() as u8]);
    bytes.extend_from_slice(newer);
    bytes.extend_from_slice(&known[at + 4..]);
    let decoded: IkeSa = decode(&bytes).unwrap();
    assert!(matches!(decoded.authentication, Authentication::Unknown(_)));
    assert_eq!(decoded.authentication.to_string(), "unknown");
    assert_eq!(encode(&decoded), bytes);
}
