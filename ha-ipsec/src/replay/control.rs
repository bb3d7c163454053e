//! The window's control path: images and ceilings.

use super::image::gaps;
use super::size::BLOCK;
use super::window::{CLOSED, UNBOUNDED};
use super::{InboundPolicy, InboundWindow, WindowImage, WindowSize};
use crate::sequence::SequenceSpace;
use crate::sync::Ordering;

/// What the control path knows of a window. Packet threads never look at it.
#[derive(Debug)]
pub(super) struct Control {
    /// The image that was proposed last.
    proposed: Option<WindowImage>,
    /// The ceiling that packets may use, or [`UNBOUNDED`].
    allowed: u64,
    /// How often the ceiling was lowered.
    generation: u32,
    closed: bool,
}

/// Names an image that was proposed: to be handed to [`InboundWindow::acknowledge`] once the
/// standby has it.
///
/// A ceiling alone does not: after 2000, 1500 and 2000 again, an acknowledgement of the first 2000
/// would allow what the standby, which is about to get 1500, would accept again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Receipt(u64);

impl Receipt {
    /// As a number, which the checkpoint facility carries.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// What [`to_bits`](Self::to_bits) returned.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    const fn new(generation: u32, ceiling: u64) -> Self {
        Self((generation as u64) << CEILING_BITS | ceiling)
    }

    const fn ceiling(self) -> u64 {
        self.0 & ((1 << CEILING_BITS) - 1)
    }
}

/// Control path: one thread at a time, others wait.
impl InboundWindow {
    /// The image to send, with room for `lead` more numbers: the ceiling rises to the top + `lead`,
    /// and packets may use it once it is acknowledged. For a fresh SA it holds from now on.
    ///
    /// Under [`Resume`](InboundPolicy::Resume) there is no ceiling; the next image is due after
    /// `lead` numbers.
    pub fn propose(&self, lead: u64) -> WindowImage {
        let (control, lead) = (&mut *self.control.lock(), lead.max(1));
        let image = match self.policy {
            InboundPolicy::Resume => self.snapshot(control.closed),
            _ => WindowImage::strict(self.raise(control, lead)),
        };
        let attend = match image.ceiling() {
            // When half of the lead is left.
            Some(ceiling) => (ceiling + 1).saturating_sub(lead.div_ceil(2)),
            None => image.top().saturating_add(lead),
        };
        self.attend.store(attend, Ordering::Relaxed);
        control.proposed.insert(image).clone()
    }

    /// The image to send for an SA that has become quiet: nothing is lost should the standby take
    /// over now. The first packet that comes waits for the standby.
    ///
    /// Also the last image of a unit that hands over: [`close`](Self::close) first, and it misses
    /// nothing that was or will be delivered.
    pub fn close_on_top(&self) -> WindowImage {
        let control = &mut *self.control.lock();
        let image = match self.policy {
            InboundPolicy::Resume => self.snapshot(control.closed),
            _ => WindowImage::strict(self.lower(control)),
        };
        self.attend.store(image.top() + 1, Ordering::Relaxed);
        control.proposed.insert(image).clone()
    }

    /// The image that was proposed last, unchanged: for audits. If there is none,
    /// [`close_on_top`](Self::close_on_top).
    pub fn image(&self) -> WindowImage {
        let proposed = self.control.lock().proposed.clone();
        proposed.unwrap_or_else(|| self.close_on_top())
    }

    /// The image that was proposed last, if any was: for display.
    pub fn proposed(&self) -> Option<WindowImage> {
        self.control.lock().proposed.clone()
    }

    /// What an outside window is to be set to when this unit takes over: the window as it is, without
    /// lead. Nothing changes by it.
    pub fn current(&self) -> WindowImage {
        match self.policy {
            InboundPolicy::Resume => self.snapshot(false),
            _ => WindowImage::strict(self.top()),
        }
    }

    /// Names the image that was proposed last.
    pub fn receipt(&self) -> Receipt {
        let control = self.control.lock();
        let ceiling = control.proposed.as_ref().map_or(0, WindowImage::top);
        Receipt::new(control.generation, ceiling)
    }

    /// The standby has the image of this receipt: packets may use its ceiling. Receipts that are
    /// out of date, or of no image of this window, change nothing.
    pub fn acknowledge(&self, receipt: Receipt) {
        let control = &mut *self.control.lock();
        let ceiling = receipt.ceiling();
        let Some(proposed) = control.ceiling() else {
            return;
        };
        let is_current = receipt == Receipt::new(control.generation, ceiling);
        if is_current && control.allowed < ceiling && ceiling <= proposed {
            self.allow(control, ceiling);
        }
    }

