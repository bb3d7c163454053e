//! What is to be done with SAs, and when.

use core::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use super::path::{Path, Told};
use super::{Control, Inner};
use crate::id::{IkeId, SaId};
use crate::lifetime::Charge;
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
    due: BinaryHeap<Reverse<(u64, u8, Target)>>,
    events: VecDeque<SadEvent>,
    /// Where the walk through the tables is that follows a takeover.
    scan: Option<u32>,
    scan_ike: Option<u32>,
    takeovers: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Target {
    Sa(SaId, u64),
    Ike(IkeId),
}

const SOFT: u8 = 0;
const HARD: u8 = 1;
/// Slots visited in one tick while walking: a tick stays well below a millisecond.
const SCAN_STEPS: usize = 16;

impl Agenda {
    pub(super) fn poll(&mut self) -> Option<SadEvent> {
        self.events.pop_front()
    }

    pub(super) fn add(&mut self, id: SaId, sa: &IpsecSa) {
        let target = Target::Sa(id, sa.instance);
        for (kind, limits) in [(SOFT, &sa.lifetime.soft), (HARD, &sa.lifetime.hard)] {
            if let Some(seconds) = limits.seconds {
                let at = sa.created_unix_s.saturating_add(seconds);
                self.due.push(Reverse((at, kind, target)));
            }
        }
    }

    pub(super) fn add_ike(&mut self, id: IkeId, ike: &IkeSa) {
        for (kind, limits) in [(SOFT, &ike.lifetime.soft), (HARD, &ike.lifetime.hard)] {
            if let Some(seconds) = limits.seconds {
                let at = ike.created_unix_s.saturating_add(seconds);
                self.due.push(Reverse((at, kind, Target::Ike(id))));
            }
        }
    }
}

impl Inner {
    /// Looks at deadlines and alerts.
    pub(super) fn advance(&self, unix_s: u64) {
        let mut control = self.control.lock();
        self.forget_if_told(&mut control);
        if !self.counters.core.gate.is_open() {
            return;
        }
        self.begin_walk(&mut control.agenda);
        self.walk(&mut control.agenda);
        while let Some(Reverse((at, _, _))) = control.agenda.due.peek()
            && *at <= unix_s
            && let Some(Reverse((_, kind, target))) = control.agenda.due.pop()
        {
            self.expire(kind, target, &mut control);
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

    fn walk(&self, agenda: &mut Agenda) {
        for _ in 0..SCAN_STEPS {
            if let Some(from) = agenda.scan_ike {
                agenda.scan_ike = self
                    .ike
                    .visit_from(from, |id, ike| agenda.add_ike(*id, ike));
            } else if let Some(from) = agenda.scan {
                let mut found = Vec::new();
                agenda.scan = self
                    .ipsec
                    .visit_from(from, |id, sa| found.push((*id, Arc::clone(sa))));
                for (id, sa) in found {
                    self.meet(id, &sa, agenda);
                }
            } else {
                return;
            }
        }
    }

    /// An SA that was taken over.
    fn meet(&self, id: SaId, sa: &IpsecSa, agenda: &mut Agenda) {
        agenda.add(id, sa);
        if let Some(ike) = sa.ike.filter(|ike| !self.ike.contains(ike)) {
            agenda.events.push_back(SadEvent::Orphan { id, ike });
        }
        if !self.counters.holds(sa.instance) {
            agenda.events.push_back(SadEvent::NoCounters { id });
        }
    }

    fn expire(&self, kind: u8, target: Target, control: &mut Control) {
        let event = match target {
            Target::Ike(id) if self.ike.contains(&id) => SadEvent::IkeLifetime {
                id,
                hard: kind == HARD,
            },
            Target::Sa(id, instance)
                if self.ipsec.with(&id, |sa| sa.instance) == Some(instance) =>
            {
                let which = Which::Time;
                if kind == SOFT {
                    SadEvent::SoftLifetime { id, which }
                } else {
                    self.counters.close(instance);
                    SadEvent::HardLifetime { id, which }
                }
            }
            // Gone since.
            Target::Ike(_) | Target::Sa(..) => return,
        };
        control.agenda.events.push_back(event);
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
