//! The workload: SAs that come and go, and packets in both directions.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ha_core::checkpoint::CheckpointClient;
use ha_core::sim::{Op, Rng, Traffic, Workload, Writing};

use super::client::Watched;
use super::coverage::Coverage;
use super::gateway::Gateway;
use super::locked;
use super::oracle::{Oracle, Rules, Use};
use super::peer::Peer;
use super::planted::Planted;
use super::sas::{Sas, inbound_id, inbound_key, key_of, pair_key, pair_of};
use super::wire::{Packet, Wire};
use crate::replay::{Accept, Replay};
use crate::sad::{InboundSa, LookupError, OutboundSa, Sad, SadConfig, SadEvent};
use crate::sequence::Refused;

/// Two gateways' SAs, their peers, the network between them and an attacker.
pub(super) struct SaTraffic {
    sas: Sas,
    config: SadConfig,
    planted: Planted,
    oracle: Arc<Mutex<Oracle>>,
    /// Where to draw what the simulation does not draw.
    rng: Rng,
    gateways: [Option<Gateway>; 2],
    /// By the key of the inbound SA: the pair's register, and the peer that knows its keys.
    peers: BTreeMap<u64, (usize, Peer)>,
    wire: Wire,
    /// Registers whose rekey the database of a unit asked for.
    rekeys: [Vec<usize>; 2],
    interval: Duration,
    /// How many of the writes that are due are made; per mille. With fewer, SAs live longer.
    churn: u64,
    /// Packets of a usual burst that is sent.
    burst: u64,
}

impl SaTraffic {
    pub(super) fn new(seed: u64, planted: Planted, oracle: Arc<Mutex<Oracle>>) -> Self {
        let mut rng = Rng::new(seed ^ 0x5a5a_7af1_c000_0001);
        let sas = Sas::new(&mut rng);
        let config = SadConfig {
            seed: Some(rng.next_u64()),
            max_sas: 200,
            max_ike_sas: 50,
            replay_interval_outbound: rng.pick(&[1, 30, 500]).unwrap_or(30),
            replay_interval_inbound: rng.pick(&[1, 30, 500]).unwrap_or(30),
            quiet: rng.millis(20..=500),
            flush_interval: rng.millis(1..=50),
            planted: planted.counters(),
            ..SadConfig::default()
        };
        Self {
            sas,
            config,
            planted,
            oracle,
            gateways: [None, None],
            peers: BTreeMap::new(),
            wire: Wire::new(&mut rng),
            rekeys: Default::default(),
            interval: rng.millis(5..=40),
            churn: rng.pick(&[3, 20, 100, 500]).unwrap_or(100),
            burst: rng.pick(&[1, 4, 40]).unwrap_or(4),
            rng,
        }
    }

    /// How many registers are pairs of SAs.
    pub(super) fn pairs(&self) -> usize {
        self.sas.pairs()
    }
}

/// What the application does to SAs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// There are none.
    Create,
    /// New SAs, with new keys, take the place of the old ones.
    Rekey,
    /// The same SAs, with other records.
    Replace,
    Remove,
}

impl Kind {
    fn count(self, coverage: &mut Coverage) -> &mut u64 {
        match self {
            Self::Create => &mut coverage.created,
            Self::Rekey => &mut coverage.rekeyed,
            Self::Replace => &mut coverage.replaced,
            Self::Remove => &mut coverage.removed,
        }
    }
}

/// The application of the active unit.
impl SaTraffic {
    /// Makes a change. Returns what was written.
    fn write(&mut self, at: &mut Writing<'_>) -> Option<Vec<(usize, Op)>> {
        let registers = self.choose(at);
        let sad = &self.gateways[at.unit].as_ref()?.sad;
        let op = at.journal.next_op();
        let is_there = |register: &usize| self.sas.read(sad, *register).is_some();
        let kind = if registers.iter().all(is_there) {
            at.rng.pick(&[
                Kind::Remove,
                Kind::Rekey,
                Kind::Rekey,
                Kind::Replace,
                Kind::Replace,
            ])?
        } else {
            Kind::Create
        };
        let mut change = sad.change();
        if kind == Kind::Replace {
            self.sas.touch(&mut change, &registers, op, sad)?;
        } else {
            // Of a family that was taken over in part, the rest goes too.
            self.sas.remove(&mut change, &registers, sad);
        }
        if matches!(kind, Kind::Create | Kind::Rekey) {
            self.sas.create(&mut change, &registers, op);
        }
        let commit = change.commit().ok()?;
        *kind.count(&mut locked(&self.oracle).coverage) += 1;
        for register in &registers {
            match kind {
                Kind::Remove => at.journal.removed(*register, op),
                _ => at.journal.put(*register, op),
            }
            if matches!(kind, Kind::Create | Kind::Rekey) && *register < self.pairs() {
                locked(&self.oracle).recovery.rekeys[at.unit].remove(register);
                self.meet(*register, op);
            }
        }
        let writes: Vec<_> = registers
            .into_iter()
            .map(|register| (register, op))
            .collect();
        at.journal.transaction(writes.clone(), commit);
        Some(writes)
    }

