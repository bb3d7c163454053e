//! What the taps saw, and what it means.
//!
//! The observer collects the events of all taps ([`Observer::absorb`]), keeps those of the last
//! few seconds, and judges one failure after the other. Each packet that was sent
//! is accounted for exactly once: delivered, or lost in one of the ways of [`FailureReport`].
//!
//! [`FailureReport`]: crate::report::FailureReport

mod failure;
mod timeline;

use std::collections::{HashSet, VecDeque};

use crate::oracle::{Full, NumberSet, Oracle, Reuse};
use crate::tap::{Event, What};
use crate::wire::{Direction, Gateway};

pub use failure::{Fault, FaultKind};
pub use timeline::{Bucket, Timeline};

use crate::report::FailureReport;

/// What is known from outside of the units.
#[derive(Debug)]
pub struct Observer {
    config: ObserverConfig,
    oracle: Oracle,
    delivered: [NumberSet; 2],
    /// Packets sent, by direction, that are not accounted for yet; in order of time.
    sent: [VecDeque<Sent>; 2],
    timeline: Timeline,
    /// The first few replays that were accepted.
    replays: Vec<Event>,
    fault: Option<Fault>,
    /// The unit that inbound packets go to.
    holder: Option<Gateway>,
    /// What happened since the last failure was judged.
    counts: Counts,
    /// Since the beginning: packets delivered, by direction.
    total_delivered: [u64; 2],
    overflowed: u64,
}

/// What the observer is to expect.
#[derive(Clone, Copy, Debug)]
pub struct ObserverConfig {
    /// SA pairs.
    pub sas: u32,
    /// Packets per second in each direction.
    pub pps: u32,
    /// Bitmap pages (about 80 bytes each) for each of the three sets.
    pub page_limit: usize,
}

/// A packet that was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at_ns: u64,
    number: u64,
    sa: u32,
    /// The unit that it was forwarded to.
    unit: Option<Gateway>,
}

#[derive(Clone, Default, Debug)]
struct Counts {
    sent: [u64; 2],
    lost_before: u64,
    injected: u64,
    replays_accepted: u64,
    /// The part of `replays_accepted` in which one of the two deliveries was by the failed unit,
    /// after its fault, and the other by the other unit.
    replays_exposed: u64,
    exposed: HashSet<(u32, u64)>,
    /// What the failed unit delivered to the LAN after its fault: SA pair and number.
    isolated: HashSet<(u32, u64)>,
    /// The part of `oracle.reused` that earlier failures have accounted for.
    reused_before: u64,
    /// What the remote site's replay check refused: SA pair and number.
    remote_replays: Vec<(u32, u64)>,
    /// ESP packets that the failed unit sent after its fault: a stale active that woke up, or the
    /// other side of a partition. That the remote site refuses them is as it should be.
    stale: HashSet<(u32, u64)>,
    /// What failed the remote site's integrity check: SA pair and number.
    remote_refused: Vec<(u32, u64)>,
    duplicates: u64,
    /// How often inbound packets went to another unit than before, since the fault.
    address_moves: u32,
    /// First packet or claim of each unit after the fault, in nanoseconds.
    first_seen_ns: [Option<u64>; 2],
}

/// What every run so far adds up to, for a line of progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Packets delivered, by direction.
    pub delivered: [u64; 2],
    /// Sequence numbers used twice.
    pub reused: u64,
    /// Packets sent and not accounted for yet.
    pub pending: usize,
}

impl Observer {
    /// An observer that saw nothing.
    pub fn new(config: ObserverConfig) -> Self {
        let set = || NumberSet::new(config.sas, config.page_limit);
        Self {
            config,
            oracle: Oracle::new(config.sas, config.page_limit),
            delivered: [set(), set()],
            sent: Default::default(),
            timeline: Timeline::default(),
            replays: Vec::new(),
            fault: None,
            holder: None,
            counts: Counts::default(),
            total_delivered: [0; 2],
            overflowed: 0,
        }
    }

