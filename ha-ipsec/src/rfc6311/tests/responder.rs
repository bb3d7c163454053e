use super::super::responder::settle;
use super::*;
use crate::message_id::{HIGHEST_ID, Request, Response};

fn answer(responder: SyncResponder, request: &SyncRequest, ids: &mut MessageIds) -> Answer {
    responder.handle_request(request, SyncSupport::ALL, ChildNumbers::None, ids)
}

fn responds(next_request: u32, expected_request: u32) -> Answer {
    Answer::Respond {
        response: response(next_request, expected_request),
        replay: None,
    }
}

fn late() -> SyncResponder {
    SyncResponder::new(LateSync::Answer)
}

/// Appendix A, as (request, the peer's values, response), each as (send, receive).
const VECTORS: [[(u32, u32); 3]; 4] = [
    [(0, 5), (5, 0), (5, 0)], // A.1
    [(2, 3), (4, 5), (4, 5)], // A.2
    [(2, 5), (2, 4), (5, 4)], // A.3
    [(4, 4), (5, 5), (5, 5)], // A.4, the peer's answer
];

#[test]
fn appendix_a() {
    for [(m1, p1), (send, receive), expected] in VECTORS {
        let mut ids = MessageIds::new(send, receive);
        assert_eq!(settle(sync(m1, p1), &ids), expected);
        assert_eq!(
            answer(late(), &request(m1, p1), &mut ids),
            responds(expected.0, expected.1)
        );
        assert_eq!(values(&ids), expected);
    }
}

/// The other half of A.4: the member with (4, 4) answers the peer's (5, 5).
#[test]
fn appendix_a_4_in_the_other_direction_needs_no_leniency() {
    let mut ids = MessageIds::new(4, 4);
    let strict = SyncResponder::default();
    assert_eq!(answer(strict, &request(5, 5), &mut ids), responds(5, 5));
}

/// Where the examples contradict §5.1: A.2, A.3 and A.4 have the peer answer an M1 that is not above
/// the ids it has received.
#[test]
fn by_the_letter_of_section_5_1_only_example_1_is_answered() {
    let strict = VECTORS.map(|[(m1, p1), (send, receive), _]| {
        let mut ids = MessageIds::new(send, receive);
        answer(SyncResponder::default(), &request(m1, p1), &mut ids)
    });
    assert_eq!(strict[0], responds(5, 0));
    for (answer, highest_seen) in strict[1..].iter().zip([4, 3, 4]) {
        assert!(
            matches!(answer, Answer::Drop(Ignored::Stale { highest_seen: seen, .. }) if *seen == highest_seen),
            "{answer:?}"
        );
    }
}

#[test]
fn m1_must_exceed_every_request_and_every_earlier_synchronization() {
    for policy in [LateSync::Drop, LateSync::Answer] {
        let responder = SyncResponder::new(policy);
        let mut ids = MessageIds::new(0, 4); // has seen 3
        let stale = |answer| matches!(answer, Answer::Drop(Ignored::Stale { .. }));
        let seen = answer(responder, &request(3, 0), &mut ids.clone());
        assert_eq!(stale(seen), policy == LateSync::Drop);
        assert_eq!(answer(responder, &request(9, 0), &mut ids), responds(0, 9));
        for m1 in [4, 8, 9] {
            let other = SyncRequest {
                ids: Some(MessageIdSync {
                    nonce: [9; 4],
                    ..sync(m1, 0)
                }),
                ..request(m1, 0)
            };
            assert!(stale(answer(responder, &other, &mut ids)), "{m1}");
        }
        assert_eq!(values(&ids), (0, 9));
        assert_eq!(
            answer(responder, &request(10, 0), &mut ids),
            responds(0, 10)
        );
    }
}

#[test]
fn what_was_seen_survives_the_record() {
    let mut ids = MessageIds::new(0, 0);
    answer(SyncResponder::default(), &request(9, 0), &mut ids);
    let mut out = vec![];
    ids.encode(&mut out);
    let mut ids = MessageIds::decode(&out).unwrap();
    // The peer is a cluster too, and its standby has taken over: it knows the replay, and it can
    // repeat the response.
    let replay = SyncRequest {
        ids: Some(MessageIdSync {
            nonce: [9; 4],
            ..sync(9, 0)
        }),
        ..request(9, 0)
    };
    assert!(matches!(
        answer(SyncResponder::default(), &replay, &mut ids),
        Answer::Drop(Ignored::Stale {
            highest_seen: 9,
            ..
        })
    ));
    assert_eq!(
        answer(SyncResponder::default(), &request(9, 0), &mut ids),
        Answer::Repeat(response(0, 9))
    );
}

