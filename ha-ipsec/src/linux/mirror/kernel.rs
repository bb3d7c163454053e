//! What the mirror asks of a kernel.

use crate::id::SaId;
use crate::linux::replay::ReplayState;
use crate::linux::xfrm;
use crate::record::{IpsecSa, Mark};

/// A kernel's SAs and policies: Linux over netlink ([`Netlink`](super::Netlink)), or a model of it.
///
/// It shows only what passes the mirror's [`Filter`](super::Filter), so that nothing else can be
/// touched.
pub trait Kernel {
    /// All SAs.
    ///
    /// # Errors
    /// When they cannot be read, or not as a whole.
    fn sas(&mut self) -> Result<Vec<KernelSa>, KernelError>;

    /// One SA; `None` if it is not there.
    ///
    /// # Errors
    /// When it cannot be read.
    fn sa(&mut self, id: &SaRef) -> Result<Option<KernelSa>, KernelError>;

    /// All policies.
    ///
    /// # Errors
    /// When they cannot be read, or not as a whole.
    fn policies(&mut self) -> Result<Vec<xfrm::Policy>, KernelError>;

    /// What happened since, oldest first; `None` when there is nothing more now.
    ///
    /// # Errors
    /// When events cannot be read. That some were lost is no error but
    /// [`KernelEvent::Lost`].
    fn next_event(&mut self) -> Result<Option<KernelEvent>, KernelError>;

    /// Carries out commands in order, each on its own, and answers each.
    ///
    /// # Errors
    /// When the kernel cannot be asked at all.
    fn apply(&mut self, commands: &[Command]) -> Result<Vec<Answer>, KernelError>;
}

/// Names an SA to the kernel, which may hold several with one SPI under different marks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SaRef {
    /// SPI, destination and protocol.
    pub id: SaId,
    /// The mark that its packets carry.
    pub mark: Option<Mark>,
}

impl SaRef {
    /// Names the SA of a record.
    pub const fn of(record: &IpsecSa) -> Self {
        Self {
            id: record.id,
            mark: record.mark,
        }
    }
}

/// An SA as the kernel has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KernelSa {
    /// What does not move with packets. Its [`instance`](IpsecSa::instance) is 0.
    pub record: IpsecSa,
    /// Sequence number and window.
    pub replay: ReplayState,
    /// What was used of its lifetime.
    pub usage: Usage,
    /// Packets that its window refused since it was made: below it, or seen before. Nobody has
    /// authenticated them.
    pub refused: u64,
}

/// What was used of an SA's lifetime.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// When the SA was added, in seconds since 1970 by the clock of its machine.
    pub added_unix_s: u64,
    /// When it was used first; 0 before.
    pub used_unix_s: u64,
}

/// What happened to the kernel's SAs and policies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KernelEvent {
    /// An SA came, went, or changed: read it.
    Sa(SaRef),
    /// The counters of an SA moved (`XFRM_MSG_NEWAE`).
    Counters {
        /// Which.
        sa: SaRef,
        /// Where they are.
        replay: ReplayState,
        /// What was used of its lifetime, if the event says so.
        usage: Option<Usage>,
    },
    /// All SAs of a protocol, or all, are gone: read what is left.
    SasFlushed,
    /// Policies came, went or changed: read them.
    Policies,
    /// Events were lost (`ENOBUFS`): read everything.
    Lost,
}

/// A change of the kernel's SAs or policies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Adds an SA with its counters; refused if there is one of that name.
    Install {
        /// What does not move.
        record: Box<IpsecSa>,
        /// Where its numbers stand.
        replay: ReplayState,
        /// What counts as used of its lifetime.
        usage: Usage,
    },
    /// Sets counters and lifetime of an SA (`XFRM_MSG_NEWAE`). The kernel does not look whether they
    /// go back: who asks does.
    SetCounters {
        /// Which.
        sa: SaRef,
        /// Where they are to stand.
        replay: ReplayState,
        /// What counts as used of its lifetime.
        usage: Usage,
    },
    /// Has an event sent whenever a number moved by so many packets.
    SetThreshold {
        /// Which.
        sa: SaRef,
        /// Packets, at least 1.
        packets: u32,
    },
    /// Tells the IKE daemon that the soft lifetime of an SA is over, so that it rekeys
    /// (`XFRM_MSG_EXPIRE`).
    SoftExpire(Box<IpsecSa>),
    /// Deletes an SA.
    Remove(SaRef),
    /// Adds or replaces a policy.
    InstallPolicy(Box<xfrm::Policy>),
    /// Deletes a policy.
    RemovePolicy(Box<xfrm::Policy>),
}

/// What became of a command.
pub type Answer = Result<(), Refusal>;

/// Why the kernel did not carry out a command.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// What was to be added is there.
    #[error("it is there already")]
    Exists,
    /// What was to be changed or deleted is not there.
    #[error("it is not there (any more)")]
    NotFound,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Why the kernel's SAs cannot be mirrored now.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the kernel's SAs cannot be reached: {0}")]
pub struct KernelError(pub String);

/// What is gone already is as it should be.
pub(super) fn count_refused(answers: &[Result<(), Refusal>]) -> usize {
    let refused =
        |answer: &&Result<(), Refusal>| matches!(answer, Err(why) if *why != Refusal::NotFound);
    answers.iter().filter(refused).count()
}

impl Command {
    /// For logs.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Install { .. } => "install SA",
            Self::SetCounters { .. } => "set counters",
            Self::SetThreshold { .. } => "set threshold",
            Self::SoftExpire(_) => "soft expire",
            Self::Remove(_) => "remove SA",
            Self::InstallPolicy(_) => "install policy",
            Self::RemovePolicy(_) => "remove policy",
        }
    }

    /// The SA that it is about; a policy has none.
    pub(super) fn target(&self) -> Option<SaId> {
        match self {
            Self::Install { record, .. } | Self::SoftExpire(record) => Some(record.id),
            Self::SetCounters { sa, .. } | Self::SetThreshold { sa, .. } | Self::Remove(sa) => {
                Some(sa.id)
            }
            Self::InstallPolicy(_) | Self::RemovePolicy(_) => None,
        }
    }
}
