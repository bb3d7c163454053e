//! What is to be done with SAs, and when.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use ha_core::id::UnitId;
use ha_core::time::Time;

use super::clock::Clock;
use super::path::{Path, Told};
use super::{Control, Inner};
use crate::id::{IkeId, SaId};
use crate::lifetime::{
    Charge, Elapsed, Lifetime, LifetimeClock, LifetimeState, SpreadKey, Spreading,
};
use crate::record::{IkeSa, IpsecSa};
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
    due: BinaryHeap<Reverse<(Time, u8, Target)>>,
    events: VecDeque<SadEvent>,
    /// What came or changed while the walk is under way: its deadlines are here already.
    fresh: HashSet<Target>,
    /// Bytes of each SA with an idle timer when it was looked at last, by instance, and whether its
    /// owner was told that it is idle.
    idle: HashMap<u64, (u64, bool)>,
    /// Where the walk through the tables is that follows a takeover.
    scan: Option<u32>,
    scan_ike: Option<u32>,
    takeovers: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
enum Target {
    Sa(SaId, u64, Ends),
    Ike(IkeId, Ends),
}

/// What deadlines follow from. A deadline of a record that says something else now is void.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
struct Ends {
    created_unix_s: u64,
    soft_s: Option<u64>,
    hard_s: Option<u64>,
    idle_s: Option<u32>,
}

impl Ends {
    const fn of_sa(sa: &IpsecSa) -> Self {
        Self {
            created_unix_s: sa.created_unix_s,
            soft_s: sa.lifetime.soft.seconds,
            hard_s: sa.lifetime.hard.seconds,
            idle_s: sa.idle_timeout_s,
        }
    }

    const fn of_ike(ike: &IkeSa) -> Self {
        Self {
            created_unix_s: ike.created_unix_s,
            soft_s: ike.lifetime.soft.seconds,
            hard_s: ike.lifetime.hard.seconds,
            idle_s: None,
        }
    }
}

impl Target {
    const fn sa(id: SaId, sa: &IpsecSa) -> Self {
        Self::Sa(id, sa.instance, Ends::of_sa(sa))
    }

    const fn ike(id: IkeId, ike: &IkeSa) -> Self {
        Self::Ike(id, Ends::of_ike(ike))
    }
}

const SOFT: u8 = 0;
const HARD: u8 = 1;
const IDLE: u8 = 2;
/// Slots visited in one tick while walking: a tick stays well below a millisecond.
const SCAN_STEPS: usize = 16;

impl Agenda {
    pub(super) fn poll(&mut self) -> Option<SadEvent> {
        self.events.pop_front()
    }

    /// An SA is new, or has changed. What has not changed is noted already, or was told.
    pub(super) fn change(
        &mut self,
        id: SaId,
        old: Option<&IpsecSa>,
        sa: &IpsecSa,
        around: &Around,
    ) {
        let target = Target::sa(id, sa);
        if old.is_some_and(|old| Target::sa(id, old) == target) {
            return;
        }
        self.add(id, sa, around);
        if self.scan.is_some() {
            self.fresh.insert(target);
        }
    }

    /// An IKE SA is new.
    pub(super) fn change_ike(&mut self, id: IkeId, ike: &IkeSa, around: &Around) {
        self.add_ike(id, ike, around);
        if self.scan_ike.is_some() {
            self.fresh.insert(Target::ike(id, ike));
        }
    }

    /// Notes when the lifetime of an SA ends.
    fn add(&mut self, id: SaId, sa: &IpsecSa, around: &Around) {
        let key = SpreadKey::of_sa(&id, around.unit);
        let target = Target::sa(id, sa);
        if self.fresh.contains(&target) {
            return;
        }
        self.note(target, &sa.lifetime, key, sa.created_unix_s, around);
        if let Some(idle) = idle_time(sa)
            && self.idle.insert(sa.instance, (0, false)).is_none()
        {
            self.due
                .push(Reverse((around.clock.now + idle, IDLE, target)));
        }
    }

