//! Takeover by a standby that holds all entries.

use std::time::{Duration, Instant};

use crate::held::{Kind, TableSpec};
use crate::pair::{Order, Peer, Site};
use crate::report::{Aim, Report, Unit};
use crate::suite::{BenchError, Context, Suite, block_on};
use crate::unit::{self, GROUP, Keepalive, LinkKind};

/// The active unit, in a process of its own, ends or gives the role up; the standby is here. It is
/// active when its first write succeeds, which is tried all the time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Takeover;

impl Suite for Takeover {
    fn name(&self) -> &'static str {
        "takeover"
    }

    fn run(&mut self, context: &mut Context, report: &mut Report) -> Result<(), BenchError> {
        for (order, name) in [
            (Order::Stop, "active unit stops, from the order"),
            (Order::Switchover, "manual switchover, from the order"),
        ] {
            let worst = worst(context, |context| ordered(order, context))?;
            report.row(
                format!("takeover: {name} to the first write"),
                millis(worst),
                Unit::Millis,
                Aim::AtMost(10.0),
            );
        }
        let decided = worst(context, decided)?;
        report.row(
            "takeover: dead active unit, from the decision to the first write",
            millis(decided),
            Unit::Millis,
            Aim::AtMost(10.0),
        );
        for (keepalive, text, limit) in [
            (Keepalive::Default, "default", 1000.0),
            (Keepalive::Fast, "fast", 200.0),
        ] {
            let whole = worst(context, |context| crash(keepalive, context))?;
            report.row(
                format!("takeover: SIGKILL, {text} keepalives, to the first write"),
                millis(whole),
                Unit::Millis,
                Aim::AtMost(limit),
            );
        }
        Ok(())
    }
}

/// Unlike elsewhere the slowest of the repeats counts: a takeover happens once.
fn worst(
    context: &Context,
    mut once: impl FnMut(&Context) -> Result<Duration, BenchError>,
) -> Result<Duration, BenchError> {
    let mut worst = Duration::ZERO;
    for _ in 0..context.repeats {
        worst = worst.max(once(context)?);
    }
    Ok(worst)
}

/// From the order that is given to the active unit to the first write on the standby.
fn ordered(order: Order, context: &Context) -> Result<Duration, BenchError> {
    let (_site, mut active, standby) = pair(Keepalive::Default, context)?;
    let start = Instant::now();
    active.order(order)?;
    let took = first_write(&standby, start, || active.try_answer().map(|_| ()))?;
    expect_whole(&standby, context)?;
    Ok(took)
}

/// From the decision alone: a standby in maintenance mode does not take over from an active unit
/// that it has found dead, until the mode is ended.
fn decided(context: &Context) -> Result<Duration, BenchError> {
    let (_site, mut active, standby) = pair(Keepalive::Fast, context)?;
    let maintenance = |on| {
        let node = standby.node()?.handle();
        let done = block_on(node.set_maintenance(GROUP, on))?;
        done.map_err(BenchError::failed("maintenance mode"))
    };
    maintenance(true)?;
    active.kill()?;
    standby.await_view("the active unit is found dead", |view| !view.peer_up)?;
    if standby.table().write(0, 1) {
        return Err(BenchError::failed("maintenance mode")("took over"));
    }
    let start = Instant::now();
    maintenance(false)?;
    let took = first_write(&standby, start, || Ok(()))?;
    expect_whole(&standby, context)?;
    Ok(took)
}

/// From the kill to the first write, with the time that it takes to find the failure.
fn crash(keepalive: Keepalive, context: &Context) -> Result<Duration, BenchError> {
    let (_site, mut active, standby) = pair(keepalive, context)?;
    let start = active.kill()?;
    let took = first_write(&standby, start, || Ok(()))?;
    expect_whole(&standby, context)?;
    Ok(took)
}

fn pair(keepalive: Keepalive, context: &Context) -> Result<(Site, Peer, unit::Unit), BenchError> {
    let table = TableSpec {
        kind: Kind::Heap,
        entries: context.entries,
    };
    let site = Site::new(LinkKind::Tcp, keepalive, vec![table])?;
    let mut active = site.child(0)?;
    active.ask(Order::Fill)?;
    active.ask(Order::Activate)?;
    let mut standby = site.here(1)?;
    standby.sync()?;
    // It may not know that yet.
    active.ask(Order::AwaitStandby)?;
    Ok((site, active, standby))
}

/// From `start` until a write succeeds; `check` can end it early.
fn first_write(
    standby: &unit::Unit,
    start: Instant,
    mut check: impl FnMut() -> Result<(), BenchError>,
) -> Result<Duration, BenchError> {
    while start.elapsed() < LIMIT {
        if standby.table().write(0, 1) {
            return Ok(start.elapsed());
        }
        check()?;
        // Others need the processor too.
        std::thread::yield_now();
    }
    Err(BenchError::TimedOut {
        what: "the takeover".into(),
        bound: LIMIT,
    })
}

fn expect_whole(standby: &unit::Unit, context: &Context) -> Result<(), BenchError> {
    if standby.table().len() == context.entries as usize {
        return Ok(());
    }
    Err(BenchError::failed("takeover")("entries are missing"))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// For a takeover, the detection of the failure included.
const LIMIT: Duration = Duration::from_secs(20);
