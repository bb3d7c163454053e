use core::time::Duration;

use ha_core::time::Time;

use super::*;
use crate::message_id::{HIGHEST_ID, Request, SendError};

fn begun(plan: SyncPlan, ids: &mut MessageIds) -> (Synchronizer, SyncRequest) {
    let mut synchronizer = Synchronizer::default();
    synchronizer.begin(plan, ids, Time::ZERO).unwrap();
    let request = synchronizer.poll_transmit().unwrap();
    (synchronizer, request)
}

fn exchange(
    m1_known: u32,
    p1: u32,
    peer: (u32, u32),
) -> (MessageIds, Result<SyncOutcome, Discarded>) {
    let mut ids = MessageIds::new(m1_known, p1);
    let (mut synchronizer, _) = begun(plan(1), &mut ids);
    let outcome = synchronizer.handle_response(&response(peer.0, peer.1), &mut ids);
    (ids, outcome)
}

const DONE: Result<SyncOutcome, Discarded> = Ok(SyncOutcome::Synchronized { replay: false });

#[test]
fn m1_is_beyond_all_that_may_be_used_and_p1_is_the_next_expected() {
    let mut ids = MessageIds::new(7, 3);
    ids.grow_peer_window(4);
    ids.begin_request().unwrap();
    let lagging = SyncPlan {
        lag: Lag::Requests(10),
        ..plan(1)
    };
    let (_, sent) = begun(lagging, &mut ids);
    assert_eq!(sent, request(8 + 4 + 10, 3));
    assert_eq!(values(&ids), (22, 3), "what is replicated before it leaves");
    assert_eq!(ids.outstanding(), 0);
}

/// Appendix A from the cluster's side. Its M1 is one above what it knows, the window being 1.
#[test]
fn appendix_a() {
    // A.2: request (2, 3), the peer answers (4, 5): it will send 4 and expects 5.
    let (ids, outcome) = exchange(1, 3, (4, 5));
    assert_eq!((outcome, values(&ids)), (DONE, (5, 4)));
    // A.3: request (2, 5), answer (5, 4).
    let (ids, outcome) = exchange(1, 5, (5, 4));
    assert_eq!((outcome, values(&ids)), (DONE, (4, 5)));
    // A.4: request (4, 4), answer (5, 5).
    let (ids, outcome) = exchange(3, 4, (5, 5));
    assert_eq!((outcome, values(&ids)), (DONE, (5, 5)));
    // A.1 is request (0, 5); the recommended increment makes it (1, 5), the answer (5, 1).
    let (ids, outcome) = exchange(0, 5, (5, 1));
    assert_eq!((outcome, values(&ids)), (DONE, (1, 5)));
}

#[test]
fn values_that_fall_tear_the_sa_down() {
    for (p2, m2) in [(4, 6), (5, 5), (0, 0)] {
        let (ids, outcome) = exchange(5, 5, (p2, m2)); // the request was (6, 5)
        assert_eq!(
            outcome,
            Ok(SyncOutcome::TearDown(TearDown::Inconsistent {
                request: sync(6, 5),
                next_request: p2,
                expected_request: m2,
            }))
        );
        assert_eq!(values(&ids), (6, 5));
    }
    let (_, outcome) = exchange(5, 5, (5, 6));
    assert_eq!(outcome, DONE);
    let (_, outcome) = exchange(5, 5, (u32::MAX, 6));
    assert_eq!(outcome, Ok(SyncOutcome::TearDown(TearDown::Exhausted)));
}

#[test]
fn only_the_response_to_this_request_counts_and_only_once() {
    let mut ids = MessageIds::new(5, 5);
    let (mut synchronizer, _) = begun(plan(1), &mut ids);
    let before = ids;
    let other_nonce = SyncResponse {
        ids: Some(MessageIdSync {
            nonce: [0; 4],
            ..sync(9, 9)
        }),
        ..response(9, 9)
    };
    let empty = SyncResponse {
        message_id: 0,
        ids: None,
    };
    for (response, why) in [(other_nonce, Discarded::Nonce), (empty, Discarded::Kind)] {
        assert_eq!(synchronizer.handle_response(&response, &mut ids), Err(why));
        assert_eq!(ids, before);
    }
    assert_eq!(
        synchronizer.handle_response(&response(9, 9), &mut ids),
        DONE
    );
    let after = ids;
    assert_eq!(
        synchronizer.handle_response(&response(12, 12), &mut ids),
        Err(Discarded::NotAwaited)
    );
    assert_eq!(ids, after);
    assert_eq!(synchronizer.poll_timeout(), None);
}

#[test]
fn once_per_failover() {
    let mut ids = MessageIds::new(5, 5);
    let (mut synchronizer, first) = begun(plan(7), &mut ids);
    let again = synchronizer.begin(plan(7), &mut ids, Time::ZERO);
    assert_eq!(again, Err(BeginError::Repeated { last: 7 }));
    synchronizer
        .handle_response(&response(5, 6), &mut ids)
        .unwrap();
    for failover in [6, 7] {
        assert!(matches!(
            synchronizer.begin(plan(failover), &mut ids, Time::ZERO),
            Err(BeginError::Repeated { .. })
        ));
    }
    synchronizer.begin(plan(8), &mut ids, Time::ZERO).unwrap();
    let second = synchronizer.poll_transmit().unwrap();
    assert!(second.ids.unwrap().next_request > first.ids.unwrap().next_request);
}

