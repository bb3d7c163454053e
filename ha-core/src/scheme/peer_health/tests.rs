use super::*;
use crate::id::UnitId;
use crate::redundancy::{Claim, Tenure};

mod pair;

const BOOT_WAIT: u64 = 2400;
const HOLD: u64 = 1600;

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

pub(super) fn claim(unit: u32, counter: u64) -> Claim {
    let unit = UnitId::new(unit);
    let active_for = Tenure::from_millis(5);
    Claim {
        term: Term { counter, unit },
        complete: true,
        lineage: 9,
        active_for,
        unit,
    }
}

fn local() -> LocalView {
    LocalView {
        unit: UnitId::new(1),
        state: RfState::Negotiation,
        holds: Term::ZERO,
        holds_complete: false,
        claim: None,
        maintenance: false,
    }
}

/// The peer, the lower unit id.
fn view() -> PeerView {
    PeerView {
        unit: UnitId::new(0),
        state: RfState::Negotiation,
        decided: false,
        seen: Term::ZERO,
        holds: Term::ZERO,
        holds_complete: false,
        claim: None,
        maintenance: false,
        priority: 100,
    }
}

fn peer_of(class: Class) -> Peer {
    match class {
        Class::Unknown => Peer::Unknown,
        Class::Gone => Peer::Gone(Reason::PeerLost),
        Class::Undecided => Peer::Seen(view()),
        Class::Standby => Peer::Seen(PeerView {
            decided: true,
            seen: Term::ZERO.next(UnitId::new(0)),
            ..view()
        }),
        Class::Active => Peer::Seen(PeerView {
            claim: Some(claim(0, 6)),
            ..view()
        }),
    }
}

const ROLES: [Role; 3] = [Role::Undecided, Role::Standby, Role::Active];
const CLASSES: [Class; 5] = [
    Class::Unknown,
    Class::Gone,
    Class::Undecided,
    Class::Standby,
    Class::Active,
];

/// What the table depends on besides role and peer.
#[derive(Clone, Copy, Debug)]
struct Flags {
    maintenance: bool,
    complete: bool,
    incomplete_allowed: bool,
    alone_allowed: bool,
    waited: bool,
    outranks: bool,
}

impl Flags {
    fn all() -> impl Iterator<Item = Self> {
        (0..64_u8).map(|bits| Self {
            maintenance: bits & 1 != 0,
            complete: bits & 2 != 0,
            incomplete_allowed: bits & 4 != 0,
            alone_allowed: bits & 8 != 0,
            waited: bits & 16 != 0,
            outranks: bits & 32 != 0,
        })
    }
}

/// The table of the type's documentation, written down a second time.
fn expected(role: Role, class: Class, flags: Flags) -> Role {
    let Flags {
        maintenance,
        complete,
        incomplete_allowed,
        alone_allowed,
        waited,
        outranks,
    } = flags;
    let active_if = |yes: bool| if yes { Role::Active } else { role };
    match (role, class) {
        (Role::Undecided, Class::Unknown | Class::Gone) => {
            active_if(waited && alone_allowed && !maintenance)
        }
        (Role::Undecided, Class::Undecided) if outranks && !maintenance => Role::Active,
        (Role::Undecided, Class::Undecided | Class::Standby | Class::Active) => Role::Standby,
        (Role::Standby, Class::Gone) => active_if(!maintenance && (complete || incomplete_allowed)),
        (Role::Standby, Class::Undecided | Class::Standby) => {
            active_if(waited && !maintenance && (complete || outranks))
        }
        (Role::Active, Class::Active) if !outranks => Role::Standby,
        (Role::Standby, Class::Unknown | Class::Active) | (Role::Active, _) => role,
    }
}

/// Every role, peer and flag against the second table.
#[test]
fn transition_table() {
    for role in ROLES {
        for class in CLASSES {
            for flags in Flags::all() {
                let found = step(role, class, flags);
                assert_eq!(
                    found,
                    expected(role, class, flags),
                    "{role} {class:?} {flags:?}"
                );
            }
        }
    }
}

