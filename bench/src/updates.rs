//! Incremental updates of a full table: how many the standby applies per second.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::held::{Held, Kind, TableSpec};
use crate::pair::{Peer, Site};
use crate::random::Random;
use crate::redis;
use crate::report::{Aim, Report, Unit};
use crate::suite::{BenchError, Context, Suite};
use crate::unit::{self, Keepalive, LinkKind};

/// Writers on the active unit change random entries as fast as they can. An entry that is changed
/// again before it was sent is sent once: what the standby applies and what is written are told
/// apart. Then a sweep: every entry changes once, so that nothing coalesces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Updates;

impl Suite for Updates {
    fn name(&self) -> &'static str {
        "updates"
    }

    fn run(&mut self, context: &mut Context, report: &mut Report) -> Result<(), BenchError> {
        for (kind, name) in [
            (Kind::Packet, "updates: packet path"),
            (Kind::Counter, "updates: StateTable"),
        ] {
            let entries = context.entries;
            let table = TableSpec { kind, entries };
            let site = Site::new(LinkKind::Tcp, Keepalive::Default, vec![table])?;
            let active = site.active()?;
            let mut standby = site.child(1)?;
            standby.sync()?;
            for writers in [1, 2] {
                let run = Run {
                    active: &active,
                    writers,
                    context,
                };
                run.measure(&mut standby, &format!("{name}, {writers} x writer"), report)?;
            }
            sweep(&active, &mut standby, context, name, report)?;
        }
        Ok(())
    }
}

struct Run<'a> {
    active: &'a unit::Unit,
    writers: u64,
    context: &'a Context,
}

impl Run<'_> {
    fn measure(
        &self,
        standby: &mut Peer,
        name: &str,
        report: &mut Report,
    ) -> Result<(), BenchError> {
        let wire_before = loopback_bytes();
        let (_, sent_before) = self.active.stats()?;
        let (from, applied_before) = standby.applied()?;
        let start = Instant::now();
        let written = self.write(standby)?;
        let written_per_second = written as f64 / start.elapsed().as_secs_f64();
        let (to, applied) = standby.applied()?;
        let rate = (applied - applied_before) as f64 / (to - from);
        self.active.barrier()?;
        let (_, sent) = self.active.stats()?;
        let wire = wire_before.zip(loopback_bytes());
        standby.expect_equal(self.active)?;

        let aim = Aim::More {
            than: redis::UPDATES,
            times: 10.0,
        };
        report.row(format!("{name}: applied"), rate, Unit::PerSecond, aim);
        let label = format!("{name}: written");
        report.row(label, written_per_second, Unit::PerSecond, Aim::None);
        let entries = (sent.entries - sent_before.entries) as f64;
        let contents = (sent.bytes - sent_before.bytes) as f64;
        let label = format!("{name}: contents of batches per entry");
        report.row(label, contents / entries, Unit::Bytes, Aim::None);
        if let Some((before, after)) = wire {
            let label = format!("{name}: on the wire per entry, all headers and answers");
            let bytes = (after - before) as f64 / entries;
            report.row(label, bytes, Unit::Bytes, Aim::None);
        }
        Ok(())
    }

    /// Writes for a while; returns how often.
    fn write(&self, standby: &mut Peer) -> Result<u64, BenchError> {
        let (table, entries) = (self.active.table().as_ref(), self.context.entries);
        let (stop, total) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            for number in 0..self.writers {
                let (stop, total) = (&stop, &total);
                scope.spawn(move || {
                    total.fetch_add(write_until(table, entries, number, stop), Ordering::Relaxed);
                });
            }
            // The window of the measure; nothing waits for it.
            let end = Instant::now() + window(self.context);
            while let Some(left) = end.checked_duration_since(Instant::now()) {
                thread::sleep(left.min(Duration::from_millis(200)));
                standby.try_answer()?;
            }
            stop.store(true, Ordering::Relaxed);
            Ok(())
        })?;
        Ok(total.into_inner())
    }
}

fn write_until(table: &dyn Held, entries: u32, writer: u64, stop: &AtomicBool) -> u64 {
    let mut random = Random::new(writer + 77);
    let mut written = 0;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..CHUNK {
            written += u64::from(table.write(random.below(entries), random.next()));
        }
    }
    written
}

/// Changes each entry once; from the first change until the standby has them all.
fn sweep(
    active: &unit::Unit,
    standby: &mut Peer,
    context: &Context,
    name: &str,
    report: &mut Report,
) -> Result<(), BenchError> {
    let mut best = Duration::MAX;
    for round in 0..context.repeats {
        let start = Instant::now();
        for key in 0..context.entries {
            let number = (u64::from(round) << 32) + u64::from(key);
            if !active.table().write(key, number) {
                return Err(BenchError::failed("writing")("the unit is not active"));
            }
        }
        active.barrier()?;
        best = best.min(start.elapsed());
    }
    standby.expect_equal(active)?;
    let rate = f64::from(context.entries) / best.as_secs_f64();
    let aim = Aim::More {
        than: redis::UPDATES,
        times: 10.0,
    };
    let name = format!("{name}, each entry once: written and applied");
    report.row(name, rate, Unit::PerSecond, aim);
    Ok(())
}

/// What the loopback device has carried, whoever used it: another process would be counted too.
pub(crate) fn loopback_bytes() -> Option<u64> {
    let devices = std::fs::read_to_string("/proc/net/dev").ok()?;
    let line = devices
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("lo:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn window(context: &Context) -> Duration {
    Duration::from_secs(if context.entries < 1_000_000 { 1 } else { 4 })
}

const CHUNK: u32 = 256;
