//! The world that is simulated: two units, the network between them, the application on them.

use std::sync::Arc;

use super::agenda::{Agenda, Due, Input, is_abortive};
use super::clock::Clock;
use super::config::SimConfig;
use super::coverage::Coverage;
use super::flaky::Flaky;
use super::journal::{Journal, Op, Resolution, Writer, Writing};
use super::network::{Delivery, Network, PATHS};
use super::rng::Rng;
use super::unit::{Counted, Stand, Unit};
use super::workload::{Traffic, Workload};
use crate::checkpoint::{CheckpointClient, Shared};
use crate::id::{GroupId, UnitId};
use crate::node::{Event, GroupConfig, Node, NodeConfig, Output};
use crate::redundancy::Answer;
use crate::scheme::{PeerHealth, PeerHealthConfig};
use crate::time::Time;
use crate::wire::Lane;

/// The group that the simulation is about.
pub const GROUP: GroupId = GroupId::new(1);

/// Everything there is, as invariants see it.
pub struct World {
    pub(crate) config: SimConfig,
    pub(crate) now: Time,
    pub(crate) rng: Rng,
    /// Of its own, so that a data path does not shift anything else.
    pub(crate) traffic_rng: Rng,
    pub(crate) agenda: Agenda,
    pub(crate) network: Network,
    pub(crate) units: [Unit; 2],
    pub(crate) workload: Box<dyn Workload>,
    pub(crate) journal: Journal,
    pub(crate) coverage: Coverage,
    pub(crate) happened: Happened,
    pub(crate) trace: Option<Trace>,
    /// Whether faults happen, or are over for good.
    pub(crate) calm: bool,
    pub(crate) writing: bool,
    pub(crate) forced: bool,
    /// Events since time last went on.
    pub(crate) still: u32,
}

/// Takes the lines of a trace: when, which unit, what.
pub type Trace = Box<dyn FnMut(Time, Option<usize>, &str)>;

/// What one event of the simulation brought about.
#[derive(Default)]
#[non_exhaustive]
pub struct Happened {
    /// What the units reported.
    pub events: Vec<(usize, Event)>,
    /// Commits that resolved.
    pub resolved: Vec<Resolution>,
    /// Units whose node was called.
    pub called: [bool; 2],
    /// Units whose tables may have changed by replication, or whose role did.
    pub changed: [bool; 2],
    /// Units that dropped their tables to receive everything anew.
    pub flushed: [bool; 2],
    /// Marks that the active unit had lost, found by its audit.
    pub lost_marks: u64,
}

