//! The bits of a window: a ring of tagged words.

use core::cmp::Ordering as Order;
use core::ops::RangeInclusive;

use super::size::BLOCK;
use super::{Replay, WindowSize};
use crate::sync::{AtomicU64, Ordering};

/// One word for each block of 32 numbers, in a ring (RFC 6479 §2).
///
/// ```text
///   n      = [ block : 34           | bit : 5 ]      block = n >> 5
///   block  = [ tag : 32 | slot : log2(ring)   ]      which word, and which of the blocks that share it
///   word   = [ tag : 32 | seen : 32           ]      the youngest block that was recorded here
/// ```
/// RFC 6479 clears the blocks that the window moves over. Here a word says by its tag which block it
/// holds: one that is too old is replaced when its slot is next needed, together with the first bit.
/// So no change ever takes more than one compare-and-swap, and a word only grows: younger tags, more
/// bits.
pub(super) struct Ring {
    words: Box<[AtomicU64]>,
    tag_shift: u32,
}

impl Ring {
    /// A ring for windows of `size`, as if each number up to `top` had been seen except `unseen`.
    pub(super) fn new(
        size: WindowSize,
        top: u64,
        unseen: impl Iterator<Item = RangeInclusive<u64>>,
    ) -> Self {
        // One block more than the window has, because its oldest block may be there in part.
        let len = (size.blocks() + 1).next_power_of_two().max(MIN_LEN);
        let top_block = block_of(top);
        let mut words: Vec<u64> = (0..u64::from(len))
            .map(|slot| {
                let back = top_block.wrapping_sub(slot) & u64::from(len - 1);
                let Some(block) = top_block.checked_sub(back) else {
                    // Its first block is yet to come.
                    return 0;
                };
                let seen = if back == 0 { up_to(top) } else { u32::MAX };
                word(tag_of(block, len.ilog2()), seen)
            })
            .collect();
        let oldest = top_block.saturating_sub(u64::from(len - 1));
        for gap in unseen {
            erase(&mut words, gap, oldest);
        }
        Self {
            words: words.into_iter().map(AtomicU64::new).collect(),
            tag_shift: len.ilog2(),
        }
    }

    /// Records `number`; whoever gets `Ok` is the only one ever to get it for this number.
    #[inline]
    pub(super) fn record(&self, number: u64) -> Result<(), Replay> {
        match self.record_all(block_of(number), bit_of(number))? {
            0 => Err(Replay::Duplicate),
            _ => Ok(()),
        }
    }

    /// Records the `wanted` numbers of `block`, as bits, all at once. Returns those that were not there
    /// yet: each is returned once, ever.
    #[inline]
    pub(super) fn record_all(&self, block: u64, wanted: u32) -> Result<u32, Replay> {
        let (place, tag) = (self.place(block), self.tag(block));
        let mut was = place.load(Ordering::Relaxed);
        loop {
            let seen = seen_at(was, tag)?;
            let fresh = wanted & !seen;
            if fresh == 0 {
                return Ok(0);
            }
            // Release and acquire: see "The ceiling" in the module's documentation.
            match place.compare_exchange_weak(
                was,
                word(tag, seen | wanted),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(fresh),
                Err(now) => was = now,
            }
        }
    }

    /// Whether `number` could be recorded now.
    #[inline]
    pub(super) fn check(&self, number: u64) -> Result<(), Replay> {
        match self.recorded(block_of(number), bit_of(number))? {
            0 => Ok(()),
            _ => Err(Replay::Duplicate),
        }
    }

    /// Which of these numbers of `block`, as bits, are there.
    #[inline]
    pub(super) fn recorded(&self, block: u64, bits: u32) -> Result<u32, Replay> {
        let was = self.place(block).load(Ordering::Relaxed);
        Ok(seen_at(was, self.tag(block))? & bits)
    }

    /// The highest number that was recorded in the slot of `block`, which is in use.
    #[inline]
    pub(super) fn highest(&self, block: u64) -> u64 {
        self.highest_in(block, self.place(block).load(Ordering::Acquire))
    }

    /// As [`highest`](Self::highest), as a read-modify-write: who records here later sees what this
    /// thread wrote before.
    pub(super) fn settle(&self, block: u64) -> u64 {
        self.highest_in(block, self.settled_word(block))
    }

