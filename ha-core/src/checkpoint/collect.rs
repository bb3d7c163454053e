//! Gathers marked entries into batches.
//!
//! A batch holds, in this order of precedence,
//! 1. all entries of all transactions since the last batch, however many: a transaction is never
//!    split. More than a part can hold goes into several parts, which the standby applies at once;
//! 2. marked entries of clients whose flush is due (count, bytes or age), up to one part.
//!
//! Both are read while the gate of [`Shared`] is held, so no transaction is half done.

use std::collections::VecDeque;

use super::flight::Receipts;
use super::members::{Budget, Member, Members};
use super::shared::Shared;
use crate::id::Slot;
use crate::sync::CommitSender;
use crate::time::Time;
use crate::wire::pb;

/// Decides when to collect, and collects.
pub(crate) struct Collector {
    plans: Vec<Plan>,
    barriers: Vec<Barrier>,
    /// Parts of a batch, ready to go.
    parts: VecDeque<pb::Batch>,
    forced: bool,
    scratch: Vec<Slot>,
}

/// When one client is flushed, and how far that is.
struct Plan {
    /// The age bound is reached then.
    due: Time,
    /// A flush is under way until the end of the pass.
    wanted: bool,
    /// A pass over all marks was begun and is not done.
    passing: bool,
    cursor: u32,
    /// When the last pass ended: nothing still marked is older than the one before.
    passed: Time,
    /// Bytes of an entry on the wire, a moving average times 16.
    entry_bytes_x16: usize,
}

/// A commit that waits until everything marked before it was sent.
struct Barrier {
    commit: CommitSender,
    /// How many ends of passes each client still needs.
    passes: Vec<u8>,
}

/// What was collected for one batch.
#[derive(Default)]
pub(crate) struct Collected {
    /// Sections of each part.
    pub(crate) sections: Vec<Vec<pb::Section>>,
    pub(crate) slots: Vec<(u16, Slot)>,
    pub(crate) commits: Vec<CommitSender>,
    pub(crate) receipts: Receipts,
    /// Places of the clients in it.
    pub(crate) touched: Vec<usize>,
    pub(crate) bytes: usize,
    pub(crate) entries: u64,
    pub(crate) since: Time,
    pub(crate) forced: bool,
}

/// How much a part of a batch may hold.
const PART: Budget = Budget {
    bytes: 256 * 1024,
    entries: 16 * 1024,
};

/// Marks taken at once.
const STEP: usize = 1024;

impl Collector {
    pub(crate) fn new(members: &Members, now: Time) -> Self {
        let plans = members
            .iter()
            .map(|member| Plan::new(member, now))
            .collect();
        Self {
            plans,
            barriers: Vec::new(),
            parts: VecDeque::new(),
            forced: false,
            scratch: Vec::with_capacity(STEP),
        }
    }

    /// Looks for clients whose flush is due.
    pub(crate) fn look(&mut self, members: &Members, now: Time) {
        for (plan, member) in self.plans.iter_mut().zip(members.iter()) {
            plan.look(member, now);
        }
    }

    /// When [`look`](Self::look) is due next.
    pub(crate) fn next_due(&self) -> Time {
        self.plans
            .iter()
            .map(|plan| plan.due)
            .min()
            .unwrap_or(Time::from_nanos(u64::MAX))
    }

    /// Whether there is something to collect, transactions aside.
    pub(crate) fn has_work(&self) -> bool {
        self.forced
            || !self.parts.is_empty()
            || self.barriers.iter().any(|barrier| !barrier.is_passed())
            || self.plans.iter().any(|plan| plan.wanted || plan.passing)
    }

    /// Begins to send everything that is marked now.
    pub(crate) fn begin_pass(&mut self) {
        for plan in &mut self.plans {
            (plan.cursor, plan.passing) = (0, true);
        }
        for barrier in &mut self.barriers {
            barrier.passes.fill(1);
        }
    }

    /// Whether everything that was marked when the pass began is sent.
    pub(crate) fn pass_is_done(&self) -> bool {
        self.plans.iter().all(|plan| !plan.passing)
    }

    /// Makes the next batch go out even if empty, with all digests.
    pub(crate) fn force(&mut self) {
        self.forced = true;
    }

    pub(crate) fn take_barriers(&mut self) -> Vec<CommitSender> {
        self.barriers
            .drain(..)
            .map(|barrier| barrier.commit)
            .collect()
    }

