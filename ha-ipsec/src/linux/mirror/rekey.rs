//! Asks the IKE daemon for rekeys with what the kernel itself says of a soft lifetime that ended, an
//! `XFRM_MSG_EXPIRE` that every listener hears.
//!
//! Under the strict policy a takeover puts a window at the ceiling, and the peer's packets below it are
//! refused until it has sent as many. A sender at a rate has done so soon. TCP backs off instead, and may
//! never: its SA needs new numbers, which a rekey brings within a round trip.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::{BTreeMap, HashMap, VecDeque};

use ha_core::time::Time;

use super::MirrorStats;
use super::apply::Placed;
use super::kernel::{Command, Kernel, KernelError, KernelSa, SaRef};
use super::pace::Limit;
use crate::record::{Direction, IpsecSa};

/// SAs that have to be rekeyed, and those that may have to be.
///
/// ```text
///   placed at a ceiling ──▶ Watched ──refuses packets──▶ Asked(1) ──▶ Asked(2) ··· MAX_ASKED
///                              │                            ▲  │
///        accepts packets, gone,│        numbers run out ────┘  │ the same
///        another SA in its place                               ▼
///                           forgotten                       forgotten
/// ```
///
/// What counts refused packets is read before anything is authenticated, so an attacker can have an SA
/// rekeyed that was busy when its unit died: asked for a few times, and at the rate of all.
#[derive(Debug)]
pub(super) struct Rekeys {
    sas: HashMap<SaRef, Wanted>,
    /// When each of them is looked at; one entry each at most, but for those forgotten since.
    due: BTreeMap<(Time, u64), SaRef>,
    /// Those that wait for their turn to be asked for.
    ready: VecDeque<(SaRef, u64)>,
    /// Tells entries of one time apart.
    serial: u64,
    began: Time,
    reads: Limit,
    asks: Limit,
}

#[derive(Clone, Copy, Debug)]
struct Wanted {
    entry: u64,
    flow: Flow,
    why: Why,
    asked: u32,
    /// How often it is asked for at most.
    most: u32,
}

#[derive(Clone, Copy, Debug)]
enum Why {
    /// It stands at the ceiling `top`, and had refused so many packets when it was put there.
    Held { top: u64, refused: u64 },
    /// The database said so: its numbers or its lifetime run out.
    Due,
}

/// What one SA takes over from another at a rekey. The kernel sends through the newest of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Flow {
    direction: Direction,
    source: IpAddr,
    destination: IpAddr,
    reqid: u32,
    interface_id: u32,
}

impl Flow {
    const fn of(sa: &IpsecSa) -> Self {
        Self {
            direction: sa.direction,
            source: sa.source,
            destination: sa.id.destination,
            reqid: sa.reqid,
            interface_id: sa.interface_id,
        }
    }
}

impl Rekeys {
    /// Watches the SAs that a takeover put at their ceilings.
    pub(super) fn new(placed: &[Placed], max_per_s: u32, now: Time) -> Self {
        let mut this = Self {
            sas: HashMap::new(),
            due: BTreeMap::new(),
            ready: VecDeque::new(),
            serial: 0,
            began: now,
            reads: Limit::new(MAX_READS_PER_S),
            asks: Limit::new(max_per_s),
        };
        for sa in placed {
            this.watch(sa, now);
        }
        this
    }

    /// An SA was put at a ceiling.
    pub(super) fn watch(&mut self, placed: &Placed, now: Time) {
        let why = Why::Held {
            top: placed.top,
            refused: placed.refused,
        };
        // Most senders pass a ceiling in less time than this.
        self.want(&placed.record, why, MAX_ASKED, now + GRACE);
    }

    /// Numbers of an SA run out.
    pub(super) fn numbers_low(&mut self, sa: &IpsecSa, now: Time) {
        self.want(sa, Why::Due, MAX_ASKED, now);
    }

    /// The soft lifetime of an SA is over. The kernel says so too, and a daemon that gave up then should
    /// not be pressed.
    pub(super) fn lifetime_over(&mut self, sa: &IpsecSa, now: Time) {
        self.want(sa, Why::Due, 1, now);
    }

    /// Packets moved an SA.
    pub(super) fn moved(&mut self, sa: &SaRef, position: u64) {
        if self.sas.get(sa).is_some_and(|it| it.is_passed(position)) {
            self.sas.remove(sa);
        }
    }

    /// An SA came: those that it replaces are rekeyed. Without a request id nobody can tell which.
    pub(super) fn replaced_by(&mut self, sa: &IpsecSa) {
        let (name, flow) = (SaRef::of(sa), Flow::of(sa));
        if flow.reqid == 0 {
            return;
        }
        self.sas.retain(|old, it| *old == name || it.flow != flow);
    }

    /// Asks, and looks at the SAs that are due, as far as the rates allow. Returns the commands that ask.
    pub(super) fn round(
        &mut self,
        kernel: &mut dyn Kernel,
        stats: &mut MirrorStats,
        now: Time,
    ) -> Result<Vec<Command>, KernelError> {
        self.look(kernel, now)?;
        self.ask(kernel, stats, now)
    }

