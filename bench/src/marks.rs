//! What marking an entry dirty costs the packet path.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use ha_core::id::Slot;
use ha_core::sync::{DirtySet, Doorbell};

use crate::random::Random;
use crate::report::{Aim, Report, Unit};
use crate::suite::{BenchError, Context, Suite};

/// Slots are marked in random order; each thread has its own order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks;

impl Suite for Marks {
    fn name(&self) -> &'static str {
        "marks"
    }

    fn run(&mut self, context: &mut Context, report: &mut Report) -> Result<(), BenchError> {
        let slots = context.entries;
        let all = |seed| order(seed, 0, slots);
        let cases = [
            ("1 thread", vec![all(1)]),
            ("2 threads, the same slots", vec![all(1), all(2)]),
            (
                "2 threads, disjoint slots",
                vec![order(1, 0, slots / 2), order(2, slots / 2, slots)],
            ),
        ];
        for (name, orders) in &cases {
            let [fresh, dirty] = best_of(orders, slots, context.repeats * 3)?;
            let label = format!("marks: {name}, fresh");
            report.row(label, fresh, Unit::Nanos, Aim::None);
            let label = format!("marks: {name}, already dirty");
            report.row(label, dirty, Unit::Nanos, Aim::None);
        }
        Ok(())
    }
}

/// The slots from `from` to below `to`, shuffled.
fn order(seed: u64, from: u32, to: u32) -> Vec<Slot> {
    let mut slots: Vec<_> = (from..to).map(Slot::new).collect();
    Random::new(seed).shuffle(&mut slots);
    slots
}

/// Nanoseconds per mark and thread: of clean slots, then of the same slots again.
fn best_of(orders: &[Vec<Slot>], slots: u32, repeats: u32) -> Result<[f64; 2], BenchError> {
    let set = DirtySet::new();
    set.ensure(slots);
    // As a node does, with the default of its flush policy.
    set.notify_at(4096, Arc::new(Doorbell::new()));
    let mut best = [f64::MAX; 2];
    for _ in 0..repeats {
        set.clear();
        for best in &mut best {
            *best = best.min(mark_all(&set, orders)?);
        }
        let marked = set.len();
        if marked != slots {
            let cause = format!("{marked} of {slots} slots are marked");
            return Err(BenchError::failed("marking")(cause));
        }
    }
    Ok(best)
}

fn mark_all(set: &DirtySet, orders: &[Vec<Slot>]) -> Result<f64, BenchError> {
    let barrier = Barrier::new(orders.len());
    let took = thread::scope(|scope| {
        let threads: Vec<_> = orders
            .iter()
            .map(|order| scope.spawn(|| mark(set, order, &barrier)))
            .collect();
        let mut slowest = Duration::ZERO;
        for thread in threads {
            let took = thread
                .join()
                .map_err(|_| BenchError::Thread { what: "marking" })?;
            slowest = slowest.max(took);
        }
        Ok::<_, BenchError>(slowest)
    })?;
    let most = orders.iter().map(Vec::len).max().unwrap_or(1);
    Ok(took.as_secs_f64() * 1e9 / most as f64)
}

fn mark(set: &DirtySet, order: &[Slot], barrier: &Barrier) -> Duration {
    barrier.wait();
    let start = Instant::now();
    for slot in order {
        set.mark(*slot);
    }
    start.elapsed()
}
