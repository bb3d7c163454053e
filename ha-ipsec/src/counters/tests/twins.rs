//! A counter that is given up whenever it may be, and made again, beside one that is kept: nobody can
//! tell them apart.

use proptest::prelude::*;

use super::super::client::Value;
use crate::gate::Gate;
use crate::replay::{
    Accept, InboundPolicy, InboundWindow, Receipt as WindowReceipt, Replay, WindowImage, WindowSize,
};
use crate::sequence::{OutboundCounter, SequenceSpace};

#[derive(Clone, Debug)]
enum Step {
    /// Packets that are sent, or numbers to be received around the top.
    Packets(u8),
    Propose(u8),
    CloseOnTop,
    /// One of those that were proposed, counted from the last.
    Acknowledge(usize),
    Contest,
    Isolated(bool),
    Close,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..40u8).prop_map(Step::Packets),
        4 => (1..20u8).prop_map(Step::Propose),
        3 => Just(Step::CloseOnTop),
        6 => (0..4usize).prop_map(Step::Acknowledge),
        1 => Just(Step::Contest),
        1 => any::<bool>().prop_map(Step::Isolated),
        1 => Just(Step::Close),
    ];
    prop::collection::vec(step, 0..60)
}

fn open() -> Gate {
    let gate = Gate::new();
    gate.set_open(true);
    gate
}

/// An entry of proposals, counted from the last one.
fn recent<T: Copy>(all: &[T], back: usize) -> Option<T> {
    all.iter().rev().nth(back).copied()
}

fn look(counter: &OutboundCounter) -> impl PartialEq + core::fmt::Debug {
    let proposal = counter.proposal();
    let (limit, due) = (counter.limit(), counter.rekey_due());
    (
        proposal,
        limit,
        due,
        counter.handed_out(),
        counter.handed_out_upper(),
    )
}

/// What the packet path and the standby see of a window.
fn seen(window: &InboundWindow) -> impl PartialEq + core::fmt::Debug {
    (
        window.top(),
        window.ceiling(),
        window.proposed(),
        window.receipt(),
    )
}

/// What happens to a packet, and whether a caller may keep its token.
fn outcome(accept: &Accept) -> Result<&'static str, Replay> {
    match accept {
        Accept::Deliver { exposed: true, .. } => Ok("exposed"),
        Accept::Deliver { .. } => Ok("delivered"),
        Accept::Pending(_) => Ok("waits"),
        // A floor and a window say the same of a number that may have been seen.
        Accept::Replay(Replay::Closed) => Err(Replay::Closed),
        Accept::Replay(_) => Err(Replay::Duplicate),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn outbound(
        from in prop::option::of((0..5000u64, 0..100u64)),
        budget in 1..300u64,
        steps in steps(),
    ) {
        let make = || match from {
            None => OutboundCounter::fresh(SequenceSpace::Bits32, budget),
            Some((reserved, used)) => {
                OutboundCounter::resume(SequenceSpace::Bits32, budget, reserved, used)
            }
        };
        let (kept, mut other, gate) = (make(), make(), open());
        let mut proposed = Vec::new();
        for step in steps {
            match step {
                Step::Packets(count) => for _ in 0..count {
                    let numbers = [&kept, &other].map(|it| it.next(&gate).map(|it| it.number));
                    prop_assert_eq!(&numbers[0], &numbers[1]);
                },
                Step::Propose(lead) => {
                    let both = [&kept, &other].map(|it| it.propose(lead.into()));
                    prop_assert_eq!(both[0], both[1]);
                    proposed.push(both[0].reserved);
                }
                Step::Acknowledge(back) => if let Some(reserved) = recent(&proposed, back) {
                    for it in [&kept, &other] {
                        it.acknowledge(reserved);
                    }
                },
                Step::Contest => for it in [&kept, &other] {
                    it.contest();
                },
                Step::Isolated(on) => gate.set_isolated(on),
                Step::Close => for it in [&kept, &other] {
                    it.close();
                },
                Step::CloseOnTop => {}
            }
            if let Some(next) = other.at_rest() {
                other = OutboundCounter::rested(SequenceSpace::Bits32, budget, next, other.proposal());
            }
            prop_assert_eq!(look(&kept), look(&other));
        }
    }

    #[test]
    fn inbound(
        from in prop::option::of(0..5000u64),
        policy in prop_oneof![
            Just(InboundPolicy::Strict), Just(InboundPolicy::Resume), Just(InboundPolicy::PeerSync)
        ],
        steps in steps(),
    ) {
        let (space, size) = (SequenceSpace::Bits32, WindowSize::MIN);
        let make = || match from {
            None => InboundWindow::fresh(space, size, policy),
            Some(top) => InboundWindow::resume(space, size, policy, &WindowImage::strict(top)),
        };
        let (kept, mut other, gate) = (make(), make(), open());
        let mut proposed: Vec<WindowReceipt> = Vec::new();
        for step in steps {
            let both = [&kept, &other];
            match step {
                Step::Packets(number) => {
                    // Some behind the top, and some ahead.
                    let number = (kept.top() + u64::from(number)).saturating_sub(30);
                    let accepts = both.map(|it| it.accept(number, &gate));
                    prop_assert_eq!(outcome(&accepts[0]), outcome(&accepts[1]), "{}", number);
                }
                Step::Propose(lead) => {
                    for it in both {
                        it.propose(lead.into());
                    }
                    proposed.push(kept.receipt());
                }
                Step::CloseOnTop => {
                    for it in both {
                        it.close_on_top();
                    }
                    proposed.push(kept.receipt());
                }
                Step::Acknowledge(back) => if let Some(receipt) = recent(&proposed, back) {
                    for it in both {
                        it.acknowledge(receipt);
                    }
                },
                Step::Isolated(on) => gate.set_isolated(on),
                Step::Close => for it in both {
                    it.close();
                },
                Step::Contest => {}
            }
            if let Some(generation) = other.at_rest()
                && let Some(image) = other.proposed()
            {
                // By way of its bytes, as the table does.
                let mut bytes = Vec::new();
                image.encode(&mut bytes);
                let image = WindowImage::decode(&bytes).unwrap();
                other = InboundWindow::rested(space, size, policy, image, generation);
            }
            prop_assert_eq!(seen(&kept), seen(&other));
        }
    }
}

