//! The active's side of a group: streams state to the standby.
//!
//! ```text
//!   numbers of batches        settled ≤ in flight ≤ last
//!                             ───┬──────────┬───────┬──▶
//!                        acknowledged   oldest   collected
//!                                       not yet
//! ```
//!
//! Memory is bounded by the windows that the standby granted: a slow standby costs marks, which
//! coalesce, never queued updates (P6).

mod resume;

use std::sync::Arc;

use super::Notice;
use super::bulk::{Bulk, chunk_budget};
use super::collect::Collector;
use super::flight::{Flight, InFlight};
use super::members::{Member, Members};
use super::shared::Shared;
use crate::id::{LinkId, Term};
use crate::sync::{CommitError, CommitSender, Committed};
use crate::time::Time;
use crate::wire::{Body, limits, pb};
use resume::mark_lost;

/// The sending half of a group's checkpoint facility; exists while the unit is active.
pub(crate) struct Sender {
    group: u32,
    term: Term,
    incarnation: u64,
    lineage: u64,
    shared: Arc<Shared>,
    collector: Collector,
    flight: Flight,
    /// Whose acknowledgements `flight` counts: the incarnation of the standby's process.
    standby: Option<u64>,
    /// The newest sync that this process of the standby asked for.
    asked: u64,
    /// What belonged together was forgotten while no standby was there: transactions, and slots that
    /// a key left and took. It may arrive in pieces until the standby has caught up.
    scattered: bool,
    stream: Option<Stream>,
    bulk: Option<Bulk>,
    bulk_ids: u64,
    /// Whether the credit limit is kept; off only to prove that tests find that.
    pub(crate) keep_credit: bool,
    pub(crate) stats: StreamStats,
}

/// What the sending half of a group counts since the unit became active.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct StreamStats {
    /// Batches collected.
    pub batches: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes of their contents.
    pub bytes: u64,
    /// Bulk chunks read.
    pub chunks: u64,
    /// Entries in them.
    pub bulk_entries: u64,
    /// Streams that began with everything.
    pub full_syncs: u64,
    /// Streams that began with what changed.
    pub delta_syncs: u64,
    /// Bulk syncs that went on where they had been interrupted.
    pub resumed_bulks: u64,
    /// Entries whose mark was lost and that an audit marked again.
    pub audit_marks: u64,
}

/// A stream to the standby over one link.
struct Stream {
    sync: u64,
    link: LinkId,
    changes_window: usize,
    bulk_window: usize,
    /// Clients whose marks made before the sync began are not all sent yet.
    catching_up: bool,
    /// Whether the standby was told that it is whole.
    complete: bool,
    /// The batch that says so.
    completes_at: Option<u64>,
    /// A bulk sync became necessary; the standby must be told.
    announce: bool,
}

/// Batches in flight beyond which the next one waits and gathers more.
const MAX_BATCHES_IN_FLIGHT: usize = 8;

impl Sender {
    pub(crate) fn new(
        group: u32,
        term: Term,
        incarnation: u64,
        lineage: u64,
        shared: Arc<Shared>,
        members: &Members,
        now: Time,
    ) -> Self {
        Self {
            group,
            term,
            incarnation,
            lineage,
            shared,
            collector: Collector::new(members, now),
            flight: Flight::default(),
            standby: None,
            asked: 0,
            scattered: false,
            stream: None,
            bulk: None,
            bulk_ids: 0,
            keep_credit: true,
            stats: StreamStats::default(),
        }
    }

    pub(crate) fn term(&self) -> Term {
        self.term
    }

    /// The link that the stream runs over.
    pub(crate) fn link(&self) -> Option<LinkId> {
        self.stream.as_ref().map(|stream| stream.link)
    }

    /// Whether everything collected so far is acknowledged and nothing waits.
    pub(crate) fn is_drained(&self, members: &Members) -> bool {
        self.flight.is_empty()
            && self.bulk.is_none()
            && !self.collector.has_work()
            && !self.shared.has_pending()
            && members
                .iter()
                .all(|member| member.client.dirty().is_empty())
    }

