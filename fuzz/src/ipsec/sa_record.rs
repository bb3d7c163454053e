//! Any bytes as a record of an SA, or as the name of one. What decodes is a record that
//! could have been inserted here (`check`), encodes to the same bytes again, also on top of what was
//! received (promise P8), within the length that it claims; and neither its `Debug` nor the text of an
//! error depends on a byte of a key.

use core::fmt::Debug;

use ha_core::checkpoint::{DecodeError, Record};
use ha_ipsec::id::{IkeId, SaId};
use ha_ipsec::record::{IkeKeys, IkeProgress, IkeSa, IpsecSa, VERSIONS};
use ha_ipsec::secret::Secret;

/// One input: what to decode, then its bytes.
pub fn run(bytes: &[u8]) {
    decodes(bytes);
}

/// Whether an input is a record.
pub fn decodes(bytes: &[u8]) -> bool {
    let Some((kind, bytes)) = bytes.split_first() else {
        return false;
    };
    match kind % 5 {
        IPSEC_SA => round_trip(bytes)
            .as_ref()
            .inspect(|sa| check_sa(sa))
            .is_some(),
        IKE_SA => round_trip(bytes)
            .as_ref()
            .inspect(|sa| check_ike(sa))
            .is_some(),
        IKE_PROGRESS => round_trip::<IkeProgress>(bytes).is_some(),
        SA_ID => round_trip::<SaId>(bytes).is_some(),
        _ => round_trip::<IkeId>(bytes).is_some(),
    }
}

const IPSEC_SA: u8 = 0;
const IKE_SA: u8 = 1;
const IKE_PROGRESS: u8 = 2;
const SA_ID: u8 = 3;
const IKE_ID: u8 = 4;

fn round_trip<R: Record + PartialEq + Debug>(bytes: &[u8]) -> Option<R> {
    let version = *VERSIONS.end();
    let record = match R::decode(version, bytes) {
        Ok(record) => record,
        Err(error) => {
            assert!(!matches!(error, DecodeError::Version(_)), "{error}");
            return None;
        }
    };
    let mut again = Vec::new();
    record.encode(version, &mut again);
    assert_eq!(again, bytes, "two encodings of {record:?}");
    let bound = record.encoded_len_bound().expect("cheap to tell");
    assert!(bytes.len() <= bound, "{} of {bound} bytes", bytes.len());
    again.clear();
    record.encode_onto(version, bytes, &mut again);
    assert_eq!(again, bytes, "on top of itself: {record:?}");
    assert_eq!(R::decode(version, &again).as_ref(), Ok(&record));
    Some(record)
}

fn check_sa(sa: &IpsecSa) {
    assert_eq!(sa.check(), Ok(()), "decoded, but not to be inserted");
    // Whatever they say, they do not panic.
    let _ = (sa.usable(), sa.heap_bytes());
    shows_no_key(sa, with_other_keys(sa));
}

fn check_ike(sa: &IkeSa) {
    assert_eq!(sa.check(), Ok(()), "decoded, but not to be inserted");
    let _ = (sa.usable(), sa.heap_bytes());
    shows_no_key(sa, with_other_ike_keys(sa));
}

fn shows_no_key(record: &impl Debug, other: impl Debug) {
    assert_eq!(format!("{record:?}"), format!("{other:?}"), "shows a key");
    assert_eq!(format!("{record:#x?}"), format!("{other:#x?}"));
}

fn with_other_keys(sa: &IpsecSa) -> IpsecSa {
    let mut other = sa.clone();
    change(&mut other.keys.encryption);
    change(&mut other.keys.integrity);
    other
}

fn with_other_ike_keys(sa: &IkeSa) -> IkeSa {
    let mut other = sa.clone();
    match &mut other.keys {
        IkeKeys::V1(keys) => {
            change(&mut keys.skeyid);
            change(&mut keys.skeyid_d);
            change(&mut keys.skeyid_a);
            change(&mut keys.skeyid_e);
            change(&mut keys.iv);
        }
        IkeKeys::V2(keys) => {
            change(&mut keys.sk_d);
            change(&mut keys.sk_ai);
            change(&mut keys.sk_ar);
            change(&mut keys.sk_ei);
            change(&mut keys.sk_er);
            change(&mut keys.sk_pi);
            change(&mut keys.sk_pr);
        }
    }
    other
}

/// Each byte becomes another one.
fn change(key: &mut Secret) {
    let other: Vec<u8> = key.expose().iter().map(|byte| byte ^ 0x5a).collect();
    *key = Secret::from_vec(other);
}

/// The records whose bytes must not change, and two names.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let golden = |name, kind: u8, hex: &str| (name, [&[kind][..], &bytes_of(hex)].concat());
    macro_rules! golden {
        ($name:literal, $kind:expr) => {
            golden(
                $name,
                $kind,
                include_str!(concat!(
                    "../../../ha-ipsec/tests/records/golden/",
                    $name,
                    ".hex"
                )),
            )
        };
    }
    vec![
        golden!("gcm_tunnel", IPSEC_SA),
        golden!("full_transport", IPSEC_SA),
        golden!("ah", IPSEC_SA),
        golden!("ipcomp", IPSEC_SA),
        golden!("ikev1", IKE_SA),
        golden!("ikev2", IKE_SA),
        golden!("progress", IKE_PROGRESS),
        golden("sa_id", SA_ID, "000101f1 32 c0000201"),
        golden(
            "sa_id_v6",
            SA_ID,
            "000101f1 33 20010db8000000000000000000000001",
        ),
        golden("ike_id", IKE_ID, "0123456789abcdef fedcba9876543210"),
    ]
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}
