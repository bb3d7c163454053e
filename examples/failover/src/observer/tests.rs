use super::*;
use crate::wire::Gateway::{A, B};

const MS: u64 = 1_000_000;
/// One packet a millisecond in each direction, over ten SAs in turn.
const CONFIG: ObserverConfig = ObserverConfig {
    sas: 10,
    pps: 1000,
    page_limit: 1000,
};
/// Length of a test run, and when A fails in it.
const END: u64 = 6000;
const JUDGED: u64 = 5750;
const FAULT: u64 = 2500;

/// A run, one packet for each millisecond and direction, that can be told to go wrong.
struct Run {
    observer: Observer,
    fault: Fault,
}

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// Delivered through this unit.
    Through(Gateway),
    /// Forwarded to this unit, and lost.
    LostAt(Gateway),
    /// There was no unit to forward it to.
    Nowhere,
    /// Sent on by this unit, and refused by the remote site.
    Replay(Gateway),
}

impl Run {
    fn new() -> Self {
        let at_ns = FAULT * MS;
        Self {
            observer: Observer::new(CONFIG),
            fault: Fault {
                kind: FaultKind::Crash,
                failed: A,
                at_ns,
            },
        }
    }

    /// Lets `fate` decide about each packet: of direction, millisecond, SA.
    fn play(mut self, fate: impl Fn(Direction, u64, u32) -> Fate) -> FailureReport {
        for ms in 0..END {
            if ms == FAULT {
                self.observer.begin(self.fault);
            }
            let sa = (ms % 10) as u32;
            for direction in Direction::BOTH {
                self.packet(direction, ms, sa, fate(direction, ms, sa));
            }
            self.observer.forget(ms * MS);
        }
        self.observer.conclude(JUDGED * MS).unwrap()
    }

    fn packet(&mut self, direction: Direction, ms: u64, sa: u32, fate: Fate) {
        let number = ms / 10 + 1;
        let unit = match fate {
            Fate::Through(unit) | Fate::LostAt(unit) | Fate::Replay(unit) => Some(unit),
            Fate::Nowhere => None,
        };
        let event = |what, later_ns| Event {
            at_ns: ms * MS + later_ns,
            number,
            sa,
            unit,
            what,
        };
        let mut events = vec![event(What::Sent(direction), 0)];
        if direction == Direction::Outbound && matches!(fate, Fate::Through(_) | Fate::Replay(_)) {
            events.push(event(What::Esp, 50_000));
        }
        match fate {
            Fate::Through(_) => events.push(event(What::Delivered(direction), 100_000)),
            Fate::Replay(_) => events.push(event(What::RemoteReplay, 100_000)),
            Fate::LostAt(_) | Fate::Nowhere => {}
        }
        self.observer.absorb(events);
    }
}

/// A takeover as it should be: 300 ms nothing, then all through B.
fn clean(_: Direction, ms: u64, _: u32) -> Fate {
    match ms {
        0..FAULT => Fate::Through(A),
        FAULT..2800 => Fate::LostAt(A),
        _ => Fate::Through(B),
    }
}

#[test]
fn a_clean_takeover() {
    let report = Run::new().play(clean);
    assert_eq!((report.sas_before, report.sas_after), (10, 10));
    assert_eq!(report.sas_lost, 0);
    assert_eq!(report.takeover_ms, Some(300.0));
    assert_eq!(report.address_moves, 1);
    assert_eq!(report.inbound_ms, Some(300.0));
    // The first sign of B is the first ESP packet on the wire.
    assert_eq!(report.detect_ms, Some(300.05));
    assert_eq!(report.packets_sent, 2 * JUDGED);
    assert_eq!(report.packets_lost_in_outage, 600);
    assert_eq!(report.packets_dropped_by_replay_check, 0);
    assert_eq!(report.packets_lost_otherwise, 0);
    assert_eq!(report.sequence_numbers_reused, 0);
    assert_eq!(report.replays_accepted, 0);
}

#[test]
fn packets_sent_too_late_to_judge_count_for_the_next_failure() {
    let mut run = Run::new();
    let fault = run.fault;
    run.observer.begin(fault);
    for ms in 2500..4500 {
        run.packet(Direction::Inbound, ms, (ms % 10) as u32, Fate::Through(B));
    }
    let first = run.observer.conclude(4000 * MS).unwrap();
    run.observer.begin(fault);
    let second = run.observer.conclude(9000 * MS).unwrap();
    assert_eq!(first.packets_sent, 4000 - 2500);
    assert_eq!(first.packets_sent + second.packets_sent, 2000);
    assert_eq!(run.observer.conclude(9000 * MS), None);
}

#[test]
fn a_claim_is_the_first_sign_of_the_other_unit() {
    let mut run = Run::new();
    run.observer.begin(run.fault);
    let claim = |unit, ms| Event {
        at_ns: ms * MS,
        number: 5,
        sa: 0,
        unit: Some(unit),
        what: What::Claimed,
    };
    run.observer
        .absorb([claim(A, 2510), claim(B, 2499), claim(B, 2620)]);
    run.observer.absorb([claim(B, 2600)]);
    let report = run.observer.conclude(END * MS).unwrap();
    assert_eq!(report.detect_ms, Some(100.0));
    assert_eq!(report.takeover_ms, None);
}

