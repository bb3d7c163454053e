//! The four notify payloads of RFC 6311 §6.

use super::{ReplayDelta, SyncSupport};

/// The payload type of Notify (RFC 7296 §3.2).
pub const PAYLOAD_NOTIFY: u8 = 41;

const MESSAGE_ID_SYNC_SUPPORTED: u16 = 16420;
const REPLAY_COUNTER_SYNC_SUPPORTED: u16 = 16421;
const MESSAGE_ID_SYNC: u16 = 16422;
const REPLAY_COUNTER_SYNC: u16 = 16423;

/// Generic payload header, protocol id, SPI size and type.
const HEADER_LEN: usize = 8;

/// A notify payload of RFC 6311.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Notify {
    /// `IKEV2_MESSAGE_ID_SYNC_SUPPORTED` (16420), in `IKE_AUTH`.
    MessageIdSyncSupported,
    /// `IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED` (16421), in `IKE_AUTH`.
    ReplayCounterSyncSupported,
    /// `IKEV2_MESSAGE_ID_SYNC` (16422).
    MessageIdSync(MessageIdSync),
    /// `IPSEC_REPLAY_COUNTER_SYNC` (16423). RFC 6311 §6.4: "This notification is only sent by the
    /// cluster."
    ReplayCounterSync(ReplayDelta),
}

/// The data of `IKEV2_MESSAGE_ID_SYNC`, as its sender sees the IKE SA.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MessageIdSync {
    /// Random in a request, returned "unchanged" in the response.
    pub nonce: [u8; 4],
    /// `EXPECTED_SEND_REQ_MESSAGE_ID`: "the Message ID it will use in the next request that it will
    /// send" (M1 in a request, P2 in a response).
    pub next_request: u32,
    /// `EXPECTED_RECV_REQ_MESSAGE_ID`: "the Message ID it is expecting in the next request to be
    /// received" (P1 in a request, M2 in a response).
    pub expected_request: u32,
}

impl Notify {
    /// The notify message type.
    pub const fn kind(&self) -> u16 {
        match self {
            Self::MessageIdSyncSupported => MESSAGE_ID_SYNC_SUPPORTED,
            Self::ReplayCounterSyncSupported => REPLAY_COUNTER_SYNC_SUPPORTED,
            Self::MessageIdSync(_) => MESSAGE_ID_SYNC,
            Self::ReplayCounterSync(_) => REPLAY_COUNTER_SYNC,
        }
    }

    /// Whether a notify message type belongs to RFC 6311.
    pub const fn is_known(kind: u16) -> bool {
        matches!(kind, MESSAGE_ID_SYNC_SUPPORTED..=REPLAY_COUNTER_SYNC)
    }

    /// What to assert in `IKE_AUTH`.
    pub fn supported(support: SyncSupport) -> impl Iterator<Item = Self> {
        let message_ids = support.message_ids.then_some(Self::MessageIdSyncSupported);
        let replay_counters = support
            .replay_counters
            .then_some(Self::ReplayCounterSyncSupported);
        message_ids.into_iter().chain(replay_counters)
    }

    /// Appends the payload with its generic header; `next_payload` is the type of the one after it,
    /// 0 for the last.
    ///
    /// RFC 6311 §6: "The 'SPI Size' field MUST be set to 0 [...] The 'Protocol ID' MUST be set to
    /// 0"; the critical bit is 0 for all payload types of RFC 7296.
    pub fn encode(&self, next_payload: u8, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[next_payload, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&self.kind().to_be_bytes());
        match self {
            Self::MessageIdSyncSupported | Self::ReplayCounterSyncSupported => {}
            Self::MessageIdSync(sync) => {
                out.extend_from_slice(&sync.nonce);
                out.extend_from_slice(&sync.next_request.to_be_bytes());
                out.extend_from_slice(&sync.expected_request.to_be_bytes());
            }
            Self::ReplayCounterSync(ReplayDelta::Bits32(delta)) => {
                out.extend_from_slice(&delta.to_be_bytes());
            }
            Self::ReplayCounterSync(ReplayDelta::Esn(delta)) => {
                out.extend_from_slice(&delta.to_be_bytes());
            }
        }
        // At most 20.
        out[start + 3] = (out.len() - start) as u8;
    }