impl World {
    pub(crate) fn new(config: SimConfig, workload: Box<dyn Workload>) -> Self {
        let mut rng = Rng::new(config.seed);
        let traffic_rng = Rng::new(config.seed ^ 0x7af1_c5ee_d0da_7a11);
        let network = Network::new(config.delay_us, config.adversity.duplicates, rng.fork());
        let units = [0, 1].map(|_| {
            let origin = rng.range(0..=1 << 40);
            let drift = i32::try_from(rng.below(20_000)).unwrap_or(0) - 10_000;
            Unit::new(Clock::new(origin, drift))
        });
        let journal = Journal::new(workload.registers());
        let mut world = Self {
            config,
            now: Time::ZERO,
            rng,
            traffic_rng,
            agenda: Agenda::default(),
            network,
            units,
            workload,
            journal,
            coverage: Coverage::default(),
            happened: Happened::default(),
            trace: None,
            calm: false,
            writing: true,
            forced: false,
            still: 0,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for unit in 0..2 {
            let at = self.now + self.rng.millis(0..=500);
            self.agenda.add(at, Due::Start { unit });
        }
        for path in 0..PATHS {
            self.agenda.add(self.now, Due::Connect { path });
        }
        self.agenda.add(self.now, Due::Step);
        for unit in 0..2 {
            self.next_traffic(unit);
        }
        let at = self.now + self.config.adversity.interval;
        self.agenda.add(at, Due::Fault);
    }

    /// The time of the simulation.
    pub fn now(&self) -> Time {
        self.now
    }

    /// How this simulation runs.
    pub fn config(&self) -> &SimConfig {
        &self.config
    }

    /// The units.
    pub fn units(&self) -> &[Unit; 2] {
        &self.units
    }

    /// What was written and acknowledged.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The application.
    pub fn workload(&self) -> &dyn Workload {
        &*self.workload
    }

    /// What the event that was just handled brought about.
    pub fn happened(&self) -> &Happened {
        &self.happened
    }

    /// Whether faults are over for good.
    pub fn is_calm(&self) -> bool {
        self.calm
    }

    /// Whether the active unit was told to hand over whatever the standby holds.
    pub fn was_forced(&self) -> bool {
        self.forced
    }

    /// Bytes that a unit has sent on a lane and that the other one has not taken in.
    pub fn bytes_under_way(&self, from: usize, lane: Lane) -> usize {
        let waiting = self.units[1 - from].inbox.iter().map(|input| match input {
            Input::Message {
                lane: of, bytes, ..
            } if *of == lane => bytes.len(),
            _ => 0,
        });
        self.network.bytes_under_way(from, lane) + waiting.sum::<usize>()
    }

    /// Messages that a unit has sent and that the other one has not taken in.
    pub fn messages_under_way(&self, from: usize) -> usize {
        self.network.messages_under_way(from) + self.units[1 - from].inbox.len()
    }

    /// The unit that is active, if exactly one is.
    pub fn active(&self) -> Option<usize> {
        let active = |unit: &usize| self.units[*unit].stand.is_some_and(|stand| stand.active);
        let mut all = (0..2).filter(active);
        all.next().filter(|_| all.next().is_none())
    }

    /// Handles what is due next.
    pub(crate) fn step(&mut self) -> bool {
        let Some((at, due)) = self.agenda.next() else {
            return false;
        };
        self.still = if at > self.now { 0 } else { self.still + 1 };
        self.now = self.now.max(at);
        self.begin_event();
        self.handle(due);
        self.journal.resolve(&mut self.happened.resolved);
        self.count();
        true
    }

    fn begin_event(&mut self) {
        self.happened = Happened::default();
        for unit in &mut self.units {
            unit.before = unit.stand;
        }
    }

    fn handle(&mut self, due: Due) {
        match due {
            Due::Deliver { conn, from, lane } => self.deliver(conn, from, lane),
            Due::Up { conn, end } => {
                if self.units[end].node.is_none() {
                    self.network
                        .close(conn, end, true, self.now, &mut self.agenda);
                } else if self.network.up(conn, end, self.now, &mut self.agenda) {
                    self.input(end, Input::Up { conn });
                }
            }
            Due::Down { conn, end } => {
                if self.network.down(conn, end, self.now, &mut self.agenda) {
                    self.input(end, Input::Down { conn });
                }
            }
            Due::GiveUp { conn, end } => {
                if self.network.give_up(conn, end) {
                    self.network
                        .refuse(conn, 1 - end, self.now, &mut self.agenda);
                    self.input(end, Input::Down { conn });
                }
            }
            Due::Connect { path } => self.connect(path),
            Due::Heal { path, from } => self.network.heal(path, from, self.now, &mut self.agenda),
            Due::Timer { unit } => self.timer(unit),
            Due::Doorbell { unit } => self.run(unit, |node, now| node.handle_doorbell(now)),
            Due::Answer {
                unit,
                epoch,
                token,
                fail,
            } => self.answer(unit, epoch, token, fail),
            Due::Wake { unit } => self.wake(unit),
            Due::Start { unit } => self.start(unit),
            Due::Fence { unit } => self.fence(unit),
            Due::MaintenanceOver { unit } => self.maintenance(unit, false),
            Due::Step => self.work(),
            Due::Traffic { unit } => {
                self.traffic(unit, false);
                self.next_traffic(unit);
            }
            Due::Fault => self.fault(),
        }
    }

    /// Starts a unit's process.
    pub(crate) fn start(&mut self, unit: usize) {
        if self.units[unit].node.is_some() {
            return;
        }
        let clients = self.workload.start(unit);
        let shared = Shared::new(self.config.commit_policy);
        let clock = self.units[unit].clock;
        let now = clock.local(self.now);
        let node = self.make_node(unit, &clients, &shared, now);
        let new = &mut self.units[unit];
        let (epoch, failures) = (new.epoch + 1, Arc::clone(&new.failures));
        failures.store(0, std::sync::atomic::Ordering::Relaxed);
        *new = Unit {
            epoch,
            failures,
            ..Unit::new(clock)
        };
        new.clients = clients
            .iter()
            .map(|client| client.descriptor().id)
            .collect();
        (new.node, new.shared) = (Some(node), Some(shared));
        self.coverage.starts += 1;
        self.trace(Some(unit), || format!("starts, for the {epoch}. time"));
        self.drain(unit);
    }

    fn make_node(
        &mut self,
        unit: usize,
        clients: &[Arc<dyn CheckpointClient>],
        shared: &Arc<Shared>,
        now: Time,
    ) -> Node {
        let id = UnitId::new(u32::from(unit == 1));
        let mut config = NodeConfig::new(id, self.rng.next_u64());
        config.keepalive = self.config.keepalive;
        config.changes_window_bytes = self.config.changes_window_bytes;
        config.bulk_window_bytes = self.config.bulk_window_bytes;
        config.digest_interval = self.config.digest_interval;
        let scheme = PeerHealth::new(PeerHealthConfig::for_keepalive(self.config.keepalive));
        let mut group = GroupConfig::new(GROUP, Box::new(scheme), Arc::clone(shared));
        group.planted = self.config.planted;
        group.notification_timer = core::time::Duration::from_secs(1);
        let failures = &self.units[unit].failures;
        group.clients = clients
            .iter()
            .map(|inner| {
                let (inner, failures) = (Arc::clone(inner), Arc::clone(failures));
                Arc::new(Flaky { inner, failures }) as Arc<dyn CheckpointClient>
            })
            .collect();
        match Node::new(config, vec![group], now) {
            Ok(node) => node,
            Err(error) => panic!("the simulation's settings are out of range: {error}"),
        }
    }

    /// Calls a unit's node and carries out what it asks for.
    pub(crate) fn run(&mut self, unit: usize, call: impl FnOnce(&mut Node, Time)) {
        let this = &mut self.units[unit];
        let now = this.clock.local(self.now);
        if let (Some(node), false) = (&mut this.node, this.paused) {
            call(node, now);
            self.drain(unit);
        }
    }

    fn drain(&mut self, unit: usize) {
        let now = self.units[unit].clock.local(self.now);
        loop {
            let Some(node) = &mut self.units[unit].node else {
                return;
            };
            match node.poll_output(now) {
                Output::Send {
                    link,
                    lane,
                    message,
                } => {
                    let conn = Network::connection(link);
                    self.network
                        .send(conn, unit, (lane, message), self.now, &mut self.agenda);
                }
                Output::CloseLink { link, reason } => {
                    self.trace(Some(unit), || format!("closes {link}: {reason}"));
                    let (conn, abort) = (Network::connection(link), is_abortive(&reason));
                    self.network
                        .close(conn, unit, abort, self.now, &mut self.agenda);
                }
                Output::NotifyClient { token, .. } => self.notify(unit, token),
                Output::Event(event) => self.event(unit, event),
                Output::Timeout(at) => {
                    self.arm(unit, at);
                    break;
                }
            }
        }
        self.look(unit);
    }

    fn event(&mut self, unit: usize, event: Event) {
        if !matches!(event, Event::Staleness { .. }) {
            self.trace(Some(unit), || format!("{event:?}"));
        }
        self.happened.flushed[unit] |= matches!(event, Event::SyncBegan { full: true, .. });
        self.happened.events.push((unit, event));
    }

    fn notify(&mut self, unit: usize, token: crate::redundancy::NotificationToken) {
        let fail = !self.calm && self.rng.chance(10);
        if self.calm || !self.rng.chance(5) {
            let at = self.now + self.rng.micros(0..=20_000);
            let epoch = self.units[unit].epoch;
            self.agenda.add(
                at,
                Due::Answer {
                    unit,
                    epoch,
                    token,
                    fail,
                },
            );
        }
    }

    fn answer(
        &mut self,
        unit: usize,
        epoch: u64,
        token: crate::redundancy::NotificationToken,
        fail: bool,
    ) {
        if self.units[unit].epoch != epoch {
            return;
        }
        let answer = if fail {
            Answer::Failed("told to fail".into())
        } else {
            Answer::Done
        };
        // An answer that comes too late is refused, which is right.
        self.run(unit, |node, now| {
            let _ = node.handle_client_answer(GROUP, token, answer, now);
        });
    }

    fn arm(&mut self, unit: usize, local: Time) {
        let at = self.units[unit].clock.global(local).max(self.now);
        let unit_ = &mut self.units[unit];
        unit_.timeout = at;
        if local.as_nanos() != u64::MAX && unit_.timer.is_none_or(|timer| at < timer) {
            unit_.timer = Some(at);
            self.agenda.add(at, Due::Timer { unit });
        }
    }

    fn timer(&mut self, unit: usize) {
        let now = self.now;
        let this = &mut self.units[unit];
        if this.timer.is_none_or(|timer| timer > now) {
            return;
        }
        this.timer = None;
        if this.node.is_none() || this.paused {
            return;
        }
        if this.timeout > now {
            this.timer = Some(this.timeout);
            let at = this.timeout;
            return self.agenda.add(at, Due::Timer { unit });
        }
        self.run(unit, |node, now| node.handle_timeout(now));
    }

    fn deliver(&mut self, conn: usize, from: usize, lane: Lane) {
        match self.network.deliver(conn, from, lane, self.now) {
            Delivery::Nothing => {}
            Delivery::Message(bytes) => self.input(1 - from, Input::Message { conn, lane, bytes }),
            Delivery::Refused => self.network.refuse(conn, from, self.now, &mut self.agenda),
        }
    }

    /// Something arrives at a unit, or waits until it runs.
    fn input(&mut self, unit: usize, input: Input) {
        if self.units[unit].paused {
            return self.units[unit].inbox.push_back(input);
        }
        if let (Input::Message { conn, lane, bytes }, true) = (&input, self.trace.is_some()) {
            let text = format!("link {conn} < {}", super::trace::summary(*lane, bytes));
            self.trace(Some(unit), || text);
        }
        self.run(unit, |node, now| match input {
            Input::Message { conn, lane, bytes } => {
                node.handle_message(Network::link(conn), lane, bytes, now);
            }
            Input::Up { conn } => node.handle_link_up(Network::link(conn), now),
            Input::Down { conn } => node.handle_link_down(Network::link(conn), now),
        });
    }

    /// A stopped process goes on: reads what came, and finds its timers late, in either order.
    pub(crate) fn wake(&mut self, unit: usize) {
        if !core::mem::take(&mut self.units[unit].paused) {
            return;
        }
        self.trace(Some(unit), || "goes on".to_owned());
        self.units[unit].half_paused = false;
        // Its data path is quicker than the node.
        self.traffic(unit, true);
        if self.rng.chance(300) {
            self.write(unit, 2);
        }
        if self.rng.chance(500) {
            self.run(unit, |node, now| node.handle_timeout(now));
        }
        while let Some(input) = self.units[unit].inbox.pop_front() {
            self.input(unit, input);
        }
        self.run(unit, |node, now| node.handle_timeout(now));
    }

    fn connect(&mut self, path: usize) {
        let ready = |unit: &Unit| unit.node.is_some() && !unit.paused;
        // A listening socket accepts while its process stands still.
        if ready(&self.units[1]) && self.units[0].node.is_some() {
            self.network.connect(path, self.now, &mut self.agenda);
        }
        let at = self.now + self.rng.millis(50..=400);
        self.agenda.add(at, Due::Connect { path });
    }

    fn work(&mut self) {
        if self.writing {
            for unit in 0..2 {
                let writes = u32::try_from(self.rng.range(1..=3)).unwrap_or(1);
                self.write(unit, writes);
            }
        }
        let step = u64::try_from(self.config.step_interval.as_micros()).unwrap_or(u64::MAX);
        let at = self.now + self.rng.micros(1..=2 * step);
        self.agenda.add(at, Due::Step);
    }

    /// A unit's application writes, if it may.
    pub(crate) fn write(&mut self, unit: usize, writes: u32) {
        let this = &self.units[unit];
        let (Some(shared), Some(stand), false) = (&this.shared, this.stand, this.paused) else {
            return;
        };
        if !shared.is_writable() {
            return;
        }
        let shared = Arc::clone(shared);
        self.journal.writer = Writer {
            unit,
            term: stand.term,
            lineage: stand.lineage,
        };
        self.workload.step(&mut Writing {
            unit,
            term: stand.term,
            shared: &shared,
            journal: &mut self.journal,
            rng: &mut self.rng,
            writes,
        });
        self.hear(unit, &shared);
    }

    /// A unit's data path runs, if its process does.
    fn traffic(&mut self, unit: usize, woke: bool) {
        let this = &self.units[unit];
        let stands = this.paused && !this.half_paused;
        let (Some(shared), false) = (&this.shared, stands) else {
            return;
        };
        let shared = Arc::clone(shared);
        self.workload.traffic(&mut Traffic {
            unit,
            now: self.now,
            local: this.clock.local(self.now),
            woke,
            calm: self.calm,
            shared: &shared,
            rng: &mut self.traffic_rng,
        });
        self.hear(unit, &shared);
    }

    fn next_traffic(&mut self, unit: usize) {
        let Some(interval) = self.workload.traffic_interval() else {
            return;
        };
        let mean = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX / 2);
        let at = self.now + self.traffic_rng.micros(1..=2 * mean);
        self.agenda.add(at, Due::Traffic { unit });
    }

