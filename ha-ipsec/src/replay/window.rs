//! The window on the packet path.

use core::cell::Cell;
use core::fmt;
use core::sync::atomic::{AtomicU64 as IdSource, Ordering as IdOrdering};

use super::control::Control;
use super::ring::{LAST_NUMBER, Ring, block_of};
use super::{
    Accept, InboundPolicy, Isolated, Outside, Pending, Replay, WindowImage, WindowSize, esn,
};
use crate::gate::Gate;
use crate::sequence::SequenceSpace;
use crate::sync::{AtomicU64, Mutex, Ordering};

/// The anti-replay window of one inbound SA, for any number of packet threads and the control path.
///
/// See the [module](super) for what it promises and why.
// In this order the packet path touches the first 64 bytes, and one word of the ring.
#[repr(C, align(64))]
pub struct InboundWindow {
    /// The numbers that were recorded.
    pub(super) ring: Ring,
    /// The highest block with a recorded number.
    pub(super) top_block: AtomicU64,
    /// What is below may be delivered: one more than the ceiling, [`UNBOUNDED`], or [`CLOSED`].
    pub(super) bound: AtomicU64,
    /// The number at which the next image is due.
    pub(super) attend: AtomicU64,
    /// Numbers up to here may have been delivered by another unit.
    floor: u64,
    size: WindowSize,
    space: SequenceSpace,
    isolated: Isolated,
    pub(super) policy: InboundPolicy,
    #[cfg(any(test, feature = "planted"))]
    planted: Planted,
    /// Tells this window's [`Pending`] packets from those of others.
    id: u64,
    pub(super) control: Mutex<Control>,
}

impl InboundWindow {
    /// The window of an SA that no other unit holds: without a ceiling until
    /// [`propose`](Self::propose) is first called.
    pub fn fresh(space: SequenceSpace, size: WindowSize, policy: InboundPolicy) -> Self {
        // Number 0 counts as seen.
        Self::new(space, size, policy, &WindowImage::strict(0))
    }

    /// The window of an SA that this unit takes over, from the image that it received last; also
    /// one of another size, or made under another policy.
    ///
    /// What the image says was or may have been delivered is not accepted: under
    /// [`Resume`](InboundPolicy::Resume) all but what is listed as unseen, otherwise all up to the
    /// ceiling. The image of a restorable window says nothing of what was delivered after it: taken
    /// over by a strict one, the floor is its top.
    pub fn resume(
        space: SequenceSpace,
        size: WindowSize,
        policy: InboundPolicy,
        image: &WindowImage,
    ) -> Self {
        Self::new(space, size, policy, image)
    }

    /// Sets what happens while no standby can be reached.
    #[must_use]
    pub const fn with_isolated(mut self, isolated: Isolated) -> Self {
        self.isolated = isolated;
        self
    }

    fn new(
        space: SequenceSpace,
        size: WindowSize,
        policy: InboundPolicy,
        image: &WindowImage,
    ) -> Self {
        // An image beyond the number space leaves nothing to accept.
        let top = image.top().min(last_of(space));
        let is_restored = policy == InboundPolicy::Resume && image.ceiling().is_none();
        let unseen = image.unseen().filter(|gap| is_restored && *gap.end() < top);
        Self {
            ring: Ring::new(size, top, unseen),
            top_block: AtomicU64::new(block_of(top)),
            bound: AtomicU64::new(UNBOUNDED),
            attend: AtomicU64::new(NEVER),
            floor: if is_restored { 0 } else { top },
            size,
            space,
            isolated: Isolated::default(),
            policy,
            #[cfg(any(test, feature = "planted"))]
            planted: Planted::default(),
            id: NEXT_ID.fetch_add(1, IdOrdering::Relaxed),
            control: Mutex::new(Control::default()),
        }
    }

    /// Whether a packet may be accepted later, by loads alone: the look before the ICV.
    ///
    /// # Errors
    /// If [`accept`](Self::accept) would refuse it.
    #[inline]
    pub fn check(&self, number: u64) -> Result<(), Replay> {
        self.admit(number)?;
        self.ring.check(number)
    }

