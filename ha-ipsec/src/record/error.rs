//! What can be wrong with a record.

use ha_core::checkpoint::DecodeError;

use super::Transform;
use crate::dpd::DpdConfigError;
use crate::lifetime::LifetimeError;

/// Why a record, or the bytes of one, was refused. No text holds a byte of a key.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The bytes end within a field, or are no field at all.
    #[error("the record is damaged at its field {field:?}; it was cut off, or is no record")]
    Malformed {
        /// The field, or the one before the damage.
        field: &'static str,
    },
    /// Bytes that this format never writes: each record has exactly one encoding.
    #[error("{field:?} is not in the one form that each record has; the record is damaged")]
    NotCanonical {
        /// The field.
        field: &'static str,
    },
    /// A field that must be there is not.
    #[error("{field:?} is missing; set it before the SA is inserted")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// Too long, too many, or outside of its range.
    #[error("{field:?} is {got}, beyond {allowed}; lower it")]
    Limit {
        /// The field.
        field: &'static str,
        /// Bytes, elements, or the value.
        got: u64,
        /// The most that is allowed.
        allowed: u64,
    },
    /// A field that is too small for what it says.
    #[error("{field:?} is {got}, below {allowed}, which is reserved or useless")]
    TooSmall {
        /// The field.
        field: &'static str,
        /// The value.
        got: u64,
        /// The least that is allowed.
        allowed: u64,
    },
    /// A value that this release does not know, in a field where it must.
    #[error("{field:?} is {value}, which this release does not know; upgrade this unit")]
    UnknownValue {
        /// The field.
        field: &'static str,
        /// Its number on the wire.
        value: u64,
    },
    /// An algorithm with a key of a length that it does not have.
    #[error("{field:?} has {got} bytes where {transform} takes {expected}")]
    KeyLength {
        /// The key.
        field: &'static str,
        /// The algorithm.
        transform: Transform,
        /// Bytes of keying material that it takes, salt included.
        expected: usize,
        /// Bytes that there are.
        got: usize,
    },
    /// Fields that cannot both be right.
    #[error("{what}; correct one of them")]
    Contradiction {
        /// What contradicts what.
        what: &'static str,
    },
    /// A lifetime that makes no sense.
    #[error(transparent)]
    Lifetime(#[from] LifetimeError),
    /// Dead peer detection that is out of its ranges.
    #[error(transparent)]
    Dpd(#[from] DpdConfigError),
    /// A change of what an SA keeps for life.
    #[error("keys, window, policy and budget are fixed for the life of an SA; rekey it instead")]
    Fixed,
}

impl RecordError {
    pub(super) const fn contradiction(what: &'static str) -> Self {
        Self::Contradiction { what }
    }
}

impl From<RecordError> for DecodeError {
    fn from(error: RecordError) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// Why an SA that is kept and replicated must not carry packets on this unit.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// An algorithm is unknown here.
    #[error("{0} is unknown to this release; upgrade this unit before it takes over")]
    Transform(Transform),
    /// An IPComp transform is unknown here.
    #[error(
        "IPComp transform {0} is unknown to this release; upgrade this unit before it takes over"
    )]
    Compression(u16),
}