#[test]
fn a_newer_failover_replaces_one_under_way_with_a_higher_m1() {
    let mut ids = MessageIds::new(5, 5);
    let (mut synchronizer, first) = begun(plan(1), &mut ids);
    let newer = SyncPlan {
        nonce: [7; 4],
        ..plan(2)
    };
    synchronizer.begin(newer, &mut ids, Time::ZERO).unwrap();
    let second = synchronizer.poll_transmit().unwrap();
    assert!(second.ids.unwrap().next_request > first.ids.unwrap().next_request);
    assert_eq!(
        synchronizer.handle_response(&response(5, 6), &mut ids),
        Err(Discarded::Nonce),
        "of the earlier failover"
    );
}

#[test]
fn a_plan_holds_to_what_is_supported() {
    let delta = Some(ReplayDelta::Bits32(1));
    let supports = |message_ids, replay_counters| SyncSupport {
        message_ids,
        replay_counters,
    };
    for (message_ids, replay, support) in [
        (true, None, SyncSupport::NONE),
        (true, None, supports(false, true)),
        (true, delta, supports(true, false)),
        (false, delta, supports(true, false)),
    ] {
        let plan = SyncPlan {
            message_ids,
            replay,
            support,
            ..plan(1)
        };
        let mut ids = MessageIds::new(5, 5);
        let begun = Synchronizer::default().begin(plan, &mut ids, Time::ZERO);
        assert_eq!(begun, Err(BeginError::Unsupported { support }));
        assert_eq!(ids, MessageIds::new(5, 5));
    }
    let nothing = SyncPlan {
        message_ids: false,
        ..plan(1)
    };
    let begun = Synchronizer::default().begin(nothing, &mut MessageIds::default(), Time::ZERO);
    assert_eq!(begun, Err(BeginError::Nothing));
}

#[test]
fn no_ids_left_is_said_and_may_be_tried_again() {
    let mut ids = MessageIds::new(HIGHEST_ID, 0);
    let mut synchronizer = Synchronizer::default();
    assert_eq!(
        synchronizer.begin(plan(1), &mut ids, Time::ZERO),
        Err(BeginError::Exhausted)
    );
    assert_eq!(synchronizer.last_failover(), None);
    assert!(!synchronizer.is_pending());
}

#[test]
fn retransmissions_are_equal_double_their_distance_and_end() {
    let mut ids = MessageIds::new(5, 5);
    let (mut synchronizer, first) = begun(plan(1), &mut ids);
    let mut sent_at = vec![Time::ZERO];
    assert_eq!(synchronizer.handle_timeout(Time::ZERO), None, "early");
    assert_eq!(synchronizer.poll_transmit(), None, "not twice");
    let end = loop {
        let due = synchronizer.poll_timeout().unwrap();
        if let Some(outcome) = synchronizer.handle_timeout(due) {
            break (outcome, due);
        }
        assert_eq!(synchronizer.poll_transmit(), Some(first));
        sent_at.push(due);
    };
    let waits: Vec<_> = sent_at.windows(2).map(|two| two[1].since(two[0])).collect();
    assert!(
        waits.windows(2).all(|two| two[1] == two[0] * 2),
        "{waits:?}"
    );
    assert!(sent_at.len() >= 12, "RFC 7296 §2.4: at least a dozen times");
    assert!(
        end.1.since(Time::ZERO) > Duration::from_secs(180),
        "several minutes"
    );
    assert_eq!(
        end.0,
        SyncOutcome::TearDown(TearDown::Unanswered { transmissions: 13 })
    );
    assert_eq!(synchronizer.poll_timeout(), None);
}

#[test]
fn a_wait_does_not_overflow() {
    let schedule = Schedule {
        first: Duration::MAX,
        transmissions: u8::MAX,
    };
    let mut synchronizer = Synchronizer::new(schedule, PendingRequests::Drop);
    let mut ids = MessageIds::default();
    synchronizer.begin(plan(1), &mut ids, Time::ZERO).unwrap();
    let due = synchronizer.poll_timeout().unwrap();
    assert_eq!(synchronizer.handle_timeout(due), None);
}

