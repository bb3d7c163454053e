//! Bytes that are no record, or not in its one form.

use core::fmt::Debug;

use ha_core::checkpoint::{DecodeError, Record};
use ha_ipsec::id::Protocol;
use ha_ipsec::record::{IkeProgress, IkeSa, IpsecSa, RecordError};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use super::{decode, encode, pb, refuse, samples, strategies};

#[test]
fn versions_are_known_ones() {
    let bytes = encode(&samples::ah());
    assert_eq!(IpsecSa::decode(2, &bytes), Err(DecodeError::Version(2)));
    let bytes = encode(&samples::ikev1());
    assert_eq!(IkeSa::decode(0, &bytes), Err(DecodeError::Version(0)));
    let bytes = encode(&samples::progress());
    assert_eq!(IkeProgress::decode(2, &bytes), Err(DecodeError::Version(2)));
}

/// A cut is found, but for one between fields that may be absent.
fn every_cut<R: Record + Debug>(record: &R) {
    let bytes = encode(record);
    let accepted = (0..bytes.len()).filter(|n| match decode::<R>(&bytes[..*n]) {
        Ok(record) => {
            assert_eq!(encode(&record), bytes[..*n]);
            true
        }
        Err(_) => false,
    });
    assert!(accepted.count() < bytes.len() / 4);
}

#[test]
fn cut_records() {
    every_cut(&samples::gcm_tunnel());
    every_cut(&samples::full_transport());
    every_cut(&samples::ikev2());
    every_cut(&samples::ikev1());
    every_cut(&samples::progress());
}

fn spoil(from: &IpsecSa, change: impl FnOnce(&mut pb::IpsecSa)) -> Vec<u8> {
    let mut message = pb::IpsecSa::decode(&encode(from)[..]).unwrap();
    change(&mut message);
    message.encode_to_vec()
}

