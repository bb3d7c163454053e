//! Two nodes with an SA database each, in virtual time; messages arrive when they are told to.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use ha_core::checkpoint::{CommitPolicy, Shared};
use ha_core::id::{ClientId, GroupId, LinkId, UnitId};
use ha_core::node::{Event, GroupConfig, Node, NodeConfig, Output};
use ha_core::redundancy::RfState;
use ha_core::scheme::{PeerHealth, PeerHealthConfig};
use ha_core::time::Time;
use ha_core::wire::Lane;
use ha_ipsec::id::{IkeId, Protocol, SaId};
use ha_ipsec::record::{Direction, IkeRole, IkeSa, IkeVersion, IpsecSa, Mode, SaKeys, Transform};
use ha_ipsec::replay::{InboundPolicy, Isolated, WindowSize};
use ha_ipsec::sad::{Sad, SadConfig};

const GROUP: GroupId = GroupId::new(0);
const STEP: Duration = Duration::from_millis(25);
/// More outputs than this without a pause are a node that does not come to rest.
const OUTPUT_LIMIT: usize = 100_000;
/// Small, so that it is used up: J of each SA.
const BUDGET: u64 = 300;

/// One unit.
pub(crate) struct Unit {
    pub(crate) node: Node,
    pub(crate) sad: Sad,
    /// Its process does not run until then.
    asleep: Time,
}

struct Message {
    link: LinkId,
    lane: Lane,
    bytes: Bytes,
}

/// Both units and what is between them.
pub(crate) struct Pair {
    /// How often each unit came into a state in which it is not active: it may be active again before
    /// anybody looks.
    pub(crate) demotions: [u32; 2],
    pub(crate) now: Time,
    pub(crate) unix_s: u64,
    pub(crate) units: [Option<Unit>; 2],
    /// What a unit sends is swallowed, and nobody is told.
    dark: [bool; 2],
    /// Something was: the link, which loses nothing, must break before anything arrives again.
    swallowed: [bool; 2],
    /// One link, as each unit knows it.
    link: Option<[LinkId; 2]>,
    /// To each unit, in order.
    wire: [VecDeque<Message>; 2],
    next_link: u64,
    incarnations: u64,
    spoilt: bool,
    /// A standby has refused what it was told.
    refused: bool,
}

impl Pair {
    /// One unit ACTIVE, the other STANDBY HOT.
    pub(crate) fn settled() -> Self {
        let mut pair = Self {
            demotions: [0; 2],
            now: Time::ZERO,
            unix_s: 1_000_000,
            units: [None, None],
            dark: [false; 2],
            swallowed: [false; 2],
            link: None,
            wire: Default::default(),
            next_link: 1,
            incarnations: 0,
            spoilt: false,
            refused: false,
        };
        pair.boot(0);
        pair.boot(1);
        pair.heal(5);
        pair
    }

    /// Starts a unit without memory, in place of the one that is there.
    pub(crate) fn boot(&mut self, unit: usize) {
        self.units[unit] = None;
        self.cut();
        self.incarnations += 1;
        let config = SadConfig {
            max_sas: 64,
            max_ike_sas: 64,
            replay_interval_outbound: 400,
            replay_interval_inbound: 100,
            seed: Some(self.incarnations << 32),
            ..SadConfig::default()
        };
        let sad = Sad::new(config).expect("valid settings");
        let scheme = Box::new(PeerHealth::new(PeerHealthConfig::default()));
        let mut group = GroupConfig::new(GROUP, scheme, Shared::new(CommitPolicy::Degrade));
        group.clients = sad.clients();
        let number = UnitId::new(u32::try_from(unit).unwrap_or(0));
        let config = NodeConfig::new(number, self.incarnations);
        let node = Node::new(config, vec![group], self.now).expect("valid settings");
        let asleep = self.now;
        self.units[unit] = Some(Unit { node, sad, asleep });
        self.run(unit);
    }

    pub(crate) fn connect(&mut self) {
        if self.link.is_some() || self.units.iter().any(Option::is_none) {
            return;
        }
        let ids = [self.next_link, self.next_link + 1].map(LinkId::new);
        self.next_link += 2;
        self.link = Some(ids);
        let now = self.now;
        for (unit, id) in ids.into_iter().enumerate() {
            self.command(unit, |node| node.handle_link_up(id, now));
        }
    }

    /// What units send from now on is swallowed, or not.
    pub(crate) fn darken(&mut self, dark: [bool; 2]) {
        if (0..2).any(|unit| self.swallowed[unit] && !dark[unit]) {
            self.cut();
        }
        self.dark = dark;
    }

    /// Breaks the link; what is in flight is lost, and both are told.
    pub(crate) fn cut(&mut self) {
        (self.wire, self.swallowed) = Default::default();
        let now = self.now;
        for (unit, id) in self.link.take().into_iter().flatten().enumerate() {
            self.command(unit, |node| node.handle_link_down(id, now));
        }
    }

