//! Two nodes whose links deliver at once, or not at all.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ha_core::checkpoint::{CheckpointClient, CommitPolicy, Shared};
use ha_core::id::{GroupId, LinkId, UnitId};
use ha_core::node::{Event, GroupConfig, Node, NodeConfig, Output};
use ha_core::redundancy::RfState;
use ha_core::scheme::{PeerHealth, PeerHealthConfig};
use ha_core::sync::Commit;
use ha_core::time::Time;
use ha_core::wire::Lane;
use ha_ipsec::id::{IkeId, Protocol, SaId};
use ha_ipsec::record::{Direction, IkeRole, IkeSa, IkeVersion, IpsecSa, Mode, SaKeys, Transform};
use ha_ipsec::sad::{Sad, SadConfig};
use ha_ipsec::secret::Secret;

pub(crate) const GROUP: GroupId = GroupId::new(0);

/// The wall clock when the tests begin.
pub(crate) const UNIX_S: u64 = 1_000_000;

/// One unit.
pub(crate) struct Unit {
    pub(crate) node: Node,
    pub(crate) sad: Sad,
    pub(crate) events: Vec<Event>,
    links: Vec<(LinkId, LinkId)>,
}

/// Both units and what is between them.
pub(crate) struct Pair {
    pub(crate) now: Time,
    /// What the wall clock of each unit is ahead, in seconds.
    pub(crate) ahead_s: [u64; 2],
    pub(crate) units: [Option<Unit>; 2],
    wire: VecDeque<(usize, LinkId, Lane, Bytes)>,
    /// What is sent does not arrive, in either direction, and nobody is told.
    pub(crate) hold: bool,
    next_link: u64,
    incarnations: u64,
    config: SadConfig,
}

impl Pair {
    /// Unit 0 ACTIVE, unit 1 STANDBY HOT.
    pub(crate) fn settled() -> Self {
        Self::settled_with(SadConfig::default())
    }

    pub(crate) fn settled_with(config: SadConfig) -> Self {
        let mut pair = Self::alone(config);
        pair.join(1);
        pair.run_until_whole();
        pair
    }

    /// Unit 0 ACTIVE, without a peer.
    pub(crate) fn alone(config: SadConfig) -> Self {
        let mut pair = Self {
            now: Time::ZERO,
            ahead_s: [0; 2],
            units: [None, None],
            wire: VecDeque::new(),
            hold: false,
            next_link: 1,
            incarnations: 0,
            config,
        };
        pair.boot(0);
        pair.run_until("alone", |pair| pair.state(0) == Some(RfState::Active));
        pair
    }

    /// Starts a unit without memory.
    pub(crate) fn boot(&mut self, unit: usize) {
        let sad = Sad::new(self.config.clone()).unwrap();
        let clients = sad.clients();
        self.boot_with(unit, sad, clients);
    }

    pub(crate) fn boot_with(
        &mut self,
        unit: usize,
        sad: Sad,
        clients: Vec<Arc<dyn CheckpointClient>>,
    ) {
        self.incarnations += 1;
        let scheme = Box::new(PeerHealth::new(PeerHealthConfig::default()));
        let mut group = GroupConfig::new(GROUP, scheme, Shared::new(CommitPolicy::Degrade));
        group.clients = clients;
        let config = NodeConfig::new(UnitId::new(unit as u32), self.incarnations);
        let node = Node::new(config, vec![group], self.now).unwrap();
        let (events, links) = (Vec::new(), Vec::new());
        self.units[unit] = Some(Unit {
            node,
            sad,
            events,
            links,
        });
        self.drain();
    }

    /// Starts a unit and links it with the other.
    pub(crate) fn join(&mut self, unit: usize) {
        self.boot(unit);
        self.connect();
    }

    pub(crate) fn connect(&mut self) {
        let (a, b) = (LinkId::new(self.next_link), LinkId::new(self.next_link + 1));
        self.next_link += 2;
        for (unit, ours, theirs) in [(0, a, b), (1, b, a)] {
            let now = self.now;
            let unit = self.unit(unit);
            unit.links.push((ours, theirs));
            unit.node.handle_link_up(ours, now);
        }
        self.drain();
    }

    /// Breaks all links; what is in flight is lost.
    pub(crate) fn cut(&mut self) {
        self.wire.clear();
        let now = self.now;
        for unit in self.units.iter_mut().flatten() {
            for (link, _) in std::mem::take(&mut unit.links) {
                unit.node.handle_link_down(link, now);
            }
        }
        self.drain();
    }

    /// The process is gone, and its links with it.
    pub(crate) fn crash(&mut self, unit: usize) {
        self.units[unit] = None;
        self.cut();
    }

    /// The unit crashes, and the other one takes over.
    pub(crate) fn fail_over_from(&mut self, unit: usize) {
        self.crash(unit);
        self.run_until("takeover", |pair| {
            pair.state(1 - unit) == Some(RfState::Active)
        });
    }

    pub(crate) fn switchover(&mut self) {
        let (now, from) = (self.now, self.active());
        self.unit(from).node.switchover(GROUP, false, now).unwrap();
        self.drain();
        self.run_until("switchover", |pair| {
            pair.state(1 - from) == Some(RfState::Active)
                && pair.state(from) == Some(RfState::StandbyHot)
        });
    }

    pub(crate) fn peer_fenced(&mut self, unit: usize) {
        let now = self.now;
        self.unit(unit).node.peer_fenced(GROUP, now).unwrap();
        self.drain();
    }

