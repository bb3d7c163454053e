//! Windows against a naive model: a set of numbers.

use std::collections::{BTreeSet, HashSet};

use proptest::prelude::*;

use super::*;
use crate::gate::Gate;
use crate::sequence::SequenceSpace::{self, Bits32, Esn};

fn gate() -> Gate {
    let gate = Gate::new();
    gate.set_open(true);
    gate
}

fn size(packets: u32) -> WindowSize {
    WindowSize::new(packets).unwrap()
}

fn fresh(policy: InboundPolicy) -> InboundWindow {
    InboundWindow::fresh(Esn, size(64), policy)
}

fn is_delivered(accept: &Accept) -> bool {
    matches!(accept, Accept::Deliver { .. })
}

fn deliver(window: &InboundWindow, number: u64) -> bool {
    is_delivered(&window.accept(number, &gate()))
}

fn refusal(window: &InboundWindow, number: u64) -> Option<Replay> {
    match window.accept(number, &gate()) {
        Accept::Replay(replay) => Some(replay),
        _ => None,
    }
}

fn pending(window: &InboundWindow, number: u64) -> Pending {
    match window.accept(number, &gate()) {
        Accept::Pending(pending) => pending,
        other => panic!("{number}: {other:?}"),
    }
}

/// Proposes, and has it acknowledged.
fn raise(window: &InboundWindow, lead: u64) -> WindowImage {
    let image = window.propose(lead);
    window.acknowledge(window.receipt());
    image
}

mod packets {
    use super::*;

    #[test]
    fn the_window_ends_exactly_at_its_size() {
        for packets in (32..=4096).step_by(32) {
            let window = InboundWindow::fresh(Bits32, size(packets), InboundPolicy::Strict);
            let top = 3 * u64::from(packets) + 17;
            assert!(deliver(&window, top));
            let bottom = top - u64::from(packets) + 1;
            assert_eq!(refusal(&window, bottom - 1), Some(Replay::TooOld));
            assert!(deliver(&window, bottom));
            assert_eq!(refusal(&window, bottom), Some(Replay::Duplicate));
        }
    }

    #[test]
    fn number_zero_is_none() {
        for space in [Bits32, Esn] {
            let window = InboundWindow::fresh(space, size(32), InboundPolicy::Resume);
            assert_eq!(window.check(0), Err(Replay::BelowFloor));
            assert_eq!(refusal(&window, 0), Some(Replay::BelowFloor));
            assert!(deliver(&window, 1));
        }
    }

    #[test]
    fn the_number_space_has_an_end() {
        for (space, last) in [(Bits32, u64::from(u32::MAX)), (Esn, LAST_NUMBER)] {
            let window = InboundWindow::fresh(space, size(32), InboundPolicy::Strict);
            assert_eq!(window.last_number(), last);
            assert!(!window.is_rekey_due());
            assert!(deliver(&window, last));
            assert!(window.is_rekey_due());
            for beyond in [last + 1, u64::MAX] {
                assert_eq!(window.check(beyond), Err(Replay::Exhausted));
                assert_eq!(refusal(&window, beyond), Some(Replay::Exhausted));
            }
            assert_eq!(refusal(&window, last), Some(Replay::Duplicate));
            assert_eq!(window.propose(1000).ceiling(), Some(last));
            assert!(deliver(&window, last - 1));
        }
    }

    #[test]
    fn a_closed_window_and_a_closed_gate_let_nothing_in() {
        let window = fresh(InboundPolicy::Strict);
        let closed = window.accept(1, &Gate::new());
        assert!(matches!(closed, Accept::Replay(Replay::Closed)));
        assert!(deliver(&window, 1));
        window.close();
        assert_eq!(window.check(2), Err(Replay::Closed));
        assert_eq!(refusal(&window, 2), Some(Replay::Closed));
        // Nothing that the control path does opens it again.
        raise(&window, 10);
        window.close_on_top();
        assert_eq!(refusal(&window, 3), Some(Replay::Closed));
    }