    /// The node hears a moment later that its application rang.
    fn hear(&mut self, unit: usize, shared: &Shared) {
        if shared.doorbell().take() {
            let at = self.now + self.rng.micros(0..=200);
            self.agenda.add(at, Due::Doorbell { unit });
        }
    }

    /// Looks at where a unit stands after its node was called.
    pub(crate) fn look(&mut self, unit: usize) {
        let this = &mut self.units[unit];
        let Some(node) = &this.node else { return };
        self.happened.called[unit] = true;
        this.stand = node.group_status(GROUP).as_ref().map(Stand::from);
        let applied = node.stats(GROUP).map_or(0, |stats| stats.entries_applied);
        let moved = this.applied != applied || this.before != this.stand;
        this.applied = applied;
        self.happened.changed[unit] |= moved || self.happened.flushed[unit];
        let Some(stats) = node.stream_stats(GROUP) else {
            this.counted = Counted::default();
            return;
        };
        self.coverage.resumed_syncs += stats
            .resumed_bulks
            .saturating_sub(this.counted.resumed_bulks);
        self.happened.lost_marks += stats.audit_marks.saturating_sub(this.counted.audit_marks);
        let (resumed_bulks, audit_marks) = (stats.resumed_bulks, stats.audit_marks);
        this.counted = Counted {
            resumed_bulks,
            audit_marks,
        };
    }

    /// Puts a unit into or out of maintenance mode.
    pub(crate) fn maintenance(&mut self, unit: usize, on: bool) {
        self.trace(Some(unit), || format!("maintenance mode: {on}"));
        self.run(unit, |node, now| {
            let _ = node.set_maintenance(GROUP, on, now);
        });
    }

    /// Ends all faults.
    pub(crate) fn calm_down(&mut self) {
        self.calm = true;
        self.begin_event();
        self.trace(None, || "faults are over".to_owned());
        self.network.heal_all(self.now, &mut self.agenda);
        for unit in 0..2 {
            self.units[unit]
                .failures
                .store(0, std::sync::atomic::Ordering::Relaxed);
            self.wake(unit);
            self.start(unit);
            self.maintenance(unit, false);
        }
    }

    /// Which write each register of a unit shows.
    pub fn view(&self, unit: usize, seen: &mut Vec<Option<Op>>) {
        self.workload.view(unit, seen);
    }

    pub(crate) fn trace(&mut self, unit: Option<usize>, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace(self.now, unit, &text());
        }
    }
}
