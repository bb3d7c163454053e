use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn windows(own: u32, peer: u32) -> MessageIds {
    let mut ids = MessageIds::new(0, 0);
    ids.grow_own_window(own);
    ids.grow_peer_window(peer);
    ids
}

fn encoded(ids: &MessageIds) -> Vec<u8> {
    let mut out = vec![];
    ids.encode(&mut out);
    out
}

#[test]
fn a_window_of_one_waits_for_each_response() {
    let mut ids = MessageIds::new(2, 0);
    assert_eq!(ids.begin_request(), Ok(2));
    assert_eq!(
        ids.begin_request(),
        Err(SendError::WindowFull {
            oldest: 2,
            window: 1
        })
    );
    assert_eq!(ids.handle_response(1), Response::Unexpected);
    assert_eq!(ids.handle_response(3), Response::Unexpected);
    assert_eq!(ids.handle_response(2), Response::Fresh);
    assert_eq!(ids.handle_response(2), Response::Unexpected);
    assert_eq!(ids.begin_request(), Ok(3));
}

#[test]
fn request_x_waits_for_all_responses_up_to_x_minus_n() {
    let mut ids = windows(1, 3);
    for id in 0..3 {
        assert_eq!(ids.begin_request(), Ok(id));
    }
    // 1 and 2 are answered, but 3 must wait for 0.
    assert_eq!(ids.handle_response(2), Response::Fresh);
    assert_eq!(ids.handle_response(1), Response::Fresh);
    assert!(matches!(
        ids.begin_request(),
        Err(SendError::WindowFull { oldest: 0, .. })
    ));
    assert_eq!(ids.outstanding(), 1);
    assert_eq!(ids.handle_response(0), Response::Fresh);
    assert_eq!(ids.oldest_outstanding(), 3);
    assert_eq!(ids.begin_request(), Ok(3));
}

#[test]
fn the_largest_window_is_used_to_its_last_bit() {
    let mut ids = windows(u32::MAX, u32::MAX);
    assert_eq!(ids.peer_window(), MAX_WINDOW);
    for id in 0..u32::from(MAX_WINDOW) {
        assert_eq!(ids.begin_request(), Ok(id));
        assert_eq!(ids.handle_request(id), Request::New);
    }
    assert!(ids.begin_request().is_err());
    for id in (0..u32::from(MAX_WINDOW)).rev() {
        assert_eq!(ids.handle_response(id), Response::Fresh);
        assert!(ids.respond(id));
    }
    assert_eq!(ids.outstanding(), 0);
    assert_eq!(ids.oldest_outstanding(), 64);
    assert_eq!(MessageIds::decode(&encoded(&ids)), Ok(ids));
}

#[test]
fn windows_never_shrink() {
    let mut ids = windows(5, 7);
    ids.grow_own_window(1);
    ids.grow_peer_window(0);
    assert_eq!((ids.own_window(), ids.peer_window()), (5, 7));
}

#[test]
fn ids_end_before_they_wrap() {
    let mut ids = MessageIds::new(HIGHEST_ID, HIGHEST_ID);
    assert_eq!(ids.begin_request(), Ok(HIGHEST_ID));
    ids.handle_response(HIGHEST_ID);
    assert_eq!(ids.begin_request(), Err(SendError::Exhausted));
    assert_eq!(ids.handle_request(HIGHEST_ID), Request::New);
    assert_eq!(ids.handle_request(u32::MAX), Request::Beyond);
    assert_eq!(MessageIds::decode(&encoded(&ids)), Ok(ids));
}

#[test]
fn a_request_goes_through_its_places() {
    let mut ids = windows(2, 1);
    assert_eq!(ids.check_request(2), Request::Beyond);
    assert_eq!(ids.handle_request(1), Request::New, "out of order");
    assert_eq!(ids.handle_request(1), Request::InProgress);
    assert!(ids.respond(1));
    assert!(!ids.respond(1), "only once");
    assert_eq!(ids.handle_request(1), Request::Retransmission);
    // 0 is still missing, so the peer may not have sent 2.
    assert_eq!(ids.handle_request(2), Request::Beyond);
    assert_eq!(ids.handle_request(0), Request::New);
    assert!(ids.respond(0) && ids.is_response_kept(0));
    // RFC 7296 §2.1: kept until a request with this id plus the window size.
    assert_eq!(ids.handle_request(2), Request::New);
    assert!(!ids.is_response_kept(0) && ids.is_response_kept(1));
    assert_eq!(ids.handle_request(0), Request::Old);
    assert!(!ids.respond(7), "never received");
}

