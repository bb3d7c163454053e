//! The cluster's side of a synchronization.

use core::time::Duration;

use ha_core::time::Time;

use super::{MessageIdSync, ReplayDelta, SyncRequest, SyncResponse, SyncSupport};
use crate::message_id::{HIGHEST_ID, Lag, MessageIds, Response, SendError};

/// Synchronizes one IKE SA with its peer, at most once per failover.
///
/// ```text
///            begin                    handle_response: consistent
///   idle ────────────▶ pending ─────────────────────────────────────▶ idle, Synchronized
///    ▲                   │  │ handle_timeout: retransmit
///    │                   │  └──▶ pending
///    │                   ├─ handle_response: inconsistent ──▶ idle, TearDown
///    │                   └─ handle_timeout: the last ───────▶ idle, TearDown(Unanswered)
/// ```
///
/// Drive it like any other state machine of this project: after each `handle_*` drain
/// [`poll_transmit`](Self::poll_transmit), then wait until [`poll_timeout`](Self::poll_timeout).
#[derive(Clone, Debug)]
pub struct Synchronizer {
    schedule: Schedule,
    pending_requests: PendingRequests,
    last_failover: Option<u64>,
    pending: Option<Pending>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    request: SyncRequest,
    lag: Lag,
    transmissions: u8,
    transmit: bool,
    deadline: Time,
}

/// When a request is sent again.
///
/// RFC 7296 §2.4: "retransmission times MUST increase exponentially"; "It is suggested that messages
/// be retransmitted at least a dozen times over a period of at least several minutes before giving
/// up on an SA".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Schedule {
    /// The wait after the first transmission; each one after it is twice as long.
    pub first: Duration,
    /// How often to send in all, 1 to 32, before the IKE SA counts as failed.
    pub transmissions: u8,
}

impl Default for Schedule {
    /// 13 transmissions from 50 ms on: given up after 6.8 minutes.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(50),
            transmissions: 13,
        }
    }
}

impl Schedule {
    fn wait(&self, transmissions: u8) -> Duration {
        let doublings = u32::from(transmissions.saturating_sub(1)).min(31);
        self.first.saturating_mul(1 << doublings)
    }
}

/// Whether requests of the peer are processed while a synchronization is under way.
///
/// RFC 6311 §8.1: "After sending its "receive" counter, the cluster member MUST reject (silently
/// drop) any incoming IKE messages that are outside its declared window. [...] strict
/// implementations will reject any incoming IKE message arriving before Message ID synchronization
/// is complete."
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum PendingRequests {
    /// None: the peer sends them again.
    #[default]
    Drop,
    /// Those within the declared window. Only if nothing lags: otherwise the former active may have
    /// processed them, and they are dropped all the same.
    Window,
}

/// What to synchronize.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SyncPlan {
    /// Names the failover: a number that grows with each, such as the term of the activation.
    pub failover: u64,
    /// What both ends support.
    pub support: SyncSupport,
    /// Whether to synchronize message ids.
    pub message_ids: bool,
    /// By how much the peer should move its replay counters, from
    /// [`replay_delta`](super::replay_delta()).
    pub replay: Option<ReplayDelta>,
    /// By how much the replicated ids may lag.
    pub lag: Lag,
    /// Fresh random bytes.
    pub nonce: [u8; 4],
}

/// How a synchronization ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncOutcome {
    /// Replicate the message ids, and carry on.
    Synchronized {
        /// Whether the peer has confirmed that it moved its replay counters.
        replay: bool,
    },
    /// Delete the IKE SA and its child SAs, and set up new ones. RFC 6311 §8.3: "the "default"
    /// behavior of tearing down the entire IKE SA is to be preferred over the complexity of dealing
    /// with a multitude of edge cases".
    TearDown(TearDown),
}

/// Why an IKE SA must be torn down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TearDown {
    /// The peer answered with values below those it was sent, which §5.1 forbids.
    #[error(
        "the peer answered (send {next_request}, receive {expected_request}) to {request:?}: values \
         must not fall; tear the IKE SA down"
    )]
    Inconsistent {
        /// What was sent.
        request: MessageIdSync,
        /// P2 of the response.
        next_request: u32,
        /// M2 of the response.
        expected_request: u32,
    },
    /// The values agreed leave no message ids.
    #[error("the message ids of the IKE SA are used up; tear it down")]
    Exhausted,
    /// No answer to any transmission: the peer is gone, or it has seen higher message ids than this
    /// unit believed possible and drops the request (RFC 6311 §5.1).
    #[error(
        "no answer to {transmissions} synchronization requests: the peer is gone, or the message \
         ids lag further than configured; tear the IKE SA down"
    )]
    Unanswered {
        /// How often the request was sent.
        transmissions: u8,
    },
}

