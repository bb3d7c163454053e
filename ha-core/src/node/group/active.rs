//! A group while it is active: serves the stream, and gives the role up by command.

use super::{Context, Group, Role};
use crate::checkpoint::Notice;
use crate::id::LinkId;
use crate::node::output::{CloseReason, Event};
use crate::redundancy::{RfState, SwitchoverReason, SwitchoverRefusal, SwitchoverView};
use crate::scheme::SchemeInput;
use crate::time::Time;
use crate::wire::{Body, pb, term_of};

/// A manual switchover under way.
pub(crate) struct Handover {
    pub(super) reason: SwitchoverReason,
    /// When it fails.
    deadline: Time,
    /// Whether the standby was told: from then on this unit is no longer active, but keeps its
    /// state until the other one is.
    pub(super) resigned: bool,
}

impl Handover {
    /// When it fails, as long as the role has not been given up: after that the scheme decides.
    pub(super) fn deadline(&self) -> Option<Time> {
        (!self.resigned).then_some(self.deadline)
    }
}

impl Group {
    /// Gives the active role to the standby.
    pub(crate) fn switchover(
        &mut self,
        force: bool,
        ctx: &mut Context<'_>,
    ) -> Result<(), SwitchoverRefusal> {
        let reason = self
            .switchover_view(ctx.peer_incarnation.is_some())
            .judge(force)?;
        self.give_up(reason, ctx);
        Ok(())
    }

    /// Why a manual switchover would be refused now.
    pub(crate) fn switchover_refusal(&self, peer_there: bool) -> Option<SwitchoverRefusal> {
        self.switchover_view(peer_there).judge(false).err()
    }

    fn switchover_view(&self, peer_there: bool) -> SwitchoverView {
        let peer_maintenance = self.peer.as_ref().is_some_and(|peer| peer.maintenance);
        SwitchoverView {
            state: self.facility.state(),
            peer: if peer_there { self.peer_state() } else { None },
            maintenance: self.maintenance || peer_maintenance,
        }
    }

    /// First the data plane closes, then all state is sent, then the role goes.
    pub(super) fn give_up(&mut self, reason: SwitchoverReason, ctx: &mut Context<'_>) {
        self.set_writable(false);
        let deadline = ctx.now + self.switchover_limit;
        self.handover = Some(Handover {
            reason,
            deadline,
            resigned: false,
        });
        if let Some(sender) = &mut self.sender {
            sender.begin_drain();
        }
        self.facility.hand_back(reason, ctx.now);
        self.run_facility(ctx);
    }

    /// Resigns as soon as the standby holds everything; by force at once.
    pub(crate) fn continue_handover(&mut self, ctx: &mut Context<'_>) {
        let Some(handover) = self.handover.as_mut().filter(|handover| !handover.resigned) else {
            return;
        };
        let Some(sender) = self.sender.as_ref().filter(|_| self.facility.is_complete()) else {
            return;
        };
        let forced = handover.reason == SwitchoverReason::UserForced;
        let drained = sender.is_complete() && sender.is_drained(&self.members);
        let Some(link) = sender.link().or_else(|| ctx.links.first().copied()) else {
            return;
        };
        if !(drained || forced) {
            return;
        }
        handover.resigned = true;
        let resign = pb::Resign {
            group: self.id.value(),
            term: Some(self.term.into()),
            reason: u32::from(handover.reason.number()),
        };
        ctx.send(link, Body::Resign(resign));
        *ctx.status_due = true;
        self.scheme_input(&SchemeInput::Resigned, ctx);
    }

    pub(super) fn active_timeout(&mut self, ctx: &mut Context<'_>) {
        let waits = self.awaits_standby();
        if let Some(sender) = &mut self.sender {
            if waits {
                sender.look(&mut self.members, ctx.now);
            } else if sender.poll_timeout().is_none() {
                sender.settle_alone();
                self.set_synced(false);
            }
        }
        self.watch_standby(ctx);
        self.continue_handover(ctx);
        let deadline = self.handover.as_ref().and_then(Handover::deadline);
        if deadline.is_some_and(|deadline| ctx.now >= deadline) {
            self.reclaim("the standby did not catch up in time", ctx);
        }
    }