    #[test]
    fn low_halves_are_inferred_around_the_top() {
        let window = fresh(InboundPolicy::Strict);
        assert!(deliver(&window, u64::from(u32::MAX) - 1));
        assert_eq!(window.infer(u32::MAX), u64::from(u32::MAX));
        assert_eq!(window.infer(3), (1 << 32) + 3);
        let short = InboundWindow::fresh(Bits32, size(64), InboundPolicy::Strict);
        assert!(deliver(&short, u64::from(u32::MAX)));
        assert_eq!(short.infer(3), 3, "32-bit numbers never wrap");
    }

    /// The packet path's part is one cache line.
    #[test]
    #[cfg(not(feature = "planted"))]
    fn windows_are_small() {
        assert!(size_of::<InboundWindow>() <= 192);
        assert_eq!(core::mem::offset_of!(InboundWindow, control) / 64, 1);
    }

    #[test]
    fn debug_shows_the_state() {
        let text = format!("{:?}", fresh(InboundPolicy::Strict));
        assert!(text.contains("top: 0, ceiling: None"), "{text}");
    }
}

mod ceilings {
    use super::*;

    #[test]
    fn a_fresh_window_is_bounded_when_it_is_first_proposed() {
        let window = fresh(InboundPolicy::Strict);
        assert!(deliver(&window, 1_000_000));
        assert_eq!(window.ceiling(), None);
        assert_eq!(window.propose(10).ceiling(), Some(1_000_010));
        // At once: a standby that is to receive this image holds nothing yet.
        assert!(deliver(&window, 1_000_010));
        assert_eq!(pending(&window, 1_000_011).number(), 1_000_011);
    }

    #[test]
    fn a_pending_packet_goes_once_when_the_standby_knows() {
        let (window, gate) = (fresh(InboundPolicy::Strict), gate());
        window.close_on_top();
        let first = pending(&window, 1);
        window.propose(1);
        let Accept::Pending(again) = window.retry(&first, &gate) else {
            panic!("not acknowledged")
        };
        window.acknowledge(window.receipt());
        assert_eq!(refusal(&window, 1), Some(Replay::Duplicate));
        assert!(!is_delivered(&window.retry(&first, &gate)), "used up");
        assert!(is_delivered(&window.retry(&again, &gate)));
        assert!(!is_delivered(&window.retry(&again, &gate)), "used up");
    }

    /// The other unit may have delivered it in between.
    #[test]
    fn a_pending_packet_is_for_its_own_window() {
        let (window, gate) = (fresh(InboundPolicy::Strict), gate());
        window.close_on_top();
        let parked = pending(&window, 5);
        let later = InboundWindow::resume(
            Esn,
            size(64),
            InboundPolicy::Strict,
            &WindowImage::strict(9),
        );
        let answer = later.retry(&parked, &gate);
        assert!(matches!(answer, Accept::Replay(Replay::Closed)));
        let other = pending(&window, 6);
        window.close();
        let answer = window.retry(&other, &gate);
        assert!(matches!(answer, Accept::Replay(Replay::Closed)));
    }

    /// The data path of a unit that hands over has stopped: nothing more comes in, and who takes over
    /// refuses what the last image covers.
    #[test]
    fn what_waits_at_a_handover_is_delivered_once_the_last_image_is_there() {
        for isolated in [false, true] {
            let (window, gate) = (fresh(InboundPolicy::Strict), gate());
            window.close_on_top();
            let waiting = pending(&window, 5);
            gate.set_open(false);
            gate.set_isolated(isolated);
            assert!(!is_delivered(&window.accept(6, &gate)));
            let Accept::Pending(waiting) = window.retry(&waiting, &gate) else {
                panic!("the image is not there yet");
            };
            assert_eq!(window.close_on_top().ceiling(), Some(5));
            window.acknowledge(window.receipt());
            assert!(is_delivered(&window.retry(&waiting, &gate)));
        }
    }

