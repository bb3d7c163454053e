//! IKEv2 message-id windows: what may be sent, what may be accepted, and what of it survives a
//! takeover.
//!
//! [`MessageIds`] is the replicated part of an IKE SA's exchanges: numbers, never bytes. Both
//! messages of an exchange and their retransmission belong to the IKE daemon.
//!
//! # Replicating it
//! The record is a few bytes (about 12) and meant to be written with each exchange. How well a
//! takeover goes depends on *when* the standby acknowledges it ([`Lag`]):
//! - **before each message leaves** ([`Lag::None`], recommended): write the record after
//!   [`begin_request`](MessageIds::begin_request) and after [`respond`](MessageIds::respond),
//!   together with what the exchange changed, and send only once the commit has resolved. Then no
//!   id that the peer has seen is unknown to the standby.
//! - **some time later** ([`Lag::Requests`]): cheaper, but then the standby cannot know which ids
//!   are used, and only RFC 6311 saves the IKE SA.
//!
//! IKEv1 picks message ids at random (RFC 2408 §3.1); it has no windows, and none of this applies.

mod codec;
mod window;

pub use codec::CodecError;
pub(crate) use codec::{Reader, put, put_optional};

use crate::rfc6311::SyncSupport;
use window::{Place, ReceiveWindow, SendWindow};

/// The largest window that is kept, in requests, whatever the peer promises.
pub const MAX_WINDOW: u8 = 64;

/// The highest message id in use. `u32::MAX` is left out so that "the next one" always fits the
/// 32-bit fields of RFC 6311.
pub const HIGHEST_ID: u32 = u32::MAX - 1;

/// The message ids of one IKEv2 SA, in both directions (RFC 7296 §2.2, §2.3).
///
/// `Default` is a new IKE SA: RFC 7296 §2.2: "The Message ID is reset to zero in the new IKE SA
/// after the IKE SA is rekeyed", and §2.3: "the new IKE SA starts with window size 1".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MessageIds {
    send: SendWindow,
    receive: ReceiveWindow,
    /// The last RFC 6311 request of the peer that was answered.
    last_sync: Option<AnsweredSync>,
}

/// What is kept of a synchronization request that was answered: enough to drop replays of it, and to
/// repeat the response if that was lost.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct AnsweredSync {
    /// M1 of the request.
    pub(crate) m1: u32,
    /// The nonce of the request.
    pub(crate) nonce: [u8; 4],
    /// P2 of the response.
    pub(crate) p2: u32,
    /// M2 of the response.
    pub(crate) m2: u32,
}

impl Default for MessageIds {
    fn default() -> Self {
        Self::new(0, 0)
    }
}

impl MessageIds {
    /// Ids of an SA whose next request of its own is `next_request`, and which expects
    /// `expected_request` of the peer, with windows of 1. After `IKE_AUTH` without EAP that is
    /// (2, 0) for the original initiator and (0, 2) for the original responder.
    pub const fn new(next_request: u32, expected_request: u32) -> Self {
        Self {
            send: SendWindow::new(next_request),
            receive: ReceiveWindow::new(expected_request),
            last_sync: None,
        }
    }

    /// Applies the peer's `SET_WINDOW_SIZE`: how many requests may be outstanding. At most
    /// [`MAX_WINDOW`] are used. A smaller size than before is ignored, RFC 7296 §2.3: "there is
    /// currently no way to reduce the window size of an existing IKE SA".
    pub fn grow_peer_window(&mut self, requests: u32) {
        self.send.size = self.send.size.max(clamp(requests));
    }

    /// Notes what this side promised with `SET_WINDOW_SIZE`, at most [`MAX_WINDOW`].
    pub fn grow_own_window(&mut self, requests: u32) {
        self.receive.size = self.receive.size.max(clamp(requests));
    }

    /// How many requests may be outstanding: the peer's window.
    pub const fn peer_window(&self) -> u8 {
        self.send.size
    }

    /// How many requests of the peer may be outstanding.
    pub const fn own_window(&self) -> u8 {
        self.receive.size
    }

    /// The id of the next request of our own (`EXPECTED_SEND_REQ_MESSAGE_ID`).
    pub const fn next_request(&self) -> u32 {
        self.send.next
    }

    /// One more than the highest id received from the peer (`EXPECTED_RECV_REQ_MESSAGE_ID`).
    pub const fn expected_request(&self) -> u32 {
        self.receive.top
    }

    /// The lowest request of our own that is not answered; [`next_request`](Self::next_request) if
    /// all are.
    pub const fn oldest_outstanding(&self) -> u32 {
        self.send.oldest
    }

    /// How many requests of our own are not answered.
    pub const fn outstanding(&self) -> u32 {
        self.send.outstanding()
    }

    /// Whether request `id` of our own waits for its response.
    pub fn is_outstanding(&self, id: u32) -> bool {
        self.send.is_outstanding(id)
    }

