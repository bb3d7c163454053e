//! Packets that wait for the standby.

use core::time::Duration;
use std::collections::VecDeque;

use ha_core::time::Time;

use super::{Accept, Pending};

/// The packets of one thread that are [`Pending`]: a bounded queue, first in, first out.
///
/// `P` is the packet together with whatever finds its SA again. The queue allocates its room once.
///
/// # When to ask
/// [`retry`](Self::retry) asks for each packet again when the counter of acknowledgements that it is
/// given differs from the last one. That counter must grow after ceilings were raised, and be
/// loaded (acquire) before: then no packet waits for an acknowledgement that has passed. What else
/// lets packets go (the gate's isolation was granted) must change the counter too.
#[derive(Debug)]
pub struct Parked<P> {
    queue: VecDeque<Waiting<P>>,
    capacity: usize,
    patience: Duration,
    acknowledgements: u64,
    stats: ParkedStats,
}

#[derive(Debug)]
struct Waiting<P> {
    pending: Pending,
    packet: P,
    deadline: Time,
}

/// What became of parked packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ParkedStats {
    /// Delivered, after they had waited.
    pub delivered: u64,
    /// Dropped: the queue was full.
    pub full: u64,
    /// Dropped: the standby did not acknowledge in time.
    pub expired: u64,
    /// Dropped: the SA was closed or replaced meanwhile.
    pub refused: u64,
}

impl<P> Parked<P> {
    /// A queue of at most `capacity` packets, each of which waits for at most `patience`.
    pub fn new(capacity: usize, patience: Duration) -> Self {
        Self {
            queue: VecDeque::with_capacity(capacity),
            capacity,
            patience,
            acknowledgements: 0,
            stats: ParkedStats::default(),
        }
    }

    /// Lets a packet wait. If the queue is full it is dropped, and counted: those that came before
    /// are next in line. Returns whether there was room.
    pub fn park(&mut self, pending: Pending, packet: P, now: Time) -> bool {
        if self.queue.len() >= self.capacity {
            self.stats.full += 1;
            return false;
        }
        let deadline = now + self.patience;
        self.queue.push_back(Waiting {
            pending,
            packet,
            deadline,
        });
        true
    }

    /// Drops the packets that have waited for too long; then, if `acknowledgements` has changed,
    /// asks for each of the others by `retry` and hands those that may go to `deliver`, with
    /// whether they are [exposed](Accept::Deliver). Costs two comparisons when there is nothing to
    /// do.
    pub fn retry(
        &mut self,
        acknowledgements: u64,
        now: Time,
        mut retry: impl FnMut(&P, &Pending) -> Accept,
        mut deliver: impl FnMut(P, bool),
    ) {
        self.expire(now);
        if acknowledgements == self.acknowledgements {
            return;
        }
        self.acknowledgements = acknowledgements;
        for _ in 0..self.queue.len() {
            let Some(waiting) = self.queue.pop_front() else {
                return;
            };
            match retry(&waiting.packet, &waiting.pending) {
                Accept::Deliver { exposed, .. } => {
                    self.stats.delivered += 1;
                    deliver(waiting.packet, exposed);
                }
                Accept::Pending(pending) => self.queue.push_back(Waiting { pending, ..waiting }),
                Accept::Replay(_) => self.stats.refused += 1,
            }
        }
    }

    /// When the first packet has waited for too long; call [`retry`](Self::retry) then.
    pub fn deadline(&self) -> Option<Time> {
        self.queue.front().map(|waiting| waiting.deadline)
    }

    /// How many packets wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether no packet waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// What became of those that waited.
    pub const fn stats(&self) -> ParkedStats {
        self.stats
    }

    fn expire(&mut self, now: Time) {
        // In the order of deadlines: all have the same patience, and time does not go back.
        while self.deadline().is_some_and(|deadline| deadline <= now) {
            self.queue.pop_front();
            self.stats.expired += 1;
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::gate::Gate;
    use crate::replay::{InboundPolicy, InboundWindow, WindowSize};
    use crate::sequence::SequenceSpace;

    const PATIENCE: Duration = Duration::from_millis(50);

    struct Bench {
        window: InboundWindow,
        gate: Gate,
        parked: Parked<u64>,
        delivered: Vec<u64>,
    }

    impl Bench {
        /// With a ceiling of 0.
        fn new(capacity: usize) -> Self {
            let gate = Gate::new();
            gate.set_open(true);
            let window = InboundWindow::fresh(
                SequenceSpace::Esn,
                WindowSize::default(),
                InboundPolicy::Strict,
            );
            window.close_on_top();
            Self {
                window,
                gate,
                parked: Parked::new(capacity, PATIENCE),
                delivered: vec![],
            }
        }

        fn receive(&mut self, number: u64, now: Time) -> bool {
            match self.window.accept(number, &self.gate) {
                Accept::Pending(pending) => self.parked.park(pending, number, now),
                other => panic!("{number}: {other:?}"),
            }
        }

        fn retry(&mut self, acknowledgements: u64, now: Time) {
            let (window, gate) = (&self.window, &self.gate);
            self.parked.retry(
                acknowledgements,
                now,
                |_, pending| window.retry(pending, gate),
                |packet, _| self.delivered.push(packet),
            );
        }
    }

    #[test]
    fn packets_go_in_order_once_the_standby_knows() {
        let mut bench = Bench::new(8);
        for number in [1, 2, 4, 3, 9] {
            assert!(bench.receive(number, Time::ZERO));
        }
        bench.window.propose(1);
        bench.retry(1, Time::ZERO);
        assert!(bench.delivered.is_empty(), "not acknowledged");
        bench.window.acknowledge(bench.window.receipt());
        bench.retry(1, Time::ZERO);
        assert!(
            bench.delivered.is_empty(),
            "the counter says nothing has changed"
        );
        bench.retry(2, Time::ZERO);
        assert_eq!(bench.delivered, [1, 2, 4, 3, 9]);
        assert!(bench.parked.is_empty());
        assert_eq!(bench.parked.stats().delivered, 5);
    }

    #[test]
    fn those_still_above_the_ceiling_stay_with_their_deadline() {
        let mut bench = Bench::new(8);
        bench.receive(1, Time::ZERO);
        bench.window.propose(1);
        bench.receive(9, Time::from_millis(10));
        bench.window.acknowledge(bench.window.receipt());
        bench.retry(1, Time::from_millis(20));
        assert_eq!(bench.delivered, [1]);
        assert_eq!(bench.parked.deadline(), Some(Time::from_millis(60)));
        bench.retry(2, Time::from_millis(60));
        assert_eq!((bench.parked.len(), bench.parked.stats().expired), (0, 1));
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut bench = Bench::new(2);
        assert!(bench.receive(1, Time::ZERO));
        assert!(bench.receive(2, Time::ZERO));
        assert!(!bench.receive(3, Time::ZERO));
        assert_eq!((bench.parked.len(), bench.parked.stats().full), (2, 1));
    }

    #[test]
    fn a_closed_window_lets_nothing_go() {
        let mut bench = Bench::new(2);
        bench.receive(1, Time::ZERO);
        bench.window.close();
        bench.retry(1, Time::ZERO);
        assert_eq!(bench.parked.stats().refused, 1);
        assert!(bench.delivered.is_empty() && bench.parked.is_empty());
    }
}