    #[test]
    fn isolation_follows_the_policy() {
        for (isolated, goes) in [(Isolated::Continue, true), (Isolated::Freeze, false)] {
            let (window, gate) = (fresh(InboundPolicy::Strict).with_isolated(isolated), gate());
            window.propose(1);
            assert!(deliver(&window, 1));
            assert!(matches!(window.accept(2, &gate), Accept::Pending(_)));
            gate.set_isolated(true);
            let exposed = window.accept(3, &gate);
            assert_eq!(
                matches!(exposed, Accept::Deliver { exposed: true, .. }),
                goes
            );
            assert_eq!(is_delivered(&exposed), goes);
            gate.set_isolated(false);
            assert!(matches!(window.accept(4, &gate), Accept::Pending(_)));
            assert_eq!(raise(&window, 1).ceiling(), Some(5), "all is covered");
        }
    }

    #[test]
    fn a_late_receipt_does_not_open_a_lowered_ceiling() {
        let window = fresh(InboundPolicy::Strict);
        window.propose(100);
        let late = window.receipt();
        assert_eq!(window.close_on_top().ceiling(), Some(0));
        window.acknowledge(late);
        assert_eq!(window.ceiling(), Some(0));
        assert_eq!(window.propose(100).ceiling(), Some(100));
        window.acknowledge(late);
        assert_eq!(window.ceiling(), Some(0), "it is of the first 100");
        window.acknowledge(window.receipt());
        assert_eq!(window.ceiling(), Some(100));
        let number = Receipt::from_bits(window.receipt().to_bits());
        assert_eq!(number, window.receipt());
    }

    #[test]
    fn receipts_of_nothing_proposed_change_nothing() {
        let window = fresh(InboundPolicy::Strict);
        window.acknowledge(Receipt::from_bits(7));
        assert_eq!(window.ceiling(), None);
        window.propose(1);
        window.acknowledge(Receipt::from_bits(7));
        assert_eq!(window.ceiling(), Some(1));
    }

    #[test]
    fn closing_covers_what_waits() {
        let window = fresh(InboundPolicy::Strict);
        raise(&window, 10);
        assert!(deliver(&window, 4));
        let waiting = pending(&window, 30);
        assert_eq!(window.close_on_top().ceiling(), Some(30));
        assert_eq!(window.ceiling(), Some(10), "30 is not acknowledged");
        window.acknowledge(window.receipt());
        assert!(is_delivered(&window.retry(&waiting, &gate())));
    }

    #[test]
    fn an_image_stays_until_the_next_proposal() {
        for policy in [InboundPolicy::Strict, InboundPolicy::Resume] {
            let window = fresh(policy);
            assert_eq!(window.image().top(), 0);
            let image = raise(&window, 10);
            assert!(deliver(&window, 5));
            assert_eq!(window.image(), image);
            assert_ne!(window.propose(10), image);
        }
    }

    /// Numbers whose acceptance asked for attention.
    fn attentive(window: &InboundWindow, numbers: impl Iterator<Item = u64>) -> Vec<u64> {
        let gate = gate();
        let asks = |number: &u64| match window.accept(*number, &gate) {
            Accept::Deliver { attention, .. } => attention,
            other => panic!("{number}: {other:?}"),
        };
        numbers.filter(asks).collect()
    }

    #[test]
    fn attention_is_asked_for_once_per_image() {
        let none: [u64; 0] = [];
        let strict = fresh(InboundPolicy::Strict);
        assert_eq!(attentive(&strict, 1..=3), none);
        // Up to 13: due when half of that is left.
        raise(&strict, 10);
        assert_eq!(attentive(&strict, 4..=10), [9]);
        // Up to 20, of which half of a lead of 4 are the last two.
        raise(&strict, 10);
        raise(&strict, 4);
        assert_eq!(attentive(&strict, 11..=20), [19]);
        raise(&strict, 1);
        assert_eq!(attentive(&strict, 21..=21), [21]);
        let resume = fresh(InboundPolicy::Resume);
        raise(&resume, 10);
        assert_eq!(attentive(&resume, 1..=30), [10]);
        resume.close_on_top();
        assert_eq!(attentive(&resume, 31..=40), [31]);
        resume.propose(u64::MAX);
        assert_eq!(attentive(&resume, 41..=50), [0; 0], "never");
    }
}

