//! SAs whose packets pass by: the data path is a kernel, which counts by itself and only tells how
//! far it got.

#[cfg(all(feature = "linux", target_os = "linux"))]
use super::Sad;
use super::path::{InboundSa, OutboundSa, SaCounters};
pub use crate::counters::Begin;
use crate::lifetime::Charge;
#[cfg(all(feature = "linux", target_os = "linux"))]
use crate::record::IpsecSa;
use crate::replay::WindowImage;
use crate::sequence::{MAX_BUDGET, SequenceSpace};

/// What an observation of an outside data path shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Observed {
    /// Outbound: by how many numbers the path is beyond the acknowledged reservation. Inbound: how
    /// many new packets it accepted above the acknowledged ceiling.
    pub overrun: u64,
    /// Outbound: by how many of them it is beyond the budget too. A unit that takes over could use
    /// these numbers again.
    pub beyond_budget: u64,
    /// By how many numbers the path is behind what this unit, or another one, has used: set it forward
    /// to [`OutboundSa::resume_after`], or [`InboundSa::window_image`].
    pub behind: u64,
}

#[cfg(all(feature = "linux", target_os = "linux"))]
impl Sad {
    /// Whether an SA's counters are as they arrived from the unit that was active before.
    pub(crate) fn is_dormant(&self, sa: &IpsecSa) -> bool {
        self.inner.counters.is_dormant(sa.instance)
    }
}

impl OutboundSa {
    /// The outside path has used all numbers up to `highest`.
    pub fn observe(&self, highest: u64) -> Observed {
        let outside = self.live.observe(highest);
        Observed {
            overrun: outside.beyond,
            beyond_budget: outside.beyond.saturating_sub(self.live.counter.budget()),
            behind: outside.behind,
        }
    }

    /// The last number that may have been used, by whatever unit: what an outside path is to be set
    /// to.
    pub fn resume_after(&self) -> u64 {
        self.live.counter.resume_after()
    }

    /// The outside path has carried so many bytes in all.
    pub fn observe_bytes(&self, total: u64) -> Charge {
        let bytes = self.live.raise(total);
        self.judged(bytes)
    }
}

impl InboundSa {
    /// The outside window has accepted numbers up to `top`; `seen` tells which of them.
    pub fn observe(&self, top: u64, seen: impl Fn(u64) -> bool) -> Observed {
        let outside = self.live.observe(top, seen);
        Observed {
            overrun: outside.above,
            beyond_budget: 0,
            behind: outside.behind,
        }
    }

    /// What an outside window is to be set to: everything that may have been accepted, by whatever
    /// unit.
    pub fn window_image(&self) -> WindowImage {
        self.live.window.current()
    }

    /// The outside path has carried so many bytes in all.
    pub fn observe_bytes(&self, total: u64) -> Charge {
        let bytes = self.live.raise(total);
        self.judged(bytes)
    }
}

impl SaCounters {
    /// The number that an outbound SA with this budget goes on after, should this unit take over now;
    /// `None` for an inbound one.
    pub fn resume_after(&self, esn: bool, budget: u64) -> Option<u64> {
        match self {
            Self::Outbound { reserved, .. } => {
                let skipped = reserved.saturating_add(budget.min(MAX_BUDGET));
                Some(skipped.min(SequenceSpace::new(esn).last()))
            }
            Self::Inbound { .. } => None,
        }
    }

    /// The window of an inbound SA, should this unit take over now; `None` for an outbound one.
    pub const fn image(&self) -> Option<&WindowImage> {
        match self {
            Self::Outbound { .. } => None,
            Self::Inbound { image, .. } => Some(image),
        }
    }
}
