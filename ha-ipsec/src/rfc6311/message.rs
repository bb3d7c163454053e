//! What the messages of a synchronization may contain.

use super::notify::{MessageIdSync, Notify, NotifyError, PAYLOAD_NOTIFY};
use super::{ReplayDelta, SyncSupport};

/// The content of a synchronization request: what goes into the encrypted payload of an
/// `INFORMATIONAL` request.
///
/// The three cases of RFC 6311 §5: message ids alone, replay counters alone, both.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SyncRequest {
    /// The message id of the header: 0 with `ids`, an ordinary one without.
    pub message_id: u32,
    /// `IKEV2_MESSAGE_ID_SYNC`.
    pub ids: Option<MessageIdSync>,
    /// `IPSEC_REPLAY_COUNTER_SYNC`.
    pub replay: Option<ReplayDelta>,
}

/// The content of a synchronization response.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SyncResponse {
    /// The message id of the header, that of the request.
    pub message_id: u32,
    /// `IKEV2_MESSAGE_ID_SYNC`; nothing if only replay counters were synchronized.
    pub ids: Option<MessageIdSync>,
}

impl SyncRequest {
    /// Appends the payloads in order, message ids first, and returns the type of the first one.
    pub fn encode(&self, out: &mut Vec<u8>) -> u8 {
        encode(self.ids, self.replay, out)
    }

    /// Reads the decrypted payloads of an `INFORMATIONAL` request; `first` is the type of the first
    /// one. `None` if it is no synchronization: an ordinary request, and an error elsewhere in its
    /// payloads is not looked for.
    ///
    /// # Errors
    /// If it is one and breaks the rules: drop it silently.
    pub fn parse(
        message_id: u32,
        first: u8,
        payloads: &[u8],
    ) -> Result<Option<Self>, SyncMessageError> {
        let found = Found::parse(first, payloads)?;
        if found.ids.is_none() && found.replay.is_none() {
            return Ok(None);
        }
        found.check(message_id)?;
        Ok(Some(Self {
            message_id,
            ids: found.ids,
            replay: found.replay,
        }))
    }

    /// Whether an agreement of both ends covers this request.
    pub(super) const fn is_covered_by(&self, support: SyncSupport) -> bool {
        (self.ids.is_none() || support.message_ids)
            && (self.replay.is_none() || support.replay_counters)
    }
}

impl SyncResponse {
    /// Appends the payloads and returns the type of the first one, 0 if there is none.
    pub fn encode(&self, out: &mut Vec<u8>) -> u8 {
        encode(self.ids, None, out)
    }

    /// Reads the decrypted payloads of an `INFORMATIONAL` response.
    ///
    /// # Errors
    /// If it breaks the rules: drop it silently.
    pub fn parse(message_id: u32, first: u8, payloads: &[u8]) -> Result<Self, SyncMessageError> {
        let found = Found::parse(first, payloads)?;
        // RFC 6311 §5.1: the notification of replay counters is for "the request" only.
        if found.replay.is_some() {
            return Err(SyncMessageError::ReplayInResponse);
        }
        found.check(message_id)?;
        Ok(Self {
            message_id,
            ids: found.ids,
        })
    }
}

/// What a walk over the payloads of a message finds.
#[derive(Default)]
struct Found {
    ids: Option<MessageIdSync>,
    replay: Option<ReplayDelta>,
    others: usize,
}

impl Found {
    fn parse(mut kind: u8, mut payloads: &[u8]) -> Result<Self, SyncMessageError> {
        let mut found = Self::default();
        while kind != 0 {
            let (payload, rest) = split(payloads)?;
            found.add(kind, payload)?;
            (kind, payloads) = (payload[0], rest);
        }
        match payloads.len() {
            0 => Ok(found),
            _ => Err(SyncMessageError::Payloads),
        }
    }

    fn add(&mut self, kind: u8, payload: &[u8]) -> Result<(), SyncMessageError> {
        if kind != PAYLOAD_NOTIFY {
            self.others += 1;
            return Ok(());
        }
        let repeated = match Notify::decode(payload) {
            Ok(Notify::MessageIdSync(ids)) => self.ids.replace(ids).is_some(),
            Ok(Notify::ReplayCounterSync(delta)) => self.replay.replace(delta).is_some(),
            Ok(_) | Err(NotifyError::Unrelated { .. }) => {
                self.others += 1;
                false
            }
            Err(error) => return Err(error.into()),
        };
        if repeated {
            return Err(SyncMessageError::Repeated);
        }
        Ok(())
    }

    /// RFC 6311 §5.1: "Both the request and the response MUST NOT contain any additional payloads,
    /// other than an optional IPSEC_REPLAY_COUNTER_SYNC notification in the request", and "The
    /// request and the response MUST both be sent with a Message ID value of zero."
    ///
    /// Replay counters alone travel in "a regular IKEv2 Informational exchange" (§5, case 2), which
    /// may carry anything.
    const fn check(&self, message_id: u32) -> Result<(), SyncMessageError> {
        if self.ids.is_none() {
            return Ok(());
        }
        if message_id != 0 {
            return Err(SyncMessageError::MessageId { message_id });
        }
        if self.others != 0 {
            return Err(SyncMessageError::Additional {
                payloads: self.others,
            });
        }
        Ok(())
    }
}

/// Splits off the first payload by the length in its generic header (RFC 7296 §3.2).
fn split(payloads: &[u8]) -> Result<(&[u8], &[u8]), SyncMessageError> {
    let &[_, _, high, low, ..] = payloads else {
        return Err(SyncMessageError::Payloads);
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    if len < 4 {
        return Err(SyncMessageError::Payloads);
    }
    payloads
        .split_at_checked(len)
        .ok_or(SyncMessageError::Payloads)
}

/// RFC 6311 §5.2: "the peer MUST process the Message ID notification first": so it comes first.
fn encode(ids: Option<MessageIdSync>, replay: Option<ReplayDelta>, out: &mut Vec<u8>) -> u8 {
    let after_ids = if replay.is_some() { PAYLOAD_NOTIFY } else { 0 };
    if let Some(ids) = ids {
        Notify::MessageIdSync(ids).encode(after_ids, out);
    }
    if let Some(delta) = replay {
        Notify::ReplayCounterSync(delta).encode(0, out);
    }
    if ids.is_some() {
        PAYLOAD_NOTIFY
    } else {
        after_ids
    }
}

/// Why a message is no proper synchronization. Drop it silently, and count it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncMessageError {
    /// The chain of payloads does not add up.
    #[error("the payloads do not fill the message; it is damaged or was decrypted with wrong keys")]
    Payloads,
    /// A notify is malformed.
    #[error(transparent)]
    Notify(#[from] NotifyError),
    /// A notify of RFC 6311 occurs twice.
    #[error("a notify of RFC 6311 occurs twice in one message; the peer is at fault")]
    Repeated,
    /// Message ids are synchronized with message id 0 only.
    #[error("a message-id synchronization came with message id {message_id}, must be 0")]
    MessageId {
        /// The id of its header.
        message_id: u32,
    },
    /// Other payloads beside the notifies.
    #[error("a message-id synchronization came with {payloads} more payloads, must be alone")]
    Additional {
        /// How many.
        payloads: usize,
    },
    /// Replay counters in a response.
    #[error("a response asks for replay counters to move; only a cluster's request may")]
    ReplayInResponse,
}
