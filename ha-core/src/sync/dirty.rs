//! Which entries changed since they were last sent.

use core::fmt;
use std::sync::{Arc, OnceLock};

use super::Doorbell;
use super::shim::{AtomicBool, AtomicU32, AtomicU64, Mutex, Ordering};
use crate::id::Slot;

/// A set of slots that packet paths add to and one thread collects from.
///
/// [`mark`](Self::mark) is O(1), lock-free and allocation-free; marking twice before a collection
/// costs one send. [`collect`](Self::collect) costs what is dirty, not what the table holds.
///
/// # Why no change is lost, and none is sent half-written
/// A writer first writes the value, then marks (release). The collector first takes the mark
/// (acquire), then reads the value. Of a mark and a taking of the same word one comes first:
/// - the mark first: the collector takes it and sees the value that was written before it;
/// - the taking first: the mark stays for the next pass, which sends the value again.
///
/// That the value is read whole is up to its own lock or atomics.
///
/// # Layout
/// ```text
/// top      one bit for each segment   ─┐ a bit is set when something below it may be set
/// summary  one bit for each word       │ marking goes up:   word, summary, top
/// word     one bit for each slot      ─┘ collecting down:   top, summary, word
/// ```
/// A segment of 64 Ki slots takes 8.3 KiB and is allocated by [`ensure`](Self::ensure).
pub struct DirtySet {
    top: [AtomicU64; TOPS],
    segments: Box<[OnceLock<Box<Segment>>]>,
    marked: [Stripe; STRIPES],
    taken: AtomicU32,
    threshold: AtomicU32,
    armed: AtomicBool,
    bell: Mutex<Option<Arc<Doorbell>>>,
}

impl DirtySet {
    /// An empty set with room for no slot: see [`ensure`](Self::ensure).
    pub fn new() -> Self {
        Self {
            top: core::array::from_fn(|_| AtomicU64::new(0)),
            segments: (0..TOPS * 64).map(|_| OnceLock::new()).collect(),
            marked: core::array::from_fn(|_| Stripe(AtomicU32::new(0))),
            taken: AtomicU32::new(0),
            threshold: AtomicU32::new(u32::MAX),
            armed: AtomicBool::new(true),
            bell: Mutex::new(None),
        }
    }

    /// Makes room for the slots below `bound`. The only method that allocates; call it before
    /// marking them. Room is never given back.
    pub fn ensure(&self, bound: u32) {
        let bound = bound.min(Slot::LIMIT) as usize;
        for segment in self
            .segments
            .iter()
            .take(bound.div_ceil(SEGMENT_SLOTS))
            .rev()
        {
            if segment.get().is_some() {
                break;
            }
            segment.get_or_init(Segment::new);
        }
    }

    /// Marks a slot. Returns whether it was clean.
    ///
    /// The change must be written before. A slot without [room](Self::ensure) cannot be marked: that
    /// is a fault of the caller, asserted in debug builds.
    #[inline]
    pub fn mark(&self, slot: Slot) -> bool {
        let at = Place::of(slot);
        let Some(segment) = self.segment(at.segment) else {
            debug_assert!(false, "{slot} marked without ensure()");
            return false;
        };
        // Always a read-modify-write. "It looks marked already, so return early" loses marks: the
        // write of the value may still sit in this core's store buffer while the collector takes
        // the older mark and reads the older value.
        let word = segment.words[at.word].fetch_or(at.bit, Ordering::AcqRel);
        if word & at.bit != 0 {
            return false;
        }
        // Not only if the word was 0: who made it nonzero may not have got to the summary yet, and
        // this mark must not wait for that thread.
        self.flag_word(segment, at.segment, at.word);
        self.count_mark();
        true
    }

