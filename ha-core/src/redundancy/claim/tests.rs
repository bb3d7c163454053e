use proptest::prelude::*;

use super::*;

fn claim(unit: u32, counter: u64, complete: bool, lineage: u64, millis: u64) -> Claim {
    let unit = UnitId::new(unit);
    let active_for = Tenure::from_millis(millis);
    Claim {
        term: Term { counter, unit },
        complete,
        lineage,
        active_for,
        unit,
    }
}

/// Every pair of claims over a small domain: opposite verdicts, or both wait.
#[test]
fn two_units_always_come_to_opposite_conclusions() {
    let mut decided = 0;
    for (mine, theirs) in pairs() {
        match (mine.against(&theirs), theirs.against(&mine)) {
            (Verdict::Keep { raise_term }, Verdict::Yield) => {
                assert_eq!(raise_term, mine.term < theirs.term, "{mine:?} {theirs:?}");
                decided += 1;
            }
            (Verdict::Yield, Verdict::Keep { .. }) => {}
            (Verdict::Wait, Verdict::Wait) => {
                assert_ne!(mine.lineage, theirs.lineage);
                assert!(mine.active_for.is_none() || theirs.active_for.is_none());
            }
            verdicts => panic!("{verdicts:?} for {mine:?} {theirs:?}"),
        }
    }
    // All pairs less those of different lineages in which a tenure is not known, once each.
    assert_eq!(decided, (2 * 36 * 36 - 720) / 2);
}

/// The winner's next term must not turn the verdict, or the units would swap for ever.
#[test]
fn raising_the_winners_term_does_not_turn_the_verdict() {
    for (mine, theirs) in pairs() {
        if let Verdict::Keep { .. } = mine.against(&theirs) {
            let raised = Claim {
                term: mine.term.max(theirs.term).next(mine.unit),
                ..mine
            };
            assert_eq!(raised.against(&theirs), Verdict::Keep { raise_term: false });
            assert_eq!(theirs.against(&raised), Verdict::Yield);
        }
    }
}

fn pairs() -> impl Iterator<Item = (Claim, Claim)> {
    let of = |unit: u32| {
        (0..3 * 2 * 2 * 3_u64).map(move |n| claim(unit, n % 3, n / 3 % 2 == 0, n / 6 % 2, n / 12))
    };
    of(0).flat_map(move |a| of(1).flat_map(move |b| [(a, b), (b, a)]))
}

#[test]
fn a_serving_unit_beats_one_that_restarted_empty() {
    let days = 5 * 24 * 3600 * 1000;
    let serving = claim(0, 1, true, 11, days);
    for counter in [1, 2, 99] {
        let restarted = claim(1, counter, true, 22, 4000);
        let raise_term = counter >= 1;
        assert_eq!(serving.against(&restarted), Verdict::Keep { raise_term });
        assert_eq!(restarted.against(&serving), Verdict::Yield);
    }
}

#[test]
fn within_a_lineage_the_unit_that_took_over_last_keeps_the_role() {
    let old = claim(0, 4, true, 11, 900_000);
    let new = claim(1, 5, true, 11, 0);
    assert_eq!(new.against(&old), Verdict::Keep { raise_term: false });
}

#[test]
fn within_a_lineage_a_whole_state_beats_a_part_of_it() {
    let whole = claim(0, 4, true, 11, 0);
    let part = claim(1, 5, false, 11, 0);
    assert_eq!(whole.against(&part), Verdict::Keep { raise_term: true });
    assert_eq!(part.against(&whole), Verdict::Yield);
}

#[test]
fn claims_of_one_unit_decide_nothing() {
    let mine = claim(0, 4, true, 11, 5);
    assert_eq!(mine.against(&mine), Verdict::Wait);
}

#[test]
fn a_tenure_freezes_once_for_each_lineage_of_the_peer() {
    let mut tenure = Tenure::new(Time::from_millis(1000));
    assert_eq!((tenure.reported(), tenure.to_millis()), (None, 0));
    assert!(tenure.contest(7, Time::from_millis(1500)));
    assert!(!tenure.contest(7, Time::from_millis(9000)));
    assert_eq!(tenure.to_millis(), 500);
    assert!(tenure.contest(8, Time::from_millis(9000)));
    assert_eq!(tenure.to_millis(), 8000);
}

#[test]
fn a_tenure_shorter_than_a_millisecond_is_still_one() {
    let mut tenure = Tenure::new(Time::ZERO);
    tenure.contest(7, Time::from_nanos(10));
    assert_eq!(Tenure::from_millis(tenure.to_millis()), tenure.reported());
    assert_eq!(tenure.to_millis(), 1);
}

/// One of two active units of different lineages, exchanging claims over a slow link.
struct Side {
    claim: Claim,
    tenure: Tenure,
    verdict: Option<bool>,
}

impl Side {
    fn new(unit: u32, counter: u64, active_since: u64) -> Self {
        let tenure = Tenure::new(Time::from_millis(active_since));
        let lineage = 100 + u64::from(unit);
        Self {
            claim: claim(unit, counter, true, lineage, 0),
            tenure,
            verdict: None,
        }
    }

    fn hear(&mut self, peer: &Claim, now: Time) {
        self.tenure.contest(peer.lineage, now);
        self.claim.active_for = self.tenure.reported();
        let verdict = match self.claim.against(peer) {
            Verdict::Keep { raise_term } => {
                if raise_term {
                    self.claim.term = self.claim.term.max(peer.term).next(self.claim.unit);
                }
                true
            }
            Verdict::Yield => false,
            Verdict::Wait => return,
        };
        assert_ne!(self.verdict, Some(!verdict), "changed its mind");
        self.verdict = Some(verdict);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Reports of any age, lost, late and in any order, near ties included: nobody changes its
    /// mind and both agree on who keeps the role.
    #[test]
    fn reports_of_any_age_lead_to_one_winner(
        counters in (1..4_u64, 1..4_u64),
        starts in (0..40_u64, 0..40_u64),
        deliveries in prop::collection::vec((any::<bool>(), 0..8_usize, 0..5_u64), 0..60),
    ) {
        let mut sides = [Side::new(0, counters.0, starts.0), Side::new(1, counters.1, starts.1)];
        let mut sent: [Vec<Claim>; 2] = [vec![sides[0].claim], vec![sides[1].claim]];
        let mut now = Time::from_millis(50);
        let fresh = [(false, 0, 1), (true, 0, 1), (false, 0, 1), (true, 0, 1)];
        for (to, age, pause) in deliveries.into_iter().chain(fresh) {
            now = now + Duration::from_millis(pause);
            let (to, from) = (usize::from(to), usize::from(!to));
            let report = sent[from][sent[from].len().saturating_sub(1 + age)];
            sides[to].hear(&report, now);
            let claim = sides[to].claim;
            sent[to].push(claim);
        }
        prop_assert!(sides[0].verdict.is_some(), "undecided");
        prop_assert_eq!(sides[0].verdict, sides[1].verdict.map(|won| !won));
        let winner = sides.iter().find(|side| side.verdict == Some(true)).unwrap();
        prop_assert_eq!(winner.claim.term, sides[0].claim.term.max(sides[1].claim.term));
    }
}
