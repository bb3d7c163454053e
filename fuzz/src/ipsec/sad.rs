//! Any sequence of operations on two SA databases over real nodes: SAs come, go and are rekeyed,
//! packets pass in both directions, units crash, links are cut or swallow everything, the role moves,
//! a peer's packets are replayed to whoever takes them.
//!
//! P1: no number is handed out twice for one instance of an SA, whoever asks, also through handles
//! that were kept. P2: what was delivered is never delivered again, but for what an isolated unit
//! accepted on its own and nobody was told of. Lookups and indexes agree with the tables. Once
//! everything works again, both units hold the same and the active one sends and receives. In a hostile
//! input messages are spoilt: then only that nothing panics and the units come to rest.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ha_ipsec::id::SaId;
use ha_ipsec::record::IpsecSa;
use ha_ipsec::replay::{Accept, InboundPolicy, Pending};
use ha_ipsec::sad::{InboundSa, OutboundSa, SaCounters, Sad};
use ha_ipsec::sequence::Refused;

use super::input::Input;
use super::sad_pair::{self as pair, Pair};

/// Inputs are cut here.
const STEPS: usize = 250;
/// SAs of each direction; SPIs are used again.
const SAS: usize = 4;
const HANDLES: usize = 8;

/// One input: whether it is hostile, then operations.
pub fn run(bytes: &[u8]) {
    course(bytes);
}

/// What an input went through: one that gets nowhere proves nothing.
#[derive(Default, Debug)]
pub struct Course {
    /// Numbers handed out, by unit.
    pub sent: [usize; 2],
    /// Packets delivered, by unit.
    pub delivered: [usize; 2],
    /// Whether both units were active at once.
    pub both: bool,
}

/// One input, and what happened.
pub fn course(bytes: &[u8]) -> Course {
    let mut input = Input::new(bytes);
    let mut world = World::new(input.byte() & 1 == 1);
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
        world.look();
    }
    world.settle();
    world.course
}

/// A window of an instance on one unit, since it last became active.
type Delivered = BTreeMap<u64, Exposed>;
type Exposed = bool;

struct World {
    pair: Pair,
    hostile: bool,
    changes: u64,
    /// By instance: each number handed out.
    used: BTreeMap<u64, BTreeSet<u64>>,
    /// By instance: delivered, and known to whoever could take over.
    firm: BTreeMap<u64, BTreeSet<u64>>,
    /// By unit and instance: delivered; forgotten with the unit's role.
    delivered: [BTreeMap<u64, Delivered>; 2],
    /// By unit: packets that wait, and handles that were kept.
    waiting: [Vec<(Arc<InboundSa>, Pending)>; 2],
    kept: [Vec<Arc<OutboundSa>>; 2],
    /// The peer's counters, by instance.
    peer: BTreeMap<u64, u64>,
    /// How often each unit was demoted when it was looked at last.
    demotions: [u32; 2],
    course: Course,
}

impl World {
    fn new(hostile: bool) -> Self {
        let mut world = Self {
            pair: Pair::settled(),
            hostile,
            changes: 0,
            used: BTreeMap::new(),
            firm: BTreeMap::new(),
            delivered: Default::default(),
            waiting: Default::default(),
            kept: Default::default(),
            peer: BTreeMap::new(),
            demotions: [0; 2],
            course: Course::default(),
        };
        for number in 0..2 {
            world.insert(0, number);
        }
        world.pair.calm(50);
        world
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let operation = input.byte();
        let unit = usize::from(operation >> 7);
        match operation & 0x7f {
            0..16 => self.send(unit, input),
            16..20 => self.send_by_handle(unit, input),
            20..40 => self.receive(unit, input),
            40..44 => self.retry(unit),
            44..60 => self
                .pair
                .pass(Duration::from_millis(1 << (input.byte() % 12))),
            60..76 => self.pair.deliver_all(),
            76..84 => drop(self.pair.deliver(unit, 1 + input.below(8))),
            84..90 => {
                let number = input.below(SAS);
                self.insert(unit, number);
            }
            90..96 => self.change(unit, input),
            96 | 97 => self.pair.connect(),
            98 => self.pair.cut(),
            99 => self
                .pair
                .darken([input.byte() & 1 == 1, input.byte() & 1 == 1]),
            100 => self.pair.darken([false; 2]),
            101 => {
                self.lose(unit);
                self.pair.boot(unit);
            }
            102 => self.pair.switchover(unit, input.byte() & 1 == 1),
            103 => self.pair.resync(unit, input.byte()),
            104 => self.pair.maintain(unit, input.byte() & 1 == 1),
            105 => self
                .pair
                .sleep(unit, Duration::from_millis(1 << (input.byte() % 14))),
            106 if self.hostile => self.pair.spoil(unit, input.byte().into(), input.byte()),
            107 if self.hostile => self.pair.repeat(unit, input.byte().into()),
            108 => self.pair.unix_s += u64::from(input.byte()) * 20,
            _ => self.pair.calm(20),
        }
    }

