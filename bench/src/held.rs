//! The tables that the units of a measure replicate.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ha_core::checkpoint::{CheckpointClient, Record, StateTable};
use ha_core::id::ClientId;
use ha_core::sync::{Commit, Committed};
use ha_ipsec::sad::Sad;
use serde::{Deserialize, Serialize};

use crate::ipsec::{Gateway, SaSpec};
use crate::packet::PacketTable;
use crate::random::Random;
use crate::suite::BenchError;

/// What a table holds. Keys are numbers of 8 bytes, from 0 on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// A [`StateTable`] of 300-byte values on the heap, such as an SA with names and proposals.
    Heap,
    /// A [`StateTable`] of 300-byte values in place, such as an SA that is one flat struct.
    Inline,
    /// A [`StateTable`] of 16-byte values.
    Counter,
    /// A client of its own kind: two counters of 8 bytes for each entry, as atomics that a packet
    /// path changes without a lock.
    Packet,
    /// The SA database of a gateway: several tables, each SA (one direction) an entry.
    Sas(SaSpec),
}

/// A table of a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableSpec {
    /// What it holds.
    pub kind: Kind,
    /// How much of that, when it is full.
    pub entries: u32,
}

impl TableSpec {
    /// An empty table; `number` tells the tables of a unit apart.
    ///
    /// # Errors
    /// If the library refuses it.
    pub fn build(self, number: u16) -> Result<Arc<dyn Held>, BenchError> {
        Ok(match self.kind {
            Kind::Heap => self.state_table::<Bytes>(number)?,
            Kind::Inline => self.state_table::<[u8; VALUE_BYTES]>(number)?,
            Kind::Counter => self.state_table::<[u8; 16]>(number)?,
            Kind::Packet => Arc::new(PacketTable::new(ClientId::new(FIRST_ID + number))),
            Kind::Sas(spec) => Arc::new(Gateway::new(spec)?),
        })
    }

    fn state_table<V: Sample>(self, number: u16) -> Result<Arc<dyn Held>, BenchError> {
        let id = ClientId::new(FIRST_ID + number);
        let table = StateTable::<u64, V>::builder(id, format!("table-{number}")).build();
        Ok(Arc::new(table.map_err(BenchError::failed("a table"))?))
    }

    /// Bytes of an entry itself: key and value.
    #[must_use]
    pub fn entry_bytes(self) -> usize {
        match self.kind {
            Kind::Heap | Kind::Inline => 8 + VALUE_BYTES,
            Kind::Counter | Kind::Packet => 8 + 16,
            Kind::Sas(spec) => spec.entry_bytes(),
        }
    }
}

/// A table, whatever it holds.
pub trait Held: Send + Sync {
    /// The table as a node sees it; a gateway has several.
    fn clients(&self) -> Vec<Arc<dyn CheckpointClient>>;

    /// The SA database, if it is one.
    fn sad(&self) -> Option<&Sad> {
        None
    }

    /// Inserts entries 0 to `entries`, with values that do not compress and differ from key to key.
    ///
    /// # Errors
    /// If the table refuses one.
    fn fill(&self, entries: u32) -> Result<(), BenchError>;

    /// How many entries it holds.
    fn len(&self) -> usize;

    /// Whether it holds none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A sum over keys 0 to `entries` and their values: equal for equal tables.
    fn checksum(&self, entries: u32) -> u64;

    /// Changes the value of a key, to one made of `number`; whether the unit may write.
    fn write(&self, key: u32, number: u64) -> bool;

    /// The same as a transaction of its own.
    ///
    /// # Errors
    /// If the unit may not write.
    fn transaction(&self, key: u32, number: u64) -> Result<Commit, BenchError>;
}

/// A value that can be made up.
trait Sample: Record + Clone {
    const LEN: usize;

    fn from_bytes(bytes: &[u8]) -> Self;

