use super::super::{MAX_BUDGET, Proposal, RekeyReason};
use super::{Gate, OutboundCounter, Refused, SequenceSpace, alone, drain, open};
use SequenceSpace::{Bits32, Esn};

const LAST32: u64 = u32::MAX as u64;

#[test]
fn a_new_sa_counts_from_1_without_limit() {
    let (counter, gate) = (OutboundCounter::fresh(Bits32, 100), open());
    for number in 1..=5000 {
        assert_eq!(counter.next(&gate).unwrap().number, number);
    }
    assert_eq!(counter.limit(), None);
    assert_eq!(counter.proposal(), Proposal::default());
    assert_eq!(
        (counter.handed_out(), counter.handed_out_upper()),
        (5000, 5000)
    );
    assert_eq!(counter.rekey_due(), None);
}

#[test]
fn leaving_bounds_a_new_sa() {
    let (counter, gate) = (OutboundCounter::fresh(Bits32, 100), open());
    let _ = counter.take(7, &gate).unwrap();
    let proposal = counter.propose(10);
    assert_eq!((proposal.reserved, proposal.used), (17, 7));
    assert_eq!(counter.limit(), Some(17));
    // Nobody can hold the SA without this bound: it may be used at once.
    assert_eq!(
        drain(&counter, &gate),
        ((8..=17).collect(), Refused::NoReservation)
    );
    assert_eq!(counter.proposal(), proposal);
}

#[test]
fn a_reservation_is_used_once_acknowledged() {
    let (counter, gate) = (OutboundCounter::fresh(Bits32, 100), open());
    counter.propose(10);
    drain(&counter, &gate);
    let proposal = counter.propose(5);
    assert_eq!((proposal.reserved, proposal.used), (15, 10));
    assert_eq!(counter.next(&gate), Err(Refused::NoReservation));
    counter.acknowledge(15);
    assert_eq!(drain(&counter, &gate).0, [11, 12, 13, 14, 15]);
}

#[test]
fn proposals_and_limits_never_shrink() {
    let counter = OutboundCounter::fresh(Bits32, 100);
    assert_eq!(counter.propose(50).reserved, 50);
    assert_eq!(counter.propose(10).reserved, 50);
    assert_eq!(counter.propose(0).reserved, 50);
    assert_eq!(counter.propose(80).reserved, 80);
    counter.acknowledge(70);
    counter.acknowledge(60);
    assert_eq!(counter.limit(), Some(70));
}

#[test]
fn what_was_not_proposed_cannot_be_acknowledged() {
    let (counter, gate) = (OutboundCounter::fresh(Bits32, 100), open());
    counter.acknowledge(1000);
    assert_eq!(counter.limit(), None);
    counter.propose(10);
    counter.acknowledge(11);
    assert_eq!(drain(&counter, &gate).0.len(), 10);
}

#[test]
fn the_budget_is_for_isolation_and_there_once() {
    let counter = OutboundCounter::fresh(Bits32, 4);
    counter.propose(10);
    drain(&counter, &open());
    for _ in 0..3 {
        assert_eq!(counter.next(&open()), Err(Refused::NoReservation));
        let _ = counter.next(&alone());
    }
    assert_eq!(
        drain(&counter, &alone()),
        (vec![14], Refused::BudgetExhausted)
    );
    // Back in reach, the acknowledged limit holds again.
    assert_eq!(counter.next(&open()), Err(Refused::NoReservation));
    let proposal = counter.propose(3);
    assert_eq!((proposal.reserved, proposal.used), (17, 14));
    counter.acknowledge(17);
    assert_eq!(drain(&counter, &alone()).0, (15..=21).collect::<Vec<_>>());
}