    fn sad(&self, unit: usize) -> Option<Sad> {
        Some(self.pair.units[unit].as_ref()?.sad.clone())
    }

    fn send(&mut self, unit: usize, input: &mut Input<'_>) {
        let (number, count) = (input.below(SAS), u32::from(input.byte()) * 4 + 1);
        let Some(sad) = self.sad(unit) else { return };
        let id = pair::outbound_id(number);
        let Ok(sa) = sad.outbound(&id) else { return };
        let record = sad.record(&id).expect("a lookup found it");
        assert_eq!(
            sa.record().instance,
            record.instance,
            "a path of an SA that is gone"
        );
        self.take(unit, &sa, count);
        let _ = sa.charge(u64::from(count) * 1000);
        self.kept[unit].push(sa);
        if self.kept[unit].len() > HANDLES {
            self.kept[unit].remove(0);
        }
    }

    fn send_by_handle(&mut self, unit: usize, input: &mut Input<'_>) {
        if self.kept[unit].is_empty() {
            return;
        }
        let at = input.below(self.kept[unit].len());
        let sa = Arc::clone(&self.kept[unit][at]);
        self.take(unit, &sa, 1 + u32::from(input.byte()));
    }

    fn take(&mut self, unit: usize, sa: &OutboundSa, count: u32) {
        let Ok(range) = sa.take(count) else { return };
        self.course.sent[unit] += range.count as usize;
        let used = self.used.entry(sa.record().instance).or_default();
        for number in range.numbers() {
            let first = used.insert(number);
            assert!(
                first || self.hostile,
                "P1: {number} of {} twice",
                sa.record().id
            );
        }
    }

    fn receive(&mut self, unit: usize, input: &mut Input<'_>) {
        let (number, how, some) = (input.below(SAS), input.byte(), u64::from(input.byte()));
        let Some(sad) = self.sad(unit) else { return };
        let id = pair::inbound_id(number);
        let Ok(sa) = sad.inbound(&id) else { return };
        let record = sad.record(&id).expect("a lookup found it");
        assert_eq!(
            sa.record().instance,
            record.instance,
            "a path of an SA that is gone"
        );
        let peer = self.peer.entry(record.instance).or_default();
        let numbers = match how % 8 {
            // New packets, some of them lost.
            0..3 => {
                *peer += some % 4 + 1;
                *peer..=*peer
            }
            3 | 4 => {
                let first = *peer + 1;
                *peer += some;
                first..=*peer
            }
            5 => {
                *peer += some * 64;
                *peer..=*peer
            }
            // Replayed.
            6 => 1.max(peer.saturating_sub(some))..=*peer,
            _ => some..=some,
        };
        for number in numbers {
            self.accept(unit, &sa, number);
        }
        let _ = sa.charge(some * 1000);
    }

