//! A group while it is standby: asks for state, applies it, says how far it got.

use core::time::Duration;

use super::{Context, Group, Role};
use crate::checkpoint::{Applied, StreamError};
use crate::id::{ClientId, LinkId, Term};
use crate::node::CommandError;
use crate::node::output::Event;
use crate::redundancy::{FallBack, Gate, RfState};
use crate::time::Time;
use crate::wire::{Body, pb, term_of};

/// How far the standby is with a stream.
#[derive(Default)]
pub(crate) struct Progress {
    /// The link that the stream was asked for on.
    link: Option<LinkId>,
    /// When the active must have answered.
    answer_by: Option<Time>,
    /// When a failed stream is asked for again.
    retry_at: Option<Time>,
    failures: u32,
    /// When the stream was asked for.
    since: Time,
    /// Clients to ask for in full.
    resync: Vec<ClientId>,
    ack_due: bool,
    bulk_ack_due: bool,
}

impl Progress {
    /// Whether a stream was asked for, or will be after a pause.
    pub(super) fn is_asking(&self) -> bool {
        self.link.is_some() || self.retry_at.is_some()
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.answer_by.into_iter().chain(self.retry_at).min()
    }
}

/// How long the active may take to answer a request for the stream.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// The pause after the first failed stream; doubles with each further one.
const RETRY_FIRST: Duration = Duration::from_millis(200);
/// The longest pause.
const RETRY_LIMIT: Duration = Duration::from_secs(30);

impl Group {
    /// Asks the active for its state, if it is time and there is a way.
    pub(super) fn request_sync(&mut self, ctx: &mut Context<'_>) {
        let state = self.facility.state();
        let ready = matches!(state, RfState::StandbyColdBulk | RfState::StandbyHot);
        let active = self.peer.as_ref().filter(|peer| peer.active);
        let (Some(peer), Some(link), true) = (active, ctx.links.first(), ready) else {
            (self.standby.answer_by, self.standby.link) = (None, None);
            return;
        };
        let term = term_of(peer.term);
        if self.fenced("state of an earlier term", term, ctx) {
            return;
        }
        let resync = core::mem::take(&mut self.standby.resync);
        let request = self.receiver.request(self.id.value(), term, &resync);
        self.standby = Progress {
            link: Some(*link),
            answer_by: Some(ctx.now + ANSWER_LIMIT),
            failures: self.standby.failures,
            since: ctx.now,
            resync,
            ..Progress::default()
        };
        let request = pb::SyncRequest {
            changes_window_bytes: self.windows.0 as u64,
            bulk_window_bytes: self.windows.1 as u64,
            ..request
        };
        ctx.send(*link, Body::SyncRequest(request));
    }

    /// A link opened: if the stream was broken off, it goes on there.
    pub(super) fn continue_sync(&mut self, ctx: &mut Context<'_>) {
        if self.role == Role::Standby && !self.standby.is_asking() {
            self.request_sync(ctx);
        }
    }

    pub(super) fn stop_sync(&mut self) {
        self.standby = Progress::default();
    }

    pub(super) fn standby_timeout(&mut self, ctx: &mut Context<'_>) {
        let due = |at: Option<Time>| at.is_some_and(|at| ctx.now >= at);
        if self.role == Role::Standby && (due(self.standby.answer_by) || due(self.standby.retry_at))
        {
            (self.standby.answer_by, self.standby.retry_at) = (None, None);
            self.request_sync(ctx);
        }
    }

    /// A link is gone. The state that this unit holds stays whole; the stream goes on elsewhere.
    pub(crate) fn standby_link_down(&mut self, link: LinkId, ctx: &mut Context<'_>) {
        if self.role == Role::Standby && self.standby.link == Some(link) {
            self.request_sync(ctx);
        }
    }

    pub(crate) fn handle_begin(
        &mut self,
        begin: &pb::SyncBegin,
        link: LinkId,
        ctx: &mut Context<'_>,
    ) {
        if !self.accepts("SyncBegin", begin.sync, term_of(begin.term), link, ctx) {
            return;
        }
        let full = begin.mode() == pb::SyncMode::Full;
        if let Err(error) = self.receiver.begin(begin, &mut self.members) {
            return self.sync_failed(error, ctx);
        }
        self.standby.answer_by = None;
        self.standby.resync.clear();
        self.standby.bulk_ack_due = self.receiver.in_bulk();
        ctx.event(Event::SyncBegan {
            group: self.id,
            full,
            bulk: self.receiver.in_bulk(),
        });
        if !self.receiver.holds().complete {
            self.not_whole("a sync began", ctx);
        }
    }

    pub(crate) fn handle_batch(&mut self, batch: pb::Batch, link: LinkId, ctx: &mut Context<'_>) {
        let term = term_of(batch.term);
        if !self.accepts("Batch", batch.sync, term, link, ctx) || !self.receiver.is_begun() {
            return;
        }
        let applied = self.receiver.batch(batch, &mut self.members);
        self.handle_applied(applied, ctx);
    }