    /// Which SAs have to be asked for.
    fn look(&mut self, kernel: &mut dyn Kernel, now: Time) -> Result<(), KernelError> {
        while let Some((&(at, entry), &sa)) = self.due.first_key_value() {
            if at > now || !self.reads.has_room(now) {
                break;
            }
            if let Some(wanted) = self.current(&sa, entry) {
                // The entry stays if this fails.
                if wanted.is_certain() || self.is_refusing(&sa, &wanted, kernel, now)? {
                    self.ready.push_back((sa, entry));
                } else if self.sas.contains_key(&sa) {
                    self.again(sa, wanted, now + self.next_look(now));
                }
            }
            self.due.remove(&(at, entry));
        }
        Ok(())
    }

    fn ask(
        &mut self,
        kernel: &mut dyn Kernel,
        stats: &mut MirrorStats,
        now: Time,
    ) -> Result<Vec<Command>, KernelError> {
        let mut commands = Vec::new();
        while let Some(&(sa, entry)) = self.ready.front() {
            if !self.asks.has_room(now) || !self.reads.has_room(now) {
                break;
            }
            if let Some(wanted) = self.current(&sa, entry)
                && let Some(held) = self.read(&sa, &wanted, kernel, now)?
            {
                self.asks.take(now);
                self.asked(sa, wanted, stats, now);
                commands.push(Command::SoftExpire(Box::new(held.record)));
            }
            self.ready.pop_front();
        }
        Ok(commands)
    }

    fn asked(&mut self, sa: SaRef, wanted: Wanted, stats: &mut MirrorStats, now: Time) {
        let asked = wanted.asked + 1;
        let is_first = matches!((asked, wanted.why), (1, Why::Held { .. }));
        stats.held_out += u64::from(is_first);
        stats.rekeys_asked += 1;
        tracing::info!(sa = %sa.id, why = wanted.why.text(), asked, "the IKE daemon is asked to rekey");
        if asked < wanted.most {
            self.again(sa, Wanted { asked, ..wanted }, now + pause(asked));
        } else {
            self.sas.remove(&sa);
        }
    }

    fn is_refusing(
        &mut self,
        sa: &SaRef,
        wanted: &Wanted,
        kernel: &mut dyn Kernel,
        now: Time,
    ) -> Result<bool, KernelError> {
        let held = self.read(sa, wanted, kernel, now)?;
        Ok(held.is_some_and(|held| wanted.is_refused(&held)))
    }

    /// An SA as it is. One that is gone, or that accepts packets again, is forgotten.
    fn read(
        &mut self,
        sa: &SaRef,
        wanted: &Wanted,
        kernel: &mut dyn Kernel,
        now: Time,
    ) -> Result<Option<KernelSa>, KernelError> {
        self.reads.take(now);
        let held = kernel.sa(sa)?;
        let held = held.filter(|held| !wanted.is_passed(held.replay.inbound));
        if held.is_none() {
            self.sas.remove(sa);
        }
        Ok(held)
    }

    /// What is wanted, unless that was forgotten or has changed since.
    fn current(&self, sa: &SaRef, entry: u64) -> Option<Wanted> {
        self.sas.get(sa).filter(|it| it.entry == entry).copied()
    }

    fn want(&mut self, sa: &IpsecSa, why: Why, most: u32, at: Time) {
        let wanted = Wanted {
            entry: 0,
            flow: Flow::of(sa),
            why,
            asked: 0,
            most,
        };
        self.again(SaRef::of(sa), wanted, at);
    }

    fn again(&mut self, sa: SaRef, wanted: Wanted, at: Time) {
        self.serial += 1;
        let entry = self.serial;
        self.due.insert((at, entry), sa);
        self.sas.insert(sa, Wanted { entry, ..wanted });
    }

    /// Whoever is silent for long is looked at seldom, and TCP doubles its pauses too: a quarter of the
    /// time since the takeover adds little to them.
    fn next_look(&self, now: Time) -> Duration {
        (now.since(self.began) / 4).clamp(SHORTEST_LOOK, LONGEST_LOOK)
    }
}

impl Wanted {
    /// Whether the peer got beyond the ceiling by itself.
    const fn is_passed(&self, position: u64) -> bool {
        matches!(self.why, Why::Held { top, .. } if position > top)
    }

    /// Whether it needs no further look. Once asked for, it is asked for again: the daemon may not have
    /// been ready.
    const fn is_certain(&self) -> bool {
        self.asked > 0 || matches!(self.why, Why::Due)
    }

    const fn is_refused(&self, held: &KernelSa) -> bool {
        matches!(self.why, Why::Held { refused, .. } if held.refused > refused)
    }
}

impl Why {
    const fn text(self) -> &'static str {
        match self {
            Self::Held { .. } => "it refuses packets since the takeover",
            Self::Due => "its numbers or its lifetime run out",
        }
    }
}

/// A daemon with high availability of its own notices a death seconds later than the mirror, and is deaf
/// until then. After that, insisting helps little.
fn pause(asked: u32) -> Duration {
    FIRST_PAUSE * 2_u32.pow(asked.saturating_sub(EVEN_PAUSES).min(MAX_ASKED))
}

const GRACE: Duration = Duration::from_secs(1);
const SHORTEST_LOOK: Duration = Duration::from_millis(250);
const LONGEST_LOOK: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// So many pauses are as short as the first.
const EVEN_PAUSES: u32 = 4;
/// About a minute.
const MAX_ASKED: u32 = 10;
/// A GETSA takes microseconds: about a hundredth of a core.
const MAX_READS_PER_S: u32 = 1000;
