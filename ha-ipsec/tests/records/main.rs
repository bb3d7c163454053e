//! The records of SAs and their encoding, from outside: round trips, bytes that must not change,
//! bad input, and bytes of any kind.

mod golden;
mod samples;

use ha_core::checkpoint::{DecodeError, Record};

/// The version that is written.
pub const VERSION: u16 = 1;

pub fn encode<R: Record>(record: &R) -> Vec<u8> {
    let mut out = Vec::new();
    record.encode(VERSION, &mut out);
    out
}

pub fn decode<R: Record>(bytes: &[u8]) -> Result<R, DecodeError> {
    R::decode(VERSION, bytes)
}
