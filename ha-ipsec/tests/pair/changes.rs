//! Changes of SAs on both units.

use std::time::Duration;

use ha_ipsec::lifetime::{Charge, Spreading};
use ha_ipsec::record::IpsecSa;
use ha_ipsec::sad::{ChangeError, LookupError, SadConfig, SadEvent, Which};
use ha_ipsec::sequence::Refused;

use super::harness::{Pair, ike, ike_id, inbound, inbound_id, outbound, outbound_id};

/// Two IKE SAs, the first with two pairs of children.
fn pair() -> Pair {
    let mut pair = Pair::settled();
    let mut change = pair.sad(0).change();
    change.insert_ike(ike(1)).insert_ike(ike(2));
    for number in [1, 2] {
        change
            .insert(of(1, inbound(number)))
            .insert(of(1, outbound(number)));
    }
    let commit = change.commit().unwrap();
    pair.run_until_committed(&commit);
    pair
}

fn of(ike: u64, mut sa: IpsecSa) -> IpsecSa {
    sa.ike = Some(ike_id(ike));
    sa
}

#[test]
fn what_is_inserted_is_on_both_units() {
    let pair = pair();
    for unit in [0, 1] {
        let sad = pair.sad(unit);
        let mut children = sad.children(&ike_id(1));
        children.sort_unstable();
        assert_eq!(
            children,
            [outbound_id(1), outbound_id(2), inbound_id(1), inbound_id(2)]
        );
        assert_eq!(sad.by_peer("192.0.2.2".parse().unwrap()), [ike_id(1)]);
        assert_eq!(
            sad.record(&inbound_id(1)),
            pair.sad(0).record(&inbound_id(1))
        );
        assert!(sad.counters(&inbound_id(1)).is_some());
        assert!(sad.progress().contains(&ike_id(2)));
    }
}

#[test]
fn a_rekeyed_ike_sa_keeps_its_children_and_they_their_numbers() {
    let mut pair = pair();
    let sa = pair.sad(0).outbound(&outbound_id(1)).unwrap();
    let first = sa.next().unwrap();
    let mut change = pair.sad(0).change();
    change.rekey_ike(ike_id(1), ike(3));
    let commit = change.commit().unwrap();
    pair.run_until_committed(&commit);
    for unit in [0, 1] {
        let sad = pair.sad(unit);
        assert!(sad.ike(&ike_id(1)).is_none() && sad.progress().get(&ike_id(1)).is_none());
        assert_eq!(sad.children(&ike_id(3)).len(), 4);
        assert!(sad.children(&ike_id(1)).is_empty());
    }
    let again = pair.sad(0).outbound(&outbound_id(1)).unwrap();
    assert_eq!(again.record().ike, Some(ike_id(3)));
    assert_eq!(again.next().unwrap(), first + 1);
    assert_eq!(
        sa.next().unwrap(),
        first + 2,
        "one counter, however it is reached"
    );
}

#[test]
fn children_go_with_their_ike_sa() {
    let mut pair = pair();
    let kept = pair.sad(0).outbound(&outbound_id(1)).unwrap();
    kept.next().unwrap();
    let mut change = pair.sad(0).change();
    change.remove_ike(ike_id(1));
    let commit = change.commit().unwrap();
    assert_eq!(kept.next().unwrap_err(), Refused::Closed);
    pair.run_until_committed(&commit);
    for unit in [0, 1] {
        let stats = pair.sad(unit).stats();
        assert_eq!((stats.ike_sas, stats.ipsec_sas), (1, 0));
        assert!(pair.sad(unit).counters(&outbound_id(1)).is_none());
    }
}

#[test]
fn an_spi_that_is_used_again_begins_anew() {
    let mut pair = pair();
    let old = pair.sad(0).outbound(&outbound_id(1)).unwrap();
    assert!((0..500).all(|_| old.next().is_ok()));
    pair.run_for(50);
    let mut change = pair.sad(0).change();
    change.remove(outbound_id(1)).insert(of(2, outbound(1)));
    let commit = change.commit().unwrap();
    assert_eq!(old.next().unwrap_err(), Refused::Closed);
    let new = pair.sad(0).outbound(&outbound_id(1)).unwrap();
    assert_eq!(new.next().unwrap(), 1);
    pair.run_until_committed(&commit);
    pair.fail_over_from(0);
    let taken = pair.sad(1).outbound(&outbound_id(1)).unwrap();
    assert_eq!(taken.record().instance, new.record().instance);
    assert!(taken.next().unwrap() > taken.record().budget);
}