#[test]
fn a_lost_response_is_repeated_until_the_new_ids_are_in_use() {
    let responder = SyncResponder::default();
    let mut ids = MessageIds::new(5, 0);
    let first = request(3, 5);
    assert_eq!(answer(responder, &first, &mut ids), responds(5, 3));
    let before = ids;
    assert_eq!(
        answer(responder, &first, &mut ids),
        Answer::Repeat(response(5, 3))
    );
    assert_eq!(ids, before, "nothing changes");
    // Sending on does not end it, receiving a request with the new id does.
    ids.begin_request().unwrap();
    assert!(matches!(
        answer(responder, &first, &mut ids),
        Answer::Repeat(_)
    ));
    assert_eq!(ids.handle_request(3), Request::New);
    assert!(matches!(
        answer(responder, &first, &mut ids),
        Answer::Drop(Ignored::Stale { .. })
    ));
}

#[test]
fn what_was_under_way_is_given_up() {
    let mut ids = MessageIds::new(3, 3);
    ids.grow_own_window(5);
    ids.grow_peer_window(5);
    for id in 3..8 {
        ids.begin_request().unwrap();
        if id != 3 {
            ids.handle_response(id);
            ids.handle_request(id);
        }
    }
    assert_eq!(
        answer(SyncResponder::default(), &request(9, 3), &mut ids),
        responds(8, 9)
    );
    assert_eq!(ids.handle_response(3), Response::Unexpected);
    assert_eq!(ids.handle_request(3), Request::Old);
    assert!(!ids.respond(7), "its response must not be sent any more");
    assert_eq!(ids.begin_request(), Ok(8));
}

#[test]
fn only_what_was_negotiated_is_answered() {
    let delta = Some(ReplayDelta::Bits32(5));
    let both = SyncRequest {
        replay: delta,
        ..request(3, 0)
    };
    let only_ids = SyncSupport {
        message_ids: true,
        replay_counters: false,
    };
    for (request, support) in [
        (request(3, 0), SyncSupport::NONE),
        (both, only_ids),
        (both, SyncSupport::NONE),
    ] {
        let mut ids = MessageIds::default();
        let answer = SyncResponder::default().handle_request(
            &request,
            support,
            ChildNumbers::Bits32,
            &mut ids,
        );
        assert_eq!(answer, Answer::Drop(Ignored::NotNegotiated));
        assert_eq!(ids, MessageIds::default());
    }
}

#[test]
fn a_replayed_request_moves_no_counters_and_a_wrong_width_no_ids() {
    let both = SyncRequest {
        replay: Some(ReplayDelta::Bits32(5)),
        ..request(3, 0)
    };
    let responder = SyncResponder::default();
    let mut ids = MessageIds::default();
    let handle = |children, ids: &mut MessageIds| {
        responder.handle_request(&both, SyncSupport::ALL, children, ids)
    };
    for children in [ChildNumbers::Esn, ChildNumbers::Mixed] {
        assert_eq!(handle(children, &mut ids), Answer::Drop(Ignored::Width));
        assert_eq!(ids, MessageIds::default());
    }
    assert!(matches!(
        handle(ChildNumbers::Bits32, &mut ids),
        Answer::Respond {
            replay: Some(ReplayDelta::Bits32(5)),
            ..
        }
    ));
    // The repetition is answered without moving them again; once that is over, it is dropped.
    assert!(matches!(
        handle(ChildNumbers::Bits32, &mut ids),
        Answer::Repeat(_)
    ));
    ids.handle_request(3);
    assert!(matches!(
        handle(ChildNumbers::Bits32, &mut ids),
        Answer::Drop(Ignored::Stale { .. })
    ));
}

#[test]
fn replay_counters_alone_are_an_ordinary_exchange() {
    let alone = SyncRequest {
        message_id: 4,
        ids: None,
        replay: Some(ReplayDelta::Bits32(5)),
    };
    let responder = SyncResponder::default();
    let mut ids = MessageIds::new(0, 4);
    let handle = |responder: SyncResponder, ids: &mut MessageIds| {
        responder.handle_request(&alone, SyncSupport::ALL, ChildNumbers::Bits32, ids)
    };
    assert_eq!(
        handle(responder, &mut ids),
        Answer::Respond {
            response: SyncResponse {
                message_id: 4,
                ids: None
            },
            replay: alone.replay
        }
    );
    assert_eq!(
        handle(responder, &mut ids),
        Answer::Drop(Ignored::Window(Request::InProgress))
    );
    ids.respond(4);
    assert_eq!(
        handle(responder, &mut ids),
        Answer::Drop(Ignored::Window(Request::Retransmission))
    );
    let mut early = MessageIds::new(0, 2);
    assert_eq!(
        handle(responder, &mut early),
        Answer::Drop(Ignored::Window(Request::Beyond))
    );
}

#[test]
fn values_that_leave_no_ids_are_refused() {
    for (m1, p1) in [(u32::MAX, 0), (1, u32::MAX)] {
        let mut ids = MessageIds::default();
        assert_eq!(
            answer(SyncResponder::default(), &request(m1, p1), &mut ids),
            Answer::Drop(Ignored::Exhausting)
        );
        assert_eq!(ids, MessageIds::default());
    }
    let mut ids = MessageIds::default();
    assert_eq!(
        answer(
            SyncResponder::default(),
            &request(HIGHEST_ID, HIGHEST_ID),
            &mut ids
        ),
        responds(HIGHEST_ID, HIGHEST_ID)
    );
}
