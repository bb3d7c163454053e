//! Sequence numbers and windows through takeovers.

use std::collections::HashSet;

use ha_core::node::CommandError;
use ha_core::redundancy::{FencingRefusal, RfState};
use ha_ipsec::replay::{Accept, InboundPolicy, Isolated, Replay};
use ha_ipsec::sad::{LookupError, SaCounters, SadConfig};
use ha_ipsec::sequence::Refused;

use super::harness::{GROUP, Pair, inbound, inbound_id, outbound, outbound_id};

/// A pair with one SA in each direction.
fn pair_with(policy: InboundPolicy, isolated: Isolated) -> Pair {
    let mut pair = Pair::settled();
    let mut change = pair.sad(0).change();
    let mut sa = inbound(1);
    (sa.policy, sa.isolated) = (policy, isolated);
    change.insert(sa).insert(outbound(1));
    let commit = change.commit().unwrap();
    pair.run_until_committed(&commit);
    pair
}

fn strict() -> Pair {
    pair_with(InboundPolicy::Strict, Isolated::Continue)
}

fn delivers(accept: &Accept) -> bool {
    matches!(accept, Accept::Deliver { .. })
}

/// Sends packets until the standby has to be asked.
fn send(pair: &Pair, unit: usize, most: usize) -> Vec<u64> {
    let sa = pair.sad(unit).outbound(&outbound_id(1)).unwrap();
    (0..most).map_while(|_| sa.next().ok()).collect()
}

#[test]
fn no_number_is_used_twice_however_often_the_role_moves() {
    let mut pair = strict();
    let mut used = HashSet::new();
    for round in 0..12 {
        let active = pair.active();
        for _ in 0..20 {
            for number in send(&pair, active, 100) {
                assert!(used.insert(number), "round {round}: {number} again");
            }
            pair.run_for(1);
        }
        match round % 3 {
            0 => {
                pair.fail_over_from(active);
                pair.join(active);
                pair.run_until_whole();
            }
            1 => pair.switchover(),
            _ => {
                // Both units are active, and both send.
                pair.cut();
                pair.run_until("two actives", |pair| {
                    pair.state(0) == Some(RfState::Active) && pair.state(1) == Some(RfState::Active)
                });
                for unit in [0, 1] {
                    for number in send(&pair, unit, 500) {
                        assert!(used.insert(number), "round {round}: {number} again");
                    }
                }
                pair.connect();
                pair.run_until_whole();
            }
        }
    }
    assert!(used.len() > 12 * 1000, "{} numbers", used.len());
}

#[test]
fn a_standby_refuses_all_packets() {
    let pair = strict();
    let sad = pair.sad(1);
    let (out, into) = (outbound_id(1), inbound_id(1));
    assert_eq!(
        sad.outbound(&out).unwrap_err(),
        LookupError::NotActive { id: out }
    );
    assert_eq!(
        sad.inbound(&into).unwrap_err(),
        LookupError::NotActive { id: into }
    );
}

#[test]
fn who_loses_the_role_refuses_on_handles_that_were_kept() {
    let mut pair = strict();
    let sad = pair.sad(0);
    let (out, into) = (
        sad.outbound(&outbound_id(1)).unwrap(),
        sad.inbound(&inbound_id(1)).unwrap(),
    );
    out.next().unwrap();
    pair.switchover();
    assert_eq!(out.next().unwrap_err(), Refused::Closed);
    assert!(matches!(into.accept(1), Accept::Replay(Replay::Closed)));
}

#[test]
fn numbers_wait_for_the_standby_and_go_on() {
    let mut pair = strict();
    let sa = pair.sad(0).outbound(&outbound_id(1)).unwrap();
    pair.hold = true;
    let got = send(&pair, 0, 1_000_000);
    assert_eq!(sa.next().unwrap_err(), Refused::NoReservation);
    assert_eq!(got.last().copied(), sa.limit());
    pair.hold = false;
    let before = pair.sad(0).acknowledgements();
    pair.run_for(2);
    assert!(pair.sad(0).acknowledgements() > before);
    assert_eq!(
        sa.next().unwrap(),
        got.last().unwrap() + 1,
        "no gap on a unit that stays active"
    );
}

