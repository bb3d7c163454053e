//! How far the peer is asked to move its replay counters.

/// The data of `IPSEC_REPLAY_COUNTER_SYNC`: by how much the peer raises the counter of each child SA
/// that it sends on.
///
/// RFC 6311 §6.4: "if the ESN bit is 1, the field's size is 8 octets; otherwise, it is 4 octets".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ReplayDelta {
    /// No child SA uses extended sequence numbers.
    Bits32(u32),
    /// All child SAs use them.
    Esn(u64),
}

impl ReplayDelta {
    /// The amount.
    pub const fn value(self) -> u64 {
        match self {
            Self::Bits32(delta) => delta as u64,
            Self::Esn(delta) => delta,
        }
    }

    /// Whether so large a jump should be followed by a rekey: RFC 6311 §5.2, of a delta of 2^30: "a
    /// rekey SHOULD follow shortly afterwards, to ensure that the counter never wraps around". With
    /// extended numbers there is room for 2^34 such jumps.
    pub const fn wants_rekey(self) -> bool {
        matches!(self, Self::Bits32(delta) if delta >= REKEY_FROM)
    }

    pub(super) fn decode(data: &[u8]) -> Option<Self> {
        if let Ok(delta) = data.try_into() {
            return Some(Self::Bits32(u32::from_be_bytes(delta)));
        }
        let delta = data.try_into().ok()?;
        Some(Self::Esn(u64::from_be_bytes(delta)))
    }
}

/// Which sequence numbers the child SAs of one IKE SA use.
///
/// RFC 6311 §6.4: "this solution requires that either all Child SAs use Extended Sequence Numbers
/// (ESNs) or else that no Child SA uses ESNs".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ChildNumbers {
    /// There is no child SA.
    #[default]
    None,
    /// All 32 bits.
    Bits32,
    /// All extended.
    Esn,
    /// Some of each: their counters cannot be synchronized.
    Mixed,
}

impl ChildNumbers {
    /// Of the ESN bits of all child SAs.
    pub fn of(esn: impl IntoIterator<Item = bool>) -> Self {
        esn.into_iter().fold(Self::None, Self::and)
    }

    const fn and(self, esn: bool) -> Self {
        match (self, esn) {
            (Self::None | Self::Bits32, false) => Self::Bits32,
            (Self::None | Self::Esn, true) => Self::Esn,
            (Self::Bits32, true) | (Self::Esn, false) | (Self::Mixed, _) => Self::Mixed,
        }
    }

    /// Whether a delta of this width can be applied to them.
    pub const fn fits(self, delta: ReplayDelta) -> bool {
        matches!(
            (self, delta),
            (Self::None, _)
                | (Self::Bits32, ReplayDelta::Bits32(_))
                | (Self::Esn, ReplayDelta::Esn(_))
        )
    }
}

/// Where the inbound window of one child SA stands at a takeover.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct InboundCounters {
    /// Whether the SA uses extended sequence numbers.
    pub esn: bool,
    /// The highest number known to have been received: the peer has sent at least this one.
    pub top: u64,
    /// The highest number that counts as received on this unit: nothing up to it is accepted.
    pub floor: u64,
}

/// How far to ask the peer to move so that its next packet on *every* child SA lies above the floor.
/// `None` if it is there already, or there is no child SA.
///
/// The peer's counter is at least `top`, so after a jump of `floor - top` its next number is above
/// the floor; one amount must do for all (RFC 6311 §6.4: "all replay counters for Child SAs of this
/// IKE SA are incremented by the same value"), so it is the largest of these, and `margin` on top
/// for numbers that an isolated former active accepted above the ceiling.
///
/// # Errors
/// If the child SAs are [`Mixed`](ChildNumbers::Mixed), or the jump is not safe: beyond 2^30 a
/// receiver can take an extended number for one of the epoch before (RFC 4303 §A2.2), and a 32-bit
/// counter must not come near its end.
pub fn replay_delta(
    children: impl IntoIterator<Item = InboundCounters>,
    margin: u32,
) -> Result<Option<ReplayDelta>, DeltaError> {
    let mut numbers = ChildNumbers::None;
    let (mut gap, mut top) = (0, 0);
    for child in children {
        numbers = numbers.and(child.esn);
        gap = gap.max(child.floor.saturating_sub(child.top));
        top = top.max(child.top.max(child.floor));
    }
    if gap == 0 {
        return match numbers {
            ChildNumbers::Mixed => Err(DeltaError::Mixed),
            _ => Ok(None),
        };
    }
    let delta = gap.saturating_add(margin.into());
    if delta > MAX_DELTA {
        return Err(DeltaError::TooFar { delta });
    }
    match numbers {
        ChildNumbers::None => Ok(None),
        ChildNumbers::Mixed => Err(DeltaError::Mixed),
        ChildNumbers::Esn => Ok(Some(ReplayDelta::Esn(delta))),
        ChildNumbers::Bits32 if top.saturating_add(delta) > HIGHEST_BITS32 => {
            Err(DeltaError::NumberSpace { top, delta })
        }
        // At most MAX_DELTA.
        ChildNumbers::Bits32 => Ok(Some(ReplayDelta::Bits32(delta as u32))),
    }
}

/// Why the peer cannot be asked to move its counters. Rekey the child SAs instead (RFC 6027 §3.5:
/// "Another possible solution to the inbound IPsec SA problem is to rekey all child SAs").
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// Some child SAs use extended sequence numbers and some do not.
    #[error("some child SAs use ESN and some do not, which RFC 6311 cannot express; rekey them")]
    Mixed,
    /// The jump is larger than 2^30.
    #[error("the counters would have to move by {delta}, above 2^30; rekey the child SAs")]
    TooFar {
        /// The jump.
        delta: u64,
    },
    /// A 32-bit counter would come too near to its end.
    #[error("a 32-bit counter at {top} cannot move by {delta}; rekey the child SA")]
    NumberSpace {
        /// The highest counter among the child SAs.
        top: u64,
        /// The jump.
        delta: u64,
    },
}

/// RFC 6311 §5.2 names 2^30 as "a very large number".
const MAX_DELTA: u64 = 1 << 30;
const REKEY_FROM: u32 = 1 << 30;
/// Leaves 2^28 numbers for the time that a rekey takes.
const HIGHEST_BITS32: u64 = u32::MAX as u64 - (1 << 28);
