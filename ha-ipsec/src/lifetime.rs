//! Lifetimes in seconds, bytes and packets, and what is left of them after a takeover.
//!
//! # How time crosses from unit to unit
//! As an *age*: [`LifetimeState::age_s`] says how old the SA was when the record was sent, as Cisco's
//! "HA last lifetime sent" says how much was left. An age needs no agreement of clocks. What passed
//! since then is added by the receiver, by its own clock ([`Elapsed`]), and is bounded by how long it
//! can have held the record: a wall clock that is off by a year neither expires all SAs at a
//! takeover nor lets them live on.
//!
//! # Why a takeover does not rekey everything at once
//! The soft limits of each SA are lowered by an amount that follows from its id and the unit
//! ([`SpreadKey`]), and an SA whose soft limit lies in the past at a takeover gets a moment of its own
//! within [`Spreading::takeover`]. Both units can compute both; nothing is random, nothing is sent.

mod clock;
mod spread;

pub use clock::{Charge, Elapsed, LifetimeClock, Thresholds};
pub use spread::{SpreadKey, Spreading};

use crate::message_id::{CodecError, Reader, put};

/// Bounds on the life of an SA; `None` is no bound.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Limits {
    /// Seconds since the SA was made.
    pub seconds: Option<u64>,
    /// Bytes protected.
    pub bytes: Option<u64>,
    /// Packets protected.
    pub packets: Option<u64>,
}

/// When an SA is to be replaced (soft) and when it must not be used any more (hard).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Lifetime {
    /// When to begin a rekey.
    pub soft: Limits,
    /// When to delete the SA. So many seconds, bytes and packets may be used, and not one more.
    pub hard: Limits,
}

impl Limits {
    /// No bounds.
    pub const UNLIMITED: Self = Self {
        seconds: None,
        bytes: None,
        packets: None,
    };

    /// Cisco's default for IPsec SAs, `crypto ipsec security-association lifetime`: 4 608 000
    /// kilobytes (of 1024 bytes) and 3600 seconds.
    pub const CISCO_IPSEC: Self = Self {
        seconds: Some(3600),
        bytes: Some(4_608_000 * 1024),
        packets: None,
    };

    fn each(&self, f: impl Fn(u64) -> u64) -> Self {
        Self {
            seconds: self.seconds.map(&f),
            bytes: self.bytes.map(&f),
            packets: self.packets.map(&f),
        }
    }
}

impl Lifetime {
    /// No bounds: a manual SA (Cisco: "Manually established security associations do not expire").
    pub const UNLIMITED: Self = Self {
        soft: Limits::UNLIMITED,
        hard: Limits::UNLIMITED,
    };

    /// Soft limits `percent` (at most 100) below the hard ones.
    pub fn rekey_before(hard: Limits, percent: u8) -> Self {
        let keep = 100 - u128::from(percent.min(100));
        // At most `limit`.
        let soft = hard.each(|limit| (u128::from(limit) * keep / 100) as u64);
        Self { soft, hard }
    }

    /// Checks a lifetime of unknown origin.
    ///
    /// # Errors
    /// If a soft limit lies above its hard limit, or a hard limit is 0.
    pub fn validate(&self) -> Result<(), LifetimeError> {
        let Self { soft, hard } = self;
        check("seconds", soft.seconds, hard.seconds)?;
        check("bytes", soft.bytes, hard.bytes)?;
        check("packets", soft.packets, hard.packets)
    }
}

fn check(unit: &'static str, soft: Option<u64>, hard: Option<u64>) -> Result<(), LifetimeError> {
    match (soft, hard) {
        (_, Some(0)) => Err(LifetimeError::Zero { unit }),
        (Some(soft), Some(hard)) if soft > hard => Err(LifetimeError::Order { unit, soft, hard }),
        _ => Ok(()),
    }
}

/// Why a lifetime makes no sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LifetimeError {
    /// An SA that could never be used.
    #[error("a hard limit of 0 {unit}; leave the limit out, or give the SA some life")]
    Zero {
        /// Seconds, bytes or packets.
        unit: &'static str,
    },
    /// The rekey would begin after the end.
    #[error("the soft limit of {soft} {unit} lies above the hard limit of {hard}; lower it")]
    Order {
        /// Seconds, bytes or packets.
        unit: &'static str,
        /// The soft limit.
        soft: u64,
        /// The hard limit.
        hard: u64,
    },
}

/// How much of a lifetime was used when the record was last sent to the standby ("HA last lifetime
/// sent").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct LifetimeState {
    /// Seconds since the SA was made.
    pub age_s: u64,
    /// Bytes protected.
    pub bytes: u64,
    /// Packets protected.
    pub packets: u64,
}

impl LifetimeState {
    /// An upper bound of the encoded length in bytes.
    pub const ENCODED_LEN_BOUND: usize = 30;

    /// What was left of the hard limits when this was sent: "remaining key lifetime (k/sec)".
    /// Never more than the original.
    pub fn remaining(&self, lifetime: &Lifetime) -> Limits {
        let left = |hard: Option<u64>, used| hard.map(|hard| hard.saturating_sub(used));
        Limits {
            seconds: left(lifetime.hard.seconds, self.age_s),
            bytes: left(lifetime.hard.bytes, self.bytes),
            packets: left(lifetime.hard.packets, self.packets),
        }
    }

    /// Takes over a newer state. Nothing moves backwards, whatever the newer one says: a lifetime
    /// that was used is not given back.
    pub fn advance(&mut self, newer: Self) {
        self.age_s = self.age_s.max(newer.age_s);
        self.bytes = self.bytes.max(newer.bytes);
        self.packets = self.packets.max(newer.packets);
    }

    /// Appends the record: about 10 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.age_s);
        put(out, self.bytes);
        put(out, self.packets);
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// On anything else: each record has one encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let state = Self {
            age_s: reader.u64("age")?,
            bytes: reader.u64("bytes")?,
            packets: reader.u64("packets")?,
        };
        reader.finish()?;
        Ok(state)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