#[test]
fn traffic_that_never_comes_back() {
    let report = Run::new().play(|direction, ms, sa| match clean(direction, ms, sa) {
        Fate::Through(B) if direction == Direction::Inbound => Fate::Nowhere,
        fate => fate,
    });
    assert_eq!(report.takeover_ms, None);
    assert_eq!(report.inbound_ms, None);
    assert_eq!(report.outbound_ms, Some(300.0));
    assert_eq!(report.address_moves, 1);
    assert_eq!((report.sas_after, report.sas_lost), (0, 10));
}

#[test]
fn an_sa_that_is_lost_in_one_direction_is_lost() {
    for direction in Direction::BOTH {
        let report = Run::new().play(|d, ms, sa| match clean(d, ms, sa) {
            Fate::Through(B) if d == direction && sa == 3 => Fate::LostAt(B),
            fate => fate,
        });
        assert_eq!((report.sas_before, report.sas_after), (10, 9));
        assert_eq!(report.sas_lost, 1);
        assert!(report.packets_lost_otherwise > 200);
        assert_eq!(report.packets_dropped_by_replay_check, 0);
    }
}

#[test]
fn drops_of_the_new_gateway_are_told_from_the_outage() {
    // The first two packets of each SA after the takeover.
    let report = Run::new().play(|direction, ms, sa| match clean(direction, ms, sa) {
        Fate::Through(B) if direction == Direction::Inbound && ms < 2820 => Fate::LostAt(B),
        fate => fate,
    });
    assert_eq!(report.packets_lost_in_outage, 600);
    assert_eq!(report.dropped_by_gateway, 20);
    assert_eq!(report.packets_dropped_by_replay_check, 20);
    assert_eq!(report.most_dropped_of_one_sa, 2);
    assert_eq!(report.outbound_ms, Some(300.0));
    assert_eq!(report.inbound_ms, report.takeover_ms);
    assert_eq!(report.takeover_ms, Some(320.0));
}

#[test]
fn drops_of_the_remote_site_are_counted_once() {
    let report = Run::new().play(|direction, ms, sa| match clean(direction, ms, sa) {
        Fate::Through(B) if direction == Direction::Outbound && sa == 4 && ms < 2850 => {
            Fate::Replay(B)
        }
        fate => fate,
    });
    assert_eq!(report.dropped_by_remote, 5);
    assert_eq!(report.packets_dropped_by_replay_check, 5);
    assert_eq!(report.most_dropped_of_one_sa, 5);
    assert_eq!(report.packets_lost_otherwise, 0);
    assert_eq!(report.packets_lost_in_outage, 600);
}

#[test]
fn the_remote_site_may_refuse_what_a_stale_unit_sends() {
    let mut run = Run::new();
    run.observer.begin(run.fault);
    let packet = |what, unit, number, at_ns| Event {
        at_ns,
        number,
        sa: 4,
        unit,
        what,
    };
    let after = FAULT * MS + 5;
    run.observer.absorb([
        // The taps may tell in another order than it happened.
        packet(What::RemoteReplay, None, 70, after),
        packet(What::RemoteReplay, None, 71, after),
        packet(What::RemoteReplay, None, 72, after),
        packet(What::Esp, Some(A), 70, after),
        packet(What::Esp, Some(B), 71, after),
        packet(What::Esp, Some(A), 72, after - 10),
    ]);
    let report = run.observer.conclude(JUDGED * MS).unwrap();
    assert_eq!(report.dropped_by_remote, 2);
}

#[test]
fn with_extended_numbers_the_integrity_check_refuses_what_a_stale_unit_sends() {
    let mut run = Run::new();
    run.observer.begin(run.fault);
    let packet = |what, unit, number| Event {
        at_ns: FAULT * MS + 5,
        number,
        sa: 4,
        unit,
        what,
    };
    let next = 1 << 32;
    run.observer.absorb([
        packet(What::RemoteRefused, None, next + 70),
        packet(What::RemoteRefused, None, next + 71),
        // Not behind the window, so it is damaged, whoever sent it.
        packet(What::RemoteRefused, None, 70),
        packet(What::Esp, Some(A), 70),
        packet(What::Esp, Some(B), 71),
    ]);
    let report = run.observer.conclude(JUDGED * MS).unwrap();
    assert_eq!(report.packets_refused_by_remote, 2);
}

#[test]
fn losses_of_a_busy_machine_are_no_outage() {
    let report = Run::new().play(|direction, ms, sa| match clean(direction, ms, sa) {
        Fate::Through(A) if ms % 100 == 7 && ms < 1400 => Fate::LostAt(A),
        fate => fate,
    });
    assert_eq!(report.packets_lost_otherwise, 2 * 14);
    assert_eq!(report.packets_lost_in_outage, 600);
    // Shortly before the fault too, unless they can have been in its queue then.
    let report = Run::new().play(|direction, ms, sa| match clean(direction, ms, sa) {
        Fate::Through(A) if (2400..2410).contains(&ms) || ms >= 2490 => Fate::LostAt(A),
        fate => fate,
    });
    assert_eq!(report.packets_lost_otherwise, 2 * 10);
    assert_eq!(report.packets_lost_in_outage, 600 + 2 * 10);
}

