//! Counters of busy SAs: how many updates the standby applies, what each costs, and how far it lags.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ha_core::node::Event;
use ha_ipsec::record::Direction;
use ha_ipsec::replay::Accept;
use ha_ipsec::sad::Sad;

use super::bulk::settle;
use super::sample::{SaSpec, direction, id};
use super::yardsticks::BURST;
use crate::held::{Kind, TableSpec};
use crate::latency::Samples;
use crate::pair::{Peer, Site};
use crate::report::{Aim, Report, Unit};
use crate::suite::{BenchError, Context, Suite};
use crate::unit::{self, Keepalive, LinkKind, next_event};
use crate::updates::loopback_bytes;

/// All SAs are busy: threads send and accept packets on one after the other as fast as they can.
/// Then a sweep: the counter of each SA has to be sent once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters;

impl Suite for Counters {
    fn name(&self) -> &'static str {
        "counters"
    }

    fn run(&mut self, context: &mut Context, report: &mut Report) -> Result<(), BenchError> {
        let table = TableSpec {
            kind: Kind::Sas(SaSpec::default()),
            entries: SAS,
        };
        let site = Site::new(LinkKind::Tcp, Keepalive::Default, vec![table])?;
        let active = site.active()?;
        let mut standby = site.child(1)?;
        standby.sync()?;
        active.await_standby()?;
        for threads in [1, 2] {
            traffic(&active, &mut standby, threads, context, report)?;
        }
        sweep(&active, &mut standby, context, report)
    }
}

/// What a window of time saw.
struct Seen {
    rate: f64,
    per_entry: f64,
    wire: Option<f64>,
}

fn traffic(
    active: &unit::Unit,
    standby: &mut Peer,
    threads: u32,
    context: &Context,
    report: &mut Report,
) -> Result<(), BenchError> {
    let plural = if threads == 1 { "thread" } else { "threads" };
    let name = format!("counters: {SAS} busy SAs, packets of {threads} {plural}");
    let mut ages = Samples::default();
    let mut passed = Passed::default();
    // Leads take some flushes to fit the rate.
    run(active, threads, context, &mut Samples::default())?;
    let seen = observed(active, standby, |_| {
        passed = run(active, threads, context, &mut ages)?;
        Ok(())
    })?;
    settle(active, standby)?;
    let rows = [
        ("packets", passed.packets as f64 / passed.seconds),
        ("updates applied", seen.rate),
    ];
    for (what, rate) in rows {
        report.row(format!("{name}: {what}"), rate, Unit::PerSecond, Aim::None);
    }
    let refused = passed.refused as f64 / passed.seconds;
    let label = format!("{name}: packets that wait for the standby");
    report.row(label, refused, Unit::PerSecond, Aim::None);
    sizes(&name, &seen, report);
    let p99 = ages.percentile(99.0).as_secs_f64() * 1e3;
    let label = format!("{name}: staleness, p99");
    report.row(label, p99, Unit::Millis, Aim::None);
    Ok(())
}

fn sizes(name: &str, seen: &Seen, report: &mut Report) {
    let label = format!("{name}: contents of batches per update");
    report.row(label, seen.per_entry, Unit::Bytes, Aim::None);
    if let Some(wire) = seen.wire {
        let label = format!("{name}: on the wire per update, all headers and answers");
        report.row(label, wire, Unit::Bytes, Aim::AtMost(12.0));
    }
}

/// What the standby applies, and what is sent, while something is done.
fn observed(
    active: &unit::Unit,
    standby: &mut Peer,
    act: impl FnOnce(&mut Peer) -> Result<(), BenchError>,
) -> Result<Seen, BenchError> {
    active.barrier()?;
    let wire_before = loopback_bytes();
    let (_, sent_before) = active.stats()?;
    let (from, applied_before) = standby.applied()?;
    act(standby)?;
    let (to, applied) = standby.applied()?;
    let (_, sent) = active.stats()?;
    let wire = wire_before.zip(loopback_bytes());
    let entries = (sent.entries - sent_before.entries).max(1) as f64;
    Ok(Seen {
        rate: (applied - applied_before) as f64 / (to - from),
        per_entry: (sent.bytes - sent_before.bytes) as f64 / entries,
        wire: wire.map(|(before, after)| (after - before) as f64 / entries),
    })
}