#[test]
fn a_takeover_carries_on_only_where_nothing_is_unknown() {
    let idle = MessageIds::new(5, 5);
    let mut waiting = idle;
    waiting.begin_request().unwrap();
    let stalled = |outstanding, lag| Takeover::Stalled { outstanding, lag };
    let lagging = Lag::Requests(3);
    for (ids, lag, support, expected) in [
        (idle, Lag::None, SyncSupport::NONE, Takeover::Continue),
        (idle, Lag::None, SyncSupport::ALL, Takeover::Continue),
        (
            idle,
            Lag::Requests(0),
            SyncSupport::NONE,
            Takeover::Continue,
        ),
        (idle, lagging, SyncSupport::ALL, Takeover::Synchronize),
        (idle, lagging, SyncSupport::NONE, stalled(0, lagging)),
        (waiting, Lag::None, SyncSupport::ALL, Takeover::Synchronize),
        (waiting, Lag::None, SyncSupport::NONE, stalled(1, Lag::None)),
        (waiting, lagging, SyncSupport::ALL, Takeover::Synchronize),
        (waiting, lagging, SyncSupport::NONE, stalled(1, lagging)),
    ] {
        let mut ids = ids;
        assert_eq!(ids.take_over(lag, support), expected, "{ids:?} {lag:?}");
    }
    let only_counters = SyncSupport {
        message_ids: false,
        replay_counters: true,
    };
    assert_eq!(
        waiting.take_over(Lag::None, only_counters),
        stalled(1, Lag::None)
    );
}

#[test]
fn a_second_failover_finishes_what_the_first_began() {
    let mut ids = MessageIds::new(5, 5);
    ids.begin_sync(7, 5);
    assert_eq!(ids.begin_request(), Err(SendError::Synchronizing));
    let mut next = MessageIds::decode(&encoded(&ids)).unwrap();
    assert_eq!(
        next.take_over(Lag::None, SyncSupport::ALL),
        Takeover::Synchronize
    );
    ids.finish_sync(7, 5);
    assert_eq!(
        ids.take_over(Lag::None, SyncSupport::ALL),
        Takeover::Continue
    );
    assert_eq!(ids.begin_request(), Ok(7));
}

#[test]
fn a_request_that_the_former_active_did_not_answer_is_processed_afresh_if_nothing_lags() {
    let mut ids = windows(2, 1);
    ids.handle_request(0);
    ids.respond(0);
    ids.handle_request(1);
    let mut lagging = ids;
    assert_eq!(
        ids.take_over(Lag::None, SyncSupport::NONE),
        Takeover::Continue
    );
    assert_eq!(ids.handle_request(0), Request::Retransmission);
    assert_eq!(ids.handle_request(1), Request::New);
    lagging.take_over(Lag::Requests(1), SyncSupport::ALL);
    assert_eq!(lagging.handle_request(1), Request::InProgress);
}

#[test]
fn skipping_gives_up_what_was_under_way_and_never_moves_back() {
    // The examples of RFC 6311 §9: window 3 to 7, all but 3 done in both directions.
    let mut ids = windows(5, 5);
    ids.skip_to(3, 3);
    for id in 3..8 {
        assert_eq!(ids.begin_request(), Ok(id));
    }
    for id in 4..8 {
        assert_eq!(ids.handle_response(id), Response::Fresh);
        assert_eq!(ids.handle_request(id), Request::New);
    }
    assert_eq!((ids.next_request(), ids.expected_request()), (8, 8));
    ids.skip_to(8, 8);
    assert_eq!(ids.outstanding(), 0);
    assert_eq!(ids.handle_response(3), Response::Unexpected);
    assert_eq!(ids.handle_request(3), Request::Old);
    let before = ids;
    ids.skip_to(2, 2);
    assert_eq!(ids, before);
}

