//! What simulations really exercised: a simulator that exercises nothing must be seen.

use core::fmt;

use super::world::World;
use crate::node::Event;
use crate::sync::{CommitError, Committed};

macro_rules! coverage {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts of what happened, over one simulation or many.
        #[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        pub struct Coverage {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Coverage {
            /// Each count with its name.
            pub fn counts(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }

            /// Adds another simulation's counts.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

coverage! {
    /// Events handled.
    events,
    /// Starts of a unit, the first ones included.
    starts,
    /// Units that lost their memory.
    crashes,
    /// Units that were told by an authority that the crashed one is fenced.
    authority_fencings,
    /// Units that were stopped in order.
    stops,
    /// Units that stood still.
    pauses,
    /// All paths cut both ways.
    partitions,
    /// Paths cut in one direction.
    one_way_cuts,
    /// Connections that broke.
    resets,
    /// Messages that arrived twice.
    duplicates,
    /// Manual switchovers begun.
    switchovers,
    /// Forced switchovers begun.
    forced_switchovers,
    /// Activations by a unit that held state of another.
    takeovers,
    /// Of these, by a unit that did not hold all.
    incomplete_takeovers,
    /// Times that both units became active at once.
    dual_actives,
    /// Things of a lower term that were refused.
    fenced,
    /// Syncs of everything.
    bulk_syncs,
    /// Syncs of what changed.
    delta_syncs,
    /// Bulk syncs that went on where they had been interrupted.
    resumed_syncs,
    /// Clients that were sent again within a stream.
    repairs,
    /// Streams that could not go on and began anew.
    sync_failures,
    /// Entries that were changed behind the facility's back.
    corruptions,
    /// Bursts of writes.
    bursts,
    /// Values put.
    puts,
    /// Entries removed.
    removals,
    /// Transactions.
    transactions,
    /// Barriers.
    barriers,
    /// Commits that the standby acknowledged.
    commits_replicated,
    /// Commits that did without a standby.
    commits_degraded,
    /// Commits whose outcome nobody was told.
    commits_unknown,
    /// Times that acknowledged state was lost with all units that held it.
    legitimate_losses,
}

impl Coverage {
    /// What was never exercised, of all that should be.
    pub fn missing(&self) -> Vec<&'static str> {
        self.counts()
            .into_iter()
            .filter(|(_, count)| *count == 0)
            .map(|(name, _)| name)
            .collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.counts() {
            writeln!(f, "{:>22}  {count}", name.replace('_', " "))?;
        }
        Ok(())
    }
}

impl World {
    /// Counts what the event brought about.
    pub(crate) fn count(&mut self) {
        let coverage = &mut self.coverage;
        coverage.events += 1;
        for (unit, event) in &self.happened.events {
            let active = self.units[*unit].stand.is_some_and(|stand| stand.active);
            match event {
                Event::SyncBegan { full: true, .. } if active => coverage.bulk_syncs += 1,
                Event::SyncBegan { bulk: true, .. } if active => coverage.repairs += 1,
                Event::SyncBegan { .. } if active => coverage.delta_syncs += 1,
                Event::SyncFailed { .. } => coverage.sync_failures += 1,
                Event::Fenced { .. } => coverage.fenced += 1,
                Event::IncompleteTakeover { .. } => coverage.incomplete_takeovers += 1,
                _ => {}
            }
        }
        for resolution in &self.happened.resolved {
            match resolution.outcome {
                Ok(Committed::Replicated) => coverage.commits_replicated += 1,
                Ok(Committed::Degraded) => coverage.commits_degraded += 1,
                Err(CommitError::RoleLost | CommitError::Stopped | CommitError::TimedOut) => {
                    coverage.commits_unknown += 1;
                }
            }
        }
        let takes_over = |unit: &&super::Unit| {
            unit.activated().is_some()
                && unit
                    .before()
                    .is_some_and(|b| !b.active && b.holds.counter > 0)
        };
        coverage.takeovers += self.units.iter().filter(takes_over).count() as u64;
        let both = |active: &dyn Fn(&super::Unit) -> bool| self.units.iter().all(active);
        let now = both(&|unit| unit.stand().is_some_and(|stand| stand.active));
        let before = both(&|unit| unit.before().is_some_and(|stand| stand.active));
        coverage.dual_actives += u64::from(now && !before);
    }

    /// The counts so far.
    pub fn coverage(&self) -> Coverage {
        let writes = self.journal.counts;
        Coverage {
            puts: writes.puts,
            removals: writes.removals,
            transactions: writes.transactions,
            barriers: writes.barriers,
            duplicates: self.network.duplicated,
            ..self.coverage
        }
    }
}