#[test]
fn missing_fields_of_ipsec_sas() {
    type Case = (&'static str, fn(&mut pb::IpsecSa));
    let cases: [Case; 9] = [
        ("protocol", |it| it.protocol = 0),
        ("destination", |it| it.destination.clear()),
        ("source", |it| it.source.clear()),
        ("direction", |it| it.direction = 0),
        ("mode", |it| it.mode = 0),
        ("window", |it| it.window = 0),
        ("ike_initiator", |it| it.ike_initiator = 0),
        ("encryption", |it| it.encryption = 0),
        ("addresses", |it| it.local[0].addresses.clear()),
    ];
    for (field, change) in cases {
        refuse::<IpsecSa>(
            &spoil(&samples::gcm_tunnel(), change),
            &RecordError::Missing { field },
        );
    }
    let full = samples::full_transport();
    let bytes = spoil(&full, |it| it.pair_spi = 0);
    refuse::<IpsecSa>(&bytes, &RecordError::Missing { field: "pair_spi" });
    let bytes = spoil(&full, |it| it.nat_t = Some(pb::NatT::default()));
    refuse::<IpsecSa>(
        &bytes,
        &RecordError::Missing {
            field: "local_port",
        },
    );
    let bytes = spoil(&full, |it| it.window = 0);
    let what = "extended sequence numbers without an anti-replay window";
    refuse::<IpsecSa>(&bytes, &RecordError::Contradiction { what });
}

#[test]
fn missing_fields_of_ike_sas() {
    type Case = (&'static str, fn(&mut pb::IkeSa));
    let cases: [Case; 13] = [
        ("initiator", |it| it.initiator = 0),
        ("responder", |it| it.responder = 0),
        ("version", |it| it.version = 0),
        ("role", |it| it.role = 0),
        ("state", |it| it.state = 0),
        ("local_address", |it| it.local_address.clear()),
        ("remote_address", |it| it.remote_address.clear()),
        ("local_port", |it| it.local_port = 0),
        ("remote_port", |it| it.remote_port = 0),
        ("encryption", |it| it.encryption = 0),
        ("prf", |it| it.prf = 0),
        ("sk_d", |it| it.sk_d.clear()),
        ("dpd", |it| it.dpd = None),
    ];
    for (field, change) in cases {
        let mut message = pb::IkeSa::decode(&encode(&samples::ikev2())[..]).unwrap();
        change(&mut message);
        refuse::<IkeSa>(&message.encode_to_vec(), &RecordError::Missing { field });
    }
}

#[test]
fn missing_fields_of_progress() {
    for (field, bytes) in [
        ("message_ids", &b""[..]),
        ("dpd", &encode(&samples::progress())[..13]),
    ] {
        refuse::<IkeProgress>(bytes, &RecordError::Missing { field });
    }
}

#[test]
fn values_that_are_not_known() {
    let sa = samples::gcm_tunnel();
    type Case = (&'static str, u64, fn(&mut pb::IpsecSa));
    let cases: [Case; 5] = [
        ("protocol", 17, |it| it.protocol = 17),
        ("direction", 3, |it| it.direction = 3),
        ("mode", 3, |it| it.mode = 3),
        ("policy", 3, |it| it.policy = 3),
        ("isolated", 2, |it| it.isolated = 2),
    ];
    for (field, value, change) in cases {
        refuse::<IpsecSa>(
            &spoil(&sa, change),
            &RecordError::UnknownValue { field, value },
        );
    }
    let mut message = pb::IkeSa::decode(&encode(&samples::ikev1())[..]).unwrap();
    message.state = 11;
    let (field, value) = ("state", 11);
    refuse::<IkeSa>(
        &message.encode_to_vec(),
        &RecordError::UnknownValue { field, value },
    );
}

#[test]
fn sizes_of_numbers_and_addresses() {
    let sa = samples::full_transport();
    let limit = |field, got, allowed| RecordError::Limit {
        field,
        got,
        allowed,
    };
    let malformed = |field| RecordError::Malformed { field };
    let bytes = spoil(&sa, |it| it.path_mtu = Some(0x1_0000));
    refuse::<IpsecSa>(&bytes, &limit("path_mtu", 0x1_0000, 0xffff));
    let bytes = spoil(&sa, |it| it.compression = 0x1_0000);
    refuse::<IpsecSa>(&bytes, &limit("compression", 0x1_0000, 0xffff));
    let bytes = spoil(&sa, |it| it.window = 16_416);
    refuse::<IpsecSa>(&bytes, &limit("window", 16_416, 16_384));
    let bytes = spoil(&sa, |it| it.window = 31);
    let (field, got, allowed) = ("window", 31, 32);
    refuse::<IpsecSa>(
        &bytes,
        &RecordError::TooSmall {
            field,
            got,
            allowed,
        },
    );
    let bytes = spoil(&sa, |it| it.destination.push(0));
    refuse::<IpsecSa>(&bytes, &limit("destination", 17, 16));
    let bytes = spoil(&sa, |it| it.destination.truncate(15));
    refuse::<IpsecSa>(&bytes, &malformed("destination"));
    let bytes = spoil(&sa, |it| it.local[0].addresses.truncate(20));
    refuse::<IpsecSa>(&bytes, &malformed("local"));
    let bytes = spoil(&sa, |it| it.local[0].addresses.push(0));
    refuse::<IpsecSa>(&bytes, &limit("addresses", 33, 32));
    let bytes = spoil(&sa, |it| it.local[0].protocol = 256);
    refuse::<IpsecSa>(&bytes, &limit("protocol", 256, 255));
    let bytes = spoil(&sa, |it| it.encryption_key = vec![1; 257]);
    refuse::<IpsecSa>(&bytes, &limit("encryption_key", 257, 256));
    let bytes = spoil(&sa, |it| it.local = vec![it.local[0].clone(); 129]);
    refuse::<IpsecSa>(&bytes, &limit("local", 129, 128));
    let bytes = spoil(&sa, |it| it.crypto_map = "x".repeat(256));
    refuse::<IpsecSa>(&bytes, &limit("crypto_map", 256, 255));
}

/// Something of the sample's is replaced; each replacement says the same in another form.
#[test]
fn there_is_one_form() {
    let sa = samples::ah();
    let bytes = encode(&sa);
    assert_eq!((bytes[5], bytes[6]), (0x10, Protocol::Ah.number()));
    let not_canonical = |field| RecordError::NotCanonical { field };
    let with = |at: usize, drop: usize, put: &[u8]| {
        let mut bytes = bytes.clone();
        bytes.splice(at..at + drop, put.iter().copied());
        bytes
    };
    // A number in more bytes than it takes, in a value and in a key.
    refuse::<IpsecSa>(&with(6, 1, b"\xb3\x00"), &not_canonical("protocol"));
    refuse::<IpsecSa>(&with(5, 1, b"\x90\x00"), &not_canonical("spi"));
    // A field twice, and out of order.
    refuse::<IpsecSa>(&with(5, 0, b"\x10\x33"), &not_canonical("protocol"));
    refuse::<IpsecSa>(&with(0, 0, b"\x10\x33"), &not_canonical("spi"));
    // What its absence says.
    let mut zero = bytes.clone();
    zero.extend_from_slice(b"\xa8\x02\x00");
    refuse::<IpsecSa>(&zero[..], &not_canonical("vrf"));
    let whole_range = spoil(&samples::gcm_tunnel(), |it| {
        it.local[0].ports = Some(0xffff);
    });
    refuse::<IpsecSa>(&whole_range, &not_canonical("ports"));
    let source = spoil(&samples::gcm_tunnel(), |it| {
        it.pair_destination = it.source.clone();
    });
    refuse::<IpsecSa>(&source, &not_canonical("pair_destination"));
    let window = spoil(&sa, |it| it.window = 33);
    refuse::<IpsecSa>(&window, &not_canonical("window"));
}

#[test]
fn fields_of_another_type() {
    let malformed = |field| RecordError::Malformed { field };
    // The SPI as a number, the protocol as bytes, a group, field 0.
    refuse::<IpsecSa>(b"\x08\x01", &malformed("spi"));
    refuse::<IpsecSa>(b"\x12\x01a", &malformed("protocol"));
    refuse::<IpsecSa>(b"\x13\x14", &malformed("protocol"));
    refuse::<IpsecSa>(b"\x00\x00", &malformed("spi"));
    refuse::<IpsecSa>(b"\x1a\xff\xff\xff\xff\x0f", &malformed("destination"));
    let text = spoil(&samples::ah(), |it| it.crypto_map = "x".into());
    let mut text = text;
    *text.last_mut().unwrap() = 0xff;
    refuse::<IpsecSa>(&text, &malformed("crypto_map"));
}

/// A message within a record grows with the version only.
#[test]
fn unknown_fields_within_messages() {
    let mut bytes = encode(&samples::ikev1());
    let at = bytes.windows(2).position(|it| it == b"\xea\x02").unwrap();
    bytes[at + 2] += 2;
    let end = at + 3 + usize::from(bytes[at + 2]) - 2;
    bytes.splice(end..end, [0x50, 1]);
    refuse::<IkeSa>(&bytes, &RecordError::Malformed { field: "retries" });
}

/// Whatever is accepted is written again as it was: so nothing slips through that the other unit
/// would see differently.
fn accepts_one_form<R: Record>(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(record) = decode::<R>(bytes) {
        prop_assert_eq!(encode(&record), bytes);
        prop_assert!(bytes.len() <= record.encoded_len_bound().unwrap());
    }
    Ok(())
}

/// Bytes with a few changes: flipped, dropped, inserted, doubled.
fn mutate(bytes: &mut Vec<u8>, changes: &[(u16, u8, u8)]) {
    for (place, kind, value) in changes {
        if bytes.is_empty() {
            return;
        }
        let at = usize::from(*place) % bytes.len();
        match kind % 5 {
            0 => bytes[at] ^= 1 << (value % 8),
            1 => bytes[at] = *value,
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, *value),
            _ => {
                let end = (at + usize::from(*value)).min(bytes.len());
                bytes.extend_from_within(at..end);
            }
        }
    }
}

fn changes() -> impl Strategy<Value = Vec<(u16, u8, u8)>> {
    vec(any::<(u16, u8, u8)>(), 1..4)
}

proptest! {
    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..300)) {
        accepts_one_form::<IpsecSa>(&bytes)?;
        accepts_one_form::<IkeSa>(&bytes)?;
        accepts_one_form::<IkeProgress>(&bytes)?;
    }

    #[test]
    fn spoilt_ipsec_sas(sa in strategies::ipsec_sa(), changes in changes()) {
        let mut bytes = encode(&sa);
        mutate(&mut bytes, &changes);
        accepts_one_form::<IpsecSa>(&bytes)?;
    }

    #[test]
    fn spoilt_ike_sas(sa in strategies::ike_sa(), changes in changes()) {
        let mut bytes = encode(&sa);
        mutate(&mut bytes, &changes);
        accepts_one_form::<IkeSa>(&bytes)?;
    }

    #[test]
    fn spoilt_progress(progress in strategies::progress(), changes in changes()) {
        let mut bytes = encode(&progress);
        mutate(&mut bytes, &changes);
        accepts_one_form::<IkeProgress>(&bytes)?;
    }
}