    /// Takes the id of a new request.
    ///
    /// # Errors
    /// If the peer's window is full, a synchronization is under way, or the ids are used up.
    pub fn begin_request(&mut self) -> Result<u32, SendError> {
        if self.send.synchronizing {
            return Err(SendError::Synchronizing);
        }
        if self.send.is_full() {
            return Err(SendError::WindowFull {
                oldest: self.send.oldest,
                window: self.send.size,
            });
        }
        let id = self.send.next;
        if id > HIGHEST_ID {
            return Err(SendError::Exhausted);
        }
        self.send.next += 1;
        Ok(id)
    }

    /// Sorts a response that came, already authenticated, and settles its request. Only the first
    /// response to a request is [`Response::Fresh`].
    pub fn handle_response(&mut self, id: u32) -> Response {
        if self.send.answer(id) {
            Response::Fresh
        } else {
            Response::Unexpected
        }
    }

    /// Sorts a request without changing anything.
    pub fn check_request(&self, id: u32) -> Request {
        match self.receive.place(id) {
            Place::Open => Request::New,
            Place::Received => Request::InProgress,
            Place::Answered => Request::Retransmission,
            Place::Settled => Request::Old,
            Place::Beyond => Request::Beyond,
        }
    }

    /// Sorts a request that came, already authenticated, and notes it if it is new.
    pub fn handle_request(&mut self, id: u32) -> Request {
        let request = self.check_request(id);
        if request == Request::New {
            self.receive.receive(id);
        }
        request
    }

    /// Notes that the response to request `id` is ready. Its bytes must be kept until the peer's
    /// window has moved past it: RFC 7296 §2.1: "The responder MUST remember each response until it
    /// receives a request whose sequence number is larger than or equal to the sequence number in
    /// the response plus its window size".
    ///
    /// `false` if no such request is in progress (for example because a synchronization gave it
    /// up): then do not send the response.
    pub fn respond(&mut self, id: u32) -> bool {
        self.receive.answer(id)
    }

    /// Whether the response to request `id` must still be kept for a retransmission.
    pub fn is_response_kept(&self, id: u32) -> bool {
        self.receive.place(id) == Place::Answered
    }

    /// Prepares what the former active replicated for use by this unit, and tells how to go on.
    ///
    /// A request of the peer that was received but not answered counts as never received if nothing
    /// can lag: its effects and its response were to be committed together, so there are none, and
    /// the peer's retransmission is processed afresh. If something can lag it is left unanswered,
    /// for it may have been.
    ///
    /// RFC 6027 §3.3: "Skipping message IDs is not allowed", so without RFC 6311 there is no id
    /// that is safe to use while it is unknown how far the former active went; and RFC 7296 §2.1:
    /// "A retransmission from the initiator MUST be bitwise identical to the original request", so
    /// a request whose bytes died with it can neither be sent again nor be passed over.
    pub fn take_over(&mut self, lag: Lag, support: SyncSupport) -> Takeover {
        if lag == Lag::None {
            self.receive.forget_unanswered();
        }
        match (lag, self.outstanding()) {
            (Lag::None | Lag::Requests(0), 0) if !self.is_synchronizing() => Takeover::Continue,
            _ if support.message_ids => Takeover::Synchronize,
            (lag, outstanding) => Takeover::Stalled { outstanding, lag },
        }
    }

    /// The value that M1 of a synchronization request must exceed to be processed; `None` if any
    /// will do.
    ///
    /// RFC 6311 §5.1: "the highest value it has seen from the cluster. This includes any previous
    /// received synchronization messages."
    pub fn highest_seen(&self) -> Option<u32> {
        self.receive.top.checked_sub(1).max(self.last_sync())
    }

    /// The M1 of the last synchronization request that was answered.
    pub fn last_sync(&self) -> Option<u32> {
        self.last_sync.map(|sync| sync.m1)
    }

    /// Whether the peer still has to agree to the ids. A unit that takes over from one that was
    /// synchronizing has to synchronize too: the peer would not accept the ids that were skipped.
    pub const fn is_synchronizing(&self) -> bool {
        self.send.synchronizing
    }

    /// Skips to ids that the peer has yet to agree to.
    pub(crate) fn begin_sync(&mut self, next_request: u32, expected_request: u32) {
        self.skip_to(next_request, expected_request);
        self.send.synchronizing = true;
    }

    /// Skips to ids that the peer has agreed to.
    pub(crate) fn finish_sync(&mut self, next_request: u32, expected_request: u32) {
        self.skip_to(next_request, expected_request);
        self.send.synchronizing = false;
    }

    /// Skips to the ids of a response to the peer. A synchronization of our own still needs its own
    /// response: the peer's request may have been held back since before what ours is about.
    pub(crate) fn answer_sync(&mut self, sync: AnsweredSync) {
        self.skip_to(sync.p2, sync.m2);
        self.last_sync = Some(sync);
    }

