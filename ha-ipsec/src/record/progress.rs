//! The record of what moves with each exchange of an IKE SA.

use super::Unknown;
use crate::dpd::DpdState;
use crate::message_id::MessageIds;

/// What changes with each exchange of an IKE SA: small, because it is sent often.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct IkeProgress {
    /// The message-id windows (RFC 7296 §2.2, §2.3); unused by IKEv1.
    pub message_ids: MessageIds,
    /// How far dead peer detection is.
    pub dpd: DpdState,
    /// Bytes received on the IKE SA.
    pub bytes_in: u64,
    /// Bytes sent on the IKE SA.
    pub bytes_out: u64,
    /// Packets received on the IKE SA.
    pub packets_in: u64,
    /// Packets sent on the IKE SA.
    pub packets_out: u64,
    /// Fields of a newer release.
    pub unknown: Unknown,
}

impl IkeProgress {
    /// Nothing was exchanged beyond what these say.
    pub fn new(message_ids: MessageIds, dpd: DpdState) -> Self {
        Self {
            message_ids,
            dpd,
            ..Self::default()
        }
    }
}
