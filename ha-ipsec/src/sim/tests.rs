//! The simulation itself: that it repeats, that it exercises what it is for, that its seeds pass.

use std::sync::{Arc, Mutex};

use ha_core::sim::Trace;

use super::*;

fn trace_of(seed: u64) -> Vec<String> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let trace: Trace = Box::new(move |at, unit, text| {
        sink.lock().unwrap().push(format!("{at} {unit:?} {text}"));
    });
    let counts = run(seed, Planted::default(), Some(trace)).unwrap();
    let mut lines = lines.lock().unwrap();
    lines.push(counts.packets.to_string());
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
fn seeds_keep_the_promises() {
    let mut counts = Counts::default();
    for seed in 1..=40 {
        match run(seed, Planted::default(), None) {
            Ok(of_seed) => counts.add(&of_seed),
            Err(failure) => panic!("{failure}"),
        }
    }
    let packets = counts.packets;
    assert!(
        packets.sent > 100_000 && packets.delivered > 100_000,
        "{packets}"
    );
    assert!(
        packets.exposed > 100 && packets.refused_duplicates > 1000,
        "{packets}"
    );
}
