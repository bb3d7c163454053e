//! The codec of [`IkeProgress`].

use ha_core::checkpoint::{DecodeError, Record};

use super::reader::{Field, Fields, Schema};
use super::{check_version, writer as w};
use crate::dpd::DpdState;
use crate::message_id::MessageIds;
use crate::record::{IkeProgress, RecordError};

pub(super) const SCHEMA: Schema = Schema {
    names: &[
        "message_ids",
        "dpd",
        "bytes_in",
        "bytes_out",
        "packets_in",
        "packets_out",
    ],
    repeated: &[],
};

impl Record for IkeProgress {
    fn encode(&self, version: u16, out: &mut Vec<u8>) {
        debug_assert!(check_version(version).is_ok(), "versions are agreed");
        w::message(out, 1, |out| self.message_ids.encode(out));
        w::message(out, 2, |out| self.dpd.encode(out));
        w::uint(out, 3, self.bytes_in);
        w::uint(out, 4, self.bytes_out);
        w::uint(out, 5, self.packets_in);
        w::uint(out, 6, self.packets_out);
        out.extend_from_slice(self.unknown.as_bytes());
    }

    fn decode(version: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
        check_version(version)?;
        let mut progress = Self::default();
        let (mut has_message_ids, mut has_dpd) = (false, false);
        let mut fields = Fields::new(bytes, &SCHEMA);
        while let Some(field) = fields.next()? {
            has_message_ids |= field.number == 1;
            has_dpd |= field.number == 2;
            progress.set(&field)?;
        }
        progress.unknown = fields.unknown()?;
        for (field, there) in [("message_ids", has_message_ids), ("dpd", has_dpd)] {
            if !there {
                return Err(RecordError::Missing { field }.into());
            }
        }
        Ok(progress)
    }

    fn encode_onto(&self, version: u16, kept: &[u8], out: &mut Vec<u8>) {
        self.encode(version, out);
        if self.unknown.is_empty() {
            out.extend_from_slice(super::unknown_of(kept, &SCHEMA).as_bytes());
        }
    }

    fn encoded_len_bound(&self) -> Option<usize> {
        const COUNTERS: usize = 4 * 11;
        const LENGTHS: usize = 2 * 2;
        Some(
            MessageIds::ENCODED_LEN_BOUND
                + DpdState::ENCODED_LEN_BOUND
                + COUNTERS
                + LENGTHS
                + self.unknown.as_bytes().len(),
        )
    }
}

impl IkeProgress {
    fn set(&mut self, field: &Field<'_>) -> Result<(), DecodeError> {
        match field.number {
            1 => self.message_ids = MessageIds::decode(field.message()?)?,
            2 => self.dpd = DpdState::decode(field.message()?)?,
            3 => self.bytes_in = field.uint()?,
            4 => self.bytes_out = field.uint()?,
            5 => self.packets_in = field.uint()?,
            _ => self.packets_out = field.uint()?,
        }
        Ok(())
    }
}