#[test]
fn taking_over_skips_the_budget() {
    let counter = OutboundCounter::resume(Bits32, 100, 1000, 900);
    assert_eq!(counter.next(&open()), Err(Refused::NoReservation));
    assert_eq!(
        (counter.handed_out(), counter.handed_out_upper()),
        (900, 1100)
    );
    let (numbers, refused) = drain(&counter, &alone());
    assert_eq!(
        (numbers, refused),
        ((1101..=1200).collect(), Refused::BudgetExhausted)
    );
    let proposal = counter.propose(10);
    assert_eq!((proposal.reserved, proposal.used), (1210, 1200));
    counter.acknowledge(1210);
    assert_eq!(
        drain(&counter, &open()).0,
        (1201..=1210).collect::<Vec<_>>()
    );
}

#[test]
fn a_contested_counter_keeps_to_its_zone_then_skips_the_others() {
    let counter = OutboundCounter::fresh(Bits32, 10);
    counter.propose(100);
    counter.propose(150);
    counter.acknowledge(120);
    let _ = counter.take(119, &open());
    counter.contest();
    // Its own zone: to 120, and to 130 alone.
    assert_eq!(drain(&counter, &open()).0, [120]);
    assert_eq!(counter.next(&alone()).unwrap().number, 121);
    // What was proposed before may belong to a standby that is gone.
    counter.acknowledge(150);
    assert_eq!(counter.limit(), Some(120));
    // The other one may have begun at 150 + 10 + 1 and have got to 150 + 20.
    let proposal = counter.propose(5);
    assert_eq!((proposal.reserved, proposal.used), (175, 121));
    assert_eq!(drain(&counter, &alone()).0, (122..=130).collect::<Vec<_>>());
    counter.acknowledge(175);
    // Nothing was handed out beyond yet: the audit still finds what was proposed.
    assert_eq!(
        (counter.handed_out(), counter.handed_out_upper()),
        (121, 170)
    );
    assert_eq!(counter.proposal(), proposal);
    assert_eq!(drain(&counter, &open()).0, (171..=175).collect::<Vec<_>>());
}

#[test]
fn contested_again_before_the_jump_is_acknowledged() {
    let (counter, gate) = (OutboundCounter::fresh(Bits32, 10), open());
    counter.propose(100);
    counter.contest();
    counter.contest();
    assert_eq!(counter.propose(1).reserved, 121);
    counter.contest();
    counter.acknowledge(121);
    assert_eq!(counter.limit(), Some(100));
    assert_eq!(counter.propose(1).reserved, 142);
    counter.acknowledge(142);
    assert_eq!(drain(&counter, &gate).0.last(), Some(&142));
}

#[test]
fn nothing_is_skipped_while_nothing_left_this_unit() {
    let (fresh, resumed) = (
        OutboundCounter::fresh(Bits32, 10),
        OutboundCounter::resume(Bits32, 10, 100, 0),
    );
    fresh.contest();
    resumed.contest();
    assert_eq!(fresh.propose(5).reserved, 5);
    assert_eq!(resumed.propose(5).reserved, 115);
}

#[test]
fn closed_is_for_good() {
    let (counter, gate) = (OutboundCounter::fresh(Bits32, 10), alone());
    let _ = counter.take(3, &gate).unwrap();
    counter.close();
    assert_eq!(counter.next(&gate), Err(Refused::Closed));
    assert_eq!(counter.take(5, &gate), Err(Refused::Closed));
    assert_eq!((counter.handed_out(), counter.handed_out_upper()), (3, 3));
    assert_eq!(counter.propose(10).reserved, 13);
    counter.contest();
    let jump = counter.propose(10);
    counter.acknowledge(jump.reserved);
    assert_eq!(counter.next(&gate), Err(Refused::Closed));
}

#[test]
fn a_closed_gate_hands_out_nothing_and_spends_nothing() {
    let (counter, gate) = (OutboundCounter::fresh(Bits32, 10), Gate::new());
    assert_eq!(counter.next(&gate), Err(Refused::Closed));
    assert_eq!(counter.take(5, &gate), Err(Refused::Closed));
    assert_eq!(counter.next(&open()).unwrap().number, 1);
}

