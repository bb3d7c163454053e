//! The workload that comes with the simulator: two tables of registers.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use super::journal::{Journal, Op, Writing};
use super::rng::Rng;
use super::workload::Workload;
use crate::checkpoint::{
    CheckpointClient, DecodeError, FlushPolicy, Record, StateTable, WriteBatch,
};
use crate::id::{ClientId, Term};

/// Two tables. Some registers change alone, others only in transactions over both tables. Plain
/// writes, transactions that put, remove and replace, and barriers.
pub struct Registers {
    config: RegistersConfig,
    groups: Vec<Vec<usize>>,
    units: [Option<Tables>; 2],
}

/// What the tables look like.
#[derive(Clone, Debug)]
struct RegistersConfig {
    alone: usize,
    value_bytes: usize,
    max_age: Duration,
    max_entries: u32,
    max_removals: usize,
    notified: bool,
}

/// One unit's tables, and what it wrote since its last barrier was noted.
struct Tables {
    tables: [StateTable<u32, Value>; 2],
    written: Vec<(usize, Op)>,
    /// The term in which it was written.
    term: Term,
}

impl Registers {
    /// Tables that follow from a seed.
    pub fn from_seed(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x7e61_57e2);
        let alone = rng.range(4..=40) as usize;
        let config = RegistersConfig {
            alone,
            value_bytes: rng.pick(&[0, 60, 700, 6_000]).unwrap_or(0),
            max_age: rng.millis(5..=100),
            max_entries: rng.pick(&[2, 8, 4096]).unwrap_or(8),
            max_removals: rng.pick(&[2, 1024]).unwrap_or(2),
            notified: rng.chance(500),
        };
        let mut groups = Vec::new();
        let mut next = alone;
        for _ in 0..rng.range(1..=6) {
            let size = rng.range(2..=5) as usize;
            groups.push((next..next + size).collect());
            next += size;
        }
        Self {
            config,
            groups,
            units: [None, None],
        }
    }

    fn table(&self, unit: usize, register: usize) -> Option<&StateTable<u32, Value>> {
        Some(&self.units[unit].as_ref()?.tables[register % 2])
    }

    fn value(&self, register: usize, op: Op) -> Value {
        Value {
            register: key(register),
            op: AtomicU64::new(op.number()),
            bytes: self.config.value_bytes,
        }
    }

    fn write_alone(&mut self, at: &mut Writing<'_>) {
        let register = at.rng.index(self.config.alone);
        let Some(table) = self.table(at.unit, register) else {
            return;
        };
        let op = at.journal.next_op();
        let done = if at.rng.chance(200) {
            // Removing what is not there is no write: nothing would be sent for it.
            table
                .remove(&key(register))
                .map(|old| old.map(|_| at.journal.removed(register, op)))
        } else {
            let value = self.value(register, op);
            table.insert(key(register), value).map(|_| {
                at.journal.put(register, op);
                Some(())
            })
        };
        if let (Ok(Some(())), Some(unit)) = (done, &mut self.units[at.unit]) {
            unit.written.retain(|(written, _)| *written != register);
            unit.written.push((register, op));
        }
    }

    /// Puts or removes a whole group, and sometimes a register beside it.
    fn write_group(&self, at: &mut Writing<'_>) {
        let mut registers = self.groups[at.rng.index(self.groups.len())].clone();
        let remove = at.rng.chance(250);
        let beside = at.rng.chance(300).then(|| at.rng.index(self.config.alone));
        registers.extend(beside);
        if remove {
            registers.retain(|register| self.read(at.unit, *register).is_some());
        }
        let op = at.journal.next_op();
        let mut batch = WriteBatch::new();
        for register in &registers {
            let Some(table) = self.table(at.unit, *register) else {
                return;
            };
            if remove {
                batch.on(table).remove(key(*register));
            } else {
                batch
                    .on(table)
                    .insert(key(*register), self.value(*register, op));
            }
        }
        let Ok(commit) = batch.commit() else { return };
        for register in &registers {
            note(at.journal, *register, op, !remove);
        }
        let writes = registers.iter().map(|register| (*register, op)).collect();
        at.journal.transaction(writes, commit);
    }

    fn barrier(&mut self, at: &mut Writing<'_>) {
        let Some(unit) = &mut self.units[at.unit] else {
            return;
        };
        if let Ok(commit) = at.shared.barrier() {
            at.journal
                .barrier(core::mem::take(&mut unit.written), commit);
        }
    }
}

