//! The redundancy facility of one group.

mod action;
mod config;

use core::time::Duration;
use std::collections::VecDeque;

pub use action::{Activation, Answer, FallBack, RfAction, UnknownToken};
pub use config::{FacilityConfig, FacilityConfigError};

use super::clients::{ClientFault, FailedClient, NotificationToken, RfClient, Why, in_order};
use super::events::{RfEvent, SwitchoverReason};
use super::history::{History, LogEntry};
use super::progression::{Gate, Gates, Wanted, next};
use super::state::RfState;
use crate::id::{Term, UnitId};
use crate::time::Time;

/// RF of one group: takes the unit through its states and its clients through each of them.
///
/// # Progression
/// On entry to a state the notified clients are told in ascending (sequence, id), the next one
/// after the previous one answered. When all answered, and the state's [`Gate`] (if it has one) is
/// open, the next state is entered. Clients that are not notified count as done at once, so that
/// a facility without notified clients passes through in the call that set it going.
///
/// # Clients that fail or miss the notification timer
/// They are named ([`RfAction::ClientFailed`], [`RfAction::ClientMissed`]) and then
/// - *on the active side* passed over: a takeover does not stop because one client fails. Who did
///   is in [`Facility::failed_clients`], should the owner prefer to switch back;
/// - *on the standby side* the unit falls back to NEGOTIATION and tries again after a pause that
///   doubles up to a bound, until it is STANDBY HOT; in INITIALIZATION and NEGOTIATION the clients
///   of that state are told again after the pause.
///
/// # What is void
/// A notification ends with the state it belongs to. An answer that comes later, or twice, is
/// [`UnknownToken`] and changes nothing.
///
/// # Drain contract
/// After each call that takes `now`, call [`poll_action`](Self::poll_action) until it yields
/// `None`; then arm a timer for [`poll_timeout`](Self::poll_timeout) and call
/// [`handle_timeout`](Self::handle_timeout) when it is due. Each call leaves a bounded number of
/// actions.
#[derive(Debug)]
pub struct Facility {
    unit: UnitId,
    clients: Box<[RfClient]>,
    notification_timer: Duration,
    retry: Retry,
    state: RfState,
    peer_state: RfState,
    wanted: Wanted,
    gates: Gates,
    phase: Phase,
    last_token: u64,
    failed: Vec<FailedClient>,
    faults: u64,
    history: History,
    actions: VecDeque<RfAction>,
}

impl Facility {
    /// A facility in DISABLED.
    ///
    /// # Errors
    /// When the configuration is outside its limits.
    pub fn new(config: FacilityConfig, now: Time) -> Result<Self, FacilityConfigError> {
        config.validate()?;
        let mut facility = Self {
            unit: config.unit,
            clients: in_order(config.clients)?,
            notification_timer: config.notification_timer,
            retry: Retry::new(config.retry_min, config.retry_max),
            state: RfState::Disabled,
            peer_state: RfState::NotKnown,
            wanted: Wanted::Nothing,
            gates: Gates::default(),
            phase: Phase::Complete,
            last_token: 0,
            failed: Vec::new(),
            faults: 0,
            history: History::new(config.history_rows),
            actions: VecDeque::new(),
        };
        for client in &facility.clients {
            facility.history.record(now, added(client));
        }
        Ok(facility)
    }

    // Commands.

    /// Leaves DISABLED for INITIALIZATION and, once all clients are set up, NEGOTIATION. Does
    /// nothing in other states.
    pub fn enable(&mut self, now: Time) {
        if self.state == RfState::Disabled {
            self.enter(RfState::Initialization, "enabled".into(), now);
            self.advance(now);
        }
    }

    /// Goes to DISABLED from any state; clients are not told. An active unit is to be demoted
    /// first, so that its clients close their data path.
    pub fn disable(&mut self, now: Time) {
        self.wanted = Wanted::Nothing;
        self.gates = Gates::default();
        if self.state != RfState::Disabled {
            self.enter(RfState::Disabled, "disabled".into(), now);
        }
    }

    /// From INITIALIZATION or NEGOTIATION on, climbs to STANDBY HOT as far as clients and gates
    /// let it. False if the unit is disabled or active.
    pub fn become_standby(&mut self, now: Time) -> bool {
        if self.state == RfState::Disabled || self.state.is_active() {
            return false;
        }
        if self.wanted != Wanted::Standby {
            self.wanted = Wanted::Standby;
            self.record(RfEvent::EventGoStandby, 0, now);
            self.advance(now);
        }
        true
    }

