//! Two nodes with virtual time; links hand over messages when they are told to.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use ha_core::checkpoint::{CommitPolicy, Shared, StateTable};
use ha_core::id::{ClientId, GroupId, LinkId, UnitId};
use ha_core::node::{GroupConfig, Node, NodeConfig, Output};
use ha_core::redundancy::{Answer, RfState};
use ha_core::scheme::{PeerHealth, PeerHealthConfig};
use ha_core::time::Time;
use ha_core::wire::Lane;

pub(crate) type Table = StateTable<u8, Vec<u8>>;

pub(crate) const GROUP: GroupId = GroupId::new(1);
/// The second one answers notifications itself.
pub(crate) const CLIENTS: [u16; 2] = [40, 41];
const WINDOW: usize = 64 * 1024;
/// How far a batch may overdraw its credit: the entries of one transaction, or a last large one.
const OVERDRAFT: usize = 64 * 1024;
/// More outputs than this without a pause are a node that does not come to rest.
const OUTPUT_LIMIT: usize = 100_000;

/// One unit.
pub(crate) struct Unit {
    pub(crate) node: Node,
    pub(crate) tables: [Table; 2],
}

struct Link {
    ids: [LinkId; 2],
    /// Whether each unit still knows it.
    open: [bool; 2],
    /// To each unit, by lane.
    queues: [[VecDeque<Bytes>; 3]; 2],
}

/// Both units and what is between them.
pub(crate) struct Pair {
    pub(crate) now: Time,
    pub(crate) units: [Option<Unit>; 2],
    links: Vec<Link>,
    next_link: u64,
    incarnations: u64,
    /// Keeps what unit 1 is sent, for seeds.
    pub(crate) recorded: Option<Vec<(Lane, Bytes)>>,
}

impl Pair {
    /// Two fresh units without a link.
    pub(crate) fn new() -> Self {
        let mut pair = Self {
            now: Time::ZERO,
            units: [None, None],
            links: Vec::new(),
            next_link: 1,
            incarnations: 0,
            recorded: None,
        };
        pair.boot(0);
        pair.boot(1);
        pair
    }

    /// Starts a unit without memory.
    pub(crate) fn boot(&mut self, unit: usize) {
        self.crash(unit);
        self.incarnations += 1;
        let tables = CLIENTS.map(|id| {
            Table::builder(ClientId::new(id), format!("table {id}"))
                .max_entries(200)
                .max_removals(4)
                .notified(id == CLIENTS[1])
                .build()
                .expect("a valid description")
        });
        let scheme = Box::new(PeerHealth::new(PeerHealthConfig::default()));
        let mut group = GroupConfig::new(GROUP, scheme, Shared::new(CommitPolicy::Degrade));
        group.clients = tables.iter().map(StateTable::client).collect();
        let number = u32::try_from(unit).unwrap_or(0);
        let mut config = NodeConfig::new(UnitId::new(number), self.incarnations);
        (config.changes_window_bytes, config.bulk_window_bytes) = (WINDOW, WINDOW);
        let node = Node::new(config, vec![group], self.now).expect("valid settings");
        self.units[unit] = Some(Unit { node, tables });
        self.run(unit);
    }

    /// The process is gone, and its links with it.
    pub(crate) fn crash(&mut self, unit: usize) {
        self.units[unit] = None;
        for link in 0..self.links.len() {
            self.cut(link);
        }
        self.links.clear();
    }

    /// Opens one more link.
    pub(crate) fn connect(&mut self) {
        if self.links.len() >= 4 || self.units.iter().any(Option::is_none) {
            return;
        }
        let ids = [self.next_link, self.next_link + 1].map(LinkId::new);
        self.next_link += 2;
        self.links.push(Link {
            ids,
            open: [true; 2],
            queues: Default::default(),
        });
        for (unit, id) in ids.into_iter().enumerate() {
            if let Some(unit) = &mut self.units[unit] {
                unit.node.handle_link_up(id, self.now);
            }
            self.run(unit);
        }
    }

    /// Breaks a link; what is in flight is lost.
    pub(crate) fn cut(&mut self, link: usize) {
        let Some(link) = self.links.get_mut(link) else {
            return;
        };
        link.queues = Default::default();
        let (ids, open) = (link.ids, core::mem::take(&mut link.open));
        for place in (0..2).filter(|unit| open[*unit]) {
            if let Some(unit) = &mut self.units[place] {
                unit.node.handle_link_down(ids[place], self.now);
            }
            self.run(place);
        }
    }

    pub(crate) fn links(&self) -> usize {
        self.links.len()
    }

    /// Forgets links that both sides know no more.
    pub(crate) fn sweep(&mut self) {
        for link in 0..self.links.len() {
            let Link { open, queues, .. } = &self.links[link];
            let half = (0..2).find(|unit| open[*unit] && !open[1 - *unit]);
            if half.is_some_and(|unit| queues[unit].iter().all(VecDeque::is_empty)) {
                self.cut(link);
            }
        }
        self.links.retain(|link| link.open != [false; 2]);
    }

    /// Delivers the next message of a lane to a unit; `change` may spoil it.
    pub(crate) fn deliver(
        &mut self,
        link: usize,
        unit: usize,
        lane: Lane,
        change: impl FnOnce(Bytes) -> Bytes,
    ) -> bool {
        let Some(link) = self.links.get_mut(link) else {
            return false;
        };
        let Some(message) = link.queues[unit][lane as usize].pop_front() else {
            return false;
        };
        if !link.open[unit] {
            return true;
        }
        let id = link.ids[unit];
        self.inject(unit, id, lane, change(message));
        true
    }

