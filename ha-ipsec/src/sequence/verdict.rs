//! What callers of the counter are told.

use core::fmt;
use core::ops::RangeInclusive;

/// Which numbers an SA has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum SequenceSpace {
    /// 1 to 2^32 - 1. RFC 4303 §3.3.3: the counter must not cycle.
    Bits32,
    /// Extended sequence numbers (RFC 4303 §2.2.1): 64 bits, of which the low 32 are transmitted.
    Esn,
}

impl SequenceSpace {
    /// The space of an SA with or without ESN.
    pub const fn new(esn: bool) -> Self {
        if esn { Self::Esn } else { Self::Bits32 }
    }

    /// The last number that is handed out.
    ///
    /// With ESN a little less than 2^63, so that no counter here can overflow: at 1000 million
    /// packets per second it is reached after 292 years.
    pub const fn last(self) -> u64 {
        match self {
            Self::Bits32 => u32::MAX as u64,
            Self::Esn => (1 << 63) - 1 - ESN_MARGIN,
        }
    }
}

/// The largest autonomy budget, in numbers; larger ones count as this, on either unit alike.
///
/// A takeover skips up to a budget and a contest up to three, each charged against the space. The
/// bound leaves room for dozens of them in 32 bits, and keeps a jump far below 2^30.
pub const MAX_BUDGET: u64 = 1 << 26;

/// A number that a packet may carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the number is spent"]
pub struct Granted {
    /// The number; its low 32 bits go into the packet.
    pub number: u64,
    /// The low water of the reservation is reached: mark the SA dirty now, so that its next
    /// reservation goes out. Said once for each proposal.
    pub attention: bool,
}

/// Numbers that packets may carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the numbers are spent"]
pub struct GrantedRange {
    /// The first number.
    pub first: u64,
    /// How many, at least 1: those from `first` on.
    pub count: u32,
    /// As in [`Granted::attention`].
    pub attention: bool,
}

impl GrantedRange {
    /// The last number.
    pub const fn last(&self) -> u64 {
        self.first + self.count as u64 - 1
    }

    /// The numbers.
    pub const fn numbers(&self) -> RangeInclusive<u64> {
        self.first..=self.last()
    }
}

/// What an [observation](super::OutboundCounter::observe) of an outside data path shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outside {
    /// By how many numbers it is beyond the highest that was acknowledged.
    pub beyond: u64,
    /// By how many it is behind what was handed out or skipped here: it must be set forward.
    pub behind: u64,
    /// As in [`Granted::attention`].
    pub attention: bool,
}

/// Why a packet gets no number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// This unit is not active, or the SA is deleted or being handed over.
    #[error("closed: this unit is not active for the SA, or the SA is being deleted")]
    Closed,
    /// The standby has not acknowledged the next reservation yet. Mark the SA dirty, as for
    /// [`Granted::attention`], and retry after the next acknowledgement.
    #[error(
        "no reservation: the standby has not acknowledged the next numbers yet, retry after its \
         next acknowledgement"
    )]
    NoReservation,
    /// Isolated, and the autonomy budget is used up.
    #[error(
        "the autonomy budget is used up while no standby can be reached: rekey the SA, or bring \
         the standby back"
    )]
    BudgetExhausted,
    /// All numbers are used up, or skipped.
    #[error("all sequence numbers of the SA are used up: rekey it")]
    SpaceExhausted,
}

/// Why an SA should be rekeyed soon, on account of its numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum RekeyReason {
    /// 15/16 of the number space are used or skipped.
    SpaceLow,
    /// 3/4 of the autonomy budget are used since the last acknowledgement.
    BudgetLow,
    /// The next number lies so far above the last one that was used that the peer's ESN inference
    /// (RFC 4303 appendix A2.2) is at risk: jumps, with no packet in between, near 2^30.
    JumpsLong,
}

impl fmt::Display for RekeyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SpaceLow => "sequence numbers nearly used up",
            Self::BudgetLow => "autonomy budget nearly used up",
            Self::JumpsLong => "too many sequence numbers skipped in a row",
        })
    }
}

/// Numbers beyond the last one that threads may still overshoot to: each once, by what it takes.
const ESN_MARGIN: u64 = 1 << 48;