#[test]
fn a_lost_standby_does_not_hold_up_the_active_unit_beyond_its_budget() {
    let mut pair = strict();
    let sa = pair.sad(0).outbound(&outbound_id(1)).unwrap();
    pair.crash(1);
    pair.run_until("isolated", |pair| pair.sad(0).stats().isolated);
    let (limit, budget) = (sa.limit().unwrap(), sa.record().budget);
    let range = sa.take(u32::MAX).unwrap();
    assert_eq!(range.last(), limit + budget);
    assert_eq!(sa.next().unwrap_err(), Refused::BudgetExhausted);
    pair.run_for(2);
    let event = pair.sad(0).poll_event();
    assert!(
        matches!(event, Some(ha_ipsec::sad::SadEvent::Rekey { .. })),
        "{event:?}"
    );
    // The standby is back: the SA goes on.
    pair.join(1);
    pair.run_until_whole();
    pair.run_for(20);
    assert!(sa.next().unwrap() > range.last());
}

/// Of a standby that is surely gone no number need be feared; until then, and of one that is there,
/// nothing is lifted.
#[test]
fn a_fencing_authority_lifts_the_budget() {
    let mut pair = strict();
    let now = pair.now;
    let refused = pair.unit(0).node.peer_fenced(GROUP, now).unwrap_err();
    assert_eq!(refused, CommandError::Fencing(FencingRefusal::PeerThere));

    let sa = pair.sad(0).outbound(&outbound_id(1)).unwrap();
    pair.crash(1);
    pair.run_until("isolated", |pair| pair.sad(0).stats().isolated);
    let last = sa.take(u32::MAX).unwrap().last();
    assert_eq!(sa.next().unwrap_err(), Refused::BudgetExhausted);
    pair.peer_fenced(0);
    // The standby may have been active before it ended, with a budget of its own.
    let budget = sa.record().budget;
    let range = sa.take(u32::try_from(4 * budget).unwrap()).unwrap();
    assert!(range.first > last + budget, "{range:?} after {last}");
    assert!(range.last() - range.first > 3 * budget, "no limit");
    assert_eq!(sa.limit(), None);

    // A standby comes, and takes over: it goes on beyond.
    pair.join(1);
    pair.run_until_whole();
    pair.run_for(20);
    assert!(sa.limit().is_some(), "bounded before it left");
    let most = sa.next().unwrap().max(range.last());
    pair.fail_over_from(0);
    let theirs = pair.sad(1).outbound(&outbound_id(1)).unwrap();
    assert!(theirs.next().unwrap() > most);
}

#[test]
fn nothing_that_was_delivered_is_delivered_again() {
    let mut pair = strict();
    let mut delivered = HashSet::new();
    let mut next = 1;
    for round in 0..9 {
        let active = pair.active();
        let sa = pair.sad(active).inbound(&inbound_id(1)).unwrap();
        for number in 1..next {
            assert!(
                !delivers(&sa.accept(number)),
                "round {round}: replay of {number}"
            );
        }
        for _ in 0..300 {
            if delivers(&sa.accept(next)) {
                assert!(delivered.insert(next));
            }
            next += 1;
            pair.run_for(1);
        }
        assert!(
            delivered.contains(&(next - 1)),
            "round {round}: traffic goes on"
        );
        if round % 2 == 0 {
            pair.fail_over_from(active);
            pair.join(active);
            pair.run_until_whole();
        } else {
            pair.switchover();
        }
    }
}

#[test]
fn a_switchover_in_order_loses_nothing_and_accepts_no_replay() {
    let mut pair = strict();
    let sa = pair.sad(0).inbound(&inbound_id(1)).unwrap();
    for number in 1..=500 {
        let accept = sa.accept(number);
        if let Accept::Pending(pending) = accept {
            pair.run_for(15);
            assert!(delivers(&sa.retry(&pending)));
        }
    }
    pair.switchover();
    let sa = pair.sad(1).inbound(&inbound_id(1)).unwrap();
    assert_eq!(sa.top(), 500, "the ceiling closed on the exact top");
    assert!(!delivers(&sa.accept(500)));
    assert!(delivers(&sa.accept(501)));
}

#[test]
fn a_quiet_sa_loses_nothing_at_a_crash() {
    let mut pair = strict();
    let sa = pair.sad(0).inbound(&inbound_id(1)).unwrap();
    (1..=20).for_each(|number| drop(sa.accept(number)));
    pair.run_for(1000);
    pair.fail_over_from(0);
    let sa = pair.sad(1).inbound(&inbound_id(1)).unwrap();
    assert_eq!(sa.top(), 20);
    assert!(delivers(&sa.accept(21)));
}

