//! How a group takes up, keeps and loses the active role.

use super::{Context, Group, Handover, Role};
use crate::checkpoint::{Notice, Sender};
use crate::id::{LinkId, Term};
use crate::node::output::Event;
use crate::redundancy::{
    Activation, Claim, FallBack, FencingRefusal, RfState, SwitchoverReason, Tenure,
};
use crate::scheme::{LocalView, PeerView, Reason, Role as Desired, SchemeInput};
use crate::wire::{pb, term_of};

impl Group {
    /// Starts the group.
    pub(crate) fn boot(&mut self, ctx: &mut Context<'_>) {
        self.facility.enable(ctx.now);
        self.run_facility(ctx);
        self.scheme_input(&SchemeInput::Boot, ctx);
    }

    /// The peer said where it stands; `fresh` if surely after this process last stood still.
    pub(crate) fn handle_status(
        &mut self,
        status: pb::GroupStatus,
        fresh: bool,
        ctx: &mut Context<'_>,
    ) {
        let term = term_of(status.term);
        if status.active && self.fenced("an active role", term, ctx) {
            // The peer does not know yet that its term is over.
            *ctx.status_due = true;
        }
        let successor = status.active && term > self.term;
        let was = self.peer.replace(status);
        if successor && self.has_resigned() {
            // The handover is done, and this unit's state is history.
            self.demote(SwitchoverReason::UserInitiated, ctx);
        }
        self.note_term(term);
        self.scheme_peer(ctx);
        // Also if the role was lost just now: the next status may never come.
        self.note_term(term);
        if fresh && self.is_active() {
            if core::mem::take(&mut self.suspect) {
                self.set_writable(self.handover.as_ref().is_none_or(Handover::is_serving));
            }
            self.end_doubt();
        }
        self.follow(was.as_ref(), ctx);
        self.set_gates(ctx);
    }

    /// The standby follows the active: a new activation means a new stream.
    fn follow(&mut self, was: Option<&pb::GroupStatus>, ctx: &mut Context<'_>) {
        let Some(peer) = &self.peer else { return };
        if self.role != Role::Standby {
            return;
        }
        let (term, active) = (term_of(peer.term), peer.active);
        let before = was.filter(|was| was.active).map(|was| term_of(was.term));
        if !active && before.is_some() {
            self.step_back("the peer is not active any more", ctx);
        } else if active && before.is_some_and(|before| before != term) {
            self.step_back("the peer became active anew", ctx);
        }
    }

    /// Back to NEGOTIATION: the active that this unit followed is not there any more.
    fn step_back(&mut self, why: &str, ctx: &mut Context<'_>) {
        self.stop_sync();
        self.facility
            .fall_back(FallBack::Negotiation, why.to_owned(), ctx.now);
        self.run_facility(ctx);
    }

    /// Nothing is heard of the peer any more.
    pub(crate) fn handle_peer_lost(&mut self, input: &SchemeInput, ctx: &mut Context<'_>) {
        self.suspect = false;
        if let Some(sender) = &mut self.sender {
            sender.standby_lost(&mut self.members);
            self.set_synced(false);
        }
        if !self.has_resigned() {
            self.reclaim("the standby is lost", ctx);
        }
        self.peer = None;
        self.scheme_input(input, ctx);
        if self.role == Role::Standby {
            self.step_back("the peer is lost", ctx);
        }
        if self.is_active() {
            self.set_writable(true);
        }
        self.set_gates(ctx);
    }

    /// The active gives its role to this unit.
    pub(crate) fn handle_resign(&mut self, resign: &pb::Resign, ctx: &mut Context<'_>) {
        if self.fenced("Resign", term_of(resign.term), ctx) || self.role == Role::Active {
            return;
        }
        if let Some(peer) = &mut self.peer {
            peer.active = false;
        }
        let term = term_of(resign.term);
        self.scheme_input(&SchemeInput::PeerResigned { term }, ctx);
    }

    /// A fencing authority said that the peer's process is gone.
    pub(crate) fn peer_fenced(&mut self, ctx: &mut Context<'_>) -> Result<(), FencingRefusal> {
        let state = self.facility.state();
        if ctx.peer_incarnation.is_some() {
            return Err(FencingRefusal::PeerThere);
        }
        let is_active = self.is_active();
        let Some(sender) = self.sender.as_mut().filter(|_| is_active) else {
            return Err(FencingRefusal::NotActive { state });
        };
        sender.standby_fenced();
        self.end_doubt();
        self.members.notice(Notice::PeerFenced);
        Ok(())
    }