    /// Collects one batch of about `room` bytes at most, transactions aside. With `hold` barriers go
    /// on waiting: a bulk sync carries what was marked before it began.
    pub(crate) fn collect(
        &mut self,
        members: &mut Members,
        shared: &Shared,
        room: usize,
        hold: bool,
        now: Time,
    ) -> Collected {
        let mut batch = Collected {
            since: now,
            ..Collected::default()
        };
        batch.forced = core::mem::take(&mut self.forced);
        let mut gate = shared.collect();
        let touched = sort(gate.take_slots(), members);
        batch.commits = gate.take_commits();
        for commit in gate.take_barriers() {
            let passes = self
                .plans
                .iter()
                .map(|plan| 1 + u8::from(plan.cursor != 0))
                .collect();
            self.barriers.push(Barrier { commit, passes });
        }
        self.transactions(&touched, members, &mut batch);
        if batch.sections.is_empty() {
            self.marked(&touched, members, room, now, &mut batch);
        }
        drop(gate);
        self.close_part(members, &mut batch);
        if !hold {
            self.pass_barriers(&mut batch);
        }
        batch
    }

    /// Cuts a collected batch into messages.
    pub(crate) fn queue(
        &mut self,
        sections: Vec<Vec<pb::Section>>,
        number: u64,
        digests: Vec<pb::Digest>,
        complete: bool,
    ) {
        let last = sections.len().saturating_sub(1);
        for (part, sections) in sections.into_iter().enumerate() {
            let number_of_part = u32::try_from(part).unwrap_or(u32::MAX);
            let batch = pb::Batch {
                number,
                part: number_of_part,
                more: part != last,
                sections,
                ..pb::Batch::default()
            };
            self.parts.push_back(batch);
        }
        if self.parts.is_empty() {
            self.parts.push_back(pb::Batch {
                number,
                ..pb::Batch::default()
            });
        }
        if let Some(last) = self.parts.back_mut() {
            (last.digests, last.complete) = (digests, complete);
        }
    }

    pub(crate) fn next_part(&mut self) -> Option<pb::Batch> {
        self.parts.pop_front()
    }

    pub(crate) fn has_parts(&self) -> bool {
        !self.parts.is_empty()
    }

    /// The stream broke off: parts not yet sent are void, their batch counts as lost.
    pub(crate) fn forget_parts(&mut self) {
        self.parts.clear();
    }

    fn transactions(
        &mut self,
        touched: &[(u16, Slot)],
        members: &mut Members,
        batch: &mut Collected,
    ) {
        let mut open = 0;
        for group in touched.chunk_by(|a, b| a.0 == b.0) {
            if open >= PART.bytes {
                self.close_part(members, batch);
                open = 0;
            }
            let index = usize::from(group[0].0);
            let dirty = |slot: &Slot| members.at(index).client.dirty().take(*slot);
            let slots: Vec<Slot> = group.iter().map(|(_, slot)| *slot).filter(dirty).collect();
            let mut rest = &slots[..];
            while !rest.is_empty() {
                let done = members.at_mut(index).encode(rest, PART);
                batch.note(index, &rest[..done]);
                rest = &rest[done..];
                if !rest.is_empty() {
                    self.close_part(members, batch);
                    open = 0;
                }
            }
            open += members.at(index).builder.bytes();
        }
    }

    fn marked(
        &mut self,
        touched: &[(u16, Slot)],
        members: &mut Members,
        room: usize,
        now: Time,
        batch: &mut Collected,
    ) {
        let all = self.barriers.iter().any(|barrier| !barrier.is_passed());
        let mut left = Budget {
            bytes: room.min(PART.bytes),
            entries: PART.entries,
        };
        for index in 0..self.plans.len() {
            let plan = &mut self.plans[index];
            if !(all || plan.wanted || plan.passing) {
                continue;
            }
            let member = members.at_mut(index);
            let ended = flush(plan, member, index, touched, left, &mut self.scratch, batch);
            left.bytes = left.bytes.saturating_sub(member.builder.bytes());
            left.entries = left.entries.saturating_sub(member.builder.entries());
            if !ended {
                break;
            }
            plan.end_pass(now);
            for barrier in &mut self.barriers {
                barrier.passes[index] = barrier.passes[index].saturating_sub(1);
            }
        }
    }

    fn close_part(&mut self, members: &mut Members, batch: &mut Collected) {
        let mut sections = Vec::new();
        for (index, member) in (0..)
            .zip(members.iter_mut())
            .filter(|(_, m)| !m.builder.is_empty())
        {
            let (bytes, entries) = (member.builder.bytes(), member.builder.entries());
            self.plans[index].observe(bytes, entries);
            batch.bytes += bytes;
            batch.entries += entries as u64;
            let receipts = member.builder.take_receipts();
            if !receipts.is_empty() {
                batch.receipts.push((place_of(index), receipts));
            }
            let number = member.number();
            sections.push(member.builder.take(number));
        }
        if !sections.is_empty() {
            batch.sections.push(sections);
        }
    }

