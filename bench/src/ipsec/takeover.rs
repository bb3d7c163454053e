//! From the decision to the first packets on the other unit.

use std::time::{Duration, Instant, SystemTime};

use ha_ipsec::record::Direction;
use ha_ipsec::replay::Accept;
use ha_ipsec::sad::Sad;

use super::lookup::order;
use super::sample::{SaSpec, direction, id};
use super::yardsticks::BURST;
use crate::held::{Kind, TableSpec};
use crate::pair::{Answer, Order, Peer, Site, clock_micros};
use crate::report::{Aim, Report, Unit};
use crate::suite::{BenchError, Context, Suite, block_on, wait_until};
use crate::unit::{self, GROUP, Keepalive, LinkKind};

/// The active unit, in a process of its own, gives the role up or is dead; the standby is here. Its
/// data path is open when a number was handed out and a packet accepted, which is tried all the
/// time. Every SA gets IKE, so that more than the packet path changes hands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Takeover;

impl Suite for Takeover {
    fn name(&self) -> &'static str {
        "takeover"
    }

    fn run(&mut self, context: &mut Context, report: &mut Report) -> Result<(), BenchError> {
        let sizes = [1_000, 10_000, 100_000, 1_000_000];
        for entries in sizes.into_iter().filter(|size| *size <= context.entries) {
            // Of a takeover the slowest counts: it happens once. Filling a million takes long.
            let repeats = if entries > 100_000 {
                1
            } else {
                context.repeats
            };
            let mut worst = Figures::default();
            for _ in 0..repeats {
                worst.raise(&once(entries)?);
            }
            worst.report(entries, report);
        }
        Ok(())
    }
}

/// Of one size.
#[derive(Clone, Copy, Default)]
struct Figures {
    idle: Switched,
    busy: Switched,
    loss: Duration,
    first_use: Duration,
}

/// A manual switchover.
#[derive(Clone, Copy, Default)]
struct Switched {
    /// From the order to packets both ways on the other unit.
    order: Duration,
    /// From the last packet on this unit to that: what peers notice.
    silence: Duration,
}

impl Switched {
    fn raise(&mut self, other: &Self) {
        self.order = self.order.max(other.order);
        self.silence = self.silence.max(other.silence);
    }
}

impl Figures {
    fn raise(&mut self, other: &Self) {
        self.idle.raise(&other.idle);
        self.busy.raise(&other.busy);
        self.loss = self.loss.max(other.loss);
        self.first_use = self.first_use.max(other.first_use);
    }

    fn report(&self, entries: u32, report: &mut Report) {
        let aim = Aim::AtMost(10.0);
        for (what, took, aim) in [
            ("idle, manual switchover, silence", self.idle.silence, aim),
            (
                "idle, manual switchover, from the order",
                self.idle.order,
                Aim::None,
            ),
            (
                "all just used, manual switchover, silence",
                self.busy.silence,
                aim,
            ),
            (
                "all just used, manual switchover, from the order",
                self.busy.order,
                Aim::None,
            ),
            ("dead active unit, from the decision", self.loss, aim),
        ] {
            let name = format!("takeover: {entries} SAs, {what} to packets both ways");
            report.row(name, took.as_secs_f64() * 1e3, Unit::Millis, aim);
        }
        let each = self.first_use.as_secs_f64() * 1e9 / f64::from(entries);
        let name = format!("takeover: {entries} SAs, then the first packet of each");
        report.row(name, each, Unit::Nanos, Aim::None);
    }
}

fn once(entries: u32) -> Result<Figures, BenchError> {
    let idle = switched_over(entries, false)?;
    let busy = switched_over(entries, true)?;
    let (_site, mut active, standby) = pair(entries)?;
    let sad = super::sad(&standby)?;
    let loss = decided(&mut active, &standby)?;
    expect_whole(sad, entries)?;
    let start = Instant::now();
    use_all(sad, entries)?;
    Ok(Figures {
        idle,
        busy,
        loss,
        first_use: start.elapsed(),
    })
}

/// From the order that is given to the active unit to the first packets on the standby. If all SAs
/// were just used, the counters of all are still to be sent, with ceilings closed on the exact top.
fn switched_over(entries: u32, busy: bool) -> Result<Switched, BenchError> {
    let (_site, mut active, standby) = pair(entries)?;
    let sad = super::sad(&standby)?;
    std::thread::sleep(QUIET);
    if busy {
        // The first inbound packets wait for the standby to learn that their ceilings rise; so do
        // later ones if it takes longer than a ceiling stays open to serve all SAs once.
        let most = u64::from(entries) / 2;
        let flowing = || Ok(active.number(Order::WriteAll)? >= most);
        wait_until("traffic on all SAs", FLUSH, LIMIT, flowing)?;
        active.ask(Order::WriteAll)?;
    }
    let start = Instant::now();
    active.order(Order::HandOver)?;
    let mut last = None;
    let order = open(sad, start, || {
        last = last.take().or(active.try_answer()?);
        Ok(())
    })?;
    let opened = clock_micros(SystemTime::now());
    expect_whole(sad, entries)?;
    let last = match last {
        Some(answer) => answer,
        None => active.answer()?,
    };
    let Answer::Number(last) = last else {
        return Err(BenchError::failed("takeover")("no time of the last packet"));
    };
    let silence = Duration::from_micros(opened.saturating_sub(last));
    Ok(Switched { order, silence })
}