mod takeovers {
    use super::*;

    fn resume(policy: InboundPolicy, packets: u32, image: &WindowImage) -> InboundWindow {
        InboundWindow::resume(Esn, size(packets), policy, image)
    }

    #[test]
    fn strict_windows_begin_above_the_ceiling() {
        for policy in [InboundPolicy::Strict, InboundPolicy::PeerSync] {
            let window = resume(policy, 64, &WindowImage::strict(1000));
            assert_eq!((window.floor(), window.top()), (1000, 1000));
            for number in [1, 900, 999, 1000] {
                assert_eq!(refusal(&window, number), Some(Replay::BelowFloor));
            }
            assert!(deliver(&window, 1001), "no other unit holds the SA");
        }
    }

    #[test]
    fn an_image_of_another_policy_is_taken_strictly() {
        let half = fresh(InboundPolicy::Resume);
        assert!(deliver(&half, 10));
        let window = resume(InboundPolicy::Strict, 64, &half.propose(1));
        assert_eq!(window.floor(), 10);
        let window = resume(InboundPolicy::Resume, 64, &WindowImage::strict(10));
        assert_eq!(window.floor(), 10);
    }

    #[test]
    fn an_image_beyond_the_number_space_leaves_nothing() {
        let ahead = fresh(InboundPolicy::Resume);
        assert!(deliver(&ahead, 1 << 33));
        for image in [ahead.propose(1), WindowImage::strict(LAST_NUMBER)] {
            for policy in [InboundPolicy::Strict, InboundPolicy::Resume] {
                let window = InboundWindow::resume(Bits32, size(64), policy, &image);
                for number in [1, 1 << 31, u64::from(u32::MAX)] {
                    assert!(!deliver(&window, number));
                }
            }
        }
    }

    #[test]
    fn the_last_image_after_closing_is_complete() {
        let window = fresh(InboundPolicy::Resume);
        for number in [1, 2, 5, 40] {
            assert!(deliver(&window, number));
        }
        window.close();
        let image = window.close_on_top();
        let unseen: Vec<_> = image.unseen().collect();
        assert_eq!((image.top(), unseen), (40, vec![6..=39, 3..=4]));
    }

    #[test]
    fn planted_faults_show() {
        let sender = fresh(InboundPolicy::Resume);
        for number in 1..=100 {
            assert!(deliver(&sender, number));
        }
        let image = sender.propose(1);
        let planted = Planted {
            window_without_older_blocks: true,
            ..Planted::default()
        };
        let restored = resume(InboundPolicy::Resume, 64, &image);
        assert!((1..=100).all(|number| !deliver(&restored, number)));
        let restored = resume(InboundPolicy::Resume, 64, &image).plant(planted);
        assert!(deliver(&restored, 95) && !deliver(&restored, 96));

        let planted = Planted {
            ceiling_ignored: true,
            ..Planted::default()
        };
        let window = fresh(InboundPolicy::Strict).plant(planted);
        window.propose(1);
        assert!(deliver(&window, 1000));
    }
}

/// What a window should do.
struct Model {
    seen: BTreeSet<u64>,
    top: u64,
    floor: u64,
    last: u64,
    size: u64,
}

impl Model {
    fn new(space: SequenceSpace, packets: u32) -> Self {
        Self {
            seen: BTreeSet::new(),
            top: 0,
            floor: 0,
            last: match space {
                Bits32 => u64::from(u32::MAX),
                Esn => (1 << 39) - 1,
            },
            size: u64::from(packets.next_multiple_of(32)),
        }
    }

    fn check(&self, number: u64) -> Result<(), Replay> {
        match number {
            n if n <= self.floor => Err(Replay::BelowFloor),
            n if n > self.last => Err(Replay::Exhausted),
            n if n + self.size <= self.top => Err(Replay::TooOld),
            n if self.seen.contains(&n) => Err(Replay::Duplicate),
            _ => Ok(()),
        }
    }