#[test]
fn a_range_is_cut_to_what_there_is() {
    let (counter, gate) = (OutboundCounter::fresh(Bits32, 10), open());
    counter.propose(10);
    let range = counter.take(4, &gate).unwrap();
    assert_eq!((range.numbers(), range.last()), (1..=4, 4));
    assert_eq!(counter.take(0, &gate).unwrap().numbers(), 5..=5);
    assert_eq!(counter.take(32, &gate).unwrap().numbers(), 6..=10);
    assert_eq!(counter.take(32, &gate), Err(Refused::NoReservation));
    assert_eq!(counter.take(32, &alone()).unwrap().numbers(), 11..=20);
}

#[test]
fn attention_is_asked_for_once_per_proposal() {
    let (counter, gate) = (OutboundCounter::fresh(Bits32, 10), open());
    let ask = |n: u32| {
        (0..n)
            .filter_map(|_| counter.next(&gate).ok())
            .filter(|granted| granted.attention)
            .map(|granted| granted.number)
            .collect::<Vec<_>>()
    };
    assert_eq!(ask(100), []);
    counter.propose(100);
    assert_eq!(ask(100), [150]);
    counter.propose(100);
    counter.acknowledge(300);
    assert_eq!(ask(40), []);
    assert!(counter.take(50, &gate).unwrap().attention);
    assert!(!counter.take(5, &gate).unwrap().attention);
}

#[test]
fn spinning_without_credit_spends_nothing() {
    let (counter, gate) = (OutboundCounter::fresh(Bits32, 0), open());
    counter.propose(10);
    drain(&counter, &gate);
    for _ in 0..1000 {
        assert_eq!(counter.next(&gate), Err(Refused::NoReservation));
        assert_eq!(counter.take(64, &alone()), Err(Refused::BudgetExhausted));
    }
    assert_eq!(counter.handed_out_upper(), 10);
}

#[test]
fn the_32_bit_space_ends_and_does_not_wrap() {
    let counter = OutboundCounter::resume(Bits32, 10, LAST32 - 20, 0);
    assert_eq!(counter.rekey_due(), Some(RekeyReason::SpaceLow));
    assert_eq!(counter.propose(1000).reserved, LAST32);
    counter.acknowledge(LAST32);
    let (numbers, refused) = drain(&counter, &alone());
    assert_eq!(numbers, (LAST32 - 9..=LAST32).collect::<Vec<_>>());
    assert_eq!(refused, Refused::SpaceExhausted);
    assert_eq!(counter.take(9, &open()), Err(Refused::SpaceExhausted));
    assert_eq!(counter.handed_out_upper(), LAST32);
    assert_eq!(counter.propose(5).reserved, LAST32);
    counter.contest();
    assert_eq!(counter.propose(5).reserved, LAST32);
    counter.acknowledge(LAST32);
    assert_eq!(counter.next(&alone()), Err(Refused::SpaceExhausted));
}

#[test]
fn an_unbounded_counter_ends_too() {
    let counter = OutboundCounter::fresh(Bits32, 10);
    let range = counter.take(u32::MAX - 1, &open()).unwrap();
    assert_eq!(range.last(), LAST32 - 1);
    assert_eq!(counter.take(2, &open()).unwrap().numbers(), LAST32..=LAST32);
    assert_eq!(counter.next(&open()), Err(Refused::SpaceExhausted));
    // Bounding an exhausted counter ends.
    assert_eq!(counter.propose(10).reserved, LAST32);
    assert_eq!(counter.next(&alone()), Err(Refused::SpaceExhausted));
}