fn step(role: Role, class: Class, flags: Flags) -> Role {
    let config = PeerHealthConfig {
        takeover_incomplete: flags.incomplete_allowed,
        start_alone: flags.alone_allowed,
        ..PeerHealthConfig::default()
    };
    let mut scheme = PeerHealth::new(config);
    scheme.decide(role, Reason::Booting);
    let wait = if flags.waited {
        Wait::Over
    } else {
        Wait::Until(at(10))
    };
    (scheme.boot, scheme.hold, scheme.peer) = (wait, wait, peer_of(class));
    let view = LocalView {
        unit: UnitId::new(if flags.outranks { 0 } else { 1 }),
        holds_complete: flags.complete,
        maintenance: flags.maintenance,
        claim: (role == Role::Active).then(|| claim(1, if flags.outranks { 7 } else { 5 })),
        ..local()
    };
    // The peer's id must differ from this unit's.
    if let Peer::Seen(peer) = &mut scheme.peer {
        peer.unit = UnitId::new(if flags.outranks { 1 } else { 0 });
    }
    scheme.handle(&SchemeInput::Timer, &view, at(5));
    scheme.decision().role
}

fn booted(config: PeerHealthConfig) -> PeerHealth {
    let mut scheme = PeerHealth::new(config);
    scheme.handle(&SchemeInput::Boot, &local(), at(0));
    scheme
}

/// A standby of an active peer with `config`.
fn standby(config: PeerHealthConfig) -> PeerHealth {
    let mut scheme = booted(config);
    let active = PeerView {
        claim: Some(claim(0, 6)),
        decided: true,
        ..view()
    };
    scheme.handle(&SchemeInput::PeerSeen(active), &local(), at(1));
    assert_eq!(
        scheme.decision(),
        Decision::new(Role::Standby, Reason::PeerActive)
    );
    scheme
}

/// The unit that hears first decides first, and the other must not take it for a standby that is
/// about to take over.
#[test]
fn at_a_cold_start_it_does_not_matter_who_decides_first() {
    let decided = PeerView {
        unit: UnitId::new(1),
        decided: true,
        ..view()
    };
    let first = LocalView {
        unit: UnitId::new(0),
        ..local()
    };
    let elected = |peer: PeerView| {
        let mut scheme = booted(PeerHealthConfig::default());
        scheme.handle(&SchemeInput::PeerSeen(peer), &first, at(1));
        scheme.decision()
    };
    let active = Decision::new(Role::Active, Reason::Elected);
    assert_eq!(elected(decided), active);
    let preferred = PeerView {
        priority: 101,
        ..decided
    };
    let standby = Decision::new(Role::Standby, Reason::Elected);
    assert_eq!(elected(preferred), standby);
    let waiting = Decision::new(Role::Standby, Reason::PeerWaiting);
    for term in [
        Term::ZERO.next(UnitId::new(0)),
        Term::ZERO.next(UnitId::new(1)),
    ] {
        assert_eq!(
            elected(PeerView {
                seen: term,
                ..decided
            }),
            waiting
        );
        assert_eq!(
            elected(PeerView {
                holds: term,
                ..decided
            }),
            waiting
        );
    }
}

#[test]
fn a_unit_that_hears_nobody_is_active_alone_after_the_boot_wait() {
    let mut scheme = booted(PeerHealthConfig::default());
    assert_eq!(scheme.poll_timeout(), Some(at(BOOT_WAIT)));
    scheme.handle(&SchemeInput::Timer, &local(), at(BOOT_WAIT - 1));
    assert_eq!(scheme.decision().role, Role::Undecided);
    scheme.handle(&SchemeInput::PeerLost, &local(), at(BOOT_WAIT - 1));
    scheme.handle(&SchemeInput::Timer, &local(), at(BOOT_WAIT));
    assert_eq!(
        scheme.decision(),
        Decision::new(Role::Active, Reason::Alone)
    );
    assert_eq!(scheme.poll_timeout(), None);
}

