use core::time::Duration;
use std::collections::BTreeMap;

use ha_core::id::UnitId;
use ha_core::time::Time;
use proptest::prelude::*;

use super::*;
use crate::id::IkeId;

const GRACE: Duration = Duration::from_secs(10);

fn at(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

fn periodic() -> DpdConfig {
    DpdConfig {
        mode: DpdMode::Periodic,
        ..DpdConfig::IKEV1
    }
}

fn ikev1(config: DpdConfig) -> Dpd {
    Dpd::new(config, DpdProtocol::Ikev1, 100, at(0))
}

fn key(peer: u64) -> SpreadKey {
    let id = IkeId {
        initiator: peer,
        responder: 1,
    };
    SpreadKey::of_ike(&id, UnitId::new(2))
}

/// Runs to the next timer; what it sends, and what it finds.
fn next(dpd: &mut Dpd) -> (Time, Option<Probe>, Option<PeerDead>) {
    let due = dpd.poll_timeout().unwrap();
    let dead = dpd.handle_timeout(due);
    (due, dpd.poll_transmit(), dead)
}

const fn r_u_there(sequence: u32) -> Option<Probe> {
    Some(Probe::RUThere { sequence })
}

#[test]
fn a_silent_peer_is_probed_and_then_dead() {
    let mut dpd = ikev1(periodic());
    for probe in 0..6 {
        let due = at(10 + 10 * u64::from(probe));
        assert_eq!(next(&mut dpd), (due, r_u_there(100 + probe), None));
        assert!(dpd.is_probing());
    }
    let dead = PeerDead {
        silent: Duration::from_secs(70),
    };
    assert_eq!(next(&mut dpd), (at(70), None, Some(dead)));
    assert_eq!(dead.silent, periodic().detection_time());
    assert!(dpd.is_dead());
    assert_eq!(dpd.poll_timeout(), None);
    assert_eq!(dpd.handle_timeout(at(1000)), None, "reported once");
}

#[test]
fn anything_heard_ends_the_probing() {
    let mut dpd = ikev1(periodic());
    next(&mut dpd);
    dpd.handle_heard(at(12));
    assert!(!dpd.is_probing());
    assert_eq!(dpd.poll_timeout(), Some(at(22)));
}

#[test]
fn a_probe_that_was_not_sent_yet_is_not_sent_once_the_peer_is_heard() {
    let mut dpd = ikev1(periodic());
    dpd.handle_timeout(at(10));
    dpd.handle_heard(at(10));
    assert_eq!(dpd.poll_transmit(), None);
}

#[test]
fn on_demand_only_a_peer_to_which_something_was_sent_is_probed() {
    let mut dpd = ikev1(DpdConfig::IKEV1);
    assert_eq!(dpd.poll_timeout(), None);
    dpd.handle_sent(at(3));
    assert_eq!(dpd.poll_timeout(), Some(at(10)));
    dpd.handle_heard(at(5));
    assert_eq!(dpd.poll_timeout(), None);
    // Long silent, then traffic: at once.
    dpd.handle_sent(at(100));
    assert_eq!(dpd.poll_timeout(), Some(at(100)));
    dpd.handle_sent(at(101));
    assert_eq!(dpd.poll_timeout(), Some(at(100)), "no later for more of it");
}

#[test]
fn ikev2_repeats_one_request_with_growing_waits() {
    let config = DpdConfig {
        mode: DpdMode::Periodic,
        ..DpdConfig::IKEV2
    };
    let mut dpd = Dpd::new(config, DpdProtocol::Ikev2, 0, at(0));
    let again = Some(Probe::LivenessAgain);
    for (due, probe) in [
        (10, Some(Probe::Liveness)),
        (12, again),
        (16, again),
        (24, again),
        (40, again),
        (72, again),
    ] {
        assert_eq!(next(&mut dpd), (at(due), probe, None));
    }
    assert!(next(&mut dpd).2.is_some());
    assert_eq!(config.detection_time(), Duration::from_secs(136));
}

#[test]
fn only_a_number_that_was_sent_is_an_answer() {
    let mut dpd = ikev1(periodic());
    assert!(!dpd.handle_ack(100, at(1)), "before it was sent");
    next(&mut dpd);
    next(&mut dpd);
    for wrong in [99, 102, 0, u32::MAX] {
        assert!(!dpd.handle_ack(wrong, at(21)), "{wrong}");
        assert!(dpd.is_probing());
    }
    assert!(dpd.handle_ack(100, at(21)), "the first one, late");
    assert_eq!(dpd.state().answered, 100);
    assert!(!dpd.handle_ack(100, at(22)), "a replay");
    assert!(dpd.handle_ack(101, at(22)));
    assert_eq!(next(&mut dpd).1, r_u_there(102));
}

#[test]
fn numbers_of_the_peer() {
    let mut dpd = ikev1(periodic());
    assert_eq!(dpd.handle_r_u_there(7, at(1)), RUThere::Answer);
    assert_eq!(dpd.state().expected, Some(8));
    assert_eq!(dpd.poll_timeout(), Some(at(11)));
    for (sequence, verdict) in [
        (7, RUThere::AnswerAgain),
        (6, RUThere::Reject),
        (8 + 64, RUThere::Reject),
        (8 + 63, RUThere::Answer),
        (8, RUThere::Reject),
    ] {
        assert_eq!(dpd.handle_r_u_there(sequence, at(5)), verdict, "{sequence}");
    }
    dpd.handle_r_u_there(71, at(9));
    assert_eq!(
        dpd.poll_timeout(),
        Some(at(15)),
        "a repetition proves nothing"
    );
}

#[test]
fn numbers_go_round() {
    let mut state = DpdState {
        answered: u32::MAX,
        expected: Some(u32::MAX),
    };
    assert!(!state.acknowledge(u32::MAX, 1));
    assert!(state.acknowledge(1, 1));
    assert_eq!(state.receive(u32::MAX), RUThere::Answer);
    assert_eq!(state.receive(0), RUThere::Answer);
    // First numbers have their highest bit cleared.
    assert_eq!(DpdState::new(u32::MAX).answered, u32::MAX / 2 - 1);
    assert_eq!(DpdState::new(0).answered, u32::MAX);
}

/// RFC 3706 §6.2: a peer that insists on the very next number.
#[test]
fn after_a_takeover_retries_reach_the_number_that_a_strict_peer_expects() {
    let mut former = ikev1(periodic());
    next(&mut former);
    assert!(former.handle_ack(100, at(11)));
    let replicated = former.state();
    // Two more went out and were answered; neither was replicated.
    for sequence in [101, 102] {
        assert_eq!(next(&mut former).1, r_u_there(sequence));
        former.handle_ack(sequence, at(60));
    }
    let peer_expects = 103;
    let mut taker = Dpd::resume(
        periodic(),
        DpdProtocol::Ikev1,
        replicated,
        (GRACE, key(1)),
        at(0),
    );
    let mut tries = 0;
    loop {
        let (now, probe, dead) = next(&mut taker);
        assert_eq!(dead, None);
        tries += 1;
        if probe == r_u_there(peer_expects) {
            assert!(taker.handle_ack(peer_expects, now));
            break;
        }
    }
    assert_eq!(tries, 3);
}

#[test]
fn a_takeover_probes_peers_each_in_its_own_moment_and_declares_none_dead_early() {
    let mut probes = BTreeMap::<u64, u32>::new();
    for peer in 0..10_000 {
        let state = DpdState::default();
        let mut dpd = Dpd::resume(
            periodic(),
            DpdProtocol::Ikev1,
            state,
            (GRACE, key(peer)),
            at(500),
        );
        let (first, probe, _) = next(&mut dpd);
        assert!(probe.is_some() && first >= at(510) && first < at(520));
        *probes.entry(first.as_millis() / 1000).or_default() += 1;
        let dead = loop {
            if let (now, _, Some(_)) = next(&mut dpd) {
                break now;
            }
        };
        assert!(dead.since(at(500)) >= periodic().detection_time());
    }
    assert_eq!(probes.len(), 10);
    assert!(probes.values().all(|n| *n < 1200), "{probes:?}");
}

#[test]
fn on_demand_a_takeover_gives_grace_to_peers_that_are_sent_to_at_once() {
    let mut dpd = Dpd::resume(
        DpdConfig::IKEV2,
        DpdProtocol::Ikev2,
        DpdState::default(),
        (GRACE, key(1)),
        at(500),
    );
    assert_eq!(dpd.poll_timeout(), None);
    dpd.handle_sent(at(500));
    assert!(dpd.poll_timeout().unwrap() >= at(510));
}

#[test]
fn a_process_that_was_stopped_asks_once_more() {
    let mut dpd = ikev1(periodic());
    for _ in 0..6 {
        next(&mut dpd);
    }
    // Due at 70, woken at 500: the answer may be unread.
    assert_eq!(dpd.handle_timeout(at(500)), None);
    assert_eq!(dpd.poll_transmit(), r_u_there(106));
    let mut heard = dpd.clone();
    heard.handle_heard(at(501));
    assert!(!heard.is_dead());
    // Late again: no second pardon.
    assert!(dpd.handle_timeout(at(1000)).is_some());
}

#[test]
fn configurations_are_checked() {
    for config in [DpdConfig::IKEV1, DpdConfig::IKEV2, periodic()] {
        assert_eq!(config.validate(), Ok(()));
    }
    let zero = DpdConfig {
        interval_s: 0,
        ..DpdConfig::IKEV1
    };
    assert_eq!(
        zero.validate(),
        Err(DpdConfigError {
            field: "interval_s",
            value: 0,
            lowest: 1,
            highest: 3600
        })
    );
    let never = DpdConfig {
        retries: 21,
        ..DpdConfig::IKEV1
    };
    assert_eq!(never.validate().unwrap_err().field, "retries");
    let widest = DpdConfig {
        interval_s: 3600,
        retry_s: 600,
        retries: 20,
        ..DpdConfig::IKEV2
    };
    assert!(widest.detection_time() <= Duration::from_secs(22 * 3600));
}

fn encoded(config: &DpdConfig) -> Vec<u8> {
    let mut out = vec![];
    config.encode(&mut out);
    out
}

proptest! {
    #[test]
    fn configurations_round_trip(interval_s in 1u16..=3600, retry_s in 1u16..=600, retries in 1u8..=20, flags in 0u8..4) {
        let config = DpdConfig {
            interval_s,
            retry_s,
            retries,
            mode: if flags & 1 == 0 { DpdMode::OnDemand } else { DpdMode::Periodic },
            backoff: if flags & 2 == 0 { Backoff::Fixed } else { Backoff::Doubling },
        };
        let bytes = encoded(&config);
        prop_assert!(bytes.len() <= DpdConfig::ENCODED_LEN_BOUND);
        prop_assert_eq!(DpdConfig::decode(&bytes), Ok(config));
    }

    #[test]
    fn any_bytes_decode_to_what_encodes_to_them_or_not_at_all(
        bytes in prop::collection::vec(prop_oneof![0u8..8, any::<u8>()], 0..12)
    ) {
        if let Ok(config) = DpdConfig::decode(&bytes) {
            prop_assert_eq!(config.validate(), Ok(()));
            prop_assert_eq!(&encoded(&config), &bytes);
        }
        if let Ok(state) = DpdState::decode(&bytes) {
            let mut out = vec![];
            state.encode(&mut out);
            prop_assert_eq!(out, bytes);
        }
    }

    /// Whatever comes in whatever order: a peer that was heard within the detection time is never
    /// declared dead, timers never stand still, and numbers are never repeated.
    #[test]
    fn a_peer_that_is_heard_lives(
        steps in prop::collection::vec((0u8..5, 0u64..20, any::<u32>()), 1..200),
        demand in any::<bool>(), v2 in any::<bool>(),
    ) {
        let config = if demand { DpdConfig::IKEV1 } else { periodic() };
        let protocol = if v2 { DpdProtocol::Ikev2 } else { DpdProtocol::Ikev1 };
        let mut dpd = Dpd::new(config, protocol, 5, at(0));
        let (mut now, mut heard, mut last) = (at(0), at(0), None);
        for (step, passed, number) in steps {
            now = now + Duration::from_secs(passed);
            match step {
                0 => {
                    dpd.handle_heard(now);
                    heard = now;
                }
                1 => dpd.handle_sent(now),
                2 => {
                    if dpd.handle_ack(number % 64, now) {
                        heard = now;
                    }
                }
                3 => {
                    if dpd.handle_r_u_there(number % 64, now) == RUThere::Answer {
                        heard = now;
                    }
                }
                _ => {
                    while let Some(due) = dpd.poll_timeout().filter(|due| *due <= now) {
                        if dpd.handle_timeout(now).is_some() {
                            prop_assert!(now.since(heard) >= config.detection_time());
                        }
                        prop_assert_ne!(dpd.poll_timeout(), Some(due), "the timer stands still");
                        if let Some(Probe::RUThere { sequence }) = dpd.poll_transmit() {
                            prop_assert!(Some(sequence) > last);
                            last = Some(sequence);
                        }
                    }
                }
            }
            if dpd.is_dead() {
                return Ok(());
            }
        }
    }
}
