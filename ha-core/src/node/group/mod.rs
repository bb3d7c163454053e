//! One redundancy group within a node: its role, its state machine, its streams.
//!
//! ```text
//!              desired role                     gates, notifications
//!   Scheme ───────────────▶ Group ◀──────────────────────────────▶ Facility (RF states)
//!                            │ │
//!              while active  │ │  while standby
//!                   Sender ◀─┘ └─▶ Receiver        (checkpoint facility)
//! ```

mod active;
mod check;
mod handover;
mod role;
mod standby;

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use super::agreement::{Agreement, client_hello, compare};
use super::config::{GroupConfig, NodeConfig, Planted};
use super::output::{CloseReason, Event, Output};
use crate::checkpoint::{Holds, Members, Receiver, Sender, Shared};
use crate::id::{GroupId, LinkId, Term, UnitId};
use crate::redundancy::{
    Answer, Facility, FacilityConfig, FacilityConfigError, Gate, NotificationToken, RfAction,
    RfClient, RfState, Tenure, UnknownToken,
};
use crate::scheme::Scheme;
use crate::time::Time;
use crate::wire::{Body, encode, pb};

use check::{Check, CheckDue};
use handover::Handover;

/// One redundancy group.
pub(crate) struct Group {
    pub(crate) id: GroupId,
    unit: UnitId,
    peer_unit: UnitId,
    incarnation: u64,
    planted: Planted,
    windows: (usize, usize),
    switchover_limit: Duration,
    check: Check,
    pub(crate) facility: Facility,
    scheme: Box<dyn Scheme>,
    shared: Arc<Shared>,
    members: Members,
    receiver: Receiver,
    sender: Option<Sender>,
    /// The highest term seen; this unit's own while active.
    term: Term,
    role: Role,
    lineage: u64,
    random: u64,
    /// While active: since when.
    tenure: Option<Tenure>,
    /// Whether this unit became active with all that was replicated.
    complete: bool,
    /// What the peer said of this group last.
    peer: Option<pb::GroupStatus>,
    agreement: Agreement,
    standby: standby::Progress,
    handover: Option<Handover>,
    /// The process was stopped while active: it must hear that it still is.
    suspect: bool,
    /// It was stopped while a standby held everything, and has heard nothing of it since: that one may
    /// be active by now.
    doubt: bool,
    maintenance: bool,
    /// While active: whether a standby holds everything and acknowledges what changes.
    synced: bool,
    ack_limit: Duration,
    /// What the standby was waited for last, and since when.
    awaited: Option<((u64, u64), Time)>,
    pub(crate) stats: GroupStats,
}

/// The role that a group of this unit has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Undecided,
    Standby,
    Active,
}

/// What a group counts.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct GroupStats {
    /// Things of a lower term that were refused.
    pub fenced: u64,
    /// Clients whose digest differed.
    pub digest_mismatches: u64,
    /// Entries that an audit on the standby found differing.
    pub audit_mismatches: u64,
    /// Streams that failed and began anew.
    pub sync_failures: u64,
    /// Entries applied on the standby.
    pub entries_applied: u64,
    /// Times that this unit took up the active role.
    pub activations: u64,
    /// Of these, without having been STANDBY HOT on an earlier active's state.
    pub incomplete_takeovers: u64,
    /// Times that this unit lost the active role.
    pub demotions: u64,
    /// Times that both units were active.
    pub dual_active: u64,
}

/// What a group needs of the node while it handles something.
pub(crate) struct Context<'a> {
    pub(crate) now: Time,
    pub(crate) out: &'a mut VecDeque<Output>,
    /// Links over which the peer said Hello, the oldest first.
    pub(crate) links: &'a [LinkId],
    /// Links that the node must close.
    pub(crate) refused: &'a mut Vec<(LinkId, CloseReason)>,
    /// The peer's process, if it is there.
    pub(crate) peer_incarnation: Option<u64>,
    /// Something in the status changed: it is sent at once.
    pub(crate) status_due: &'a mut bool,
}

impl Context<'_> {
    pub(crate) fn send(&mut self, link: LinkId, body: Body) {
        let (lane, message) = encode(body);
        self.out.push_back(Output::Send {
            link,
            lane,
            message,
        });
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }
}

