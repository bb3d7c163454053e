//! What a node asks of its driver, and what it tells the people.

use core::time::Duration;

use bytes::Bytes;

use crate::checkpoint::StreamError;
use crate::id::{ClientId, GroupId, LinkId, Term, UnitId};
use crate::redundancy::{NotificationToken, RfState, SwitchoverReason};
use crate::time::Time;
use crate::wire::{Lane, WireError};

use super::agreement::{ConfigDifference, Disagreement};

/// What a driver must do. Drain with [`Node::poll_output`](super::Node::poll_output) until
/// [`Output::Timeout`] comes.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Output {
    /// Send a message; the amount under way is bounded by the windows that the peer granted.
    Send {
        /// Over which link.
        link: LinkId,
        /// On which lane.
        lane: Lane,
        /// The message.
        message: Bytes,
    },
    /// Close a link after sending what is queued; the node has forgotten it.
    CloseLink {
        /// Which.
        link: LinkId,
        /// Why.
        reason: CloseReason,
    },
    /// Tell a client of a step; answer with
    /// [`Node::handle_client_answer`](super::Node::handle_client_answer), at once or later.
    NotifyClient {
        /// The group.
        group: GroupId,
        /// The client.
        client: ClientId,
        /// The state that the unit is in.
        state: RfState,
        /// Give it back with the answer.
        token: NotificationToken,
    },
    /// Something happened: for logs, counters and the application.
    Event(Event),
    /// All is drained: call [`Node::handle_timeout`](super::Node::handle_timeout) then, unless
    /// something else happens first.
    Timeout(Time),
}

/// Why a node closes a link.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer broke the protocol.
    #[error("{0}")]
    Wire(#[from] WireError),
    /// A message before Hello, or no Hello in time.
    #[error("no Hello as the first message within 5 s; is something else speaking on this port?")]
    NoHello,
    /// The other side claims this unit's id.
    #[error("the peer claims to be {unit}, as this unit does; give the units different ids")]
    SameUnit {
        /// The id.
        unit: UnitId,
    },
    /// The other side is not the configured peer.
    #[error("the peer is {got}, configured is {expected}")]
    UnexpectedUnit {
        /// Who it is.
        got: UnitId,
        /// Who it should be.
        expected: UnitId,
    },
    /// Two processes claim to be the peer.
    #[error("a second process claims to be {unit} while the first is alive; stop one of them")]
    SecondPeer {
        /// The id.
        unit: UnitId,
    },
    /// No protocol version in common.
    #[error(
        "the peer speaks protocol versions {min} to {max}, this unit {ours}; \
         upgrade the older unit by one release at a time"
    )]
    Protocol {
        /// The peer's lowest.
        min: u32,
        /// The peer's highest.
        max: u32,
        /// This unit's.
        ours: u32,
    },
    /// The peer refused this unit.
    #[error("the peer refused this unit: {0}")]
    Refused(String),
    /// The peer's process ends in order.
    #[error("the peer leaves: {0}")]
    PeerLeaves(String),
    /// This node stops.
    #[error("this unit leaves")]
    Leaving,
    /// The standby leaves what it was sent without acknowledgement.
    #[error("the standby acknowledged nothing for {} ms; is it stuck?", .0.as_millis())]
    Stuck(Duration),
    /// The peer was declared lost.
    #[error("nothing was heard for {} ms", .0.as_millis())]
    Silent(Duration),
}

