//! Two units in memory, joined by lanes that can break at any message.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic with the place is what is wanted"
)]

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::super::columns::{Changes, CheckedColumns};
use super::super::{
    Applied, CommitPolicy, FlushPolicy, Members, Receiver, Sender, Shared, StateTable, StreamError,
};
use crate::id::{ClientId, LinkId, Term, UnitId};
use crate::sync::{Commit, CommitError, Committed};
use crate::time::Time;
use crate::wire::{Body, Lane, decode, encode, pb};

pub(super) const WINDOW: usize = 64 * 1024;
/// A transaction of the tests is smaller than this.
pub(super) const SLACK: usize = 64 * 1024;
const GROUP: u32 = 1;
const ACTIVE: u64 = 0xa;
const TERM: Term = Term {
    counter: 1,
    unit: UnitId::new(0),
};

pub(super) type Table = StateTable<u16, Vec<u8>>;

/// Client A takes any write; clients B and C hold pairs that only transactions write.
pub(super) fn tables(max_removals: usize) -> [Table; 3] {
    [40, 41, 42].map(|id| {
        StateTable::builder(ClientId::new(id), format!("table {id}"))
            .max_removals(max_removals)
            .flush(FlushPolicy {
                max_entries: 8,
                ..FlushPolicy::default()
            })
            .build()
            .unwrap()
    })
}

fn members(tables: &[Table; 3]) -> Members {
    Members::new(tables.iter().map(StateTable::client).collect())
}

/// Since which write, and what.
type Written = (u64, Option<Vec<u8>>);

pub(super) struct Rig {
    pub(super) now: Time,
    pub(super) shared: Arc<Shared>,
    pub(super) active: [Table; 3],
    pub(super) standby: [Table; 3],
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    senders: Members,
    receivers: Members,
    max_removals: usize,
    standby_incarnation: u64,
    link: Option<u64>,
    links: u64,
    to_standby: BTreeMap<Lane, VecDeque<(u64, Body)>>,
    to_active: BTreeMap<Lane, VecDeque<(u64, Body)>>,
    resync: Vec<ClientId>,
    pub(super) commits: Vec<Waiting>,
    /// What each key of client A held, and since which write.
    history: BTreeMap<u16, Vec<Written>>,
    pairs: BTreeMap<u16, Vec<Written>>,
    pub(super) writes: u64,
    pub(super) mismatches: usize,
    pub(super) completed: usize,
    pub(super) resolved: BTreeMap<&'static str, usize>,
}

/// A commit, and the last write that it covers.
pub(super) struct Waiting {
    commit: Commit,
    since: u64,
    keys: Vec<u16>,
    pairs: Vec<u16>,
}

impl Rig {
    pub(super) fn new(policy: CommitPolicy, max_removals: usize) -> Self {
        let (active, standby) = (tables(max_removals), tables(max_removals));
        let (senders, receivers) = (members(&active), members(&standby));
        let shared = Shared::new(policy);
        shared.set_writable(true);
        senders.iter().for_each(|m| m.client.attach(&shared));
        let sender = Sender::new(GROUP, TERM, ACTIVE, 7, shared.clone(), &senders, Time::ZERO);
        Self {
            now: Time::ZERO,
            shared,
            active,
            standby,
            sender,
            receiver: Receiver::new(),
            senders,
            receivers,
            max_removals,
            standby_incarnation: 0xb,
            link: None,
            links: 0,
            to_standby: BTreeMap::new(),
            to_active: BTreeMap::new(),
            resync: Vec::new(),
            commits: Vec::new(),
            history: BTreeMap::new(),
            pairs: BTreeMap::new(),
            writes: 0,
            mismatches: 0,
            completed: 0,
            resolved: BTreeMap::new(),
        }
    }

    pub(super) fn value(&mut self, len: usize) -> Vec<u8> {
        self.writes += 1;
        let mut value = self.writes.to_be_bytes().to_vec();
        value.resize(len.max(8), self.writes as u8);
        value
    }