impl Group {
    pub(crate) fn new(
        config: GroupConfig,
        node: &NodeConfig,
        now: Time,
    ) -> Result<Self, FacilityConfigError> {
        let members = Members::new(config.clients);
        for member in members.iter() {
            member.client.attach(&config.shared);
            let threshold = member.descriptor().flush.max_entries;
            member
                .client
                .dirty()
                .notify_at(threshold, Arc::clone(config.shared.doorbell()));
        }
        let clients = members
            .iter()
            .map(|member| rf_client(member.descriptor()))
            .collect();
        let mut facility = FacilityConfig::new(node.unit, clients);
        facility.notification_timer = config.notification_timer;
        facility.history_rows = config.history_rows;
        let mut receiver = Receiver::new();
        receiver.check_digests = !config.planted.no_digest;
        Ok(Self {
            id: config.id,
            unit: node.unit,
            peer_unit: node.peer,
            incarnation: node.incarnation,
            planted: config.planted,
            windows: (node.changes_window_bytes, node.bulk_window_bytes),
            switchover_limit: config.switchover_limit,
            check: Check::new(node, now),
            facility: Facility::new(facility, now)?,
            scheme: config.scheme,
            shared: config.shared,
            members,
            receiver,
            sender: None,
            term: Term::ZERO,
            role: Role::Undecided,
            lineage: 0,
            random: node.incarnation ^ u64::from(config.id.value()),
            tenure: None,
            complete: false,
            peer: None,
            agreement: Agreement::default(),
            standby: standby::Progress::default(),
            handover: None,
            suspect: false,
            doubt: false,
            maintenance: false,
            synced: false,
            ack_limit: node.ack_limit,
            awaited: None,
            stats: GroupStats::default(),
        })
    }

    /// What this unit says of the group when a link opens.
    pub(crate) fn hello(&self) -> pb::GroupHello {
        let clients = self
            .members
            .iter()
            .map(|member| client_hello(member.descriptor()))
            .collect();
        pb::GroupHello {
            group: self.id.value(),
            clients,
        }
    }