    fn command(&mut self, unit: usize, command: impl FnOnce(&mut Node)) {
        if let Some(unit) = &mut self.units[unit] {
            command(&mut unit.node);
        }
        self.run(unit);
    }

    pub(crate) fn switchover(&mut self, unit: usize, force: bool) {
        let now = self.now;
        self.command(unit, |node| drop(node.switchover(GROUP, force, now)));
    }

    pub(crate) fn maintain(&mut self, unit: usize, on: bool) {
        let now = self.now;
        self.command(unit, |node| drop(node.set_maintenance(GROUP, on, now)));
    }

    pub(crate) fn resync(&mut self, unit: usize, client: u8) {
        let client = (client < 4).then(|| ClientId::new(100 + u16::from(client)));
        let now = self.now;
        self.command(unit, |node| drop(node.resync(GROUP, client, now)));
    }

    /// The process stops for a while: what comes for it waits, and its packet threads stop too.
    pub(crate) fn sleep(&mut self, unit: usize, time: Duration) {
        let until = self.now + time;
        if let Some(unit) = &mut self.units[unit] {
            unit.asleep = unit.asleep.max(until);
        }
    }

    pub(crate) fn is_awake(&self, unit: usize) -> bool {
        self.units[unit]
            .as_ref()
            .is_some_and(|unit| unit.asleep <= self.now)
    }

    /// The next message for a unit is damaged.
    pub(crate) fn spoil(&mut self, unit: usize, at: usize, mask: u8) {
        let Some(message) = self.wire[unit].front_mut() else {
            return;
        };
        self.spoilt = true;
        let mut bytes = message.bytes.to_vec();
        let at = at % bytes.len().max(1);
        if mask == 0 {
            bytes.truncate(at);
        } else if let Some(byte) = bytes.get_mut(at) {
            *byte ^= mask;
        }
        message.bytes = bytes.into();
    }

    /// The next message comes again later.
    pub(crate) fn repeat(&mut self, unit: usize, after: usize) {
        self.spoilt = true;
        let wire = &mut self.wire[unit];
        if let Some(Message { link, lane, bytes }) = wire.front() {
            let again = Message {
                link: *link,
                lane: *lane,
                bytes: bytes.clone(),
            };
            wire.insert(1 + after % wire.len(), again);
        }
    }

    /// Delivers the next messages for a unit.
    pub(crate) fn deliver(&mut self, unit: usize, most: usize) -> bool {
        let mut delivered = false;
        for _ in 0..most {
            if !self.is_awake(unit) {
                break;
            }
            let Some(message) = self.wire[unit].pop_front() else {
                break;
            };
            delivered = true;
            let (now, Message { link, lane, bytes }) = (self.now, message);
            self.command(unit, |node| node.handle_message(link, lane, bytes, now));
        }
        delivered
    }

    /// Delivers everything until nothing moves.
    pub(crate) fn deliver_all(&mut self) {
        for _ in 0..OUTPUT_LIMIT {
            if !(self.deliver(0, 1) | self.deliver(1, 1)) {
                return;
            }
        }
        panic!("the units do not stop talking");
    }

