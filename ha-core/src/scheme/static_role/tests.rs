use core::time::Duration;

use super::*;
use crate::id::{Term, UnitId};
use crate::redundancy::{Claim, RfState};

fn claim(unit: u32, counter: u64) -> Claim {
    let unit = UnitId::new(unit);
    let active_for = Some(Duration::from_millis(5));
    Claim {
        term: Term { counter, unit },
        complete: true,
        lineage: 9,
        active_for,
        unit,
    }
}

fn local(active: bool) -> LocalView {
    LocalView {
        unit: UnitId::new(0),
        state: RfState::Negotiation,
        holds: Term::ZERO,
        holds_complete: false,
        claim: active.then(|| claim(0, 5)),
        maintenance: false,
    }
}

fn peer(counter: Option<u64>) -> SchemeInput {
    SchemeInput::PeerSeen(PeerView {
        unit: UnitId::new(1),
        state: RfState::Negotiation,
        decided: true,
        seen: Term::ZERO,
        holds: Term::ZERO,
        holds_complete: false,
        claim: counter.map(|counter| claim(1, counter)),
        maintenance: false,
        priority: 0,
    })
}

fn booted(role: Role) -> Static {
    let mut scheme = Static::new(role);
    scheme.handle(&SchemeInput::Boot, &local(false), Time::ZERO);
    scheme
}

#[test]
fn the_role_is_undecided_before_boot_and_configured_after() {
    assert_eq!(Static::new(Role::Active).decision().role, Role::Undecided);
    for role in [Role::Undecided, Role::Standby, Role::Active] {
        assert_eq!(
            booted(role).decision(),
            Decision::new(role, Reason::Configured)
        );
    }
}

/// Every role and input; what is not in the table leaves the role alone.
#[test]
fn transition_table() {
    use Role::{Active, Standby, Undecided};
    let resigned = SchemeInput::PeerResigned { term: Term::ZERO };
    let rows = [
        (SchemeInput::SetRole(Active), [Active, Active, Active]),
        (SchemeInput::SetRole(Standby), [Standby, Standby, Standby]),
        (
            SchemeInput::SetRole(Undecided),
            [Undecided, Standby, Active],
        ),
        (SchemeInput::Resigned, [Undecided, Standby, Standby]),
        (resigned, [Undecided, Active, Active]),
        (peer(None), [Undecided, Standby, Active]),
        (peer(Some(4)), [Undecided, Standby, Active]),
        (peer(Some(6)), [Undecided, Standby, Standby]),
        (SchemeInput::PeerLost, [Undecided, Standby, Active]),
        (SchemeInput::PeerRestarted, [Undecided, Standby, Active]),
        (SchemeInput::PeerLeft, [Undecided, Standby, Active]),
        (SchemeInput::Timer, [Undecided, Standby, Active]),
        (SchemeInput::Maintenance, [Undecided, Standby, Active]),
    ];
    for (input, expected) in rows {
        for (role, expected) in [Undecided, Standby, Active].into_iter().zip(expected) {
            let mut scheme = booted(role);
            scheme.handle(&input, &local(role == Active), Time::ZERO);
            assert_eq!(scheme.decision().role, expected, "{role} on {input:?}");
            assert_eq!(scheme.poll_timeout(), None);
        }
    }
}

#[test]
fn a_winner_with_the_lower_term_is_told_to_raise_it_once() {
    let mut scheme = booted(Role::Active);
    let mut partial = claim(1, 6);
    partial.complete = false;
    let SchemeInput::PeerSeen(mut view) = peer(Some(6)) else {
        panic!()
    };
    view.claim = Some(partial);
    scheme.handle(&SchemeInput::PeerSeen(view), &local(true), Time::ZERO);
    assert!(scheme.decision().raise_term);
    let mut raised = local(true);
    raised.claim = Some(claim(0, 7));
    scheme.handle(&SchemeInput::PeerSeen(view), &raised, Time::ZERO);
    assert_eq!(
        scheme.decision(),
        Decision::new(Role::Active, Reason::Configured)
    );
}

#[test]
fn a_follower_with_a_higher_term_makes_the_active_unit_raise_its_own() {
    let mut scheme = booted(Role::Active);
    let SchemeInput::PeerSeen(view) = peer(None) else {
        panic!()
    };
    for (counter, raise) in [(4, false), (5, true), (6, true)] {
        let seen = Term {
            counter,
            unit: UnitId::new(1),
        };
        let input = SchemeInput::PeerSeen(PeerView { seen, ..view });
        scheme.handle(&input, &local(true), Time::ZERO);
        assert_eq!(scheme.decision().raise_term, raise, "{seen} against 5.0");
    }
}
