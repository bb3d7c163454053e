//! What the packet path is compared with.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::timing::Timing;
use crate::report::{Aim, Report, Unit};
use crate::suite::{BenchError, Context, Suite};

/// Row: the encryption of a large packet.
pub(super) const SEAL_1400: &str = "yardstick: AES-128-GCM seal, 1400 B";
/// Row: the encryption of a small packet.
pub(super) const SEAL_64: &str = "yardstick: AES-128-GCM seal, 64 B";
/// Row: the least that several threads can count packets with.
pub(super) const FETCH_ADD: &str = "yardstick: one atomic fetch_add";
/// Rows: a counter within a lock, used by one or two threads.
pub(super) const COUNTER: [&str; 2] = [
    "yardstick: next under a Mutex, 1 thread",
    "yardstick: next under a Mutex, 2 threads on one SA",
];
/// Rows: a window within a lock, used by one or two threads.
pub(super) const WINDOW: [&str; 2] = [
    "yardstick: check + accept under a Mutex, 1 thread",
    "yardstick: check + accept under a Mutex, 2 threads on one SA",
];

/// What a packet costs anyway, and what a plain solution of the same task costs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Yardsticks;

impl Suite for Yardsticks {
    fn name(&self) -> &'static str {
        "yardsticks"
    }

    fn run(&mut self, context: &mut Context, report: &mut Report) -> Result<(), BenchError> {
        for (name, bytes) in [(SEAL_64, 64), (SEAL_1400, 1400)] {
            report.row(name, seal(bytes, context)?, Unit::Nanos, Aim::None);
        }
        let number = AtomicU64::new(0);
        let ns = runs(1, OPERATIONS, context).best("adding", &|_| {
            (0..OPERATIONS).for_each(|_| {
                black_box(number.fetch_add(1, Ordering::Relaxed));
            });
            true
        })?;
        report.row(FETCH_ADD, ns, Unit::Nanos, Aim::Beside(SEAL_1400));
        for threads in [1, 2] {
            let ns = counter(threads, context)?;
            report.row(COUNTER[threads - 1], ns, Unit::Nanos, Aim::None);
        }
        for threads in [1, 2] {
            let ns = window(threads, context)?;
            report.row(WINDOW[threads - 1], ns, Unit::Nanos, Aim::None);
        }
        Ok(())
    }
}

/// One packet, with the ESP header as associated data.
fn seal(bytes: usize, context: &Context) -> Result<f64, BenchError> {
    let key = UnboundKey::new(&AES_128_GCM, &[7; 16]).map_err(BenchError::failed("a key"))?;
    let key = LessSafeKey::new(key);
    let packet = Mutex::new(vec![0x5a_u8; bytes]);
    let operations = 2_000;
    let timing = runs(1, operations, context);
    timing.best("sealing", &|_| {
        let mut packet = packet.lock().unwrap_or_else(PoisonError::into_inner);
        (0..operations).all(|number| {
            let mut nonce = [0; 12];
            nonce[8..].copy_from_slice(&number.to_be_bytes());
            let nonce = Nonce::assume_unique_for_key(nonce);
            let aad = Aad::from(u64::from(number).to_be_bytes());
            let tag = key.seal_in_place_separate_tag(nonce, aad, black_box(&mut packet));
            black_box(tag).is_ok()
        })
    })
}

/// A counter with its limit, as an SA's lock guards them in a kernel.
fn counter(threads: usize, context: &Context) -> Result<f64, BenchError> {
    let state = Mutex::new((0_u64, u64::MAX));
    let timing = runs(threads, OPERATIONS, context);
    timing.best("a counter", &|_| {
        (0..OPERATIONS).all(|_| {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let (number, limit) = *state;
            state.0 = number + 1;
            black_box(number) < limit
        })
    })
}