/// When the first IPsec SA passed its last packet on a unit that gives its role up, which `give_up`
/// orders.
pub(crate) fn last_packet(
    unit: &unit::Unit,
    give_up: impl FnOnce() -> Result<(), BenchError>,
) -> Result<SystemTime, BenchError> {
    let sad = super::sad(unit)?;
    let now = SystemTime::now();
    if !passes(sad, 0) {
        return Err(BenchError::failed("the data path")("closed too early"));
    }
    std::thread::scope(|scope| {
        let last = scope.spawn(|| last_until_closed(sad, now));
        give_up()?;
        last.join()
            .unwrap_or_else(|_| Err(BenchError::failed("the data path")("a thread panicked")))
    })
}

fn last_until_closed(sad: &Sad, mut last: SystemTime) -> Result<SystemTime, BenchError> {
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        let now = SystemTime::now();
        if !passes(sad, 0) {
            return Ok(last);
        }
        last = now;
        std::thread::sleep(PAUSE);
    }
    Err(BenchError::TimedOut {
        what: "the end of the data path".into(),
        bound: LIMIT,
    })
}

/// From the decision alone: a standby in maintenance mode does not take over from an active unit
/// that it has found dead, until the mode is ended.
fn decided(active: &mut Peer, standby: &unit::Unit) -> Result<Duration, BenchError> {
    let sad = super::sad(standby)?;
    let maintenance = |on| {
        let node = standby.node()?.handle();
        let done = block_on(node.set_maintenance(GROUP, on))?;
        done.map_err(BenchError::failed("maintenance mode"))
    };
    maintenance(true)?;
    active.kill()?;
    standby.await_view("the active unit is found dead", |view| !view.peer_up)?;
    if sad.outbound(&id(0)).is_ok() {
        return Err(BenchError::failed("maintenance mode")("took over"));
    }
    let start = Instant::now();
    maintenance(false)?;
    open(sad, start, || Ok(()))
}

fn pair(entries: u32) -> Result<(Site, Peer, unit::Unit), BenchError> {
    let spec = SaSpec {
        ike: true,
        ..SaSpec::default()
    };
    let kind = Kind::Sas(spec);
    let table = TableSpec { kind, entries };
    let site = Site::new(LinkKind::Tcp, Keepalive::Fast, vec![table])?;
    let mut active = site.child(0)?;
    active.ask(Order::Activate)?;
    active.ask(Order::Fill)?;
    let mut standby = site.here(1)?;
    standby.sync()?;
    // It may not know that yet.
    active.ask(Order::AwaitStandby)?;
    Ok((site, active, standby))
}

/// From `start` until a packet goes out and one comes in; `check` can end it early.
fn open(
    sad: &Sad,
    start: Instant,
    mut check: impl FnMut() -> Result<(), BenchError>,
) -> Result<Duration, BenchError> {
    while start.elapsed() < LIMIT {
        if passes(sad, 0) && passes(sad, 1) {
            return Ok(start.elapsed());
        }
        check()?;
        // The unit's own threads need the processor too.
        std::thread::sleep(PAUSE);
    }
    Err(BenchError::TimedOut {
        what: "the takeover".into(),
        bound: LIMIT,
    })
}

/// Whether a packet of this SA passes.
fn passes(sad: &Sad, number: u32) -> bool {
    let (sad, id) = (sad.pin(), id(number));
    match direction(number) {
        Direction::Outbound => sad.outbound(&id).is_ok_and(|sa| sa.next().is_ok()),
        Direction::Inbound => sad.inbound(&id).is_ok_and(|sa| {
            // The remote site goes on beyond all that may have been accepted.
            matches!(sa.accept(sa.top() + 1), Accept::Deliver { .. })
        }),
    }
}

/// A packet of each SA, in random order.
fn use_all(sad: &Sad, entries: u32) -> Result<(), BenchError> {
    let gateway = id(1).destination;
    let mut passed = 0;
    for burst in order(entries, 9).chunks(BURST as usize) {
        let sad = sad.pin();
        for id in burst {
            passed += u32::from(if id.destination == gateway {
                sad.inbound(id)
                    .is_ok_and(|sa| matches!(sa.accept(sa.top() + 1), Accept::Deliver { .. }))
            } else {
                sad.outbound(id).is_ok_and(|sa| sa.next().is_ok())
            });
        }
    }
    if passed == entries {
        return Ok(());
    }
    let cause = format!("{passed} packets of {entries} SAs passed");
    Err(BenchError::failed("the takeover")(cause))
}

fn expect_whole(sad: &Sad, entries: u32) -> Result<(), BenchError> {
    let stats = sad.stats();
    if (stats.ipsec_sas, stats.ike_sas) == (entries as usize, entries as usize / 2) {
        return Ok(());
    }
    Err(BenchError::failed("takeover")("SAs are missing"))
}

/// Long enough for the ceilings of idle SAs to close.
const QUIET: Duration = Duration::from_millis(500);
/// The standby acknowledges in about this time.
const FLUSH: Duration = Duration::from_millis(20);
/// Between packets.
const PAUSE: Duration = Duration::from_micros(50);
/// For a takeover.
const LIMIT: Duration = Duration::from_secs(20);
