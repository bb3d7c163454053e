//! What a failed handshake means.

#[cfg(any(feature = "tcp", feature = "sctp"))]
use std::io;

use rustls::AlertDescription;
#[cfg(any(feature = "tcp", feature = "sctp"))]
use rustls::{Error, PeerIncompatible};

use super::ALPN;
#[cfg(any(feature = "tcp", feature = "sctp"))]
use super::Verdict;
use crate::error::LinkError;

#[cfg(any(feature = "tcp", feature = "sctp"))]
/// The reason for a failed handshake, with its likely cause.
fn handshake_error(error: &Error, verdict: &Verdict) -> LinkError {
    if let Some(refusal) = verdict.refusal() {
        return refusal;
    }
    match error {
        Error::AlertReceived(alert) => refused_by_peer(*alert),
        Error::NoApplicationProtocol => wrong_protocol(None),
        _ => LinkError::Tls {
            detail: error.to_string(),
            hint: hint(error),
        },
    }
}

/// The other end agreed on `offered`, or nothing, instead of our protocol.
pub(crate) fn wrong_protocol(offered: Option<&[u8]>) -> LinkError {
    let offered = offered.map_or_else(
        || "none of ours".to_owned(),
        |name| format!("`{}`", String::from_utf8_lossy(name).escape_debug()),
    );
    LinkError::WrongProtocol {
        expected: ALPN,
        offered,
    }
}

/// The reason behind a failed read or write of a TLS stream.
#[cfg(any(feature = "tcp", feature = "sctp"))]
pub(crate) fn lost(error: &io::Error) -> LinkError {
    if let Some(reason) = tls_error(error).and_then(alert) {
        return reason;
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ended(false),
        _ => LinkError::lost(error),
    }
}

/// The reason for a failed handshake over a stream.
#[cfg(any(feature = "tcp", feature = "sctp"))]
pub(crate) fn failed_handshake(error: &io::Error, verdict: &Verdict) -> LinkError {
    match tls_error(error) {
        Some(error) => handshake_error(error, verdict),
        None => LinkError::lost(format_args!("{error} during the handshake")),
    }
}

/// The stream ended without the frame that announces it.
#[cfg(any(feature = "tcp", feature = "sctp"))]
pub(crate) fn ended(inside_message: bool) -> LinkError {
    if inside_message {
        return LinkError::Truncated;
    }
    LinkError::lost("the connection was closed without the close frame")
}

/// The TLS error within an I/O error.
#[cfg(any(feature = "tcp", feature = "sctp"))]
fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

#[cfg(any(feature = "tcp", feature = "sctp"))]
/// The reason if `error` is an alert of the peer.
fn alert(error: &Error) -> Option<LinkError> {
    match error {
        Error::AlertReceived(alert) => Some(refused_by_peer(*alert)),
        _ => None,
    }
}

/// What the alert by which the peer ended the handshake means.
pub(crate) fn refused_by_peer(alert: AlertDescription) -> LinkError {
    use AlertDescription as A;
    let hint = match alert {
        A::NoApplicationProtocol => return wrong_protocol(None),
        A::AccessDenied => {
            "this unit's key is not pinned there: pin what `ha-identity show` prints here"
        }
        A::CertificateExpired => {
            "this unit's certificate is not valid by the peer's clock: issue a new one, and compare \
             the clocks of both units"
        }
        A::UnknownCA => "this unit's certificate is not from the authority that the peer trusts",
        A::BadCertificate => {
            "the peer expects another name, or cannot read this unit's certificate; its log says \
             which"
        }
        A::HandshakeFailure => {
            "most likely one unit pins raw keys and the other uses certificates: configure both \
             alike"
        }
        A::UnsupportedCertificate => {
            "most likely one unit pins raw keys and the other uses certificates, or this unit's \
             certificate is not valid for TLS clients and servers"
        }
        A::CertificateRequired => "the peer wants a certificate or key from this unit",
        A::ProtocolVersion => "the other end does not speak TLS 1.3",
        _ => "the peer's log says why",
    };
    let alert = alert
        .as_str()
        .map_or_else(|| format!("{alert:?}"), str::to_owned);
    LinkError::RefusedByPeer { alert, hint }
}

#[cfg(any(feature = "tcp", feature = "sctp"))]
fn hint(error: &Error) -> &'static str {
    match error {
        Error::InvalidMessage(_) => {
            "the bytes are not TLS: a port scanner, another service, or a peer without encryption"
        }
        Error::NoCertificatesPresented => "the other end showed no key: it is not a unit",
        Error::PeerIncompatible(
            PeerIncompatible::IncorrectCertificateTypeExtension
            | PeerIncompatible::UnsolicitedCertificateTypeExtension,
        ) => "one unit pins raw keys and the other uses certificates: configure both alike",
        Error::PeerIncompatible(_) => "the other end does not speak TLS 1.3 as a unit does",
        Error::InvalidCertificate(_) => "the other end did not prove that it holds its key",
        Error::DecryptError => "the bytes were changed on the way",
        _ => "the other end is faulty, or someone interferes with the connection",
    }
}
