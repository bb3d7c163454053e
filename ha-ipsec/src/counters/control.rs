//! Counters in use: what the control path holds.

use std::sync::{Arc, OnceLock};

use ha_core::id::Slot;
use ha_core::time::Time;

use super::client::Value;
use super::key::Shape;
use super::live::{Charged, Core, InboundLive, Live, OutboundLive};
use super::state::Sizes;
use super::still::Still;
use crate::replay::{CeilingSizer, InboundWindow};
use crate::sequence::{LeadSizer, OutboundCounter, Proposal};

/// What the control path keeps of a counter in use.
#[derive(Debug)]
pub(crate) struct Control {
    pub(super) live: Live,
    pub(super) sizer: Sizer,
    /// The contests that it has heard of.
    pub(super) contests: u32,
    /// Whether its record has left this unit since it became active.
    pub(super) exposed: bool,
    /// What the standby was told of bytes: "HA last lifetime sent".
    pub(super) sent_kib: u64,
    /// Whether it is among the open ones, and its top then.
    pub(super) open_at: Option<u64>,
    /// No packets came for a while.
    pub(super) quiet: bool,
}

#[derive(Debug)]
pub(crate) enum Sizer {
    Outbound(LeadSizer),
    Inbound(CeilingSizer),
}

impl Control {
    fn new(live: Live, sizer: Sizer, contests: u32) -> Self {
        let sent_kib = live.bytes().kib();
        Self {
            live,
            sizer,
            contests,
            exposed: false,
            sent_kib,
            open_at: None,
            quiet: false,
        }
    }

    /// Whether nothing of it is to be told, or closed, later.
    pub(super) fn is_settled(&self) -> bool {
        let told = self.live.bytes().bytes() == self.sent_kib.saturating_mul(1024);
        told && self.open_at.is_none() && !self.quiet
    }

    /// No other unit uses numbers of it any more. What that one accepted before it ended nobody knows:
    /// ceilings stay.
    pub(super) fn lift(&mut self) {
        if let Live::Outbound(live) = &self.live {
            self.exposed = false;
            live.counter.lift();
        }
    }

    /// For a new SA.
    pub(super) fn fresh(shape: &Shape, origin: &Origin<'_>) -> Self {
        match *shape {
            Shape::Outbound { space, budget } => {
                origin.outbound(OutboundCounter::fresh(space, budget.into()), 0)
            }
            Shape::Inbound {
                space,
                size,
                policy,
                isolated,
            } => {
                let window = InboundWindow::fresh(space, size, policy);
                origin.inbound(window.with_isolated(isolated), 0)
            }
        }
    }

    /// After a takeover, or of a counter that was given up.
    pub(super) fn resume(
        shape: &Shape,
        value: Value,
        still: Option<&Still>,
        origin: &Origin<'_>,
    ) -> Self {
        let kib = value.kib();
        match (*shape, value) {
            (Shape::Outbound { space, budget }, Value::Outbound { reserved, used, .. }) => {
                let counter = match still {
                    None => OutboundCounter::resume(space, budget.into(), reserved, used),
                    Some(still) => {
                        let told = Proposal { reserved, used };
                        let next = still.next(reserved);
                        OutboundCounter::rested(space, budget.into(), next, told)
                    }
                };
                origin.outbound(counter, kib)
            }
            (
                Shape::Inbound {
                    space,
                    size,
                    policy,
                    isolated,
                },
                Value::Inbound { image, .. },
            ) => {
                let window = match still.map(Still::generation) {
                    None => InboundWindow::resume(space, size, policy, &image),
                    Some(generation) => {
                        InboundWindow::rested(space, size, policy, image, generation)
                    }
                };
                origin.inbound(window.with_isolated(isolated), kib)
            }
            // The value was decoded for this shape.
            (shape, _) => {
                let control = Self::fresh(&shape, origin);
                control.live.close();
                control
            }
        }
    }
}

/// Where and when an object is made of a counter.
pub(super) struct Origin<'a> {
    pub(super) slot: Slot,
    pub(super) core: &'a Arc<Core>,
    pub(super) contests: u32,
    pub(super) now: Time,
}

impl Origin<'_> {
    fn outbound(&self, counter: OutboundCounter, kib: u64) -> Control {
        let live = OutboundLive {
            counter: self.core.outbound(counter),
            charged: Charged::from_kib(kib),
            slot: self.slot,
            user: OnceLock::new(),
            core: Arc::clone(self.core),
        };
        let sizer = Sizer::Outbound(LeadSizer::new(self.now));
        Control::new(Live::Outbound(Arc::new(live)), sizer, self.contests)
    }

    fn inbound(&self, window: InboundWindow, kib: u64) -> Control {
        let live = InboundLive {
            window: self.core.inbound(window),
            charged: Charged::from_kib(kib),
            slot: self.slot,
            user: OnceLock::new(),
            core: Arc::clone(self.core),
        };
        let sizer = Sizer::Inbound(CeilingSizer::new(live.window.top(), self.now));
        Control::new(Live::Inbound(Arc::new(live)), sizer, self.contests)
    }
}

impl Sizer {
    /// Whether a ceiling is more than twice as far ahead as the rate wants.
    pub(super) fn is_far(&mut self, live: &InboundLive, sizes: &Sizes, now: Time) -> bool {
        let Self::Inbound(sizer) = self else {
            return false;
        };
        let top = live.window.top();
        sizer.observe(&sizes.ceiling, sizes.latency, top, now);
        let ahead = live
            .window
            .ceiling()
            .map_or(0, |ceiling| ceiling.saturating_sub(top));
        ahead > 2 * sizer.lead(&sizes.ceiling) + 1
    }
}
