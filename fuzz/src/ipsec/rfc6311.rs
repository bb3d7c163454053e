//! Any bytes as payloads of RFC 6311, and any authenticated messages to both sides of a
//! synchronization. What decodes encodes to something that decodes alike. Message ids never go back,
//! whoever lies; one failover has at most one synchronization, which ends once and is not sent
//! more often than allowed; a response is taken only with the nonce of its request; a repetition
//! changes nothing; and whatever happens the record of the ids can be replicated.

use core::time::Duration;

use ha_core::time::Time;
use ha_ipsec::message_id::{Lag, MessageIds};
use ha_ipsec::rfc6311::{
    Answer, ChildNumbers, LateSync, MessageIdSync, Notify, NotifyError, PendingRequests,
    ReplayDelta, Schedule, SyncOutcome, SyncPlan, SyncRequest, SyncResponder, SyncResponse,
    SyncSupport, Synchronizer,
};

use super::input::{Input, block};

/// Inputs are cut here.
const STEPS: usize = 300;

/// One input: settings, then operations.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut gateway = Gateway::new(&mut input);
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        gateway.step(&mut input);
    }
}

/// An IKE SA on a gateway that fails over, and whose peer does as well.
struct Gateway {
    now: Time,
    ids: MessageIds,
    synchronizer: Synchronizer,
    schedule: Schedule,
    responder: SyncResponder,
    support: SyncSupport,
    children: ChildNumbers,
    failover: u64,
    /// What is under way, and how often it was sent as it is.
    sent: Option<SyncRequest>,
    transmissions: u8,
}