    fn numbered(number: u64) -> Self {
        let mut bytes = vec![0; Self::LEN];
        Random::new(number).fill(&mut bytes);
        Self::from_bytes(&bytes)
    }
}

impl Sample for Bytes {
    const LEN: usize = VALUE_BYTES;

    fn from_bytes(bytes: &[u8]) -> Self {
        Self::copy_from_slice(bytes)
    }
}

impl<const N: usize> Sample for [u8; N] {
    const LEN: usize = N;

    fn from_bytes(bytes: &[u8]) -> Self {
        let mut value = [0; N];
        value.copy_from_slice(bytes);
        value
    }

    /// Cheap: the measure is of the replication, not of this.
    fn numbered(number: u64) -> Self {
        let mut value = [0; N];
        Random::new(number).fill(&mut value);
        value
    }
}

impl<V: Sample> Held for StateTable<u64, V> {
    fn clients(&self) -> Vec<Arc<dyn CheckpointClient>> {
        vec![Self::client(self)]
    }

    fn fill(&self, entries: u32) -> Result<(), BenchError> {
        for key in 0..u64::from(entries) {
            self.insert(key, V::numbered(key))
                .map_err(BenchError::failed("filling a table"))?;
        }
        Ok(())
    }

    fn len(&self) -> usize {
        Self::len(self)
    }

    fn checksum(&self, entries: u32) -> u64 {
        let mut scratch = Vec::new();
        checksum(entries, |key, hasher| {
            let found = self.with(&key, |value| {
                scratch.clear();
                value.encode(1, &mut scratch);
            });
            (found.is_some(), &scratch).hash(hasher);
        })
    }

    fn write(&self, key: u32, number: u64) -> bool {
        self.insert(key.into(), V::numbered(number)).is_ok()
    }

    fn transaction(&self, key: u32, number: u64) -> Result<Commit, BenchError> {
        let value = V::numbered(number);
        Self::transaction(self, |t| t.insert(key.into(), value))
            .map_err(BenchError::failed("a transaction"))
    }
}

/// The sum of what `each` hashes for each key.
pub(crate) fn checksum(entries: u32, mut each: impl FnMut(u64, &mut DefaultHasher)) -> u64 {
    (0..u64::from(entries)).fold(0, |sum, key| {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        each(key, &mut hasher);
        sum.wrapping_add(hasher.finish())
    })
}

/// Waits for a commit, and insists that the standby holds it.
///
/// # Errors
/// If it ends otherwise, or not within ten seconds.
pub fn replicated(commit: Commit) -> Result<(), BenchError> {
    expect_replicated(commit.wait(Duration::from_secs(10)))
}

/// Insists that a commit was replicated.
///
/// # Errors
/// If it was not.
pub fn expect_replicated(
    outcome: Result<Committed, ha_core::sync::CommitError>,
) -> Result<(), BenchError> {
    match outcome.map_err(BenchError::failed("a commit"))? {
        Committed::Replicated => Ok(()),
        Committed::Degraded => Err(BenchError::failed("a commit")("there is no standby")),
    }
}

const FIRST_ID: u16 = 40;
const VALUE_BYTES: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_tell_tables_apart() {
        for kind in [Kind::Heap, Kind::Inline, Kind::Counter, Kind::Packet] {
            let spec = TableSpec { kind, entries: 50 };
            let (a, b) = (spec.build(0).unwrap(), spec.build(1).unwrap());
            a.fill(50).unwrap();
            b.fill(49).unwrap();
            assert_eq!(a.len(), 50, "{kind:?}");
            assert_eq!(a.checksum(49), b.checksum(49), "{kind:?}");
            assert_ne!(a.checksum(50), b.checksum(50), "{kind:?}");
            b.fill(50).unwrap();
            assert_eq!(a.checksum(50), b.checksum(50), "{kind:?}");
            assert!(b.write(7, 1000), "{kind:?}");
            assert_ne!(a.checksum(50), b.checksum(50), "{kind:?}");
        }
    }
}
