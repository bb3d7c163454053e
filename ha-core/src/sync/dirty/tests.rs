use std::collections::BTreeSet;
use std::sync::Arc;

use super::DirtySet;
use crate::id::Slot;
use crate::sync::Doorbell;

fn set(bound: u32) -> DirtySet {
    let set = DirtySet::new();
    set.ensure(bound);
    set
}

fn pass(set: &DirtySet, max: usize) -> Vec<u32> {
    let (mut cursor, mut out) = (0, Vec::new());
    while !set.collect(&mut cursor, &mut out, max) {}
    assert_eq!(cursor, 0);
    out.into_iter().map(Slot::index).collect()
}

#[test]
fn a_mark_is_taken_once() {
    let set = set(200_000);
    assert!(set.is_empty());
    assert!(set.mark(Slot::new(70_000)));
    assert!(!set.mark(Slot::new(70_000)));
    assert_eq!(set.len(), 1);
    assert_eq!(pass(&set, 10), [70_000]);
    assert!(set.is_empty());
    assert_eq!(set.len(), 0);
    assert_eq!(pass(&set, 10), []);
}

#[test]
fn collects_in_order_across_segments() {
    let set = set(Slot::LIMIT);
    let slots = [0, 63, 64, 65_535, 65_536, 1_000_000, Slot::LIMIT - 1];
    for slot in slots.iter().rev() {
        set.mark(Slot::new(*slot));
    }
    assert_eq!(pass(&set, 1), slots);
    assert!(set.is_empty());
}

#[test]
fn stops_within_a_word_and_goes_on() {
    let set = set(256);
    (0..200).for_each(|slot| assert!(set.mark(Slot::new(slot))));
    let (mut cursor, mut out) = (0, Vec::new());
    assert!(!set.collect(&mut cursor, &mut out, 70));
    assert_eq!((out.len(), cursor), (70, 70));
    // Behind the cursor: for the next pass.
    assert!(set.mark(Slot::new(65)));
    assert!(set.mark(Slot::new(3)));
    out.clear();
    assert!(set.collect(&mut cursor, &mut out, 1000));
    assert_eq!(out.len(), 130);
    assert_eq!(pass(&set, 1000), [3, 65]);
}

#[test]
fn nothing_is_taken_when_nothing_is_asked_for() {
    let set = set(100);
    set.mark(Slot::new(5));
    let (mut cursor, mut out) = (0, Vec::new());
    assert!(!set.collect(&mut cursor, &mut out, 0));
    assert!(out.is_empty());
    assert!(set.collect(&mut cursor, &mut out, 1));
    assert_eq!(out, [Slot::new(5)]);
}

#[test]
fn take_and_clear() {
    let set = set(1000);
    for slot in 0..500 {
        set.mark(Slot::new(slot * 2));
    }
    assert!(set.take(Slot::new(4)));
    assert!(!set.take(Slot::new(4)));
    assert!(!set.take(Slot::new(5)));
    assert!(!set.take(Slot::new(Slot::LIMIT - 1)), "no room there");
    assert_eq!(set.len(), 499);
    set.clear();
    assert!(set.is_empty());
    assert_eq!(set.len(), 0);
}

#[test]
fn room_grows_and_keeps_marks() {
    let set = set(10);
    set.mark(Slot::new(9));
    set.ensure(300_000);
    set.ensure(5);
    set.mark(Slot::new(299_999));
    assert_eq!(pass(&set, 100), [9, 299_999]);
}

#[test]
fn the_first_mark_rings() {
    let (set, bell) = (set(200_000), Arc::new(Doorbell::new()));
    set.notify_at(1, bell.clone());
    assert!(!bell.take());
    set.mark(Slot::new(100_000));
    assert!(bell.take());
    set.mark(Slot::new(100_001));
    assert!(
        !bell.take(),
        "the first ring stands for all marks until they are collected"
    );
    pass(&set, 100);
    bell.take();
    set.mark(Slot::new(100_000));
    assert!(bell.take());
}

#[test]
fn a_mark_behind_the_cursor_rings_at_the_end_of_the_pass() {
    let (set, bell) = (set(256), Arc::new(Doorbell::new()));
    set.notify_at(1, bell.clone());
    (100..200).for_each(|slot| assert!(set.mark(Slot::new(slot))));
    let (mut cursor, mut out) = (0, Vec::new());
    assert!(!set.collect(&mut cursor, &mut out, 50));
    set.mark(Slot::new(7));
    bell.take();
    assert!(set.collect(&mut cursor, &mut out, 500));
    assert!(bell.take(), "slot 7 awaits the next pass");
    assert_eq!(pass(&set, 10), [7]);
}

