//! Bytes of version 1. They never change: units of neighbouring releases read each other's.

use ha_core::checkpoint::Record;

use super::{decode, encode, samples};

fn check<R: Record + PartialEq + core::fmt::Debug>(record: R, golden: &str) {
    let bytes = encode(&record);
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(text, golden.split_whitespace().collect::<String>());
    assert_eq!(decode::<R>(&bytes).unwrap(), record);
    assert!(bytes.len() <= record.encoded_len_bound().unwrap());
}

#[test]
fn ipsec_sas() {
    check(samples::gcm_tunnel(), include_str!("golden/gcm_tunnel.hex"));
    check(
        samples::full_transport(),
        include_str!("golden/full_transport.hex"),
    );
    check(samples::ah(), include_str!("golden/ah.hex"));
    check(samples::ipcomp(), include_str!("golden/ipcomp.hex"));
}

#[test]
fn ike_sas() {
    check(samples::ikev2(), include_str!("golden/ikev2.hex"));
    check(samples::ikev1(), include_str!("golden/ikev1.hex"));
}

#[test]
fn ike_progress() {
    check(samples::progress(), include_str!("golden/progress.hex"));
}

/// What bulk sync of a million SAs costs.
#[test]
fn a_common_tunnel_is_small() {
    let len = encode(&samples::gcm_tunnel()).len();
    assert!(len <= 200, "{len} bytes");
}