#[test]
fn a_record_is_small() {
    let mut ids = MessageIds::new(5000, 5000);
    for _ in 0..20 {
        let id = ids.begin_request().unwrap();
        ids.handle_response(id);
        let expected = ids.expected_request();
        ids.handle_request(expected);
        ids.respond(expected);
    }
    assert!(encoded(&ids).len() <= 12, "{:?}", encoded(&ids));
    let widest = MessageIds {
        send: SendWindow::new(u32::MAX),
        receive: ReceiveWindow::new(u32::MAX),
        last_sync: Some(AnsweredSync {
            m1: u32::MAX,
            nonce: [0xff; 4],
            p2: u32::MAX,
            m2: u32::MAX,
        }),
    };
    assert_eq!(MessageIds::decode(&encoded(&widest)), Ok(widest));
    assert!(encoded(&widest).len() <= MessageIds::ENCODED_LEN_BOUND);
}

#[test]
fn contradictions_are_refused() {
    // oldest, span, answered, size; base, span, received, answered, size; last sync.
    // Sizes less one.
    let good = [4, 2, 0b10, 1, 3, 2, 0b11, 0b01, 1, 0];
    assert!(MessageIds::decode(&good).is_ok());
    for (at, value) in [
        (1, 3),     // more outstanding than the window
        (2, 0b11),  // the oldest is answered
        (2, 0b100), // answered, but never sent
        (3, 0),     // a smaller window than what is in it
        (5, 3),     // more than the window
        (6, 0b100), // received, but beyond the top
        (6, 0b10),  // answered, but not received
        (8, 0),
        (8, 64),
    ] {
        let mut bad = good;
        bad[at] = value;
        assert!(
            matches!(
                MessageIds::decode(&bad),
                Err(CodecError::Contradiction { .. })
            ),
            "{at} {value}"
        );
    }
    let wide = [&good[..3], &[0x80, 1], &good[4..]].concat();
    assert!(matches!(
        MessageIds::decode(&wide),
        Err(CodecError::Contradiction { .. })
    ));
    assert!(matches!(
        MessageIds::decode(&good[..9]),
        Err(CodecError::Truncated { .. })
    ));
    let long = [&good[..], &[0]].concat();
    assert_eq!(
        MessageIds::decode(&long),
        Err(CodecError::Trailing { bytes: 1 })
    );
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Begin,
    Response(u32),
    Request(u32),
    Respond(u32),
    Skip(u32, u32),
    TakeOver,
}

fn op() -> impl Strategy<Value = Op> {
    let id = 0u32..90;
    prop_oneof![
        4 => Just(Op::Begin),
        4 => id.clone().prop_map(Op::Response),
        4 => id.clone().prop_map(Op::Request),
        4 => id.clone().prop_map(Op::Respond),
        1 => (id.clone(), id).prop_map(|(m, p)| Op::Skip(m, p)),
        1 => Just(Op::TakeOver),
    ]
}

/// What the windows must remember, kept as plain sets.
#[derive(Default)]
struct Model {
    sent: BTreeSet<u32>,
    waiting: BTreeSet<u32>,
    received: BTreeSet<u32>,
    answered: BTreeSet<u32>,
    below: u32,
}

