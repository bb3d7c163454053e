//! From bytes to checked messages and back.

use bytes::Bytes;
use prost::Message as _;

use super::{LimitError, limits, pb, scan};

/// An ordered channel of a link. Lanes do not wait for each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Lane {
    /// Keepalives and roles: small, and never behind anything else.
    Control = 0,
    /// Batches of changes and their acknowledgements: what a commit waits for.
    Changes = 1,
    /// Bulk sync.
    Bulk = 2,
}

impl Lane {
    /// All lanes, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Control, Self::Changes, Self::Bulk];

    /// The lane with this number on the wire, if there is one.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Control),
            1 => Some(Self::Changes),
            2 => Some(Self::Bulk),
            _ => None,
        }
    }

    /// The lane's number on the wire.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The lane's place in [`Lane::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in logs and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Changes => "changes",
            Self::Bulk => "bulk",
        }
    }
}

impl core::fmt::Display for Lane {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

/// Why a message from the peer was not accepted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Not a message of this protocol.
    #[error(
        "undecodable message on the {lane} lane: {cause} (is the peer's release much older or newer?)"
    )]
    Undecodable {
        /// Where it arrived.
        lane: Lane,
        /// What the decoder said.
        cause: String,
    },
    /// A message without a body that this unit knows.
    #[error("a message of a kind unknown here on the {lane} lane (is the peer's release newer?)")]
    UnknownKind {
        /// Where it arrived.
        lane: Lane,
    },
    /// A message on a lane where it does not belong.
    #[error("{kind} on the {lane} lane, where it does not belong")]
    WrongLane {
        /// The message.
        kind: &'static str,
        /// Where it arrived.
        lane: Lane,
    },
    /// A message or a field beyond its limit.
    #[error("message beyond its limits: {0}")]
    Limit(#[from] LimitError),
    /// A field that must be there is not.
    #[error("{kind} without {field}")]
    Missing {
        /// The message.
        kind: &'static str,
        /// The field.
        field: &'static str,
    },
}

pub(crate) use pb::envelope::Body;

/// Decodes a message and checks that it belongs to its lane and keeps its limits.
pub(crate) fn decode(lane: Lane, bytes: Bytes) -> Result<Body, WireError> {
    check("message", bytes.len(), limits::MAX_MESSAGE_BYTES)?;
    scan::check(&bytes)?;
    let envelope = pb::Envelope::decode(bytes).map_err(|cause| WireError::Undecodable {
        lane,
        cause: cause.to_string(),
    })?;
    let body = envelope.body.ok_or(WireError::UnknownKind { lane })?;
    let (kind, home) = kind_of(&body);
    if lane != home {
        return Err(WireError::WrongLane { kind, lane });
    }
    check_body(&body)?;
    Ok(body)
}

/// Encodes a message; returns it with its lane.
pub(crate) fn encode(body: Body) -> (Lane, Bytes) {
    let lane = kind_of(&body).1;
    let envelope = pb::Envelope { body: Some(body) };
    (lane, Bytes::from(envelope.encode_to_vec()))
}

fn kind_of(body: &Body) -> (&'static str, Lane) {
    match body {
        Body::Hello(_) => ("Hello", Lane::Control),
        Body::Status(_) => ("Status", Lane::Control),
        Body::Resign(_) => ("Resign", Lane::Control),
        Body::Goodbye(_) => ("Goodbye", Lane::Control),
        Body::Reject(_) => ("Reject", Lane::Control),
        Body::SyncRequest(_) => ("SyncRequest", Lane::Changes),
        Body::SyncBegin(_) => ("SyncBegin", Lane::Changes),
        Body::Batch(_) => ("Batch", Lane::Changes),
        Body::Ack(_) => ("Ack", Lane::Changes),
        Body::BulkChunk(_) => ("BulkChunk", Lane::Bulk),
        Body::BulkAck(_) => ("BulkAck", Lane::Bulk),
    }
}

fn check_body(body: &Body) -> Result<(), WireError> {
    match body {
        Body::Hello(hello) => check_hello(hello),
        Body::Status(status) => check_status(status),
        Body::SyncRequest(request) => {
            check(
                "resync_clients",
                request.resync_clients.len(),
                limits::MAX_CLIENTS,
            )?;
            need("SyncRequest", "term", request.term.is_some())
        }
        Body::SyncBegin(begin) => {
            check("sizes", begin.sizes.len(), limits::MAX_CLIENTS)?;
            need("SyncBegin", "term", begin.term.is_some())
        }
        Body::Batch(batch) => {
            check("sections", batch.sections.len(), limits::MAX_CLIENTS)?;
            check("digests", batch.digests.len(), limits::MAX_CLIENTS)?;
            need("Batch", "term", batch.term.is_some())
        }
        Body::BulkChunk(chunk) => need("BulkChunk", "term", chunk.term.is_some()),
        Body::Resign(resign) => need("Resign", "term", resign.term.is_some()),
        Body::Goodbye(goodbye) => check("text", goodbye.text.len(), limits::MAX_TEXT_BYTES),
        Body::Reject(reject) => check("text", reject.text.len(), limits::MAX_TEXT_BYTES),
        Body::Ack(_) | Body::BulkAck(_) => Ok(()),
    }
}

fn check_hello(hello: &pb::Hello) -> Result<(), WireError> {
    check("software", hello.software.len(), limits::MAX_TEXT_BYTES)?;
    check("groups", hello.groups.len(), limits::MAX_GROUPS)?;
    for group in &hello.groups {
        check("clients", group.clients.len(), limits::MAX_CLIENTS)?;
        for client in &group.clients {
            check("client name", client.name.len(), limits::MAX_TEXT_BYTES)?;
            check(
                "config items",
                client.config.len(),
                limits::MAX_CONFIG_ITEMS,
            )?;
            for item in &client.config {
                check("config name", item.name.len(), limits::MAX_TEXT_BYTES)?;
                check("config value", item.value.len(), limits::MAX_TEXT_BYTES)?;
            }
        }
    }
    Ok(())
}

fn check_status(status: &pb::Status) -> Result<(), WireError> {
    check("groups", status.groups.len(), limits::MAX_GROUPS)?;
    let terms = status
        .groups
        .iter()
        .all(|group| group.term.is_some() && group.holds.is_some());
    need("Status", "a term", terms)
}

fn check(what: &'static str, got: usize, allowed: usize) -> Result<(), WireError> {
    if got > allowed {
        Err(LimitError::new(what, got, allowed).into())
    } else {
        Ok(())
    }
}

fn need(kind: &'static str, field: &'static str, there: bool) -> Result<(), WireError> {
    if there {
        Ok(())
    } else {
        Err(WireError::Missing { kind, field })
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