/// The window of RFC 4303 A2.1 with the bitmap of RFC 6479: checked under the lock before the
/// integrity is verified, and once more when the number is taken.
fn window(threads: usize, context: &Context) -> Result<f64, BenchError> {
    let window = Mutex::new(Window::default());
    let bursts = Bursts::default();
    let timing = runs(threads, OPERATIONS, context);
    timing.best("a window", &|_| {
        bursts.each(OPERATIONS, |number| {
            let lock = || window.lock().unwrap_or_else(PoisonError::into_inner);
            let is_new = lock().is_new(black_box(number));
            is_new && lock().accept(number)
        })
    })
}

pub(super) fn runs(threads: usize, operations: u32, context: &Context) -> Timing {
    Timing {
        threads,
        operations,
        runs: context.repeats * RUNS,
    }
}

/// Numbers in the order of arrival, dealt out in bursts as a network card does, to one thread or
/// to several. A burst does not coincide with a block of a window.
#[derive(Debug)]
pub(super) struct Bursts(AtomicU64);

impl Default for Bursts {
    fn default() -> Self {
        Self(17.into())
    }
}

impl Bursts {
    /// Whether nearly all packets pass: while a thread is interrupted in a burst, the window moves
    /// on, and the rest of its burst is too old.
    #[inline]
    pub(super) fn each(&self, operations: u32, mut packet: impl FnMut(u64) -> bool) -> bool {
        self.all(operations, |burst| {
            burst.iter().map(|number| u32::from(packet(*number))).sum()
        })
    }

    /// The same for bursts as a whole, of which `burst` says how many packets pass.
    #[inline]
    pub(super) fn all(&self, operations: u32, mut burst: impl FnMut(&[u64]) -> u32) -> bool {
        let mut passed = 0;
        for _ in 0..operations / BURST {
            let first = self.0.fetch_add(u64::from(BURST), Ordering::Relaxed);
            let numbers: [u64; BURST as usize] = core::array::from_fn(|place| first + place as u64);
            passed += burst(&numbers);
        }
        passed >= operations / 100 * 99
    }
}

struct Window {
    top: u64,
    words: [u64; Self::WORDS as usize],
}

impl Default for Window {
    fn default() -> Self {
        Self {
            top: 0,
            words: [0; Self::WORDS as usize],
        }
    }
}

impl Window {
    /// A power of two, one word more than the window at least.
    const WORDS: u64 = 32;

    fn place(number: u64) -> (usize, u64) {
        (((number >> 6) % Self::WORDS) as usize, 1 << (number & 63))
    }

    fn is_new(&self, number: u64) -> bool {
        let (word, bit) = Self::place(number);
        number > self.top || (number + u64::from(PACKETS) > self.top && self.words[word] & bit == 0)
    }

    fn accept(&mut self, number: u64) -> bool {
        if !self.is_new(number) {
            return false;
        }
        let (from, to) = (self.top >> 6, number >> 6);
        for word in (from + 1..=to).take(Self::WORDS as usize) {
            self.words[(word % Self::WORDS) as usize] = 0;
        }
        self.top = self.top.max(number);
        let (word, bit) = Self::place(number);
        self.words[word] |= bit;
        true
    }
}

/// The size of the windows, in packets: the largest that Cisco offers.
pub(super) const PACKETS: u32 = 1024;
/// Packets that a thread gets at once.
pub(super) const BURST: u32 = 32;
/// Operations of a run, of the order of a millisecond.
pub(super) const OPERATIONS: u32 = 64_000;
/// Runs for each repeat that the context asks for.
const RUNS: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_of_the_yardstick_is_one() {
        let mut window = Window::default();
        assert!(window.accept(1) && !window.accept(1) && window.accept(70));
        assert!(window.accept(69) && !window.is_new(69) && window.accept(5000));
        assert!(!window.is_new(70), "below the window");
        assert!(window.accept(5000 - u64::from(PACKETS) + 1));
        assert!(!window.is_new(5000 - u64::from(PACKETS)));
    }
}