    /// Takes in what the taps saw. Events of one tap come in order of time; those of different
    /// taps need not.
    pub fn absorb(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.see(event);
        }
    }

    /// Accounts for packets that are too old to matter to a failure that may come. Call it now
    /// and then, with the time up to which all events were absorbed.
    pub fn forget(&mut self, now_ns: u64) {
        if self.fault.is_some() {
            return;
        }
        let horizon = now_ns.saturating_sub(self.window_ns() + MEMORY_NS);
        for direction in Direction::BOTH {
            let sent = &mut self.sent[direction.index()];
            while let Some(oldest) = sent.front().copied().filter(|sent| sent.at_ns < horizon) {
                sent.pop_front();
                let arrived = self.delivered[direction.index()].contains(oldest.sa, oldest.number);
                self.counts.lost_before += u64::from(!arrived);
            }
        }
    }

    /// How long it takes until each SA has had its turn twice, at least one second.
    pub fn window_ns(&self) -> u64 {
        let turn_ns = u64::from(self.config.sas) * SECOND_NS / u64::from(self.config.pps.max(1));
        (turn_ns * 2 + turn_ns / 4).max(SECOND_NS)
    }

    /// Number of SA pairs for which, of the packets sent within the last window (without the
    /// latest, which may be on their way), one was delivered in each direction.
    pub fn passing(&self, now_ns: u64) -> u32 {
        let until = now_ns.saturating_sub(SETTLE_NS);
        let from = until.saturating_sub(self.window_ns());
        count(&self.passing_between(from, until))
    }

    /// Whether a packet was delivered.
    pub fn was_delivered(&self, direction: Direction, sa: u32, number: u64) -> bool {
        self.delivered[direction.index()].contains(sa, number)
    }

    /// Traffic over time.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The numbers used twice.
    pub fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// The first few replays that were accepted: when, by which unit, of what.
    pub fn replays(&self) -> &[Event] {
        &self.replays
    }

    /// Events that could not be judged for lack of room. The run is worth nothing if it is not 0.
    pub fn overflowed(&self) -> u64 {
        self.overflowed + self.oracle.overflowed()
    }

    /// Where things are.
    pub fn progress(&self) -> Progress {
        Progress {
            delivered: self.total_delivered,
            reused: self.oracle.reused(),
            pending: self.sent.iter().map(VecDeque::len).sum(),
        }
    }

    /// A fault begins now. From now on everything is kept until [`Observer::conclude`].
    pub fn begin(&mut self, fault: Fault) {
        self.counts.first_seen_ns = [None; 2];
        self.counts.address_moves = 0;
        self.fault = Some(fault);
    }

    /// When the traffic was back, in nanoseconds of the run's clock: see
    /// [`FailureReport::takeover_ms`]. `None` until it is, and without a fault.
    pub fn recovered_ns(&self, now_ns: u64) -> Option<u64> {
        let fault = self.fault.as_ref()?;
        failure::recovered_ns(self, fault, now_ns.saturating_sub(SETTLE_NS))
    }

    /// How many packets, of those sent in the second before `until_ns`, were not delivered so far:
    /// 0 says that nothing is on its way any more.
    pub fn on_their_way(&self, until_ns: u64) -> usize {
        let recent = until_ns.saturating_sub(SECOND_NS)..until_ns;
        let undelivered = |direction: Direction| {
            let sent = self.sent[direction.index()].iter().rev();
            sent.skip_while(|sent| sent.at_ns >= recent.end)
                .take_while(|sent| sent.at_ns >= recent.start)
                .filter(|sent| !self.was_delivered(direction, sent.sa, sent.number))
                .count()
        };
        Direction::BOTH.into_iter().map(undelivered).sum()
    }

    /// Judges the failure that began with [`Observer::begin`], by the packets sent before
    /// `until_ns` and everything that was absorbed. `None` if there is none.
    pub fn conclude(&mut self, until_ns: u64) -> Option<FailureReport> {
        let fault = self.fault.take()?;
        let report = failure::judge(self, &fault, until_ns);
        self.counts = Counts {
            reused_before: self.oracle.reused(),
            // They were sent too late to be judged, and belong to what comes next.
            sent: self.sent.each_ref().map(|sent| sent.len() as u64),
            ..Counts::default()
        };
        Some(report)
    }

    fn see(&mut self, event: Event) {
        match event.what {
            What::Sent(direction) => self.see_sent(direction, event),
            What::Esp => self.see_esp(event),
            What::Delivered(direction) => self.see_delivered(direction, event),
            What::RemoteReplay => self.counts.remote_replays.push((event.sa, event.number)),
            What::RemoteRefused => self.counts.remote_refused.push((event.sa, event.number)),
            What::Injected => self.counts.injected += 1,
            What::Reflected => self.see_replay(event),
            What::Claimed => {}
        }
        if matches!(
            event.what,
            What::Claimed | What::Esp | What::Delivered(Direction::Inbound)
        ) {
            self.see_unit(event);
        }
    }

    fn see_sent(&mut self, direction: Direction, event: Event) {
        if direction == Direction::Inbound && event.unit != self.holder {
            self.counts.address_moves += u32::from(self.holder.is_some());
            self.holder = event.unit;
        }
        self.counts.sent[direction.index()] += 1;
        self.timeline.sent(direction, event.at_ns);
        self.sent[direction.index()].push_back(Sent {
            at_ns: event.at_ns,
            number: event.number,
            sa: event.sa,
            unit: event.unit,
        });
    }

    fn see_esp(&mut self, event: Event) {
        self.oracle.see(Reuse {
            at_ns: event.at_ns,
            sa: event.sa,
            number: event.number,
            unit: event.unit,
        });
        if self.is_of_failed(&event) {
            self.counts.stale.insert((event.sa, event.number));
        }
    }

    /// Whether the unit that failed did this after its fault.
    fn is_of_failed(&self, event: &Event) -> bool {
        self.fault
            .as_ref()
            .is_some_and(|fault| event.at_ns >= fault.at_ns && event.unit == Some(fault.failed))
    }

    fn see_delivered(&mut self, direction: Direction, event: Event) {
        match self.delivered[direction.index()].insert(event.sa, event.number) {
            Ok(true) => {
                self.total_delivered[direction.index()] += 1;
                self.timeline.delivered(direction, event.at_ns);
            }
            // The LAN got a packet twice: the gateways accepted a replay.
            Ok(false) if direction == Direction::Inbound => self.see_replay(event),
            // The remote site's own window lets nothing through twice, but a gateway can put one
            // LAN packet into two ESP packets.
            Ok(false) => self.counts.duplicates += 1,
            Err(Full) => self.overflowed += 1,
        }
        if direction == Direction::Inbound && self.is_of_failed(&event) {
            self.counts.isolated.insert((event.sa, event.number));
        }
    }

    fn see_replay(&mut self, event: Event) {
        self.counts.replays_accepted += 1;
        let packet = (event.sa, event.number);
        let before = self.counts.isolated.contains(&packet);
        // One of the two is the failed unit, after its fault, and the other is not.
        let exposed = event.what != What::Reflected && before != self.is_of_failed(&event);
        if exposed && self.counts.exposed.insert(packet) {
            self.counts.replays_exposed += 1;
        }
        if self.replays.len() < EXAMPLES {
            self.replays.push(event);
        }
    }

    fn see_unit(&mut self, event: Event) {
        let (Some(unit), Some(fault)) = (event.unit, &self.fault) else {
            return;
        };
        if event.at_ns >= fault.at_ns {
            let first = &mut self.counts.first_seen_ns[unit.index()];
            *first = Some(first.map_or(event.at_ns, |first| first.min(event.at_ns)));
        }
    }

    /// For each SA pair whether, of the packets sent from one time to another, one was delivered
    /// in each direction.
    fn passing_between(&self, from_ns: u64, until_ns: u64) -> Vec<bool> {
        let [inbound, outbound] = Direction::BOTH.map(|direction| {
            let mut passing = vec![false; self.config.sas as usize];
            for sent in &self.sent[direction.index()] {
                if (from_ns..until_ns).contains(&sent.at_ns)
                    && !passing[sent.sa as usize]
                    && self.was_delivered(direction, sent.sa, sent.number)
                {
                    passing[sent.sa as usize] = true;
                }
            }
            passing
        });
        inbound.iter().zip(outbound).map(|(a, b)| *a && b).collect()
    }
}

fn count(set: &[bool]) -> u32 {
    set.iter().map(|member| u32::from(*member)).sum()
}

const SECOND_NS: u64 = 1_000_000_000;
/// What was sent less than this before the end of what was absorbed may still be on its way.
const SETTLE_NS: u64 = 50_000_000;
const EXAMPLES: usize = 8;
/// Kept beyond a window, between failures.
const MEMORY_NS: u64 = 2 * SECOND_NS;

#[cfg(test)]
mod tests;
