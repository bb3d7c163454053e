//! Any sequence of operations on the windows of one inbound SA, which moves between units: packets,
//! images that arrive late or not at all, acknowledgements, partitions, takeovers by windows of other
//! sizes and policies, a former active that goes on beside its successor.
//!
//! Each answer is that of a set of numbers. No number is delivered twice by one window; what was
//! delivered, and not counted as exposed, is below the ceiling that the standby holds, so that no
//! window delivers it again; one that is restored accepts nothing of what its image covers; and a
//! packet waits only above the ceiling that was acknowledged.

use std::collections::{BTreeSet, VecDeque};

use ha_ipsec::gate::Gate;
use ha_ipsec::replay::{
    Accept, InboundPolicy, InboundWindow, Isolated, LAST_NUMBER, Pending, Receipt, Replay,
    WindowImage, WindowSize,
};
use ha_ipsec::sequence::SequenceSpace;

use super::input::Input;

/// Inputs are cut here.
const STEPS: usize = 500;

/// One input: the SA, then operations.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut sa = Sa::new(&mut input);
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        sa.step(&mut input);
        sa.check();
    }
}

/// One SA, and who ever had it.
struct Sa {
    space: SequenceSpace,
    policy: InboundPolicy,
    isolated: Isolated,
    /// The last one took over from the one before it, which may not know of it.
    units: Vec<Unit>,
    /// Delivered, and promised never to be delivered again. Of a restored window nothing is.
    firm: BTreeSet<u64>,
}

/// A unit that is or was active for it, and what is on the way to its standby.
struct Unit {
    window: InboundWindow,
    gate: Gate,
    model: Model,
    waiting: Vec<Pending>,
    wire: VecDeque<Sent>,
    acknowledgements: VecDeque<Receipt>,
    /// What the standby holds.
    held: Option<Sent>,
}

/// An image, and what was delivered when it was made.
#[derive(Clone)]
struct Sent {
    bytes: Vec<u8>,
    receipt: Receipt,
    delivered: BTreeSet<u64>,
}

/// What a window ought to know.
struct Model {
    /// Up to here a number is seen unless it is listed.
    covered: u64,
    unseen: BTreeSet<u64>,
    floor: u64,
    recorded: BTreeSet<u64>,
    delivered: BTreeSet<u64>,
    top: u64,
    last: u64,
    size: u64,
    /// The ceiling that may be used; `None`: no bound.
    allowed: Option<u64>,
    /// The ceiling proposed last, and how often one was lowered.
    proposed: Option<(u64, u32)>,
    closed: bool,
}

impl Sa {
    fn new(input: &mut Input<'_>) -> Self {
        let space = SequenceSpace::new(input.byte() & 1 == 1);
        let policy = policy(input.byte());
        let isolated = if input.byte() & 1 == 1 {
            Isolated::Freeze
        } else {
            Isolated::Continue
        };
        let window = InboundWindow::fresh(space, size(input.byte()), policy);
        let mut sa = Self {
            space,
            policy,
            isolated,
            units: Vec::new(),
            firm: BTreeSet::new(),
        };
        sa.begin(window, None);
        sa
    }

    fn begin(&mut self, window: InboundWindow, image: Option<&WindowImage>) {
        let gate = Gate::new();
        gate.set_open(true);
        let window = window.with_isolated(self.isolated);
        let model = Model::new(&window, image, self.policy);
        // Who held it before is out of reach for good: its standby is somebody else.
        if self.units.len() > 1 {
            self.units.remove(0);
        }
        self.units.push(Unit {
            window,
            gate,
            model,
            waiting: Vec::new(),
            wire: VecDeque::new(),
            acknowledgements: VecDeque::new(),
            held: None,
        });
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let operation = input.byte();
        // Mostly the one that is active last.
        let newest = self.units.len() - 1;
        let at = if operation & 0x80 == 0 { newest } else { 0 };
        let unit = &mut self.units[at];
        match operation & 0x7f {
            0..40 => {
                let number = number(input, &unit.model);
                self.receive(at, number);
            }
            40..50 => {
                let first = number(input, &unit.model);
                let count = u64::from(input.byte());
                (first..first.saturating_add(count)).for_each(|number| self.receive(at, number));
            }
            50..60 => self.retry(at, input),
            60..70 => {
                let lead = lead(input);
                unit.propose(lead);
            }
            70..76 => unit.close_on_top(),
            76..92 => self.deliver_image(at),
            92..106 => unit.acknowledge(),
            106 => unit.disconnect(),
            107 => unit.restart_standby(),
            108 => unit.gate.set_isolated(true),
            109 => unit.gate.set_isolated(false),
            110 => unit.gate.set_open(input.byte() & 1 == 1),
            111..116 => self.take_over(input),
            116 => self.meet(input.byte() & 1 == 1),
            117 => unit.close(),
            118 => unit.acknowledge_anything(input),
            _ => self.infer(at, input),
        }
    }