    /// The generation of its receipts, if all else of the window follows from what was proposed last:
    /// it is closed on the top, and what is below the top counts as that says. Then it can be given up
    /// for [`rested`](Self::rested), by who alone has it.
    pub fn at_rest(&self) -> Option<u32> {
        let control = self.control.lock();
        let (image, top) = (control.proposed.as_ref()?, self.top());
        let told = match image.ceiling() {
            Some(ceiling) => control.allowed == ceiling && ceiling == top && self.floor() == top,
            // Numbers below the top may have been recorded since.
            None => self.snapshot(false) == *image,
        };
        (told && !control.closed).then_some(control.generation)
    }

    /// A window of this unit that was given up where it [rested](Self::at_rest), as it was then.
    ///
    /// The generation must be what `at_rest` returned: acknowledgements of the former window may still
    /// be under way, and must stay void.
    pub fn rested(
        space: SequenceSpace,
        size: WindowSize,
        policy: InboundPolicy,
        image: WindowImage,
        generation: u32,
    ) -> Self {
        let window = Self::resume(space, size, policy, &image);
        {
            let control = &mut *window.control.lock();
            if let Some(ceiling) = image.ceiling() {
                window.allow(control, ceiling);
            }
            window.attend.store(image.top() + 1, Ordering::Relaxed);
            control.generation = generation & GENERATIONS;
            control.proposed = Some(image);
        }
        window
    }

    /// Accepts nothing any more: the unit is no longer active, or the SA is deleted. A packet that
    /// another thread is judging at this moment may still be delivered.
    pub fn close(&self) {
        self.control.lock().closed = true;
        self.bound.store(CLOSED, Ordering::Release);
    }

    /// The ceiling that packets may use; `None` while there is none.
    pub fn ceiling(&self) -> Option<u64> {
        let allowed = self.control.lock().allowed;
        (allowed != UNBOUNDED).then_some(allowed)
    }

    fn raise(&self, control: &mut Control, lead: u64) -> u64 {
        let above = |top: u64| top.saturating_add(lead).min(self.last_number());
        let ceiling = above(self.top());
        match control.ceiling() {
            Some(proposed) => proposed.max(ceiling),
            None => {
                self.allow(control, ceiling);
                let settled = self.settle();
                if settled > ceiling {
                    self.allow(control, above(settled));
                }
                control.allowed
            }
        }
    }

    fn lower(&self, control: &mut Control) -> u64 {
        let (was, top) = (control.allowed, self.top());
        self.allow(control, was.min(top));
        // Packets above what was allowed are recorded too: they wait, and the image covers them.
        let settled = self.settle();
        self.allow(control, was.min(settled));
        if control.ceiling().is_some_and(|proposed| settled < proposed) {
            control.generation = (control.generation + 1) & GENERATIONS;
        }
        settled
    }

    fn allow(&self, control: &mut Control, ceiling: u64) {
        control.allowed = ceiling;
        if !control.closed {
            self.bound.store(ceiling + 1, Ordering::Release);
        }
    }

    /// The top, so that who records later sees the ceiling that was set before. See "The ceiling"
    /// in the module's documentation.
    fn settle(&self) -> u64 {
        self.ring
            .settle(self.top_block.fetch_max(0, Ordering::AcqRel))
    }

    /// The window as it is. If it is closed: with all that is still delivered.
    fn snapshot(&self, closed: bool) -> WindowImage {
        let top = if closed { self.settle() } else { self.top() };
        let block = top / u64::from(BLOCK);
        let bottom = (top + 1)
            .saturating_sub(u64::from(self.size().packets()))
            .max(1);
        let unseen = (bottom / u64::from(BLOCK)..=block).rev().flat_map(|block| {
            let seen = match closed {
                true => self.ring.settle_seen(block),
                false => self.ring.seen(block),
            };
            gaps(block, !seen)
        });
        let within = unseen.filter_map(|gap| {
            let (first, last) = (*gap.start().max(&bottom), *gap.end().min(&top));
            (first <= last).then_some(first..=last)
        });
        WindowImage::window(top, within)
    }
}

impl Control {
    fn ceiling(&self) -> Option<u64> {
        self.proposed.as_ref().and_then(WindowImage::ceiling)
    }
}

impl Default for Control {
    fn default() -> Self {
        Self {
            proposed: None,
            allowed: UNBOUNDED,
            generation: 0,
            closed: false,
        }
    }
}

/// Enough for any number, and one more.
const CEILING_BITS: u32 = 40;
const GENERATIONS: u32 = (1 << (u64::BITS - CEILING_BITS)) - 1;

const _: () = assert!(UNBOUNDED > super::LAST_NUMBER + 1);
