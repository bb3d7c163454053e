//! Schemes: who should be active.
//!
//! A scheme is a pure state machine that is fed what this unit knows of itself and of its peer, and
//! tells the role that this unit should have. It does not act: the owner of the redundancy
//! facility compares [`Scheme::decision`] with the facility's state after each input and carries
//! out the difference.
//!
//! - [`Static`]: the role is configured, and changed by command.
//! - [`PeerHealth`]: the units elect one at start, and the standby takes over when the active one
//!   is lost.

mod peer_health;
mod static_role;

use core::fmt;

pub use peer_health::{PeerHealth, PeerHealthConfig, PeerHealthConfigError};
pub use static_role::Static;

use crate::id::{Term, UnitId};
use crate::redundancy::{Claim, RfState, SwitchoverReason};
use crate::time::Time;

/// Tells which role a unit of one group should have.
///
/// # Contract
/// After each [`handle`](Self::handle) look at [`decision`](Self::decision), carry it out, and arm
/// a timer for [`poll_timeout`](Self::poll_timeout), at which [`SchemeInput::Timer`] is due.
/// `local` is this unit as it is *before* the decision is carried out.
pub trait Scheme: Send {
    /// The scheme's name, for people.
    fn name(&self) -> &'static str;

    /// How eager this unit is to become active when nobody is; goes into the status.
    fn priority(&self) -> u32;

    /// Takes an input.
    fn handle(&mut self, input: &SchemeInput, local: &LocalView, now: Time);

    /// The role that this unit should have, until the next input.
    fn decision(&self) -> Decision;

    /// When [`SchemeInput::Timer`] is due next.
    fn poll_timeout(&self) -> Option<Time>;
}

/// What a scheme is told.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum SchemeInput {
    /// The unit started. The first input, once.
    Boot,
    /// A status of the peer. Also to be given again, with the latest status, when this unit's own
    /// claim changed.
    PeerSeen(PeerView),
    /// The peer was silent for the detection time, or all links to it are gone.
    PeerLost,
    /// The peer's process is another one than before: its memory is lost. Given before the first
    /// status of the new process.
    PeerRestarted,
    /// The peer gave the active role up in order and waits for this unit to take it.
    PeerResigned {
        /// The term that it gave up. A later status that still claims it is an old one.
        term: Term,
    },
    /// The peer's process ends in order (`Goodbye`).
    PeerLeft,
    /// This unit gave the role up by a switchover and has resigned.
    Resigned,
    /// What [`Scheme::poll_timeout`] named is due; harmless if it is not.
    Timer,
    /// An operator's command. `Active` takes the role whatever this unit holds, but not beside an
    /// active peer; `Standby` gives it up. `Undecided` is ignored.
    SetRole(Role),
    /// Maintenance mode was entered or left on this unit; [`LocalView::maintenance`] says which.
    Maintenance,
}

/// What this unit knows of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalView {
    /// This unit.
    pub unit: UnitId,
    /// Its state.
    pub state: RfState,
    /// The term of the active unit whose state this unit holds; zero if it holds none.
    pub holds: Term,
    /// Whether the state that this unit holds is whole: it was STANDBY HOT on it, or is active.
    pub holds_complete: bool,
    /// Its claim, if it is active.
    pub claim: Option<Claim>,
    /// Whether it is in maintenance mode: it takes the role only by command.
    pub maintenance: bool,
}

/// What this unit knows of its peer, from the peer's latest status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerView {
    /// The peer.
    pub unit: UnitId,
    /// Its state.
    pub state: RfState,
    /// Whether it has decided on a role.
    pub decided: bool,
    /// The highest term that it has seen. It refuses whatever carries a lower one.
    pub seen: Term,
    /// The term of the active unit whose state the peer holds; zero if it holds none.
    pub holds: Term,
    /// Whether the state that the peer holds is whole.
    pub holds_complete: bool,
    /// Its claim, if it is active.
    pub claim: Option<Claim>,
    /// Whether it is in maintenance mode.
    pub maintenance: bool,
    /// How eager it is to become active when nobody is.
    pub priority: u32,
}

/// What a scheme says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The role that this unit should have.
    pub role: Role,
    /// Why.
    pub reason: Reason,
    /// This unit keeps the active role, but the peer has a higher term, as an active unit with the
    /// weaker claim or from an activation that this unit never heard of, and refuses this unit's:
    /// activate again, in place, with the term after it.
    pub raise_term: bool,
}

impl PeerView {
    /// Whether the peer would refuse what carries `claim`'s term.
    pub(crate) fn outdates(&self, claim: Option<Claim>) -> bool {
        claim.is_some_and(|claim| self.seen > claim.term)
    }
}

impl Decision {
    pub(crate) const fn new(role: Role, reason: Reason) -> Self {
        Self {
            role,
            reason,
            raise_term: false,
        }
    }
}

/// A role.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// None yet.
    Undecided,
    /// Follow the active unit.
    Standby,
    /// Serve.
    Active,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Undecided => "undecided",
            Self::Standby => "standby",
            Self::Active => "active",
        })
    }
}

/// Why a unit should have its role.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// It just started.
    Booting,
    /// It is configured so.
    Configured,
    /// A command.
    Commanded,
    /// No peer was heard since the start.
    Alone,
    /// Neither unit had a role, and this one goes first, or second.
    Elected,
    /// The peer is active.
    PeerActive,
    /// This unit started and found its peer a standby, which may be about to take over.
    PeerWaiting,
    /// The active peer was lost.
    PeerLost,
    /// The active peer left in order.
    PeerLeft,
    /// The peer restarted and holds nothing any more.
    PeerRestarted,
    /// The peer handed the role over.
    PeerResigned,
    /// This unit handed the role over.
    Resigned,
    /// Nobody was active for the hold time, and this unit holds the better state.
    NobodyActive,
    /// Both units were active, and the claims decided.
    Claims,
    /// The peer is preferred and ready: hand the role over in order. Only with preemption.
    PeerPreferred,
}

impl Reason {
    /// The same for the history, when the unit becomes active.
    pub const fn switchover(self) -> SwitchoverReason {
        match self {
            Self::Booting | Self::Configured | Self::Alone | Self::Elected => {
                SwitchoverReason::None
            }
            Self::PeerLost | Self::PeerRestarted => SwitchoverReason::ActiveUnitFailed,
            Self::PeerLeft => SwitchoverReason::ActiveUnitRemoved,
            Self::PeerResigned | Self::Resigned | Self::PeerPreferred => {
                SwitchoverReason::UserInitiated
            }
            Self::Commanded => SwitchoverReason::UserForced,
            Self::PeerActive | Self::PeerWaiting | Self::NobodyActive | Self::Claims => {
                SwitchoverReason::NotKnown
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Booting => "starting up",
            Self::Configured => "configured",
            Self::Commanded => "commanded",
            Self::Alone => "no peer was heard",
            Self::Elected => "elected among two units without a role",
            Self::PeerActive => "the peer is active",
            Self::PeerWaiting => "the peer is a standby without an active unit",
            Self::PeerLost => "the peer was lost",
            Self::PeerLeft => "the peer left in order",
            Self::PeerRestarted => "the peer restarted empty",
            Self::PeerResigned => "the peer handed the role over",
            Self::Resigned => "the role was handed to the peer",
            Self::NobodyActive => "nobody was active for the hold time",
            Self::Claims => "both units were active and the claims decided",
            Self::PeerPreferred => "the peer is preferred and STANDBY HOT",
        })
    }
}