    /// Takes in the number of a packet whose ICV is right.
    #[inline]
    pub fn accept(&self, number: u64, gate: &Gate) -> Accept {
        if !gate.is_open() {
            return Accept::Replay(Replay::Closed);
        }
        match self.record(number) {
            Ok(()) => self.judge(number, gate),
            Err(replay) => Accept::Replay(replay),
        }
    }

    /// A window outside of this process has accepted numbers up to `top`, and asked nobody: a kernel.
    /// `seen` tells which of those that this window reaches it has accepted. Nothing goes back.
    ///
    /// What lies above the ceiling the standby would accept again.
    pub fn observe(&self, top: u64, seen: impl Fn(u64) -> bool) -> Outside {
        let top = top.min(self.last_number());
        let bound = self.bound.load(Ordering::Acquire);
        let reach = u64::from(self.size.packets()) - 1;
        let lowest = top.saturating_sub(reach).max(self.floor + 1);
        let mut above = 0;
        for number in lowest..=top {
            if seen(number) && self.record(number).is_ok() {
                above += u64::from(number >= bound);
            }
        }
        Outside {
            above,
            behind: self.top().saturating_sub(top),
            attention: self.is_due(top),
        }
    }

    /// Asks again for a packet that was [`Pending`], when something was acknowledged. This uses the
    /// token up: if the packet has to wait longer, go on with the one in the answer.
    ///
    /// A packet below an acknowledged ceiling is delivered even if the gate is closed by now: in a
    /// handover, what came before the data path stopped waits for the last image, and whoever takes
    /// over refuses it.
    pub fn retry(&self, pending: &Pending, gate: &Gate) -> Accept {
        if pending.spent.replace(true) {
            return Accept::Replay(Replay::Duplicate);
        }
        if pending.window != self.id {
            return Accept::Replay(Replay::Closed);
        }
        self.judge(pending.number, gate)
    }

    /// The number of a packet that carries `low` as its sequence number: the same for 32 bits, with
    /// the high half inferred for extended numbers (RFC 4303 A2.2).
    #[inline]
    pub fn infer(&self, low: u32) -> u64 {
        match self.space {
            SequenceSpace::Bits32 => u64::from(low),
            SequenceSpace::Esn => esn::infer(self.top(), self.size.packets(), low),
        }
    }

    /// The highest number that was recorded, or that counts as seen since the takeover.
    #[inline]
    pub fn top(&self) -> u64 {
        self.ring.highest(self.top_block.load(Ordering::Acquire))
    }

    /// The number up to which all may have been delivered by another unit.
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    /// The configured size.
    pub const fn size(&self) -> WindowSize {
        self.size
    }

    /// The policy at a takeover.
    pub const fn policy(&self) -> InboundPolicy {
        self.policy
    }

    /// The last number of the SA.
    pub const fn last_number(&self) -> u64 {
        last_of(self.space)
    }

    /// Whether seven eighths of the number space are used. It is the sender's to rekey, but the
    /// receiver may.
    pub fn is_rekey_due(&self) -> bool {
        self.top() > self.last_number() - self.last_number() / 8
    }

    #[inline]
    fn record(&self, number: u64) -> Result<(), Replay> {
        let top_block = self.admit(number)?;
        self.ring.record(number)?;
        let block = block_of(number);
        if block > top_block {
            self.top_block.fetch_max(block, Ordering::AcqRel);
        }
        Ok(())
    }

    /// What can be said without the number's own bit. Returns the top block.
    #[inline]
    fn admit(&self, number: u64) -> Result<u64, Replay> {
        if self.bound.load(Ordering::Relaxed) == CLOSED {
            return Err(Replay::Closed);
        }
        let top_block = self.top_block.load(Ordering::Acquire);
        self.admit_below(number, top_block)?;
        Ok(top_block)
    }

    /// The same of a window that is not closed, and has this top block.
    #[inline]
    pub(super) fn admit_below(&self, number: u64, top_block: u64) -> Result<(), Replay> {
        if number <= self.floor {
            return Err(Replay::BelowFloor);
        }
        if number > self.last_number() {
            return Err(Replay::Exhausted);
        }
        if self.is_too_old(number, top_block) {
            return Err(Replay::TooOld);
        }
        Ok(())
    }

