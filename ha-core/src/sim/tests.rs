//! The simulator itself: that it repeats, and that its seeds pass.

use std::sync::{Arc, Mutex};

use super::*;

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
