//! Describes a table before it is made.

use core::marker::PhantomData;
use core::ops::RangeInclusive;

use super::{Options, StateTable, TableKey, TableValue};
use crate::checkpoint::{ClientDescriptor, FlushPolicy};
use crate::id::{ClientId, Slot};

/// Makes a [`StateTable`]; see [`StateTable::builder`].
#[derive(Clone, Debug)]
#[must_use = "call build()"]
pub struct StateTableBuilder<K, V> {
    descriptor: ClientDescriptor,
    options: Options,
    types: PhantomData<fn() -> (K, V)>,
}

/// What is wrong with the description of a table.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// 0 and 65000 belong to the redundancy facility itself.
    #[error("{0} is reserved for the redundancy facility; choose another id")]
    ReservedId(ClientId),
    /// The name is empty or too long.
    #[error("the name has {len} bytes; allowed are 1 to {limit}")]
    Name {
        /// Its length in bytes.
        len: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// There is no version in the range, or it begins with 0.
    #[error(
        "the versions {from}..={to} hold none; the range must begin at 1 or above and not be empty"
    )]
    Versions {
        /// The first version.
        from: u16,
        /// The last version.
        to: u16,
    },
    /// The table would hold nothing, or more than there are slots.
    #[error("a table of at most {limit} entries was asked for; allowed are 1 to {most}")]
    MaxEntries {
        /// What was asked for.
        limit: usize,
        /// The most that is allowed.
        most: usize,
    },
    /// More removals than there are slots to spare.
    #[error("at most {limit} removals were to be remembered; allowed are up to {most}")]
    MaxRemovals {
        /// What was asked for.
        limit: usize,
        /// The most that is allowed.
        most: usize,
    },
    /// Too many configuration items.
    #[error("{count} configuration items; allowed are {limit}")]
    ConfigCount {
        /// How many there are.
        count: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// A configuration item with an empty name, or one that is too long.
    #[error(
        "configuration item {name:?}: its name must have 1 to {limit} bytes, its value at most that"
    )]
    ConfigText {
        /// Its name.
        name: String,
        /// The most that is allowed, in bytes.
        limit: usize,
    },
    /// The flush policy would never send.
    #[error("a flush policy needs at least one entry and one byte")]
    Flush,
}

impl<K: TableKey, V: TableValue> StateTableBuilder<K, V> {
    pub(super) fn new(id: ClientId, name: impl Into<String>) -> Self {
        let descriptor = ClientDescriptor {
            id,
            name: name.into(),
            sequence: id.value(),
            versions: 1..=1,
            config: Vec::new(),
            flush: FlushPolicy::default(),
            notified: false,
        };
        let options = Options {
            max_entries: MAX_ENTRIES,
            max_removals: None,
        };
        Self {
            descriptor,
            options,
            types: PhantomData,
        }
    }

    /// The versions of the format that keys and values can be encoded at. Default `1..=1`.
    pub fn versions(mut self, versions: RangeInclusive<u16>) -> Self {
        self.descriptor.versions = versions;
        self
    }

    /// The place in the order of notifications. Default: the client's id.
    pub fn sequence(mut self, sequence: u16) -> Self {
        self.descriptor.sequence = sequence;
        self
    }

    /// When changed entries are sent.
    pub fn flush(mut self, flush: FlushPolicy) -> Self {
        self.descriptor.flush = flush;
        self
    }

    /// Most live entries. Default and largest: 48 Mi.
    pub fn max_entries(mut self, limit: usize) -> Self {
        self.options.max_entries = limit;
        self
    }

    /// Most removals that are remembered for a standby that is out of reach; beyond that it is sent
    /// the whole table when it comes back. Default: a quarter of the live entries, at least 1024.
    pub fn max_removals(mut self, limit: usize) -> Self {
        self.options.max_removals = Some(limit);
        self
    }

    /// Something that must be configured alike on both units.
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.descriptor.config.push((name.into(), value.into()));
        self
    }

    /// Whether the application answers redundancy notifications for this table. Default: no.
    pub fn notified(mut self, on: bool) -> Self {
        self.descriptor.notified = on;
        self
    }

    /// Makes the table.
    ///
    /// # Errors
    /// If the description breaks a limit.
    pub fn build(self) -> Result<StateTable<K, V>, BuildError> {
        self.check_names()?;
        self.check_limits()?;
        Ok(StateTable::new(self.descriptor, self.options))
    }

    fn check_names(&self) -> Result<(), BuildError> {
        let ClientDescriptor {
            id, name, config, ..
        } = &self.descriptor;
        if RESERVED_IDS.contains(&id.value()) {
            return Err(BuildError::ReservedId(*id));
        }
        let limit = ClientDescriptor::NAME_LIMIT;
        if name.is_empty() || name.len() > limit {
            return Err(BuildError::Name {
                len: name.len(),
                limit,
            });
        }
        let limit = ClientDescriptor::CONFIG_LIMIT;
        if config.len() > limit {
            return Err(BuildError::ConfigCount {
                count: config.len(),
                limit,
            });
        }
        let limit = ClientDescriptor::CONFIG_TEXT_LIMIT;
        let bad = |(n, v): &&(String, String)| n.is_empty() || n.len() > limit || v.len() > limit;
        match config.iter().find(bad) {
            Some((name, _)) => Err(BuildError::ConfigText {
                name: name.clone(),
                limit,
            }),
            None => Ok(()),
        }
    }

    fn check_limits(&self) -> Result<(), BuildError> {
        let ClientDescriptor {
            versions, flush, ..
        } = &self.descriptor;
        let Options {
            max_entries,
            max_removals,
        } = self.options;
        if versions.is_empty() || *versions.start() == 0 {
            return Err(BuildError::Versions {
                from: *versions.start(),
                to: *versions.end(),
            });
        }
        if max_entries == 0 || max_entries > MAX_ENTRIES {
            return Err(BuildError::MaxEntries {
                limit: max_entries,
                most: MAX_ENTRIES,
            });
        }
        if let Some(limit) = max_removals.filter(|limit| *limit > MAX_REMOVALS) {
            return Err(BuildError::MaxRemovals {
                limit,
                most: MAX_REMOVALS,
            });
        }
        if flush.max_entries == 0 || flush.max_bytes == 0 {
            return Err(BuildError::Flush);
        }
        Ok(())
    }
}

/// `RF_INTERNAL_MSG` and `RF_LAST_CLIENT`.
const RESERVED_IDS: [u16; 2] = [0, 65000];
/// Slots that removals may hold on to; one is over while a removal is being counted.
const MAX_REMOVALS: usize = Slot::LIMIT as usize / 4 - 1;
/// The other slots.
const MAX_ENTRIES: usize = Slot::LIMIT as usize / 4 * 3;