/// Why no synchronization was begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeginError {
    /// RFC 6311 §7: "the peer MUST NOT initiate counter synchronization for any particular IKE SA
    /// more than once per failover event". (The RFC says "peer" for whoever initiates here.)
    #[error(
        "this IKE SA was synchronized in failover {last} already; once per failover is allowed"
    )]
    Repeated {
        /// The failover it was synchronized in.
        last: u64,
    },
    /// The peer does not support what was planned. RFC 6311 §5, case 4: "the IKE and IPsec SAs may or
    /// may not survive the failover".
    #[error("the peer supports only {support:?} of RFC 6311; leave the rest out of the plan")]
    Unsupported {
        /// What was agreed.
        support: SyncSupport,
    },
    /// The plan is empty.
    #[error("neither message ids nor replay counters are to be synchronized; nothing to do")]
    Nothing,
    /// There is no message id left above all that may have been used.
    #[error("no message id is left above those that may be in use; rekey or close the IKE SA")]
    Exhausted,
    /// Replay counters alone need an ordinary request, which cannot be sent now.
    #[error("replay counters travel in an ordinary request: {0}")]
    Send(#[from] SendError),
}

/// Why a response was dropped; for counters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Discarded {
    /// None is awaited. RFC 6311 §11: "After it receives a valid response, it MUST NOT process the
    /// same response again and MUST discard any additional responses."
    NotAwaited,
    /// RFC 6311 §5.1: "A response MUST be silently dropped if the received nonce does not match the
    /// one that was sent."
    Nonce,
    /// It answers another kind of request.
    Kind,
}

impl Synchronizer {
    /// One that was not used yet.
    pub const fn new(schedule: Schedule, pending_requests: PendingRequests) -> Self {
        Self {
            schedule,
            pending_requests,
            last_failover: None,
            pending: None,
        }
    }

    /// Begins, and moves `ids` beyond all that may have been used.
    ///
    /// Replicate `ids` before the first transmission leaves: RFC 6311 §5.1: "The member SHOULD
    /// communicate the sent values to the other cluster members, so that if a second failover event
    /// takes place, the synchronization message is not replayed. Such a replay would result in the
    /// eventual deletion of the IKE SA". The next failover's M1 is then above this one's.
    ///
    /// A newer failover replaces a synchronization that is still under way (§2, "Multiple failover":
    /// "to handle the new failover event even if it is still processing the old failover").
    ///
    /// # Errors
    /// If it was done in this failover, is not supported, or no ids are left. Nothing has changed
    /// then.
    pub fn begin(
        &mut self,
        plan: SyncPlan,
        ids: &mut MessageIds,
        now: Time,
    ) -> Result<(), BeginError> {
        self.check(plan)?;
        let request = if plan.message_ids {
            Self::combined(plan, ids)?
        } else {
            SyncRequest {
                message_id: ids.begin_request()?,
                ids: None,
                replay: plan.replay,
            }
        };
        self.last_failover = Some(plan.failover);
        self.pending = Some(Pending {
            request,
            lag: plan.lag,
            transmissions: 1,
            transmit: true,
            deadline: now + self.schedule.wait(1),
        });
        Ok(())
    }

    fn check(&self, plan: SyncPlan) -> Result<(), BeginError> {
        if let Some(last) = self.last_failover.filter(|last| plan.failover <= *last) {
            return Err(BeginError::Repeated { last });
        }
        let support = plan.support;
        if plan.message_ids && !support.message_ids
            || plan.replay.is_some() && !support.replay_counters
        {
            return Err(BeginError::Unsupported { support });
        }
        if !plan.message_ids && plan.replay.is_none() {
            return Err(BeginError::Nothing);
        }
        Ok(())
    }

    /// RFC 6311 §5, cases 1 and 3: "an Informational exchange, with Message ID zero".
    fn combined(plan: SyncPlan, ids: &mut MessageIds) -> Result<SyncRequest, BeginError> {
        // §5.1: "M1 MUST be chosen so that it is larger than any value known to have been used. It is
        // RECOMMENDED to increment the known value at least by the size of the IKE sender window."
        let m1 = ids
            .next_request()
            .checked_add(u32::from(ids.peer_window()))
            .and_then(|m1| m1.checked_add(plan.lag.requests()))
            .filter(|m1| *m1 <= HIGHEST_ID)
            .ok_or(BeginError::Exhausted)?;
        // §5.1: "P1 SHOULD be 1 more than the last Message ID value received from the peer". The peer
        // answers with the higher of this and its own.
        let p1 = ids.expected_request();
        ids.begin_sync(m1, p1);
        Ok(SyncRequest {
            message_id: 0,
            ids: Some(MessageIdSync {
                nonce: plan.nonce,
                next_request: m1,
                expected_request: p1,
            }),
            replay: plan.replay,
        })
    }