#[test]
fn a_unit_that_may_not_start_alone_waits_without_a_timer() {
    let config = PeerHealthConfig {
        start_alone: false,
        ..PeerHealthConfig::default()
    };
    let mut scheme = booted(config);
    assert_eq!(scheme.poll_timeout(), None);
    scheme.handle(&SchemeInput::Timer, &local(), at(BOOT_WAIT));
    assert_eq!(scheme.decision().role, Role::Undecided);
}

#[test]
fn elections_go_by_maintenance_then_priority_then_unit() {
    let elect = |priority: u32, maintenance: bool, mine_in_maintenance: bool| {
        let mut scheme = booted(PeerHealthConfig::default());
        let peer = PeerView {
            priority,
            maintenance,
            ..view()
        };
        let mine = LocalView {
            maintenance: mine_in_maintenance,
            ..local()
        };
        scheme.handle(&SchemeInput::PeerSeen(peer), &mine, at(1));
        scheme.decision().role
    };
    assert_eq!(
        elect(100, false, false),
        Role::Standby,
        "the peer's unit id is lower"
    );
    assert_eq!(elect(101, false, false), Role::Standby);
    assert_eq!(elect(99, false, false), Role::Active);
    assert_eq!(elect(200, true, false), Role::Active);
    assert_eq!(elect(1, false, true), Role::Standby);
    assert_eq!(elect(1, true, true), Role::Undecided);
}

#[test]
fn a_lost_active_peer_is_replaced_for_a_reason() {
    for (input, reason) in [
        (SchemeInput::PeerLost, Reason::PeerLost),
        (SchemeInput::PeerLeft, Reason::PeerLeft),
        (SchemeInput::PeerRestarted, Reason::PeerRestarted),
        (
            SchemeInput::PeerResigned {
                term: claim(0, 6).term,
            },
            Reason::PeerResigned,
        ),
    ] {
        let mut scheme = standby(PeerHealthConfig::default());
        scheme.handle(&input, &local(), at(2));
        assert_eq!(scheme.decision(), Decision::new(Role::Active, reason));
    }
}

#[test]
fn a_standby_in_maintenance_takes_over_when_that_ends() {
    let mut scheme = standby(PeerHealthConfig::default());
    let maintained = LocalView {
        maintenance: true,
        ..local()
    };
    scheme.handle(&SchemeInput::PeerLost, &maintained, at(2));
    assert_eq!(scheme.decision().role, Role::Standby);
    scheme.handle(&SchemeInput::Maintenance, &local(), at(3));
    assert_eq!(
        scheme.decision(),
        Decision::new(Role::Active, Reason::PeerLost)
    );
}

#[test]
fn a_follower_with_a_higher_term_makes_the_active_unit_raise_its_own() {
    for decided in [false, true] {
        let (mut scheme, mine) = active(PeerHealthConfig::default());
        let seen = Term {
            counter: 1,
            unit: UnitId::new(2),
        };
        let peer = SchemeInput::PeerSeen(PeerView {
            seen,
            decided,
            ..view()
        });
        scheme.handle(&peer, &mine, at(10_000));
        assert!(scheme.decision().raise_term);
        let raised = LocalView {
            claim: Some(claim(1, 2)),
            ..mine
        };
        scheme.handle(&peer, &raised, at(10_001));
        assert_eq!(
            scheme.decision(),
            Decision::new(Role::Active, Reason::Alone)
        );
    }
}

#[test]
fn a_resigned_peer_in_an_old_status_is_not_active() {
    let mut scheme = standby(PeerHealthConfig::default());
    let term = claim(0, 6).term;
    scheme.handle(&SchemeInput::PeerResigned { term }, &local(), at(2));
    // Forced: this unit does not hold all. By claims alone it would yield to the old status.
    let mut incomplete = claim(1, 7);
    incomplete.complete = false;
    let active = LocalView {
        claim: Some(incomplete),
        ..local()
    };
    let old = PeerView {
        claim: Some(claim(0, 6)),
        decided: true,
        ..view()
    };
    scheme.handle(&SchemeInput::PeerSeen(old), &active, at(3));
    assert_eq!(
        scheme.decision(),
        Decision::new(Role::Active, Reason::PeerResigned)
    );
    let again = PeerView {
        claim: Some(claim(0, 8)),
        ..old
    };
    scheme.handle(&SchemeInput::PeerSeen(again), &active, at(4));
    assert_eq!(
        scheme.decision().role,
        Role::Standby,
        "a new activation counts"
    );
}