    /// Sometimes a commit stands for all that was written so far.
    fn barrier(&self, written: BTreeMap<usize, Op>, at: &mut Writing<'_>) {
        if !written.is_empty()
            && at.rng.chance(100)
            && let Ok(commit) = at.shared.barrier()
        {
            at.journal.barrier(written.into_iter().collect(), commit);
        }
    }

    /// What to write: rekeys that were asked for come first.
    fn choose(&mut self, at: &mut Writing<'_>) -> Vec<usize> {
        let asked = self.rekeys[at.unit].pop();
        let any = at.rng.index(self.sas.alone() + self.sas.families());
        let chosen = asked.unwrap_or_else(|| {
            if any < self.sas.alone() {
                any
            } else {
                self.pairs() + any - self.sas.alone()
            }
        });
        match chosen.checked_sub(self.pairs()) {
            Some(family) => self.sas.family(family),
            None => vec![chosen],
        }
    }

    /// The peer of a pair of SAs that were just created.
    fn meet(&mut self, pair: usize, op: Op) {
        let peer = Peer::new(self.sas.is_esn(pair));
        self.peers.insert(inbound_key(op, pair), (pair, peer));
        let held: Vec<u64> = self.held(pair).collect();
        let of_pair = self.peers.iter().filter(|(_, (of, _))| *of == pair);
        let gone = of_pair
            .map(|(key, _)| *key)
            .filter(|key| !held.contains(key));
        let gone: Vec<u64> = gone.collect();
        if gone.len() > PEERS_PER_PAIR {
            self.peers.remove(&gone[0]);
        }
    }
}

/// Packets from the peers to the gateways.
impl SaTraffic {
    fn peers_send(&mut self, at: &Traffic<'_>) {
        let pairs = 0..self.pairs();
        let mut speak: Vec<u64> = pairs.flat_map(|pair| self.held(pair)).collect();
        speak.dedup();
        speak.retain(|_| self.rng.chance(300));
        // Peers of SAs that are gone, or under way, go on for a while.
        let old = self.rng.index(self.peers.len());
        speak.extend(self.peers.keys().copied().nth(old).filter(|_| !at.calm));
        for key in speak {
            let Some((pair, peer)) = self.peers.get_mut(&key) else {
                continue;
            };
            for number in peer.send(&mut self.rng, at.calm) {
                self.wire.send((*pair, key, number), at.now, &mut self.rng);
            }
        }
    }

    /// The keys under which a unit receives from the peer of a pair.
    fn held(&self, pair: usize) -> impl Iterator<Item = u64> {
        let sads = self.gateways.iter().flatten().map(|gateway| &gateway.sad);
        sads.filter_map(move |sad| Some(key_of(&*sad.record(&inbound_id(pair))?)))
    }

    /// The attacker sends recorded packets again, to this unit, now.
    fn attack(&mut self, at: &Traffic<'_>) {
        let often = if at.woke { 500 } else { 50 };
        if at.calm || !self.rng.chance(often) || self.peers.is_empty() {
            return;
        }
        let nth = self.peers.len() - 1 - self.rng.index(self.peers.len().min(30));
        let Some((key, (pair, peer))) = self.peers.iter().nth(nth) else {
            return;
        };
        for number in peer.recorded(&mut self.rng) {
            locked(&self.oracle).coverage.attacks += 1;
            self.wire.put(at.unit, (*pair, *key, number), at.now);
        }
    }