    /// Takes the active role: ACTIVE-FAST, -DRAIN, -PRECONFIG, -POSTCONFIG, ACTIVE. False if the
    /// unit is disabled or active.
    ///
    /// Never waits for a client that has not answered for an earlier state. The gate
    /// [`Gate::Synced`] closes: it speaks of a replica.
    pub fn become_active(&mut self, activation: Activation, now: Time) -> bool {
        if self.state == RfState::Disabled || self.state.is_active() {
            return false;
        }
        self.wanted = Wanted::Active;
        self.gates.set(Gate::Synced, false);
        self.retry.reset();
        self.failed.clear();
        self.record(RfEvent::EventGoActive, 0, now);
        if let Some(previous) = activation.previous {
            self.record_switchover(previous, self.unit, activation.reason, activation.term, now);
        }
        self.enter(RfState::ActiveFast, activation.reason.text().into(), now);
        self.advance(now);
        true
    }

    /// Begins to hand the role over: ACTIVE-HANDBACK, in which clients close their data path.
    /// After [`RfAction::Completed`] for it the owner sends what is left and resigns, then
    /// [demotes](Self::demote). False unless the unit is in ACTIVE or ACTIVE-EXTRALOAD.
    pub fn hand_back(&mut self, reason: SwitchoverReason, now: Time) -> bool {
        if !matches!(self.state, RfState::Active | RfState::ActiveExtraload) {
            return false;
        }
        self.enter(RfState::ActiveHandback, reason.text().into(), now);
        self.advance(now);
        true
    }

    /// Gives up handing over: back from ACTIVE-HANDBACK to ACTIVE, as when the peer is lost before
    /// it took the role. False in any other state.
    pub fn keep_role(&mut self, why: impl Into<Why>, now: Time) -> bool {
        if self.state != RfState::ActiveHandback {
            return false;
        }
        self.enter(RfState::Active, why.into(), now);
        self.advance(now);
        true
    }

    /// Gives the active role up in place: any active state to NEGOTIATION, where it stays until
    /// told a role. Closes [`Gate::Synced`]: what the unit holds is to be flushed. False if the
    /// unit is not active.
    pub fn demote(&mut self, reason: SwitchoverReason, now: Time) -> bool {
        if !self.state.is_active() {
            return false;
        }
        self.wanted = Wanted::Nothing;
        self.gates.set(Gate::Synced, false);
        self.failed.clear();
        self.enter(RfState::Negotiation, reason.text().into(), now);
        self.advance(now);
        true
    }

    /// Takes a standby back to an earlier state and closes the gates of that state and of those
    /// after it, to be opened when they hold again. Returns whether the state changed: false if
    /// the unit is not past that state (the gates are closed nevertheless) or active.
    pub fn fall_back(&mut self, to: FallBack, why: impl Into<Why>, now: Time) -> bool {
        for gate in Gate::ALL
            .into_iter()
            .filter(|gate| gate.state() >= to.state())
        {
            self.gates.set(gate, false);
        }
        self.leave_breached(why.into(), now)
    }

    /// Opens or closes a gate; may be repeated. Opening lets a unit that waits at it go on;
    /// closing takes a standby that is past it back to the state that the gate leaves.
    ///
    /// A gate opened early stays open until it is closed here, by [`fall_back`](Self::fall_back)
    /// or, for [`Gate::Synced`], by leaving STANDBY COLD-BULK or HOT for any other state than HOT:
    /// entering COLD-BULK asks for a sync.
    pub fn set_gate(&mut self, gate: Gate, open: bool, now: Time) {
        self.gates.set(gate, open);
        if !self.leave_breached("a gate closed".into(), now) {
            self.advance(now);
        }
    }

    /// Takes a client's answer to a notification.
    ///
    /// # Errors
    /// When the token is not that of the notification in progress: the client answered twice, or
    /// after its timer, or after the state was left. Nothing changed then.
    pub fn client_answered(
        &mut self,
        token: NotificationToken,
        answer: Answer,
        now: Time,
    ) -> Result<(), UnknownToken> {
        let Phase::Notifying(pending) = self.phase else {
            return Err(UnknownToken { token });
        };
        if pending.token != token {
            return Err(UnknownToken { token });
        }
        match answer {
            Answer::Done => {
                self.record_answer(pending.index, 0, now);
                self.notify_from(pending.index + 1, now);
            }
            Answer::Failed(text) => self.fault(pending, ClientFault::failed(text), now),
        }
        self.advance(now);
        Ok(())
    }