#[test]
fn contradictions_are_refused_and_change_nothing() {
    let pair = pair();
    let sad = pair.sad(0);
    let refused = |fill: &dyn Fn(&mut ha_ipsec::sad::Change)| {
        let mut change = sad.change();
        change.insert_ike(ike(9));
        fill(&mut change);
        let error = change.commit().unwrap_err();
        assert!(
            sad.ike(&ike_id(9)).is_none(),
            "{error}: nothing has changed"
        );
        error
    };
    let id = inbound_id(1);
    let error = refused(&|change| {
        change.insert(inbound(1));
    });
    assert_eq!(error, ChangeError::DuplicateSpi { id });
    let error = refused(&|change| {
        change.insert_ike(ike(2));
    });
    assert_eq!(error, ChangeError::DuplicateIke { id: ike_id(2) });
    let error = refused(&|change| {
        change.insert(of(7, inbound(7)));
    });
    assert_eq!(
        error,
        ChangeError::NoIkeSa {
            id: inbound_id(7),
            ike: ike_id(7)
        }
    );
    let error = refused(&|change| {
        change.rekey_ike(ike_id(7), ike(8));
    });
    assert!(matches!(error, ChangeError::NotFound(_)), "{error}");
    // Keys are fixed: with them the numbers would begin anew.
    let mut other = IpsecSa::clone(&sad.record(&id).unwrap());
    other.esn = !other.esn;
    let error = refused(&|change| {
        change.replace(other.clone());
    });
    assert!(matches!(error, ChangeError::Record(_)), "{error}");
}

#[test]
fn a_standby_changes_nothing() {
    let pair = pair();
    let mut change = pair.sad(1).change();
    change.remove(inbound_id(1));
    let error = change.commit().unwrap_err();
    assert!(error.to_string().contains("not active"), "{error}");
}

#[test]
fn a_change_that_a_standby_refused_does_not_tell_after_the_takeover() {
    let mut pair = pair();
    let mut change = pair.sad(1).change();
    change.remove_ike(ike_id(1));
    assert!(change.commit().is_err());
    let mut change = pair.sad(0).change();
    change.remove(inbound_id(1)).insert(of(1, inbound(3)));
    let commit = change.commit().unwrap();
    pair.run_until_committed(&commit);
    pair.fail_over_from(0);
    let (mut children, now) = (pair.sad(1).children(&ike_id(1)), pair.sad(1));
    children.sort_unstable();
    let expected = [outbound_id(1), outbound_id(2), inbound_id(2), inbound_id(3)];
    assert_eq!(children, expected);
    let mut change = now.change();
    change.remove_ike(ike_id(1));
    drop(change.commit().unwrap());
    assert_eq!(now.stats().ipsec_sas, 0, "children go with it");
}

/// What a change has planned itself counts: an SA that moves to another IKE SA goes with that one.
#[test]
fn steps_of_a_change_see_those_before_them() {
    let mut pair = pair();
    let sad = pair.sad(0);
    let mut change = sad.change();
    change
        .insert(of(1, inbound(3)))
        .rekey_ike(ike_id(1), ike(3));
    change.remove(inbound_id(2)).insert(of(2, inbound(2)));
    change.remove_ike(ike_id(1)).rekey_ike(ike_id(3), ike(4));
    change.remove_ike(ike_id(3));
    let commit = change.commit().unwrap();
    pair.run_until_committed(&commit);
    for unit in [0, 1] {
        let children = |ike| {
            let mut children = pair.sad(unit).children(&ike_id(ike));
            children.sort_unstable();
            children
        };
        let moved = [outbound_id(1), outbound_id(2), inbound_id(1), inbound_id(3)];
        assert_eq!(children(4), moved);
        assert_eq!(children(2), [inbound_id(2)]);
        assert!(children(1).is_empty() && children(3).is_empty());
    }
}