impl Workload for Registers {
    fn registers(&self) -> usize {
        self.groups
            .last()
            .and_then(|group| group.last())
            .map_or(self.config.alone, |last| last + 1)
    }

    fn groups(&self) -> Vec<Vec<usize>> {
        self.groups.clone()
    }

    fn bytes(&self) -> usize {
        self.registers() * (self.config.value_bytes + 32)
    }

    fn start(&mut self, unit: usize) -> Vec<Arc<dyn CheckpointClient>> {
        let tables = [(10, "even"), (20, "odd")].map(|(id, name)| {
            let flush = FlushPolicy {
                max_entries: self.config.max_entries,
                max_age: self.config.max_age,
                ..FlushPolicy::default()
            };
            StateTable::builder(ClientId::new(id), name)
                .flush(flush)
                .max_removals(self.config.max_removals)
                .notified(self.config.notified)
                .build()
                .unwrap_or_else(|error| unreachable!("the description is constant: {error}"))
        });
        let clients = tables.iter().map(StateTable::client).collect();
        self.units[unit] = Some(Tables {
            tables,
            written: Vec::new(),
            term: Term::ZERO,
        });
        clients
    }

    fn step(&mut self, at: &mut Writing<'_>) {
        if let Some(unit) = self.units[at.unit]
            .as_mut()
            .filter(|unit| unit.term != at.term)
        {
            (unit.term, unit.written) = (at.term, Vec::new());
        }
        for _ in 0..at.writes {
            match at.rng.below(10) {
                0..6 => self.write_alone(at),
                6..9 => self.write_group(at),
                _ => self.barrier(at),
            }
        }
    }

    fn read(&self, unit: usize, register: usize) -> Option<Op> {
        self.table(unit, register)?
            .with(&key(register), |value| value.op_of(register))
    }

    fn corrupt(&mut self, unit: usize, rng: &mut Rng) -> Option<usize> {
        let from = rng.index(self.registers());
        let all = (from..self.registers()).chain(0..from);
        for register in all {
            let hit = self.table(unit, register)?.with(&key(register), |value| {
                let op = Op::from_number(value.op.load(Ordering::Relaxed));
                value.op.store(op.corrupted().number(), Ordering::Relaxed);
            });
            if hit.is_some() {
                return Some(register);
            }
        }
        None
    }
}

fn note(journal: &mut Journal, register: usize, op: Op, put: bool) {
    if put {
        journal.put(register, op);
    } else {
        journal.removed(register, op);
    }
}

fn key(register: usize) -> u32 {
    u32::try_from(register).unwrap_or(u32::MAX)
}

/// A register's contents: which write put it, and padding.
#[derive(Debug)]
struct Value {
    register: u32,
    /// Atomic so that a fault can change it behind the facility's back.
    op: AtomicU64,
    bytes: usize,
}

impl Value {
    fn op_of(&self, register: usize) -> Op {
        if self.register == key(register) {
            Op::from_number(self.op.load(Ordering::Relaxed))
        } else {
            Op::ALIEN
        }
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        let op = AtomicU64::new(self.op.load(Ordering::Relaxed));
        Self {
            register: self.register,
            op,
            bytes: self.bytes,
        }
    }
}

impl Record for Value {
    fn encode(&self, _version: u16, out: &mut Vec<u8>) {
        let op = self.op.load(Ordering::Relaxed);
        out.extend_from_slice(&self.register.to_be_bytes());
        out.extend_from_slice(&op.to_be_bytes());
        // The padding follows from the number, so that a mixed-up value does not decode.
        out.resize(out.len() + self.bytes, op as u8);
    }

    fn decode(_version: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
        let Some((register, rest)) = bytes.split_first_chunk::<4>() else {
            return Err(DecodeError::Length {
                expected: 12,
                got: bytes.len(),
            });
        };
        let Some((op, padding)) = rest.split_first_chunk::<8>() else {
            return Err(DecodeError::Length {
                expected: 12,
                got: bytes.len(),
            });
        };
        let op = u64::from_be_bytes(*op);
        if padding.iter().any(|byte| *byte != op as u8) {
            return Err(DecodeError::Invalid("padding of another value".to_owned()));
        }
        let register = u32::from_be_bytes(*register);
        Ok(Self {
            register,
            op: AtomicU64::new(op),
            bytes: padding.len(),
        })
    }

    fn encoded_len_bound(&self) -> Option<usize> {
        Some(12 + self.bytes)
    }
}