    /// The last synchronization answered, unless a request since then has shown that the peer has
    /// the response.
    pub(crate) fn unconfirmed_sync(&self) -> Option<AnsweredSync> {
        self.last_sync
            .filter(|sync| sync.m2 == self.expected_request())
    }

    /// Gives up every outstanding request and every gap: the next request of our own has at least
    /// the id `next_request`, and nothing below `expected_request` is accepted. Neither moves back.
    fn skip_to(&mut self, next_request: u32, expected_request: u32) {
        self.send.skip_to(next_request);
        self.receive.skip_to(expected_request);
    }

    /// Appends the record: about 12 bytes, at most [`ENCODED_LEN_BOUND`](Self::ENCODED_LEN_BOUND).
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.send.encode(out);
        self.receive.encode(out);
        put_optional(out, self.last_sync());
        if let Some(sync) = self.last_sync {
            out.extend_from_slice(&sync.nonce);
            put(out, sync.p2.into());
            put(out, sync.m2.into());
        }
    }

    /// An upper bound of the encoded length in bytes.
    pub const ENCODED_LEN_BOUND: usize = (5 + 1 + 10 + 1) + (5 + 1 + 10 + 10 + 1) + (5 + 4 + 5 + 5);

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// On anything else: each record has one encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let send = SendWindow::decode(&mut reader)?;
        let receive = ReceiveWindow::decode(&mut reader)?;
        let last_sync = AnsweredSync::decode(&mut reader)?;
        reader.finish()?;
        Ok(Self {
            send,
            receive,
            last_sync,
        })
    }
}

impl AnsweredSync {
    fn decode(reader: &mut Reader<'_>) -> Result<Option<Self>, CodecError> {
        const FIELD: &str = "last synchronization";
        let Some(m1) = reader.optional_u32(FIELD)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            m1,
            nonce: reader.bytes(FIELD)?,
            p2: reader.u32(FIELD)?,
            m2: reader.u32(FIELD)?,
        }))
    }
}

fn clamp(requests: u32) -> u8 {
    u8::try_from(requests).map_or(MAX_WINDOW, |size| size.clamp(1, MAX_WINDOW))
}

/// Why no request may be sent now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The peer's window is full.
    #[error("request {oldest} is not answered yet and the peer's window is {window}; wait for it")]
    WindowFull {
        /// The oldest request outstanding.
        oldest: u32,
        /// The peer's window.
        window: u8,
    },
    /// The peer has not agreed to the ids yet, perhaps since an earlier failover.
    #[error("message ids are being synchronized with the peer; wait for the end of it")]
    Synchronizing,
    /// RFC 7296 §2.2: "In the unlikely event that Message IDs grow too large to fit in 32 bits, the
    /// IKE SA MUST be closed or rekeyed."
    #[error("the message ids of this IKE SA are used up; rekey or close it")]
    Exhausted,
}

/// What a response is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Response {
    /// The first one to an outstanding request: process it.
    Fresh,
    /// To a request that is answered, given up or was never sent: drop it.
    Unexpected,
}

/// What a request of the peer is, and so what to do with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Request {
    /// Process it.
    New,
    /// Received, not answered yet: ignore it; the answer is on its way.
    InProgress,
    /// Answered: send the same response again. If its bytes are not at hand, as after a takeover,
    /// ignore it (RFC 7296 §2.1: "it MUST ignore the request (and not, for example, attempt
    /// constructing a new response)"); it is then a reason for a synchronization (RFC 6311 §7).
    Retransmission,
    /// Below the window: ignore it.
    Old,
    /// Above the window: ignore it. RFC 7296 §2.3 allows an `INVALID_MESSAGE_ID` notification in an
    /// exchange of its own, which "MUST be rate limited". After a takeover this is a reason for a
    /// synchronization (RFC 6311 §7).
    Beyond,
}

/// By how much the replicated ids may lag behind those that the former active used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Lag {
    /// By nothing: each change was acknowledged before the message left.
    #[default]
    None,
    /// By up to so many requests in either direction.
    Requests(u32),
}

impl Lag {
    /// The bound, in requests.
    pub const fn requests(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Requests(requests) => requests,
        }
    }
}

/// How an IKE SA goes on after a takeover. Its child SAs carry traffic in any case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Takeover {
    /// Nothing is outstanding and nothing unknown: carry on with the next id.
    Continue,
    /// Synchronize with the peer ([`rfc6311`](crate::rfc6311)) before the next request. If the ids
    /// may lag, accept no request before that either: the former active may have processed it.
    Synchronize,
    /// The peer does not support it and the next id is not safe to use. RFC 6311 §5, case 4: "the
    /// IKE and IPsec SAs may or may not survive the failover". Answer the peer if the lag is
    /// [`Lag::None`], send nothing, and set up a new IKE SA in time.
    Stalled {
        /// How many requests of the former active wait for a response.
        outstanding: u32,
        /// By how much the ids may lag.
        lag: Lag,
    },
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
