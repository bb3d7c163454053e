//! Why a link could not be made, or is no more.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::fingerprint::Fingerprint;
use crate::lane::Lane;

/// Why a link could not be established, refused a message or ended.
///
/// Cheap to clone: the reason why a link ended is handed to every later caller.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The local address cannot be listened on or dialled from.
    #[error(
        "cannot bind {address}: {source}; check that the address belongs to this unit and that no \
         other process uses the port"
    )]
    Bind {
        /// The address as configured.
        address: SocketAddr,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// The peer's address does not answer.
    #[error(
        "cannot connect to {address}: {source}; the peer may be down, not listening on this port, \
         or cut off by a firewall"
    )]
    Connect {
        /// The peer's address.
        address: SocketAddr,
        /// What the operating system or the transport said.
        source: Arc<io::Error>,
    },
    /// The peer's address did not answer in time.
    #[error(
        "no answer from {address} within {limit:?}; the peer may be down, or a firewall drops the \
         packets"
    )]
    ConnectTimeout {
        /// The peer's address.
        address: SocketAddr,
        /// The limit.
        limit: Duration,
    },
    /// The other end connected but did not finish the handshake in time.
    #[error(
        "no complete handshake within {limit:?}; the other end may be a port scanner, a different \
         protocol, or badly overloaded"
    )]
    HandshakeTimeout {
        /// The limit.
        limit: Duration,
    },
    /// The connection was pushed out by others that are in their handshake as well.
    #[error(
        "dropped while {limit} connections were in their handshake; something floods this port, \
         restrict it to the peer's address"
    )]
    TooManyHandshakes {
        /// Most connections that may be in their handshake.
        limit: usize,
    },
    /// TLS failed.
    #[error("TLS failed: {detail}; {hint}")]
    Tls {
        /// What the TLS library said.
        detail: String,
        /// The likely cause and what to do.
        hint: &'static str,
    },
    /// The peer refused this unit in the handshake.
    #[error("the peer refused this unit with TLS alert `{alert}`; {hint}")]
    RefusedByPeer {
        /// The alert.
        alert: String,
        /// The likely cause and what to do.
        hint: &'static str,
    },
    /// The peer's key is not one of those pinned here.
    #[error(
        "the peer's key {seen} is not pinned here (pinned: {}); if this really is the other unit, \
         compare with `ha-identity show` there and pin that fingerprint, otherwise someone else \
         uses its address",
        list(expected)
    )]
    PeerNotPinned {
        /// The fingerprint of the key that the peer proved to hold.
        seen: Fingerprint,
        /// The fingerprints that are pinned.
        expected: Vec<Fingerprint>,
    },
    /// The peer's certificate is no longer valid.
    #[error(
        "the peer's certificate has expired ({detail}); issue a new one, and compare the clocks of \
         both units"
    )]
    CertificateExpired {
        /// When, as far as known.
        detail: String,
    },
    /// The peer's certificate is not valid yet.
    #[error("the peer's certificate is not valid yet ({detail}); compare the clocks of both units")]
    CertificateNotYetValid {
        /// When, as far as known.
        detail: String,
    },
    /// The peer's certificate was refused for another reason.
    #[error("the peer's certificate was refused: {detail}; {hint}")]
    CertificateRefused {
        /// What is wrong with it.
        detail: String,
        /// The likely cause and what to do.
        hint: &'static str,
    },
    /// The other end speaks another protocol above TLS or QUIC.
    #[error(
        "the other end does not speak `{expected}` (it offers {offered}); another service uses \
         this port, or its release is incompatible"
    )]
    WrongProtocol {
        /// The protocol of this library.
        expected: &'static str,
        /// What the other end offered.
        offered: String,
    },
    /// The first bytes were not those of a link.
    #[error(
        "the first bytes are not those of a link ({seen:02x?}); the other end is another service, \
         a port scanner, or uses plaintext where TLS is expected"
    )]
    NotALink {
        /// The first bytes, at most eight.
        seen: Vec<u8>,
    },
    /// The message is longer than the lane allows. The link stays up.
    #[error("a message of {bytes} bytes exceeds the limit of {limit} bytes of lane {lane}")]
    TooLarge {
        /// The lane.
        lane: Lane,
        /// Length of the message.
        bytes: usize,
        /// Longest message of the lane.
        limit: usize,
    },
    /// The outbound queue of the lane is full. The link stays up; try again when it has drained.
    #[error(
        "the outbound queue of lane {lane} is full ({queued} of {limit} bytes); the peer reads too \
         slowly or the path is congested"
    )]
    QueueFull {
        /// The lane.
        lane: Lane,
        /// Bytes queued now.
        queued: usize,
        /// Most bytes queued.
        limit: usize,
    },
    /// The peer sent a longer message than the lane allows.
    #[error(
        "the peer sent a message above the limit of {limit} bytes of lane {lane}; the limits of \
         both units differ, or the peer is faulty"
    )]
    PeerTooLarge {
        /// The lane.
        lane: Lane,
        /// Longest message of the lane.
        limit: usize,
    },
    /// The peer used a lane that does not exist.
    #[error("the peer used the unknown lane {number}; its release may be newer and incompatible")]
    UnknownLane {
        /// The number on the wire.
        number: u8,
    },
    /// The peer sent a malformed frame.
    #[error("the peer sent a malformed frame: {detail}; it is faulty or incompatible")]
    BadFrame {
        /// What is wrong with it.
        detail: &'static str,
    },
    /// The connection ended in the middle of a frame or message.
    #[error("the connection ended inside a message; the peer died or the path broke")]
    Truncated,
    /// The application of this unit did not take messages for too long.
    #[error(
        "the inbound queue of lane {lane} stayed full for {limit:?}; this unit applies messages \
         too slowly or hangs"
    )]
    ReceiverStalled {
        /// The lane.
        lane: Lane,
        /// The limit.
        limit: Duration,
    },
    /// The peer closed the link in an orderly way, after all it had to send.
    #[error("the peer closed the link")]
    ClosedByPeer,
    /// This unit closed the link.
    #[error("this unit closed the link")]
    Closed,
    /// This unit closed the link without waiting for queued messages.
    #[error("this unit aborted the link")]
    Aborted,
    /// The connection broke without an orderly close.
    #[error("the link was lost: {detail}; the peer died, restarted, or the path broke")]
    Lost {
        /// What the operating system or the transport said.
        detail: String,
    },
    /// The transport was given a configuration that cannot work.
    #[error("the transport cannot be used: {detail}")]
    Config {
        /// What is wrong with it.
        detail: String,
    },
}

