//! Mirrors the SAs of a Linux kernel to the other unit.
//!
//! The packet path is the kernel's: it hands out sequence numbers and accepts packets by itself, and
//! only tells how far it got. A [`Mirror`] follows it on the active unit, and writes what it knows into
//! the kernel of the unit that takes over:
//!
//! ```text
//!        active unit                                        standby
//!   kernel ──events──▶ Mirror ──▶ Sad ═══ replication ═══▶ Sad ──▶ Mirror ──▶ kernel
//!     │  NEWSA, DELSA, EXPIRE    records, reservations,       now and then: NEWSA, NEWAE
//!     │  NEWAE: numbers          ceilings, policies           at takeover: all that moved since
//!     ▼
//!   packets
//! ```
//!
//! # Modes
//! - [`Mode::Counters`]: SAs and policies are installed on both units by somebody else, an IKE daemon
//!   with high availability of its own such as strongSwan's `ha` plugin. The mirror touches numbers,
//!   windows and lifetimes alone.
//! - [`Mode::Full`]: SAs and policies too. SAs are in the standby's kernel before the failure; policies
//!   are installed at the takeover, since with them the standby could send.
//!
//! # What holds (design: promises P1 and P2)
//! A kernel cannot be stopped at a reservation, nor at a ceiling: it runs ahead of what the mirror
//! has heard, and of what the standby has acknowledged.
//!
//! - **P1.** Who takes over sets the kernel to *received reservation + J* (the SA's
//!   [`budget`](crate::record::IpsecSa::budget)), so numbers stay disjoint while the active unit is
//!   less than J beyond its acknowledged reservation. How far it is beyond is measured with each event
//!   ([`MirrorStats::overrun`]); at three quarters of J the IKE daemon is asked for a rekey.
//! - **P2.** Under the strict policy all up to the received ceiling counts as seen. What the kernel
//!   accepted above the acknowledged ceiling, between two events or while no standby was there, is
//!   counted ([`SadStats::exposed`](crate::sad::SadStats::exposed)): those packets can be replayed.
//!   What the peer sends below the ceiling afterwards is refused, until it has sent as much or the IKE
//!   daemon has rekeyed, which it is asked for ([`MirrorConfig::rekey_held`]).
//! - Counters of a kernel never go back through the mirror: each write is compared with what the
//!   kernel has at that moment, or was brought to and has not told of moving since.

mod apply;
mod filter;
mod follow;
mod kernel;
mod netlink;
mod pace;
mod plan;
mod policies;
mod rekey;
mod target;
#[cfg(all(test, not(loom)))]
mod tests;

use core::time::Duration;
use std::sync::Arc;

use ha_core::checkpoint::{BuildError, CheckpointClient, WriteError};
use ha_core::id::ClientId;
use ha_core::time::Time;

pub use filter::Filter;
pub use kernel::{
    Answer, Command, Kernel, KernelError, KernelEvent, KernelSa, Refusal, SaRef, Usage,
};
pub use netlink::Netlink;

use crate::record::DEFAULT_BUDGET;
use crate::replay::{InboundPolicy, Isolated};
use crate::sad::{ChangeError, Sad};
use apply::Applier;
use follow::Follower;
use plan::Source;
use policies::PolicyTable;

/// What the mirror does with SAs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// Numbers, windows and lifetimes of SAs that somebody else installs on both units.
    #[default]
    Counters,
    /// SAs and policies too.
    Full,
}

/// How a kernel is mirrored. Mode and filter have to be alike on both units.
#[derive(Clone, Debug)]
pub struct MirrorConfig {
    /// What is mirrored.
    pub mode: Mode,
    /// Which SAs.
    pub filter: Filter,
    /// What a unit that takes over accepts.
    pub policy: InboundPolicy,
    /// What the active unit's database counts as exposed while no standby is there; a kernel accepts
    /// in any case.
    pub isolated: Isolated,
    /// J, in packets: how far the active kernel may run beyond what the standby acknowledged;
    /// 1..=[`MAX_BUDGET`](crate::sequence::MAX_BUDGET).
    pub budget: u64,
    /// An SA in use is reported about so often; 20 ms by default.
    pub event_interval: Duration,
    /// With more events than this in a second, SAs are reported less often; 5000 by default.
    pub max_events_per_s: u32,
    /// Most packets between two reports about an SA; 250 by default, a quarter of Cisco's default of
    /// `redundancy replay-interval inbound`.
    pub max_event_packets: u32,
    /// How often the standby writes what it got into its kernel; 1 s by default. A takeover writes
    /// what moved since.
    pub apply_interval: Duration,
    /// Under the strict policy: asks the IKE daemon to rekey an SA that refuses the peer's packets for
    /// more than a second after a takeover, since they lie below the ceiling; on by default. A peer
    /// that backs off, such as TCP, may otherwise never pass it.
    pub rekey_held: bool,
    /// At most so many rekeys are asked for in a second, whatever they are for; 20 by default.
    pub max_rekeys_per_s: u32,
    /// The checkpoint client of policies; its id follows those of the [`Sad`].
    pub policies_client: ClientId,
    /// Most policies; alike on both units.
    pub max_policies: usize,
}