    /// The same for an IKE SA.
    fn add_ike(&mut self, id: IkeId, ike: &IkeSa, around: &Around) {
        let key = SpreadKey::of_ike(&id, around.unit);
        let target = Target::ike(id, ike);
        if self.fresh.contains(&target) {
            return;
        }
        self.note(target, &ike.lifetime, key, ike.created_unix_s, around);
    }

    fn note(
        &mut self,
        target: Target,
        lifetime: &Lifetime,
        key: SpreadKey,
        created_unix_s: u64,
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
                Charge::Soft => self.due.push(Reverse((now, SOFT, target))),
                Charge::Hard => {
                    self.due.push(Reverse((now, HARD, target)));
                    return;
                }
            }
            let Some(next) = clock.poll_timeout(now) else {
                return;
            };
            now = next;
        }
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
        while let Some(Reverse((at, _, _))) = control.agenda.due.peek()
            && *at <= now
            && let Some(Reverse((_, kind, target))) = control.agenda.due.pop()
        {
            if kind == IDLE {
                self.look_if_idle(target, now, &mut control.agenda);
            } else {
                let event = self.expire(kind, target);
                control.agenda.events.extend(event);
            }
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
                agenda.scan_ike = self
                    .ike
                    .visit_from(from, |id, ike| agenda.add_ike(*id, ike, around));
            } else if let Some(from) = agenda.scan {
                let mut found = Vec::new();
                agenda.scan = self
                    .ipsec
                    .visit_from(from, |id, sa| found.push((*id, Arc::clone(sa))));
                for (id, sa) in found {
                    self.meet(id, &sa, agenda, around);
                }
            } else {
                agenda.fresh = HashSet::new();
                return;
            }
        }
    }

    /// An SA that was taken over.
    fn meet(&self, id: SaId, sa: &IpsecSa, agenda: &mut Agenda, around: &Around) {
        agenda.add(id, sa, around);
        if let Some(ike) = sa.ike.filter(|ike| !self.ike.contains(ike)) {
            agenda.events.push_back(SadEvent::Orphan { id, ike });
        }
        if !self.counters.holds(sa.instance) {
            agenda.events.push_back(SadEvent::NoCounters { id });
        }
    }

    /// A deadline has passed: what is to be told, unless the record says something else now, or is
    /// gone.
    fn expire(&self, kind: u8, target: Target) -> Option<SadEvent> {
        let (hard, which) = (kind == HARD, Which::Time);
        let now = match target {
            Target::Ike(id, _) => self.ike.with(&id, |ike| Target::ike(id, ike)),
            Target::Sa(id, ..) => self.ipsec.with(&id, |sa| Target::sa(id, sa)),
        };
        now.filter(|now| *now == target)?;
        Some(match target {
            Target::Ike(id, _) => SadEvent::IkeLifetime { id, hard },
            Target::Sa(id, instance, _) if hard => {
                self.counters.close(instance);
                SadEvent::HardLifetime { id, which }
            }
            Target::Sa(id, ..) => SadEvent::SoftLifetime { id, which },
        })
    }

    fn look_if_idle(&self, target: Target, now: Time, agenda: &mut Agenda) {
        let Target::Sa(id, instance, _) = target else {
            return;
        };
        let sa = self.ipsec.get(&id).filter(|sa| sa.instance == instance);
        let Some(idle) = sa.as_deref().and_then(idle_time) else {
            agenda.idle.remove(&instance);
            return;
        };
        let bytes = self.counters.bytes(instance);
        let before = agenda.idle.get(&instance).copied();
        let idles = before.is_some_and(|(seen, _)| seen == bytes);
        let told = before.is_some_and(|(_, told)| told);
        if idles && !told {
            agenda.events.push_back(SadEvent::IdleTimeout { id });
        }
        agenda.idle.insert(instance, (bytes, idles));
        agenda.due.push(Reverse((now + idle, IDLE, target)));
    }

    /// An SA that asked to be looked at.
    fn look_at(&self, slot: ha_core::id::Slot, agenda: &mut Agenda) {
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

fn idle_time(sa: &IpsecSa) -> Option<Duration> {
    let seconds = sa.idle_timeout_s.filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(seconds.into()))
}
