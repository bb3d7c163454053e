//! What is to be done with SAs, and when.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use ha_core::id::{Slot, UnitId};
use ha_core::time::Time;

use super::clock::Clock;
use super::deadline::{Deadline, Due, Place, Stamp};
use super::path::{Path, Told};
use super::{Control, Inner};
use crate::id::{IkeId, SaId};
use crate::lifetime::{
    Charge, Elapsed, Lifetime, LifetimeClock, LifetimeState, SpreadKey, Spreading,
};
use crate::record::{IkeSa, Outline, StoredSa};
use crate::sequence::RekeyReason;

/// What the owner of the database should do.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SadEvent {
    /// Rekey an IPsec SA soon, on account of its sequence numbers.
    Rekey {
        /// Which.
        id: SaId,
        /// Why.
        reason: RekeyReason,
    },
    /// A soft lifetime of an IPsec SA is over: rekey it.
    SoftLifetime {
        /// Which.
        id: SaId,
        /// Which lifetime.
        which: Which,
    },
    /// A hard lifetime of an IPsec SA is over: packets are refused from now on. Delete it.
    HardLifetime {
        /// Which.
        id: SaId,
        /// Which lifetime.
        which: Which,
    },
    /// A lifetime of an IKE SA is over: rekey it (soft), or delete it (hard).
    IkeLifetime {
        /// Which.
        id: IkeId,
        /// Whether it must go at once.
        hard: bool,
    },
    /// Nothing passed through an IPsec SA for its idle time: delete it. After a takeover the time
    /// begins anew.
    IdleTimeout {
        /// Which.
        id: SaId,
    },
    /// After a takeover: an IPsec SA whose IKE SA is not here. It can be used, but nobody can rekey
    /// it: delete it when its lifetime ends, or at once.
    Orphan {
        /// Which.
        id: SaId,
        /// The IKE SA.
        ike: IkeId,
    },
    /// After a takeover: an IPsec SA whose counters are not here. It cannot be used; rekey it.
    NoCounters {
        /// Which.
        id: SaId,
    },
}

/// Which lifetime it was.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Which {
    /// In seconds.
    Time,
    /// In bytes or packets.
    Volume,
}

/// Deadlines, and events that the owner has not taken yet.
///
/// Events are bounded by what there is: at most a few for each SA, each told once.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    due: BinaryHeap<Reverse<Deadline>>,
    events: VecDeque<SadEvent>,
    /// What came or changed while the walk is under way: its deadlines are here already.
    fresh: HashSet<Stamp>,
    /// Bytes of each SA with an idle timer when it was looked at last, and whether its owner was told
    /// that it is idle.
    idle: HashMap<Stamp, (u64, bool)>,
    /// Where the walk through the tables is that follows a takeover.
    scan: Option<u32>,
    scan_ike: Option<u32>,
    takeovers: u64,
}

/// Slots visited in one tick while walking: a tick stays well below a millisecond.
const SCAN_STEPS: usize = 16;

impl Agenda {
    pub(super) fn poll(&mut self) -> Option<SadEvent> {
        self.events.pop_front()
    }

    /// An SA is new, or has changed. What has not changed is noted already, or was told.
    pub(super) fn change(
        &mut self,
        (id, slot): (SaId, Slot),
        old: Option<&Outline>,
        sa: &Outline,
        around: &Around,
    ) {
        let stamp = Stamp::of_sa(&id, sa);
        if old.is_some_and(|old| Stamp::of_sa(&id, old) == stamp) {
            return;
        }
        self.add((id, slot), sa, around);
        if self.scan.is_some() {
            self.fresh.insert(stamp);
        }
    }

    /// An IKE SA is new.
    pub(super) fn change_ike(&mut self, (id, slot): (IkeId, Slot), ike: &IkeSa, around: &Around) {
        self.add_ike((id, slot), ike, around);
        if self.scan_ike.is_some() {
            self.fresh.insert(Stamp::of_ike(&id, ike));
        }
    }

    /// Notes when the lifetime of an SA ends.
    fn add(&mut self, (id, slot): (SaId, Slot), sa: &Outline, around: &Around) {
        let key = SpreadKey::of_sa(&id, around.unit);
        let whose = (Place::Sa(slot), Stamp::of_sa(&id, sa));
        if self.fresh.contains(&whose.1) {
            return;
        }
        self.note(whose, (&sa.lifetime, sa.created_unix_s), key, around);
        // Goes on whatever else of the record changes.
        let whose = (whose.0, Stamp::of_use(&id, sa));
        if let Some(idle) = idle_time(sa)
            && self.idle.insert(whose.1, (0, false)).is_none()
        {
            self.push(around.clock.now + idle, Due::Idle, whose);
        }
    }