    fn receive(&mut self, packet: Packet, at: &Traffic<'_>) {
        let Some(gateway) = &mut self.gateways[at.unit] else {
            return;
        };
        let mut oracle = locked(&self.oracle);
        let pair = packet.register;
        let (sa, stale) = match gateway.inbound(pair, &mut self.rng) {
            Ok(found) => found,
            Err(LookupError::NotActive { .. }) => return,
            Err(error) => return oracle.recovery.obstacle(pair, true, error),
        };
        let number = sa.infer(packet.number as u32);
        if key_of(sa.record()) != packet.key || number != packet.number {
            return oracle
                .recovery
                .obstacle(pair, true, "its integrity check fails");
        }
        oracle.coverage.stale_handles += u64::from(stale);
        let judged = match sa.check(number) {
            Ok(()) => sa.accept(number),
            Err(replay) => Accept::Replay(replay),
        };
        match judged {
            Accept::Deliver { exposed, .. } => {
                delivered(&mut oracle, &sa, pair, number, exposed, at);
            }
            Accept::Pending(pending) => {
                oracle.coverage.parked += 1;
                oracle
                    .recovery
                    .obstacle(pair, true, "it waits for the standby");
                gateway.park(pending, pair, sa, at.local);
            }
            Accept::Replay(replay) => {
                oracle.recovery.obstacle(pair, true, replay);
                count_replay(&mut oracle, replay);
            }
        }
    }

    /// Packets that waited.
    fn release(&mut self, at: &Traffic<'_>) {
        let Some(gateway) = &mut self.gateways[at.unit] else {
            return;
        };
        for released in gateway.released(at.local) {
            let mut oracle = locked(&self.oracle);
            oracle.coverage.delivered_late += 1;
            delivered(
                &mut oracle,
                &released.sa,
                released.pair,
                released.number,
                released.exposed,
                at,
            );
        }
    }
}

/// Packets from the gateways to the peers.
impl SaTraffic {
    fn send(&mut self, pair: usize, at: &Traffic<'_>) {
        let Some(gateway) = &mut self.gateways[at.unit] else {
            return;
        };
        let (sa, stale) = match gateway.outbound(pair, &mut self.rng) {
            Ok(found) => found,
            Err(LookupError::NotActive { .. }) => return,
            Err(error) => return locked(&self.oracle).recovery.obstacle(pair, false, error),
        };
        locked(&self.oracle).coverage.stale_handles += u64::from(stale);
        let long = self.rng.chance(20);
        let burst = if long {
            600
        } else {
            self.rng.range(1..=self.burst)
        };
        let mut left = burst;
        while left > 0 {
            let (first, count) = match self.number(&sa, left) {
                Ok(granted) => granted,
                Err(refused) => {
                    let oracle = &mut locked(&self.oracle);
                    oracle.recovery.obstacle(pair, false, refused);
                    return count_refusal(oracle, refused);
                }
            };
            for number in first..first + count {
                self.sent(&sa, pair, number, at);
            }
            left = left.saturating_sub(count);
        }
    }

    /// One number, or several at once.
    fn number(&mut self, sa: &OutboundSa, left: u64) -> Result<(u64, u64), Refused> {
        if self.rng.chance(500) {
            return Ok((sa.next()?, 1));
        }
        let most = u32::try_from(left).unwrap_or(u32::MAX);
        let range = sa.take(most)?;
        Ok((range.first, u64::from(range.count)))
    }

    fn sent(&mut self, sa: &OutboundSa, pair: usize, number: u64, at: &Traffic<'_>) {
        let by = Use {
            unit: at.unit,
            at: at.now,
        };
        let key = key_of(sa.record());
        let mut oracle = locked(&self.oracle);
        oracle.sent(key, number, by);
        self.wire.learn(at.unit, &mut self.rng);
        let arrives = at.calm || self.rng.chance(900);
        if let (Some((_, peer)), true) = (self.peers.get_mut(&pair_key(key)), arrives) {
            if peer.receive(number) {
                oracle.coverage.peer_received += 1;
                oracle.recovery.note(pair, false);
            } else {
                let why = format!("the peer refuses number {number}: {peer:?}");
                oracle.recovery.obstacle(pair, false, why);
            }
        }
    }
}

impl Workload for SaTraffic {
    fn registers(&self) -> usize {
        self.sas.registers()
    }

    fn groups(&self) -> Vec<Vec<usize>> {
        (0..self.sas.families())
            .map(|family| self.sas.family(family))
            .collect()
    }

    fn bytes(&self) -> usize {
        self.registers() * 4096
    }

