//! What a group's application threads and its node share.

use std::sync::Arc;

use crate::id::{ClientId, Slot};
use crate::sync::shim::{AtomicBool, Mutex, MutexGuard, Ordering};
use crate::sync::{Commit, CommitSender, Committed, Doorbell};

/// The meeting place of the threads that write a group's tables and the node that replicates them.
///
/// A gate keeps transactions and collections apart: while a thread is inside a
/// [`Transaction`], the node collects nothing of the group; while the node collects, transactions
/// wait. Hence a transaction is in one batch, and never straddles a change of role. Plain writes
/// outside transactions do not pass the gate.
///
/// Lock order: gate, then a table's own lock.
#[derive(Debug)]
pub struct Shared {
    gate: Mutex<Pending>,
    doorbell: Arc<Doorbell>,
    writable: AtomicBool,
    policy: CommitPolicy,
}

/// What a commit does while there is no standby.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CommitPolicy {
    /// It waits for one.
    Strict,
    /// It resolves as [`Committed::Degraded`](crate::sync::Committed::Degraded).
    #[default]
    Degrade,
}

/// Why a transaction or barrier could not begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// This unit does not hold the active role.
    #[error("this unit is not active; write on the active unit, or wait for the takeover")]
    NotActive,
    /// Too many commits await collection by the node.
    #[error(
        "{limit} commits await the standby already (is it stuck, or the link congested?); \
         await some before making more"
    )]
    Busy {
        /// The most that may wait.
        limit: usize,
    },
}

impl Shared {
    /// Most commits and barriers that may await collection; more are refused as
    /// [`TransactionError::Busy`].
    pub const COMMIT_LIMIT: usize = 1 << 20;

    /// For a unit that is not active yet.
    pub fn new(policy: CommitPolicy) -> Arc<Self> {
        Arc::new(Self {
            gate: Mutex::new(Pending::default()),
            doorbell: Arc::new(Doorbell::new()),
            writable: AtomicBool::new(false),
            policy,
        })
    }

    /// What a commit does while there is no standby.
    pub fn policy(&self) -> CommitPolicy {
        self.policy
    }

    /// Whether this unit holds the active role, and tables may be written.
    ///
    /// A table checks it under its own lock: then nothing is written once the node, after a
    /// demotion, has flushed the table.
    pub fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Acquire)
    }

    /// The node took up or lost the active role. Waits for the transaction that is under way.
    ///
    /// Commits that await collection stay: before a planned switchover they are still sent.
    #[doc(hidden)]
    pub fn set_writable(&self, on: bool) {
        // Under the gate, so that no transaction sees the change half way.
        let _gate = self.gate.lock();
        self.writable.store(on, Ordering::Release);
    }

    /// Wakes the node.
    pub fn doorbell(&self) -> &Arc<Doorbell> {
        &self.doorbell
    }

    /// Begins a transaction: what is written until its end reaches the standby in one batch, all or
    /// nothing. The node, and other transactions of the group, wait meanwhile: be brief.
    ///
    /// # Errors
    /// On a unit that is not active, or with too many commits waiting.
    pub fn transaction(&self) -> Result<Transaction<'_>, TransactionError> {
        let pending = self.enter()?;
        Ok(Transaction {
            shared: self,
            pending,
        })
    }

    /// A commit that resolves when everything marked before the call is replicated.
    ///
    /// # Errors
    /// As for [`transaction`](Self::transaction).
    pub fn barrier(&self) -> Result<Commit, TransactionError> {
        let (sender, commit) = Commit::new();
        self.enter()?.barriers.push(sender);
        self.doorbell.ring();
        Ok(commit)
    }

    fn enter(&self) -> Result<MutexGuard<'_, Pending>, TransactionError> {
        let pending = self.gate.lock();
        if !self.is_writable() {
            return Err(TransactionError::NotActive);
        }
        if pending.commits.len() + pending.barriers.len() >= Self::COMMIT_LIMIT {
            return Err(TransactionError::Busy {
                limit: Self::COMMIT_LIMIT,
            });
        }
        Ok(pending)
    }

    /// The node: closes the gate for the time of a collection. Take commits only when there is
    /// credit to send what they wait for: the limit holds for those left here.
    pub(crate) fn collect(&self) -> Gate<'_> {
        Gate {
            pending: self.gate.lock(),
        }
    }

    /// The node: a batch was lost; its slots must go out again, all in one batch. Its commits wait
    /// like barriers, until all that is marked now is replicated: what a commit waits for may have
    /// been in any of the batches that were lost.
    pub(crate) fn put_back(
        &self,
        slots: impl IntoIterator<Item = (ClientId, Slot)>,
        commits: Vec<CommitSender>,
    ) {
        let mut pending = self.gate.lock();
        pending.touch_all(slots);
        pending.barriers.extend(commits);
    }

    /// The node: there is no standby for these commits to wait for.
    pub(crate) fn settle_alone(&self, commits: Vec<CommitSender>) {
        match self.policy {
            CommitPolicy::Strict => self.put_back([], commits),
            CommitPolicy::Degrade => {
                for commit in commits {
                    commit.resolve(Ok(Committed::Degraded));
                }
            }
        }
    }

    /// The node: whether transactions, commits or barriers wait to be collected.
    pub(crate) fn has_pending(&self) -> bool {
        !self.gate.lock().is_empty()
    }
}