impl LinkError {
    /// A short name of the cause, as used in metric labels.
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::Bind { .. } => "bind",
            Self::Connect { .. } => "connect",
            Self::ConnectTimeout { .. } => "connect_timeout",
            Self::HandshakeTimeout { .. } => "handshake_timeout",
            Self::TooManyHandshakes { .. } => "too_many_handshakes",
            Self::Tls { .. } => "tls",
            Self::RefusedByPeer { .. } => "refused_by_peer",
            Self::PeerNotPinned { .. } => "peer_not_pinned",
            Self::CertificateExpired { .. } => "certificate_expired",
            Self::CertificateNotYetValid { .. } => "certificate_not_yet_valid",
            Self::CertificateRefused { .. } => "certificate_refused",
            Self::WrongProtocol { .. } => "wrong_protocol",
            Self::NotALink { .. } => "not_a_link",
            Self::TooLarge { .. } => "too_large",
            Self::QueueFull { .. } => "queue_full",
            Self::PeerTooLarge { .. } => "peer_too_large",
            Self::UnknownLane { .. } => "unknown_lane",
            Self::BadFrame { .. } => "bad_frame",
            Self::Truncated => "truncated",
            Self::ReceiverStalled { .. } => "receiver_stalled",
            Self::ClosedByPeer => "closed_by_peer",
            Self::Closed => "closed",
            Self::Aborted => "aborted",
            Self::Lost { .. } => "lost",
            Self::Config { .. } => "config",
        }
    }

    /// True if the link was closed on purpose, by either side.
    pub const fn is_orderly(&self) -> bool {
        matches!(self, Self::ClosedByPeer | Self::Closed | Self::Aborted)
    }

    pub(crate) fn lost(detail: impl ToString) -> Self {
        Self::Lost {
            detail: detail.to_string(),
        }
    }
}

fn list(fingerprints: &[Fingerprint]) -> String {
    let texts: Vec<String> = fingerprints.iter().map(ToString::to_string).collect();
    if texts.is_empty() {
        "none".to_owned()
    } else {
        texts.join(", ")
    }
}
