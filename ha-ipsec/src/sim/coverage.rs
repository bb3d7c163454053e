//! What the packets of a simulation really exercised.

use core::fmt;

macro_rules! coverage {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts of what packets did, over one simulation or many.
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
    /// SAs created.
    created,
    /// SAs that replaced others.
    rekeyed,
    /// Records written anew, with the keys and counters that they had.
    replaced,
    /// SAs deleted.
    removed,
    /// Rekeys that the table asked for.
    rekeys_requested,
    /// Packets sent.
    sent,
    /// Packets sent while no standby could be reached.
    sent_alone,
    /// Packets that had to wait for a reservation.
    without_reservation,
    /// Packets not sent because the autonomy budget was used up.
    budget_exhausted,
    /// Packets not sent because the unit, or the SA, was closed.
    send_closed,
    /// Packets that the peer got.
    peer_received,
    /// Packets delivered.
    delivered,
    /// Packets that waited for the standby.
    parked,
    /// Packets delivered after they had waited.
    delivered_late,
    /// Packets delivered that no standby knew of.
    exposed,
    /// Replays refused as seen before.
    refused_duplicates,
    /// Packets refused as too old.
    refused_old,
    /// Packets refused as below what the former active may have accepted.
    refused_floor,
    /// Packets at a unit that was not active.
    refused_closed,
    /// Packets that an attacker sent again.
    attacks,
    /// Packets that reached both units.
    copies,
    /// Handles of the packet path used after the table had changed.
    stale_handles,
    /// Runs of a data path of a unit that woke up and had not been told anything.
    awakenings,
    /// Packets accepted twice because an isolated unit had said that they were exposed.
    replays_exposed,
    /// Packets accepted twice because whoever had accepted them lost its memory, or the contest.
    replays_forgotten,
    /// Packets accepted twice under the policy that resumes the window last synced.
    replays_resumed,
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