    /// The numbers of `block` that were recorded, or are too old for that to be told.
    pub(super) fn seen(&self, block: u64) -> u32 {
        self.seen_in(block, self.place(block).load(Ordering::Acquire))
    }

    /// As [`seen`](Self::seen), as a read-modify-write.
    pub(super) fn settle_seen(&self, block: u64) -> u32 {
        self.seen_in(block, self.settled_word(block))
    }

    /// Forgets all blocks but one: a planted fault.
    #[cfg(any(test, feature = "planted"))]
    pub(super) fn forget_but(&self, block: u64) {
        let keep = self.slot(block);
        for (slot, place) in self.words.iter().enumerate() {
            if slot != keep {
                let tag = place.load(Ordering::Relaxed) >> BLOCK;
                place.store(word(tag, 0), Ordering::Relaxed);
            }
        }
    }

    fn settled_word(&self, block: u64) -> u64 {
        self.place(block).fetch_or(0, Ordering::AcqRel)
    }

    fn seen_in(&self, block: u64, word: u64) -> u32 {
        match (word >> BLOCK).cmp(&self.tag(block)) {
            Order::Less => 0,
            Order::Equal => seen_of(word),
            Order::Greater => u32::MAX,
        }
    }

    fn highest_in(&self, block: u64, word: u64) -> u64 {
        let slot = self.slot(block) as u64;
        highest_of((word >> BLOCK) << self.tag_shift | slot, seen_of(word))
    }

    #[inline]
    fn place(&self, block: u64) -> &AtomicU64 {
        &self.words[self.slot(block)]
    }

    #[inline]
    fn slot(&self, block: u64) -> usize {
        block as usize & (self.words.len() - 1)
    }

    #[inline]
    fn tag(&self, block: u64) -> u64 {
        tag_of(block, self.tag_shift)
    }
}

/// The block of a number.
#[inline]
pub(super) const fn block_of(number: u64) -> u64 {
    number / BLOCK as u64
}

/// What is recorded of the block with this tag; an error if its slot went on.
#[inline]
fn seen_at(was: u64, tag: u64) -> Result<u32, Replay> {
    match (was >> BLOCK).cmp(&tag) {
        Order::Less => Ok(0),
        Order::Equal => Ok(seen_of(was)),
        Order::Greater => Err(Replay::TooOld),
    }
}

/// Takes the numbers of `gap` out of words that hold the blocks from `oldest` on.
fn erase(words: &mut [u64], gap: RangeInclusive<u64>, oldest: u64) {
    let (first, last) = gap.into_inner();
    for block in block_of(first).max(oldest)..=block_of(last) {
        let begin = block * u64::from(BLOCK);
        let from = first.max(begin) - begin;
        let to = last.min(begin + u64::from(BLOCK - 1));
        let erased = up_to(to) & (u32::MAX << from);
        words[block as usize & (words.len() - 1)] &= !u64::from(erased);
    }
}

#[inline]
const fn tag_of(block: u64, tag_shift: u32) -> u64 {
    block >> tag_shift
}

/// The numbers of a block up to this one.
const fn up_to(number: u64) -> u32 {
    u32::MAX >> (BLOCK - 1 - number as u32 % BLOCK)
}

/// The highest of some numbers of a block; its first one if there are none.
#[inline]
pub(super) fn highest_of(block: u64, seen: u32) -> u64 {
    block * u64::from(BLOCK) + u64::from(seen.checked_ilog2().unwrap_or(0))
}

/// The bit of a number in its block.
#[inline]
pub(super) const fn bit_of(number: u64) -> u32 {
    1 << (number as u32 % BLOCK)
}

#[inline]
const fn word(tag: u64, seen: u32) -> u64 {
    tag << BLOCK | seen as u64
}

#[inline]
const fn seen_of(word: u64) -> u32 {
    word as u32
}

/// With as few words as this, tags still suffice for all numbers.
const MIN_LEN: u32 = 4;

/// The last number that tags can tell apart in the shortest ring.
pub(super) const LAST_NUMBER: u64 = (1 << (32 + MIN_LEN.ilog2() + BLOCK.ilog2())) - 1;
