//! What the errors of QUIC mean.

use quinn::{ConnectionError, ReadError, ReadExactError, TransportErrorCode, WriteError};
use rustls::AlertDescription;

use crate::error::LinkError;
use crate::tls::{self, Verdict};

/// The code by which a connection is closed once everything of an orderly close was read. Not 0:
/// that is what a connection is closed with that is just dropped.
pub(super) const CLOSED: u32 = 1;
/// The code by which a connection is closed without an orderly close.
pub(super) const ABORTED: u32 = 2;
/// The code by which a connection is closed because of what the peer did.
pub(super) const FAULT: u32 = 3;

/// Why a handshake failed.
pub(super) fn connection_error(error: &ConnectionError, verdict: &Verdict) -> LinkError {
    verdict.refusal().unwrap_or_else(|| ended(error))
}

/// Why a connection ended.
pub(super) fn ended(error: &ConnectionError) -> LinkError {
    match error {
        ConnectionError::ConnectionClosed(close) => match alert(close.error_code) {
            Some(alert) => tls::refused_by_peer(alert),
            None => LinkError::lost(error),
        },
        ConnectionError::TransportError(cause) => match alert(cause.code) {
            Some(AlertDescription::NoApplicationProtocol) => tls::wrong_protocol(None),
            Some(_) => LinkError::Tls {
                detail: cause.to_string(),
                hint: TLS_HINT,
            },
            None => LinkError::lost(error),
        },
        ConnectionError::ApplicationClosed(close) if close.error_code == CLOSED.into() => {
            LinkError::ClosedByPeer
        }
        _ => LinkError::lost(error),
    }
}

pub(super) fn read_error(error: &ReadError) -> LinkError {
    match error {
        ReadError::ConnectionLost(error) => ended(error),
        _ => LinkError::lost(error),
    }
}

pub(super) fn read_exact_error(error: &ReadExactError) -> LinkError {
    match error {
        ReadExactError::FinishedEarly(_) => LinkError::Truncated,
        ReadExactError::ReadError(error) => read_error(error),
    }
}

pub(super) fn write_error(error: &WriteError) -> LinkError {
    match error {
        WriteError::ConnectionLost(error) => ended(error),
        _ => LinkError::lost(error),
    }
}

// RFC 9001 §4.8: "The alert level of all TLS alerts is 'fatal'; [...] the error code is 0x0100
// plus the alert description."
fn alert(code: TransportErrorCode) -> Option<AlertDescription> {
    let code = u64::from(code).checked_sub(0x100)?;
    u8::try_from(code).ok().map(AlertDescription::from)
}

const TLS_HINT: &str = "one unit pins raw keys and the other uses certificates, or the other end is \
                        not a unit";