    /// This process did not run for longer than the peer waits: it may have been replaced.
    pub(crate) fn handle_pause(&mut self, ctx: &mut Context<'_>) {
        if self.is_active() && ctx.peer_incarnation.is_some() {
            self.suspect = true;
            self.doubt |= self.synced;
            self.set_writable(false);
        }
    }

    /// Puts the group into or out of maintenance mode.
    pub(crate) fn set_maintenance(&mut self, on: bool, ctx: &mut Context<'_>) {
        self.maintenance = on;
        *ctx.status_due = true;
        self.scheme_input(&SchemeInput::Maintenance, ctx);
    }

    /// Sets the role of a static scheme.
    pub(crate) fn set_role(&mut self, role: Desired, ctx: &mut Context<'_>) {
        self.scheme_input(&SchemeInput::SetRole(role), ctx);
    }

    pub(super) fn scheme_timeout(&mut self, ctx: &mut Context<'_>) {
        if self.scheme.poll_timeout().is_some_and(|at| ctx.now >= at) {
            self.scheme_input(&SchemeInput::Timer, ctx);
        }
    }

    fn scheme_peer(&mut self, ctx: &mut Context<'_>) {
        let Some(peer) = self.peer.as_ref() else {
            return;
        };
        let view = peer_view(peer, self.peer_unit);
        let rival = view.claim.filter(|_| self.is_active());
        if rival.is_some() && self.planted.no_fencing {
            return;
        }
        if let Some((rival, tenure)) = rival.zip(self.tenure.as_mut())
            && rival.lineage != self.lineage
        {
            *ctx.status_due |= tenure.contest(rival.lineage, ctx.now);
        }
        self.scheme_input(&SchemeInput::PeerSeen(view), ctx);
    }

    /// Tells the scheme, and does what it decides.
    pub(super) fn scheme_input(&mut self, input: &SchemeInput, ctx: &mut Context<'_>) {
        let view = self.local_view();
        self.scheme.handle(input, &view, ctx.now);
        let decision = self.scheme.decision();
        let reason = decision.reason.switchover();
        match (self.role, decision.role) {
            (Role::Undecided | Role::Standby, Desired::Active) => self.activate(reason, ctx),
            (Role::Undecided, Desired::Standby) => self.settle_as_standby(ctx),
            (Role::Active, Desired::Standby) => self.leave_role(decision.reason, ctx),
            (Role::Active, Desired::Active) if self.has_resigned() => {
                self.reclaim("the standby did not take over", ctx);
            }
            (Role::Active, Desired::Active) if decision.raise_term => self.outbid(ctx),
            (Role::Active, Desired::Active | Desired::Undecided)
            | (Role::Undecided | Role::Standby, Desired::Undecided)
            | (Role::Standby, Desired::Standby) => {}
        }
    }

    fn settle_as_standby(&mut self, ctx: &mut Context<'_>) {
        self.role = Role::Standby;
        *ctx.status_due = true;
        self.facility.become_standby(ctx.now);
        self.run_facility(ctx);
    }

    /// The scheme wants another unit active: in order if that unit is ready and it is no matter of
    /// two active units, at once otherwise.
    fn leave_role(&mut self, reason: Reason, ctx: &mut Context<'_>) {
        if self.handover.is_some() {
            return;
        }
        if self.is_successor_ready() && matches!(reason, Reason::Commanded | Reason::PeerPreferred)
        {
            self.give_up(reason.switchover(), ctx);
        } else {
            self.demote(reason.switchover(), ctx);
        }
    }

    /// This unit keeps the role, but the peer has seen a higher term: this one's must be higher
    /// still, or the peer would refuse it.
    fn outbid(&mut self, ctx: &mut Context<'_>) {
        let Some(peer) = &self.peer else { return };
        if peer.active {
            self.stats.dual_active += 1;
            let group = self.id;
            ctx.event(Event::DualActive { group, kept: true });
        }
        self.term = self.term.max(term_of(peer.term)).next(self.unit);
        self.new_sender(ctx);
        self.members.notice(Notice::Contested);
        *ctx.status_due = true;
    }