impl Model {
    fn check(&mut self, op: Op, ids: &mut MessageIds, own: u32, peer: u32) {
        match op {
            Op::Begin => {
                let full = (self.waiting.first()).is_some_and(|id| ids.next_request() - id >= peer);
                match ids.begin_request() {
                    Ok(id) => {
                        assert!(!full && self.sent.insert(id), "{id} is used twice");
                        self.waiting.insert(id);
                    }
                    Err(_) => assert!(full),
                }
            }
            Op::Response(id) => {
                let fresh = ids.handle_response(id) == Response::Fresh;
                assert_eq!(fresh, self.waiting.remove(&id));
            }
            Op::Request(id) => match ids.handle_request(id) {
                Request::New => {
                    assert!(id >= self.below && self.received.insert(id), "{id} twice");
                    let open = (self.below..).find(|id| !self.received.contains(id));
                    assert!(open.unwrap() + own > id);
                }
                Request::InProgress | Request::Retransmission => {
                    assert!(self.received.contains(&id));
                }
                Request::Old => {
                    let passed = ids.expected_request() >= id + own;
                    assert!(id < self.below || passed && self.received.contains(&id));
                }
                Request::Beyond => {
                    let open = (self.below..).find(|id| !self.received.contains(id));
                    assert!(open.unwrap() + own <= id);
                }
            },
            Op::Respond(id) => {
                if ids.respond(id) {
                    assert!(self.received.contains(&id) && self.answered.insert(id));
                }
            }
            Op::Skip(next, expected) => {
                ids.skip_to(next, expected);
                self.waiting = self.waiting.split_off(&next);
                self.below = self.below.max(expected);
            }
            Op::TakeOver => {
                ids.take_over(Lag::None, SyncSupport::NONE);
                // Those that fell out of the window without an answer stay received.
                let kept = ids.expected_request().saturating_sub(own);
                let answered = &self.answered;
                self.received
                    .retain(|id| *id < kept || answered.contains(id));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_windows_agree_with_sets(
        own in 1u32..=64, peer in 1u32..=64, ops in prop::collection::vec(op(), 1..120)
    ) {
        let mut ids = windows(own, peer);
        let mut model = Model::default();
        for op in ops {
            model.check(op, &mut ids, own, peer);
            prop_assert_eq!(ids.outstanding() as usize, model.waiting.len());
            prop_assert_eq!(MessageIds::decode(&encoded(&ids)), Ok(ids));
            prop_assert!(encoded(&ids).len() <= MessageIds::ENCODED_LEN_BOUND);
        }
    }

    /// A requester and a responder over a channel that loses, delays and doubles: each request is
    /// processed once, none is ever out of the window.
    #[test]
    fn two_sides_agree(window in 1u32..=8, steps in prop::collection::vec((0u8..4, any::<u16>()), 1..200)) {
        let (mut requester, mut responder) = (windows(1, window), windows(window, 1));
        let mut requests = vec![];
        let mut responses = vec![];
        let mut processed = BTreeMap::<u32, u32>::new();
        for (step, pick) in steps {
            let pick = |from: &Vec<u32>| from.get(usize::from(pick) % from.len().max(1)).copied();
            match step {
                0 => requests.extend(requester.begin_request()),
                1 | 2 => {
                    let Some(id) = pick(&requests) else { continue };
                    match responder.handle_request(id) {
                        Request::New => {
                            *processed.entry(id).or_default() += 1;
                            prop_assert!(responder.respond(id));
                            responses.push(id);
                        }
                        Request::Retransmission => responses.push(id),
                        Request::Old => prop_assert!(!requester.is_outstanding(id)),
                        other => prop_assert!(false, "{id} is {other:?}"),
                    }
                }
                _ => {
                    if let Some(id) = pick(&responses) {
                        requester.handle_response(id);
                    }
                }
            }
        }
        prop_assert!(processed.values().all(|times| *times == 1));
    }

    #[test]
    fn any_bytes_decode_to_what_encodes_to_them_or_not_at_all(
        bytes in prop::collection::vec(prop_oneof![3 => 0u8..8, 1 => any::<u8>()], 0..24)
    ) {
        if let Ok(ids) = MessageIds::decode(&bytes) {
            prop_assert_eq!(encoded(&ids), bytes);
            // And it works: no shift or subtraction overflows.
            let mut ids = ids;
            let _ = ids.begin_request();
            ids.handle_response(ids.oldest_outstanding());
            for id in [0, ids.expected_request(), HIGHEST_ID, u32::MAX] {
                ids.handle_request(id);
                ids.respond(id);
            }
            ids.skip_to(HIGHEST_ID, HIGHEST_ID);
            prop_assert_eq!(MessageIds::decode(&encoded(&ids)), Ok(ids));
        }
    }
}
