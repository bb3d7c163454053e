//! From a packet to its SA.

use std::sync::Arc;

use super::path::{InboundSa, OutboundSa, Path, Told};
use super::{Inner, Sad};
use crate::counters::Live;
use crate::id::SaId;
use crate::lifetime::{SpreadKey, Thresholds};
use crate::record::{Direction, IpsecSa, StoredSa};

/// Why a packet finds no SA that it may use.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// There is none of that name: an unknown SPI.
    #[error("there is no SA {id}")]
    NotFound {
        /// What was looked for.
        id: SaId,
    },
    /// This unit is not active.
    #[error("this unit is not active: packets of {id} belong to the other one")]
    NotActive {
        /// What was looked for.
        id: SaId,
    },
    /// The SA is for the other direction.
    #[error("{id} is not an SA of this direction")]
    WrongDirection {
        /// What was looked for.
        id: SaId,
    },
    /// Its counters did not arrive before the takeover: no number of it would be safe.
    #[error("the counters of {id} are not here: the takeover came before they arrived; rekey it")]
    NoCounters {
        /// What was looked for.
        id: SaId,
    },
    /// It cannot be used on this unit.
    #[error("{id} cannot be used here: {why}")]
    Unusable {
        /// What was looked for.
        id: SaId,
        /// Why.
        why: String,
    },
}

/// A view of the packet path that looks SAs up without touching a reference count. Take one for
/// each burst of packets, and drop it soon: memory of deleted SAs waits for it.
pub struct Pinned<'a> {
    inner: &'a Inner,
    paths: papaya::HashMapRef<
        'a,
        SaId,
        Path,
        std::collections::hash_map::RandomState,
        papaya::LocalGuard<'a>,
    >,
}

impl Sad {
    /// Looks SAs up for a burst of packets.
    pub fn pin(&self) -> Pinned<'_> {
        Pinned {
            inner: &self.inner,
            paths: self.inner.paths.pin(),
        }
    }

    /// An outbound SA, to be kept: it refuses numbers when it is deleted, or the role is lost.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub fn outbound(&self, id: &SaId) -> Result<Arc<OutboundSa>, LookupError> {
        self.pin().outbound(id).cloned()
    }

    /// An inbound SA, to be kept: it refuses packets when it is deleted, or the role is lost.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub fn inbound(&self, id: &SaId) -> Result<Arc<InboundSa>, LookupError> {
        self.pin().inbound(id).cloned()
    }

    /// Where an SA stands that packets use; `None` for one that none has used since this unit
    /// became active, which stays so: for display.
    pub fn in_use(&self, id: &SaId) -> Option<InUse> {
        Some(match self.inner.paths.pin().get(id)? {
            Path::Outbound(sa) => InUse {
                bytes: sa.bytes(),
                highest: sa.handed_out(),
                acknowledged: sa.limit(),
            },
            Path::Inbound(sa) => InUse {
                bytes: sa.bytes(),
                highest: sa.top(),
                acknowledged: sa.live.window.ceiling(),
            },
        })
    }
}

/// Where an SA in use stands: not what the standby was told, but what packets did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct InUse {
    /// Bytes charged.
    pub bytes: u64,
    /// The highest number handed out or accepted.
    pub highest: u64,
    /// The number up to which the standby has acknowledged; `None` while no other unit can hold
    /// the SA.
    pub acknowledged: Option<u64>,
}

impl Pinned<'_> {
    /// An outbound SA.
    ///
    /// # Errors
    /// See [`LookupError`].
    #[inline]
    pub fn outbound(&self, id: &SaId) -> Result<&Arc<OutboundSa>, LookupError> {
        match self.path(id)? {
            Path::Outbound(sa) => Ok(sa),
            Path::Inbound(_) => Err(LookupError::WrongDirection { id: *id }),
        }
    }

    /// An inbound SA.
    ///
    /// # Errors
    /// See [`LookupError`].
    #[inline]
    pub fn inbound(&self, id: &SaId) -> Result<&Arc<InboundSa>, LookupError> {
        match self.path(id)? {
            Path::Inbound(sa) => Ok(sa),
            Path::Outbound(_) => Err(LookupError::WrongDirection { id: *id }),
        }
    }

    #[inline]
    fn path(&self, id: &SaId) -> Result<&Path, LookupError> {
        if let Some(path) = self.paths.get(id) {
            return Ok(path);
        }
        self.inner.touch(id)?;
        // Gone again already: the SA was deleted, or the role lost.
        self.paths.get(id).ok_or(LookupError::NotFound { id: *id })
    }
}

impl Inner {
    /// The first packet of an SA since this unit became active, or since its record changed.
    #[cold]
    fn touch(&self, id: &SaId) -> Result<(), LookupError> {
        loop {
            let record = self.enter(*id)?;
            // Who replaces a record removes its path afterwards: either it has found this one, or the
            // new record is here by now.
            let now = self.ipsec.with(id, |now| *now == record);
            if now.unwrap_or(true) {
                return Ok(());
            }
            self.paths.pin().remove(id);
        }
    }

    /// Makes a path of the record that is here now, and returns that.
    fn enter(&self, id: SaId) -> Result<StoredSa, LookupError> {
        if !self.counters.core.gate.is_open() {
            return Err(LookupError::NotActive { id });
        }
        let stored = self.ipsec.get(&id).ok_or(LookupError::NotFound { id })?;
        let record = stored.open().ok_or(LookupError::NotFound { id })?;
        if let Err(error) = record.usable() {
            let why = error.to_string();
            return Err(LookupError::Unusable { id, why });
        }
        let instance = record.instance;
        let entered = self.counters.live(instance, |live| {
            // Within the lock of the counters: no flush comes between, and what is removed later
            // is removed from here later too.
            if let Some(path) = self.path(Arc::clone(&record), live) {
                self.paths.pin().insert(id, path);
            }
        });
        entered.ok_or(LookupError::NoCounters { id })?;
        Ok(stored)
    }

    fn path(&self, record: Arc<IpsecSa>, live: Live) -> Option<Path> {
        let key = SpreadKey::of_sa(&record.id, self.config.unit);
        let bounds = Thresholds::new(&record.lifetime, self.config.spreading, key);
        let told = Told::default();
        live.used_by(record.id);
        match (record.direction, live) {
            (Direction::Outbound, Live::Outbound(live)) => {
                let sa = OutboundSa {
                    record,
                    live,
                    bounds,
                    told,
                };
                Some(Path::Outbound(Arc::new(sa)))
            }
            (Direction::Inbound, Live::Inbound(live)) => {
                let sa = InboundSa {
                    record,
                    live,
                    bounds,
                    told,
                };
                Some(Path::Inbound(Arc::new(sa)))
            }
            (Direction::Outbound | Direction::Inbound, _) => None,
        }
    }
}