    /// Reads one payload with its generic header.
    ///
    /// # Errors
    /// [`NotifyError::Unrelated`] if it is a notify of another kind, others if it is damaged.
    pub fn decode(payload: &[u8]) -> Result<Self, NotifyError> {
        let got = payload.len();
        let Some((header, rest)) = payload.split_first_chunk::<HEADER_LEN>() else {
            return Err(NotifyError::PayloadLength { got });
        };
        // RFC 7296 §3.2: "MUST be ignored by the recipient if the recipient understands the payload
        // type code" (the critical bit); §3.10: with an empty SPI the protocol id "MUST be ignored
        // on receipt".
        let &[_next, _critical, high, low, _protocol, spi_size, ..] = header;
        if usize::from(u16::from_be_bytes([high, low])) != got {
            return Err(NotifyError::PayloadLength { got });
        }
        Self::from_parts(u16::from_be_bytes([header[6], header[7]]), spi_size, rest)
    }

    /// Makes one of what a parser of IKE messages found: the type, the SPI size, and what follows
    /// them.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn from_parts(kind: u16, spi_size: u8, data: &[u8]) -> Result<Self, NotifyError> {
        if !Self::is_known(kind) {
            return Err(NotifyError::Unrelated { kind });
        }
        if spi_size != 0 {
            return Err(NotifyError::SpiSize { kind, spi_size });
        }
        match kind {
            MESSAGE_ID_SYNC_SUPPORTED if data.is_empty() => Some(Self::MessageIdSyncSupported),
            REPLAY_COUNTER_SYNC_SUPPORTED if data.is_empty() => {
                Some(Self::ReplayCounterSyncSupported)
            }
            MESSAGE_ID_SYNC => MessageIdSync::decode(data).map(Self::MessageIdSync),
            REPLAY_COUNTER_SYNC => ReplayDelta::decode(data).map(Self::ReplayCounterSync),
            _ => None,
        }
        .ok_or(NotifyError::DataLength {
            kind,
            got: data.len(),
        })
    }
}

impl MessageIdSync {
    fn decode(data: &[u8]) -> Option<Self> {
        let (nonce, rest) = data.split_first_chunk::<4>()?;
        let (next_request, rest) = rest.split_first_chunk::<4>()?;
        Some(Self {
            nonce: *nonce,
            next_request: u32::from_be_bytes(*next_request),
            expected_request: u32::from_be_bytes(rest.try_into().ok()?),
        })
    }
}

impl SyncSupport {
    /// What the notifies of an `IKE_AUTH` message assert; those of other kinds are skipped.
    pub fn asserted(notifies: impl IntoIterator<Item = Notify>) -> Self {
        let mut support = Self::NONE;
        for notify in notifies {
            support.message_ids |= notify == Notify::MessageIdSyncSupported;
            support.replay_counters |= notify == Notify::ReplayCounterSyncSupported;
        }
        support
    }
}

/// Why a payload is not a notify of RFC 6311. Only [`Unrelated`](Self::Unrelated) is harmless.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotifyError {
    /// The payload is shorter than its header or not as long as it says.
    #[error("a notify payload of {got} bytes says that it has another length; drop the message")]
    PayloadLength {
        /// How many bytes there are.
        got: usize,
    },
    /// Another specification's.
    #[error("notify type {kind} is not one of RFC 6311")]
    Unrelated {
        /// Its type.
        kind: u16,
    },
    /// An SPI where there must be none.
    #[error("notify {kind} carries an SPI of {spi_size} bytes, RFC 6311 allows none; drop it")]
    SpiSize {
        /// Its type.
        kind: u16,
        /// The length of the SPI.
        spi_size: u8,
    },
    /// The data is not as long as the type demands.
    #[error("notify {kind} carries {got} bytes of data, RFC 6311 §6 gives another length; drop it")]
    DataLength {
        /// Its type.
        kind: u16,
        /// How many bytes there are.
        got: usize,
    },
}