    /// A standby that leaves what it was sent without acknowledgement is no standby: commits go on
    /// without it, and it must come back over a new link.
    fn watch_standby(&mut self, ctx: &mut Context<'_>) {
        let Some(sender) = &mut self.sender else {
            // A deadline that nobody looks at would be due for ever.
            self.awaited = None;
            return;
        };
        let awaited = sender.awaited();
        let since = match (awaited, self.awaited) {
            (Some(now), Some((before, since))) if now == before => since,
            _ => ctx.now,
        };
        self.awaited = awaited.map(|awaited| (awaited, since));
        if let Some(link) = sender.link()
            && ctx.now.since(since) >= self.ack_limit
        {
            self.awaited = None;
            sender.standby_lost(&mut self.members);
            self.set_synced(false);
            ctx.refused.push((link, CloseReason::Stuck(self.ack_limit)));
        }
    }

    /// The handover failed: nobody else took the role, so this unit takes it again.
    pub(super) fn reclaim(&mut self, why: &'static str, ctx: &mut Context<'_>) {
        let Some(handover) = self.handover.take() else {
            return;
        };
        ctx.event(Event::SwitchoverFailed {
            group: self.id,
            why,
        });
        if self.role == Role::Active {
            if handover.resigned {
                self.activate(SwitchoverReason::ActiveUnitFailed, ctx);
            } else {
                self.facility.keep_role(why, ctx.now);
                self.set_writable(true);
                self.run_facility(ctx);
            }
        }
    }

    /// The standby asks for the stream.
    pub(crate) fn handle_request(
        &mut self,
        request: &pb::SyncRequest,
        link: LinkId,
        ctx: &mut Context<'_>,
    ) {
        let term = term_of(request.term);
        let (Some(sender), Some(peer)) = (&mut self.sender, ctx.peer_incarnation) else {
            *ctx.status_due = true;
            return;
        };
        if term != sender.term() {
            // The standby knows an older or newer activation: the statuses will settle it.
            *ctx.status_due = true;
            return;
        }
        let Some(begin) = sender.start(request, link, peer, &mut self.members) else {
            return;
        };
        if self.planted.no_tombstones {
            self.members
                .iter()
                .for_each(|member| member.client.track_removals(false));
        }
        let full = begin.mode() == pb::SyncMode::Full;
        if full {
            self.set_synced(false);
        }
        ctx.event(Event::SyncBegan {
            group: self.id,
            full,
            bulk: begin.bulk != 0,
        });
        ctx.send(link, Body::SyncBegin(begin));
    }

    pub(crate) fn handle_ack(&mut self, ack: &pb::Ack, ctx: &mut Context<'_>) {
        let members = &self.members;
        let sender = self.sender.as_mut();
        let settled = sender.and_then(|sender| sender.acknowledged(ack, members));
        if settled.as_ref().is_some_and(|settled| settled.synced) {
            self.set_synced(true);
        }
        if let Some(oldest) = settled.and_then(|settled| settled.oldest) {
            let age = ctx.now.since(oldest);
            ctx.event(Event::Staleness {
                group: self.id,
                age,
            });
        }
        self.continue_handover(ctx);
    }

    pub(crate) fn handle_bulk_ack(&mut self, ack: &pb::BulkAck) {
        if let Some(sender) = &mut self.sender {
            sender.bulk_acknowledged(ack, &mut self.members);
        }
    }

    pub(crate) fn active_link_down(&mut self, link: LinkId) {
        if let Some(sender) = self
            .sender
            .as_mut()
            .filter(|sender| sender.link() == Some(link))
        {
            sender.suspend();
        }
    }

    /// Opens or closes the tables and the data paths.
    pub(super) fn set_writable(&self, on: bool) {
        let was = self.shared.is_writable();
        self.shared.set_writable(on);
        if was != on {
            let notice = if on { Notice::Opened } else { Notice::Closed };
            self.members.notice(notice);
        }
    }

    /// Whether a standby holds everything and acknowledges what changes. Its loss is told when no
    /// other unit can be active without this one's fault.
    pub(super) fn set_synced(&mut self, on: bool) {
        let was = core::mem::replace(&mut self.synced, on);
        if on && !was {
            self.doubt = false;
            self.members.notice(Notice::StandbySynced);
        } else if was && !on && !self.doubt {
            self.members.notice(Notice::StandbyLost);
        }
    }

    /// The other unit was heard, and is not active with what this one sent it.
    pub(super) fn end_doubt(&mut self) {
        if core::mem::take(&mut self.doubt) && !self.synced {
            self.members.notice(Notice::StandbyLost);
        }
    }

    /// Whether commits have a standby to wait for: one that streams, or is about to.
    pub(super) fn awaits_standby(&self) -> bool {
        let Some(sender) = &self.sender else {
            return false;
        };
        let coming = matches!(
            self.peer_state(),
            Some(RfState::StandbyColdBulk | RfState::StandbyHot)
        );
        sender.link().is_some() || coming
    }
}