    /// Hands a message to a unit.
    pub(crate) fn inject(&mut self, unit: usize, link: LinkId, lane: Lane, message: Bytes) {
        if let (1, Some(recorded)) = (unit, &mut self.recorded) {
            recorded.push((lane, message.clone()));
        }
        if let Some(unit) = &mut self.units[unit] {
            unit.node.handle_message(link, lane, message, self.now);
        }
        self.run(unit);
    }

    /// The id of a link as a unit knows it.
    pub(crate) fn link_id(&self, link: usize, unit: usize) -> Option<LinkId> {
        self.links.get(link).map(|link| link.ids[unit])
    }

    /// Delivers everything until nothing moves.
    pub(crate) fn deliver_all(&mut self) {
        for _ in 0..OUTPUT_LIMIT {
            let mut moved = false;
            for link in 0..self.links.len() {
                for (unit, lane) in [0, 1].into_iter().flat_map(|u| Lane::ALL.map(|l| (u, l))) {
                    moved |= self.deliver(link, unit, lane, |message| message);
                }
            }
            if !moved {
                return self.sweep();
            }
        }
        panic!("the units do not stop talking");
    }

    /// Time passes on both units.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        for place in 0..2 {
            if let Some(unit) = &mut self.units[place] {
                let rang = unit
                    .node
                    .shared(GROUP)
                    .is_some_and(|shared| shared.doorbell().take());
                if rang {
                    unit.node.handle_doorbell(self.now);
                }
                unit.node.handle_timeout(self.now);
            }
            self.run(place);
        }
    }

    pub(crate) fn state(&self, unit: usize) -> Option<RfState> {
        self.units[unit].as_ref()?.node.state(GROUP)
    }

    pub(crate) fn active(&mut self) -> Option<&mut Unit> {
        self.units
            .iter_mut()
            .flatten()
            .find(|unit| unit.node.is_active(GROUP))
    }

    pub(crate) fn unit(&mut self, unit: usize) -> Option<&mut Unit> {
        self.units[unit].as_mut()
    }

    /// Whether one unit is ACTIVE and the other STANDBY HOT.
    pub(crate) fn is_settled(&self) -> bool {
        let states = [self.state(0), self.state(1)];
        let (active, hot) = (Some(RfState::Active), Some(RfState::StandbyHot));
        states == [active, hot] || states == [hot, active]
    }

    /// Everything works from now on: the pair must come to rest, and both hold the same.
    pub(crate) fn settle(&mut self) {
        for link in 0..self.links.len() {
            self.cut(link);
        }
        self.links.clear();
        for unit in 0..2 {
            if self.units[unit]
                .as_ref()
                .is_none_or(|unit| unit.node.is_stopped())
            {
                self.boot(unit);
            }
            let now = self.now;
            if let Some(unit) = &mut self.units[unit] {
                let _ = unit.node.set_maintenance(GROUP, false, now);
            }
            self.run(unit);
        }
        let mut calm = 0;
        for _ in 0..20_000 {
            if self.links.is_empty() {
                self.connect();
            }
            self.deliver_all();
            self.pass(Duration::from_millis(10));
            calm = if self.is_settled() { calm + 1 } else { 0 };
            if calm > 1000 && self.is_equal() {
                return;
            }
        }
        panic!(
            "not settled after 200 s: {:?} {:?}, equal: {}",
            self.state(0),
            self.state(1),
            self.is_equal()
        );
    }

    fn is_equal(&self) -> bool {
        let contents = |unit: &Option<Unit>| {
            unit.as_ref().map(|unit| {
                unit.tables.each_ref().map(|table| {
                    let mut entries: Vec<_> = table.snapshot().collect();
                    entries.sort();
                    entries
                })
            })
        };
        contents(&self.units[0]) == contents(&self.units[1])
    }

    /// Drains a unit's outputs and checks what must hold after every step.
    pub(crate) fn run(&mut self, place: usize) {
        let mut late = 0;
        for _ in 0..OUTPUT_LIMIT {
            let Some(unit) = &mut self.units[place] else {
                return;
            };
            match unit.node.poll_output(self.now) {
                Output::Timeout(at) if at > self.now => return self.check(place),
                Output::Timeout(_) => {
                    late += 1;
                    assert!(late < 8, "due again at once, time after time");
                    unit.node.handle_timeout(self.now);
                }
                Output::Send {
                    link,
                    lane,
                    message,
                } => self.send(place, link, lane, message),
                Output::CloseLink { link, .. } => self.close(place, link),
                Output::NotifyClient { group, token, .. } => {
                    let answered =
                        unit.node
                            .handle_client_answer(group, token, Answer::Done, self.now);
                    answered.expect("the notification is open");
                }
                _ => {}
            }
        }
        panic!("the node does not come to rest");
    }

    fn send(&mut self, place: usize, id: LinkId, lane: Lane, message: Bytes) {
        let link = self.links.iter_mut().find(|link| link.ids[place] == id);
        if let Some(link) = link.filter(|link| link.open == [true; 2]) {
            link.queues[1 - place][lane as usize].push_back(message);
        }
    }

    fn close(&mut self, place: usize, id: LinkId) {
        if let Some(link) = self.links.iter_mut().find(|link| link.ids[place] == id) {
            link.open[place] = false;
        }
    }

    fn check(&self, place: usize) {
        let Some(unit) = &self.units[place] else {
            return;
        };
        for (in_flight, granted) in unit.node.credit(GROUP).into_iter().flatten() {
            // Nothing is granted while no stream runs, and nothing is sent then.
            let granted = if granted == 0 { WINDOW } else { granted };
            assert!(
                in_flight <= granted + OVERDRAFT,
                "{in_flight} bytes in flight, {granted} granted"
            );
        }
    }
}