    /// Takes the mark of one slot. Returns whether it was marked; if so, what was written before
    /// the mark is seen.
    pub fn take(&self, slot: Slot) -> bool {
        let at = Place::of(slot);
        let Some(segment) = self.segment(at.segment) else {
            return false;
        };
        // The summary stays set: that costs the next pass a look, no more.
        let was = segment.words[at.word].fetch_and(!at.bit, Ordering::AcqRel) & at.bit != 0;
        if was {
            self.count_taken(1);
        }
        was
    }

    /// Takes up to `max` marks in slot order, from `cursor` on, and moves the cursor behind them.
    /// Returns whether the end was reached: the cursor is 0 then, and one pass is complete.
    ///
    /// Every mark made before a pass began is taken by its end. One thread collects at a time.
    pub fn collect(&self, cursor: &mut u32, out: &mut Vec<Slot>, max: usize) -> bool {
        let before = out.len();
        let done = self.collect_until(cursor, out, before.saturating_add(max));
        let taken = u32::try_from(out.len() - before).unwrap_or(u32::MAX);
        if taken > 0 {
            self.count_taken(taken);
        }
        done
    }

    /// How many slots are marked, about: marks and takings under way may not be counted yet.
    pub fn len(&self) -> u32 {
        let marked = self.marked.iter().fold(0u32, |sum, stripe| {
            sum.wrapping_add(stripe.0.load(Ordering::Acquire))
        });
        let len = marked.wrapping_sub(self.taken.load(Ordering::Acquire));
        // A taking may be counted before the mark that it took.
        if len > u32::MAX / 2 { 0 } else { len }
    }

    /// Whether surely nothing is marked. After single takings it may say no while that is so.
    pub fn is_empty(&self) -> bool {
        self.top.iter().all(|top| top.load(Ordering::Acquire) == 0)
    }

    /// Takes all marks.
    pub fn clear(&self) {
        let (mut cursor, mut out) = (0, Vec::new());
        while !self.collect(&mut cursor, &mut out, CLEAR_CHUNK) {
            out.clear();
        }
    }

    /// Has `doorbell` rung when marks await collection. Replaces what was asked for before.
    ///
    /// - `threshold` 0 or 1: at the first mark, exactly. After a ring, collect until a pass is
    ///   complete: marks that the pass could not see ring again.
    /// - more: once when about `threshold` slots are marked, armed anew by each collection. Late by
    ///   at most half the threshold, since threads count apart.
    /// - the largest `u32`: never.
    ///
    /// Rings at once if that many are marked already.
    pub fn notify_at(&self, threshold: u32, doorbell: Arc<Doorbell>) {
        *self.bell.lock() = Some(doorbell);
        self.threshold.store(threshold, Ordering::Release);
        self.arm();
        if threshold <= 1 && !self.is_empty() {
            self.ring();
        }
    }
}

/// Marking.
impl DirtySet {
    #[inline]
    fn segment(&self, index: usize) -> Option<&Segment> {
        Some(self.segments.get(index)?.get()?)
    }

    /// Sets the bits above a word that may be dirty.
    ///
    /// A look before each write keeps the shared lines clean; it is not fooled by an old value. The
    /// collector clears from the top down and then takes the word, with read-modify-writes all the
    /// way. If it took the word before our mark, our read-modify-write of the word acquired the
    /// clearing, and the look sees it. If after, it got our mark.
    #[inline]
    fn flag_word(&self, segment: &Segment, index: usize, word: usize) {
        let (summary, bit) = (&segment.summary[word / 64], 1 << (word % 64));
        if summary.load(Ordering::Acquire) & bit == 0 {
            summary.fetch_or(bit, Ordering::AcqRel);
        }
        self.flag_segment(index);
    }

    #[inline]
    fn flag_segment(&self, index: usize) {
        let (top, bit) = (&self.top[index / 64], 1 << (index % 64));
        if top.load(Ordering::Acquire) & bit == 0
            && top.fetch_or(bit, Ordering::AcqRel) & bit == 0
            && self.threshold.load(Ordering::Acquire) <= 1
        {
            self.ring();
        }
    }