    /// Time passes on both units; nothing arrives. In steps: a process that is late takes itself for
    /// the one that did not run.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now = until.min(self.now + STEP);
            self.tick();
        }
    }

    fn tick(&mut self) {
        let (now, unix_s) = (self.now, self.unix_s);
        for place in 0..2 {
            if !self.is_awake(place) {
                continue;
            }
            if let Some(unit) = &mut self.units[place] {
                unit.sad.tick(now, unix_s);
                let shared = unit.node.shared(GROUP).expect("the group");
                if shared.doorbell().take() {
                    unit.node.handle_doorbell(now);
                }
                unit.node.handle_timeout(now);
            }
            self.run(place);
        }
    }

    /// Some milliseconds in which messages arrive.
    pub(crate) fn calm(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(5) {
            self.pass(Duration::from_millis(5));
            self.deliver_all();
        }
    }

    /// Everything works from now on: the pair must come to rest, for a number of 20 ms. It need not
    /// if a standby was told lies, and says so for as long as the truth contradicts them.
    pub(crate) fn heal(&mut self, rest: usize) -> bool {
        self.darken([false; 2]);
        for unit in 0..2 {
            let now = self.now;
            if let Some(unit) = &mut self.units[unit] {
                unit.asleep = now;
            }
            self.maintain(unit, false);
        }
        let mut calm = 0;
        self.refused = false;
        for _ in 0..3_000 {
            self.connect();
            self.calm(20);
            calm = if self.is_whole() { calm + 1 } else { 0 };
            if calm > rest {
                return true;
            }
        }
        let states = [self.state(0), self.state(1)];
        assert!(
            self.spoilt && self.refused,
            "not whole after 60 s: {states:?}"
        );
        false
    }

    fn state(&self, unit: usize) -> Option<RfState> {
        self.units[unit].as_ref()?.node.state(GROUP)
    }

    fn is_whole(&self) -> bool {
        let states = [self.state(0), self.state(1)];
        let (active, hot) = (Some(RfState::Active), Some(RfState::StandbyHot));
        states == [active, hot] || states == [hot, active]
    }

    pub(crate) fn is_active(&self, unit: usize) -> bool {
        self.units[unit]
            .as_ref()
            .is_some_and(|unit| unit.node.is_active(GROUP))
    }

    pub(crate) fn active(&self) -> Option<usize> {
        (0..2).find(|unit| self.state(*unit) == Some(RfState::Active))
    }

    /// Drains a unit's outputs.
    fn run(&mut self, place: usize) {
        let mut late = 0;
        for _ in 0..OUTPUT_LIMIT {
            let Some(unit) = &mut self.units[place] else {
                return;
            };
            match unit.node.poll_output(self.now) {
                Output::Timeout(at) if at > self.now => return,
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
                Output::Event(Event::SyncFailed { .. }) => self.refused = true,
                Output::Event(Event::State { to, .. }) if !to.is_active() => {
                    self.demotions[place] += 1;
                }
                _ => {}
            }
        }
        panic!("the node does not come to rest");
    }

    fn send(&mut self, from: usize, link: LinkId, lane: Lane, bytes: Bytes) {
        if let Some(ids) = self.link.filter(|ids| ids[from] == link) {
            if self.dark[from] {
                self.swallowed[from] = true;
                return;
            }
            let link = ids[1 - from];
            self.wire[1 - from].push_back(Message { link, lane, bytes });
        }
    }

    /// A unit closes the link: the other one learns of it.
    fn close(&mut self, from: usize, link: LinkId) {
        if let Some(ids) = self.link.filter(|ids| ids[from] == link) {
            self.link = None;
            (self.wire, self.swallowed) = Default::default();
            let (now, theirs) = (self.now, ids[1 - from]);
            self.command(1 - from, |node| node.handle_link_down(theirs, now));
        }
    }
}

pub(crate) fn ike_id(number: u64) -> IkeId {
    IkeId {
        initiator: number,
        responder: number + 1_000_000,
    }
}

pub(crate) fn ike(number: u64) -> IkeSa {
    let (local, remote) = ([198, 51, 100, 1], [192, 0, 2, 1]);
    let (local, remote) = ((local, 500).into(), (remote, 500).into());
    let id = ike_id(number);
    IkeSa::new(id, IkeVersion::V2, IkeRole::Responder, local, remote)
}

pub(crate) fn outbound_id(number: usize) -> SaId {
    id(0x1_0000, number, [192, 0, 2, 1])
}

pub(crate) fn inbound_id(number: usize) -> SaId {
    id(0x2_0000, number, [198, 51, 100, 1])
}

fn id(base: u32, number: usize, destination: [u8; 4]) -> SaId {
    SaId {
        spi: base + u32::try_from(number).unwrap_or(0),
        destination: destination.into(),
        protocol: Protocol::Esp,
    }
}

/// An SA with AES-128-GCM.
fn sa(id: SaId, direction: Direction, source: SaId) -> IpsecSa {
    let mut sa = IpsecSa::new(id, direction, source.destination, Mode::Tunnel);
    sa.encryption = Some(Transform::AES_GCM_128);
    sa.keys = SaKeys::new(&[7; 20], &[]);
    sa.budget = BUDGET;
    sa
}

pub(crate) fn outbound(number: usize) -> IpsecSa {
    let mut sa = sa(outbound_id(number), Direction::Outbound, inbound_id(number));
    sa.esn = number % 2 == 1;
    sa
}

/// Each of another kind.
pub(crate) fn inbound(number: usize) -> IpsecSa {
    let mut sa = sa(inbound_id(number), Direction::Inbound, outbound_id(number));
    (sa.policy, sa.isolated) = match number {
        0 => (InboundPolicy::Strict, Isolated::Continue),
        1 => (InboundPolicy::PeerSync, Isolated::Freeze),
        2 => (InboundPolicy::Resume, Isolated::Continue),
        _ => (InboundPolicy::Strict, Isolated::Freeze),
    };
    sa.esn = number == 1;
    if number == 3 {
        sa.window = WindowSize::MIN;
        sa.lifetime.hard.bytes = Some(50_000_000);
        sa.lifetime.soft.seconds = Some(1000);
        sa.lifetime.hard.seconds = Some(2000);
    }
    sa
}