    fn receive(&mut self, at: usize, number: u64) {
        let unit = &mut self.units[at];
        let verdict = unit.model.verdict(number);
        assert_eq!(unit.window.check(number), verdict, "{number}: check");
        let accept = unit.window.accept(number, &unit.gate);
        if !unit.gate.is_open() {
            assert!(matches!(accept, Accept::Replay(Replay::Closed)));
            return;
        }
        match verdict {
            Ok(()) => {
                unit.model.record(number);
                self.judged(at, number, accept);
            }
            Err(expected) => match accept {
                Accept::Replay(replay) => assert_eq!(replay, expected, "{number}"),
                other => panic!("{number}: {other:?} where {expected:?} is due"),
            },
        }
    }

    fn retry(&mut self, at: usize, input: &mut Input<'_>) {
        let unit = &mut self.units[at];
        if unit.waiting.is_empty() {
            return;
        }
        let pending = unit.waiting.swap_remove(input.below(unit.waiting.len()));
        let accept = unit.window.retry(&pending, &unit.gate);
        let spent = unit.window.retry(&pending, &unit.gate);
        assert!(
            !matches!(spent, Accept::Deliver { .. }),
            "a token is used up"
        );
        if !unit.model.closed {
            self.judged(at, pending.number(), accept);
        } else {
            assert!(matches!(accept, Accept::Replay(Replay::Closed)));
        }
    }

    /// What became of a number that was recorded.
    fn judged(&mut self, at: usize, number: u64, accept: Accept) {
        let unit = &mut self.units[at];
        let within = unit.model.allowed.is_none_or(|allowed| number <= allowed);
        let alone =
            unit.gate.is_isolated() && unit.gate.is_open() && self.isolated == Isolated::Continue;
        match accept {
            Accept::Deliver { exposed, .. } => {
                assert!(within || alone, "{number} is above the ceiling");
                assert_eq!(exposed, !within, "{number}");
                assert!(unit.model.delivered.insert(number), "{number} twice");
                if within && unit.window.policy() != InboundPolicy::Resume {
                    assert!(self.firm.insert(number), "{number} by two units");
                }
            }
            Accept::Pending(pending) => {
                assert!(!within && !alone, "{number} need not wait");
                assert_eq!(pending.number(), number);
                unit.waiting.push(pending);
            }
            Accept::Replay(replay) => panic!("{number} was recorded, now {replay:?}"),
        }
    }

    /// The standby gets the next image: whoever was active before has heard of its end by then.
    fn deliver_image(&mut self, at: usize) {
        if at + 1 < self.units.len() {
            return;
        }
        let Some(sent) = self.units[at].wire.pop_front() else {
            return;
        };
        if at > 0 {
            self.units.remove(0);
        }
        if let Some(unit) = self.units.last_mut() {
            unit.acknowledgements.push_back(sent.receipt);
            unit.held = Some(sent);
        }
    }

    fn take_over(&mut self, input: &mut Input<'_>) {
        let (new_size, policy_byte) = (size(input.byte()), input.byte());
        let Some(held) = self.units.last().and_then(|unit| unit.held.clone()) else {
            return;
        };
        let image = WindowImage::decode(&held.bytes).expect("own encoding decodes");
        // A strict window may take over a restorable one: then it is strict from now on.
        if policy_byte & 1 == 1 && self.policy == InboundPolicy::Resume {
            self.policy = policy(policy_byte >> 1);
            self.firm.clear();
        }
        let window = InboundWindow::resume(self.space, new_size, self.policy, &image);
        for number in &held.delivered {
            assert!(window.check(*number).is_err(), "{number} is covered");
        }
        self.begin(window, Some(&image));
    }

    /// Two units that were active hear of each other, and one gives way. If it is the new one, what
    /// it delivered is the exposure of an undone takeover: nobody knows it any more.
    fn meet(&mut self, older_wins: bool) {
        if self.units.len() < 2 {
            return;
        }
        let gone = self.units.remove(usize::from(older_wins));
        if older_wins {
            self.firm
                .retain(|number| !gone.model.delivered.contains(number));
            if let Some(unit) = self.units.last_mut() {
                unit.restart_standby();
            }
        }
    }