#[test]
fn reuse_and_replays_belong_to_the_failure_they_follow() {
    let mut run = Run::new();
    let (fault, sa) = (run.fault, 3);
    let event = |what, number| Event {
        at_ns: FAULT * MS,
        number,
        sa,
        unit: Some(B),
        what,
    };
    let delivered = What::Delivered(Direction::Inbound);
    run.observer.begin(fault);
    run.observer.absorb([
        event(What::Esp, 7),
        event(What::Esp, 7),
        event(delivered, 9),
        event(delivered, 9),
        event(What::Injected, 9),
        event(What::Reflected, 1),
    ]);
    let first = run.observer.conclude(END * MS).unwrap();
    assert_eq!(first.sequence_numbers_reused, 1);
    assert_eq!(first.replays_accepted, 2);
    assert_eq!(first.replays_injected, 1);
    run.observer.begin(fault);
    run.observer.absorb([event(What::Esp, 7)]);
    let second = run.observer.conclude(END * MS).unwrap();
    assert_eq!(second.sequence_numbers_reused, 1);
    assert_eq!(second.replays_accepted, 0);
}

#[test]
fn replays_between_an_isolated_unit_and_the_other_are_told_from_the_rest() {
    let mut run = Run::new();
    let delivered = |unit, number, ms| Event {
        at_ns: ms * MS,
        number,
        sa: 1,
        unit: Some(unit),
        what: What::Delivered(Direction::Inbound),
    };
    run.observer.absorb([delivered(A, 1, FAULT - 1)]);
    run.observer.begin(run.fault);
    run.observer.absorb([
        delivered(A, 2, FAULT),
        delivered(B, 3, FAULT),
        // Accepted by A on its own, then by B; and the other way round.
        delivered(B, 2, FAULT + 1),
        delivered(A, 3, FAULT + 1),
        // Once more by one of them; by one alone; from before the fault.
        delivered(B, 2, FAULT + 2),
        delivered(A, 3, FAULT + 2),
        delivered(B, 4, FAULT + 2),
        delivered(B, 4, FAULT + 3),
        delivered(B, 1, FAULT + 3),
    ]);
    let report = run.observer.conclude(JUDGED * MS).unwrap();
    assert_eq!(report.replays_accepted, 6);
    assert_eq!(report.replays_exposed, 2);
    assert_eq!(run.observer.replays().len(), 6);
}

#[test]
fn passing_needs_both_directions_and_a_window_of_packets() {
    let mut run = Run::new();
    assert_eq!(run.observer.window_ns(), SECOND_NS);
    for ms in 0..2000 {
        let sa = (ms % 10) as u32;
        run.packet(Direction::Inbound, ms, sa, Fate::Through(A));
        let outbound = if sa < 4 {
            Fate::Through(A)
        } else {
            Fate::LostAt(A)
        };
        run.packet(Direction::Outbound, ms, sa, outbound);
    }
    assert_eq!(run.observer.passing(2000 * MS), 4);
    assert_eq!(run.observer.passing(4000 * MS), 0);
}

#[test]
fn what_is_on_its_way_is_not_lost_yet() {
    let mut run = Run::new();
    for ms in 0..2000 {
        let fate = match ms {
            1990.. => Fate::LostAt(A),
            _ => Fate::Through(A),
        };
        run.packet(Direction::Inbound, ms, (ms % 10) as u32, fate);
    }
    assert_eq!(run.observer.on_their_way(1990 * MS), 0);
    assert_eq!(run.observer.on_their_way(1995 * MS), 5);
    assert_eq!(run.observer.on_their_way(2500 * MS), 10);
    assert_eq!(run.observer.on_their_way(3500 * MS), 0);
}

#[test]
fn memory_between_failures_is_bounded() {
    let mut run = Run::new();
    let mut most = 0;
    for ms in 0..60_000 {
        for direction in Direction::BOTH {
            run.packet(direction, ms, (ms % 10) as u32, Fate::Through(A));
        }
        run.observer.forget(ms * MS);
        most = most.max(run.observer.progress().pending);
    }
    assert_eq!(run.observer.progress().delivered, [60_000; 2]);
    assert!(most <= 2 * 3001, "{most}");
}

#[test]
fn traffic_is_back_when_nine_in_ten_arrive() {
    // After the outage first every `n`-th packet is lost, until 3300.
    let takeover = |n: u64| {
        let report = Run::new().play(|direction, ms, sa| match clean(direction, ms, sa) {
            Fate::Through(B) if ms < 3300 && ms % n == 0 => Fate::LostAt(B),
            fate => fate,
        });
        report.takeover_ms
    };
    assert!(takeover(10).is_some_and(|ms| ms <= 301.0));
    // Of 40 packets 4 may be lost, so it is back once the last four of these are within it.
    assert!(takeover(5).is_some_and(|ms| ms > 750.0));
}