    fn record(&mut self, number: u64) -> Result<(), Replay> {
        self.check(number)?;
        self.seen.insert(number);
        self.top = self.top.max(number);
        Ok(())
    }
}

/// Where the next number lies, seen from the top.
#[derive(Clone, Copy, Debug)]
enum Step {
    Ahead(u64),
    Behind(u64),
    At(u64),
}

impl Step {
    fn from(self, top: u64) -> u64 {
        match self {
            Self::Ahead(by) => top.saturating_add(by),
            Self::Behind(by) => top.saturating_sub(by),
            Self::At(number) => number,
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Ahead(1)),
        4 => (1..40u64).prop_map(Step::Ahead),
        1 => (1..20_000u64).prop_map(Step::Ahead),
        1 => (1..1u64 << 34).prop_map(Step::Ahead),
        4 => (0..8u64).prop_map(Step::Behind),
        4 => (0..200u64).prop_map(Step::Behind),
        2 => (0..20_000u64).prop_map(Step::Behind),
        1 => prop_oneof![
            0..200u64,
            u64::from(u32::MAX) - 50..u64::from(u32::MAX) + 50,
            LAST_NUMBER - 50..LAST_NUMBER + 50,
            any::<u64>(),
        ]
        .prop_map(Step::At),
    ]
}

fn packets() -> impl Strategy<Value = u32> {
    prop_oneof![32..=200u32, 32..=4096u32, Just(4096), Just(16_384)]
}

fn space() -> impl Strategy<Value = SequenceSpace> {
    prop_oneof![Just(Bits32), Just(Esn)]
}

fn policy() -> impl Strategy<Value = InboundPolicy> {
    prop_oneof![
        Just(InboundPolicy::Strict),
        Just(InboundPolicy::Resume),
        Just(InboundPolicy::PeerSync)
    ]
}

/// What happens to a pair of units.
#[derive(Clone, Debug)]
enum Event {
    Packet(Step),
    Propose(u64),
    CloseOnTop,
    Audit,
    /// The standby gets so many of the images under way.
    Arrive(usize),
    /// An acknowledgement arrives, of the so-many-eth image before the last that did: also twice.
    Acknowledge(usize),
    Retry,
    /// The standby takes over, with a window of this size.
    TakeOver(u32),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        24 => step().prop_map(Event::Packet),
        4 => (0..200u64).prop_map(Event::Propose),
        2 => Just(Event::CloseOnTop),
        1 => Just(Event::Audit),
        4 => (0..4usize).prop_map(Event::Arrive),
        4 => (0..4usize).prop_map(Event::Acknowledge),
        2 => Just(Event::Retry),
        1 => packets().prop_map(Event::TakeOver),
    ]
}

/// An active unit, what is under way, and what its standby has.
struct Pair {
    policy: InboundPolicy,
    gate: Gate,
    active: InboundWindow,
    sent: Vec<(WindowImage, Receipt)>,
    arrived: usize,
    waiting: Vec<Pending>,
    delivered: HashSet<u64>,
    /// By the unit that is active now.
    own: u64,
}

impl Pair {
    fn new(policy: InboundPolicy, packets: u32) -> Self {
        Self {
            policy,
            gate: gate(),
            active: InboundWindow::fresh(Esn, size(packets), policy),
            sent: vec![],
            arrived: 0,
            waiting: vec![],
            delivered: HashSet::new(),
            own: 0,
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Packet(step) => {
                let number = step.from(self.active.top());
                let accept = self.active.accept(number, &self.gate);
                self.take(number, accept);
            }
            Event::Propose(lead) => self.send_current(self.active.propose(lead)),
            Event::CloseOnTop => self.send_current(self.active.close_on_top()),
            Event::Audit => self.send(self.active.image()),
            Event::Arrive(count) => self.arrived = (self.arrived + count).min(self.sent.len()),
            Event::Acknowledge(back) => {
                if let Some(at) = self.arrived.checked_sub(back + 1) {
                    self.active.acknowledge(self.sent[at].1);
                }
            }
            Event::Retry => {
                for pending in core::mem::take(&mut self.waiting) {
                    let accept = self.active.retry(&pending, &self.gate);
                    self.take(pending.number(), accept);
                }
            }
            Event::TakeOver(packets) => self.take_over(packets),
        }
    }

