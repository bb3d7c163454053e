//! The simulation finds what it is for: with a protection left out it fails, with all of them in
//! place the same seeds pass.

use ha_ipsec::sim::{Planted, run};

/// Seeds within which each planted fault must show.
const SEEDS: u64 = 500;

/// Among the seeds is one that breaks the promise without the protection, and none with it.
fn is_found(name: &str, promise: &str) {
    let planted = Planted::named(name).unwrap();
    for seed in 1..=SEEDS {
        let Err(failure) = run(seed, planted, None) else {
            continue;
        };
        if let Err(failure) = run(seed, Planted::default(), None) {
            panic!("fails with all protections in place: {failure}");
        }
        // Other promises may suffer too.
        if failure.violation.invariant.starts_with(promise) {
            return println!("{name} is found: {failure}");
        }
    }
    panic!("{name} is not found within {SEEDS} seeds");
}

#[test]
fn a_takeover_within_the_budget_is_found() {
    is_found("jump_without_budget", "P1");
}

#[test]
fn a_reservation_used_too_early_is_found() {
    is_found("use_before_acknowledged", "P1");
}

#[test]
fn a_new_sa_without_a_bound_is_found() {
    is_found("never_bounded", "P1");
}

#[test]
fn a_contest_without_a_jump_is_found() {
    is_found("contests_ignored", "P1");
}

#[test]
fn a_contest_unheard_of_is_found() {
    is_found("contests_unheard", "P1");
}

#[test]
fn an_ignored_ceiling_is_found() {
    is_found("ceiling_ignored", "P2");
}

#[test]
fn a_window_restored_in_part_is_found() {
    is_found("window_without_older_blocks", "P2");
}

#[test]
fn a_demotion_without_flush_is_found() {
    is_found("no_flush", "P4");
}
