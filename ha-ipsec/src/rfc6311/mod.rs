//! RFC 6311: IKEv2 message-id and IPsec replay-counter synchronization after a failover.
//!
//! - [`SyncSupport`]: what both ends asserted in `IKE_AUTH`; replicated with the IKE SA.
//! - [`Notify`]: the four notify payloads.
//! - [`SyncRequest`], [`SyncResponse`]: what an exchange may contain.
//! - [`Synchronizer`]: the cluster's side, one exchange per IKE SA and failover.
//! - [`SyncResponder`]: the peer's side, for a gateway whose peers are clusters.
//! - [`replay_delta`]: how far the peer's counters have to move to pass a closed inbound window.
//!
//! # A takeover, for each IKE SA
//! 1. [`MessageIds::take_over`](crate::message_id::MessageIds::take_over) says whether the exchange
//!    is needed. It need not run at once: RFC 6311 §7: "the standby member can choose to initiate
//!    the exchange in a "lazy" fashion: only when it has to send or expects to receive traffic from
//!    each peer". [`SpreadKey`](crate::lifetime::SpreadKey) gives each SA its own moment.
//! 2. [`Synchronizer::begin`] moves the message ids beyond all that may have been used. Replicate
//!    them, and only when that is acknowledged
//! 3. send what [`Synchronizer::poll_transmit`] yields, in an `INFORMATIONAL` request protected with
//!    the keys of the IKE SA.
//! 4. [`Synchronizer::handle_response`] adopts the peer's values, or has the IKE SA torn down.
//!    Replicate them again.
//!
//! Messages that reach this module must have passed the integrity check of the IKE SA (RFC 6311 §9:
//! "The peer first authenticates the message").
//!
//! The other half of RFC 6311 §5.2, "the newly active member MUST increment its own replay counter",
//! is met by [`sequence`](crate::sequence): a taker begins above all that was ever reserved.
//!
//! # Where this deviates
//! - An exact repetition of the last request is answered with the same response, although its M1 was
//!   seen ([`SyncResponder`] says why that is safe, and why without it a lost response is fatal).
//! - The examples A.2, A.3 and A.4 of the RFC contradict its §5.1; see [`LateSync`].

mod delta;
mod message;
mod notify;
mod responder;
mod support;
mod synchronizer;

pub use delta::{ChildNumbers, DeltaError, InboundCounters, ReplayDelta, replay_delta};
pub use message::{SyncMessageError, SyncRequest, SyncResponse};
pub use notify::{MessageIdSync, Notify, NotifyError, PAYLOAD_NOTIFY};
pub use responder::{Answer, Ignored, LateSync, SyncResponder};
pub use support::SyncSupport;
pub use synchronizer::{
    BeginError, Discarded, PendingRequests, Schedule, SyncOutcome, SyncPlan, Synchronizer, TearDown,
};

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