    /// The same for an IKE SA.
    fn add_ike(&mut self, (id, slot): (IkeId, Slot), ike: &IkeSa, around: &Around) {
        let key = SpreadKey::of_ike(&id, around.unit);
        let whose = (Place::Ike(slot), Stamp::of_ike(&id, ike));
        if self.fresh.contains(&whose.1) {
            return;
        }
        self.note(whose, (&ike.lifetime, ike.created_unix_s), key, around);
    }

    fn note(
        &mut self,
        whose: (Place, Stamp),
        (lifetime, created_unix_s): (&Lifetime, u64),
        key: SpreadKey,
        around: &Around,
    ) {
        let mut now = around.clock.now;
        let age_s = around.clock.unix_s().saturating_sub(created_unix_s);
        let clock = if age_s == 0 {
            LifetimeClock::fresh(lifetime, around.spreading, key, now)
        } else {
            let state = LifetimeState {
                age_s,
                ..LifetimeState::default()
            };
            let sent = (state, Elapsed::Held(Duration::ZERO));
            LifetimeClock::resume(lifetime, around.spreading, key, sent, now)
        };
        loop {
            match clock.at(now) {
                Charge::Ok => {}
                Charge::Soft => {
                    let left = clock.poll_timeout(now).map(|hard| hard.since(now));
                    if left.is_some() && left == after_soft(lifetime, key, around) {
                        self.push(now, Due::SoftFirst, whose);
                        return;
                    }
                    self.push(now, Due::Soft, whose);
                }
                Charge::Hard => {
                    self.push(now, Due::Hard, whose);
                    return;
                }
            }
            let Some(next) = clock.poll_timeout(now) else {
                return;
            };
            now = next;
        }
    }

    /// The hard lifetime, if it was left for when the soft one is over.
    fn note_second(
        &mut self,
        first: Deadline,
        lifetime: &Lifetime,
        key: SpreadKey,
        around: &Around,
    ) {
        if first.due() == Due::SoftFirst
            && let Some(left) = after_soft(lifetime, key, around)
        {
            let whose = (first.place(), first.stamp());
            self.push(first.at() + left, Due::Hard, whose);
        }
    }

    fn push(&mut self, at: Time, due: Due, (place, stamp): (Place, Stamp)) {
        self.due.push(Reverse(Deadline::new(at, due, place, stamp)));
    }
}

/// What lifetimes are told by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    pub(super) unit: UnitId,
    pub(super) spreading: Spreading,
    pub(super) clock: Clock,
}

impl Inner {
    /// Looks at deadlines and alerts.
    pub(super) fn advance(&self, now: Time, unix_s: u64) {
        let mut control = self.control.lock();
        self.forget_if_told(&mut control);
        let active = self.counters.core.gate.is_open();
        self.keep_time(&mut control.clock, now, unix_s, active);
        if !active {
            return;
        }
        let around = self.around(&control);
        self.begin_walk(&mut control.agenda);
        self.walk(&mut control.agenda, &around);
        while let Some(Reverse(deadline)) = control.agenda.due.peek()
            && deadline.is_due(now)
            && let Some(Reverse(deadline)) = control.agenda.due.pop()
        {
            self.expire(deadline, &mut control.agenda, &around);
        }
        for slot in self.counters.take_alerts() {
            self.look_at(slot, &mut control.agenda);
        }
    }

    /// After a takeover deadlines are not known yet.
    fn begin_walk(&self, agenda: &mut Agenda) {
        let takeovers = self.counters.takeovers();
        if agenda.takeovers != takeovers {
            *agenda = Agenda {
                takeovers,
                scan: Some(0),
                scan_ike: Some(0),
                ..Agenda::default()
            };
        }
    }

    pub(super) fn around(&self, control: &Control) -> Around {
        Around {
            unit: self.config.unit,
            spreading: self.config.spreading,
            clock: control.clock,
        }
    }

    fn walk(&self, agenda: &mut Agenda, around: &Around) {
        for _ in 0..SCAN_STEPS {
            if let Some(from) = agenda.scan_ike {
                agenda.scan_ike = self.ike.visit_slots(from, |slot, id, ike| {
                    agenda.add_ike((*id, slot), ike, around);
                });
            } else if let Some(from) = agenda.scan {
                let mut found = Vec::new();
                agenda.scan = self.ipsec.visit_slots(from, |slot, id, sa| {
                    found.extend(sa.outline().map(|sa| ((*id, slot), sa)));
                });
                for (whose, sa) in found {
                    self.meet(whose, &sa, agenda, around);
                }
            } else {
                agenda.fresh = HashSet::new();
                return;
            }
        }
    }