#[test]
fn a_jump_beyond_the_space_exhausts_it() {
    let counter = OutboundCounter::resume(Bits32, 10, LAST32 - 3, 0);
    assert_eq!(counter.next(&alone()), Err(Refused::SpaceExhausted));
    let counter = OutboundCounter::resume(Bits32, 10, LAST32 - 25, 0);
    counter.propose(5);
    counter.contest();
    assert_eq!(counter.propose(5).reserved, LAST32);
    counter.acknowledge(LAST32);
    assert_eq!(drain(&counter, &alone()).0.len(), 10);
    assert_eq!(counter.next(&open()), Err(Refused::SpaceExhausted));
}

#[test]
fn records_from_beyond_the_space_saturate() {
    for space in [Bits32, Esn] {
        let counter = OutboundCounter::resume(space, u64::MAX, u64::MAX, u64::MAX);
        assert_eq!(counter.next(&alone()), Err(Refused::SpaceExhausted));
        assert_eq!(counter.propose(u64::MAX).reserved, space.last());
        counter.contest();
        counter.acknowledge(u64::MAX);
        assert_eq!(
            counter.take(u32::MAX, &alone()),
            Err(Refused::SpaceExhausted)
        );
        assert_eq!(counter.rekey_due(), Some(RekeyReason::SpaceLow));
        assert_eq!(counter.budget(), MAX_BUDGET);
    }
}

#[test]
fn extended_numbers_go_beyond_32_bits() {
    let counter = OutboundCounter::resume(Esn, 10, LAST32, LAST32);
    assert_eq!(
        drain(&counter, &alone()).0,
        (LAST32 + 11..=LAST32 + 20).collect::<Vec<_>>()
    );
    assert_eq!(counter.rekey_due(), Some(RekeyReason::BudgetLow));
}

#[test]
fn a_rekey_is_asked_for_at_three_quarters_of_the_budget() {
    let counter = OutboundCounter::fresh(Bits32, 100);
    counter.propose(10);
    let _ = counter.take(10, &alone());
    let _ = counter.take(74, &alone());
    assert_eq!((counter.handed_out(), counter.rekey_due()), (84, None));
    let _ = counter.next(&alone()).unwrap();
    assert_eq!(counter.rekey_due(), Some(RekeyReason::BudgetLow));
    // The next acknowledgement brings a new one.
    counter.propose(10);
    counter.acknowledge(95);
    assert_eq!(counter.rekey_due(), None);
}

#[test]
fn a_rekey_is_asked_for_at_15_16_of_the_space() {
    let soft = LAST32 - LAST32 / 16;
    let counter = OutboundCounter::resume(Bits32, 0, soft - 2, 0);
    counter.propose(10);
    counter.acknowledge(soft + 8);
    let _ = counter.next(&open()).unwrap();
    assert_eq!(counter.rekey_due(), None);
    let _ = counter.next(&open()).unwrap();
    assert_eq!(counter.rekey_due(), Some(RekeyReason::SpaceLow));
}

#[test]
fn a_rekey_is_asked_for_before_jumps_reach_2_to_the_30() {
    let (mut reserved, mut jumps) = (1000, 0);
    loop {
        let counter = OutboundCounter::resume(Esn, MAX_BUDGET, reserved, 900);
        if counter.rekey_due() == Some(RekeyReason::JumpsLong) {
            // A packet that arrives ends the row.
            let _ = counter.next(&alone()).unwrap();
            assert_eq!(counter.rekey_due(), None);
            break;
        }
        reserved = counter.propose(100_000).reserved;
        jumps += 1;
    }
    assert!(jumps > 8);
    assert!(
        reserved + 4 * MAX_BUDGET < 1 << 30,
        "another takeover and contest fit below"
    );
    // Without ESN the peer infers nothing.
    let counter = OutboundCounter::resume(Bits32, MAX_BUDGET, reserved, 900);
    assert_eq!(counter.rekey_due(), None);
}