    /// RFC 4303 A2.2: a number less than 2^32 beyond the window's bottom is found again.
    fn infer(&self, at: usize, input: &mut Input<'_>) {
        let unit = &self.units[at];
        let number = number(input, &unit.model);
        let bottom = (unit.model.top + 1).saturating_sub(unit.model.size);
        let found = unit.window.infer(number as u32);
        if self.space == SequenceSpace::Bits32 {
            assert_eq!(found, u64::from(number as u32));
        } else if (bottom..bottom + (1 << 32)).contains(&number) {
            assert_eq!(found, number, "bottom {bottom}");
        }
    }

    fn check(&self) {
        for unit in &self.units {
            let model = &unit.model;
            assert_eq!(unit.window.top(), model.top);
            assert_eq!(unit.window.ceiling(), model.allowed, "ceiling");
        }
        // Promise P2, wherever the standby would take over now.
        if let Some(unit) = self.units.last()
            && let Some(held) = &unit.held
            && let Ok(image) = WindowImage::decode(&held.bytes)
            && let Some(ceiling) = image.ceiling()
            && let Some(highest) = self.firm.last()
        {
            assert!(*highest <= ceiling, "{highest} delivered, {ceiling} known");
        }
    }
}

/// The control path, and the link.
impl Unit {
    fn propose(&mut self, lead: u64) {
        let image = self.window.propose(lead);
        let above = self
            .model
            .top
            .saturating_add(lead.max(1))
            .min(self.model.last);
        if image.ceiling().is_some() {
            let (proposed, generation) = self.model.proposed.unwrap_or((above, 0));
            if self.model.proposed.is_none() {
                self.model.allowed = Some(above);
            }
            self.model.proposed = Some((proposed.max(above), generation));
        }
        self.send(image);
    }

    fn close_on_top(&mut self) {
        let image = self.window.close_on_top();
        if image.ceiling().is_some() {
            let top = self.model.top;
            let (proposed, mut generation) = self.model.proposed.unwrap_or((0, 0));
            generation += u32::from(top < proposed);
            self.model.allowed = Some(self.model.allowed.unwrap_or(top).min(top));
            self.model.proposed = Some((top, generation));
        }
        self.send(image);
    }

    fn send(&mut self, image: WindowImage) {
        if let Some((ceiling, _)) = self.model.proposed {
            assert_eq!(image.ceiling(), Some(ceiling));
        }
        assert_eq!(self.window.image(), image, "for audits: the last one");
        let mut bytes = Vec::new();
        image.encode(&mut bytes);
        assert_eq!(bytes.len(), image.encoded_len());
        assert_eq!(WindowImage::decode(&bytes).as_ref(), Ok(&image));
        self.wire.push_back(Sent {
            bytes,
            receipt: self.window.receipt(),
            delivered: self.model.delivered.clone(),
        });
        // What nobody takes is lost: the newest counts.
        if self.wire.len() > 8 {
            self.wire.pop_front();
        }
    }

    fn acknowledge(&mut self) {
        let Some(receipt) = self.acknowledgements.pop_front() else {
            return;
        };
        self.window.acknowledge(receipt);
        self.follow(receipt);
    }

    /// A receipt that this window may never have given, of what the standby may not hold: what was
    /// not proposed is ignored. Only a receipt of an earlier generation is tried, as the others
    /// would be believed.
    fn acknowledge_anything(&self, input: &mut Input<'_>) {
        let bits = (0..8).fold(0, |bits, _| bits << 8 | u64::from(input.byte()));
        let (receipt, ceiling) = (Receipt::from_bits(bits), self.window.ceiling());
        let current = self.window.receipt().to_bits() >> 40;
        if bits >> 40 != current {
            self.window.acknowledge(receipt);
            assert_eq!(self.window.ceiling(), ceiling, "{receipt:?}");
        }
    }

    fn follow(&mut self, receipt: Receipt) {
        let (generation, ceiling) = (receipt.to_bits() >> 40, receipt.to_bits() & ((1 << 40) - 1));
        let Some((proposed, current)) = self.model.proposed else {
            return;
        };
        let allowed = self.model.allowed.unwrap_or(u64::MAX);
        if generation == u64::from(current) && allowed < ceiling && ceiling <= proposed {
            self.model.allowed = Some(ceiling);
        }
    }

    /// The link is lost, and all that is on it; the standby keeps what it has.
    fn disconnect(&mut self) {
        self.wire.clear();
        self.acknowledgements.clear();
    }

    fn restart_standby(&mut self) {
        self.disconnect();
        self.held = None;
    }

    fn close(&mut self) {
        self.window.close();
        self.model.closed = true;
    }
}