    /// Where the group stands, for the peer.
    pub(crate) fn status(&self) -> pb::GroupStatus {
        let holds = self.holds();
        let active = self.is_active();
        pb::GroupStatus {
            group: self.id.value(),
            state: u32::from(self.facility.state().number()),
            term: Some(self.term.into()),
            active,
            complete: self.complete,
            active_for_ms: self.tenure.as_ref().map_or(0, Tenure::to_millis),
            maintenance: self.maintenance,
            lineage: holds.lineage,
            holds: Some(holds.term.into()),
            holds_complete: holds.complete,
            priority: self.scheme.priority(),
            decided: self.role != Role::Undecided,
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn sender(&self) -> Option<&Sender> {
        self.sender.as_ref()
    }

    pub(crate) fn term(&self) -> Term {
        self.term
    }

    /// Whether this unit holds the active role, and has not resigned.
    pub(crate) fn is_active(&self) -> bool {
        self.role == Role::Active && !self.has_resigned()
    }

    /// Whether this unit gave the role to the other one and has not seen it active yet.
    fn has_resigned(&self) -> bool {
        self.handover.as_ref().is_some_and(Handover::is_resigned)
    }

    /// Whose state this unit holds: its own while it is active or has just resigned.
    fn holds(&self) -> Holds {
        if self.role == Role::Active {
            let (term, incarnation, lineage) = (self.term, self.incarnation, self.lineage);
            Holds {
                term,
                incarnation,
                lineage,
                complete: true,
            }
        } else {
            self.receiver.holds()
        }
    }

    pub(crate) fn maintenance(&self) -> bool {
        self.maintenance
    }

    /// The node stops: nobody will learn what became of open commits.
    pub(crate) fn stop(&mut self) {
        self.set_writable(false);
        if let Some(mut sender) = self.sender.take() {
            sender.abandon();
        }
    }

    /// Entries that the tables hold.
    pub(crate) fn entries(&self) -> u64 {
        self.members
            .iter()
            .map(|member| member.client.len() as u64)
            .sum()
    }

    /// The peer's state, as far as known.
    pub(crate) fn peer_state(&self) -> Option<RfState> {
        let number = self.peer.as_ref()?.state;
        RfState::from_number(number).ok()
    }

    /// The peer said what its clients are.
    pub(crate) fn handle_hello(&mut self, hello: Option<&pb::GroupHello>, ctx: &mut Context<'_>) {
        let agreement = compare(self.members.iter().map(|member| member.descriptor()), hello);
        if agreement != self.agreement {
            self.report(&agreement, ctx);
        }
        for member in self.members.iter_mut() {
            if let Some((version, peer_max)) = agreement.versions.get(&member.id()) {
                (member.version, member.peer_max) = (*version, *peer_max);
            }
        }
        self.agreement = agreement;
        self.set_gates(ctx);
        self.continue_sync(ctx);
    }

    fn report(&self, agreement: &Agreement, ctx: &mut Context<'_>) {
        let group = self.id;
        if !agreement.disagreements.is_empty() {
            let disagreements = agreement.disagreements.clone();
            ctx.event(Event::Incompatible {
                group,
                disagreements,
            });
        }
        if !agreement.differences.is_empty() {
            let differences = agreement.differences.clone();
            ctx.event(Event::ConfigDiffers { group, differences });
        }
    }

    fn set_gates(&mut self, ctx: &mut Context<'_>) {
        let there = ctx.peer_incarnation.is_some();
        let peer_active = self.peer.as_ref().is_some_and(|peer| peer.active);
        let fits = there && peer_active && self.agreement.disagreements.is_empty();
        self.facility.set_gate(Gate::PeerCompatible, fits, ctx.now);
        let equal = fits && self.agreement.differences.is_empty();
        self.facility.set_gate(Gate::ConfigEqual, equal, ctx.now);
        self.run_facility(ctx);
    }

    /// Carries out what the facility asks for, until it asks for nothing.
    pub(crate) fn run_facility(&mut self, ctx: &mut Context<'_>) {
        while let Some(action) = self.facility.poll_action() {
            match action {
                RfAction::Notify {
                    token,
                    client,
                    state,
                    ..
                } => {
                    let group = self.id;
                    ctx.out.push_back(Output::NotifyClient {
                        group,
                        client,
                        state,
                        token,
                    });
                }
                RfAction::Entered { from, to, why } => self.entered(from, to, why.to_string(), ctx),
                RfAction::Completed { state } => self.completed(state, ctx),
                RfAction::ClientMissed {
                    client,
                    name,
                    state,
                    ..
                } => {
                    let name = name.to_string();
                    ctx.event(Event::ClientMissed {
                        group: self.id,
                        client,
                        name,
                        state,
                    });
                }
                RfAction::ClientFailed {
                    client,
                    name,
                    state,
                    text: cause,
                } => {
                    let name = name.to_string();
                    ctx.event(Event::ClientFailed {
                        group: self.id,
                        client,
                        name,
                        state,
                        cause,
                    });
                }
            }
        }
    }

    fn completed(&mut self, state: RfState, ctx: &mut Context<'_>) {
        if state == RfState::ActiveHandback {
            self.continue_handover(ctx);
        }
    }

    fn entered(&mut self, from: RfState, to: RfState, why: String, ctx: &mut Context<'_>) {
        *ctx.status_due = true;
        ctx.event(Event::State {
            group: self.id,
            from,
            to,
            term: self.term,
            why,
        });
        match to {
            RfState::StandbyColdBulk if !self.standby.is_asking() => self.request_sync(ctx),
            RfState::StandbyColdBulk | RfState::StandbyHot => {}
            // Below COLD-BULK no stream runs: it is asked for when the unit is there again.
            _ => self.stop_sync(),
        }
    }

    pub(crate) fn handle_answer(
        &mut self,
        token: NotificationToken,
        answer: Answer,
        ctx: &mut Context<'_>,
    ) -> Result<(), UnknownToken> {
        self.facility.client_answered(token, answer, ctx.now)?;
        self.run_facility(ctx);
        Ok(())
    }

    /// The application rang.
    pub(crate) fn handle_doorbell(&mut self, now: Time) {
        let waits = self.awaits_standby();
        if let Some(sender) = &mut self.sender {
            if waits {
                sender.look(&mut self.members, now);
            } else {
                sender.settle_alone();
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self, ctx: &mut Context<'_>) {
        self.facility.handle_timeout(ctx.now);
        self.run_facility(ctx);
        self.scheme_timeout(ctx);
        self.active_timeout(ctx);
        self.standby_timeout(ctx);
        if let Some(due) = self.check.step(ctx.now) {
            self.run_check(due, ctx);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Time {
        let timers = [
            self.facility.poll_timeout(),
            self.scheme.poll_timeout(),
            self.sender.as_ref().and_then(Sender::poll_timeout),
            self.handover.as_ref().and_then(Handover::deadline),
            self.standby.deadline(),
            self.awaited.map(|(_, since)| since + self.ack_limit),
            Some(self.check.at),
        ];
        timers.into_iter().flatten().min().unwrap_or(self.check.at)
    }

    /// The next message that needs credit, and the acknowledgements that are due.
    pub(crate) fn poll(&mut self, now: Time) -> Option<(LinkId, Body)> {
        if let Some(message) = self.poll_acknowledgement() {
            return Some(message);
        }
        self.sender.as_mut()?.poll(&mut self.members, now)
    }

    /// Compares digests, and part of the tables with what was sent or applied.
    fn run_check(&mut self, due: CheckDue, ctx: &mut Context<'_>) {
        if let Some(sender) = &mut self.sender {
            if due.digests {
                sender.check_in();
            }
            sender.audit(&mut self.members, due.slots);
        } else {
            self.audit_standby(due.slots, ctx);
        }
    }

    fn random(&mut self) -> u64 {
        // SplitMix64, seeded with the incarnation: enough for names that must not repeat.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).max(1)
    }
}

fn rf_client(descriptor: &crate::checkpoint::ClientDescriptor) -> RfClient {
    RfClient {
        id: descriptor.id,
        name: descriptor.name.as_str().into(),
        sequence: descriptor.sequence,
        notified: descriptor.notified,
    }
}