    fn send(&mut self, image: WindowImage) {
        let mut bytes = vec![];
        image.encode(&mut bytes);
        assert!(bytes.len() <= WindowImage::MAX_ENCODED_LEN);
        assert_eq!(WindowImage::decode(&bytes), Ok(image.clone()));
        if self.policy != InboundPolicy::Resume {
            assert!(bytes.len() <= 7, "a strict image is a ceiling");
        }
        self.sent.push((image, self.active.receipt()));
    }

    fn send_current(&mut self, image: WindowImage) {
        assert!(image.top() >= self.own, "the image misses {}", self.own);
        self.send(image);
    }

    fn take(&mut self, number: u64, accept: Accept) {
        match accept {
            Accept::Deliver { exposed, .. } => {
                assert!(!exposed);
                assert!(self.delivered.insert(number), "{number} accepted again");
                self.own = self.own.max(number);
                self.is_covered(number);
            }
            Accept::Pending(pending) => self.waiting.push(pending),
            Accept::Replay(_) => {}
        }
    }

    /// Once a strict window was sent, nothing is delivered above what the standby is going to have.
    fn is_covered(&self, number: u64) {
        let on_the_way = &self.sent[self.arrived.saturating_sub(1)..];
        for (image, _) in on_the_way {
            if let Some(ceiling) = image.ceiling() {
                assert!(number <= ceiling, "{number} above {ceiling}");
            }
        }
    }

    /// From what arrived last. A restorable window is only as good as that: it is sent once more.
    fn take_over(&mut self, packets: u32) {
        if self.policy == InboundPolicy::Resume {
            self.send_current(self.active.propose(1));
            self.arrived = self.sent.len();
        }
        // With nothing received, the standby would not hold the SA.
        let Some(at) = self.arrived.checked_sub(1) else {
            return;
        };
        let image = &self.sent[at].0;
        self.active = InboundWindow::resume(Esn, size(packets), self.policy, image);
        self.sent.clear();
        self.arrived = 0;
        self.own = 0;
    }
}

mod observed {
    use super::*;

    #[test]
    fn what_an_outside_window_accepted_is_not_accepted_here() {
        let window = fresh(InboundPolicy::Strict);
        let odd = |number: u64| number % 2 == 1;
        assert_eq!(window.observe(99, odd).above, 0, "no ceiling yet");
        assert_eq!(window.top(), 99);
        for number in 99 - 63..=99 {
            assert_eq!(deliver(&window, number), number % 2 == 0, "{number}");
        }
    }

    #[test]
    fn what_lies_above_the_ceiling_is_counted_once() {
        let window = fresh(InboundPolicy::Strict);
        let _ = window.observe(10, |_| true);
        raise(&window, 5);
        assert_eq!(window.observe(15, |_| true).above, 0);
        assert_eq!(window.observe(20, |number| number > 17).above, 3);
        assert_eq!(window.observe(20, |_| true).above, 2, "16 and 17, late");
        assert_eq!(window.observe(20, |_| true).above, 0);
    }

    #[test]
    fn a_window_that_was_set_back_is_told_so() {
        let window = fresh(InboundPolicy::Strict);
        let _ = window.observe(1000, |_| true);
        assert_eq!(window.observe(3, |_| true).behind, 997);
        assert_eq!(window.top(), 1000);
    }

    #[test]
    fn attention_is_asked_for_once_per_image() {
        let window = fresh(InboundPolicy::Strict);
        raise(&window, 10);
        assert!(!window.observe(3, |_| true).attention);
        assert!(window.observe(8, |_| true).attention);
        assert!(!window.observe(9, |_| true).attention);
    }