#[test]
fn the_threshold_rings_once_and_is_armed_by_collecting() {
    let (set, bell) = (set(100_000), Arc::new(Doorbell::new()));
    set.notify_at(1000, bell.clone());
    (0..900).for_each(|slot| assert!(set.mark(Slot::new(slot))));
    assert!(!bell.take());
    (900..1500).for_each(|slot| assert!(set.mark(Slot::new(slot))));
    assert!(bell.take());
    (1500..9000).for_each(|slot| assert!(set.mark(Slot::new(slot))));
    assert!(!bell.take());
    pass(&set, 100_000);
    (0..1500).for_each(|slot| assert!(set.mark(Slot::new(slot))));
    assert!(bell.take());
    set.notify_at(u32::MAX, bell.clone());
    pass(&set, 100_000);
    (0..9000).for_each(|slot| assert!(set.mark(Slot::new(slot))));
    assert!(!bell.take());
    set.notify_at(5000, bell.clone());
    assert!(bell.take(), "that many are marked already");
}

/// Two threads write values and mark; the collector must end with the latest of each.
#[test]
fn threads_lose_no_mark() {
    use core::sync::atomic::{AtomicU32, Ordering};
    const SLOTS: u32 = 700;
    let set = Arc::new(set(SLOTS));
    let values: Arc<Vec<AtomicU32>> = Arc::new((0..SLOTS).map(|_| AtomicU32::new(0)).collect());
    let writers: Vec<_> = (0..2u32)
        .map(|seed| {
            let (set, values) = (set.clone(), values.clone());
            std::thread::spawn(move || {
                for i in 0..200_000u32 {
                    let slot = i.wrapping_mul(2_654_435_761).wrapping_add(seed) % SLOTS;
                    values[slot as usize].fetch_add(1, Ordering::Relaxed);
                    set.mark(Slot::new(slot));
                }
            })
        })
        .collect();
    let mut seen = vec![0; SLOTS as usize];
    let (mut cursor, mut out) = (0, Vec::new());
    let mut rounds_after_end = 0;
    while rounds_after_end < 2 {
        if writers.iter().all(|writer| writer.is_finished()) {
            rounds_after_end += 1;
        }
        while !set.collect(&mut cursor, &mut out, 37) {}
        for slot in out.drain(..) {
            seen[slot.index() as usize] = values[slot.index() as usize].load(Ordering::Relaxed);
        }
    }
    writers
        .into_iter()
        .for_each(|writer| writer.join().unwrap());
    let latest: Vec<u32> = values
        .iter()
        .map(|value| value.load(Ordering::Relaxed))
        .collect();
    assert_eq!(seen, latest);
    assert!(set.is_empty());
    assert_eq!(set.len(), 0);
}

mod property {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Mark(u32),
        Take(u32),
        Collect(usize),
        Clear,
    }

    fn slot() -> impl Strategy<Value = u32> {
        prop_oneof![0..200u32, 65_400..65_700u32, 0..300_000u32]
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            8 => slot().prop_map(Op::Mark),
            2 => slot().prop_map(Op::Take),
            4 => (0..100usize).prop_map(Op::Collect),
            1 => Just(Op::Clear),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_set(ops in prop::collection::vec(op(), 1..400)) {
            let (set, mut model) = (set(300_000), BTreeSet::new());
            let mut cursor = 0;
            for op in ops {
                match op {
                    Op::Mark(slot) => {
                        prop_assert_eq!(set.mark(Slot::new(slot)), model.insert(slot));
                    }
                    Op::Take(slot) => {
                        prop_assert_eq!(set.take(Slot::new(slot)), model.remove(&slot));
                    }
                    Op::Collect(max) => {
                        let (from, mut out) = (cursor, Vec::new());
                        let done = set.collect(&mut cursor, &mut out, max);
                        let want: Vec<u32> = model.range(from..).take(max).copied().collect();
                        let got: Vec<u32> = out.into_iter().map(Slot::index).collect();
                        prop_assert_eq!(&got, &want);
                        got.iter().for_each(|slot| { model.remove(slot); });
                        if done {
                            prop_assert_eq!(cursor, 0);
                            prop_assert!(model.range(from..).next().is_none());
                        }
                    }
                    Op::Clear => { set.clear(); model.clear(); }
                }
                prop_assert_eq!(set.len() as usize, model.len());
                prop_assert!(!set.is_empty() || model.is_empty());
            }
            prop_assert_eq!(pass(&set, 17), model.into_iter().collect::<Vec<_>>());
            prop_assert!(set.is_empty());
        }
    }
}