    /// Whether the stream reached the point where the standby is whole.
    pub(crate) fn is_complete(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.complete)
    }

    /// Bytes of batches and chunks in flight, and what the standby granted for each.
    pub(crate) fn credit(&self) -> [(usize, usize); 2] {
        let windows = self
            .stream
            .as_ref()
            .map_or((0, 0), |s| (s.changes_window, s.bulk_window));
        let bulk = self.bulk.as_ref().map_or(0, Bulk::in_flight_bytes);
        [(self.flight.bytes(), windows.0), (bulk, windows.1)]
    }

    /// The standby asks for the stream; `standby` is the incarnation of its process. `None` if it
    /// asked for a later one already: links do not keep order among each other.
    pub(crate) fn start(
        &mut self,
        request: &pb::SyncRequest,
        link: LinkId,
        standby: u64,
        members: &mut Members,
    ) -> Option<pb::SyncBegin> {
        if self.standby == Some(standby) && request.sync <= self.asked {
            return None;
        }
        let resumable = self.can_resume(request, standby);
        if resumable {
            self.resume(request, members);
        } else {
            self.restart(members);
            members.notice(Notice::StandbyRestarted);
        }
        (self.standby, self.asked) = (Some(standby), request.sync);
        self.stream = Some(Stream {
            sync: request.sync,
            link,
            changes_window: window(request.changes_window_bytes),
            bulk_window: window(request.bulk_window_bytes),
            catching_up: true,
            complete: false,
            completes_at: None,
            announce: false,
        });
        self.collector.begin_pass();
        let mode = if resumable {
            pb::SyncMode::Delta
        } else {
            pb::SyncMode::Full
        };
        Some(self.begin(mode, members))
    }

    fn begin(&self, mode: pb::SyncMode, members: &Members) -> pb::SyncBegin {
        pb::SyncBegin {
            group: self.group,
            sync: self.stream.as_ref().map_or(0, |stream| stream.sync),
            term: Some(self.term.into()),
            incarnation: self.incarnation,
            mode: mode.into(),
            bulk: self.bulk.as_ref().map_or(0, Bulk::id),
            base: self.flight.last(),
            lineage: self.lineage,
            sizes: members.iter().map(Member::size).collect(),
            scattered: self.scattered,
        }
    }

    /// The link is gone; the standby may come back over another one.
    pub(crate) fn suspend(&mut self) {
        self.stream = None;
    }

    /// The standby is lost: nothing need wait for it. What changes from now on is remembered by
    /// marks alone, so that its size is bounded by the tables.
    pub(crate) fn standby_lost(&mut self, members: &mut Members) {
        self.stream = None;
        let mut commits = Vec::new();
        for batch in self.flight.take_all() {
            mark_lost(&batch, members);
            self.scattered |= !batch.slots.is_empty();
            commits.extend(batch.commits);
        }
        commits.extend(self.collector.take_barriers());
        let mut gate = self.shared.collect();
        self.scattered |= !gate.take_slots().is_empty();
        commits.extend(gate.take_commits());
        commits.extend(gate.take_barriers());
        drop(gate);
        self.shared.settle_alone(commits);
    }

    /// The standby's process is gone for certain: whoever comes begins from nothing.
    pub(crate) fn standby_fenced(&mut self) {
        self.standby = None;
    }

    /// No standby is there: commits need not wait, if the policy says so.
    pub(crate) fn settle_alone(&mut self) {
        let mut gate = self.shared.collect();
        self.scattered |= !gate.take_slots().is_empty();
        let mut commits = gate.take_commits();
        commits.extend(gate.take_barriers());
        drop(gate);
        self.shared.settle_alone(commits);
    }

    /// Sends all that is marked, before the role is given up.
    pub(crate) fn begin_drain(&mut self) {
        self.collector.begin_pass();
    }

    /// The last batch, if what was marked when [`begin_drain`](Self::begin_drain) was called is in it or
    /// in those before.
    pub(crate) fn passed(&self) -> Option<u64> {
        self.collector.pass_is_done().then(|| self.flight.last())
    }

    /// Whether a batch and all before it are acknowledged.
    pub(crate) fn is_acknowledged(&self, batch: u64) -> bool {
        self.flight.oldest().is_none_or(|oldest| oldest > batch)
    }

    /// Another sender takes this one's place: open commits go on waiting.
    pub(crate) fn hand_on(&mut self) {
        let mut commits: Vec<CommitSender> = self
            .flight
            .take_all()
            .into_iter()
            .flat_map(|batch| batch.commits)
            .collect();
        commits.extend(self.collector.take_barriers());
        self.shared.put_back([], commits);
    }

    /// The unit gives the role up: nobody will learn what became of open commits.
    pub(crate) fn abandon(&mut self) {
        let mut commits: Vec<CommitSender> = self
            .flight
            .take_all()
            .into_iter()
            .flat_map(|batch| batch.commits)
            .collect();
        commits.extend(self.collector.take_barriers());
        let mut gate = self.shared.collect();
        gate.take_slots();
        commits.extend(gate.take_commits());
        commits.extend(gate.take_barriers());
        drop(gate);
        for commit in commits {
            commit.resolve(Err(CommitError::RoleLost));
        }
    }

    /// Batches up to `applied` are applied.
    pub(crate) fn acknowledged(&mut self, ack: &pb::Ack, members: &Members) -> Option<Settled> {
        if self
            .stream
            .as_ref()
            .is_none_or(|stream| stream.sync != ack.sync)
        {
            return None;
        }
        let settled = self.flight.settle(ack.applied);
        let oldest = settled.first().map(|batch| batch.since);
        settle(settled, members);
        let stream = self.stream.as_mut()?;
        let synced = stream.completes_at.is_some_and(|at| at <= ack.applied);
        if synced {
            stream.completes_at = None;
        }
        Some(Settled { oldest, synced })
    }

    /// Chunks before `next` are applied.
    pub(crate) fn bulk_acknowledged(&mut self, ack: &pb::BulkAck, members: &mut Members) {
        if self
            .stream
            .as_ref()
            .is_none_or(|stream| stream.sync != ack.sync)
        {
            return;
        }
        let Some(bulk) = self.bulk.as_mut().filter(|bulk| bulk.id() == ack.bulk) else {
            return;
        };
        bulk.open();
        bulk.settle(ack.next, members);
        if bulk.is_done() {
            self.bulk = None;
            self.collector.begin_pass();
        }
    }

    /// What the standby has not acknowledged: the oldest batch and the oldest chunk in flight. It
    /// changes with every acknowledgement; `None` while nothing is in flight.
    pub(crate) fn awaited(&self) -> Option<(u64, u64)> {
        self.stream.as_ref()?;
        let batch = self.flight.oldest();
        let chunk = self.bulk.as_ref().and_then(Bulk::awaited);
        (batch.is_some() || chunk.is_some())
            .then(|| (batch.unwrap_or_default(), chunk.unwrap_or_default()))
    }

    /// The application rang, or a flush is due: look at what is to do.
    pub(crate) fn look(&mut self, members: &mut Members, now: Time) {
        if self.stream.is_some() {
            self.collector.look(members, now);
            self.look_for_overflow(members);
        }
    }

    /// A table forgot removals that the standby should have heard of: until all of it was sent
    /// again, the standby may show what is gone. It must learn that before the next batch.
    fn look_for_overflow(&mut self, members: &mut Members) {
        let repaired = self.repair(Vec::new(), members);
        if let Some(stream) = self.stream.as_mut().filter(|_| repaired) {
            (stream.announce, stream.catching_up, stream.complete) = (true, true, false);
        }
    }

    /// When [`look`](Self::look) is due next.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.stream.as_ref().map(|_| self.collector.next_due())
    }

    /// The next message of the stream, while credit lasts: changes first.
    pub(crate) fn poll(&mut self, members: &mut Members, now: Time) -> Option<(LinkId, Body)> {
        let link = self.stream.as_ref()?.link;
        if !self.collector.has_parts() {
            self.look_for_overflow(members);
        }
        let stream = self.stream.as_mut()?;
        if !self.collector.has_parts() && core::mem::take(&mut stream.announce) {
            return Some((
                link,
                Body::SyncBegin(self.begin(pb::SyncMode::Delta, members)),
            ));
        }
        let part = self.poll_part(members, now);
        part.or_else(|| self.poll_chunk(members))
            .map(|body| (link, body))
    }

    /// Compares part of each table with what was sent; marks what differs (a lost mark).
    pub(crate) fn audit(&mut self, members: &mut Members, slots: u32) {
        if self.bulk.is_some() || !self.is_complete() {
            return;
        }
        for member in members.iter_mut() {
            for slot in member.audit(slots) {
                self.stats.audit_marks += u64::from(member.client.dirty().mark(slot));
            }
        }
    }

    /// Asks for a batch with all digests even if nothing changed.
    pub(crate) fn check_in(&mut self) {
        if self.is_complete() {
            self.collector.force();
        }
    }

    fn poll_part(&mut self, members: &mut Members, now: Time) -> Option<Body> {
        if let Some(part) = self.collector.next_part() {
            return Some(self.send_part(part));
        }
        let stream = self.stream.as_ref()?;
        let window = if self.keep_credit {
            stream.changes_window
        } else {
            usize::MAX
        };
        let completes = stream.catching_up && self.bulk.is_none();
        let full = self.flight.len() >= MAX_BATCHES_IN_FLIGHT && self.keep_credit;
        if full || !(completes || self.collector.has_work() || self.shared.has_pending()) {
            return None;
        }
        let room = window.saturating_sub(self.flight.bytes());
        if room < MIN_ROOM {
            return None;
        }
        let number = self.flight.last() + 1;
        let hold = self.bulk.is_some();
        let mut batch = self
            .collector
            .collect(members, &self.shared, room, hold, now);
        let caught_up = completes && self.collector.pass_is_done();
        let repair = self.bulk.as_ref().is_some_and(|bulk| !bulk.is_full());
        if (repair || self.scattered) && !caught_up {
            // What a transaction removed may show on the standby in a slot that it does not name.
            self.collector.hold(core::mem::take(&mut batch.commits));
        }
        let stable = caught_up || self.is_complete();
        if batch.is_empty() && !caught_up && !(stable && batch.forced) {
            self.settle_empty(batch);
            return None;
        }
        if caught_up && let Some(stream) = &mut self.stream {
            (stream.catching_up, stream.complete) = (false, true);
            stream.completes_at = Some(number);
            self.scattered = false;
        }
        let digests = match (stable, caught_up || batch.forced) {
            (false, _) => Vec::new(),
            (true, true) => members.digests(),
            (true, false) => batch
                .touched
                .iter()
                .map(|i| members.at(*i).digest())
                .collect(),
        };
        self.flight.push(InFlight {
            number,
            bytes: batch.bytes,
            slots: core::mem::take(&mut batch.slots),
            commits: core::mem::take(&mut batch.commits),
            receipts: core::mem::take(&mut batch.receipts),
            since: batch.since,
        });
        self.stats.batches += 1;
        self.stats.entries += batch.entries;
        self.stats.bytes += batch.bytes as u64;
        self.collector
            .queue(batch.sections, number, digests, caught_up);
        self.collector.next_part().map(|part| self.send_part(part))
    }

    /// Commits that waited for a batch in which nothing was left to send.
    fn settle_empty(&mut self, batch: super::collect::Collected) {
        let complete = self.is_complete();
        match self.flight.newest() {
            Some(last) => last.commits.extend(batch.commits),
            // The standby may not even have heard yet that a sync began.
            None if !complete => self.collector.hold(batch.commits),
            None => {
                for commit in batch.commits {
                    commit.resolve(Ok(Committed::Replicated));
                }
            }
        }
    }

    fn send_part(&self, mut part: pb::Batch) -> Body {
        part.group = self.group;
        part.sync = self.stream.as_ref().map_or(0, |stream| stream.sync);
        part.term = Some(self.term.into());
        Body::Batch(part)
    }

    fn poll_chunk(&mut self, members: &mut Members) -> Option<Body> {
        let stream = self.stream.as_ref()?;
        let bulk = self.bulk.as_mut().filter(|bulk| bulk.is_open())?;
        let window = if self.keep_credit {
            stream.bulk_window
        } else {
            usize::MAX
        };
        let budget = chunk_budget(window);
        if bulk.in_flight_bytes() + budget.bytes > window && bulk.has_chunks_in_flight() {
            return None;
        }
        let chunk = bulk.read(members, self.flight.last(), budget)?;
        self.stats.chunks += 1;
        self.stats.bulk_entries += chunk
            .entries
            .as_ref()
            .map_or(0, |e| e.slot_gap.len() as u64);
        let (sync, term) = (stream.sync, Some(self.term.into()));
        Some(Body::BulkChunk(pb::BulkChunk {
            group: self.group,
            sync,
            term,
            ..chunk
        }))
    }
}

/// What an acknowledgement brought.
pub(crate) struct Settled {
    /// When the oldest change was made that is now acknowledged, for staleness.
    pub(crate) oldest: Option<Time>,
    /// Whether the standby holds everything from now on.
    pub(crate) synced: bool,
}

/// Tells those who wait that batches are applied: first who counts on it, then who awaits it.
fn settle(batches: Vec<InFlight>, members: &Members) {
    for batch in batches {
        members.acknowledged(&batch.receipts);
        for commit in batch.commits {
            commit.resolve(Ok(Committed::Replicated));
        }
    }
}

/// What the standby granted, at most what any standby may grant: it bounds this unit's memory too.
fn window(bytes: u64) -> usize {
    usize::try_from(bytes).map_or(limits::MAX_WINDOW_BYTES, |bytes| {
        bytes.min(limits::MAX_WINDOW_BYTES)
    })
}

/// Below this much credit a batch waits for more.
const MIN_ROOM: usize = 1024;
