//! Each model names mutations that make it fail; each was tried.
//!
//! One could not be: the acquire of the read-modify-write in `InboundWindow::settle`, without which the
//! one of the word that follows could come before the record that moved the top. loom takes
//! read-modify-writes in the order in which it runs them, so it cannot show that.

use std::sync::Arc;

use loom::thread;

use super::{Accept, InboundPolicy, InboundWindow, WindowImage, WindowSize};
use crate::gate::Gate;
use crate::sequence::SequenceSpace;
use crate::sync::{AtomicU64, Ordering, model};

/// The slots of the smallest window: number n shares its word with n + 128.
const RING: u64 = 128;

struct Sa {
    window: InboundWindow,
    gate: Gate,
}

impl Sa {
    fn new(policy: InboundPolicy) -> Arc<Self> {
        let gate = Gate::new();
        gate.set_open(true);
        let window = InboundWindow::fresh(SequenceSpace::Esn, WindowSize::MIN, policy);
        Arc::new(Self { window, gate })
    }

    /// With a ceiling that the standby has acknowledged.
    fn bounded(ceiling: u64) -> Arc<Self> {
        let sa = Self::new(InboundPolicy::Strict);
        sa.window.propose(ceiling);
        sa.window.acknowledge(sa.window.receipt());
        sa
    }

    fn is_delivered(&self, number: u64) -> bool {
        let accept = self.window.accept(number, &self.gate);
        matches!(accept, Accept::Deliver { .. })
    }

    /// A thread that receives these numbers at once; returns those that it delivers.
    fn receive_burst(self: &Arc<Self>, numbers: &'static [u64]) -> thread::JoinHandle<Vec<u64>> {
        let sa = self.clone();
        thread::spawn(move || sa.deliver_burst(numbers))
    }

    fn deliver_burst(&self, numbers: &[u64]) -> Vec<u64> {
        let mut delivered = vec![];
        self.window
            .accept_burst(numbers, &self.gate, |place, accept| {
                if matches!(accept, Accept::Deliver { .. }) {
                    delivered.push(numbers[place]);
                }
            });
        delivered
    }

    /// A thread that receives these numbers; returns those that it delivers.
    fn receive(self: &Arc<Self>, numbers: &'static [u64]) -> thread::JoinHandle<Vec<u64>> {
        let sa = self.clone();
        thread::spawn(move || {
            let numbers = numbers.iter().copied();
            numbers.filter(|number| sa.is_delivered(*number)).collect()
        })
    }
}

fn all(threads: impl IntoIterator<Item = thread::JoinHandle<Vec<u64>>>) -> Vec<u64> {
    let each = threads.into_iter().map(|thread| thread.join().unwrap());
    each.flatten().collect()
}

/// What `control` proposes while packets come covers all that is delivered.
fn covers(
    sa: fn() -> Arc<Sa>,
    packets: &'static [&'static [u64]],
    control: fn(&InboundWindow) -> WindowImage,
) {
    model(move || {
        let sa = sa();
        let threads: Vec<_> = packets.iter().map(|numbers| sa.receive(numbers)).collect();
        let image = control(&sa.window);
        expect_covered(&image, &all(threads));
    });
}

/// The same for a quiet SA and bursts, one for each thread.
fn closing_covers(bursts: &'static [&'static [u64]]) {
    model(move || {
        let sa = Sa::bounded(64);
        let threads: Vec<_> = bursts.iter().map(|burst| sa.receive_burst(burst)).collect();
        let image = sa.window.close_on_top();
        expect_covered(&image, &all(threads));
    });
}

fn expect_covered(image: &WindowImage, delivered: &[u64]) {
    for number in delivered {
        let is_unseen = image.unseen().any(|gap| gap.contains(number));
        assert!(*number <= image.top() && !is_unseen, "{number}: {image:?}");
    }
}