    /// These commits wait for the end of a bulk sync, with the barriers.
    pub(crate) fn hold(&mut self, commits: Vec<CommitSender>) {
        let passes = vec![0; self.plans.len()];
        let held = commits.into_iter().map(|commit| Barrier {
            commit,
            passes: passes.clone(),
        });
        self.barriers.extend(held);
    }

    fn pass_barriers(&mut self, batch: &mut Collected) {
        let (passed, waiting) = core::mem::take(&mut self.barriers)
            .into_iter()
            .partition(Barrier::is_passed);
        self.barriers = waiting;
        batch
            .commits
            .extend(passed.into_iter().map(|barrier| barrier.commit));
    }
}

impl Barrier {
    fn is_passed(&self) -> bool {
        self.passes.iter().all(|passes| *passes == 0)
    }
}

impl Collected {
    /// Whether nothing changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    fn note(&mut self, index: usize, slots: &[Slot]) {
        let place = place_of(index);
        self.slots.extend(slots.iter().map(|slot| (place, *slot)));
        if !slots.is_empty()
            && self.touched.last() != Some(&index)
            && !self.touched.contains(&index)
        {
            self.touched.push(index);
        }
    }
}

impl Plan {
    fn new(member: &Member, now: Time) -> Self {
        Self {
            due: now + member.descriptor().flush.max_age,
            wanted: false,
            passing: false,
            cursor: 0,
            passed: now,
            entry_bytes_x16: 0,
        }
    }

    fn look(&mut self, member: &Member, now: Time) {
        let policy = &member.descriptor().flush;
        let marked = member.client.dirty().len() as usize;
        let bytes = marked.saturating_mul(self.entry_bytes_x16) / 16;
        let full = marked >= policy.max_entries as usize || bytes >= policy.max_bytes as usize;
        let due = now >= self.due;
        if due {
            self.due = now + policy.max_age;
        }
        if full || (due && !member.client.dirty().is_empty()) {
            self.wanted = true;
        } else if due && !self.wanted {
            self.passed = now;
        }
    }

    fn end_pass(&mut self, now: Time) {
        (self.wanted, self.passing, self.passed) = (false, false, now);
    }

    fn observe(&mut self, bytes: usize, entries: usize) {
        let now = 16 * bytes / entries.max(1);
        self.entry_bytes_x16 = (3 * self.entry_bytes_x16 + now) / 4;
    }
}

/// Encodes marked entries of one client; returns whether the pass ended.
fn flush(
    plan: &mut Plan,
    member: &mut Member,
    index: usize,
    touched: &[(u16, Slot)],
    budget: Budget,
    scratch: &mut Vec<Slot>,
    batch: &mut Collected,
) -> bool {
    let place = place_of(index);
    batch.since = batch.since.min(plan.passed);
    loop {
        if member.builder.entries() >= budget.entries || member.builder.bytes() >= budget.bytes {
            return false;
        }
        scratch.clear();
        let ended = member
            .client
            .dirty()
            .collect(&mut plan.cursor, scratch, STEP);
        // What a transaction of this batch already carries waits for the next one.
        let dirty = member.client.dirty();
        scratch.retain(|slot| {
            let again = touched.binary_search(&(place, *slot)).is_ok();
            if again {
                dirty.mark(*slot);
            }
            !again
        });
        let done = member.encode(scratch, budget);
        batch.note(index, &scratch[..done]);
        if let Some(first) = scratch.get(done) {
            plan.cursor = first.index();
            for slot in &scratch[done..] {
                member.client.dirty().mark(*slot);
            }
            return false;
        }
        if ended {
            return true;
        }
    }
}

fn place_of(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

/// Sorts touched slots by place of the client and slot, without duplicates.
fn sort(slots: Vec<(crate::id::ClientId, Slot)>, members: &Members) -> Vec<(u16, Slot)> {
    let place = |id| {
        members
            .index_of(id)
            .and_then(|index| u16::try_from(index).ok())
    };
    let mut places: Vec<(u16, Slot)> = slots
        .into_iter()
        .filter_map(|(id, slot)| Some((place(id)?, slot)))
        .collect();
    places.sort_unstable();
    places.dedup();
    places
}