    fn accept(&mut self, unit: usize, sa: &Arc<InboundSa>, number: u64) {
        let checked = sa.check(number);
        let isolated = self.is_isolated(unit);
        match sa.accept(number) {
            Accept::Deliver { exposed, .. } => {
                assert_eq!(checked, Ok(()));
                self.delivered(unit, sa, number, exposed, isolated);
            }
            Accept::Pending(pending) => self.waiting[unit].push((Arc::clone(sa), pending)),
            Accept::Replay(_) => {}
        }
        // As long as patience lasts.
        if self.waiting[unit].len() > 300 {
            self.waiting[unit].remove(0);
        }
    }

    fn retry(&mut self, unit: usize) {
        let isolated = self.is_isolated(unit);
        for (sa, pending) in core::mem::take(&mut self.waiting[unit]) {
            match sa.retry(&pending) {
                Accept::Deliver { exposed, .. } => {
                    self.delivered(unit, &sa, pending.number(), exposed, isolated);
                }
                Accept::Pending(pending) => self.waiting[unit].push((sa, pending)),
                Accept::Replay(_) => {}
            }
        }
    }

    fn is_isolated(&self, unit: usize) -> bool {
        self.sad(unit).is_some_and(|sad| sad.stats().isolated)
    }

    fn delivered(
        &mut self,
        unit: usize,
        sa: &InboundSa,
        number: u64,
        exposed: Exposed,
        isolated: bool,
    ) {
        let (instance, id) = (sa.record().instance, sa.record().id);
        let own = self.delivered[unit].entry(instance).or_default();
        let twice = own.insert(number, exposed).is_some();
        self.course.delivered[unit] += 1;
        if self.hostile {
            return;
        }
        assert!(!twice, "P2: {number} of {id} twice by unit {unit}");
        if sa.record().policy == InboundPolicy::Resume {
            return;
        }
        let firm = self.firm.entry(instance).or_default();
        assert!(
            !firm.contains(&number),
            "P2: {number} of {id} again by unit {unit}"
        );
        let other = self.delivered[1 - unit].get(&instance);
        let other = other.and_then(|other| other.get(&number)).copied();
        assert!(
            exposed || other != Some(false),
            "P2: {number} of {id} by both units"
        );
        if !exposed && !isolated {
            firm.insert(number);
        }
    }

    /// What is forgotten is the exposure of an isolated unit.
    fn lose(&mut self, unit: usize) {
        self.delivered[unit].clear();
        self.waiting[unit].clear();
    }

    fn insert(&mut self, unit: usize, number: usize) {
        let Some(sad) = self.sad(unit) else { return };
        self.changes += 1;
        let mut change = sad.change();
        let ike = pair::ike(self.changes);
        let unix_s = self.pair.unix_s;
        change.remove(pair::inbound_id(number));
        change.remove(pair::outbound_id(number));
        let ike_id = ike.id;
        change.insert_ike(ike);
        for mut sa in [pair::inbound(number), pair::outbound(number)] {
            (sa.ike, sa.created_unix_s) = (Some(ike_id), unix_s);
            change.insert(sa);
        }
        // A standby refuses, and then nothing has changed.
        let before = sad.stats();
        if let Err(error) = change.commit() {
            assert_eq!(sad.stats(), before);
            let active = self.pair.is_active(unit) && sad.stats().open;
            assert!(!active || self.hostile, "{error}");
        }
    }

    fn change(&mut self, unit: usize, input: &mut Input<'_>) {
        let (what, number) = (input.byte(), input.below(SAS));
        let Some(sad) = self.sad(unit) else { return };
        let id = pair::inbound_id(number);
        let record = sad.record(&id);
        let ike = record.as_ref().and_then(|sa| sa.ike);
        let mut change = sad.change();
        match (what % 6, record, ike) {
            (0, ..) => drop(change.remove(id)),
            (1, ..) => drop(change.remove(pair::outbound_id(number))),
            (2, _, Some(ike)) => drop(change.remove_ike(ike)),
            (3, _, Some(ike)) => {
                self.changes += 1;
                change.rekey_ike(ike, pair::ike(self.changes));
            }
            (4, Some(sa), _) => {
                let mut sa = (*sa).clone();
                sa.path_mtu = Some(input.byte().into());
                change.replace(sa);
            }
            (_, Some(sa), _) => {
                // Refused as a whole: there is that SPI already.
                change.remove_ike(pair::ike_id(u64::from(input.byte())));
                change
                    .remove(pair::outbound_id(number))
                    .insert((*sa).clone());
            }
            _ => {}
        }
        let before = sad.stats();
        if change.commit().is_err() {
            assert_eq!(sad.stats(), before);
        }
    }