    pub(super) fn insert(&mut self, key: u16, len: usize) {
        let value = self.value(len);
        self.active[0].insert(key, value.clone()).unwrap();
        let at = self.writes;
        self.history.entry(key).or_default().push((at, Some(value)));
    }

    pub(super) fn remove(&mut self, key: u16) {
        self.writes += 1;
        self.active[0].remove(&key).unwrap();
        let at = self.writes;
        self.history.entry(key).or_default().push((at, None));
    }

    /// One transaction over three tables: pairs in B and C, and keys in A.
    pub(super) fn transaction(&mut self, pairs: &[(u16, Option<usize>)], keys: &[u16]) {
        let mut batch = super::super::WriteBatch::new();
        batch.on(&self.active[0]);
        for (key, len) in pairs {
            let value = len.map(|len| self.value(len));
            self.writes += 1;
            for table in &self.active[1..] {
                match value.clone() {
                    Some(value) => batch.on(table).insert(*key, value),
                    None => batch.on(table).remove(*key),
                }
            }
            let at = self.writes;
            self.pairs.entry(*key).or_default().push((at, value));
        }
        for key in keys {
            let value = self.value(8);
            batch.on(&self.active[0]).insert(*key, value.clone());
            let at = self.writes;
            self.history
                .entry(*key)
                .or_default()
                .push((at, Some(value)));
        }
        let commit = batch.commit().unwrap();
        let pairs = pairs.iter().map(|pair| pair.0).collect();
        self.commits.push(Waiting {
            commit,
            since: self.writes,
            keys: keys.to_vec(),
            pairs,
        });
        self.ring();
    }

    /// A commit for all that was written so far.
    pub(super) fn barrier(&mut self) {
        let commit = self.shared.barrier().unwrap();
        self.commits.push(Waiting {
            commit,
            since: self.writes,
            keys: self.history.keys().copied().collect(),
            pairs: self.pairs.keys().copied().collect(),
        });
        self.ring();
    }

    fn ring(&mut self) {
        if self.link.is_some() {
            self.sender.look(&mut self.senders, self.now);
        }
    }

    pub(super) fn tick(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
        if self.link.is_some() {
            self.sender.look(&mut self.senders, self.now);
        } else if self.sender.link().is_none() {
            self.sender.settle_alone();
        }
        self.check();
    }

    /// A new link; the standby asks for the stream over it.
    pub(super) fn connect(&mut self) {
        self.lose_link();
        self.links += 1;
        self.link = Some(self.links);
        self.ask();
    }

    fn ask(&mut self) {
        let resync = core::mem::take(&mut self.resync);
        let request = self.receiver.request(GROUP, TERM, &resync);
        let request = pb::SyncRequest {
            changes_window_bytes: WINDOW as u64,
            bulk_window_bytes: WINDOW as u64,
            ..request
        };
        self.send_back(Body::SyncRequest(request));
    }

    pub(super) fn lose_link(&mut self) {
        if self.link.take().is_some() {
            self.sender.suspend();
        }
        self.to_active.clear();
        self.to_standby.clear();
        self.check();
    }

    /// The active gives the standby up.
    pub(super) fn lose_peer(&mut self) {
        self.lose_link();
        self.sender.standby_lost(&mut self.senders);
        self.check();
    }

    /// The standby comes back without its memory.
    pub(super) fn restart_standby(&mut self) {
        self.lose_peer();
        self.standby = tables(self.max_removals);
        self.receivers = members(&self.standby);
        self.receiver = Receiver::new();
        self.standby_incarnation += 1;
    }

    /// The standby's memory is damaged without anybody noticing.
    pub(super) fn damage(&mut self, clients: &[usize]) {
        for client in clients {
            self.receivers.at_mut(*client).ledger.clear();
            self.standby[*client].client().flush();
        }
    }

