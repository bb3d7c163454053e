//! What goes into a facility and what comes out of it.

use core::time::Duration;
use std::sync::Arc;

use crate::id::{ClientId, Term, UnitId};
use crate::redundancy::clients::{NotificationToken, Why};
use crate::redundancy::events::{RfEvent, SwitchoverReason};
use crate::redundancy::state::RfState;

/// How and after whom a unit becomes active.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Activation {
    /// Why.
    pub reason: SwitchoverReason,
    /// The unit that was active before, if any was: only then it is a switchover, and enters the
    /// history as one.
    pub previous: Option<UnitId>,
    /// The term of the activation.
    pub term: Term,
}

/// How far a standby falls back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FallBack {
    /// To NEGOTIATION: the peer is lost, not active, or not compatible any more.
    Negotiation,
    /// To STANDBY COLD-CONFIG: a configuration changed.
    ColdConfig,
    /// To STANDBY COLD-BULK: what the unit holds is not the active unit's state any more.
    ColdBulk,
}

impl FallBack {
    /// The state that is fallen back to.
    pub const fn state(self) -> RfState {
        match self {
            Self::Negotiation => RfState::Negotiation,
            Self::ColdConfig => RfState::StandbyColdConfig,
            Self::ColdBulk => RfState::StandbyColdBulk,
        }
    }
}

/// A client's answer to a notification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The client did its part.
    Done,
    /// The client could not do its part, with its reason.
    Failed(String),
}

/// What the owner of a facility has to do, or should know.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RfAction {
    /// Tell a client of a state, and pass its answer to
    /// [`Facility::client_answered`](super::Facility::client_answered).
    Notify {
        /// Names the notification.
        token: NotificationToken,
        /// The client.
        client: ClientId,
        /// The state.
        state: RfState,
        /// The same as an event.
        event: RfEvent,
    },
    /// The unit entered a state; its clients are told next.
    Entered {
        /// The state before.
        from: RfState,
        /// The state now.
        to: RfState,
        /// Why, for the log.
        why: Why,
    },
    /// All clients are done with the state, or were passed over.
    Completed {
        /// The state.
        state: RfState,
    },
    /// A client did not answer within the notification timer.
    ClientMissed {
        /// The client.
        client: ClientId,
        /// Its name.
        name: Arc<str>,
        /// The state it was told of.
        state: RfState,
        /// How long it was waited for.
        after: Duration,
    },
    /// A client answered that it failed.
    ClientFailed {
        /// The client.
        client: ClientId,
        /// Its name.
        name: Arc<str>,
        /// The state it was told of.
        state: RfState,
        /// What it said.
        text: String,
    },
}

/// An answer to no notification in progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{token} is not in progress: it was answered before, or its timer expired, or the unit left \
     the state; ignored"
)]
pub struct UnknownToken {
    /// What the client answered to.
    pub token: NotificationToken,
}
