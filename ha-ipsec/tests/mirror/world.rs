//! Two units with a kernel each.

use std::collections::HashSet;

use ha_core::id::ClientId;
use ha_ipsec::id::SaId;
use ha_ipsec::linux::mirror::{Clocks, Filter, Mirror, MirrorConfig, Mode, Takeover};
use ha_ipsec::record::IpsecSa;
use ha_ipsec::sad::{Sad, SadConfig};

use crate::harness::{Pair, UNIX_S, inbound, inbound_id, outbound, outbound_id};
use crate::model::Model;

/// The pair, and what hangs on it.
pub(crate) struct World {
    pub(crate) pair: Pair,
    pub(crate) kernels: [Model; 2],
    pub(crate) mirrors: [Option<Mirror<Model>>; 2],
    /// The role that each mirror was told.
    told: [Option<bool>; 2],
    pub(crate) config: MirrorConfig,
    /// Numbers that were sent, by any unit.
    pub(crate) sent: HashSet<(SaId, u64)>,
    /// Numbers that were accepted, by any unit.
    pub(crate) accepted: HashSet<(SaId, u64)>,
}

pub(crate) fn config(mode: Mode) -> MirrorConfig {
    let filter = Filter::addresses([inbound_id(0).destination]);
    let mut config = MirrorConfig::new(mode, filter);
    config.policies_client = ClientId::new(110);
    // Small, so that a test can pass it.
    config.budget = 10_000;
    config
}

impl World {
    pub(crate) fn new(config: MirrorConfig) -> Self {
        let mut pair = Pair::alone(SadConfig::default());
        pair.crash(0);
        let mut world = Self {
            pair,
            kernels: [Model::default(), Model::default()],
            mirrors: [None, None],
            told: [None; 2],
            config,
            sent: HashSet::new(),
            accepted: HashSet::new(),
        };
        world.boot(0);
        world.run_until("active", |world| world.is_active(0));
        world.boot(1);
        world.run_until("whole", World::is_whole);
        world
    }

    /// A unit's mirror starts; its kernel may have lived on.
    pub(crate) fn boot(&mut self, unit: usize) {
        let config = SadConfig {
            observe_interval: self.config.event_interval,
            ..SadConfig::default()
        };
        let sad = Sad::new(config).unwrap();
        let kernel = self.kernels[unit].clone();
        let mirror = Mirror::new(self.config.clone(), sad.clone(), kernel).unwrap();
        self.pair.boot_with(unit, sad, mirror.clients());
        self.mirrors[unit] = Some(mirror);
        self.told[unit] = None;
        if self.pair.units.iter().all(Option::is_some) {
            self.pair.connect();
        }
    }

    /// With an SA pair in use.
    pub(crate) fn in_use(mode: Mode) -> Self {
        let mut world = Self::new(config(mode));
        let units: &[usize] = if mode == Mode::Full { &[0] } else { &[0, 1] };
        world.install(units, 1);
        world.run_for(100);
        assert_eq!(world.mirror(0).stats().followed, 2);
        world
    }

    /// Traffic both ways for some milliseconds. Returns the peer's next number.
    pub(crate) fn traffic(&mut self, unit: usize, ms: u64, mut peer: u64) -> u64 {
        for _ in 0..ms {
            self.send(unit, 1, 3);
            for _ in 0..3 {
                self.receive(unit, 1, peer);
                peer += 1;
            }
            self.step();
        }
        peer
    }

    /// The machine dies, its kernel with it.
    pub(crate) fn crash(&mut self, unit: usize) {
        self.pair.crash(unit);
        self.mirrors[unit] = None;
        self.told[unit] = None;
        self.kernels[unit] = Model::default();
    }

    pub(crate) fn is_whole(&self) -> bool {
        use ha_core::redundancy::RfState;
        let states = [self.pair.state(0), self.pair.state(1)];
        states.contains(&Some(RfState::Active))
            && states.contains(&Some(RfState::StandbyHot))
            && self.told.contains(&Some(true))
            && !self.told.contains(&None)
    }

    pub(crate) fn is_active(&self, unit: usize) -> bool {
        self.told[unit] == Some(true)
    }

    pub(crate) fn mirror(&self, unit: usize) -> &Mirror<Model> {
        self.mirrors[unit].as_ref().expect("the mirror runs")
    }

    /// A millisecond passes.
    pub(crate) fn step(&mut self) {
        self.pair.step();
        let unix_s = UNIX_S + self.pair.now.as_millis() / 1000;
        if self.pair.now.as_millis().is_multiple_of(1000) {
            self.kernels.iter().for_each(Model::fire_timers);
        }
        for unit in 0..2 {
            let clocks = Clocks {
                now: self.pair.now,
                unix_s: unix_s + self.pair.ahead_s[unit],
            };
            self.kernels[unit].set_unix_s(clocks.unix_s);
            let Some(mirror) = &mut self.mirrors[unit] else {
                continue;
            };
            let open = mirror.sad().stats().open;
            if self.told[unit] != Some(open) {
                self.told[unit] = Some(open);
                if open {
                    let _: Takeover = mirror.become_active(clocks).unwrap();
                } else {
                    mirror.become_standby().unwrap();
                }
            }
            while mirror.poll(clocks).unwrap() {}
        }
    }

    pub(crate) fn settle(&mut self, unit: usize) {
        let clocks = Clocks {
            now: self.pair.now,
            unix_s: UNIX_S + self.pair.now.as_millis() / 1000,
        };
        self.mirrors[unit].as_mut().unwrap().settle(clocks).unwrap();
    }

    pub(crate) fn run_for(&mut self, ms: u64) {
        (0..ms).for_each(|_| self.step());
    }

    pub(crate) fn run_until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        for _ in 0..60_000 {
            if condition(self) {
                return;
            }
            self.step();
        }
        panic!("{what}: not within a minute");
    }

    /// Sends, and fails if a number was used before.
    pub(crate) fn send(&mut self, unit: usize, number: u32, packets: u64) {
        let id = outbound_id(number);
        for number in self.kernels[unit].send(id, packets) {
            assert!(self.sent.insert((id, number)), "{id}: {number} used twice");
        }
    }

    /// A packet of the peer arrives; fails if it was accepted before.
    pub(crate) fn receive(&mut self, unit: usize, sa: u32, number: u64) -> bool {
        let id = inbound_id(sa);
        let accepted = self.kernels[unit].receive(id, number);
        if accepted {
            assert!(
                self.accepted.insert((id, number)),
                "{id}: {number} accepted twice"
            );
        }
        accepted
    }

    /// An IKE daemon makes SAs, on the unit alone or (with high availability of its own) on both.
    pub(crate) fn install(&self, units: &[usize], number: u32) {
        for unit in units {
            self.kernels[*unit].install(prepared(outbound(number)));
            self.kernels[*unit].install(prepared(inbound(number)));
        }
    }
}

pub(crate) fn prepared(mut sa: IpsecSa) -> IpsecSa {
    sa.reqid = 7;
    sa
}