impl Model {
    fn new(window: &InboundWindow, image: Option<&WindowImage>, policy: InboundPolicy) -> Self {
        let last = window.last_number();
        let covered = image.map_or(0, WindowImage::top).min(last);
        let restored = image.filter(|image| {
            policy == InboundPolicy::Resume && image.ceiling().is_none() && image.top() <= last
        });
        let unseen = restored.map(|image| image.unseen().flatten().collect());
        let fresh_or_strict = !image
            .is_some_and(|image| policy == InboundPolicy::Resume && image.ceiling().is_none());
        Self {
            covered,
            unseen: unseen.unwrap_or_default(),
            floor: if fresh_or_strict { covered } else { 0 },
            recorded: BTreeSet::new(),
            delivered: BTreeSet::new(),
            top: covered,
            last,
            size: u64::from(window.size().packets()),
            allowed: None,
            proposed: None,
            closed: false,
        }
    }

    fn verdict(&self, number: u64) -> Result<(), Replay> {
        if self.closed {
            Err(Replay::Closed)
        } else if number <= self.floor {
            Err(Replay::BelowFloor)
        } else if number > self.last {
            Err(Replay::Exhausted)
        } else if number.saturating_add(self.size) <= self.top {
            Err(Replay::TooOld)
        } else if self.is_seen(number) {
            Err(Replay::Duplicate)
        } else {
            Ok(())
        }
    }

    fn is_seen(&self, number: u64) -> bool {
        let covered = number <= self.covered && !self.unseen.contains(&number);
        covered || self.recorded.contains(&number)
    }

    fn record(&mut self, number: u64) {
        self.recorded.insert(number);
        self.top = self.top.max(number);
    }
}

fn policy(byte: u8) -> InboundPolicy {
    match byte % 3 {
        0 => InboundPolicy::Strict,
        1 => InboundPolicy::Resume,
        _ => InboundPolicy::PeerSync,
    }
}

fn size(byte: u8) -> WindowSize {
    let packets = match byte % 4 {
        0 => 32,
        1 => 64,
        2 => 32 + u32::from(byte),
        _ => u32::from(byte) * 64 + 64,
    };
    WindowSize::new(packets).expect("within the limits")
}

/// Mostly near the top; now and then far away, and at the ends.
fn number(input: &mut Input<'_>, model: &Model) -> u64 {
    let (how, some) = (input.byte(), u64::from(input.byte()));
    match how % 16 {
        0..6 => model.top.saturating_add(some % 8 + 1),
        6..10 => model.top.saturating_sub(some),
        10 => model.top.saturating_add(some * 16),
        11 => model.top.saturating_sub(some * 64),
        12 => some,
        13 => model.last.saturating_sub(some).saturating_add(8),
        14 => model.top.saturating_add(some << 24),
        _ => LAST_NUMBER.min(some << 31),
    }
}

fn lead(input: &mut Input<'_>) -> u64 {
    match input.byte() {
        255 => u64::MAX,
        254 => 1 << 33,
        lead => u64::from(lead),
    }
}

/// A few ordinary courses of events.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let packets = [0, 0, 0].repeat(20);
    let synced = [60, 16, 76, 92].repeat(2);
    // With what was seen before, and what was not.
    let over = [111, 1, 0, 0, 12, 5, 0, 9, 1, 0, 0, 0];
    let with = |sa: [u8; 4], parts: &[&[u8]]| [&sa[..], &parts.concat()].concat();
    vec![
        (
            "strict",
            with(
                [0, 0, 0, 1],
                &[&packets, &synced, &packets, &over, &packets],
            ),
        ),
        (
            "resume",
            with(
                [1, 1, 0, 3],
                &[&packets, &[0, 3, 7], &synced, &over, &packets],
            ),
        ),
        (
            "quiet",
            with(
                [1, 0, 0, 1],
                &[
                    &packets,
                    &synced,
                    &[70, 76, 92],
                    &packets,
                    &synced,
                    &[50, 0],
                ],
            ),
        ),
        (
            "partition",
            with(
                [1, 2, 0, 1],
                &[
                    &packets,
                    &synced,
                    &over,
                    &[0x80 + 108],
                    &[0x80, 0, 0],
                    &packets,
                    &[116, 1],
                    &packets,
                ],
            ),
        ),
        // An acknowledgement of a ceiling that was lowered since, and raised again.
        (
            "void_receipt",
            with([1, 0, 0, 1], &[&[60, 20, 76, 70, 60, 20, 92], &packets]),
        ),
        (
            "frozen",
            with([0, 0, 1, 0], &[&synced, &[108], &packets, &packets]),
        ),
        (
            "far",
            with(
                [1, 0, 0, 0],
                &[&[0, 14, 255, 119, 0, 9, 0, 15, 255, 0, 13, 3], &synced],
            ),
        ),
    ]
}
