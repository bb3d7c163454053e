use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use std::collections::BTreeSet;

use ha_core::id::UnitId;
use ha_core::time::Time;
use proptest::prelude::*;

use super::*;
use crate::id::{IkeId, Protocol, SaId};

const EXACT: Spreading = Spreading {
    jitter_percent: 0,
    takeover: Duration::ZERO,
};

fn id(spi: u32) -> SaId {
    SaId {
        spi,
        destination: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        protocol: Protocol::Esp,
    }
}

fn key(spi: u32) -> SpreadKey {
    SpreadKey::of_sa(&id(spi), UnitId::new(1))
}

fn seconds(soft: u64, hard: u64) -> Lifetime {
    let limit = |seconds| Limits {
        seconds: Some(seconds),
        ..Limits::UNLIMITED
    };
    Lifetime {
        soft: limit(soft),
        hard: limit(hard),
    }
}

fn volume(bytes: (u64, u64), packets: (u64, u64)) -> Lifetime {
    let limit = |bytes, packets| Limits {
        seconds: None,
        bytes: Some(bytes),
        packets: Some(packets),
    };
    Lifetime {
        soft: limit(bytes.0, packets.0),
        hard: limit(bytes.1, packets.1),
    }
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

fn used(age_s: u64) -> LifetimeState {
    LifetimeState {
        age_s,
        ..LifetimeState::default()
    }
}

const HELD_NOT_AT_ALL: Elapsed = Elapsed::Held(Duration::ZERO);

#[test]
fn bytes_and_packets_are_judged_at_their_limits() {
    let thresholds = Thresholds::new(&volume((1000, 2000), (10, 20)), EXACT, key(1));
    for (bytes, packets, charge) in [
        (0, 0, Charge::Ok),
        (999, 9, Charge::Ok),
        (1000, 9, Charge::Soft),
        (999, 10, Charge::Soft),
        (2000, 20, Charge::Soft),
        (2001, 9, Charge::Hard),
        (0, 21, Charge::Hard),
        (u64::MAX, u64::MAX, Charge::Hard),
    ] {
        assert_eq!(
            thresholds.verdict(bytes, packets),
            charge,
            "{bytes} {packets}"
        );
    }
}

#[test]
fn without_limits_nothing_expires() {
    let clock = LifetimeClock::fresh(&Lifetime::UNLIMITED, EXACT, key(1), at(0));
    assert_eq!(clock.thresholds().verdict(1 << 63, 1 << 63), Charge::Ok);
    assert_eq!(clock.at(Time::from_nanos(u64::MAX)), Charge::Ok);
    assert_eq!(clock.poll_timeout(at(0)), None);
    let hard_only = Lifetime {
        soft: Limits::UNLIMITED,
        ..volume((0, 100), (0, 100))
    };
    let thresholds = Thresholds::new(&hard_only, Spreading::default(), key(1));
    assert_eq!(thresholds.verdict(100, 100), Charge::Ok);
    assert_eq!(thresholds.verdict(101, 1), Charge::Hard);
    let soft_only = Lifetime {
        hard: Limits::UNLIMITED,
        ..volume((50, 0), (50, 0))
    };
    let thresholds = Thresholds::new(&soft_only, EXACT, key(1));
    assert_eq!(thresholds.verdict(u64::MAX, 1), Charge::Soft);
}

#[test]
fn seconds_run_from_the_making() {
    let clock = LifetimeClock::fresh(&seconds(90, 100), EXACT, key(1), at(1000));
    assert_eq!(clock.poll_timeout(at(1000)), Some(at(1090)));
    assert_eq!(clock.at(at(1089)), Charge::Ok);
    assert_eq!(clock.at(at(1090)), Charge::Soft);
    assert_eq!(clock.poll_timeout(at(1090)), Some(at(1100)));
    assert_eq!(clock.at(at(1100)), Charge::Hard);
    assert_eq!(clock.poll_timeout(at(1100)), None);
    assert_eq!(clock.age_s(at(1042)), 42);
}

#[test]
fn a_takeover_leaves_what_was_last_sent_less_what_passed() {
    let lifetime = seconds(90, 100);
    let held = Elapsed::Held(Duration::from_secs(5));
    let clock = LifetimeClock::resume(&lifetime, EXACT, key(1), (used(30), held), at(7));
    assert_eq!(clock.age_s(at(7)), 35);
    assert_eq!(clock.poll_timeout(at(7)), Some(at(7 + 55)));
    assert_eq!(clock.at(at(7 + 65)), Charge::Hard);
    let left = clock.remaining(&lifetime, at(8), 0, 0);
    assert_eq!(left.seconds, Some(64));
}

#[test]
fn what_expired_meanwhile_is_expired() {
    let held = Elapsed::Held(Duration::from_secs(80));
    let clock = LifetimeClock::resume(&seconds(90, 100), EXACT, key(1), (used(30), held), at(7));
    assert_eq!(clock.at(at(7)), Charge::Hard);
    assert_eq!(clock.poll_timeout(at(7)), None);
}

#[test]
fn a_skewed_clock_neither_ends_nor_prolongs_lives() {
    let year = 365 * 86_400;
    let age = |unix_s: u64| {
        let elapsed = Elapsed::Wall {
            created_unix_s: 1_700_000_000,
            unix_s,
            at_most: Duration::from_secs(20),
        };
        let state = (used(30), elapsed);
        LifetimeClock::resume(&seconds(90, 100), EXACT, key(1), state, at(7)).age_s(at(7))
    };
    assert_eq!(age(1_700_000_040), 40, "clocks agree");
    assert_eq!(age(1_700_000_000 + year), 50, "a year ahead");
    assert_eq!(age(1_700_000_000 - year), 30, "a year behind");
    assert_eq!(age(0), 30);
    assert_eq!(age(u64::MAX), 50);
}

#[test]
fn a_takeover_does_not_rekey_all_at_once() {
    let spreading = Spreading::default();
    let lifetime = seconds(3000, 3600);
    let resumed = |spi: u32, age_s| {
        LifetimeClock::resume(
            &lifetime,
            spreading,
            key(spi),
            (used(age_s), HELD_NOT_AT_ALL),
            at(0),
        )
    };
    // In the second in which most would be due; and long overdue, 8 s before the end.
    for (age_s, within_s) in [(2999, 60), (3500, 50), (3592, 4)] {
        let mut per_second = std::collections::BTreeMap::<u64, u32>::new();
        for spi in 0..10_000 {
            let clock = resumed(spi, age_s);
            let due = clock.poll_timeout(at(0)).unwrap();
            assert_eq!(clock.at(due), Charge::Soft);
            *per_second.entry(due.as_millis() / 1000).or_default() += 1;
        }
        let fair = 10_000 / within_s;
        assert!(
            per_second.values().all(|n| *n <= fair * 3 / 2),
            "{per_second:?}"
        );
        assert!(per_second.len() >= within_s as usize, "{per_second:?}");
    }
}

#[test]
fn the_same_sa_has_the_same_moment_on_each_run_but_not_on_each_unit() {
    let lifetime = seconds(3000, 3600);
    let due = |unit| {
        let key = SpreadKey::of_sa(&id(7), UnitId::new(unit));
        LifetimeClock::fresh(&lifetime, Spreading::default(), key, at(0)).poll_timeout(at(0))
    };
    assert_eq!(due(1), due(1));
    assert_ne!(due(1), due(2));
    // Fixed: both units and all releases must come to the same numbers.
    assert_eq!(key(7).below(1_000_000), KEY_7);
    let ike = IkeId {
        initiator: 1,
        responder: 2,
    };
    let of_ike = SpreadKey::of_ike(&ike, UnitId::new(1));
    assert_eq!(of_ike.below(1_000_000), KEY_IKE);
}

const KEY_7: u64 = 201_803;
const KEY_IKE: u64 = 81_282;

#[test]
fn keys_differ_by_every_field() {
    let base = id(7);
    let v6 = SaId {
        destination: IpAddr::V6("2001:db8::1".parse().unwrap()),
        ..base
    };
    let ah = SaId {
        protocol: Protocol::Ah,
        ..base
    };
    let mut keys = BTreeSet::new();
    for id in [base, v6, ah, id(8)] {
        for unit in [1, 2] {
            let key = SpreadKey::of_sa(&id, UnitId::new(unit));
            keys.insert(key.below(u64::MAX));
            keys.insert(key.purpose(1).below(u64::MAX));
        }
    }
    assert_eq!(keys.len(), 16);
    assert_eq!(key(1).below(0), 0);
    assert_eq!(key(1).within(Duration::ZERO), Duration::ZERO);
}

#[test]
fn lifetimes_are_checked() {
    assert_eq!(seconds(90, 100).validate(), Ok(()));
    assert_eq!(seconds(100, 100).validate(), Ok(()));
    assert_eq!(Lifetime::UNLIMITED.validate(), Ok(()));
    assert_eq!(
        seconds(101, 100).validate(),
        Err(LifetimeError::Order {
            unit: "seconds",
            soft: 101,
            hard: 100
        })
    );
    assert_eq!(
        volume((0, 5), (0, 0)).validate(),
        Err(LifetimeError::Zero { unit: "packets" })
    );
    let cisco = Lifetime::rekey_before(Limits::CISCO_IPSEC, 10);
    assert_eq!(cisco.validate(), Ok(()));
    assert_eq!(cisco.soft.seconds, Some(3240));
    let widest = Limits {
        bytes: Some(u64::MAX),
        ..Limits::UNLIMITED
    };
    for percent in [0, 100, 255] {
        let lifetime = Lifetime::rekey_before(widest, percent);
        assert_eq!(lifetime.validate(), Ok(()), "{percent}");
    }
}

#[test]
fn what_was_used_is_not_given_back() {
    let mut state = LifetimeState {
        age_s: 10,
        bytes: 500,
        packets: 5,
    };
    state.advance(LifetimeState {
        age_s: 9,
        bytes: 700,
        packets: 4,
    });
    assert_eq!((state.age_s, state.bytes, state.packets), (10, 700, 5));
    let left = state.remaining(&volume((0, 600), (0, 20)));
    assert_eq!(
        (left.seconds, left.bytes, left.packets),
        (None, Some(0), Some(15))
    );
}

fn limit() -> impl Strategy<Value = Option<u64>> {
    prop::option::of(prop_oneof![1u64..100_000, any::<u64>()])
}

proptest! {
    #[test]
    fn never_longer_than_the_original_and_soft_before_hard(
        hard_s in 1u64..1 << 40, percent in 0u8..=100, age_s in any::<u64>(),
        held_ms in any::<u64>(), now_ms in 0u64..1 << 40, spi in any::<u32>(),
        jitter_percent in any::<u8>(), takeover_s in any::<u32>(),
    ) {
        let hard = Limits { seconds: Some(hard_s), ..Limits::UNLIMITED };
        let lifetime = Lifetime::rekey_before(hard, percent);
        let spreading = Spreading { jitter_percent, takeover: Duration::from_secs(takeover_s.into()) };
        let now = Time::from_millis(now_ms);
        let elapsed = Elapsed::Held(Duration::from_millis(held_ms));
        let clock = LifetimeClock::resume(&lifetime, spreading, key(spi), (used(age_s), elapsed), now);
        let end = now + Duration::from_secs(hard_s);
        prop_assert_eq!(clock.at(end), Charge::Hard);
        if let Some(next) = clock.poll_timeout(now) {
            prop_assert!(next <= end);
            prop_assert!(clock.at(next) > clock.at(now));
        }
        prop_assert!(clock.remaining(&lifetime, now, 0, 0).seconds.unwrap() <= hard_s);
        prop_assert!(clock.age_s(now) >= age_s);
    }

    /// The fast path against the plain rule.
    #[test]
    fn verdicts_are_those_of_the_rule(
        soft_bytes in limit(), hard_bytes in limit(), soft_packets in limit(), hard_packets in limit(),
        bytes in prop_oneof![0u64..100_002, any::<u64>()], packets in 0u64..100_002,
    ) {
        let lifetime = Lifetime {
            soft: Limits { seconds: None, bytes: soft_bytes, packets: soft_packets },
            hard: Limits { seconds: None, bytes: hard_bytes, packets: hard_packets },
        };
        let rule = if hard_bytes.is_some_and(|it| bytes > it) || hard_packets.is_some_and(|it| packets > it) {
            Charge::Hard
        } else if soft_bytes.is_some_and(|it| bytes >= it) || soft_packets.is_some_and(|it| packets >= it) {
            Charge::Soft
        } else {
            Charge::Ok
        };
        // No total reaches 2^64 - 1: that many bytes are never counted.
        prop_assume!(bytes < u64::MAX);
        prop_assert_eq!(Thresholds::new(&lifetime, EXACT, key(1)).verdict(bytes, packets), rule);
    }

    #[test]
    fn jitter_only_ever_brings_a_rekey_forward(soft in 2u64..1 << 50, spi in any::<u32>()) {
        let lifetime = volume((soft, soft), (soft, soft));
        let thresholds = Thresholds::new(&lifetime, Spreading::default(), key(spi));
        prop_assert!(thresholds.verdict(soft, 0) == Charge::Soft);
        prop_assert!(thresholds.verdict(0, soft) == Charge::Soft);
        prop_assert!(thresholds.verdict(soft / 10 * 9 - 1, 0) == Charge::Ok);
    }

    #[test]
    fn states_round_trip(age_s in any::<u64>(), bytes in any::<u64>(), packets in any::<u64>()) {
        let state = LifetimeState { age_s, bytes, packets };
        let mut out = vec![];
        state.encode(&mut out);
        prop_assert!(out.len() <= LifetimeState::ENCODED_LEN_BOUND);
        prop_assert_eq!(LifetimeState::decode(&out), Ok(state));
    }

    #[test]
    fn any_bytes_decode_to_what_encodes_to_them_or_not_at_all(
        bytes in prop::collection::vec(any::<u8>(), 0..16)
    ) {
        if let Ok(state) = LifetimeState::decode(&bytes) {
            let mut out = vec![];
            state.encode(&mut out);
            prop_assert_eq!(out, bytes);
        }
    }
}
