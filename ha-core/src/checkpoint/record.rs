//! How keys and values of a [`StateTable`](super::StateTable) become bytes.

use core::str::Utf8Error;
use std::sync::Arc;

use bytes::Bytes;

/// A key or a value that is replicated: a type and its codec.
///
/// The version is the one that both units agreed on, within the range that the table was built
/// with: write what a unit of that version can read, and read what it writes.
pub trait Record: Sized + Send + Sync + 'static {
    /// Appends the encoding to `out`. It is canonical: the same bytes for equal records, also after
    /// decoding (no iteration over a `HashMap`). Both units hash them and compare the sums; a
    /// standby takes other bytes for damage.
    fn encode(&self, version: u16, out: &mut Vec<u8>);

    /// Reads what [`encode`](Self::encode) of the same version wrote. The bytes may come from a
    /// newer peer: fields that are unknown here should be skipped.
    ///
    /// # Errors
    /// On anything else. Must not panic, nor allocate more than in proportion to `bytes`.
    fn decode(version: u16, bytes: &[u8]) -> Result<Self, DecodeError>;

    /// Encodes a changed value on top of the bytes that a newer peer once sent for it (`kept`), so
    /// that fields unknown here survive (promise P8). By default they do not.
    fn encode_onto(&self, version: u16, kept: &[u8], out: &mut Vec<u8>) {
        let _ = kept;
        self.encode(version, out);
    }

    /// An upper bound of the encoded length in bytes at any version, if it is cheap to tell. With
    /// `None` each write encodes once more, into a scratch buffer, to check the length.
    fn encoded_len_bound(&self) -> Option<usize> {
        None
    }
}

/// Why bytes are not a record.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The number of bytes is wrong.
    #[error("{got} bytes where {expected} are due")]
    Length {
        /// How many bytes the record takes.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// A text that is not UTF-8.
    #[error("not UTF-8: {0}")]
    Utf8(#[from] Utf8Error),
    /// A version that the codec does not know.
    #[error("version {0} of the format is unknown here; upgrade this unit, or narrow the versions")]
    Version(u16),
    /// A reason of the codec's own.
    #[error("{0}")]
    Invalid(String),
}

impl Record for () {
    fn encode(&self, _version: u16, _out: &mut Vec<u8>) {}

    fn decode(_version: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
        exactly::<0>(bytes).map(|_| ())
    }

    fn encoded_len_bound(&self) -> Option<usize> {
        Some(0)
    }
}

impl<const N: usize> Record for [u8; N] {
    fn encode(&self, _version: u16, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(_version: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
        exactly(bytes)
    }

    fn encoded_len_bound(&self) -> Option<usize> {
        Some(N)
    }
}

impl Record for Vec<u8> {
    fn encode(&self, _version: u16, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(_version: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(bytes.to_vec())
    }

    fn encoded_len_bound(&self) -> Option<usize> {
        Some(self.len())
    }
}

impl Record for Bytes {
    fn encode(&self, _version: u16, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(_version: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self::copy_from_slice(bytes))
    }

    fn encoded_len_bound(&self) -> Option<usize> {
        Some(self.len())
    }
}

impl Record for String {
    fn encode(&self, _version: u16, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn decode(_version: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(core::str::from_utf8(bytes)?.to_owned())
    }

    fn encoded_len_bound(&self) -> Option<usize> {
        Some(self.len())
    }
}

/// For values that readers keep while the table goes on.
impl<T: Record> Record for Arc<T> {
    fn encode(&self, version: u16, out: &mut Vec<u8>) {
        T::encode(self, version, out);
    }

    fn decode(version: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
        T::decode(version, bytes).map(Self::new)
    }

    fn encode_onto(&self, version: u16, kept: &[u8], out: &mut Vec<u8>) {
        T::encode_onto(self, version, kept, out);
    }

    fn encoded_len_bound(&self) -> Option<usize> {
        T::encoded_len_bound(self)
    }
}

/// Numbers are in network byte order.
macro_rules! number {
    ($($number:ty),*) => {$(
        impl Record for $number {
            fn encode(&self, _version: u16, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }

            fn decode(_version: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
                exactly(bytes).map(Self::from_be_bytes)
            }

            fn encoded_len_bound(&self) -> Option<usize> {
                Some(size_of::<Self>())
            }
        }
    )*};
}

number!(u8, u16, u32, u64);

fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N], DecodeError> {
    bytes.try_into().map_err(|_| DecodeError::Length {
        expected: N,
        got: bytes.len(),
    })
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    fn round_trip<R: Record + PartialEq + core::fmt::Debug>(record: R, bytes: &[u8]) {
        let mut out = vec![];
        record.encode(1, &mut out);
        assert_eq!(out, bytes);
        assert!(record.encoded_len_bound().unwrap() >= out.len());
        assert_eq!(R::decode(1, bytes).unwrap(), record);
    }

    #[test]
    fn round_trips() {
        round_trip((), b"");
        round_trip(7u8, b"\x07");
        round_trip(0x0102u16, b"\x01\x02");
        round_trip(1u32, b"\0\0\0\x01");
        round_trip(1u64, b"\0\0\0\0\0\0\0\x01");
        round_trip(*b"abc", b"abc");
        round_trip(b"abc".to_vec(), b"abc");
        round_trip(Bytes::from_static(b"abc"), b"abc");
        round_trip("häb".to_owned(), "häb".as_bytes());
    }

    #[test]
    fn refuses_what_is_not_a_record() {
        assert_eq!(
            u32::decode(1, b"abc"),
            Err(DecodeError::Length {
                expected: 4,
                got: 3
            })
        );
        assert!(matches!(
            <()>::decode(1, b"a"),
            Err(DecodeError::Length { .. })
        ));
        assert!(matches!(
            <[u8; 2]>::decode(1, b"abc"),
            Err(DecodeError::Length { .. })
        ));
        assert!(matches!(
            String::decode(1, b"\xff"),
            Err(DecodeError::Utf8(_))
        ));
    }
}
