//! Clear commands.
//!
//! `clear crypto isakmp | sa | session [active | standby]`. On the active unit SAs are removed,
//! through the database, and so on the standby too. On the standby nothing can be removed for good:
//! there a clear command has all entries sent again by the active unit. Cisco's standby drops its
//! SAs first, and could not take over until they have come back; here what is held stays until it
//! is replaced, and what the active unit does not have is dropped at the end.
//!
//! ```no_run
//! use ha_ipsec::clear::{Clear, Cleared};
//! # fn clear(
//! #     sad: &ha_ipsec::sad::Sad,
//! #     node: &mut ha_core::node::Node,
//! #     group: ha_core::id::GroupId,
//! #     now: ha_core::time::Time,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! match Clear::session().peer("192.0.2.1".parse()?).run(sad)? {
//!     Cleared::Removed(removed) => println!("{} IPsec SAs", removed.ipsec_sas),
//!     Cleared::Resynchronize => node.resync(group, None, now)?,
//!     Cleared::Nothing => {}
//! }
//! # Ok(())
//! # }
//! ```

use core::fmt;
use core::net::IpAddr;

use ha_core::sync::Commit;

use crate::id::{IkeId, SaId};
use crate::sad::{ChangeError, Sad};

/// Whether an SA serves on this unit or waits for the takeover.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "show", derive(serde::Serialize))]
#[cfg_attr(feature = "show", serde(rename_all = "UPPERCASE"))]
pub enum HaStatus {
    /// This unit is active for the SA.
    Active,
    /// This unit holds the SA for the active unit.
    Standby,
}

impl HaStatus {
    /// The status of what a unit holds, from whether it is active.
    pub const fn of(active: bool) -> Self {
        if active { Self::Active } else { Self::Standby }
    }

    /// The word of tables: `ACTIVE` or `STDBY`.
    pub const fn short(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Standby => "STDBY",
        }
    }
}

impl fmt::Display for HaStatus {
    /// `ACTIVE` or `STANDBY`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Active => "ACTIVE",
            Self::Standby => "STANDBY",
        })
    }
}

/// The `[active | standby]` of show and clear commands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum StatusFilter {
    /// Neither was given: all.
    #[default]
    Any,
    /// Only what is active on this unit.
    Active,
    /// Only what is standby on this unit.
    Standby,
}

impl StatusFilter {
    /// Whether something of this status is meant.
    pub const fn admits(self, status: HaStatus) -> bool {
        matches!(
            (self, status),
            (Self::Any, _) | (Self::Active, HaStatus::Active) | (Self::Standby, HaStatus::Standby)
        )
    }
}

/// A clear command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clear {
    ike: bool,
    ipsec: bool,
    filter: StatusFilter,
    peer: Option<IpAddr>,
}

/// What a clear command did, or wants done.
#[derive(Debug)]
#[must_use = "on the standby the caller has to resynchronize"]
pub enum Cleared {
    /// On the active unit: SAs were removed.
    Removed(Removed),
    /// On the standby: have the active unit send the group again, with
    /// [`Node::resync`](ha_core::node::Node::resync) and no client named. All tables of the group
    /// are sent, whatever was to be cleared: they must agree with each other.
    Resynchronize,
    /// The filter meant the other unit's SAs.
    Nothing,
}

/// What was removed.
#[derive(Debug)]
pub struct Removed {
    /// IKE SAs.
    pub ike_sas: usize,
    /// IPsec SAs, each direction counted.
    pub ipsec_sas: usize,
    /// Resolves when the standby has removed them too; none if there was nothing to remove.
    pub commit: Option<Commit>,
}

/// Why SAs were not cleared, or not all.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClearError {
    /// The database refused; as a rule because the unit lost the active role meanwhile.
    #[error(
        "cleared {ike_sas} IKE SAs and {ipsec_sas} IPsec SAs, then: {source}; \
         repeat the command on the unit that is active now"
    )]
    Interrupted {
        /// IKE SAs removed before that.
        ike_sas: usize,
        /// IPsec SAs removed before that.
        ipsec_sas: usize,
        /// Why.
        source: ChangeError,
    },
}