    fn start(&mut self, unit: usize) -> Vec<Arc<dyn CheckpointClient>> {
        let config = SadConfig {
            seed: Some(self.rng.next_u64()),
            ..self.config.clone()
        };
        let sad = match Sad::new(config) {
            Ok(sad) => sad,
            Err(error) => unreachable!("the settings are in range: {error}"),
        };
        let clients = sad.clients().into_iter();
        let clients = clients.map(|client| {
            if client.descriptor().name == COUNTERS {
                Arc::new(self.watched(client, unit, &sad))
            } else {
                client
            }
        });
        let clients = clients.collect();
        let oracle = &mut *locked(&self.oracle);
        oracle.standby_synced[unit] = false;
        oracle.recovery.rekeys[unit].clear();
        self.gateways[unit] = Some(Gateway::new(sad, self.sas.pairs(), &mut self.rng));
        self.rekeys[unit].clear();
        clients
    }

    fn step(&mut self, at: &mut Writing<'_>) {
        let mut written = BTreeMap::new();
        for _ in 0..at.writes.min(100) {
            if at.rng.chance(self.churn) {
                written.extend(self.write(at).into_iter().flatten());
            }
        }
        self.barrier(written, at);
    }

    fn traffic_interval(&self) -> Option<Duration> {
        Some(self.interval)
    }

    fn traffic(&mut self, at: &mut Traffic<'_>) {
        if at.woke {
            locked(&self.oracle).coverage.awakenings += 1;
        }
        if at.calm {
            self.wire.calm_down();
            self.gateways
                .iter_mut()
                .flatten()
                .for_each(Gateway::calm_down);
        }
        self.peers_send(at);
        self.attack(at);
        // The control thread of the application may run before the packet threads, or after.
        let ticks_first = self.rng.chance(500);
        if ticks_first {
            self.tick(at);
        }
        while let Some(packet) = self.wire.arrived(at.unit, at.now) {
            self.receive(packet, at);
        }
        self.release(at);
        for pair in 0..self.pairs() {
            if at.calm || self.rng.chance(400) {
                self.send(pair, at);
            }
        }
        if !ticks_first {
            self.tick(at);
        }
        locked(&self.oracle).coverage.copies = self.wire.copies;
    }

    fn read(&self, unit: usize, register: usize) -> Option<Op> {
        let gateway = self.gateways[unit].as_ref()?;
        self.sas.read(&gateway.sad, register)
    }
}

impl SaTraffic {
    fn watched(&self, inner: Arc<dyn CheckpointClient>, unit: usize, sad: &Sad) -> Watched {
        Watched {
            inner,
            unit,
            sad: sad.clone(),
            oracle: Arc::clone(&self.oracle),
            planted: self.planted,
        }
    }

    fn tick(&mut self, at: &Traffic<'_>) {
        let Some(Gateway { sad, .. }) = &self.gateways[at.unit] else {
            return;
        };
        sad.tick(at.local, at.now.as_millis() / 1000);
        while let Some(event) = sad.poll_event() {
            if let SadEvent::Rekey { id, .. } | SadEvent::NoCounters { id } = event {
                let pair = pair_of(&id);
                let oracle = &mut *locked(&self.oracle);
                oracle.coverage.rekeys_requested += 1;
                oracle.recovery.rekeys[at.unit].insert(pair);
                self.rekeys[at.unit].push(self.sas.unit_of_rekey(pair));
            }
        }
    }
}

fn delivered(
    oracle: &mut Oracle,
    sa: &InboundSa,
    pair: usize,
    number: u64,
    exposed: bool,
    at: &Traffic<'_>,
) {
    let record = sa.record();
    let rules = Rules {
        policy: record.policy,
        isolated: record.isolated,
    };
    oracle.delivered((key_of(record), number), rules, (at.unit, at.now, exposed));
    oracle.recovery.note(pair, true);
}

fn count_replay(oracle: &mut Oracle, replay: Replay) {
    let coverage = &mut oracle.coverage;
    *match replay {
        Replay::TooOld | Replay::Exhausted => &mut coverage.refused_old,
        Replay::Duplicate => &mut coverage.refused_duplicates,
        Replay::BelowFloor => &mut coverage.refused_floor,
        Replay::Closed => &mut coverage.refused_closed,
    } += 1;
}

fn count_refusal(oracle: &mut Oracle, refused: Refused) {
    let coverage = &mut oracle.coverage;
    *match refused {
        Refused::Closed => &mut coverage.send_closed,
        Refused::NoReservation => &mut coverage.without_reservation,
        Refused::BudgetExhausted | Refused::SpaceExhausted => &mut coverage.budget_exhausted,
    } += 1;
}

/// The client whose role notices, and whose flush, are those of the counters.
const COUNTERS: &str = "ipsec-counters";

/// Most SAs that neither unit has any more, but that may be under way from one to the other, by
/// pair.
const PEERS_PER_PAIR: usize = 100;
