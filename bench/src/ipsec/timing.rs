//! How operations of a few nanoseconds are timed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::suite::BenchError;

/// What one thread does in a run: it is given its number, and says whether all went as it should.
/// A run in which it did not is not counted.
pub(super) type Work<'a> = &'a (dyn Fn(usize) -> bool + Sync);

/// Times `work`, on as many threads at once as asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) threads: usize,
    /// How many operations each thread does in a run. A run takes less than the scheduler lets a
    /// thread go on for, so that the best of many is undisturbed.
    pub(super) operations: u32,
    /// How many runs are to count; fewer, if that takes long.
    pub(super) runs: u32,
}

impl Timing {
    /// Nanoseconds per operation and thread in the best run: from when the first thread begins
    /// until the last one is done.
    ///
    /// # Errors
    /// If too many runs do not count.
    pub(super) fn best(self, what: &str, work: Work<'_>) -> Result<f64, BenchError> {
        let mut best = Duration::MAX;
        let end = Instant::now() + BOUND;
        let mut counted = 0;
        while counted < self.runs {
            if let Some(took) = self.run(work)? {
                best = best.min(took);
                counted += 1;
            } else if Instant::now() > end && counted >= self.runs / 20 {
                // Fewer than wished, on a busy machine.
                break;
            } else if Instant::now() > end {
                let cause = format!("{counted} of {} runs without refusal", self.runs);
                return Err(BenchError::failed(what)(cause));
            } else {
                // The standby shall get to acknowledge.
                thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(best.as_secs_f64() * 1e9 / f64::from(self.operations))
    }

    fn run(self, work: Work<'_>) -> Result<Option<Duration>, BenchError> {
        if self.threads == 1 {
            let start = Instant::now();
            return Ok(work(0).then(|| start.elapsed()));
        }
        let ready = AtomicUsize::new(0);
        let all: Result<Vec<_>, _> = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads)
                .map(|number| {
                    let ready = &ready;
                    scope.spawn(move || self.begin(number, ready, work))
                })
                .collect();
            threads
                .into_iter()
                .map(thread::ScopedJoinHandle::join)
                .collect()
        });
        let all = all.map_err(|_| BenchError::Thread { what: "packets" })?;
        let went_well = all.iter().all(|(_, _, good)| *good);
        Ok(together(&all).filter(|_| went_well))
    }

    /// All begin at once: a barrier that sleeps would wake one after the other.
    fn begin(self, number: usize, ready: &AtomicUsize, work: Work<'_>) -> (Instant, Instant, bool) {
        ready.fetch_add(1, Ordering::AcqRel);
        while ready.load(Ordering::Acquire) < self.threads {
            std::hint::spin_loop();
        }
        let start = Instant::now();
        let good = work(number);
        (start, Instant::now(), good)
    }
}

/// From the first start to the last end, if the threads ran side by side: where others are busy,
/// they may have had one processor in turn, and been faster for it.
fn together(all: &[(Instant, Instant, bool)]) -> Option<Duration> {
    let starts = || all.iter().map(|(start, _, _)| *start);
    let ends = || all.iter().map(|(_, end, _)| *end);
    let took = ends().max()?.duration_since(starts().min()?);
    let common = ends().min()?.saturating_duration_since(starts().max()?);
    (common >= took / 10 * 8).then_some(took)
}

/// For all runs of a measure.
const BOUND: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_went_wrong_do_not_count() {
        let calls = AtomicUsize::new(0);
        let timing = Timing {
            threads: 2,
            operations: 1,
            runs: 3,
        };
        let best = timing.best("test", &|_| {
            let call = calls.fetch_add(1, Ordering::Relaxed);
            // Long enough for the other thread to run beside.
            let end = Instant::now() + Duration::from_millis(5);
            while Instant::now() < end {}
            call >= 4
        });
        assert!(best.unwrap() >= 5e6);
        assert!(calls.into_inner() >= 2 * (2 + 3));
    }

    #[test]
    fn threads_that_ran_in_turn_do_not_count() {
        let zero = Instant::now();
        let run = |from, to| {
            (
                zero + Duration::from_millis(from),
                zero + Duration::from_millis(to),
                true,
            )
        };
        assert_eq!(together(&[run(0, 10), run(10, 20)]), None);
        assert_eq!(together(&[run(0, 10), run(5, 15)]), None);
        let took = Duration::from_millis(11);
        assert_eq!(together(&[run(0, 10), run(1, 11)]), Some(took));
    }
}