#[test]
fn four_threads_get_each_number_once() {
    const EACH: usize = 20_000;
    let (counter, gate) = (OutboundCounter::fresh(Esn, 50), alone());
    let mut all: Vec<u64> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..4u32)
            .map(|at| {
                let (counter, gate) = (&counter, &gate);
                scope.spawn(move || send(counter, gate, at, EACH))
            })
            .collect();
        // The control path meanwhile, until all have what they want.
        let mut round = 0;
        while senders.iter().any(|sender| !sender.is_finished()) {
            round += 1;
            if round % 8 == 0 {
                counter.contest();
            }
            counter.acknowledge(counter.propose(1 + round % 500).reserved);
        }
        senders
            .into_iter()
            .flat_map(|sender| sender.join().unwrap())
            .collect()
    });
    let sent = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), sent);
    assert!(sent >= 4 * EACH);
    assert!(*all.last().unwrap() <= counter.handed_out_upper());
}

fn send(counter: &OutboundCounter, gate: &Gate, at: u32, wanted: usize) -> Vec<u64> {
    let mut sent = Vec::new();
    while sent.len() < wanted {
        match counter.take(1 + at * 3, gate) {
            Ok(range) => sent.extend(range.numbers()),
            Err(_) => std::thread::yield_now(),
        }
    }
    sent
}

mod observed {
    use super::*;

    #[test]
    fn an_outside_path_moves_the_counter_forward_alone() {
        let counter = OutboundCounter::fresh(Bits32, 100);
        assert_eq!(counter.observe(500).behind, 0);
        assert_eq!((counter.resume_after(), counter.handed_out()), (500, 500));
        let outside = counter.observe(420);
        assert_eq!((outside.behind, outside.beyond), (80, 0));
        assert_eq!(counter.resume_after(), 500);
    }

    #[test]
    fn what_leaves_covers_what_was_observed() {
        let counter = OutboundCounter::fresh(Bits32, 100);
        let _ = counter.observe(500);
        assert_eq!(counter.propose(10).reserved, 510);
    }

    #[test]
    fn attention_is_asked_for_at_the_low_water() {
        let counter = OutboundCounter::fresh(Bits32, 100);
        counter.propose(100);
        assert!(!counter.observe(40).attention);
        assert!(counter.observe(60).attention);
        assert!(!counter.observe(70).attention, "said once");
    }

    #[test]
    fn an_overrun_is_measured_against_what_was_acknowledged() {
        let counter = OutboundCounter::fresh(Bits32, 100);
        counter.propose(10);
        assert_eq!(counter.observe(10).beyond, 0);
        counter.propose(50);
        assert_eq!(counter.observe(35).beyond, 25, "60 is not acknowledged");
        counter.acknowledge(60);
        assert_eq!(counter.observe(61).beyond, 1);
        assert_eq!(
            counter.observe(60 + 75).beyond,
            75,
            "beyond the reservation, not stopped"
        );
        assert_eq!(counter.rekey_due(), Some(RekeyReason::BudgetLow));
    }

    #[test]
    fn it_goes_on_where_no_other_unit_was() {
        let counter = OutboundCounter::resume(Bits32, 100, 1000, 900);
        assert_eq!(counter.resume_after(), 1100);
        counter.propose(10);
        counter.contest();
        // The other one may have begun at 1110 + 100, with a budget of its own.
        assert_eq!(counter.resume_after(), 1110 + 200);
        let gate = open();
        counter.propose(10);
        counter.acknowledge(counter.proposal().reserved);
        assert_eq!(counter.next(&gate).unwrap().number, 1311);
    }

    #[test]
    fn the_end_of_the_space_and_a_closed_counter_stay() {
        let counter = OutboundCounter::fresh(Bits32, 100);
        let _ = counter.observe(u64::MAX);
        assert_eq!(counter.resume_after(), LAST32);
        assert_eq!(counter.next(&open()), Err(Refused::SpaceExhausted));
        counter.close();
        let _ = counter.observe(5);
        assert_eq!(counter.next(&open()), Err(Refused::Closed));
    }
}