    #[test]
    fn who_takes_over_sets_an_outside_window_to_all_it_received() {
        let strict = InboundWindow::resume(
            Esn,
            size(64),
            InboundPolicy::Strict,
            &WindowImage::strict(700),
        );
        assert_eq!(strict.current(), WindowImage::strict(700));
        // What lies below the floor is nobody's any more.
        let _ = strict.observe(702, |_| true);
        assert_eq!(strict.top(), 702);
        let window = fresh(InboundPolicy::Resume);
        let _ = window.observe(100, |number| number != 97);
        let image = window.current();
        assert_eq!(image.unseen().collect::<Vec<_>>(), [97..=97]);
    }

    #[test]
    fn a_closed_window_records_nothing() {
        let window = fresh(InboundPolicy::Strict);
        window.close();
        let _ = window.observe(50, |_| true);
        assert_eq!(window.top(), 0);
    }
}

proptest! {
    #[test]
    fn a_window_is_a_set(
        space in space(),
        packets in packets(),
        steps in proptest::collection::vec(step(), 0..250),
    ) {
        let window = InboundWindow::fresh(space, size(packets), InboundPolicy::Strict);
        let (mut model, gate) = (Model::new(space, packets), gate());
        for step in steps {
            let number = step.from(model.top);
            prop_assert_eq!(window.check(number), model.check(number), "{}", number);
            let expected = model.record(number);
            match window.accept(number, &gate) {
                Accept::Deliver { .. } => prop_assert_eq!(expected, Ok(())),
                Accept::Replay(replay) => prop_assert_eq!(expected, Err(replay), "{}", number),
                Accept::Pending(_) => prop_assert!(false, "there is no ceiling"),
            }
            prop_assert_eq!(window.top(), model.top);
        }
    }

    #[test]
    fn nothing_is_delivered_twice_by_two_units(
        policy in policy(),
        packets in packets(),
        events in proptest::collection::vec(event(), 0..250),
    ) {
        let mut pair = Pair::new(policy, packets);
        for event in events {
            pair.handle(event);
        }
    }

    /// A window that is restored accepts what the sender's would have, as far as both reach back,
    /// and nothing else.
    #[test]
    fn a_restored_window_loses_nothing(
        space in space(),
        from in packets(),
        to in packets(),
        steps in proptest::collection::vec(step(), 1..200),
        probes in proptest::collection::vec(step(), 0..250),
    ) {
        let (mut sent, gate) = (Model::new(space, from), gate());
        let sender = InboundWindow::fresh(space, size(from), InboundPolicy::Resume);
        for step in steps {
            let number = step.from(sent.top);
            prop_assert_eq!(is_delivered(&sender.accept(number, &gate)), sent.record(number).is_ok());
        }
        let image = sender.propose(1000);
        let restored = InboundWindow::resume(space, size(to), InboundPolicy::Resume, &image);
        let (top, mut model) = (sent.top, Model::new(space, to));
        model.top = top;
        for step in probes {
            let number = step.from(top);
            let fits = if number <= top { sent.check(number) } else { Ok(()) };
            let expected = fits.and_then(|()| model.record(number)).is_ok();
            prop_assert_eq!(is_delivered(&restored.accept(number, &gate)), expected, "{}", number);
        }
    }

    /// The inferred number is the one with this low half among the 2^32 from the window's bottom on.
    #[test]
    fn inference_is_around_the_window(
        top in prop_oneof![0..200u64, 0..LAST_NUMBER, (1u64 << 32) - 5000..(1 << 32) + 5000],
        packets in packets(),
        low in any::<u32>(),
        near in -20_000..20_000i64,
    ) {
        let window = InboundWindow::resume(
            Esn, size(packets), InboundPolicy::Strict, &WindowImage::strict(top),
        );
        let bottom = (top + 1).saturating_sub(u64::from(window.size().packets()));
        for low in [low, top.wrapping_add_signed(near) as u32] {
            let number = window.infer(low);
            prop_assert_eq!(number as u32, low);
            prop_assert!((bottom..bottom + (1 << 32)).contains(&number), "{}", number);
        }
    }
}