    /// Threads count in stripes, each on a cache line of its own, and look at the sum only now and
    /// then: two threads that mark do not slow each other down.
    #[inline]
    fn count_mark(&self) {
        let marked = self.marked[stripe()]
            .0
            .fetch_add(1, Ordering::AcqRel)
            .wrapping_add(1);
        let threshold = self.threshold.load(Ordering::Relaxed);
        if threshold > 1 && threshold != u32::MAX && marked.is_multiple_of(stride(threshold)) {
            self.ring_if_due(threshold);
        }
    }

    #[cold]
    fn ring_if_due(&self, threshold: u32) {
        // A swap even if it looks unarmed, so that arming and counting cannot pass each other.
        if self.len() >= threshold && self.armed.swap(false, Ordering::AcqRel) {
            self.ring();
        }
    }

    #[cold]
    fn ring(&self) {
        let bell = self.bell.lock().clone();
        if let Some(bell) = bell {
            bell.ring();
        }
    }
}

/// Collecting.
impl DirtySet {
    fn collect_until(&self, cursor: &mut u32, out: &mut Vec<Slot>, limit: usize) -> bool {
        let mut at = *cursor as usize;
        while let Some(index) = self.dirty_segment(at / SEGMENT_SLOTS) {
            let base = index * SEGMENT_SLOTS;
            let from = at.saturating_sub(base);
            if let Some(next) = self.collect_segment(index, from, out, limit) {
                *cursor = slot_number(base + next);
                return false;
            }
            at = base + SEGMENT_SLOTS;
        }
        *cursor = 0;
        true
    }

    /// The first segment from `from` on that may hold marks.
    fn dirty_segment(&self, from: usize) -> Option<usize> {
        (from / 64..TOPS).find_map(|i| {
            let mask = if i == from / 64 {
                u64::MAX << (from % 64)
            } else {
                u64::MAX
            };
            let dirty = self.top[i].load(Ordering::Acquire) & mask;
            (dirty != 0).then(|| i * 64 + dirty.trailing_zeros() as usize)
        })
    }

    /// Returns where to go on if `out` filled up before the end of the segment.
    fn collect_segment(
        &self,
        index: usize,
        from: usize,
        out: &mut Vec<Slot>,
        limit: usize,
    ) -> Option<usize> {
        let segment = self.segment(index)?;
        if from == 0 {
            self.unflag_segment(index);
        }
        let first = from / 64;
        for i in first / 64..SUMMARIES {
            let mask = if i == first / 64 {
                u64::MAX << (first % 64)
            } else {
                u64::MAX
            };
            // Summaries before words: a mark that comes between sets its summary again.
            let mut words = segment.summary[i].fetch_and(!mask, Ordering::AcqRel) & mask;
            while words != 0 {
                let word = i * 64 + words.trailing_zeros() as usize;
                let begin = from.max(word * 64);
                let stop = if out.len() >= limit {
                    Some(begin)
                } else {
                    words &= words - 1;
                    self.collect_word(index, begin, out, limit)
                };
                if stop.is_some() {
                    segment.summary[i].fetch_or(words, Ordering::AcqRel);
                    self.flag_segment(index);
                    return stop;
                }
            }
        }
        if from != 0 {
            self.leave_segment(segment, index);
        }
        None
    }

    /// Takes marks from `begin` to the end of its word. Returns where to go on if `out` filled up.
    fn collect_word(
        &self,
        index: usize,
        begin: usize,
        out: &mut Vec<Slot>,
        limit: usize,
    ) -> Option<usize> {
        let segment = self.segment(index)?;
        let (word, room) = (begin / 64, limit - out.len());
        let above = u64::MAX << (begin % 64);
        let seen = segment.words[word].load(Ordering::Relaxed) & above;
        let (mask, cut) = if room >= 64 {
            (above, false)
        } else {
            lowest(seen, room)
        };
        let was = segment.words[word].fetch_and(!mask, Ordering::AcqRel);
        push_slots(out, index * SEGMENT_SLOTS + word * 64, was & mask);
        if was & !mask != 0 {
            self.flag_word(segment, index, word);
        }
        cut.then(|| word * 64 + 64 - mask.leading_zeros() as usize)
    }