/// Something that happened.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A link opened and the peer said who it is.
    PeerUp {
        /// The link.
        link: LinkId,
        /// The peer.
        unit: UnitId,
        /// Its process.
        incarnation: u64,
        /// Its software.
        software: String,
    },
    /// Nothing was heard over any link for the detection time.
    PeerLost {
        /// The peer.
        unit: UnitId,
    },
    /// The peer said goodbye.
    PeerLeft {
        /// The peer.
        unit: UnitId,
        /// Why.
        text: String,
    },
    /// This process did not run for a while (stopped, or the machine was overloaded).
    Paused {
        /// For how long.
        duration: Duration,
    },
    /// The group's state changed.
    State {
        /// The group.
        group: GroupId,
        /// From.
        from: RfState,
        /// To.
        to: RfState,
        /// The highest term seen.
        term: Term,
        /// Why.
        why: String,
    },
    /// The units do not fit: the standby stays below STANDBY COLD-CONFIG.
    Incompatible {
        /// The group.
        group: GroupId,
        /// What does not fit.
        disagreements: Vec<Disagreement>,
    },
    /// The configurations differ: the standby stays at STANDBY COLD-CONFIG.
    ConfigDiffers {
        /// The group.
        group: GroupId,
        /// What differs.
        differences: Vec<ConfigDifference>,
    },
    /// A stream of state began.
    SyncBegan {
        /// The group.
        group: GroupId,
        /// Whether all state is sent, rather than what changed.
        full: bool,
        /// Whether a bulk sync is part of it.
        bulk: bool,
    },
    /// The standby holds everything; digests are equal.
    SyncCompleted {
        /// The group.
        group: GroupId,
        /// Entries held.
        entries: u64,
        /// Time since it began.
        took: Duration,
    },
    /// A client's digest differs: it is sent again in full.
    DigestMismatch {
        /// The group.
        group: GroupId,
        /// The clients.
        clients: Vec<ClientId>,
    },
    /// An audit found entries that are not what was applied: they are sent again.
    AuditMismatch {
        /// The group.
        group: GroupId,
        /// The client.
        client: ClientId,
        /// How many.
        entries: usize,
    },
    /// The stream could not go on; it begins anew after a pause.
    SyncFailed {
        /// The group.
        group: GroupId,
        /// Why.
        error: StreamError,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// Something of a lower term was refused.
    Fenced {
        /// The group.
        group: GroupId,
        /// What it was.
        what: &'static str,
        /// Its term.
        got: Term,
        /// The highest term seen.
        highest: Term,
    },
    /// Both units were active.
    DualActive {
        /// The group.
        group: GroupId,
        /// Whether this unit keeps the role.
        kept: bool,
    },
    /// A unit took over without having been STANDBY HOT.
    IncompleteTakeover {
        /// The group.
        group: GroupId,
    },
    /// A client did not answer a notification in time.
    ClientMissed {
        /// The group.
        group: GroupId,
        /// The client.
        client: ClientId,
        /// Its name.
        name: String,
        /// In which state.
        state: RfState,
    },
    /// A client answered that it failed.
    ClientFailed {
        /// The group.
        group: GroupId,
        /// The client.
        client: ClientId,
        /// Its name.
        name: String,
        /// In which state.
        state: RfState,
        /// What it said.
        cause: String,
    },
    /// A manual switchover did not happen.
    SwitchoverFailed {
        /// The group.
        group: GroupId,
        /// Why.
        why: &'static str,
    },
    /// A switchover happened: this unit took up or gave up the active role.
    Switchover {
        /// The group.
        group: GroupId,
        /// Why.
        reason: SwitchoverReason,
        /// The new term.
        term: Term,
    },
    /// Batches were acknowledged: how old their oldest change was.
    Staleness {
        /// The group.
        group: GroupId,
        /// The age.
        age: Duration,
    },
}

impl Event {
    /// The group that it is about, if it is about one.
    pub fn group(&self) -> Option<GroupId> {
        match self {
            Self::PeerUp { .. }
            | Self::PeerLost { .. }
            | Self::PeerLeft { .. }
            | Self::Paused { .. } => None,
            Self::State { group, .. }
            | Self::Incompatible { group, .. }
            | Self::ConfigDiffers { group, .. }
            | Self::SyncBegan { group, .. }
            | Self::SyncCompleted { group, .. }
            | Self::DigestMismatch { group, .. }
            | Self::AuditMismatch { group, .. }
            | Self::SyncFailed { group, .. }
            | Self::Fenced { group, .. }
            | Self::DualActive { group, .. }
            | Self::IncompleteTakeover { group }
            | Self::ClientMissed { group, .. }
            | Self::ClientFailed { group, .. }
            | Self::SwitchoverFailed { group, .. }
            | Self::Switchover { group, .. }
            | Self::Staleness { group, .. } => Some(*group),
        }
    }

    /// The client that it is about, if it is about one.
    pub fn client(&self) -> Option<ClientId> {
        match self {
            Self::AuditMismatch { client, .. }
            | Self::ClientMissed { client, .. }
            | Self::ClientFailed { client, .. } => Some(*client),
            _ => None,
        }
    }
}
