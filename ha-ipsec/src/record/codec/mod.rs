//! From records to bytes and back.
//!
//! The format is that of `proto/ipsec.proto`: any protobuf library can read a record. What is
//! written and read here is stricter, so that equal records have equal bytes: fields in ascending
//! order, none twice, numbers in as few bytes as they take, and no field that says what its absence
//! says. Fields with numbers above the highest known one are a newer release's: they are kept as
//! they came and written behind the known ones.
//!
//! It is written by hand, over the primitives of prost, and not through generated structures,
//! because those would hold copies of the keys that nobody overwrites, allocate lists before their
//! length is checked, and drop unknown fields. Tests compare it with the generated code.
//!
//! Keys are copied once, from the input into their [`Secret`](crate::secret::Secret), and once from
//! there to the output, whose room is reserved before the first key is written. The buffers
//! themselves belong to the caller.

mod ike;
mod ipsec;
mod outline;
mod parts;
mod progress;
mod reader;
mod writer;

pub(crate) use outline::Outline;
pub(super) use reader::limit;

use ha_core::checkpoint::DecodeError;

/// The versions of the format that can be written and read.
pub const VERSIONS: core::ops::RangeInclusive<u16> = 1..=1;

/// The versions differ in nothing yet.
fn check_version(version: u16) -> Result<(), DecodeError> {
    if VERSIONS.contains(&version) {
        Ok(())
    } else {
        Err(DecodeError::Version(version))
    }
}

/// The fields of a newer release in bytes that were decoded before.
fn unknown_of(kept: &[u8], schema: &'static reader::Schema) -> super::Unknown {
    let mut fields = reader::Fields::new(kept, schema);
    while let Ok(Some(_)) = fields.next() {}
    fields.unknown().unwrap_or_default()
}

#[cfg(all(test, not(loom)))]
mod tests;