impl Clear {
    /// `clear crypto isakmp`: the IKE SAs, of both versions, and with each the IPsec SAs that it
    /// made (RFC 7296 §1.4.1).
    pub const fn isakmp() -> Self {
        Self::of(true, false)
    }

    /// `clear crypto sa`: the IPsec SAs.
    pub const fn sa() -> Self {
        Self::of(false, true)
    }

    /// `clear crypto session`: both.
    pub const fn session() -> Self {
        Self::of(true, true)
    }

    const fn of(ike: bool, ipsec: bool) -> Self {
        Self {
            ike,
            ipsec,
            filter: StatusFilter::Any,
            peer: None,
        }
    }

    /// With `active` or `standby`.
    #[must_use]
    pub const fn status(self, filter: StatusFilter) -> Self {
        Self { filter, ..self }
    }

    /// Only SAs with this peer. A standby resynchronizes all of them nevertheless.
    #[must_use]
    pub const fn peer(self, peer: IpAddr) -> Self {
        Self {
            peer: Some(peer),
            ..self
        }
    }

    /// Carries the command out on a group's database.
    ///
    /// SAs go in changes of a bounded size, each whole on both units; between two of them other
    /// changes may come.
    ///
    /// # Errors
    /// When the database refuses a change; those before it have taken effect.
    pub fn run(self, sad: &Sad) -> Result<Cleared, ClearError> {
        let status = HaStatus::of(sad.stats().open);
        if !self.filter.admits(status) {
            return Ok(Cleared::Nothing);
        }
        match status {
            HaStatus::Standby => Ok(Cleared::Resynchronize),
            HaStatus::Active => self.remove(sad).map(Cleared::Removed),
        }
    }

    fn remove(self, sad: &Sad) -> Result<Removed, ClearError> {
        let mut removed = Removed {
            ike_sas: 0,
            ipsec_sas: 0,
            commit: None,
        };
        if self.ike {
            for ids in self.ike_sas(sad).chunks(IKE_SAS_AT_ONCE) {
                removed.remove_ike(sad, ids)?;
            }
        }
        if self.ipsec {
            for ids in self.ipsec_sas(sad).chunks(IPSEC_SAS_AT_ONCE) {
                removed.remove(sad, ids)?;
            }
        }
        Ok(removed)
    }

    fn ike_sas(&self, sad: &Sad) -> Vec<IkeId> {
        if let Some(peer) = self.peer {
            return sad.by_peer(peer);
        }
        let mut ids = Vec::new();
        sad.for_each_ike(|id, _| ids.push(*id));
        ids
    }

    fn ipsec_sas(&self, sad: &Sad) -> Vec<SaId> {
        let mut ids = Vec::new();
        sad.for_each_sa(|id, sa| {
            if self.peer.is_none_or(|peer| sa.peer() == peer) {
                ids.push(*id);
            }
        });
        ids
    }
}

/// IKE SAs in one change: each may take many children along.
const IKE_SAS_AT_ONCE: usize = 64;
/// IPsec SAs in one change.
const IPSEC_SAS_AT_ONCE: usize = 1024;

impl Removed {
    fn remove_ike(&mut self, sad: &Sad, ids: &[IkeId]) -> Result<(), ClearError> {
        let children: usize = ids.iter().map(|id| sad.children(id).len()).sum();
        let mut change = sad.change();
        for id in ids {
            change.remove_ike(*id);
        }
        self.note(change.commit(), ids.len(), children)
    }

    fn remove(&mut self, sad: &Sad, ids: &[SaId]) -> Result<(), ClearError> {
        let mut change = sad.change();
        for id in ids {
            change.remove(*id);
        }
        self.note(change.commit(), 0, ids.len())
    }

    /// The commit of the last change is that of all: the standby applies them in order.
    fn note(
        &mut self,
        outcome: Result<Commit, ChangeError>,
        ike_sas: usize,
        ipsec_sas: usize,
    ) -> Result<(), ClearError> {
        let commit = outcome.map_err(|source| ClearError::Interrupted {
            ike_sas: self.ike_sas,
            ipsec_sas: self.ipsec_sas,
            source,
        })?;
        self.ike_sas += ike_sas;
        self.ipsec_sas += ipsec_sas;
        self.commit = Some(commit);
        Ok(())
    }
}