/// Two threads receive the same packet, and one of them moves the window past it, around the ring.
/// Fails if a word with a younger tag is replaced, or if a record is a load and a store.
#[test]
fn loom_each_packet_is_accepted_once() {
    model(|| {
        let sa = Sa::new(InboundPolicy::Strict);
        let other = sa.receive(&[5]);
        let mut delivered: Vec<u64> = [5, RING + 5, 5]
            .into_iter()
            .filter(|number| sa.is_delivered(*number))
            .collect();
        delivered.extend(all([other]));
        let count = |number| delivered.iter().filter(|n| **n == number).count();
        assert!(count(5) <= 1, "{delivered:?}");
        assert_eq!(count(RING + 5), 1);
    });
}

/// Two threads receive the same two packets of different blocks. Fails if a record is a load and a
/// store.
#[test]
fn loom_duplicates_are_accepted_once() {
    model(|| {
        let sa = Sa::new(InboundPolicy::Strict);
        let mut delivered = all([sa.receive(&[2, 33]), sa.receive(&[33, 2])]);
        delivered.sort_unstable();
        assert_eq!(delivered, [2, 33]);
        assert_eq!(sa.window.top(), 33);
    });
}

/// Two threads receive bursts that overlap, across two blocks. Fails if `record_all` is a load and a
/// store, and if it returns what was wanted instead of what was not there.
#[test]
fn loom_bursts_that_overlap_are_accepted_once() {
    model(|| {
        let sa = Sa::new(InboundPolicy::Strict);
        let other = sa.receive_burst(&[30, 31, 32]);
        let mut delivered = sa.deliver_burst(&[31, 32, 33]);
        delivered.extend(all([other]));
        delivered.sort_unstable();
        assert_eq!(delivered, [30, 31, 32, 33]);
        assert_eq!(sa.window.top(), 33);
    });
}

/// A burst against single packets, one of which takes a word of the burst for a younger block. Fails as
/// the one above, and if a word with a younger tag is replaced.
#[test]
fn loom_a_burst_and_single_packets_are_accepted_once() {
    model(|| {
        let sa = Sa::new(InboundPolicy::Strict);
        let other = sa.receive(&[6, RING + 5, RING + 5]);
        let mut delivered = sa.deliver_burst(&[5, 6, 40]);
        delivered.extend(all([other]));
        let count = |number| delivered.iter().filter(|n| **n == number).count();
        assert!(count(5) <= 1 && count(6) <= 1, "{delivered:?}");
        assert_eq!(count(RING + 5), 1, "{delivered:?}");
    });
}

/// The standby has what is delivered at that moment. Fails if a proposal raises the bound at once, or
/// if the bound's store is not a release or its load in `judge` not an acquire.
#[test]
fn loom_nothing_is_delivered_above_the_acknowledged_ceiling() {
    model(|| {
        let (sa, standby) = (Sa::bounded(1), Arc::new(AtomicU64::new(1)));
        let packets = thread::spawn({
            let (sa, standby) = (sa.clone(), standby.clone());
            move || {
                for number in [1, 2, 3] {
                    let is_delivered = sa.is_delivered(number);
                    assert!(!is_delivered || number <= standby.load(Ordering::Relaxed));
                }
            }
        });
        let image = sa.window.propose(1);
        standby.store(image.top(), Ordering::Relaxed);
        sa.window.acknowledge(sa.window.receipt());
        packets.join().unwrap();
    });
}

/// A packet in the block of the top: the word pairs the two sides. Fails if `settle` looks at the
/// word by a load or without release, if the compare-and-swap of a record is not an acquire, if a
/// packet is judged before it is recorded, or if the bound is stored only after `settle`.
#[test]
fn loom_closing_covers_the_top_block() {
    covers(|| Sa::bounded(64), &[&[2, 3]], InboundWindow::close_on_top);
}

/// A packet in a block of its own: the top block pairs the two sides. Fails if `settle` looks at the
/// top block by a load or without release, or if `fetch_max` in `record` is not an acquire.
#[test]
fn loom_closing_covers_a_new_block() {
    covers(|| Sa::bounded(64), &[&[2, 40]], InboundWindow::close_on_top);
}