#[test]
fn lifetimes_end_on_whichever_unit_is_active() {
    let exact = Spreading {
        jitter_percent: 0,
        takeover: Duration::from_secs(1),
    };
    let mut pair = Pair::settled_with(SadConfig {
        spreading: exact,
        ..SadConfig::default()
    });
    let mut change = pair.sad(0).change();
    let mut sa = outbound(1);
    sa.lifetime.soft.seconds = Some(100);
    sa.lifetime.hard.seconds = Some(200);
    sa.lifetime.soft.bytes = Some(10 << 20);
    change.insert(sa);
    let commit = change.commit().unwrap();
    pair.run_until_committed(&commit);
    let id = outbound_id(1);
    let sa = pair.sad(0).outbound(&id).unwrap();
    sa.next().unwrap();
    assert_eq!(sa.charge(9 << 20), Charge::Ok);
    pair.run_for(50);
    pair.fail_over_from(0);
    pair.run_for(5);
    assert_eq!(pair.sad(1).poll_event(), None);
    // What the former active unit charged counts.
    let sa = pair.sad(1).outbound(&id).unwrap();
    assert_eq!(sa.charge(1 << 20), Charge::Soft);
    pair.run_for(2);
    let event = pair.sad(1).poll_event();
    assert_eq!(
        event,
        Some(SadEvent::SoftLifetime {
            id,
            which: Which::Volume
        })
    );
    pair.run_for(100_000);
    let event = pair.sad(1).poll_event();
    assert_eq!(
        event,
        Some(SadEvent::SoftLifetime {
            id,
            which: Which::Time
        })
    );
    assert!(sa.next().is_ok());
    pair.run_for(100_000);
    let event = pair.sad(1).poll_event();
    assert_eq!(
        event,
        Some(SadEvent::HardLifetime {
            id,
            which: Which::Time
        })
    );
    assert_eq!(sa.next().unwrap_err(), Refused::Closed);
}

/// A unit alone whose SAs end when their records say, to the second.
fn exact() -> Pair {
    Pair::alone(SadConfig {
        spreading: Spreading {
            jitter_percent: 0,
            takeover: Duration::from_secs(1),
        },
        ..SadConfig::default()
    })
}

/// An outbound SA with lifetimes in seconds.
fn lasting(soft: u64, hard: u64) -> IpsecSa {
    let mut sa = outbound(1);
    sa.lifetime.soft.seconds = Some(soft);
    sa.lifetime.hard.seconds = Some(hard);
    sa
}

fn replace(pair: &Pair, change: impl FnOnce(&mut IpsecSa)) {
    let sad = pair.sad(0);
    let mut sa = IpsecSa::clone(&sad.record(&outbound_id(1)).unwrap());
    change(&mut sa);
    let mut change = sad.change();
    change.replace(sa);
    drop(change.commit().unwrap());
}

fn events(pair: &Pair) -> Vec<SadEvent> {
    let sad = pair.sad(0);
    std::iter::from_fn(|| sad.poll_event()).collect()
}

#[test]
fn a_lifetime_that_was_changed_ends_when_it_says_now() {
    let (mut pair, id, which) = (exact(), outbound_id(1), Which::Time);
    let mut change = pair.sad(0).change();
    change.insert(lasting(10, 20));
    drop(change.commit().unwrap());
    pair.run_for(5);
    replace(&pair, |sa| {
        sa.lifetime.soft.seconds = Some(40);
        sa.lifetime.hard.seconds = Some(60);
    });
    pair.run_for(30_000);
    assert_eq!(events(&pair), []);
    assert!(pair.sad(0).outbound(&id).unwrap().next().is_ok());
    pair.run_for(11_000);
    assert_eq!(events(&pair), [SadEvent::SoftLifetime { id, which }]);
    pair.run_for(20_000);
    assert_eq!(events(&pair), [SadEvent::HardLifetime { id, which }]);
}

#[test]
fn the_end_of_a_lifetime_is_told_once() {
    for wait in [0, 5] {
        let (mut pair, id, which) = (exact(), outbound_id(1), Which::Time);
        pair.run_for(wait);
        let mut change = pair.sad(0).change();
        change.insert(lasting(10, 60));
        drop(change.commit().unwrap());
        for mtu in 0..10 {
            replace(&pair, |sa| sa.path_mtu = Some(mtu));
            pair.run_for(1);
        }
        pair.run_for(15_000);
        assert_eq!(events(&pair), [SadEvent::SoftLifetime { id, which }]);
        replace(&pair, |sa| sa.path_mtu = None);
        pair.run_for(2000);
        assert_eq!(events(&pair), []);
    }
}

#[test]
fn a_full_database_takes_a_rekey() {
    let mut pair = Pair::alone(SadConfig {
        max_sas: 2,
        ..SadConfig::default()
    });
    let sad = pair.sad(0);
    let mut change = sad.change();
    change.insert(outbound(1)).insert(inbound(1));
    drop(change.commit().unwrap());
    let mut change = sad.change();
    change.insert(outbound(2));
    assert!(change.commit().is_err());
    let mut change = sad.change();
    change.remove(outbound_id(1)).insert(outbound(2));
    drop(change.commit().unwrap());
    pair.run_for(5);
    assert!(sad.outbound(&outbound_id(2)).unwrap().next().is_ok());
}

