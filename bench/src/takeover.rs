//! Takeover by a standby that holds all entries.

use std::time::{Duration, Instant};

use ha_core::node::Event;

use crate::held::{Kind, TableSpec};
use crate::pair::{Order, Peer, Site};
use crate::report::{Aim, Report, Unit};
use crate::suite::{BenchError, Context, Suite};
use crate::unit::{self, BOUND, Keepalive, LinkKind, next_event};

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
        for (keepalive, text, limit) in [
            (Keepalive::Default, "default", 1000.0),
            (Keepalive::Fast, "fast", 200.0),
        ] {
            crashes(keepalive, text, limit, context, report)?;
        }
        Ok(())
    }
}

fn crashes(
    keepalive: Keepalive,
    text: &str,
    limit: f64,
    context: &Context,
    report: &mut Report,
) -> Result<(), BenchError> {
    let mut worst = (Duration::ZERO, Duration::ZERO);
    for _ in 0..context.repeats {
        let (decided, whole) = crash(keepalive, context)?;
        worst = (worst.0.max(decided), worst.1.max(whole));
    }
    let name = format!("takeover: SIGKILL, {text} keepalives");
    report.row(
        format!("{name}, from the loss found to the first write"),
        millis(worst.0),
        Unit::Millis,
        Aim::AtMost(10.0),
    );
    report.row(
        format!("{name}, from the kill to the first write"),
        millis(worst.1),
        Unit::Millis,
        Aim::AtMost(limit),
    );
    Ok(())
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
    let (_, written) = first_write(&standby, start)?;
    active.answer()?;
    expect_whole(&standby, context)?;
    Ok(written - start)
}

/// From the event that tells of the loss, and from the kill, to the first write.
fn crash(keepalive: Keepalive, context: &Context) -> Result<(Duration, Duration), BenchError> {
    let (_site, mut active, standby) = pair(keepalive, context)?;
    let start = active.kill()?;
    let (decided, written) = first_write(&standby, start)?;
    expect_whole(&standby, context)?;
    let decided =
        decided.ok_or_else(|| BenchError::failed("takeover")("without the event of the loss"))?;
    Ok((written - decided, written - start))
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
    Ok((site, active, standby))
}

/// When the loss of the peer was told, if it was, and when the first write succeeded. The event is
/// looked for before each write, so that a late look makes the time longer, never shorter, than it
/// was from the moment that the node told.
fn first_write(
    standby: &unit::Unit,
    start: Instant,
) -> Result<(Option<Instant>, Instant), BenchError> {
    let mut events = standby.node()?.handle().events();
    let mut told = None;
    while start.elapsed() < BOUND {
        if let Some(Event::PeerLost { .. }) = next_event(&mut events)? {
            told = Some(Instant::now());
        }
        if standby.table().write(0, 1) {
            let written = Instant::now();
            return Ok((told.or_else(|| late_event(&mut events, written)), written));
        }
    }
    Err(BenchError::TimedOut {
        what: "the takeover".into(),
        bound: BOUND,
    })
}

/// The role was taken up in the same step in which the loss was found: no time between.
fn late_event(
    events: &mut tokio::sync::broadcast::Receiver<Event>,
    written: Instant,
) -> Option<Instant> {
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        if let Ok(Some(Event::PeerLost { .. })) = next_event(events) {
            return Some(written);
        }
    }
    None
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
