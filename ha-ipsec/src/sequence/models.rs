//! Each model names mutations that make it fail.

use std::sync::Arc;

use loom::thread;

use super::{OutboundCounter, Refused, SequenceSpace};
use crate::gate::Gate;
use crate::sync::model;

const SPACE: SequenceSpace = SequenceSpace::Bits32;

/// One for each thread: no model changes it, and loom would explore each look at a shared one.
fn gate(isolated: bool) -> Gate {
    let gate = Gate::new();
    gate.set_open(true);
    gate.set_isolated(isolated);
    gate
}

fn bounded(lead: u64, budget: u64) -> Arc<OutboundCounter> {
    let counter = OutboundCounter::fresh(SPACE, budget);
    counter.propose(lead);
    Arc::new(counter)
}

type Numbers = thread::JoinHandle<Vec<u64>>;

/// A packet thread that sends `times`.
fn send(counter: &Arc<OutboundCounter>, isolated: bool, times: usize) -> Numbers {
    let counter = counter.clone();
    thread::spawn(move || {
        let gate = gate(isolated);
        let next = |_| counter.next(&gate).ok();
        (0..times).filter_map(next).map(|one| one.number).collect()
    })
}

/// One that sends two packets at a time.
fn send_pairs(counter: &Arc<OutboundCounter>, isolated: bool, times: usize) -> Numbers {
    let counter = counter.clone();
    thread::spawn(move || {
        let gate = gate(isolated);
        let take = |_| counter.take(2, &gate).ok();
        (0..times)
            .filter_map(take)
            .flat_map(|some| some.numbers())
            .collect()
    })
}

fn join(threads: impl IntoIterator<Item = Numbers>) -> Vec<u64> {
    let mut all: Vec<u64> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    all.sort_unstable();
    all
}

/// Two threads without limit. Fails if the `fetch_add` in `next`, or the one in `take`, is a load and
/// a store.
#[test]
fn loom_each_number_is_handed_out_once() {
    model(|| {
        let counter = Arc::new(OutboundCounter::fresh(SPACE, 0));
        let all = join([send(&counter, false, 2), send_pairs(&counter, false, 1)]);
        assert_eq!(all, [1, 2, 3, 4]);
    });
}

/// Two threads that want more than is acknowledged. Fails if `next` or `admit` does not look at the
/// limit again after taking.
#[test]
fn loom_nothing_beyond_the_acknowledged_limit() {
    model(|| {
        let counter = bounded(2, 5);
        counter.propose(4);
        let threads = [send(&counter, false, 2), send_pairs(&counter, false, 1)];
        let all = join(threads);
        assert!(all.windows(2).all(|two| two[0] < two[1]), "{all:?}");
        assert!(all.iter().all(|number| *number <= 2), "{all:?}");
    });
}

/// The same, isolated, with a budget of 1: one number beyond, and no second one. Fails if `admit`
/// does not cut the range to the ceiling, and if the budget is counted from the position.
#[test]
fn loom_nothing_beyond_the_budget() {
    model(|| {
        let counter = bounded(1, 1);
        let all = join([send(&counter, true, 2), send_pairs(&counter, true, 1)]);
        assert!(all.windows(2).all(|two| two[0] < two[1]), "{all:?}");
        assert!(all.iter().all(|number| *number <= 2), "{all:?}");
    });
}

/// Acknowledgements while two threads send. Fails as the two above do.
#[test]
fn loom_limits_grow_while_numbers_are_taken() {
    model(|| {
        let counter = bounded(1, 0);
        let threads = [send(&counter, false, 1), send(&counter, false, 1)];
        let proposal = counter.propose(1);
        counter.acknowledge(proposal.reserved);
        let all = join(threads);
        assert!(all.windows(2).all(|two| two[0] < two[1]), "{all:?}");
        assert!(
            all.iter().all(|number| *number <= proposal.reserved),
            "{all:?}"
        );
    });
}

/// A fencing authority lifts the limit while threads send. Fails if the limit is stored before the base,
/// or relaxed, or if nothing is skipped: then a number is handed out that the other unit may have used,
/// up to 1 + 2 * 3.
#[test]
fn loom_a_lifted_counter_skips_what_the_other_unit_may_have_used() {
    model(|| {
        let counter = bounded(1, 3);
        let senders = [send(&counter, false, 1), send(&counter, false, 1)];
        counter.lift();
        let all = join(senders);
        let ours = |number: &u64| *number <= 1 || *number > 7;
        assert!(all.iter().all(ours), "{all:?}");
    });
}