    /// After each step.
    fn look(&mut self) {
        for unit in 0..2 {
            let Some(sad) = self.sad(unit) else {
                continue;
            };
            for _ in 0..100 {
                if sad.poll_event().is_none() {
                    break;
                }
            }
            // It may have given the role away and got it back since.
            let demotions = self.pair.demotions[unit];
            if core::mem::replace(&mut self.demotions[unit], demotions) != demotions {
                self.lose(unit);
            }
            if !self.pair.is_active(unit) {
                self.lose(unit);
                assert!(!sad.stats().open, "open, but not active");
            }
        }
        self.course.both |= self.pair.is_active(0) && self.pair.is_active(1);
        for unit in 0..2 {
            self.note_held(unit);
            if let Some(sad) = self.sad(unit) {
                // To be looked at: nothing changes by it.
                for (id, _) in contents(&sad) {
                    let _ = (sad.counters(&id), sad.in_use(&id));
                }
            }
        }
    }

    /// What the standby holds of the deliveries of a unit is known to whoever takes over.
    fn note_held(&mut self, unit: usize) {
        let Some(standby) = self
            .sad(1 - unit)
            .filter(|_| !self.pair.is_active(1 - unit))
        else {
            return;
        };
        for (id, sa) in contents(&standby) {
            let Some(SaCounters::Inbound { image, .. }) = standby.counters(&id) else {
                continue;
            };
            if let Some(delivered) = self.delivered[unit].get(&sa.instance)
                && sa.policy != InboundPolicy::Resume
            {
                let firm = self.firm.entry(sa.instance).or_default();
                firm.extend(delivered.range(..=image.top()).map(|(number, _)| *number));
            }
        }
    }

    /// Everything works from now on.
    fn settle(&mut self) {
        // What was spoilt unnoticed is healed by digests, after five seconds.
        let whole = self.pair.heal(if self.hostile { 300 } else { 25 });
        self.look();
        if self.hostile || !whole {
            return;
        }
        let active = self.pair.active().expect("the pair is whole");
        let (Some(sad), Some(standby)) = (self.sad(active), self.sad(1 - active)) else {
            return;
        };
        self.both_hold_the_same(&sad, &standby);
        let sas = contents(&sad);
        for (id, sa) in &sas {
            if let Some(ike) = &sa.ike {
                let of_it = sas.iter().filter(|(_, sa)| sa.ike.as_ref() == Some(ike));
                let scanned: Vec<SaId> = of_it.map(|(id, _)| *id).collect();
                let mut children = sad.children(ike);
                children.sort_unstable();
                assert_eq!(children, scanned, "{id}");
            }
            self.goes_on(active, &sad, id);
        }
    }

    fn both_hold_the_same(&self, active: &Sad, standby: &Sad) {
        let (ours, theirs) = (contents(active), contents(standby));
        assert_eq!(ours, theirs);
        for (id, _) in ours {
            let texts = [active, standby].map(|sad| format!("{:?}", sad.counters(&id)));
            assert_eq!(texts[0], texts[1], "counters of {id}");
        }
        for sad in [active, standby] {
            let counters = &sad.clients()[3];
            assert_eq!(counters.len(), sad.stats().ipsec_sas, "counters of no SA");
        }
    }

