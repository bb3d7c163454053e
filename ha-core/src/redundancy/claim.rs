//! Which of two active units keeps the role.
//!
//! After a partition both units may be active. Each compares its own [`Claim`] with the peer's and
//! they must come to opposite conclusions, however old the peer's report is. So a claim holds
//! nothing that moves while it is compared: all of it is fixed for the length of an activation,
//! the time in office included (see [`Tenure`]).
//!
//! # The rule, in order
//! 1. **Same lineage** (one took over from the other): the activation that has all of the state
//!    beats one that took over with a part of it. Among equals the higher term wins: it took over
//!    last, peers followed it, and the other one's state ended where the takeover began.
//! 2. **Different lineages** (no common history; one of them started from nothing): the one that
//!    was active longer when they met. Terms say nothing here: a unit that restarted empty may
//!    have seen the other's term and gone one above it, or have counted from zero again.
//!    Completeness says nothing either: whoever starts from nothing is complete by definition. Time
//!    does: a unit that restarted empty beside a serving one is the younger, whatever it saw.
//! 3. The higher term, then the lower unit id.
//!
//! # After the verdict
//! The loser demotes, flushes and resyncs. A winner whose term is not the higher one activates
//! again, in place, with the term after the higher of the two ([`Verdict::Keep`] says so), because
//! everything from a lower term is refused (promise P5). That keeps lineage, completeness and
//! tenure, and cannot turn the verdict: a higher term only ever speaks for its holder.
//!
//! # Why not compare running times
//! Each unit sees the other's time in office as old as the message that brought it, so both look
//! younger to the other than they are. Near a tie both would keep the role; a tolerance only moves
//! the place where that happens, because one unit may see the difference within it and the other
//! beyond. Frozen values leave nothing to disagree about.

use core::time::Duration;

use crate::id::{Term, UnitId};
use crate::time::Time;

/// What an active unit has to say for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The term of the activation.
    pub term: Term,
    /// Whether the unit took over as STANDBY HOT, or has been active since the lineage began.
    pub complete: bool,
    /// Names the history that the state comes from: random per activation from nothing, taken over
    /// together with the state.
    pub lineage: u64,
    /// [`Tenure::reported`]: how long the unit had been active when it saw the peer's lineage
    /// active; `None` if it has not seen that yet.
    pub active_for: Option<Duration>,
    /// The unit.
    pub unit: UnitId,
}

/// What a comparison of claims says to the unit that makes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// This unit keeps the role.
    Keep {
        /// Its term is not the higher one: it must activate again with the term after the peer's.
        raise_term: bool,
    },
    /// This unit gives the role up.
    Yield,
    /// The units do not know enough of each other yet: wait for the peer's next status.
    Wait,
}

impl Claim {
    /// Compares this unit's claim with the peer's.
    ///
    /// [`Verdict::Wait`] only between different lineages, until both units have seen each other
    /// active, and between claims of one and the same unit, which is a configuration error that
    /// is refused elsewhere.
    pub fn against(&self, peer: &Self) -> Verdict {
        let mine_wins = if self.lineage == peer.lineage {
            self.within_lineage(peer)
        } else {
            self.across_lineages(peer)
        };
        match mine_wins {
            Some(true) => Verdict::Keep {
                raise_term: self.term <= peer.term,
            },
            Some(false) => Verdict::Yield,
            None => Verdict::Wait,
        }
    }

    fn within_lineage(&self, peer: &Self) -> Option<bool> {
        differ(self.complete, peer.complete).or_else(|| self.by_term(peer))
    }

    fn across_lineages(&self, peer: &Self) -> Option<bool> {
        let (mine, theirs) = (self.active_for?, peer.active_for?);
        differ(mine, theirs).or_else(|| self.by_term(peer))
    }

    fn by_term(&self, peer: &Self) -> Option<bool> {
        differ(self.term, peer.term).or_else(|| differ(peer.unit, self.unit))
    }
}

/// Whether `mine` is the greater; `None` if they are equal.
fn differ<T: Ord>(mine: T, theirs: T) -> Option<bool> {
    (mine != theirs).then(|| mine > theirs)
}

/// How long a unit has been active, in a form that both units can compare.
///
/// Frozen at the moment the unit first sees the peer active with a lineage that is not its own,
/// and reported from then on unchanged, so that both units compare the same two numbers. Another
/// lineage of the peer (it restarted meanwhile) is another contest and freezes anew.
///
/// Activating again to raise the term is not a new tenure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tenure {
    since: Time,
    contest: Option<(u64, Duration)>,
}

impl Tenure {
    /// A tenure that begins `now`.
    pub const fn new(now: Time) -> Self {
        Self {
            since: now,
            contest: None,
        }
    }

    /// When the unit became active.
    pub const fn since(&self) -> Time {
        self.since
    }

    /// The peer was seen active with `peer_lineage`. To be called for each such status, before the
    /// claims are compared. Returns whether what is reported changed: tell the peer at once.
    pub fn contest(&mut self, peer_lineage: u64, now: Time) -> bool {
        if self
            .contest
            .is_some_and(|(lineage, _)| lineage == peer_lineage)
        {
            return false;
        }
        // What the peer will see: whole milliseconds, and at least one, as 0 means "none yet".
        let millis = (now.as_millis().saturating_sub(self.since.as_millis())).max(1);
        self.contest = Some((peer_lineage, Duration::from_millis(millis)));
        true
    }

    /// What goes into [`Claim::active_for`], here and in the status for the peer.
    pub fn reported(&self) -> Option<Duration> {
        self.contest.map(|(_, active_for)| active_for)
    }

    /// [`Tenure::reported`] as on the wire: milliseconds, 0 for none.
    pub fn to_millis(&self) -> u64 {
        self.reported().map_or(0, |time| {
            u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
        })
    }

    /// What a peer reported, from the wire.
    pub fn from_millis(millis: u64) -> Option<Duration> {
        (millis != 0).then(|| Duration::from_millis(millis))
    }
}

#[cfg(test)]
mod tests;