impl Gateway {
    fn new(input: &mut Input<'_>) -> Self {
        let schedule = Schedule {
            first: Duration::from_millis(50),
            transmissions: 1 + input.byte() % 4,
        };
        let settings = input.byte();
        let pending = if settings & 1 == 0 {
            PendingRequests::Drop
        } else {
            PendingRequests::Window
        };
        let late = if settings & 2 == 0 {
            LateSync::Drop
        } else {
            LateSync::Answer
        };
        let mut ids = MessageIds::new(number(input), number(input));
        ids.grow_own_window(input.byte().into());
        ids.grow_peer_window(input.byte().into());
        Self {
            now: Time::ZERO,
            ids,
            synchronizer: Synchronizer::new(schedule, pending),
            schedule,
            responder: SyncResponder::new(late),
            support: SyncSupport::from_bits(settings >> 2),
            children: [
                ChildNumbers::None,
                ChildNumbers::Bits32,
                ChildNumbers::Esn,
                ChildNumbers::Mixed,
            ][usize::from(settings >> 4 & 3)],
            failover: 0,
            sent: None,
            transmissions: 0,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let before = self.ids;
        match input.byte() % 16 {
            0 => notify(input.block()),
            1 => parse_request(input),
            2 => parse_response(input),
            3 | 4 => self.begin(input),
            5 => {
                self.failover += 1;
                let lag = lag(input);
                let _ = self.ids.take_over(lag, self.support);
            }
            6 => self.pass(input),
            7 => self.answer_rightly(input),
            8 => {
                let response = self.response(input);
                self.handle_response(&response);
            }
            9 | 10 => {
                let request = request(input);
                self.handle_request(&request);
            }
            11 => drop(self.ids.begin_request()),
            12 => {
                let id = self.some_id(input, self.ids.oldest_outstanding());
                let _ = self.ids.handle_response(id);
            }
            13 => {
                let id = self.some_id(input, self.ids.expected_request());
                if self.synchronizer.accepts_requests() {
                    let _ = self.ids.handle_request(id);
                }
            }
            14 => {
                let id = self.some_id(input, self.ids.expected_request().saturating_sub(1));
                self.ids.respond(id);
            }
            _ => {
                self.ids.grow_own_window(input.byte().into());
                self.ids.grow_peer_window(input.byte().into());
            }
        }
        self.check(&before);
    }

    fn begin(&mut self, input: &mut Input<'_>) {
        let flags = input.byte();
        let plan = SyncPlan {
            failover: self.failover,
            support: self.support,
            message_ids: flags & 1 == 1,
            replay: delta(flags >> 1, input),
            lag: lag(input),
            nonce: [input.byte(), 1, 2, 3],
        };
        let last = self.synchronizer.last_failover();
        let begun = self.synchronizer.begin(plan, &mut self.ids, self.now);
        if begun.is_ok() {
            assert_ne!(last, Some(self.failover), "twice in one failover");
            (self.sent, self.transmissions) = (None, 0);
        }
        self.transmit();
    }

    /// What is sent is a proper request, and always the same, unless the peer was answered.
    fn transmit(&mut self) {
        let Some(request) = self.synchronizer.poll_transmit() else {
            return;
        };
        assert_eq!(self.synchronizer.poll_transmit(), None);
        let mut bytes = Vec::new();
        let first = request.encode(&mut bytes);
        let again = SyncRequest::parse(request.message_id, first, &bytes);
        assert_eq!(again, Ok(Some(request)));
        if self.sent.replace(request) != Some(request) {
            self.transmissions = 0;
        }
        self.transmissions += 1;
        assert!(self.transmissions <= self.schedule.transmissions);
    }

    fn pass(&mut self, input: &mut Input<'_>) {
        self.now = self.now + Duration::from_millis(1 << (input.byte() % 16));
        let due = self
            .synchronizer
            .poll_timeout()
            .is_some_and(|at| at <= self.now);
        let outcome = self.synchronizer.handle_timeout(self.now);
        assert!(due || outcome.is_none(), "{outcome:?} before its time");
        if let Some(outcome) = outcome {
            assert!(matches!(outcome, SyncOutcome::TearDown(_)));
            assert_eq!(self.transmissions, self.schedule.transmissions);
            self.ended();
        }
        self.transmit();
    }

    /// As a peer does that knows what is under way.
    fn answer_rightly(&mut self, input: &mut Input<'_>) {
        let Some(request) = self.sent else { return };
        let more = u32::from(input.byte());
        let ids = request.ids.map(|ids| MessageIdSync {
            next_request: ids.expected_request.saturating_add(more & 15),
            expected_request: ids.next_request.saturating_add(more >> 4),
            ..ids
        });
        let message_id = request.message_id;
        self.handle_response(&SyncResponse { message_id, ids });
    }

    fn response(&self, input: &mut Input<'_>) -> SyncResponse {
        let mut response = SyncResponse {
            message_id: number(input),
            ids: Some(values(input)),
        };
        if input.byte() & 1 == 1 {
            response.ids = None;
        }
        response
    }

    fn handle_response(&mut self, response: &SyncResponse) {
        let (before, pending) = (self.ids, self.synchronizer.poll_timeout());
        let Ok(outcome) = self.synchronizer.handle_response(response, &mut self.ids) else {
            assert_eq!(self.ids, before, "dropped, but not without effect");
            assert_eq!(self.synchronizer.poll_timeout(), pending);
            return;
        };
        assert!(pending.is_some(), "{outcome:?} of nothing");
        if let Some(request) = self.sent {
            let nonces = [request.ids, response.ids].map(|ids| ids.map(|ids| ids.nonce));
            assert_eq!(nonces[0], nonces[1]);
        }
        self.ended();
    }

    /// No more than one outcome.
    fn ended(&mut self) {
        assert!(!self.synchronizer.is_pending());
        assert_eq!(self.synchronizer.poll_timeout(), None);
        assert_eq!(self.synchronizer.poll_transmit(), None);
        (self.sent, self.transmissions) = (None, 0);
    }

    fn handle_request(&mut self, request: &SyncRequest) {
        let before = self.ids;
        let handle = |ids: &mut MessageIds| {
            self.responder
                .handle_request(request, self.support, self.children, ids)
        };
        match handle(&mut self.ids) {
            Answer::Respond { response, replay } => {
                assert_eq!(replay, request.replay);
                assert!(replay.is_none_or(|delta| self.children.fits(delta)));
                let again = handle(&mut self.ids);
                if request.ids.is_some() {
                    assert_eq!(again, Answer::Repeat(response), "a repetition");
                } else {
                    assert!(
                        matches!(again, Answer::Drop(_)),
                        "counters would move twice"
                    );
                }
                is_proper(&response);
                self.synchronizer.answered_peer(&self.ids, self.now);
                self.transmit();
            }
            Answer::Repeat(response) => {
                assert_eq!(self.ids, before, "a repetition changes nothing");
                is_proper(&response);
            }
            Answer::Drop(_) => assert_eq!(self.ids, before, "dropped, but not without effect"),
        }
    }

    fn some_id(&self, input: &mut Input<'_>, near: u32) -> u32 {
        match input.byte() {
            255 => u32::MAX,
            byte @ 128.. => near.saturating_sub(u32::from(byte - 128)),
            byte => near.saturating_add(u32::from(byte)),
        }
    }

    fn check(&self, before: &MessageIds) {
        let ids = &self.ids;
        assert!(
            ids.next_request() >= before.next_request(),
            "ids of our own go back"
        );
        assert!(
            ids.expected_request() >= before.expected_request(),
            "the peer's ids go back"
        );
        assert!(ids.oldest_outstanding() >= before.oldest_outstanding());
        assert!(ids.last_sync() >= before.last_sync() || before.last_sync().is_none());
        assert!(ids.outstanding() <= u32::from(ids.peer_window()));
        let mut bytes = Vec::new();
        ids.encode(&mut bytes);
        assert!(bytes.len() <= MessageIds::ENCODED_LEN_BOUND);
        assert_eq!(
            MessageIds::decode(&bytes).as_ref(),
            Ok(ids),
            "not to be replicated"
        );
    }
}

fn is_proper(response: &SyncResponse) {
    let mut bytes = Vec::new();
    let first = response.encode(&mut bytes);
    assert_eq!(
        SyncResponse::parse(response.message_id, first, &bytes).as_ref(),
        Ok(response)
    );
}

fn notify(bytes: &[u8]) {
    match Notify::decode(bytes) {
        Ok(notify) => {
            let mut again = Vec::new();
            notify.encode(bytes[0], &mut again);
            assert_eq!(Notify::decode(&again), Ok(notify));
            // The critical bit and the protocol are ignored, all else has one form.
            assert_eq!((again.len(), &again[6..]), (bytes.len(), &bytes[6..]));
        }
        Err(NotifyError::Unrelated { kind }) => assert!(!Notify::is_known(kind)),
        Err(_) => {}
    }
}

fn parse_request(input: &mut Input<'_>) {
    let (id, first) = (number(input), input.byte());
    if let Ok(Some(request)) = SyncRequest::parse(id, first, input.block()) {
        assert_eq!(request.message_id, id);
        let mut bytes = Vec::new();
        let first = request.encode(&mut bytes);
        assert_eq!(SyncRequest::parse(id, first, &bytes), Ok(Some(request)));
    }
}

fn parse_response(input: &mut Input<'_>) {
    let (id, first) = (number(input), input.byte());
    if let Ok(response) = SyncResponse::parse(id, first, input.block()) {
        assert_eq!(response.message_id, id);
        is_proper(&response);
    }
}

fn request(input: &mut Input<'_>) -> SyncRequest {
    let flags = input.byte();
    let ids = (flags & 1 == 1).then(|| values(input));
    SyncRequest {
        message_id: if ids.is_some() { 0 } else { number(input) },
        ids,
        replay: delta(flags >> 1, input),
    }
}

fn values(input: &mut Input<'_>) -> MessageIdSync {
    MessageIdSync {
        nonce: [input.byte(), 1, 2, 3],
        next_request: number(input),
        expected_request: number(input),
    }
}

fn delta(kind: u8, input: &mut Input<'_>) -> Option<ReplayDelta> {
    match kind % 3 {
        0 => None,
        1 => Some(ReplayDelta::Bits32(number(input))),
        _ => Some(ReplayDelta::Esn(number(input).into())),
    }
}

fn lag(input: &mut Input<'_>) -> Lag {
    match input.byte() {
        0..128 => Lag::None,
        255 => Lag::Requests(u32::MAX),
        byte => Lag::Requests(u32::from(byte - 128)),
    }
}

/// Small, or near the end.
fn number(input: &mut Input<'_>) -> u32 {
    match input.byte() {
        byte @ 240.. => u32::MAX - u32::from(byte - 240),
        byte => byte.into(),
    }
}

/// A few ordinary courses of events.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let ids = MessageIdSync {
        nonce: [9, 1, 2, 3],
        next_request: 7,
        expected_request: 4,
    };
    let replay = Some(ReplayDelta::Esn(1000));
    let mut payloads = Vec::new();
    let message = SyncRequest {
        message_id: 0,
        ids: Some(ids),
        replay,
    };
    let first = message.encode(&mut payloads);
    // 2 transmissions, both ends support both, ids 2 and 3, windows of 1.
    let sa = [1, 0b1100, 2, 3, 1, 1];
    let begin = [5, 0, 3, 1, 0, 9];
    let with = |operations: &[u8]| [&sa[..], operations].concat();
    let parse = |operation| [&[operation, 0, first][..], &block(&payloads)].concat();
    let mut notify = Vec::new();
    Notify::ReplayCounterSync(ReplayDelta::Bits32(77)).encode(41, &mut notify);
    vec![
        ("synchronized", with(&[&begin[..], &[7, 0x35, 11]].concat())),
        (
            "unanswered",
            with(&[&begin[..], &[6, 15, 6, 15, 6, 15]].concat()),
        ),
        (
            "both_at_once",
            with(&[&begin[..], &[9, 1, 5, 40, 30, 7, 0]].concat()),
        ),
        ("replay_alone", with(&[5, 0, 3, 2, 50, 0, 9, 7, 0])),
        (
            "lies",
            with(&[&begin[..], &[8, 0, 8, 30, 40, 0, 8, 0, 9, 0, 0, 0]].concat()),
        ),
        ("request", with(&parse(1))),
        ("response", with(&parse(2))),
        ("notify", with(&[&[0][..], &block(&notify)].concat())),
    ]
}
