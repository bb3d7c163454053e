//! A group while it is active: serves the stream.

use super::{Context, Group};
use crate::checkpoint::Notice;
use crate::id::LinkId;
use crate::node::output::{CloseReason, Event};
use crate::redundancy::RfState;
use crate::wire::{Body, pb, term_of};

impl Group {
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
        self.handover_timeout(ctx);
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