    /// Takes up the active role.
    pub(super) fn activate(&mut self, reason: SwitchoverReason, ctx: &mut Context<'_>) {
        let holds = self.receiver.holds();
        let again = self.role == Role::Active;
        if !again {
            self.complete = holds.complete || self.term == Term::ZERO;
            self.lineage = if holds.term == Term::ZERO {
                self.random()
            } else {
                holds.lineage
            };
        }
        let before = self.term != Term::ZERO;
        self.stop_sync();
        self.receiver.forget();
        (self.role, self.handover, self.suspect) = (Role::Active, None, false);
        self.doubt = false;
        self.term = self.term.next(self.unit);
        self.tenure.get_or_insert(Tenure::new(ctx.now));
        self.stats.activations += 1;
        if !self.complete {
            self.stats.incomplete_takeovers += 1;
            ctx.event(Event::IncompleteTakeover { group: self.id });
        }
        self.new_sender(ctx);
        let notice = if again {
            Notice::Contested
        } else {
            Notice::TookOver
        };
        self.members.notice(notice);
        self.set_writable(true);
        *ctx.status_due = true;
        ctx.event(Event::Switchover {
            group: self.id,
            reason,
            term: self.term,
        });
        if again {
            self.facility
                .keep_role("the other unit did not take over", ctx.now);
        } else {
            let previous = before.then_some(self.peer_unit);
            let activation = Activation {
                reason,
                previous,
                term: self.term,
            };
            self.facility.become_active(activation, ctx.now);
        }
        self.run_facility(ctx);
    }

    fn new_sender(&mut self, ctx: &Context<'_>) {
        if let Some(mut old) = self.sender.take() {
            old.hand_on();
        }
        self.set_synced(false);
        for member in self.members.iter() {
            member.client.track_removals(false);
        }
        let mut sender = Sender::new(
            self.id.value(),
            self.term,
            self.incarnation,
            self.lineage,
            std::sync::Arc::clone(&self.shared),
            &self.members,
            ctx.now,
        );
        sender.keep_credit = !self.planted.no_credit;
        self.sender = Some(sender);
    }

    /// Loses the active role: the data plane closes first, then the tables are flushed, so that
    /// only state of the latest active is ever taken over.
    pub(super) fn demote(&mut self, reason: SwitchoverReason, ctx: &mut Context<'_>) {
        self.set_writable(false);
        if let Some(mut sender) = self.sender.take() {
            sender.abandon();
        }
        self.set_synced(false);
        self.members.flush();
        self.receiver.forget();
        (self.role, self.handover, self.suspect) = (Role::Standby, None, false);
        self.doubt = false;
        (self.tenure, self.complete) = (None, false);
        self.stats.demotions += 1;
        *ctx.status_due = true;
        ctx.event(Event::Switchover {
            group: self.id,
            reason,
            term: self.term,
        });
        self.facility.demote(reason, ctx.now);
        self.run_facility(ctx);
        self.facility.become_standby(ctx.now);
        self.run_facility(ctx);
        self.set_gates(ctx);
    }

    /// Whether something of `term` must be refused: a higher term is known.
    pub(super) fn fenced(&mut self, what: &'static str, got: Term, ctx: &mut Context<'_>) -> bool {
        if self.planted.no_fencing || got >= self.term {
            return false;
        }
        self.stats.fenced += 1;
        ctx.event(Event::Fenced {
            group: self.id,
            what,
            got,
            highest: self.term,
        });
        true
    }

    /// While active, `term` stays this unit's own: what the peer says counts when it is outbid.
    fn note_term(&mut self, term: Term) {
        if !self.is_active() {
            self.term = self.term.max(term);
        }
    }

    fn local_view(&self) -> LocalView {
        let claim = Claim {
            term: self.term,
            complete: self.complete,
            lineage: self.lineage,
            active_for: self.tenure.as_ref().and_then(Tenure::reported),
            unit: self.unit,
        };
        LocalView {
            unit: self.unit,
            state: self.facility.state(),
            holds: self.holds().term,
            holds_complete: self.holds().complete,
            claim: self.is_active().then_some(claim),
            maintenance: self.maintenance,
        }
    }

    /// A link is gone.
    pub(crate) fn handle_link_down(&mut self, link: LinkId, ctx: &mut Context<'_>) {
        self.active_link_down(link);
        self.standby_link_down(link, ctx);
    }
}

fn peer_view(peer: &pb::GroupStatus, unit: crate::id::UnitId) -> PeerView {
    let claim = Claim {
        term: term_of(peer.term),
        complete: peer.complete,
        lineage: peer.lineage,
        active_for: Tenure::from_millis(peer.active_for_ms),
        unit,
    };
    PeerView {
        unit,
        state: RfState::from_number(peer.state).unwrap_or(RfState::NotKnown),
        decided: peer.decided,
        holds: term_of(peer.holds),
        holds_complete: peer.holds_complete,
        claim: peer.active.then_some(claim),
        seen: term_of(peer.term),
        maintenance: peer.maintenance,
        priority: peer.priority,
    }
}