#[test]
fn simultaneous_failover_ends_well_though_the_peer_would_have_to_drop_our_request() {
    // A.4 by the letter: the peer has seen 4, so it drops our M1 = 4. We answer its (5, 5).
    let mut ids = MessageIds::new(3, 4);
    let (mut synchronizer, sent) = begun(plan(1), &mut ids);
    assert_eq!(sent, request(4, 4));
    let answer = |request: &SyncRequest, ids: &mut MessageIds| {
        SyncResponder::default().handle_request(request, SyncSupport::ALL, ChildNumbers::None, ids)
    };
    let other = SyncRequest {
        ids: Some(MessageIdSync {
            nonce: [9; 4],
            ..sync(5, 5)
        }),
        ..request(5, 5)
    };
    assert!(matches!(answer(&other, &mut ids), Answer::Respond { .. }));
    assert_eq!(values(&ids), (5, 5));
    synchronizer.answered_peer(&ids, Time::ZERO);
    assert!(synchronizer.is_pending());
    // So ours goes on as (5, 5), which the peer, at (5, 5), answers.
    let sent_on = synchronizer.poll_transmit().unwrap();
    assert_eq!(sent_on, request(5, 5));
    let mut peer = MessageIds::new(5, 5);
    let Answer::Respond { response: got, .. } = answer(&sent_on, &mut peer) else {
        panic!("not answered");
    };
    assert_eq!(got, response(5, 5));
    assert_eq!(synchronizer.handle_response(&got, &mut ids), DONE);
    assert_eq!((values(&ids), values(&peer)), ((5, 5), (5, 5)));
}

#[test]
fn a_request_of_the_peer_that_changes_nothing_for_ours_leaves_it_as_it_is() {
    let mut ids = MessageIds::new(3, 4);
    let (mut synchronizer, _) = begun(plan(1), &mut ids);
    synchronizer.answered_peer(&ids, Time::ZERO);
    assert_eq!(synchronizer.poll_transmit(), None);
    assert!(synchronizer.is_pending() && ids.is_synchronizing());
}

#[test]
fn a_request_for_counters_alone_is_given_up_when_the_peer_synchronizes() {
    let alone = SyncPlan {
        message_ids: false,
        replay: Some(ReplayDelta::Bits32(9)),
        ..plan(1)
    };
    let mut ids = MessageIds::new(5, 5);
    let (mut synchronizer, _) = begun(alone, &mut ids);
    synchronizer.answered_peer(&ids, Time::ZERO);
    assert_eq!(synchronizer.poll_timeout(), None, "no tear-down follows");
}

#[test]
fn requests_of_the_peer_wait_unless_nothing_lags_and_it_is_wanted() {
    for (policy, lag, accepts) in [
        (PendingRequests::Drop, Lag::None, false),
        (PendingRequests::Window, Lag::None, true),
        (PendingRequests::Window, Lag::Requests(1), false),
    ] {
        let mut synchronizer = Synchronizer::new(Schedule::default(), policy);
        let mut ids = MessageIds::new(5, 5);
        assert!(synchronizer.accepts_requests());
        let plan = SyncPlan { lag, ..plan(1) };
        synchronizer.begin(plan, &mut ids, Time::ZERO).unwrap();
        assert_eq!(
            synchronizer.accepts_requests(),
            accepts,
            "{policy:?} {lag:?}"
        );
    }
}

#[test]
fn a_request_accepted_meanwhile_is_not_forgotten_by_the_response() {
    let mut ids = MessageIds::new(5, 5);
    let (mut synchronizer, _) = begun(plan(1), &mut ids);
    // The peer answered (5, 6), then sent its request 5, which came first.
    assert_eq!(
        ids.handle_request(4),
        Request::Old,
        "outside the declared window"
    );
    assert_eq!(ids.handle_request(5), Request::New);
    assert_eq!(
        synchronizer.handle_response(&response(5, 6), &mut ids),
        DONE
    );
    assert_eq!(ids.handle_request(5), Request::InProgress);
    assert_eq!(values(&ids), (6, 6));
}

#[test]
fn replay_counters_alone_use_an_ordinary_request() {
    let delta = Some(ReplayDelta::Bits32(9));
    let alone = SyncPlan {
        message_ids: false,
        replay: delta,
        ..plan(1)
    };
    let mut ids = MessageIds::new(5, 5);
    let (mut synchronizer, sent) = begun(alone, &mut ids);
    assert_eq!((sent.message_id, sent.ids, sent.replay), (5, None, delta));
    assert!(synchronizer.accepts_requests() && !synchronizer.is_pending());
    let answer = |message_id| SyncResponse {
        message_id,
        ids: None,
    };
    assert_eq!(
        synchronizer.handle_response(&answer(4), &mut ids),
        Err(Discarded::Kind)
    );
    assert_eq!(
        synchronizer.handle_response(&answer(5), &mut ids),
        Ok(SyncOutcome::Synchronized { replay: true })
    );
    assert_eq!(ids.outstanding(), 0);
    let mut busy = MessageIds::new(5, 5);
    busy.begin_request().unwrap();
    assert!(matches!(
        Synchronizer::default().begin(alone, &mut busy, Time::ZERO),
        Err(BeginError::Send(SendError::WindowFull { .. }))
    ));
}

#[test]
fn a_combined_request_confirms_the_counters_too() {
    let delta = Some(ReplayDelta::Esn(9));
    let both = SyncPlan {
        replay: delta,
        ..plan(1)
    };
    let mut ids = MessageIds::new(5, 5);
    let (mut synchronizer, sent) = begun(both, &mut ids);
    assert_eq!((sent.message_id, sent.replay), (0, delta));
    assert_eq!(
        synchronizer.handle_response(&response(5, 6), &mut ids),
        Ok(SyncOutcome::Synchronized { replay: true })
    );
}
