//! The oracle: what was written, and what was promised about it.
//!
//! Every write carries a number of its own, growing over the whole simulation. What was not
//! acknowledged is *unknown*, never absent: it may show up on the other unit, or not.

use std::collections::BTreeMap;

use crate::checkpoint::Shared;
use crate::id::Term;
use crate::sync::{Commit, CommitError, Committed};

/// The number of a write. A removal has one too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Op(u64);

impl Op {
    /// What a table shows that is no write at all: broken contents.
    pub const ALIEN: Self = Self(CORRUPT - 1);

    /// A write's number, read back from a table.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The number that a write's entry shows once [`Fault::Corruption`](super::Fault::Corruption)
    /// hit it.
    pub const fn corrupted(self) -> Self {
        Self(self.0 | CORRUPT)
    }

    /// Whether it is the mark of an injected corruption.
    pub const fn is_corrupt(self) -> bool {
        self.0 & CORRUPT != 0
    }
}

impl core::fmt::Display for Op {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let corrupt = if self.is_corrupt() {
            " (corrupted)"
        } else {
            ""
        };
        write!(f, "op {}{corrupt}", self.0 & !CORRUPT)
    }
}

const CORRUPT: u64 = 1 << 62;

/// A write to one register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Write {
    /// Its number.
    pub op: Op,
    /// Whether it put a value; otherwise it removed the entry.
    pub put: bool,
}

/// How a commit ended.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// The unit that made the commit.
    pub unit: usize,
    /// The lineage of its state.
    pub lineage: u64,
    /// What it stands for: registers and the writes to them, or later ones.
    pub writes: Vec<(usize, Op)>,
    /// What came of it.
    pub outcome: Result<Committed, CommitError>,
}

/// All writes and commits of a simulation.
pub struct Journal {
    last: u64,
    registers: Vec<Vec<Write>>,
    /// By lineage: the newest acknowledged write of each register.
    acknowledged: BTreeMap<u64, Vec<Option<Op>>>,
    pending: Vec<Pending>,
    pub(crate) writer: Writer,
    pub(crate) counts: Counts,
}

/// On whose behalf the workload writes now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Writer {
    pub(crate) unit: usize,
    pub(crate) term: Term,
    pub(crate) lineage: u64,
}

#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) puts: u64,
    pub(crate) removals: u64,
    pub(crate) transactions: u64,
    pub(crate) barriers: u64,
}

struct Pending {
    writer: Writer,
    writes: Vec<(usize, Op)>,
    commit: Commit,
}

impl Journal {
    pub(crate) fn new(registers: usize) -> Self {
        Self {
            last: 0,
            registers: vec![Vec::new(); registers],
            acknowledged: BTreeMap::new(),
            pending: Vec::new(),
            writer: Writer {
                unit: 0,
                term: Term::ZERO,
                lineage: 0,
            },
            counts: Counts::default(),
        }
    }

    /// The number of the next write. Several registers written in one transaction share one.
    pub fn next_op(&mut self) -> Op {
        self.last += 1;
        Op(self.last)
    }

    /// A value was put.
    pub fn put(&mut self, register: usize, op: Op) {
        self.counts.puts += 1;
        self.registers[register].push(Write { op, put: true });
    }

    /// An entry was removed, or was not there.
    pub fn removed(&mut self, register: usize, op: Op) {
        self.counts.removals += 1;
        self.registers[register].push(Write { op, put: false });
    }

    /// A transaction with these writes awaits the standby.
    pub fn transaction(&mut self, writes: Vec<(usize, Op)>, commit: Commit) {
        self.counts.transactions += 1;
        self.pending.push(Pending {
            writer: self.writer,
            writes,
            commit,
        });
    }

    /// A commit for all that this unit wrote so far in its term awaits the standby.
    pub fn barrier(&mut self, writes: Vec<(usize, Op)>, commit: Commit) {
        self.counts.barriers += 1;
        self.pending.push(Pending {
            writer: self.writer,
            writes,
            commit,
        });
    }

    /// All writes to a register, in the order of their numbers.
    pub fn writes(&self, register: usize) -> &[Write] {
        &self.registers[register]
    }

    /// How many registers there are.
    pub fn registers(&self) -> usize {
        self.registers.len()
    }

    /// The newest write to a register that was acknowledged in a lineage.
    pub fn acknowledged(&self, lineage: u64, register: usize) -> Option<Op> {
        self.acknowledged.get(&lineage)?[register]
    }

    /// How many commits wait; `unit`'s, or all.
    pub fn waiting(&self, unit: Option<usize>) -> usize {
        self.pending
            .iter()
            .filter(|p| unit.is_none_or(|unit| unit == p.writer.unit))
            .count()
    }

    /// A legitimate loss: the only units that held all of the lineage are gone. What `seen` shows
    /// is the truth from now on.
    pub(crate) fn rebase(&mut self, lineage: u64, seen: &[Option<Op>]) {
        if let Some(acknowledged) = self.acknowledged.get_mut(&lineage) {
            for (acknowledged, seen) in acknowledged.iter_mut().zip(seen) {
                if seen.is_none_or(|seen| seen.is_corrupt() || Some(seen) < *acknowledged) {
                    *acknowledged = None;
                }
            }
        }
    }

    /// Looks for commits that have resolved.
    pub(crate) fn resolve(&mut self, resolved: &mut Vec<Resolution>) {
        let mut at = 0;
        while at < self.pending.len() {
            if !self.pending[at].commit.is_done() {
                at += 1;
                continue;
            }
            let Pending {
                writer,
                writes,
                commit,
            } = self.pending.remove(at);
            let outcome = commit.wait(core::time::Duration::ZERO);
            if outcome == Ok(Committed::Replicated) {
                self.acknowledge(writer.lineage, &writes);
            }
            resolved.push(Resolution {
                unit: writer.unit,
                lineage: writer.lineage,
                writes,
                outcome,
            });
        }
    }

    fn acknowledge(&mut self, lineage: u64, writes: &[(usize, Op)]) {
        let registers = self.registers.len();
        let acknowledged = self
            .acknowledged
            .entry(lineage)
            .or_insert_with(|| vec![None; registers]);
        for (register, op) in writes {
            acknowledged[*register] = acknowledged[*register].max(Some(*op));
        }
    }

    /// Whether what a table shows for a register honours an acknowledged write: it is that write or
    /// a later one, or the register was removed by that write or a later one.
    pub fn honours(&self, register: usize, acknowledged: Op, seen: Option<Op>) -> bool {
        match seen {
            Some(op) => op >= acknowledged,
            None => {
                let newest = self.registers[register].iter().rev();
                newest
                    .take_while(|write| write.op >= acknowledged)
                    .any(|write| !write.put)
            }
        }
    }

    /// Whether `op` once put a value into the register.
    pub fn was_put(&self, register: usize, op: Op) -> bool {
        let writes = &self.registers[register];
        let found = writes.binary_search_by_key(&op, |write| write.op);
        found.is_ok_and(|at| writes[at].put)
    }
}

/// The unit that a workload may write on now.
pub struct Writing<'a> {
    /// Its index.
    pub unit: usize,
    /// The term of its activation.
    pub term: Term,
    /// What its group shares with the application's threads.
    pub shared: &'a Shared,
    /// Where to note what was written.
    pub journal: &'a mut Journal,
    /// Where to draw from.
    pub rng: &'a mut super::Rng,
    /// How many writes to make.
    pub writes: u32,
}
