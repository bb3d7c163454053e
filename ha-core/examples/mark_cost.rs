//! What marking an entry dirty costs: `cargo run --release -p ha-core --example mark_cost`.
//!
//! Nanoseconds for each mark, by one thread and by two at once; for slots that are clean and for
//! slots that are marked already; with the threads apart, and on the same slots.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use ha_core::id::Slot;
use ha_core::sync::DirtySet;

const SLOTS: u32 = 1 << 20;
const ROUNDS: u32 = 8;

fn main() {
    println!("{:<34} {:>8}", "mark", "ns");
    for threads in [1, 2] {
        for (state, clear) in [("fresh", true), ("already dirty", false)] {
            for (place, apart) in [("apart", true), ("same slots", false)] {
                if threads == 1 && !apart {
                    continue;
                }
                let ns = measure(threads, clear, apart);
                println!(
                    "{:<34} {ns:>8.1}",
                    format!("{threads} threads, {state}, {place}")
                );
            }
        }
    }
}

/// The median round, in nanoseconds per mark of one thread.
fn measure(threads: u32, clear: bool, apart: bool) -> f64 {
    let set = Arc::new(DirtySet::new());
    set.ensure(SLOTS);
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            if clear {
                set.clear();
            }
            round(&set, threads, apart)
        })
        .skip(1)
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

fn round(set: &Arc<DirtySet>, threads: u32, apart: bool) -> f64 {
    let (each, barrier) = (SLOTS / 2, Arc::new(Barrier::new(threads as usize)));
    let workers: Vec<_> = (0..threads)
        .map(|thread| {
            let (set, barrier) = (set.clone(), barrier.clone());
            let from = if apart { thread * each } else { 0 };
            std::thread::spawn(move || {
                barrier.wait();
                mark_all(&set, from, each)
            })
        })
        .collect();
    let times = workers
        .into_iter()
        .map(|worker| worker.join().unwrap_or_default());
    let total: Duration = times.sum();
    total.as_nanos() as f64 / f64::from(each) / f64::from(threads)
}

/// In scattered order, as packets hit entries.
#[expect(
    clippy::disallowed_methods,
    reason = "a measurement needs a clock; the core has none"
)]
fn mark_all(set: &DirtySet, from: u32, count: u32) -> Duration {
    let begin = Instant::now();
    for i in 0..count {
        // Odd, hence each slot once.
        let slot = from + (i.wrapping_mul(2_654_435_761) & (count - 1));
        black_box(set.mark(Slot::new(slot)));
    }
    begin.elapsed()
}
