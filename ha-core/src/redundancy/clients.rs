//! Clients of the facility: who is told of a state, in which order, and what went wrong with whom.

use core::fmt;
use core::time::Duration;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use super::facility::FacilityConfigError;
use super::state::RfState;
use crate::id::ClientId;
use crate::wire::limits::MAX_CLIENTS;

/// A client as the redundancy facility knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RfClient {
    /// The client's id, the same on both units. 0 and 65000 belong to the facility.
    pub id: ClientId,
    /// The client's name, for people: 1 to [`RfClient::NAME_LIMIT`] bytes, no control characters.
    pub name: Arc<str>,
    /// The client's place in the order of notifications: ascending, ties by id.
    pub sequence: u16,
    /// Whether the client answers notifications; if not it counts as done at once and is never
    /// notified.
    pub notified: bool,
}

impl RfClient {
    /// Longest name, in bytes.
    pub const NAME_LIMIT: usize = 64;
    /// Cisco's `RF_INTERNAL_MSG`, refused as a client's id.
    pub const FIRST_RESERVED: ClientId = ClientId::new(0);
    /// Cisco's `RF_LAST_CLIENT`, refused as a client's id.
    pub const LAST_RESERVED: ClientId = ClientId::new(65000);

    fn validate(&self) -> Result<(), FacilityConfigError> {
        let id = self.id;
        if id == Self::FIRST_RESERVED || id == Self::LAST_RESERVED {
            return Err(FacilityConfigError::ReservedClient { id });
        }
        let length_fits = (1..=Self::NAME_LIMIT).contains(&self.name.len());
        if !length_fits || self.name.chars().any(char::is_control) {
            return Err(FacilityConfigError::ClientName { id });
        }
        Ok(())
    }
}

/// Checks all clients and puts them into the order of notification.
pub(super) fn in_order(mut clients: Vec<RfClient>) -> Result<Box<[RfClient]>, FacilityConfigError> {
    if clients.len() > MAX_CLIENTS {
        let found = clients.len();
        return Err(FacilityConfigError::TooManyClients {
            found,
            limit: MAX_CLIENTS,
        });
    }
    let mut seen = HashSet::new();
    for client in &clients {
        client.validate()?;
        if !seen.insert(client.id) {
            return Err(FacilityConfigError::DuplicateClient { id: client.id });
        }
    }
    clients.sort_by_key(|client| (client.sequence, client.id));
    Ok(clients.into_boxed_slice())
}

/// Names one notification, so that an answer cannot be taken for that to another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NotificationToken(u64);

impl NotificationToken {
    pub(super) const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The token as a number, for logs; grows with each notification of a facility.
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NotificationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "notification {}", self.0)
    }
}

/// What a client did wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientFault {
    /// It did not answer within the notification timer.
    Missed {
        /// How long it was waited for.
        after: Duration,
    },
    /// It answered that it failed.
    Failed {
        /// What it said, cut to [`ClientFault::TEXT_LIMIT`] bytes.
        text: String,
    },
}

impl ClientFault {
    /// Most bytes of a client's own words that are kept.
    pub const TEXT_LIMIT: usize = 256;

    pub(super) fn failed(mut text: String) -> Self {
        let mut end = text.len().min(Self::TEXT_LIMIT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        Self::Failed { text }
    }

    /// The return code that the event log shows; 0 is a client that is done.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Failed { .. } => 1,
            Self::Missed { .. } => 2,
        }
    }
}

impl fmt::Display for ClientFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missed { after } => write!(f, "no answer within {} ms", after.as_millis()),
            Self::Failed { text } => write!(f, "failed: {text}"),
        }
    }
}

/// A client that failed or missed its timer, with its latest fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FailedClient {
    /// The client's id.
    pub client: ClientId,
    /// The client's name.
    pub name: Arc<str>,
    /// The state that the client was told of.
    pub state: RfState,
    /// What it did wrong.
    pub fault: ClientFault,
}

impl fmt::Display for FailedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            client,
            name,
            state,
            fault,
        } = self;
        write!(f, "{name} ({client}) in {state}: {fault}")
    }
}

/// A reason in words, mostly one of a few fixed ones.
pub(super) type Why = Cow<'static, str>;