#[test]
fn lookups_say_what_is_wrong() {
    let pair = Pair::alone(SadConfig::default());
    let sad = pair.sad(0);
    let mut change = sad.change();
    change.insert(inbound(1));
    drop(change.commit().unwrap());
    let id = inbound_id(1);
    assert_eq!(
        sad.outbound(&id).unwrap_err(),
        LookupError::WrongDirection { id }
    );
    let id = inbound_id(2);
    assert_eq!(sad.inbound(&id).unwrap_err(), LookupError::NotFound { id });
}

/// The clock of unit 1 is a year ahead.
#[test]
fn clocks_that_differ_expire_nothing() {
    let mut pair = Pair::settled();
    pair.ahead_s[1] = 365 * 24 * 3600;
    let mut change = pair.sad(0).change();
    let mut sa = outbound(1);
    sa.lifetime.hard.seconds = Some(3600);
    change.insert(sa);
    let commit = change.commit().unwrap();
    pair.run_until_committed(&commit);
    pair.run_for(10_000);
    pair.fail_over_from(0);
    pair.run_for(3_500_000 - 20_000);
    let sa = pair.sad(1).outbound(&outbound_id(1)).unwrap();
    assert!(sa.next().is_ok());
    assert_eq!(pair.sad(1).poll_event(), None);
    // Created on the unit that took over, and used on the other one.
    pair.join(0);
    pair.run_until_whole();
    pair.run_for(2_000);
    pair.fail_over_from(1);
    assert!(
        pair.sad(0)
            .outbound(&outbound_id(1))
            .unwrap()
            .next()
            .is_ok()
    );
    pair.run_for(120_000);
    assert!(
        pair.sad(0)
            .outbound(&outbound_id(1))
            .unwrap()
            .next()
            .is_err(),
        "an hour is over"
    );
}

#[test]
fn an_idle_sa_is_reported() {
    let mut pair = Pair::settled();
    let mut change = pair.sad(0).change();
    let mut sa = outbound(1);
    sa.idle_timeout_s = Some(10);
    change.insert(sa);
    let commit = change.commit().unwrap();
    pair.run_until_committed(&commit);
    let id = outbound_id(1);
    let sa = pair.sad(0).outbound(&id).unwrap();
    for _ in 0..5 {
        assert_eq!(sa.charge(100), Charge::Ok);
        pair.run_for(8_000);
        assert_eq!(pair.sad(0).poll_event(), None);
    }
    pair.run_for(13_000);
    assert_eq!(pair.sad(0).poll_event(), Some(SadEvent::IdleTimeout { id }));
    pair.run_for(60_000);
    assert_eq!(pair.sad(0).poll_event(), None, "told once");
    assert_eq!(sa.charge(100), Charge::Ok);
    pair.run_for(30_000);
    assert_eq!(pair.sad(0).poll_event(), Some(SadEvent::IdleTimeout { id }));
}

/// Its timer goes on when something else of the record changes, and ends with the SA.
#[test]
fn an_idle_timer_outlives_other_changes() {
    let (mut pair, id) = (exact(), outbound_id(1));
    let mut sa = lasting(1000, 2000);
    sa.idle_timeout_s = Some(10);
    let mut change = pair.sad(0).change();
    change.insert(sa);
    drop(change.commit().unwrap());
    pair.run_for(5000);
    replace(&pair, |sa| sa.lifetime.hard.seconds = Some(3000));
    pair.run_for(16_000);
    assert_eq!(events(&pair), [SadEvent::IdleTimeout { id }]);
    let mut change = pair.sad(0).change();
    change.remove(id);
    drop(change.commit().unwrap());
    pair.run_for(60_000);
    assert_eq!(events(&pair), []);
}

/// The hard lifetime follows the soft one.
#[test]
fn both_lifetimes_of_an_ike_sa_are_told() {
    let mut pair = exact();
    let mut ike = ike(1);
    ike.lifetime.soft.seconds = Some(10);
    ike.lifetime.hard.seconds = Some(20);
    let id = ike.id;
    let mut change = pair.sad(0).change();
    change.insert_ike(ike);
    drop(change.commit().unwrap());
    for hard in [false, true] {
        pair.run_for(9000);
        assert_eq!(events(&pair), []);
        pair.run_for(1500);
        assert_eq!(events(&pair), [SadEvent::IkeLifetime { id, hard }]);
    }
}