    /// An SA that was taken over.
    fn meet(&self, (id, slot): (SaId, Slot), sa: &Outline, agenda: &mut Agenda, around: &Around) {
        agenda.add((id, slot), sa, around);
        if let Some(ike) = sa.ike.filter(|ike| !self.ike.contains(ike)) {
            agenda.events.push_back(SadEvent::Orphan { id, ike });
        }
        if !self.counters.holds(sa.instance) {
            agenda.events.push_back(SadEvent::NoCounters { id });
        }
    }

    /// A deadline has passed: what is to be told, unless the record says something else now, or is
    /// gone.
    fn expire(&self, deadline: Deadline, agenda: &mut Agenda, around: &Around) {
        match deadline.place() {
            Place::Ike(slot) => {
                let found = self.ike.with_slot(slot, |id, ike| (*id, Arc::clone(ike)));
                if let Some((id, ike)) = found
                    && Stamp::of_ike(&id, &ike) == deadline.stamp()
                {
                    let hard = deadline.due() == Due::Hard;
                    agenda.events.push_back(SadEvent::IkeLifetime { id, hard });
                    let key = SpreadKey::of_ike(&id, around.unit);
                    agenda.note_second(deadline, &ike.lifetime, key, around);
                }
            }
            Place::Sa(slot) => {
                let outline = |id: &SaId, sa: &StoredSa| Some((*id, sa.outline()?));
                let found = self.ipsec.with_slot(slot, outline).flatten();
                if let Some((id, sa)) = found.filter(|(id, sa)| deadline.is_of(id, sa)) {
                    self.expire_sa((id, &sa), deadline, agenda, around);
                } else if deadline.due() == Due::Idle {
                    agenda.idle.remove(&deadline.stamp());
                }
            }
        }
    }

    fn expire_sa(
        &self,
        (id, sa): (SaId, &Outline),
        deadline: Deadline,
        agenda: &mut Agenda,
        around: &Around,
    ) {
        let which = Which::Time;
        match deadline.due() {
            Due::Soft | Due::SoftFirst => {
                agenda
                    .events
                    .push_back(SadEvent::SoftLifetime { id, which });
                let key = SpreadKey::of_sa(&id, around.unit);
                agenda.note_second(deadline, &sa.lifetime, key, around);
            }
            Due::Hard => {
                self.counters.close(sa.instance);
                agenda
                    .events
                    .push_back(SadEvent::HardLifetime { id, which });
            }
            Due::Idle => self.look_if_idle((id, sa), deadline, around.clock.now, agenda),
        }
    }

    fn look_if_idle(
        &self,
        (id, sa): (SaId, &Outline),
        deadline: Deadline,
        now: Time,
        agenda: &mut Agenda,
    ) {
        let stamp = deadline.stamp();
        let Some(idle) = idle_time(sa) else {
            agenda.idle.remove(&stamp);
            return;
        };
        let bytes = self.counters.bytes(sa.instance);
        let before = agenda.idle.get(&stamp).copied();
        let idles = before.is_some_and(|(seen, _)| seen == bytes);
        let told = before.is_some_and(|(_, told)| told);
        if idles && !told {
            agenda.events.push_back(SadEvent::IdleTimeout { id });
        }
        agenda.idle.insert(stamp, (bytes, idles));
        agenda.push(now + idle, Due::Idle, (deadline.place(), stamp));
    }

    /// An SA that asked to be looked at.
    fn look_at(&self, slot: Slot, agenda: &mut Agenda) {
        let Some(id) = self.counters.user_of(slot) else {
            return;
        };
        let paths = self.paths.pin();
        let (verdict, rekey, told) = match paths.get(&id) {
            Some(Path::Outbound(sa)) => (sa.verdict(), sa.live.counter.rekey_due(), &sa.told),
            Some(Path::Inbound(sa)) => (sa.verdict(), sa.rekey_due(), &sa.told),
            None => return,
        };
        let which = Which::Volume;
        if verdict == Charge::Hard && told.first(Told::HARD) {
            self.counters.close_slot(slot);
            agenda
                .events
                .push_back(SadEvent::HardLifetime { id, which });
        } else if verdict == Charge::Soft && told.first(Told::SOFT) {
            agenda
                .events
                .push_back(SadEvent::SoftLifetime { id, which });
        }
        if let Some(reason) = rekey
            && told.first(Told::REKEY)
        {
            agenda.events.push_back(SadEvent::Rekey { id, reason });
        }
    }
}

/// How long after its soft lifetime the hard one ends, if an SA has both and gets there.
fn after_soft(lifetime: &Lifetime, key: SpreadKey, around: &Around) -> Option<Duration> {
    let clock = LifetimeClock::fresh(lifetime, around.spreading, key, Time::ZERO);
    let soft = clock.poll_timeout(Time::ZERO)?;
    Some(clock.poll_timeout(soft)?.since(soft))
}

fn idle_time(sa: &Outline) -> Option<Duration> {
    let seconds = sa.idle_timeout_s.filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(seconds.into()))
}