/// Two packets in a new block: one thread finds that the other has moved the top. Fails if that look,
/// in `admit`, is not an acquire.
#[test]
fn loom_closing_covers_a_block_that_another_thread_began() {
    covers(
        || Sa::bounded(64),
        &[&[40], &[41]],
        InboundWindow::close_on_top,
    );
}

/// One packet's word is taken by a younger block before the control path looks. Fails if
/// `Ring::highest_in` takes the word for that of the block that was asked for.
#[test]
fn loom_closing_covers_a_block_that_was_replaced() {
    covers(
        || Sa::bounded(2 * RING),
        &[&[2], &[RING + 1]],
        InboundWindow::close_on_top,
    );
}

/// A burst in the block of the top; one that goes on in a new block; and one in a block that another
/// thread began. Fails if `judge_burst` looks at the bound before all is recorded; if the `fetch_max` of
/// `record_burst` is left out, or is not an acquire; and if its look at the top is not an acquire.
#[test]
fn loom_closing_covers_bursts() {
    closing_covers(&[&[2, 3]]);
    closing_covers(&[&[2, 40]]);
    closing_covers(&[&[40], &[41]]);
}

/// A fresh SA's first image, which bounds it. Fails if the bound is not raised to what `settle` found.
#[test]
fn loom_bounding_covers_what_was_delivered() {
    covers(
        || Sa::new(InboundPolicy::Strict),
        &[&[2, 40], &[41]],
        |window| window.propose(1),
    );
}

/// The last image of a unit that hands over a window to be restored: with a packet below the top block,
/// and one that moves it. Fails if the image is taken by loads of the words, or of the top.
#[test]
fn loom_the_last_image_misses_nothing() {
    covers(
        || {
            let sa = Sa::new(InboundPolicy::Resume);
            assert!(sa.is_delivered(40));
            sa
        },
        &[&[20], &[41, 65]],
        |window| {
            window.close();
            window.close_on_top()
        },
    );
}

/// The top is a number that was recorded. Fails if `fetch_max` in `record` is not a release.
#[test]
fn loom_the_top_was_recorded() {
    model(|| {
        let sa = Sa::new(InboundPolicy::Strict);
        let other = sa.receive(&[40, 75]);
        assert!([0, 40, 75].contains(&sa.window.top()));
        all([other]);
        assert_eq!(sa.window.top(), 75);
    });
}

/// A packet that waited goes once: its number stays recorded. Fails if a record is a load and a store.
#[test]
fn loom_a_pending_packet_goes_once() {
    model(|| {
        let sa = Sa::bounded(1);
        let other = thread::spawn({
            let sa = sa.clone();
            move || match sa.window.accept(2, &sa.gate) {
                Accept::Pending(pending) => {
                    let retried = sa.window.retry(&pending, &sa.gate);
                    usize::from(matches!(retried, Accept::Deliver { .. }))
                }
                Accept::Deliver { .. } => 1,
                Accept::Replay(_) => 0,
            }
        });
        sa.window.propose(2);
        sa.window.acknowledge(sa.window.receipt());
        let here = usize::from(sa.is_delivered(2));
        assert!(here + other.join().unwrap() <= 1);
    });
}

/// One of two threads is asked to mark the SA dirty. Fails if attention is not taken by a comparison.
#[test]
fn loom_attention_is_asked_for_once() {
    model(|| {
        let sa = Sa::bounded(8);
        let asks = |sa: &Sa, number| match sa.window.accept(number, &sa.gate) {
            Accept::Deliver { attention, .. } => u32::from(attention),
            other => panic!("{other:?}"),
        };
        let other = thread::spawn({
            let sa = sa.clone();
            move || asks(&sa, 7)
        });
        let here = asks(&sa, 8);
        assert_eq!(here + other.join().unwrap(), 1);
    });
}
