//! The compact codec of small replicated records: LEB128 varints, one encoding per value.

use ha_core::checkpoint::DecodeError;

/// Why bytes are not the record they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes end within the record.
    #[error("the record ends within its field {field:?}; it was cut off on the way")]
    Truncated {
        /// The field that is not complete.
        field: &'static str,
    },
    /// A number that is longer than it needs to be, or does not fit its field.
    #[error("the field {field:?} is no canonical number; the record is damaged")]
    NotCanonical {
        /// The field.
        field: &'static str,
    },
    /// A value that no unit writes.
    #[error("the field {field:?} contradicts the rest of the record; the record is damaged")]
    Contradiction {
        /// The field.
        field: &'static str,
    },
    /// Bytes after the record. It grows by the version of the record that embeds it, not by a tail.
    #[error("{bytes} bytes follow the record; both units must agree on its version")]
    Trailing {
        /// How many.
        bytes: usize,
    },
}

impl From<CodecError> for DecodeError {
    fn from(error: CodecError) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// Appends `value` in as few bytes as it takes.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a number that may be missing.
pub(crate) fn put_optional(out: &mut Vec<u8>, value: Option<u32>) {
    put(out, value.map_or(0, |value| u64::from(value) + 1));
}

/// Reads what [`put`] wrote.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, CodecError> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let (&byte, rest) = self
                .0
                .split_first()
                .ok_or(CodecError::Truncated { field })?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            let (last, padded) = (byte & 0x80 == 0, byte == 0 && shift > 0);
            if padded || (shift == 63 && byte > 1) {
                break;
            }
            value |= bits << shift;
            if last {
                return Ok(value);
            }
        }
        Err(CodecError::NotCanonical { field })
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, CodecError> {
        u32::try_from(self.u64(field)?).map_err(|_| CodecError::NotCanonical { field })
    }

    pub(crate) fn bytes<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<[u8; N], CodecError> {
        let (bytes, rest) = self
            .0
            .split_first_chunk()
            .ok_or(CodecError::Truncated { field })?;
        self.0 = rest;
        Ok(*bytes)
    }

    /// A number plus one, or 0 for `None`, as [`put_optional`] writes it.
    pub(crate) fn optional_u32(&mut self, field: &'static str) -> Result<Option<u32>, CodecError> {
        let number = self.u64(field)?.checked_sub(1).map(u32::try_from);
        number
            .transpose()
            .map_err(|_| CodecError::NotCanonical { field })
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, CodecError> {
        u16::try_from(self.u64(field)?).map_err(|_| CodecError::NotCanonical { field })
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, CodecError> {
        u8::try_from(self.u64(field)?).map_err(|_| CodecError::NotCanonical { field })
    }

    pub(crate) const fn finish(self) -> Result<(), CodecError> {
        match self.0.len() {
            0 => Ok(()),
            bytes => Err(CodecError::Trailing { bytes }),
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FIELD: &str = "it";

    proptest! {
        #[test]
        fn round_trips(value in any::<u64>(), shift in 0u32..64) {
            let value = value >> shift;
            let mut out = vec![];
            put(&mut out, value);
            prop_assert_eq!(out.len(), (64 - value.leading_zeros() as usize).div_ceil(7).max(1));
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.u64(FIELD), Ok(value));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn any_bytes_that_are_read_are_what_is_written(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.u64(FIELD) {
                let mut out = vec![];
                put(&mut out, value);
                prop_assert_eq!(&out[..], &bytes[..out.len()]);
            }
        }
    }

    #[test]
    fn refuses_what_is_not_canonical() {
        let not_canonical = Err(CodecError::NotCanonical { field: FIELD });
        assert_eq!(Reader::new(&[0x80, 0]).u64(FIELD), not_canonical);
        let mut beyond = vec![0xff; 9];
        beyond.push(2);
        assert_eq!(Reader::new(&beyond).u64(FIELD), not_canonical);
        assert_eq!(Reader::new(&[0x80; 11]).u64(FIELD), not_canonical);
        let mut wide = vec![];
        put(&mut wide, 1 << 32);
        assert_eq!(
            Reader::new(&wide).u32(FIELD),
            Err(CodecError::NotCanonical { field: FIELD })
        );
        assert_eq!(
            Reader::new(&[0x80]).u64(FIELD),
            Err(CodecError::Truncated { field: FIELD })
        );
        assert_eq!(
            Reader::new(&[1]).finish(),
            Err(CodecError::Trailing { bytes: 1 })
        );
    }
}