    pub(crate) fn unit(&mut self, unit: usize) -> &mut Unit {
        self.units[unit].as_mut().expect("the unit runs")
    }

    pub(crate) fn sad(&self, unit: usize) -> Sad {
        self.units[unit]
            .as_ref()
            .expect("the unit runs")
            .sad
            .clone()
    }

    pub(crate) fn state(&self, unit: usize) -> Option<RfState> {
        self.units[unit].as_ref()?.node.state(GROUP)
    }

    pub(crate) fn active(&self) -> usize {
        (0..2)
            .find(|unit| self.state(*unit) == Some(RfState::Active))
            .expect("a unit is active")
    }

    pub(crate) fn run_until_whole(&mut self) {
        self.run_until("ACTIVE and STANDBY HOT", |pair| {
            let states = [pair.state(0), pair.state(1)];
            states.contains(&Some(RfState::Active)) && states.contains(&Some(RfState::StandbyHot))
        });
    }

    /// Lets time pass until the condition holds, for a minute at most.
    pub(crate) fn run_until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let limit = self.now + Duration::from_secs(60);
        while !condition(self) {
            let events = || {
                self.units
                    .iter()
                    .flatten()
                    .map(|u| &u.events)
                    .collect::<Vec<_>>()
            };
            assert!(
                self.now < limit,
                "{what}: not within a minute\n{:#?}",
                events()
            );
            self.step();
        }
    }

    /// Lets time pass until the standby holds what a commit waits for.
    pub(crate) fn run_until_committed(&mut self, commit: &Commit) {
        self.run_until("committed", |_| commit.is_done());
    }

    pub(crate) fn run_for(&mut self, ms: u64) {
        (0..ms).for_each(|_| self.step());
    }

    /// A millisecond passes.
    pub(crate) fn step(&mut self) {
        self.now = self.now + Duration::from_millis(1);
        let (now, ahead_s) = (self.now, self.ahead_s);
        for (unit, ahead_s) in self.units.iter_mut().zip(ahead_s) {
            let Some(unit) = unit else { continue };
            unit.sad
                .tick(now, UNIX_S + now.as_millis() / 1000 + ahead_s);
            if unit.node.shared(GROUP).unwrap().doorbell().take() {
                unit.node.handle_doorbell(now);
            }
            unit.node.handle_timeout(now);
        }
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            self.collect();
            let Some((unit, link, lane, message)) = self.wire.pop_front() else {
                return;
            };
            let now = self.now;
            if let (Some(unit), false) = (&mut self.units[unit], self.hold) {
                unit.node.handle_message(link, lane, message, now);
            }
        }
    }

    fn collect(&mut self) {
        let now = self.now;
        for index in 0..2 {
            let Some(unit) = &mut self.units[index] else {
                continue;
            };
            let mut closed = Vec::new();
            loop {
                match unit.node.poll_output(now) {
                    Output::Send {
                        link,
                        lane,
                        message,
                    } => {
                        if let Some((_, theirs)) = unit.links.iter().find(|(ours, _)| *ours == link)
                        {
                            self.wire.push_back((1 - index, *theirs, lane, message));
                        }
                    }
                    Output::CloseLink { link, .. } => closed.push(link),
                    Output::Event(event) => unit.events.push(event),
                    Output::Timeout(_) => break,
                    other => panic!("{other:?}"),
                }
            }
            closed.into_iter().for_each(|link| self.close(index, link));
        }
    }

    /// A unit closes a link: the other one learns of it.
    fn close(&mut self, index: usize, link: LinkId) {
        let now = self.now;
        let Some(at) = self.units[index]
            .as_ref()
            .and_then(|unit| unit.links.iter().position(|(ours, _)| *ours == link))
        else {
            return;
        };
        let (_, theirs) = self.unit(index).links.remove(at);
        if let Some(peer) = &mut self.units[1 - index] {
            peer.links.retain(|(ours, _)| *ours != theirs);
            peer.node.handle_link_down(theirs, now);
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
    let remote = format!("192.0.2.{}:500", number % 250 + 1);
    let id = ike_id(number);
    let local = "198.51.100.1:500".parse().unwrap();
    IkeSa::new(
        id,
        IkeVersion::V2,
        IkeRole::Responder,
        local,
        remote.parse().unwrap(),
    )
}

pub(crate) fn outbound_id(number: u32) -> SaId {
    let destination = "192.0.2.1".parse().unwrap();
    SaId {
        spi: 0x1_0000 + number,
        destination,
        protocol: Protocol::Esp,
    }
}

pub(crate) fn inbound_id(number: u32) -> SaId {
    let destination = "198.51.100.1".parse().unwrap();
    SaId {
        spi: 0x2_0000 + number,
        destination,
        protocol: Protocol::Esp,
    }
}

/// An SA with AES-128-GCM.
pub(crate) fn sa(id: SaId, direction: Direction) -> IpsecSa {
    let source = match direction {
        Direction::Outbound => inbound_id(0).destination,
        Direction::Inbound => outbound_id(0).destination,
    };
    let mut sa = IpsecSa::new(id, direction, source, Mode::Tunnel);
    sa.encryption = Some(Transform::AES_GCM_128);
    sa.keys = SaKeys {
        encryption: Secret::new(&[7; 20]),
        ..SaKeys::default()
    };
    sa
}

pub(crate) fn outbound(number: u32) -> IpsecSa {
    sa(outbound_id(number), Direction::Outbound)
}

pub(crate) fn inbound(number: u32) -> IpsecSa {
    sa(inbound_id(number), Direction::Inbound)
}