#[test]
fn the_first_packet_after_a_pause_waits_for_one_commit() {
    let mut pair = strict();
    let sa = pair.sad(0).inbound(&inbound_id(1)).unwrap();
    drop(sa.accept(1));
    pair.run_for(1000);
    let Accept::Pending(pending) = sa.accept(2) else {
        panic!("the ceiling was closed on the top");
    };
    let before = pair.sad(0).acknowledgements();
    pair.run_for(2);
    assert!(pair.sad(0).acknowledgements() > before);
    assert!(delivers(&sa.retry(&pending)));
    assert!(!delivers(&sa.retry(&pending)), "once");
}

#[test]
fn resume_restores_the_window() {
    let mut pair = pair_with(InboundPolicy::Resume, Isolated::Continue);
    let sa = pair.sad(0).inbound(&inbound_id(1)).unwrap();
    for number in (1..=40).filter(|number| number % 7 != 0) {
        assert!(delivers(&sa.accept(number)));
    }
    pair.run_for(1000);
    pair.fail_over_from(0);
    let sa = pair.sad(1).inbound(&inbound_id(1)).unwrap();
    for number in 1..=41 {
        let late = number % 7 == 0 || number == 41;
        assert_eq!(delivers(&sa.accept(number)), late, "{number}");
    }
}

#[test]
fn an_isolated_unit_that_freezes_delivers_nothing_above_the_ceiling() {
    let mut pair = pair_with(InboundPolicy::Strict, Isolated::Freeze);
    let sa = pair.sad(0).inbound(&inbound_id(1)).unwrap();
    pair.crash(1);
    pair.run_until("isolated", |pair| pair.sad(0).stats().isolated);
    let frozen = (1..=2000).filter(|n| delivers(&sa.accept(*n))).count();
    assert!(frozen < 2000 && pair.sad(0).stats().exposed == 0);
    let mut pair = strict();
    let sa = pair.sad(0).inbound(&inbound_id(1)).unwrap();
    pair.crash(1);
    pair.run_until("isolated", |pair| pair.sad(0).stats().isolated);
    assert!((1..=2000).all(|n| delivers(&sa.accept(n))));
    assert!(pair.sad(0).stats().exposed > 0);
}

#[test]
fn a_first_sync_does_not_hold_up_traffic() {
    let mut pair = Pair::alone(SadConfig::default());
    let mut change = pair.sad(0).change();
    change.insert(outbound(1)).insert(inbound(1));
    drop(change.commit().unwrap());
    let out = pair.sad(0).outbound(&outbound_id(1)).unwrap();
    let into = pair.sad(0).inbound(&inbound_id(1)).unwrap();
    let mut number = 0;
    pair.join(1);
    while pair.state(1) != Some(RfState::StandbyHot) {
        number += 1;
        assert!(out.next().is_ok());
        assert!(delivers(&into.accept(number)), "{number}");
        pair.run_for(1);
    }
    for _ in 0..100 {
        number += 1;
        assert!(out.next().is_ok());
        let accept = into.accept(number);
        pair.run_for(1);
        match accept {
            Accept::Pending(pending) => assert!(delivers(&into.retry(&pending)), "{number}"),
            accept => assert!(delivers(&accept), "{number}"),
        }
    }
}

#[test]
fn looking_at_counters_changes_nothing() {
    for isolated in [Isolated::Freeze, Isolated::Continue] {
        let pair = Pair::alone(SadConfig::default());
        let (sad, id) = (pair.sad(0), inbound_id(1));
        let mut change = sad.change();
        let mut sa = inbound(1);
        sa.isolated = isolated;
        change.insert(sa);
        drop(change.commit().unwrap());
        let sa = sad.inbound(&id).unwrap();
        assert!(delivers(&sa.accept(1)));
        assert!(sad.counters(&id).is_some());
        assert!(delivers(&sa.accept(2)), "no other unit can hold the SA");
        assert_eq!(sad.stats().exposed, 0);
    }
}