/// A group of writes that reaches the standby whole or not at all. See [`Shared::transaction`].
///
/// Dropped without [`commit`](Self::commit) it still keeps its writes in one batch; nobody is told
/// when they have arrived.
#[derive(Debug)]
#[must_use = "it holds up the node until it ends"]
pub struct Transaction<'a> {
    shared: &'a Shared,
    pending: MutexGuard<'a, Pending>,
}

impl Transaction<'_> {
    /// Notes an entry as part of the transaction. The caller has written it and marked its slot in
    /// the client's dirty set.
    pub fn touch(&mut self, client: ClientId, slot: Slot) {
        self.pending.touch_all([(client, slot)]);
    }

    /// The group that the transaction belongs to.
    pub fn shared(&self) -> &Shared {
        self.shared
    }

    /// Ends the transaction. The commit resolves when the standby has applied it.
    pub fn commit(mut self) -> Commit {
        let (sender, commit) = Commit::new();
        self.pending.commits.push(sender);
        let shared = self.shared;
        // The gate first: who is woken wants to pass it.
        drop(self);
        shared.doorbell.ring();
        commit
    }
}

/// The node inside the gate.
#[derive(Debug)]
pub(crate) struct Gate<'a> {
    pending: MutexGuard<'a, Pending>,
}

impl Gate<'_> {
    /// Whether nothing waits.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The slots that transactions changed, to be sent in one batch: ascending by client and slot,
    /// each once. Their dirty marks are still set.
    pub(crate) fn take_slots(&mut self) -> Vec<(ClientId, Slot)> {
        self.pending.compact();
        core::mem::take(&mut self.pending.touched)
    }

    /// The commits of these transactions.
    pub(crate) fn take_commits(&mut self) -> Vec<CommitSender> {
        core::mem::take(&mut self.pending.commits)
    }

    /// The barriers: each waits for all that is marked now.
    pub(crate) fn take_barriers(&mut self) -> Vec<CommitSender> {
        core::mem::take(&mut self.pending.barriers)
    }
}

#[derive(Debug, Default)]
struct Pending {
    touched: Vec<(ClientId, Slot)>,
    /// How many of `touched` are known to differ from each other.
    distinct: usize,
    commits: Vec<CommitSender>,
    barriers: Vec<CommitSender>,
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.touched.is_empty() && self.commits.is_empty() && self.barriers.is_empty()
    }

    fn touch_all(&mut self, slots: impl IntoIterator<Item = (ClientId, Slot)>) {
        for slot in slots {
            self.touched.push(slot);
            // Memory stays in proportion to the entries, however often they change (P6).
            if self.touched.len() > 2 * self.distinct.max(COMPACT_FROM) {
                self.compact();
            }
        }
    }

    fn compact(&mut self) {
        self.touched
            .sort_unstable_by_key(|(client, slot)| (client.value(), slot.index()));
        self.touched.dedup();
        self.distinct = self.touched.len();
    }
}