    /// Traffic passes, unless an SA is at its end.
    fn goes_on(&mut self, active: usize, sad: &Sad, id: &SaId) {
        if let Ok(sa) = sad.outbound(id) {
            let mut last = sa.next();
            for _ in 0..20 {
                if last != Err(Refused::NoReservation) {
                    break;
                }
                self.pair.calm(20);
                last = sa.next();
            }
            match last {
                Ok(number) => {
                    let used = self.used.entry(sa.record().instance).or_default();
                    assert!(used.insert(number), "P1: {number} of {id} twice");
                }
                Err(Refused::Closed | Refused::SpaceExhausted) => {}
                Err(refused) => panic!("{id}: {refused}"),
            }
        } else if let Ok(sa) = sad.inbound(id) {
            let number = sa.top() + 1;
            self.accept(active, &sa, number);
            self.pair.calm(50);
            self.retry(active);
            let waits = |(waiting, _): &(Arc<InboundSa>, _)| waiting.record().id == *id;
            assert!(
                !self.waiting[active].iter().any(waits),
                "{id}: waits for ever"
            );
        } else {
            panic!("{id} is not found: {:?}", sad.outbound(id).err());
        }
    }
}

/// The IPsec SAs in the order of their names.
fn contents(sad: &Sad) -> Vec<(SaId, Arc<IpsecSa>)> {
    let mut all = Vec::new();
    sad.for_each_sa(|id, sa| all.push((*id, Arc::clone(sa))));
    all.sort_by_key(|(id, _)| *id);
    all
}

/// A few ordinary courses of events.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let traffic = [0, 0, 9, 20, 0, 3, 60, 0, 1, 80, 20, 1, 3, 60, 109];
    let replay = [20, 0, 6, 255, 20, 1, 6, 255];
    let crash = [101, 44, 10, 44, 10, 60, 97, 109, 109];
    let other = |operations: &[u8]| -> Vec<u8> {
        let mut operations = operations.to_vec();
        operations
            .iter_mut()
            .step_by(4)
            .for_each(|byte| *byte |= 0x80);
        operations
    };
    let with = |parts: &[&[u8]]| [&[0][..], &parts.concat()].concat();
    let theirs = other(&[
        20, 0, 6, 255, 20, 1, 6, 255, 20, 0, 3, 90, 109, 109, 109, 109, 0, 0, 200, 109,
    ]);
    vec![
        ("traffic", with(&[&traffic, &traffic, &replay])),
        ("crash", with(&[&traffic, &crash, &theirs, &traffic])),
        (
            "partition",
            with(&[
                &traffic,
                &[98, 44, 9, 44, 9, 44, 9, 44, 9, 44, 9],
                &traffic,
                &theirs,
                &[97, 109, 109],
                &traffic,
                &theirs,
            ]),
        ),
        (
            "dark",
            with(&[
                &traffic,
                &[99, 1, 1, 44, 9, 44, 9, 44, 9, 44, 9, 44, 9],
                &traffic,
                &theirs,
                &[100, 109],
                &traffic,
            ]),
        ),
        // The other unit was active, crashed, and begins from nothing.
        (
            "undone",
            with(&[
                &traffic,
                &[98, 44, 9, 44, 9, 44, 9, 44, 9, 44, 9],
                &[0x80, 1, 200, 0x80 + 101, 97, 109, 109, 109],
                &[0, 1, 200, 109, 109].repeat(6),
            ]),
        ),
        (
            "switchover",
            with(&[
                &traffic,
                &[102, 0, 109, 109],
                &theirs,
                &[0x80 + 102, 0, 109, 109],
                &traffic,
            ]),
        ),
        (
            "rekey",
            with(&[
                &traffic,
                &[84, 0, 90, 3, 1, 16, 0, 9, 109],
                &traffic,
                &crash,
                &theirs,
            ]),
        ),
        (
            "asleep",
            with(&[&traffic, &[105, 11, 109], &theirs, &traffic]),
        ),
        (
            "spoilt",
            [
                &[1][..],
                &traffic,
                &[44, 3, 0x80 + 106, 40, 7, 60, 109],
                &traffic,
            ]
            .concat(),
        ),
    ]
}
