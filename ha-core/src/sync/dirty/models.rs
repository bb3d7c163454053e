//! Each model names mutations that make it fail.

use std::sync::Arc;

use loom::thread;

use super::DirtySet;
use crate::id::Slot;
use crate::sync::Doorbell;
use crate::sync::shim::{AtomicU64, Ordering, model};

const ALL: usize = usize::MAX;

fn set() -> Arc<DirtySet> {
    let set = Arc::new(DirtySet::new());
    set.ensure(1);
    set
}

fn pass(set: &DirtySet) -> Vec<u32> {
    let (mut cursor, mut out) = (0, Vec::new());
    assert!(set.collect(&mut cursor, &mut out, ALL));
    out.into_iter().map(Slot::index).collect()
}

fn mark(set: &Arc<DirtySet>, slots: &'static [u32]) -> thread::JoinHandle<()> {
    let set = set.clone();
    thread::spawn(move || {
        for slot in slots {
            set.mark(Slot::new(*slot));
        }
    })
}

/// Two writers, one collector. Fails if `collect_segment` clears a summary after it took the words
/// below it, or if `flag_segment` is left out.
#[test]
fn loom_no_mark_is_lost() {
    model(|| {
        let set = set();
        let writers = [mark(&set, &[0]), mark(&set, &[1])];
        let mut taken = pass(&set);
        writers
            .into_iter()
            .for_each(|writer| writer.join().unwrap());
        taken.extend(pass(&set));
        taken.sort_unstable();
        assert_eq!(taken, [0, 1]);
        assert!(set.is_empty());
    });
}

/// As above with marks in two words, and a collector that stops after each mark. Fails if the rest
/// of a summary is not put back.
#[test]
fn loom_no_mark_is_lost_in_a_partial_pass() {
    model(|| {
        let set = set();
        set.mark(Slot::new(1));
        let writer = mark(&set, &[64, 0]);
        let (mut cursor, mut out) = (0, Vec::new());
        set.collect(&mut cursor, &mut out, 1);
        set.collect(&mut cursor, &mut out, 1);
        writer.join().unwrap();
        // To the end of this pass, and another.
        while !set.collect(&mut cursor, &mut out, ALL) {}
        while !set.collect(&mut cursor, &mut out, ALL) {}
        let mut taken: Vec<u32> = out.into_iter().map(Slot::index).collect();
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 64]);
    });
}

/// A value of two halves: who takes the mark sees both. The neighbour's mark has set all bits above,
/// so that nothing but the word itself carries the value over. Fails if the read-modify-write in
/// `mark` is not a release, or the one in `collect_word` not an acquire.
#[test]
fn loom_no_value_is_seen_half_written() {
    model(|| {
        let (set, value) = (set(), Arc::new([AtomicU64::new(0), AtomicU64::new(0)]));
        set.mark(Slot::new(1));
        let writer = thread::spawn({
            let (set, value) = (set.clone(), value.clone());
            move || {
                value
                    .iter()
                    .for_each(|half| half.store(1, Ordering::Relaxed));
                set.mark(Slot::new(0));
            }
        });
        if pass(&set).contains(&0) {
            assert!(value.iter().all(|half| half.load(Ordering::Relaxed) == 1));
        }
        writer.join().unwrap();
    });
}

/// A slot that is marked again while it is collected. Fails if `mark` returns early when a load
/// says that the slot is marked.
#[test]
fn loom_the_last_value_is_collected() {
    model(|| {
        let (set, value) = (set(), Arc::new(AtomicU64::new(0)));
        let writer = thread::spawn({
            let (set, value) = (set.clone(), value.clone());
            move || {
                for latest in 1..=2 {
                    value.store(latest, Ordering::Relaxed);
                    set.mark(Slot::new(0));
                }
            }
        });
        let mut sent = 0;
        let mut send = |set: &DirtySet| {
            if !pass(set).is_empty() {
                sent = value.load(Ordering::Relaxed);
            }
        };
        send(&set);
        writer.join().unwrap();
        send(&set);
        assert_eq!(sent, 2);
    });
}

/// A mark is in the next pass even if another thread, which marked in the same word before, is
/// stopped half way. Fails if `mark` flags the word only when it was 0.
#[test]
fn loom_no_mark_waits_for_another_thread() {
    model(|| {
        let set = set();
        let other = mark(&set, &[0]);
        set.mark(Slot::new(1));
        assert!(pass(&set).contains(&1));
        other.join().unwrap();
    });
}

/// What a pass left behind its cursor rings. Fails if `leave_segment` does not clear the top, or
/// looks at the summaries by loads.
#[test]
fn loom_a_mark_behind_the_cursor_rings() {
    model(|| {
        let (set, bell) = (set(), Arc::new(Doorbell::new()));
        set.notify_at(1, bell.clone());
        set.mark(Slot::new(64));
        set.mark(Slot::new(65));
        assert!(bell.take());
        let (mut cursor, mut out) = (0, Vec::new());
        let writer = mark(&set, &[0]);
        set.collect(&mut cursor, &mut out, 1);
        // Whatever rang so far is heard, in the middle of a pass.
        bell.take();
        while !set.collect(&mut cursor, &mut out, ALL) {}
        writer.join().unwrap();
        let taken = out.contains(&Slot::new(0));
        assert!(taken || bell.take(), "slot 0 waits, and nobody is told");
    });
}

/// Two marks that reach the threshold ring, whatever the collector does meanwhile. Fails if `arm`
/// does not compare again, or if `ring_if_due` trusts a load that says unarmed.
#[test]
fn loom_reaching_the_threshold_rings() {
    model(|| {
        let (set, bell) = (set(), Arc::new(Doorbell::new()));
        set.notify_at(2, bell.clone());
        set.mark(Slot::new(0));
        set.mark(Slot::new(1));
        assert!(bell.take());
        let writer = mark(&set, &[2, 3]);
        let (mut cursor, mut out) = (0, Vec::new());
        set.collect(&mut cursor, &mut out, 2);
        writer.join().unwrap();
        assert!(set.len() < 2 || bell.take());
    });
}