    /// The standby holds entries that it was never sent.
    pub(super) fn haunt(&mut self, client: usize, slots: &[u32]) {
        let member = self.receivers.at_mut(client);
        let columns = pb::Columns {
            slot_gap: slots.to_vec(),
            key_len: vec![2],
            keys: slots
                .iter()
                .flat_map(|s| (30_000 + *s as u16).to_be_bytes())
                .collect(),
            value_len: vec![0],
            values: Default::default(),
        };
        let puts = CheckedColumns::new(columns, true).unwrap();
        let changes = Changes {
            version: 1,
            keep_bytes: false,
            removed: &[],
            puts: Some(&puts),
            updates: None,
        };
        member.client.apply(member.client.stage(&changes).unwrap());
        for (slot, key, value) in (0..puts.len()).map(|i| puts.at(i)) {
            member.ledger.applied_put(slot, key, value, 0);
        }
    }

    pub(super) fn check_in(&mut self) {
        self.sender.check_in();
    }

    pub(super) fn is_linked(&self) -> bool {
        self.link.is_some()
    }

    fn send_back(&mut self, body: Body) {
        let Some(link) = self.link else { return };
        let (lane, bytes) = encode(body);
        let body = decode(lane, bytes).unwrap();
        self.to_active
            .entry(lane)
            .or_default()
            .push_back((link, body));
    }

    /// Lets the active send what it may.
    pub(super) fn send(&mut self) -> usize {
        let mut sent = 0;
        while let Some((link, body)) = self.sender.poll(&mut self.senders, self.now) {
            let (lane, bytes) = encode(body);
            let body = decode(lane, bytes).unwrap();
            self.to_standby
                .entry(lane)
                .or_default()
                .push_back((link.value(), body));
            sent += 1;
            for (in_flight, window) in self.sender.credit() {
                assert!(in_flight <= window + SLACK, "{in_flight} of {window} bytes");
            }
        }
        self.check();
        sent
    }

    /// Delivers up to `count` messages of a lane to the standby, and its answers.
    pub(super) fn deliver(&mut self, lane: Lane, count: usize) -> usize {
        let mut delivered = 0;
        for _ in 0..count {
            let Some(message) = self.to_standby.entry(lane).or_default().pop_front() else {
                break;
            };
            self.receive(message.1);
            delivered += 1;
        }
        delivered
    }

    /// Delivers up to `count` messages of a lane to the active.
    pub(super) fn deliver_back(&mut self, lane: Lane, count: usize) -> usize {
        let mut delivered = 0;
        for _ in 0..count {
            let Some((link, body)) = self.to_active.entry(lane).or_default().pop_front() else {
                break;
            };
            self.answer(LinkId::new(link), body);
            delivered += 1;
        }
        self.check();
        delivered
    }

    fn answer(&mut self, link: LinkId, body: Body) {
        match body {
            Body::SyncRequest(request) => {
                let standby = self.standby_incarnation;
                let begin = self
                    .sender
                    .start(&request, link, standby, &mut self.senders);
                if let Some(begin) = begin {
                    let lane = self.to_standby.entry(Lane::Changes).or_default();
                    lane.push_back((link.value(), Body::SyncBegin(begin)));
                }
            }
            Body::Ack(ack) => drop(self.sender.acknowledged(&ack, &self.senders)),
            Body::BulkAck(ack) => self.sender.bulk_acknowledged(&ack, &mut self.senders),
            other => panic!("{other:?} from the standby"),
        }
    }

    fn receive(&mut self, body: Body) {
        let sync = self.receiver.sync();
        let result = match body {
            Body::SyncBegin(begin) if begin.sync == sync => {
                let begun = self.receiver.begin(&begin, &mut self.receivers);
                begun.map(|()| Applied {
                    chunks: self.receiver.in_bulk(),
                    ..Applied::default()
                })
            }
            Body::Batch(batch) if batch.sync == sync => {
                self.receiver.batch(batch, &mut self.receivers)
            }
            Body::BulkChunk(chunk) if chunk.sync == sync && self.receiver.is_begun() => {
                self.receiver.chunk(chunk, &mut self.receivers)
            }
            Body::SyncBegin(_) | Body::Batch(_) | Body::BulkChunk(_) => return,
            other => panic!("{other:?} from the active"),
        };
        self.applied(result);
        self.check_pairs();
    }

