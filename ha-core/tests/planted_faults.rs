//! The simulator finds what it is for: with a protection left out it fails, with all of them in
//! place the same seeds pass.

use ha_core::node::Planted;
use ha_core::sim::{Failure, Registers, SimConfig, Simulation};

/// Seeds within which each planted fault must show.
const SEEDS: u64 = 2000;

fn run(seed: u64, planted: Planted) -> Result<(), Failure> {
    let mut config = SimConfig::from_seed(seed);
    config.planted = planted;
    Simulation::new(config, Box::new(Registers::from_seed(seed)))
        .run()
        .map(|_| ())
}

/// The first seed that fails without a protection passes with it; so do all before it.
fn is_found(planted: Planted) {
    for seed in 1..=SEEDS {
        let without = run(seed, planted);
        if let Err(failure) = run(seed, Planted::default()) {
            panic!("fails with all protections in place: {failure}");
        }
        if let Err(failure) = without {
            return println!("{planted:?} is found: {failure}");
        }
    }
    panic!("{planted:?} is not found within {SEEDS} seeds");
}

#[test]
fn a_missing_digest_check_is_found() {
    is_found(Planted {
        no_digest: true,
        ..Planted::default()
    });
}

#[test]
fn missing_fencing_is_found() {
    is_found(Planted {
        no_fencing: true,
        ..Planted::default()
    });
}

#[test]
fn missing_tombstones_are_found() {
    is_found(Planted {
        no_tombstones: true,
        ..Planted::default()
    });
}

#[test]
fn a_missing_credit_limit_is_found() {
    is_found(Planted {
        no_credit: true,
        ..Planted::default()
    });
}