    /// Whether that can be said of each number of a block: that it is admitted.
    #[inline]
    pub(super) fn admits_block(&self, block: u64, top_block: u64) -> bool {
        // Either space ends with a block.
        let is_within = block > block_of(self.floor) && block <= block_of(self.last_number());
        is_within && block + u64::from(self.size.blocks()) > top_block
    }

    #[inline]
    fn is_too_old(&self, number: u64, top_block: u64) -> bool {
        let reach = block_of(number) + u64::from(self.size.blocks());
        match reach.cmp(&top_block) {
            core::cmp::Ordering::Greater => false,
            core::cmp::Ordering::Less => true,
            // The window's oldest block, of which a part is in it.
            core::cmp::Ordering::Equal => {
                number + u64::from(self.size.packets()) <= self.ring.highest(top_block)
            }
        }
    }

    /// Whether a recorded number may be delivered.
    #[inline]
    pub(super) fn judge(&self, number: u64, gate: &Gate) -> Accept {
        let bound = self.bound.load(Ordering::Acquire);
        if number < bound {
            return self.deliver(number, false);
        }
        self.judge_above(number, bound, gate)
    }

    #[cold]
    fn judge_above(&self, number: u64, bound: u64, gate: &Gate) -> Accept {
        if bound == CLOSED {
            return Accept::Replay(Replay::Closed);
        }
        #[cfg(any(test, feature = "planted"))]
        if self.planted.ceiling_ignored {
            return self.deliver(number, false);
        }
        if self.isolated == Isolated::Continue && gate.is_isolated() && gate.is_open() {
            return self.deliver(number, true);
        }
        Accept::Pending(Pending {
            number,
            window: self.id,
            spent: Cell::new(false),
        })
    }

    #[inline]
    fn deliver(&self, number: u64, exposed: bool) -> Accept {
        let attention = self.is_due(number);
        Accept::Deliver { attention, exposed }
    }

    /// Whether the next image is due with this number.
    #[inline]
    pub(super) fn is_due(&self, number: u64) -> bool {
        let due = self.attend.load(Ordering::Relaxed);
        number >= due && self.takes_attention(due)
    }

    /// One thread says it. If the control path has set the next number meanwhile, that one stands.
    #[cold]
    fn takes_attention(&self, due: u64) -> bool {
        self.attend
            .compare_exchange(due, NEVER, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}

impl fmt::Debug for InboundWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundWindow")
            .field("top", &self.top())
            .field("ceiling", &self.ceiling())
            .field("floor", &self.floor)
            .field("size", &self.size)
            .field("space", &self.space)
            .field("policy", &self.policy)
            .field("isolated", &self.isolated)
            .finish_non_exhaustive()
    }
}

/// Left-out protections, to prove that tests find them. Not for use.
#[cfg(any(test, feature = "planted"))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Planted {
    /// Packets are delivered without regard to the ceiling.
    pub ceiling_ignored: bool,
    /// A window is restored from its top block alone.
    pub window_without_older_blocks: bool,
}

#[cfg(any(test, feature = "planted"))]
impl InboundWindow {
    /// Leaves protections out, right after [`resume`](Self::resume) or [`fresh`](Self::fresh).
    #[must_use]
    pub fn plant(mut self, planted: Planted) -> Self {
        if planted.window_without_older_blocks {
            self.ring.forget_but(self.top_block.load(Ordering::Relaxed));
        }
        self.planted = planted;
        self
    }
}

const fn last_of(space: SequenceSpace) -> u64 {
    match space {
        SequenceSpace::Bits32 => u32::MAX as u64,
        SequenceSpace::Esn => LAST_NUMBER,
    }
}

/// A bound below all numbers.
pub(super) const CLOSED: u64 = 0;
/// A bound above all numbers.
pub(super) const UNBOUNDED: u64 = u64::MAX;
/// A number that never comes.
pub(super) const NEVER: u64 = u64::MAX;

static NEXT_ID: IdSource = IdSource::new(0);