    pub(crate) fn handle_chunk(
        &mut self,
        chunk: pb::BulkChunk,
        link: LinkId,
        ctx: &mut Context<'_>,
    ) {
        let term = term_of(chunk.term);
        if !self.accepts("BulkChunk", chunk.sync, term, link, ctx) || !self.receiver.is_begun() {
            return;
        }
        let applied = self.receiver.chunk(chunk, &mut self.members);
        self.handle_applied(applied, ctx);
    }

    fn handle_applied(&mut self, applied: Result<Applied, StreamError>, ctx: &mut Context<'_>) {
        let applied = match applied {
            Ok(applied) => applied,
            Err(error) => return self.sync_failed(error, ctx),
        };
        self.stats.entries_applied += applied.entries;
        self.standby.ack_due |= applied.batches;
        self.standby.bulk_ack_due |= applied.chunks;
        if !applied.differing.is_empty() {
            self.stats.digest_mismatches += applied.differing.len() as u64;
            let clients = applied.differing.clone();
            ctx.event(Event::DigestMismatch {
                group: self.id,
                clients,
            });
            self.resync(applied.differing, "digests differ", ctx);
        } else if applied.complete {
            self.standby.failures = 0;
            let (group, entries) = (self.id, self.entries());
            let took = ctx.now.since(self.standby.since);
            ctx.event(Event::SyncCompleted {
                group,
                entries,
                took,
            });
            self.facility.set_gate(Gate::Synced, true, ctx.now);
            self.run_facility(ctx);
        }
    }

    /// Asks for clients in full.
    fn resync(&mut self, clients: Vec<ClientId>, why: &str, ctx: &mut Context<'_>) {
        self.standby.resync = clients;
        self.not_whole(why, ctx);
        self.request_sync(ctx);
    }

    /// Asks for a client in full, or for all.
    pub(crate) fn resync_by_command(
        &mut self,
        client: Option<ClientId>,
        ctx: &mut Context<'_>,
    ) -> Result<(), CommandError> {
        if self.role != Role::Standby {
            return Err(CommandError::NotStandby);
        }
        let all = || self.members.iter().map(|member| member.id()).collect();
        let clients = match client {
            None => all(),
            Some(client) if self.members.index_of(client).is_some() => vec![client],
            Some(client) => return Err(CommandError::NoClient { client }),
        };
        self.resync(clients, "asked for by command", ctx);
        Ok(())
    }

    /// Acknowledgements that are due, one for all that arrived together.
    pub(super) fn poll_acknowledgement(&mut self) -> Option<(LinkId, Body)> {
        let link = self.standby.link?;
        let group = self.id.value();
        if core::mem::take(&mut self.standby.ack_due) {
            return Some((link, Body::Ack(self.receiver.ack(group))));
        }
        if core::mem::take(&mut self.standby.bulk_ack_due) {
            return Some((link, Body::BulkAck(self.receiver.bulk_ack(group))));
        }
        None
    }

    /// Compares part of the tables with what was applied.
    pub(super) fn audit_standby(&mut self, slots: u32, ctx: &mut Context<'_>) {
        if self.facility.state() != RfState::StandbyHot || self.planted.no_digest {
            return;
        }
        let mut damaged = Vec::new();
        for member in self.members.iter_mut() {
            let entries = member.audit(slots).len();
            if entries > 0 {
                self.stats.audit_mismatches += entries as u64;
                damaged.push(member.id());
                let (group, client) = (self.id, member.id());
                ctx.out
                    .push_back(crate::node::Output::Event(Event::AuditMismatch {
                        group,
                        client,
                        entries,
                    }));
            }
        }
        if !damaged.is_empty() {
            self.resync(damaged, "an audit found differing entries", ctx);
        }
    }

    /// Whether something of a stream is of the highest term and of the current sync.
    fn accepts(
        &mut self,
        what: &'static str,
        sync: u64,
        term: Term,
        link: LinkId,
        ctx: &mut Context<'_>,
    ) -> bool {
        !self.fenced(what, term, ctx)
            && self.role == Role::Standby
            && sync == self.receiver.sync()
            && self.standby.link == Some(link)
    }

    /// The stream cannot go on: all is asked for again, after a pause.
    fn sync_failed(&mut self, error: StreamError, ctx: &mut Context<'_>) {
        self.stats.sync_failures += 1;
        let doublings = self.standby.failures.min(10);
        let retry_in = (RETRY_FIRST * (1 << doublings)).min(RETRY_LIMIT);
        let resync = match &error {
            StreamError::Apply { client, .. } => vec![*client],
            _ => self.members.iter().map(|member| member.id()).collect(),
        };
        ctx.event(Event::SyncFailed {
            group: self.id,
            error,
            retry_in,
        });
        self.standby = Progress {
            failures: self.standby.failures + 1,
            retry_at: Some(ctx.now + retry_in),
            since: self.standby.since,
            resync,
            ..Progress::default()
        };
        self.not_whole("the stream failed", ctx);
    }

    /// The replica is not whole any more.
    fn not_whole(&mut self, why: &str, ctx: &mut Context<'_>) {
        self.facility.set_gate(Gate::Synced, false, ctx.now);
        if self.facility.state() == RfState::StandbyHot {
            self.facility
                .fall_back(FallBack::ColdBulk, why.to_owned(), ctx.now);
        }
        self.run_facility(ctx);
    }
}