    /// After a segment that was entered in its middle: what lies before that stays flagged only if
    /// there is something.
    fn leave_segment(&self, segment: &Segment, index: usize) {
        self.unflag_segment(index);
        // Not mere loads: see `flag_word`.
        let dirty = segment
            .summary
            .iter()
            .any(|s| s.fetch_or(0, Ordering::AcqRel) != 0);
        if dirty {
            self.flag_segment(index);
        }
    }

    fn unflag_segment(&self, index: usize) {
        self.top[index / 64].fetch_and(!(1 << (index % 64)), Ordering::AcqRel);
    }

    fn count_taken(&self, taken: u32) {
        self.taken.fetch_add(taken, Ordering::AcqRel);
        self.arm();
    }

    fn arm(&self) {
        let threshold = self.threshold.load(Ordering::Acquire);
        if threshold > 1 && threshold != u32::MAX {
            self.armed.swap(true, Ordering::AcqRel);
            self.ring_if_due(threshold);
        }
    }
}

impl Default for DirtySet {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for DirtySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirtySet")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

struct Segment {
    words: [AtomicU64; WORDS],
    summary: [AtomicU64; SUMMARIES],
}

impl Segment {
    fn new() -> Box<Self> {
        Box::new(Self {
            words: core::array::from_fn(|_| AtomicU64::new(0)),
            summary: core::array::from_fn(|_| AtomicU64::new(0)),
        })
    }
}

/// A counter on a cache line of its own, and on a pair of lines where they are fetched in pairs.
#[repr(align(128))]
struct Stripe(AtomicU32);

struct Place {
    segment: usize,
    word: usize,
    bit: u64,
}

impl Place {
    #[inline]
    fn of(slot: Slot) -> Self {
        let slot = slot.index() as usize;
        Self {
            segment: slot / SEGMENT_SLOTS,
            word: slot % SEGMENT_SLOTS / 64,
            bit: 1 << (slot % 64),
        }
    }
}

/// The stripe of this thread.
#[inline]
fn stripe() -> usize {
    use core::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static STRIPE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
    }
    STRIPE.with(|stripe| *stripe)
}

/// How often a thread compares the sum with the threshold. All stripes together are at most half a
/// threshold behind.
#[inline]
fn stride(threshold: u32) -> u32 {
    (threshold / (2 * STRIPES as u32)).clamp(1, 64)
}

/// The `n` lowest bits that are set, and whether there are more.
fn lowest(bits: u64, n: usize) -> (u64, bool) {
    let mut rest = bits;
    for _ in 0..n {
        rest &= rest.wrapping_sub(1);
    }
    (bits & !rest, rest != 0)
}

fn push_slots(out: &mut Vec<Slot>, base: usize, mut bits: u64) {
    while bits != 0 {
        out.push(Slot::new(slot_number(
            base + bits.trailing_zeros() as usize,
        )));
        bits &= bits - 1;
    }
}

/// Below [`Slot::LIMIT`], or that itself.
fn slot_number(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(Slot::LIMIT)
}

/// Words of a segment; few under loom, which explores each access.
const WORDS: usize = if cfg!(loom) { 2 } else { 1024 };
const SUMMARIES: usize = WORDS.div_ceil(64);
const SEGMENT_SLOTS: usize = WORDS * 64;
const TOPS: usize = if cfg!(loom) {
    1
} else {
    Slot::LIMIT as usize / SEGMENT_SLOTS / 64
};
const STRIPES: usize = if cfg!(loom) { 1 } else { 8 };
const CLEAR_CHUNK: usize = 4096;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

#[cfg(test)]
#[cfg(loom)]
mod models;