/// After that the record leaves again. Fails as for a new SA.
#[test]
fn loom_a_lifted_counter_is_bounded_again() {
    model(|| {
        let counter = bounded(1, 0);
        counter.lift();
        let sender = send(&counter, false, 2);
        let reserved = counter.propose(1).reserved;
        let all = join([sender]);
        assert!(
            all.iter().all(|number| *number <= reserved),
            "{all:?}, said {reserved}"
        );
    });
}

/// The record of a new SA leaves while a thread that saw no limit sends. Fails if the `fetch_add` in
/// `next` is relaxed, if the one in `bound` is relaxed or a load, and if `bound` does not look again
/// after storing the limit.
#[test]
fn loom_what_leaves_covers_what_is_handed_out() {
    model(|| {
        let counter = Arc::new(OutboundCounter::fresh(SPACE, 3));
        let sender = send(&counter, false, 3);
        let reserved = counter.propose(1).reserved;
        let all = join([sender]);
        assert!(
            all.iter().all(|number| *number <= reserved),
            "{all:?}, said {reserved}"
        );
    });
}

/// The same against a thread that takes two at a time, and one more. Fails if the `fetch_add` in
/// `take` is relaxed, and as above.
#[test]
fn loom_what_leaves_covers_what_is_taken_in_ranges() {
    model(|| {
        let counter = Arc::new(OutboundCounter::fresh(SPACE, 3));
        let senders = [send_pairs(&counter, false, 2), send(&counter, false, 1)];
        let reserved = counter.propose(1).reserved;
        let all = join(senders);
        assert!(
            all.iter().all(|number| *number <= reserved),
            "{all:?}, said {reserved}"
        );
    });
}

/// One number left, two threads after it; then the jump over the zone of a contesting unit, and a
/// second contest. Who overshot must not use what lies between. Fails if `next` does not compare
/// with the base, or not while the next jump is to come; if `acknowledge` stores the base after the
/// limit; and if its store of the limit, or the load in `next`, is relaxed.
#[test]
fn loom_nothing_from_a_zone_that_is_skipped() {
    model(|| {
        let counter = bounded(1, 1);
        let senders = [send(&counter, false, 1), send(&counter, false, 1)];
        counter.contest();
        let jump = counter.propose(1).reserved;
        counter.acknowledge(jump);
        counter.contest();
        let all = join(senders);
        assert_eq!(jump, 4);
        assert!(all.iter().all(|number| [1, 4].contains(number)), "{all:?}");
    });
}

/// The same for ranges: 1 and 2 are its own, 3 is skipped. Fails if `admit` does not cut the range to
/// the base, or loads the limit relaxed.
#[test]
fn loom_no_range_from_a_zone_that_is_skipped() {
    model(|| {
        let counter = bounded(1, 1);
        let senders = [send_pairs(&counter, true, 1), send_pairs(&counter, true, 1)];
        counter.contest();
        let jump = counter.propose(1).reserved;
        counter.acknowledge(jump);
        let all = join(senders);
        assert!(all.windows(2).all(|two| two[0] < two[1]), "{all:?}");
        assert!(all.iter().all(|number| *number != 3), "{all:?}");
    });
}

/// What close finds is final. Fails if the `fetch_or` in `close` is a load and a store, and if
/// closing merely lowers the limit.
#[test]
fn loom_nothing_after_close() {
    model(|| {
        let counter = Arc::new(OutboundCounter::fresh(SPACE, 0));
        let sender = send(&counter, false, 2);
        counter.close();
        let last = counter.handed_out_upper();
        assert_eq!(counter.next(&gate(false)), Err(Refused::Closed));
        let all = join([sender]);
        // Each one that was taken late is refused, and counts.
        assert!(
            all.iter().all(|number| *number <= last),
            "{all:?}, closed at {last}"
        );
    });
}

/// A proposal while the low water before is reached: the next one is still asked for. Fails if
/// `claim_attention` stores instead of exchanging.
#[test]
fn loom_attention_is_not_lost() {
    model(|| {
        let counter = bounded(2, 0);
        let sender = send(&counter, false, 1);
        let reserved = counter.propose(4).reserved;
        counter.acknowledge(reserved);
        join([sender]);
        let gate = gate(false);
        let mut rest = core::iter::from_fn(|| counter.next(&gate).ok());
        assert!(rest.any(|granted| granted.attention));
    });
}