    /// The request to send now, if one is due. A retransmission is equal to the first one; as RFC
    /// 7296 §2.1 wants it "bitwise identical", send the bytes that were protected the first time.
    pub fn poll_transmit(&mut self) -> Option<SyncRequest> {
        let pending = self.pending.as_mut()?;
        core::mem::take(&mut pending.transmit).then_some(pending.request)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Time> {
        self.pending.map(|pending| pending.deadline)
    }

    /// Sends again, or gives up. Before its time it does nothing.
    pub fn handle_timeout(&mut self, now: Time) -> Option<SyncOutcome> {
        let pending = self.pending.as_mut().filter(|it| now >= it.deadline)?;
        if pending.transmissions < self.schedule.transmissions {
            pending.transmissions += 1;
            pending.transmit = true;
            pending.deadline = now + self.schedule.wait(pending.transmissions);
            return None;
        }
        let transmissions = pending.transmissions;
        self.pending = None;
        Some(SyncOutcome::TearDown(TearDown::Unanswered {
            transmissions,
        }))
    }

    /// Takes an authenticated response, and adopts its values.
    ///
    /// # Errors
    /// If it must be dropped silently; nothing has changed then.
    pub fn handle_response(
        &mut self,
        response: &SyncResponse,
        ids: &mut MessageIds,
    ) -> Result<SyncOutcome, Discarded> {
        let pending = self.pending.as_ref().ok_or(Discarded::NotAwaited)?;
        let request = pending.request;
        let adopted = match (request.ids, response.ids) {
            (Some(sent), Some(got)) => {
                if got.nonce != sent.nonce {
                    return Err(Discarded::Nonce);
                }
                adopt(sent, got, ids)
            }
            (None, None) if response.message_id == request.message_id => {
                match ids.handle_response(response.message_id) {
                    Response::Fresh => Ok(()),
                    Response::Unexpected => return Err(Discarded::NotAwaited),
                }
            }
            _ => return Err(Discarded::Kind),
        };
        self.pending = None;
        Ok(match adopted {
            Ok(()) => SyncOutcome::Synchronized {
                replay: request.replay.is_some(),
            },
            Err(reason) => SyncOutcome::TearDown(reason),
        })
    }

    /// Simultaneous failover (RFC 6311 §2, A.4): a request of the peer was answered, which has moved
    /// `ids`; call it whenever [`SyncResponder`](super::SyncResponder) says to respond.
    ///
    /// Our own synchronization goes on: the peer's request may have been held back since an earlier
    /// failover of its own, so it proves nothing about what the peer knows now. But if the peer's P1
    /// lay above our M1, our request now names ids that the peer has been told not to expect; it
    /// would drop it. Then it is sent on with the values of the answer, still as the one
    /// synchronization of this failover.
    ///
    /// An ordinary request for replay counters was given up with all that was under way.
    pub fn answered_peer(&mut self, ids: &MessageIds, now: Time) {
        let Some(pending) = &mut self.pending else {
            return;
        };
        let Some(sent) = &mut pending.request.ids else {
            self.pending = None;
            return;
        };
        if ids.next_request() > sent.next_request {
            sent.next_request = ids.next_request();
            sent.expected_request = ids.expected_request();
            pending.transmissions = 1;
            pending.transmit = true;
            pending.deadline = now + self.schedule.wait(1);
        }
    }

    /// Whether message ids are being synchronized.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some_and(|it| it.request.ids.is_some())
    }

    /// Whether requests of the peer other than synchronizations may be handed to
    /// [`MessageIds::handle_request`], which applies the declared window.
    pub fn accepts_requests(&self) -> bool {
        !self.is_pending()
            || self.pending_requests == PendingRequests::Window
                && self.pending.is_some_and(|it| it.lag.requests() == 0)
    }

    /// The failover that the last synchronization belongs to.
    pub const fn last_failover(&self) -> Option<u64> {
        self.last_failover
    }
}

impl Default for Synchronizer {
    fn default() -> Self {
        Self::new(Schedule::default(), PendingRequests::default())
    }
}

/// RFC 6311 §5.1: M2 is "at least the higher of the received M1" and what the peer saw, P2 "the
/// higher of the received P1 value" and what the peer used: neither can be lower.
fn adopt(sent: MessageIdSync, got: MessageIdSync, ids: &mut MessageIds) -> Result<(), TearDown> {
    let (p2, m2) = (got.next_request, got.expected_request);
    if m2 < sent.next_request || p2 < sent.expected_request {
        return Err(TearDown::Inconsistent {
            request: sent,
            next_request: p2,
            expected_request: m2,
        });
    }
    if m2 > HIGHEST_ID || p2 > HIGHEST_ID {
        return Err(TearDown::Exhausted);
    }
    ids.finish_sync(m2, p2);
    Ok(())
}