/// After 1, 0 and 2: an acknowledgement of the 1 that comes late allows nothing, also of a window that
/// was made again between.
#[test]
fn late_acknowledgements_stay_void() {
    let (space, size, policy) = (
        SequenceSpace::Bits32,
        WindowSize::MIN,
        InboundPolicy::Strict,
    );
    let (window, gate) = (InboundWindow::fresh(space, size, policy), open());
    window.propose(1);
    let late = window.receipt();
    let image = window.close_on_top();
    let generation = window.at_rest().unwrap();
    let window = InboundWindow::rested(space, size, policy, image, generation);
    assert!(matches!(window.accept(1, &gate), Accept::Pending(_)));
    window.propose(1);
    window.acknowledge(late);
    assert_eq!(window.ceiling(), Some(0));
    window.acknowledge(window.receipt());
    assert_eq!(window.ceiling(), Some(2));
}

/// While a jump is to come, or something is not acknowledged, more is to be known than was told.
#[test]
fn what_is_under_way_does_not_rest() {
    let counter = OutboundCounter::resume(SequenceSpace::Bits32, 100, 1000, 900);
    assert_eq!(counter.at_rest(), None, "nothing was told");
    let told = counter.propose(50);
    assert_eq!(counter.at_rest(), None, "not acknowledged");
    counter.acknowledge(told.reserved);
    assert_eq!(counter.at_rest(), Some(1101));
    counter.contest();
    assert_eq!(counter.at_rest(), None, "contested");
    let closed = OutboundCounter::fresh(SequenceSpace::Bits32, 100);
    closed.propose(50);
    closed.close();
    assert_eq!(closed.at_rest(), None);
}

/// Of a new SA, of which nothing left, nothing is told.
#[test]
fn untold_is_what_a_fresh_counter_says() {
    let (mut bytes, shape) = (
        Vec::new(),
        super::super::Shape::Outbound {
            space: SequenceSpace::Bits32,
            budget: 9,
        },
    );
    Value::untold(&shape).encode(&mut bytes);
    assert_eq!(bytes, [0, 0, 0]);
}