    fn applied(&mut self, result: Result<Applied, StreamError>) {
        let applied = result.expect("the stream goes on");
        self.completed += usize::from(applied.complete);
        if !applied.differing.is_empty() {
            self.mismatches += applied.differing.len();
            self.resync = applied.differing;
            return self.ask();
        }
        if applied.batches {
            self.send_back(Body::Ack(self.receiver.ack(GROUP)));
        }
        if applied.chunks {
            self.send_back(Body::BulkAck(self.receiver.bulk_ack(GROUP)));
        }
    }

    /// A whole replica shows each pair as some transaction left it: P4.
    fn check_pairs(&self) {
        if !self.receiver.holds().complete {
            return;
        }
        for key in self.pairs.keys() {
            let [_, b, c] = &self.standby;
            assert_eq!(b.get(key), c.get(key), "half a transaction at pair {key}");
        }
    }

    /// Each resolved commit is true: the standby holds what was written, or something later: P3.
    fn check(&mut self) {
        let (done, waiting) = core::mem::take(&mut self.commits)
            .into_iter()
            .partition(|waiting: &Waiting| waiting.commit.is_done());
        self.commits = waiting;
        for Waiting {
            commit,
            since,
            keys,
            pairs,
        } in done
        {
            let outcome = commit.wait(Duration::ZERO);
            let name = match outcome {
                Ok(Committed::Replicated) => "replicated",
                Ok(Committed::Degraded) => "degraded",
                Err(CommitError::RoleLost) => "role lost",
                Err(_) => "stopped",
            };
            *self.resolved.entry(name).or_default() += 1;
            if outcome != Ok(Committed::Replicated) {
                continue;
            }
            for key in keys {
                self.check_key(&self.standby[0], &self.history[&key], key, since);
            }
            for key in pairs {
                self.check_key(&self.standby[1], &self.pairs[&key], key, since);
                self.check_key(&self.standby[2], &self.pairs[&key], key, since);
            }
        }
    }

    fn check_key(&self, table: &Table, history: &[(u64, Option<Vec<u8>>)], key: u16, since: u64) {
        let held = table.get(&key);
        let first = history
            .iter()
            .rposition(|write| write.0 <= since)
            .unwrap_or(0);
        assert!(
            history[first..].iter().any(|write| write.1 == held),
            "committed write {since} of key {key} is lost: the standby holds {:?}",
            held.map(|value| value.get(..8).map(<[u8]>::to_vec))
        );
    }

    /// Runs until nothing moves any more.
    pub(super) fn settle(&mut self) {
        if !self.is_linked() {
            self.connect();
        }
        for _ in 0..100_000 {
            self.tick(20);
            let mut moved = self.send();
            for lane in Lane::ALL {
                moved += self.deliver(lane, usize::MAX);
                moved += self.deliver_back(lane, usize::MAX);
            }
            if moved == 0 && self.sender.is_drained(&self.senders) && self.sender.is_complete() {
                return;
            }
        }
        panic!("the stream does not come to rest");
    }

    pub(super) fn assert_equal(&self) {
        assert!(self.receiver.holds().complete);
        for (active, standby) in self.active.iter().zip(&self.standby) {
            let sorted = |table: &Table| table.snapshot().collect::<BTreeMap<_, _>>();
            assert_eq!(sorted(active), sorted(standby));
        }
        assert_eq!(self.senders.digests(), self.receivers.digests());
    }

    pub(super) fn start(&mut self, request: &pb::SyncRequest) -> Option<pb::SyncBegin> {
        let standby = self.standby_incarnation;
        let link = LinkId::new(self.links);
        self.sender.start(request, link, standby, &mut self.senders)
    }

    pub(super) fn stats(&self) -> super::super::StreamStats {
        self.sender.stats
    }
}