#[test]
fn a_peer_resignation_in_maintenance_is_left_to_the_rank() {
    let mut scheme = standby(PeerHealthConfig::default());
    let maintained = LocalView {
        maintenance: true,
        ..local()
    };
    let term = claim(0, 6).term;
    scheme.handle(&SchemeInput::PeerResigned { term }, &maintained, at(2));
    assert_eq!(scheme.decision().role, Role::Standby);
    assert_eq!(scheme.poll_timeout(), Some(at(2 + HOLD)));
}

#[test]
fn with_nobody_active_the_better_state_takes_over_after_the_hold_time() {
    let peer = PeerView {
        decided: true,
        holds: claim(0, 6).term,
        holds_complete: true,
        ..view()
    };
    let better = LocalView {
        holds: claim(0, 7).term,
        holds_complete: true,
        ..local()
    };
    let incomplete = LocalView {
        holds_complete: false,
        ..better
    };
    for (mine, role) in [(better, Role::Active), (incomplete, Role::Standby)] {
        let mut scheme = standby(PeerHealthConfig::default());
        scheme.handle(&SchemeInput::PeerSeen(peer), &mine, at(10));
        assert_eq!(scheme.poll_timeout(), Some(at(10 + HOLD)));
        scheme.handle(&SchemeInput::PeerSeen(peer), &mine, at(9 + HOLD));
        assert_eq!(scheme.decision().role, Role::Standby);
        scheme.handle(&SchemeInput::Timer, &mine, at(10 + HOLD));
        assert_eq!(scheme.decision().role, role);
        assert_eq!(scheme.poll_timeout(), None, "no timer is left behind");
    }
}

#[test]
fn a_unit_that_still_hands_over_does_not_count_as_nobody_active() {
    let mut scheme = standby(PeerHealthConfig::default());
    let handing_over = LocalView {
        claim: Some(claim(1, 6)),
        ..local()
    };
    let waiting = PeerView {
        decided: true,
        ..view()
    };
    scheme.handle(&SchemeInput::PeerSeen(waiting), &handing_over, at(10));
    assert_eq!(scheme.poll_timeout(), None);
}

fn ready_peer() -> PeerView {
    PeerView {
        decided: true,
        priority: 200,
        state: RfState::StandbyHot,
        ..view()
    }
}

fn active(config: PeerHealthConfig) -> (PeerHealth, LocalView) {
    let mut scheme = booted(config);
    scheme.handle(&SchemeInput::Timer, &local(), at(BOOT_WAIT));
    (
        scheme,
        LocalView {
            claim: Some(claim(1, 1)),
            ..local()
        },
    )
}

#[test]
fn preemption_is_off_by_default_and_hands_over_in_order() {
    let (mut scheme, mine) = active(PeerHealthConfig::default());
    scheme.handle(&SchemeInput::PeerSeen(ready_peer()), &mine, at(10_000));
    assert_eq!(
        (scheme.decision().role, scheme.poll_timeout()),
        (Role::Active, None)
    );
    let config = PeerHealthConfig {
        preempt: true,
        ..PeerHealthConfig::default()
    };
    let (mut scheme, mine) = active(config);
    scheme.handle(&SchemeInput::PeerSeen(ready_peer()), &mine, at(10_000));
    assert_eq!(scheme.decision().role, Role::Active);
    let cold = PeerView {
        state: RfState::StandbyColdBulk,
        ..ready_peer()
    };
    scheme.handle(&SchemeInput::PeerSeen(cold), &mine, at(10_500));
    assert_eq!(scheme.poll_timeout(), None, "not ready all the time");
    scheme.handle(&SchemeInput::PeerSeen(ready_peer()), &mine, at(11_000));
    scheme.handle(&SchemeInput::Timer, &mine, at(11_000 + HOLD));
    assert_eq!(
        scheme.decision(),
        Decision::new(Role::Standby, Reason::PeerPreferred)
    );
}

