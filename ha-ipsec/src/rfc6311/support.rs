//! What both ends have said they support.

/// Which synchronizations both ends of an IKE SA support.
///
/// RFC 6311 §5: "The peer's capabilities with regard to this extension are part of the IKEv2 SA
/// state, and thus MUST be shared between the cluster members."
///
/// ```
/// use ha_ipsec::rfc6311::SyncSupport;
///
/// // This gateway is the responder. The peer asserted message ids only in its IKE_AUTH request.
/// let offered = SyncSupport { message_ids: true, replay_counters: false };
/// let answer = SyncSupport::ALL.agree(offered);
/// assert_eq!(answer, offered); // what to assert in the response, and what to replicate
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct SyncSupport {
    /// `IKEV2_MESSAGE_ID_SYNC_SUPPORTED` (16420) went both ways.
    pub message_ids: bool,
    /// `IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED` (16421) went both ways.
    pub replay_counters: bool,
}

impl SyncSupport {
    /// Neither: a peer without RFC 6311.
    pub const NONE: Self = Self {
        message_ids: false,
        replay_counters: false,
    };

    /// Both.
    pub const ALL: Self = Self {
        message_ids: true,
        replay_counters: true,
    };

    /// What both ends assert.
    ///
    /// As the responder, with what the initiator asserted, before answering: "the responder MUST
    /// NOT assert support of a capability unless such support was asserted by the initiator". As
    /// the initiator, with what the responder answered: "Only a capability whose support was
    /// asserted by both parties can be used during the lifetime of the SA" (RFC 6311 §5), so what a
    /// responder asserts unasked is ignored.
    #[must_use]
    pub const fn agree(self, other: Self) -> Self {
        Self {
            message_ids: self.message_ids && other.message_ids,
            replay_counters: self.replay_counters && other.replay_counters,
        }
    }

    /// As bits, for a record: 1 message ids, 2 replay counters.
    pub const fn bits(self) -> u8 {
        self.message_ids as u8 | (self.replay_counters as u8) << 1
    }

    /// From [`bits`](Self::bits). Bits of a newer release are left out: what is not known here
    /// cannot be used here.
    pub const fn from_bits(bits: u8) -> Self {
        Self {
            message_ids: bits & 1 != 0,
            replay_counters: bits & 2 != 0,
        }
    }
}