impl MirrorConfig {
    /// The defaults, for SAs that pass a filter.
    pub const fn new(mode: Mode, filter: Filter) -> Self {
        Self {
            mode,
            filter,
            policy: InboundPolicy::Strict,
            isolated: Isolated::Continue,
            budget: DEFAULT_BUDGET,
            event_interval: Duration::from_millis(20),
            max_events_per_s: 5000,
            max_event_packets: 250,
            apply_interval: Duration::from_secs(1),
            rekey_held: true,
            max_rekeys_per_s: 20,
            policies_client: ClientId::new(110),
            max_policies: 200_000,
        }
    }
}

/// What time it is.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// Of the node: for intervals.
    pub now: Time,
    /// This machine's wall clock, in seconds since 1970: the kernel's lifetimes are told by it.
    pub unix_s: u64,
}

/// Why the mirror could not do its work. It goes on at the next call.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// The kernel cannot be asked.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// SAs could not be written into the database.
    #[error("SAs of the kernel could not be entered: {0}")]
    Change(#[from] ChangeError),
    /// Policies could not be written into their table.
    #[error("policies of the kernel could not be entered: {0}")]
    Write(#[from] WriteError),
}

/// What the mirror counts since it was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct MirrorStats {
    /// SAs followed, on the active unit.
    pub followed: usize,
    /// Events read.
    pub events: u64,
    /// How often events were lost, and everything was read anew.
    pub lost: u64,
    /// How often policies of the active kernel changed, or were read.
    pub policy_changes: u64,
    /// How often all SAs were read.
    pub dumps: u64,
    /// The most that a kernel was seen beyond an acknowledged reservation, in packets.
    pub overrun: u64,
    /// How often one was seen beyond the reservation and J: numbers could be used twice then.
    pub beyond_budget: u64,
    /// Counters written into the kernel.
    pub written: u64,
    /// Counters not written, since the kernel was ahead.
    pub ahead: u64,
    /// SAs written into the kernel, in full mode.
    pub installed: u64,
    /// SAs removed from the kernel, in full mode.
    pub removed: u64,
    /// Commands that the kernel refused.
    pub refused: u64,
    /// SAs that were expected in the kernel when it was written last, and were not there.
    pub missing: usize,
    /// SAs in the kernel with the name of a replicated one but other keys, when it was written last.
    pub other_keys: usize,
    /// SAs that cannot be mirrored: contradictory, or a second one of a name.
    pub unusable: u64,
    /// How often the IKE daemon was asked for a rekey; of one SA several times if it does not answer.
    pub rekeys_asked: u64,
    /// SAs among them that refused the peer's packets after a takeover.
    pub held_out: u64,
}

/// What a takeover wrote into the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Takeover {
    /// Replicated SAs.
    pub sas: usize,
    /// Counters that were written.
    pub written: usize,
    /// SAs that were installed.
    pub installed: usize,
    /// SAs that somebody else has to install yet.
    pub missing: usize,
    /// Commands that the kernel refused.
    pub refused: usize,
}

/// Mirrors a kernel's SAs. See the [module](self).
///
/// One thread owns it: it tells it the role, and calls [`poll`](Self::poll) when the kernel has events,
/// and every few milliseconds. Calls take as long as the kernel takes; none waits for the other unit.
#[derive(Debug)]
pub struct Mirror<K> {
    config: Arc<MirrorConfig>,
    sad: Sad,
    kernel: K,
    policies: PolicyTable,
    role: Role,
    stats: MirrorStats,
}

#[derive(Debug)]
enum Role {
    /// No role yet: the kernel is left alone.
    Idle,
    Standby(Applier),
    Active(Box<Follower>),
}