#[test]
fn commands_take_the_role_but_not_beside_an_active_peer() {
    let config = PeerHealthConfig {
        takeover_incomplete: false,
        ..PeerHealthConfig::default()
    };
    let mut scheme = standby(config);
    scheme.handle(&SchemeInput::SetRole(Role::Active), &local(), at(2));
    assert_eq!(scheme.decision().role, Role::Standby);
    scheme.handle(&SchemeInput::PeerLost, &local(), at(3));
    assert_eq!(scheme.decision().role, Role::Standby, "incomplete");
    scheme.handle(&SchemeInput::SetRole(Role::Active), &local(), at(4));
    assert_eq!(
        scheme.decision(),
        Decision::new(Role::Active, Reason::Commanded)
    );
    let mine = LocalView {
        claim: Some(claim(1, 7)),
        ..local()
    };
    scheme.handle(&SchemeInput::SetRole(Role::Standby), &mine, at(5));
    assert_eq!(
        scheme.decision().role,
        Role::Active,
        "nobody to take the role"
    );
    scheme.handle(&SchemeInput::PeerSeen(ready_peer()), &mine, at(6));
    scheme.handle(&SchemeInput::SetRole(Role::Standby), &mine, at(7));
    assert_eq!(
        scheme.decision(),
        Decision::new(Role::Standby, Reason::Commanded)
    );
}

#[test]
fn a_unit_that_resigned_follows_and_takes_the_role_back_if_the_peer_is_lost() {
    let (mut scheme, mine) = active(PeerHealthConfig::default());
    scheme.handle(&SchemeInput::PeerSeen(ready_peer()), &mine, at(10_000));
    scheme.handle(&SchemeInput::Resigned, &local(), at(10_001));
    assert_eq!(
        scheme.decision(),
        Decision::new(Role::Standby, Reason::Resigned)
    );
    scheme.handle(&SchemeInput::PeerLost, &local(), at(10_002));
    assert_eq!(
        scheme.decision(),
        Decision::new(Role::Active, Reason::PeerLost)
    );
}

#[test]
fn a_decision_that_was_not_carried_out_yields_to_an_active_peer() {
    let mut scheme = standby(PeerHealthConfig::default());
    scheme.handle(&SchemeInput::PeerLost, &local(), at(2));
    let alive = PeerView {
        claim: Some(claim(0, 6)),
        ..view()
    };
    scheme.handle(&SchemeInput::PeerSeen(alive), &local(), at(3));
    assert_eq!(
        scheme.decision(),
        Decision::new(Role::Standby, Reason::PeerActive)
    );
}

#[test]
fn configurations_are_checked_at_their_limits() {
    let keepalive = KeepaliveConfig::default();
    let good = PeerHealthConfig::for_keepalive(keepalive);
    assert_eq!(good.validate(keepalive), Ok(()));
    let (least, most) = (keepalive.detection_time(), PeerHealthConfig::MAX_WAIT);
    for wait in [least, most] {
        let config = PeerHealthConfig {
            boot_wait: wait,
            hold: wait,
            ..good
        };
        assert_eq!(config.validate(keepalive), Ok(()));
    }
    for wait in [
        least - Duration::from_nanos(1),
        most + Duration::from_nanos(1),
    ] {
        let config = PeerHealthConfig {
            boot_wait: wait,
            ..good
        };
        let what = "boot wait";
        let refused = PeerHealthConfigError::Wait { what, wait, least };
        assert_eq!(config.validate(keepalive), Err(refused));
        assert!(
            PeerHealthConfig { hold: wait, ..good }
                .validate(keepalive)
                .is_err()
        );
    }
    let slowest = KeepaliveConfig::new(Duration::from_secs(60), 50).unwrap();
    assert_eq!(
        PeerHealthConfig::for_keepalive(slowest).validate(slowest),
        Ok(())
    );
}
