//! The records of SAs and their encoding, from outside: round trips, bytes that must not change,
//! bad input, and bytes of any kind.

mod bad_bytes;
mod bad_ike;
mod bad_ipsec;
mod debug;
mod golden;
mod round_trip;
mod samples;
mod strategies;
mod unknown;

#[allow(clippy::all, unreachable_pub, reason = "generated from proto/ipsec.proto")]
#[rustfmt::skip]
#[path = "../../src/record/generated.rs"]
mod pb;

use ha_core::checkpoint::{DecodeError, Record};
use ha_ipsec::record::RecordError;

/// The version that is written.
const VERSION: u16 = 1;

fn encode<R: Record>(record: &R) -> Vec<u8> {
    let mut out = Vec::new();
    record.encode(VERSION, &mut out);
    out
}

fn decode<R: Record>(bytes: &[u8]) -> Result<R, DecodeError> {
    R::decode(VERSION, bytes)
}

/// Decoding must refuse this, and say why.
#[track_caller]
fn refuse<R: Record + core::fmt::Debug>(bytes: &[u8], why: &RecordError) {
    let error = decode::<R>(bytes).unwrap_err();
    assert_eq!(error, DecodeError::Invalid(why.to_string()));
}