impl<K: Kernel> Mirror<K> {
    /// A mirror without a role.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn new(config: MirrorConfig, sad: Sad, kernel: K) -> Result<Self, BuildError> {
        let policies = policies::table(config.policies_client, config.max_policies)?;
        Ok(Self {
            config: Arc::new(config),
            sad,
            kernel,
            policies,
            role: Role::Idle,
            stats: MirrorStats::default(),
        })
    }

    /// All tables, those of the database included, to be registered with one group of a node.
    pub fn clients(&self) -> Vec<Arc<dyn CheckpointClient>> {
        let mut clients = self.sad.clients();
        clients.push(self.policies.client());
        clients
    }

    /// The database.
    pub const fn sad(&self) -> &Sad {
        &self.sad
    }

    /// The kernel.
    pub const fn kernel(&self) -> &K {
        &self.kernel
    }

    /// What was counted.
    pub fn stats(&self) -> MirrorStats {
        let followed = match &self.role {
            Role::Active(follower) => follower.len(),
            Role::Idle | Role::Standby(_) => 0,
        };
        MirrorStats {
            followed,
            ..self.stats
        }
    }

    /// This unit became active: call it when the database is open
    /// ([`SadStats::open`](crate::sad::SadStats::open)), and before the virtual addresses come here.
    /// Afterwards the kernel may carry packets. What it has besides is entered by the next
    /// [`poll`](Self::poll), which no packet waits for.
    ///
    /// # Errors
    /// When the kernel cannot be asked: the addresses must not come here yet. Call it again.
    pub fn become_active(&mut self, clocks: Clocks) -> Result<Takeover, MirrorError> {
        let mut applier = match core::mem::replace(&mut self.role, Role::Idle) {
            Role::Standby(applier) => applier,
            // A takeover that failed half way is done again as a whole.
            Role::Idle | Role::Active(_) => Applier::new(Arc::clone(&self.config)),
        };
        self.tell(&mut applier)?;
        let takeover = applier.apply(Source::Active, self.parts(), clocks)?;
        let placed = applier.placed(&self.sad, clocks.now);
        let follower = Follower::new(Arc::clone(&self.config), &placed, clocks.now);
        self.role = Role::Active(Box::new(follower));
        Ok(takeover)
    }

    /// Reads all SAs of the active unit's kernel, so that its standby gets exactly where they stand:
    /// before an ordered switchover, when the virtual addresses have left. SAs that are behind their
    /// counters are set forward: also after a fencing authority's word
    /// ([`Node::peer_fenced`](ha_core::node::Node::peer_fenced)), which skips numbers.
    ///
    /// # Errors
    /// When the kernel cannot be asked, or what it holds cannot be entered.
    pub fn settle(&mut self, clocks: Clocks) -> Result<(), MirrorError> {
        let Role::Active(mut follower) = core::mem::replace(&mut self.role, Role::Idle) else {
            return Ok(());
        };
        let settled = follower.resync(self.parts(), clocks);
        self.role = Role::Active(follower);
        settled
    }

    /// This unit is not active any more, or never was. In full mode the kernel's SAs and policies that
    /// pass the filter go at once: they are of the former life, and the other unit uses their numbers.
    /// In counters mode they are somebody else's.
    ///
    /// # Errors
    /// When the kernel cannot be asked. The role is given up nevertheless; call it again then.
    pub fn become_standby(&mut self) -> Result<(), MirrorError> {
        let applier = Applier::new(Arc::clone(&self.config));
        let cleared = applier.clear(self.parts());
        self.role = Role::Standby(applier);
        cleared
    }

    /// Looks after what is due: events of the kernel on the active unit, the standby's kernel on the
    /// other. `more` in the answer: call it again at once.
    ///
    /// # Errors
    /// See [`MirrorError`]; the next call goes on.
    pub fn poll(&mut self, clocks: Clocks) -> Result<bool, MirrorError> {
        match core::mem::replace(&mut self.role, Role::Idle) {
            Role::Idle => Ok(false),
            Role::Standby(mut applier) => {
                let mut done = self.tell(&mut applier);
                if applier.is_due(clocks.now) {
                    let applied = applier.apply(Source::Standby, self.parts(), clocks);
                    done = done.and(applied.map(drop));
                }
                self.role = Role::Standby(applier);
                done.map(|()| false)
            }
            Role::Active(mut follower) => {
                let done = follower.round(self.parts(), clocks);
                self.role = Role::Active(follower);
                done
            }
        }
    }

    /// The policies of this unit's kernel that pass the filter, for routes.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn kernel_policies(&mut self) -> Result<Vec<crate::linux::xfrm::Policy>, MirrorError> {
        Ok(self.kernel.policies()?)
    }

    /// What the kernel of a standby told.
    fn tell(&mut self, applier: &mut Applier) -> Result<(), MirrorError> {
        while let Some(event) = self.kernel.next_event()? {
            applier.hear(&event);
        }
        Ok(())
    }

    fn parts(&mut self) -> Parts<'_> {
        Parts {
            sad: &self.sad,
            policies: &self.policies,
            kernel: &mut self.kernel,
            stats: &mut self.stats,
        }
    }
}

/// What a role works with.
struct Parts<'a> {
    sad: &'a Sad,
    policies: &'a PolicyTable,
    kernel: &'a mut dyn Kernel,
    stats: &'a mut MirrorStats,
}