#[derive(Default)]
struct Passed {
    packets: u64,
    refused: u64,
    seconds: f64,
}

/// Traffic for a while.
fn run(
    active: &unit::Unit,
    threads: u32,
    context: &Context,
    ages: &mut Samples,
) -> Result<Passed, BenchError> {
    let sad = super::sad(active)?;
    let mut events = active.node()?.handle().events();
    let (stop, packets, refused) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let start = Instant::now();
    thread::scope(|scope| {
        for thread in 0..threads {
            let (stop, packets, refused) = (&stop, &packets, &refused);
            scope.spawn(move || {
                let share = SAS / threads;
                while !stop.load(Ordering::Relaxed) {
                    for from in (thread * share..(thread + 1) * share).step_by(BURST as usize) {
                        let passed = burst(sad, from);
                        packets.fetch_add(passed, Ordering::Relaxed);
                        refused.fetch_add(u64::from(BURST) - passed, Ordering::Relaxed);
                    }
                }
            });
        }
        let done = listen(&mut events, window(context), ages);
        stop.store(true, Ordering::Relaxed);
        done
    })?;
    Ok(Passed {
        packets: packets.into_inner(),
        refused: refused.into_inner(),
        seconds: start.elapsed().as_secs_f64(),
    })
}

fn listen(
    events: &mut tokio::sync::broadcast::Receiver<Event>,
    window: Duration,
    ages: &mut Samples,
) -> Result<(), BenchError> {
    let end = Instant::now() + window;
    while Instant::now() < end {
        while let Some(event) = next_event(events)? {
            if let Event::Staleness { age, .. } = event {
                ages.record(age);
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// A packet of each of some SAs; how many passed.
fn burst(sad: &Sad, from: u32) -> u64 {
    let sad = sad.pin();
    let passed = (from..from + BURST).filter(|number| {
        let id = id(*number);
        match direction(*number) {
            Direction::Outbound => sad.outbound(&id).is_ok_and(|sa| {
                sa.charge(PACKET);
                sa.next().is_ok()
            }),
            Direction::Inbound => sad.inbound(&id).is_ok_and(|sa| {
                sa.charge(PACKET);
                matches!(sa.accept(sa.top() + 1), Accept::Deliver { .. })
            }),
        }
    });
    passed.count() as u64
}

/// Each counter changes once; from the first change until the standby has them all.
fn sweep(
    active: &unit::Unit,
    standby: &mut Peer,
    context: &Context,
    report: &mut Report,
) -> Result<(), BenchError> {
    let mut best: Option<Duration> = None;
    let mut wire: Option<f64> = None;
    let mut per_entry = 0.0;
    for round in 0..context.repeats * 3 {
        let mut took = Duration::ZERO;
        let seen = observed(active, standby, |_| {
            let start = Instant::now();
            (0..SAS).for_each(|key| {
                active.table().write(key, u64::from(round));
            });
            active.barrier()?;
            took = start.elapsed();
            Ok(())
        })?;
        best = Some(best.map_or(took, |best| best.min(took)));
        // Other processes can only add to what the device carried.
        wire = match (wire, seen.wire) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        per_entry = seen.per_entry;
    }
    settle(active, standby)?;
    let rate = f64::from(SAS) / best.unwrap_or_default().as_secs_f64();
    let name = format!("counters: {SAS} SAs, each counter once");
    let label = format!("{name}: written and applied");
    report.row(label, rate, Unit::PerSecond, Aim::None);
    let seen = Seen {
        rate,
        per_entry,
        wire,
    };
    sizes(&name, &seen, report);
    Ok(())
}

fn window(context: &Context) -> Duration {
    Duration::from_secs(if context.entries < 1_000_000 { 2 } else { 5 })
}

/// SAs, each direction counted: a multiple of two bursts.
const SAS: u32 = 99_968;
/// Bytes that a packet is charged with.
const PACKET: u64 = 1400;
