//! The simulator itself: that it repeats, and that its seeds pass.

use std::sync::{Arc, Mutex};

use super::*;
use crate::checkpoint::CheckpointClient;

fn trace_of(seed: u64) -> Vec<String> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let trace: Trace = Box::new(move |at, unit, text| {
        sink.lock().unwrap().push(format!("{at} {unit:?} {text}"));
    });
    let _ = Simulation::from_seed(seed).traced(trace).run();
    let lines = lines.lock().unwrap();
    lines.clone()
}

#[test]
fn a_seed_repeats_exactly() {
    let first = trace_of(3);
    assert!(first.len() > 100, "the seed exercises nothing");
    assert_eq!(first, trace_of(3));
    assert_ne!(first, trace_of(4));
}

#[test]
fn a_hundred_seeds_keep_the_promises() {
    let mut coverage = Coverage::default();
    for seed in 1..=100 {
        match Simulation::from_seed(seed).run() {
            Ok(counts) => coverage.add(&counts),
            Err(failure) => panic!("{failure}"),
        }
    }
    assert!(
        coverage.commits_replicated > 1000 && coverage.takeovers > 100,
        "{coverage}"
    );
}

/// The registers, with a data path that counts its runs.
struct Counting {
    registers: Registers,
    runs: Arc<Mutex<Runs>>,
}

#[derive(Default)]
struct Runs {
    units: [u64; 2],
    woke: u64,
    calm: u64,
}

impl Workload for Counting {
    fn registers(&self) -> usize {
        self.registers.registers()
    }

    fn groups(&self) -> Vec<Vec<usize>> {
        self.registers.groups()
    }

    fn bytes(&self) -> usize {
        self.registers.bytes()
    }

    fn start(&mut self, unit: usize) -> Vec<Arc<dyn CheckpointClient>> {
        self.registers.start(unit)
    }

    fn step(&mut self, at: &mut Writing<'_>) {
        self.registers.step(at);
    }

    fn traffic_interval(&self) -> Option<Duration> {
        Some(Duration::from_millis(20))
    }

    fn traffic(&mut self, at: &mut Traffic<'_>) {
        let mut runs = self.runs.lock().unwrap();
        runs.units[at.unit] += 1;
        runs.woke += u64::from(at.woke);
        runs.calm += u64::from(at.calm);
        at.rng.next_u64();
    }

    fn read(&self, unit: usize, register: usize) -> Option<Op> {
        self.registers.read(unit, register)
    }

    fn corrupt(&mut self, unit: usize, rng: &mut Rng) -> Option<usize> {
        self.registers.corrupt(unit, rng)
    }
}

#[test]
fn a_data_path_runs_beside_the_node() {
    let runs = Arc::<Mutex<Runs>>::default();
    for seed in 1..=20 {
        let workload = Counting {
            registers: Registers::from_seed(seed),
            runs: Arc::clone(&runs),
        };
        let run = Simulation::new(SimConfig::from_seed(seed), Box::new(workload)).run();
        assert!(run.is_ok(), "{run:?}");
    }
    let runs = runs.lock().unwrap();
    assert!(runs.units.iter().all(|runs| *runs > 1000));
    assert!(runs.woke > 20 && runs.calm > 100);
}

/// Waits for ever.
struct Unsatisfied;

impl Invariant for Unsatisfied {
    fn name(&self) -> &'static str {
        "unsatisfied"
    }

    fn check(&mut self, _: &World) -> Result<(), Violation> {
        Ok(())
    }

    fn awaits(&self, world: &World) -> Option<String> {
        world.is_calm().then(|| "nothing".to_owned())
    }
}

#[test]
fn a_promise_that_waits_for_ever_is_broken() {
    let run = Simulation::from_seed(1).check(Box::new(Unsatisfied)).run();
    assert_eq!(run.unwrap_err().violation.invariant, "unsatisfied");
}