#[test]
fn a_quiet_sa_reaches_a_new_standby_with_its_ceiling_closed() {
    let mut pair = Pair::alone(SadConfig::default());
    let mut change = pair.sad(0).change();
    change.insert(inbound(1));
    drop(change.commit().unwrap());
    pair.run_for(200);
    pair.join(1);
    pair.run_until_whole();
    // In what the sync brought, not in an update that follows it.
    match pair.sad(1).counters(&inbound_id(1)) {
        Some(SaCounters::Inbound { image, .. }) => assert_eq!(image.ceiling(), Some(0)),
        other => panic!("{other:?}"),
    }
}

/// Nothing is kept of an SA without packets but what the standby was told. Still, a standby that begins
/// from nothing may have been active with that.
#[test]
fn a_contest_reaches_an_sa_that_nothing_moves() {
    for uses in [false, true] {
        let mut pair = strict();
        let sad = pair.sad(0);
        if uses {
            sad.outbound(&outbound_id(1)).unwrap().next().unwrap();
        }
        pair.run_for(1000);
        let Some(SaCounters::Outbound { reserved, .. }) = sad.counters(&outbound_id(1)) else {
            panic!("the standby was told of it");
        };
        pair.crash(1);
        pair.run_until("isolated", |pair| pair.sad(0).stats().isolated);
        pair.join(1);
        pair.run_until_whole();
        pair.run_for(1000);
        let sa = sad.outbound(&outbound_id(1)).unwrap();
        let theirs = reserved + 2 * sa.record().budget;
        assert_eq!(sa.next().unwrap(), theirs + 1, "used before: {uses}");
    }
}

/// Whatever happened to an SA before its first packet, that has the number 1.
#[test]
fn the_first_number_is_1_however_late() {
    for wait in [0, 50, 10_000] {
        let mut pair = strict();
        pair.run_for(wait);
        let sa = pair.sad(0).outbound(&outbound_id(1)).unwrap();
        assert_eq!(sa.next().unwrap(), 1);
        let sa = pair.sad(0).inbound(&inbound_id(1)).unwrap();
        match sa.accept(1) {
            Accept::Pending(pending) => {
                pair.run_for(15);
                assert!(delivers(&sa.retry(&pending)), "after {wait} ms");
            }
            accept => assert!(delivers(&accept), "after {wait} ms"),
        }
        assert!(!delivers(&sa.accept(1)));
    }
}

/// A hard lifetime closes an SA of which there is no object.
#[test]
fn an_sa_that_nothing_moves_ends_with_its_lifetime() {
    let mut pair = Pair::settled();
    let mut sa = outbound(1);
    sa.lifetime.hard.seconds = Some(20);
    let mut change = pair.sad(0).change();
    change.insert(sa);
    let commit = change.commit().unwrap();
    pair.run_until_committed(&commit);
    pair.run_for(21_000);
    let sa = pair.sad(0).outbound(&outbound_id(1)).unwrap();
    assert_eq!(sa.next().unwrap_err(), Refused::Closed);
    // Also after what is sent of it again.
    pair.crash(1);
    pair.run_until("isolated", |pair| pair.sad(0).stats().isolated);
    pair.join(1);
    pair.run_until_whole();
    let sa = pair.sad(0).outbound(&outbound_id(1)).unwrap();
    assert_eq!(sa.next().unwrap_err(), Refused::Closed);
}

/// After a burst the ceiling comes down to what the rate wants: a takeover costs a slow SA next to
/// nothing, however busy it was before.
#[test]
fn a_burst_costs_nothing_later() {
    let mut pair = strict();
    let sa = pair.sad(0).inbound(&inbound_id(1)).unwrap();
    let mut number = 0;
    let mut receive = |pair: &mut Pair| {
        number += 1;
        if let Accept::Pending(pending) = sa.accept(number) {
            pair.run_for(15);
            assert!(delivers(&sa.retry(&pending)), "{number}");
        }
        number
    };
    for _ in 0..3000 {
        receive(&mut pair);
        pair.run_for(1);
    }
    let mut last = 0;
    for _ in 0..60 {
        last = receive(&mut pair);
        pair.run_for(50);
    }
    pair.fail_over_from(0);
    let sa = pair.sad(1).inbound(&inbound_id(1)).unwrap();
    // 20 a second, for the part of the detection time that a ceiling covers.
    assert!(sa.top() - last <= 20, "{} are lost", sa.top() - last);
}
