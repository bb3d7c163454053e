//! Appends fields.

use core::net::IpAddr;

use prost::encoding::{WireType, encode_key, encode_varint};

/// Appends a number; 0 is left out.
pub(super) fn uint(out: &mut Vec<u8>, number: u32, value: impl Into<u64>) {
    let value = value.into();
    if value != 0 {
        some_uint(out, number, Some(value));
    }
}

/// Appends a number that may be absent, or there and 0.
pub(super) fn some_uint(out: &mut Vec<u8>, number: u32, value: Option<impl Into<u64>>) {
    if let Some(value) = value {
        encode_key(number, WireType::Varint, out);
        encode_varint(value.into(), out);
    }
}

/// Appends 4 bytes; 0 is left out.
pub(super) fn fixed32(out: &mut Vec<u8>, number: u32, value: u32) {
    if value != 0 {
        some_fixed32(out, number, Some(value));
    }
}

/// Appends 4 bytes that may be absent, or there and 0.
pub(super) fn some_fixed32(out: &mut Vec<u8>, number: u32, value: Option<u32>) {
    if let Some(value) = value {
        encode_key(number, WireType::ThirtyTwoBit, out);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Appends 8 bytes; 0 is left out.
pub(super) fn fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        some_fixed64(out, number, Some(value));
    }
}

/// Appends 8 bytes that may be absent, or there and 0.
pub(super) fn some_fixed64(out: &mut Vec<u8>, number: u32, value: Option<u64>) {
    if let Some(value) = value {
        encode_key(number, WireType::SixtyFourBit, out);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Appends bytes; none are left out.
pub(super) fn bytes(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    if !value.is_empty() {
        some_bytes(out, number, value);
    }
}

/// Appends bytes, also if there are none.
pub(super) fn some_bytes(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

/// Appends an address as its 4 or 16 bytes.
pub(super) fn address(out: &mut Vec<u8>, number: u32, value: IpAddr) {
    match value {
        IpAddr::V4(value) => bytes(out, number, &value.octets()),
        IpAddr::V6(value) => bytes(out, number, &value.octets()),
    }
}

/// Appends a message. Its length is known only when it is written, so the length is turned round to
/// its front: messages are short.
pub(super) fn message(out: &mut Vec<u8>, number: u32, body: impl FnOnce(&mut Vec<u8>)) {
    encode_key(number, WireType::LengthDelimited, out);
    let from = out.len();
    body(out);
    let end = out.len();
    encode_varint((end - from) as u64, out);
    let length = out.len() - end;
    out[from..].rotate_right(length);
}
