//! The peer's side of a synchronization.

use super::{ChildNumbers, MessageIdSync, ReplayDelta, SyncRequest, SyncResponse, SyncSupport};
use crate::message_id::{AnsweredSync, HIGHEST_ID, MessageIds, Request};

/// Answers the synchronization requests of a cluster. All it remembers is in the [`MessageIds`], so
/// that it survives a failover of this side too.
///
/// # A lost response
/// RFC 6311 §5.1 has a request dropped "if M1 is lower than or equal to the highest value it has
/// seen from the cluster. This includes any previous received synchronization messages." Taken
/// literally that drops the retransmission of a request whose response was lost, and with at most
/// one synchronization per failover the IKE SA is then lost too. This type deviates: a repetition of
/// the last request answered (the same M1, the same nonce) is answered with the *same* response, as
/// RFC 7296 §2.1 has it for any request, until a request with the new ids has shown that the response
/// arrived. Nothing changes by it: a replaying attacker obtains what was already on the wire, and
/// the cluster drops it by its nonce. (strongSwan answers any request with an equal M1.)
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct SyncResponder {
    late: LateSync,
}

/// What to do with a new request whose M1 is not above every id that was seen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum LateSync {
    /// Drop it: RFC 6311 §5.1: "The peer MUST silently drop any received synchronization message if
    /// M1 is lower than or equal to the highest value it has seen from the cluster."
    #[default]
    Drop,
    /// Answer it if M1 is above that of all earlier *synchronizations*, as the RFC's own examples
    /// A.2, A.3 and A.4 do (in A.2 a peer that has received id 4 answers M1 = 2). Deviates from §5.1
    /// in favour of clusters that lag by more than they add to M1. An attacker still cannot replay a
    /// request that was answered once; one that was held back can make requests under way be given
    /// up, once.
    Answer,
}

/// What to do with a synchronization request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Raise the replay counters of all child SAs that this side sends on, replicate the message
    /// ids, tell [`Synchronizer::answered_peer`](super::Synchronizer::answered_peer), then send the
    /// response. Give up the requests and responses that were under way: RFC 6311
    /// §9: "The peer should not wait for any pending responses".
    Respond {
        /// The response.
        response: SyncResponse,
        /// By how much to raise the counters: RFC 6311 §5.2: "it MUST increment the replay counters
        /// for all Child SAs associated with the current IKE SA by the amount requested".
        replay: Option<ReplayDelta>,
    },
    /// Send the response again; change nothing.
    Repeat(SyncResponse),
    /// Drop it silently.
    Drop(Ignored),
}

/// Why a request is dropped; for counters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Ignored {
    /// Support for it was not asserted by both ends.
    NotNegotiated,
    /// M1 was seen before: a replay, or a cluster that lags too far.
    Stale {
        /// M1 of the request.
        m1: u32,
        /// The value that it must exceed.
        highest_seen: u32,
    },
    /// The values leave no message ids.
    Exhausting,
    /// The delta has not the width of the child SAs' numbers.
    Width,
    /// Replay counters alone: the message id is not one that may be processed.
    Window(Request),
}

impl SyncResponder {
    /// A responder with a policy for requests that come late.
    pub const fn new(late: LateSync) -> Self {
        Self { late }
    }

    /// Takes an authenticated request, and moves `ids` if it is answered.
    ///
    /// RFC 6311 §5.2: "the peer MUST process the Message ID notification first (which might cause the
    /// entire message to be dropped as a replay)".
    ///
    /// With replay counters alone this is an ordinary exchange: the request is noted in `ids`, and
    /// the caller keeps the response as for any other.
    pub fn handle_request(
        self,
        request: &SyncRequest,
        support: SyncSupport,
        children: ChildNumbers,
        ids: &mut MessageIds,
    ) -> Answer {
        if !request.is_covered_by(support) {
            return Answer::Drop(Ignored::NotNegotiated);
        }
        let answer = match request.ids {
            Some(sync) => self.synchronize(request, sync, children, ids),
            None => raise_only(request, children, ids),
        };
        answer.unwrap_or_else(Answer::Drop)
    }

    fn synchronize(
        self,
        request: &SyncRequest,
        sync: MessageIdSync,
        children: ChildNumbers,
        ids: &mut MessageIds,
    ) -> Result<Answer, Ignored> {
        let (m1, nonce) = (sync.next_request, sync.nonce);
        let repeated = |it: &AnsweredSync| (it.m1, it.nonce) == (m1, nonce);
        if let Some(answered) = ids.unconfirmed_sync().filter(repeated) {
            return Ok(Answer::Repeat(respond(answered)));
        }
        self.check_fresh(m1, ids)?;
        check_width(request.replay, children)?;
        let (p2, m2) = settle(sync, ids);
        if p2 > HIGHEST_ID || m2 > HIGHEST_ID {
            return Err(Ignored::Exhausting);
        }
        let answered = AnsweredSync { m1, nonce, p2, m2 };
        ids.answer_sync(answered);
        Ok(Answer::Respond {
            response: respond(answered),
            replay: request.replay,
        })
    }

    fn check_fresh(self, m1: u32, ids: &MessageIds) -> Result<(), Ignored> {
        let seen = match self.late {
            LateSync::Drop => ids.highest_seen(),
            LateSync::Answer => ids.last_sync(),
        };
        match seen {
            Some(highest_seen) if m1 <= highest_seen => Err(Ignored::Stale { m1, highest_seen }),
            _ => Ok(()),
        }
    }
}

/// The values of the response, P2 and M2.
///
/// RFC 6311 §5.1: "M2 MUST be at least the higher of the received M1, and one more than the highest
/// sender value received from the cluster"; "P2 MUST be the higher of the received P1 value, and one
/// more than the highest sender value used by the peer."
pub(super) fn settle(request: MessageIdSync, ids: &MessageIds) -> (u32, u32) {
    let (m1, p1) = (request.next_request, request.expected_request);
    (p1.max(ids.next_request()), m1.max(ids.expected_request()))
}

fn raise_only(
    request: &SyncRequest,
    children: ChildNumbers,
    ids: &mut MessageIds,
) -> Result<Answer, Ignored> {
    match ids.check_request(request.message_id) {
        Request::New => {}
        other => return Err(Ignored::Window(other)),
    }
    check_width(request.replay, children)?;
    ids.handle_request(request.message_id);
    Ok(Answer::Respond {
        response: SyncResponse {
            message_id: request.message_id,
            ids: None,
        },
        replay: request.replay,
    })
}

fn check_width(replay: Option<ReplayDelta>, children: ChildNumbers) -> Result<(), Ignored> {
    match replay {
        Some(delta) if !children.fits(delta) => Err(Ignored::Width),
        _ => Ok(()),
    }
}

const fn respond(answered: AnsweredSync) -> SyncResponse {
    SyncResponse {
        message_id: 0,
        ids: Some(MessageIdSync {
            nonce: answered.nonce,
            next_request: answered.p2,
            expected_request: answered.m2,
        }),
    }
}