    /// Acts on what is due at `now`; harmless if nothing is.
    pub fn handle_timeout(&mut self, now: Time) {
        match self.phase {
            Phase::Notifying(pending) if pending.deadline <= now => {
                let after = now.since(pending.since);
                self.fault(pending, ClientFault::Missed { after }, now);
            }
            Phase::Stalled { until } if until <= now => self.notify_from(0, now),
            Phase::Notifying(_) | Phase::Stalled { .. } | Phase::Complete => {}
        }
        self.retry.release(now);
        self.advance(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next.
    pub fn poll_timeout(&self) -> Option<Time> {
        let phase = match self.phase {
            Phase::Notifying(pending) => Some(pending.deadline),
            Phase::Stalled { until } => Some(until),
            Phase::Complete => None,
        };
        phase.into_iter().chain(self.retry.held_until).min()
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<RfAction> {
        self.actions.pop_front()
    }

    // What the owner knows and the log should show.

    /// Notes the peer's state, for the event log.
    pub fn note_peer_state(&mut self, peer: RfState, now: Time) {
        if peer != self.peer_state {
            self.peer_state = peer;
            self.record_states(false, true, now);
        }
    }

    /// Adds an event to the log; for presence and communication `op` is 1 for up, 0 for down.
    pub fn record(&mut self, event: RfEvent, op: u32, now: Time) {
        self.history.record(
            now,
            LogEntry::Event {
                event,
                client: None,
                op,
                rc: None,
            },
        );
    }

    /// Adds a switchover to the history: the peer's activations. This unit's own are added by
    /// [`become_active`](Self::become_active).
    pub fn record_switchover(
        &mut self,
        previous: UnitId,
        current: UnitId,
        reason: SwitchoverReason,
        term: Term,
        now: Time,
    ) {
        self.history
            .switchover((previous, current), reason, term, now);
    }

    // State.

    /// This unit's state.
    pub const fn state(&self) -> RfState {
        self.state
    }

    /// The peer's state as last noted.
    pub const fn peer_state(&self) -> RfState {
        self.peer_state
    }

    /// Whether all clients are done with the state.
    pub const fn is_complete(&self) -> bool {
        matches!(self.phase, Phase::Complete)
    }

    /// Whether a gate is open.
    pub fn is_open(&self, gate: Gate) -> bool {
        self.gates.is_open(gate)
    }

    /// The client that has been told and has not answered yet.
    pub fn pending_client(&self) -> Option<&RfClient> {
        match self.phase {
            Phase::Notifying(pending) => self.clients.get(pending.index),
            Phase::Stalled { .. } | Phase::Complete => None,
        }
    }

    /// The clients in the order of notification.
    pub fn clients(&self) -> &[RfClient] {
        &self.clients
    }

    /// Clients that failed or missed their timer, each with its latest fault: on an active unit
    /// since it took over, else since it last was STANDBY HOT, active or demoted.
    pub fn failed_clients(&self) -> &[FailedClient] {
        &self.failed
    }

    /// How often a client failed or missed its timer since the start.
    pub const fn faults(&self) -> u64 {
        self.faults
    }

    /// The notification timer.
    pub const fn notification_timer(&self) -> Duration {
        self.notification_timer
    }

    /// Switchovers and events.
    pub const fn history(&self) -> &History {
        &self.history
    }

    // Progression.

    fn advance(&mut self, now: Time) {
        while matches!(self.phase, Phase::Complete) {
            let held = self.state == RfState::Negotiation && self.retry.held_until.is_some();
            let following = next(self.state, self.wanted, self.gates);
            let Some(to) = following.filter(|_| !held) else {
                return;
            };
            self.enter(to, "progression".into(), now);
        }
    }

    fn enter(&mut self, to: RfState, why: Why, now: Time) {
        let from = core::mem::replace(&mut self.state, to);
        // A notification that nobody has seen yet belongs to the state that ends here.
        self.actions
            .retain(|action| !matches!(action, RfAction::Notify { .. }));
        if from == RfState::StandbyHot
            || (from == RfState::StandbyColdBulk && to != RfState::StandbyHot)
        {
            self.gates.set(Gate::Synced, false);
        }
        if to != RfState::Negotiation {
            self.retry.held_until = None;
        }
        self.record_states(true, false, now);
        self.actions.push_back(RfAction::Entered { from, to, why });
        self.notify_from(0, now);
    }

    /// Takes a standby back to the first closed gate that it is past.
    fn leave_breached(&mut self, why: Why, now: Time) -> bool {
        let Some(gate) = self.gates.breached(self.state) else {
            return false;
        };
        self.history.record(now, LogEntry::Note(why.clone()));
        self.enter(gate.state(), why, now);
        self.advance(now);
        true
    }

    /// Tells the first notified client from place `index` on; without one the state is complete.
    fn notify_from(&mut self, index: usize, now: Time) {
        let event = RfEvent::of_state(self.state);
        let rest = self.clients.iter().enumerate().skip(index);
        let following = rest.into_iter().find(|(_, client)| client.notified);
        let (Some(event), Some((index, client))) = (event, following) else {
            return self.complete();
        };
        self.last_token += 1;
        let token = NotificationToken::new(self.last_token);
        let deadline = now + self.notification_timer;
        self.phase = Phase::Notifying(Pending {
            index,
            token,
            since: now,
            deadline,
        });
        self.actions.push_back(RfAction::Notify {
            token,
            client: client.id,
            state: self.state,
            event,
        });
    }

    fn complete(&mut self) {
        self.phase = Phase::Complete;
        if self.state == RfState::StandbyHot {
            self.retry.reset();
            self.failed.clear();
        }
        self.actions
            .push_back(RfAction::Completed { state: self.state });
    }

    fn fault(&mut self, pending: Pending, fault: ClientFault, now: Time) {
        self.record_answer(pending.index, fault.code(), now);
        self.name_fault(pending.index, fault);
        if self.state.is_active() {
            return self.notify_from(pending.index + 1, now);
        }
        let until = now + self.retry.next_pause();
        if matches!(self.state, RfState::Initialization | RfState::Negotiation) {
            self.phase = Phase::Stalled { until };
        } else {
            let why = format!(
                "{} stopped the progression",
                self.clients[pending.index].name
            );
            self.enter(RfState::Negotiation, why.into(), now);
            self.retry.held_until = Some(until);
        }
    }

    fn name_fault(&mut self, index: usize, fault: ClientFault) {
        let RfClient {
            id: client, name, ..
        } = self.clients[index].clone();
        let state = self.state;
        self.faults += 1;
        self.failed.retain(|failed| failed.client != client);
        let entry = FailedClient {
            client,
            name: name.clone(),
            state,
            fault: fault.clone(),
        };
        self.failed.push(entry);
        self.actions.push_back(match fault {
            ClientFault::Missed { after } => RfAction::ClientMissed {
                client,
                name,
                state,
                after,
            },
            ClientFault::Failed { text } => RfAction::ClientFailed {
                client,
                name,
                state,
                text,
            },
        });
    }

    fn record_states(&mut self, mine_changed: bool, peer_changed: bool, now: Time) {
        let (mine, peer) = (self.state, self.peer_state);
        self.history.record(
            now,
            LogEntry::States {
                mine,
                mine_changed,
                peer,
                peer_changed,
            },
        );
    }

    fn record_answer(&mut self, index: usize, rc: u8, now: Time) {
        let Some(event) = RfEvent::of_state(self.state) else {
            return;
        };
        let client = self
            .clients
            .get(index)
            .map(|client| (client.id, client.name.clone()));
        self.history.record(
            now,
            LogEntry::Event {
                event,
                client,
                op: 0,
                rc: Some(rc),
            },
        );
    }
}

/// Where the unit is within its state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// A client was told and has not answered.
    Notifying(Pending),
    /// A client failed in a state that cannot be fallen back from; all are told again at `until`.
    Stalled { until: Time },
    /// All clients are done.
    Complete,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pending {
    index: usize,
    token: NotificationToken,
    since: Time,
    deadline: Time,
}

/// The pause between a client's fault and the next attempt.
#[derive(Debug)]
struct Retry {
    min: Duration,
    max: Duration,
    pause: Duration,
    /// Until when NEGOTIATION is not left for STANDBY COLD.
    held_until: Option<Time>,
}

impl Retry {
    const fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max,
            pause: min,
            held_until: None,
        }
    }

    fn next_pause(&mut self) -> Duration {
        let following = self.pause.saturating_mul(2).min(self.max);
        core::mem::replace(&mut self.pause, following)
    }

    const fn reset(&mut self) {
        self.pause = self.min;
        self.held_until = None;
    }

    fn release(&mut self, now: Time) {
        self.held_until = self.held_until.filter(|until| *until > now);
    }
}

fn added(client: &RfClient) -> LogEntry {
    let RfClient {
        id,
        ref name,
        sequence,
        ..
    } = *client;
    LogEntry::ClientAdded {
        id,
        name: name.clone(),
        sequence,
    }
}

#[cfg(test)]
mod proptests;
#[cfg(test)]
mod tests;
