//! Two nodes with virtual time and links that deliver at once, or not at all.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use ha_core::checkpoint::{CommitPolicy, Shared, StateTable};
use ha_core::id::{ClientId, GroupId, LinkId, UnitId};
use ha_core::node::{Event, GroupConfig, Node, NodeConfig, Output};
use ha_core::redundancy::RfState;
use ha_core::scheme::{PeerHealth, PeerHealthConfig};
use ha_core::time::Time;
use ha_core::wire::Lane;

/// The table that both units replicate.
pub(crate) type Table = StateTable<u64, Vec<u8>>;

/// The one group.
pub(crate) const GROUP: GroupId = GroupId::new(0);

/// One unit.
pub(crate) struct Unit {
    pub(crate) node: Node,
    pub(crate) table: Table,
    pub(crate) events: Vec<Event>,
    /// Links as this unit knows them: (this unit's id, the peer's id).
    links: Vec<(LinkId, LinkId)>,
}

/// Both units and what is between them.
pub(crate) struct Pair {
    pub(crate) now: Time,
    pub(crate) units: [Option<Unit>; 2],
    /// In flight: to which unit, over which of its links.
    wire: VecDeque<(usize, LinkId, Lane, Bytes)>,
    next_link: u64,
    incarnations: u64,
    bulk_left: usize,
    /// Acknowledgements of unit 1 do not arrive.
    pub(crate) mute: bool,
    pub(crate) policy: CommitPolicy,
}

impl Pair {
    /// Two fresh units with one link, not yet settled.
    pub(crate) fn new() -> Self {
        let mut pair = Self {
            now: Time::ZERO,
            units: [None, None],
            wire: VecDeque::new(),
            next_link: 1,
            incarnations: 0,
            bulk_left: usize::MAX,
            mute: false,
            policy: CommitPolicy::Degrade,
        };
        pair.boot(0);
        pair.boot(1);
        pair.connect();
        pair
    }

    /// A pair that has settled: unit 0 ACTIVE, unit 1 STANDBY HOT.
    pub(crate) fn settled() -> Self {
        let mut pair = Self::new();
        pair.run_until("settled", |pair| {
            pair.state(0) == Some(RfState::Active) && pair.state(1) == Some(RfState::StandbyHot)
        });
        pair
    }

    /// Starts a unit without memory.
    pub(crate) fn boot(&mut self, unit: usize) {
        self.incarnations += 1;
        let table = Table::builder(ClientId::new(40), "nat").build().unwrap();
        let scheme = Box::new(PeerHealth::new(PeerHealthConfig::default()));
        let mut group = GroupConfig::new(GROUP, scheme, Shared::new(self.policy));
        group.clients = vec![table.client()];
        let config = NodeConfig::new(UnitId::new(unit as u32), self.incarnations);
        let node = Node::new(config, vec![group], self.now).unwrap();
        self.units[unit] = Some(Unit {
            node,
            table,
            events: Vec::new(),
            links: Vec::new(),
        });
        self.drain();
    }

    /// Opens one more link.
    pub(crate) fn connect(&mut self) {
        let (a, b) = (LinkId::new(self.next_link), LinkId::new(self.next_link + 1));
        self.next_link += 2;
        for (unit, ours, theirs) in [(0, a, b), (1, b, a)] {
            let unit = self.units[unit].as_mut().unwrap();
            unit.links.push((ours, theirs));
            unit.node.handle_link_up(ours, self.now);
        }
        self.drain();
    }

    /// Breaks all links; what is in flight is lost.
    pub(crate) fn cut(&mut self) {
        self.wire.clear();
        self.bulk_left = usize::MAX;
        for unit in self.units.iter_mut().flatten() {
            for (link, _) in std::mem::take(&mut unit.links) {
                unit.node.handle_link_down(link, self.now);
            }
        }
        self.drain();
    }

    /// Whether unit 0 has no link.
    pub(crate) fn is_cut(&self) -> bool {
        self.units[0]
            .as_ref()
            .is_some_and(|unit| unit.links.is_empty())
    }

    /// Breaks the oldest link; what is in flight on it is lost.
    pub(crate) fn cut_one(&mut self) {
        for unit in self.units.iter_mut().flatten() {
            let (link, _) = unit.links.remove(0);
            unit.node.handle_link_down(link, self.now);
        }
        self.drain();
    }

    /// Delivers that many more bulk chunks, then none until the links are cut.
    pub(crate) fn stop_after_bulk_chunks(&mut self, chunks: usize) {
        self.bulk_left = chunks;
    }

    /// The process is gone, and its links with it.
    pub(crate) fn crash(&mut self, unit: usize) {
        self.units[unit] = None;
        self.cut();
    }

    pub(crate) fn unit(&mut self, unit: usize) -> &mut Unit {
        self.units[unit].as_mut().expect("the unit runs")
    }

    pub(crate) fn state(&self, unit: usize) -> Option<RfState> {
        self.units[unit].as_ref()?.node.state(GROUP)
    }

    /// Lets time pass in steps of a millisecond until the condition holds, for a minute at most.
    pub(crate) fn run_until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let limit = self.now + Duration::from_secs(60);
        while !condition(self) {
            assert!(
                self.now < limit,
                "{what}: not within a minute; {:?} {:?}\n{:#?}",
                self.state(0),
                self.state(1),
                self.units
                    .iter()
                    .flatten()
                    .map(|unit| &unit.events)
                    .collect::<Vec<_>>()
            );
            self.step();
        }
    }

    /// Lets time pass.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    fn step(&mut self) {
        self.now = self.now + Duration::from_millis(1);
        for unit in self.units.iter_mut().flatten() {
            if unit.node.shared(GROUP).unwrap().doorbell().take() {
                unit.node.handle_doorbell(self.now);
            }
            unit.node.handle_timeout(self.now);
        }
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            self.collect();
            let Some((unit, link, lane, message)) = self.wire.pop_front() else {
                return;
            };
            if self.mute && lane == Lane::Changes && unit == 0 {
                continue;
            }
            if lane == Lane::Bulk && unit == 1 {
                if self.bulk_left == 0 {
                    continue;
                }
                self.bulk_left -= 1;
            }
            if let Some(unit) = &mut self.units[unit] {
                unit.node.handle_message(link, lane, message, self.now);
            }
        }
    }

    fn collect(&mut self) {
        for (place, unit) in self.units.iter_mut().enumerate() {
            let Some(unit) = unit else { continue };
            loop {
                match unit.node.poll_output(self.now) {
                    Output::Timeout(_) => break,
                    Output::Send {
                        link,
                        lane,
                        message,
                    } => {
                        if let Some((_, theirs)) = unit.links.iter().find(|l| l.0 == link) {
                            self.wire.push_back((1 - place, *theirs, lane, message));
                        }
                    }
                    Output::CloseLink { link, .. } => unit.links.retain(|l| l.0 != link),
                    Output::Event(event) => unit.events.push(event),
                    _ => {}
                }
            }
        }
    }
}