/// Fewer touched slots than this are not worth sorting.
const COMPACT_FROM: usize = 2048;

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::sync::{CommitError, Committed};

    const NAT: ClientId = ClientId::new(40);
    const IKE: ClientId = ClientId::new(41);

    fn active() -> Arc<Shared> {
        let shared = Shared::new(CommitPolicy::default());
        shared.set_writable(true);
        shared
    }

    #[test]
    fn refused_unless_active() {
        let shared = Shared::new(CommitPolicy::Strict);
        assert_eq!(
            shared.transaction().err(),
            Some(TransactionError::NotActive)
        );
        assert_eq!(shared.barrier().err(), Some(TransactionError::NotActive));
        shared.set_writable(true);
        assert!(shared.transaction().is_ok());
    }

    #[test]
    fn a_transaction_is_collected_whole() {
        let shared = active();
        let mut t = shared.transaction().unwrap();
        t.touch(IKE, Slot::new(1));
        t.touch(NAT, Slot::new(9));
        t.touch(NAT, Slot::new(9));
        let commit = t.commit();
        assert!(shared.doorbell().take());
        let mut gate = shared.collect();
        assert!(!gate.is_empty());
        assert_eq!(
            gate.take_slots(),
            [(NAT, Slot::new(9)), (IKE, Slot::new(1))]
        );
        let commits = gate.take_commits();
        assert!(gate.is_empty());
        drop(gate);
        for sender in commits {
            sender.resolve(Ok(Committed::Replicated));
        }
        assert_eq!(commit.wait(Duration::ZERO), Ok(Committed::Replicated));
    }

    #[test]
    fn lost_slots_come_again() {
        let shared = active();
        shared.put_back([(NAT, Slot::new(3)), (NAT, Slot::new(2))], Vec::new());
        assert_eq!(
            shared.collect().take_slots(),
            [(NAT, Slot::new(2)), (NAT, Slot::new(3))]
        );
    }

    #[test]
    fn touched_slots_stay_in_proportion_to_entries() {
        let shared = active();
        for i in 0..100_000u32 {
            let mut t = shared.transaction().unwrap();
            t.touch(NAT, Slot::new(i % 10));
            assert!(t.pending.touched.len() <= 2 * COMPACT_FROM + 1);
        }
        assert_eq!(shared.collect().take_slots().len(), 10);
    }

    #[test]
    fn waiting_commits_are_limited() {
        let shared = active();
        let commits: Vec<Commit> = (0..Shared::COMMIT_LIMIT)
            .map(|_| shared.barrier().unwrap())
            .collect();
        let busy = TransactionError::Busy {
            limit: Shared::COMMIT_LIMIT,
        };
        assert_eq!(shared.barrier().err(), Some(busy));
        assert_eq!(shared.transaction().err(), Some(busy));
        drop(shared.collect().take_barriers());
        assert!(shared.barrier().is_ok());
        assert!(commits.into_iter().all(|commit| commit.is_done()));
    }

    #[test]
    fn a_group_that_goes_away_ends_its_commits() {
        let shared = active();
        let commit = shared.barrier().unwrap();
        drop(shared);
        assert_eq!(commit.wait(Duration::ZERO), Err(CommitError::Stopped));
    }
}

#[cfg(test)]
#[cfg(loom)]
mod models {
    use loom::sync::atomic::{AtomicU64, Ordering};
    use loom::thread;

    use super::*;
    use crate::sync::shim::model;

    fn transaction(shared: &Arc<Shared>, entries: &Arc<[AtomicU64; 2]>) -> thread::JoinHandle<()> {
        let (shared, entries) = (shared.clone(), entries.clone());
        thread::spawn(move || {
            let Ok(mut t) = shared.transaction() else {
                return;
            };
            for (slot, entry) in (0..).zip(entries.iter()) {
                entry.store(1, Ordering::Relaxed);
                t.touch(ClientId::new(1), Slot::new(slot));
            }
            drop(t.commit());
        })
    }

    /// After a demotion and its flush nothing is written. Fails if `set_writable` does not take the
    /// gate, or if `enter` looks at the role before it does.
    #[test]
    fn loom_a_transaction_does_not_straddle_a_change_of_role() {
        model(|| {
            let (shared, entries) = (Shared::new(CommitPolicy::Strict), Arc::default());
            shared.set_writable(true);
            let writer = transaction(&shared, &entries);
            shared.set_writable(false);
            entries
                .iter()
                .for_each(|entry| entry.store(0, Ordering::Relaxed));
            writer.join().unwrap();
            assert!(
                entries
                    .iter()
                    .all(|entry| entry.load(Ordering::Relaxed) == 0)
            );
        });
    }

    /// The node sees a transaction whole or not at all. Fails if `collect` does not hold the gate,
    /// or if a transaction lets it go between two entries.
    #[test]
    fn loom_a_transaction_is_collected_whole() {
        model(|| {
            let (shared, entries) = (Shared::new(CommitPolicy::Strict), Arc::default());
            shared.set_writable(true);
            let writer = transaction(&shared, &entries);
            let mut gate = shared.collect();
            let slots = gate.take_slots().len();
            let commits = gate.take_commits();
            let written: u64 = entries
                .iter()
                .map(|entry| entry.load(Ordering::Relaxed))
                .sum();
            assert_eq!((slots as u64, 2 * commits.len() as u64), (written, written));
            drop(gate);
            writer.join().unwrap();
            drop(commits);
        });
    }
}
