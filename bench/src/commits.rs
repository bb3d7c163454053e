//! Output commit: how long a transaction takes to be acknowledged by the standby, and how many per
//! second when many are open.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::held::{Held, Kind, TableSpec, expect_replicated, replicated};
use crate::latency::Samples;
use crate::pair::{Peer, Site};
use crate::random::Random;
use crate::report::{Aim, Report, Unit};
use crate::suite::{BenchError, Context, Suite, block_on};
use crate::unit::{self, Keepalive, LinkKind};

/// Transactions of one 16-byte entry.
#[derive(Clone, Copy, Debug, Default)]
pub struct Commits;

impl Suite for Commits {
    fn name(&self) -> &'static str {
        "commits"
    }

    fn run(&mut self, context: &mut Context, report: &mut Report) -> Result<(), BenchError> {
        for link in [LinkKind::Tcp, LinkKind::Quic] {
            let table = TableSpec {
                kind: Kind::Counter,
                entries: ENTRIES,
            };
            let site = Site::new(link, Keepalive::Default, vec![table])?;
            let active = site.active()?;
            let mut standby = site.child(1)?;
            standby.sync()?;
            measure(&active, &mut standby, link, context, report)?;
            active.barrier()?;
            standby.expect_equal(&active)?;
        }
        Ok(())
    }
}

fn measure(
    active: &unit::Unit,
    standby: &mut Peer,
    link: LinkKind,
    context: &Context,
    report: &mut Report,
) -> Result<(), BenchError> {
    let table = active.table();
    let aims = |p50: Aim| match link {
        LinkKind::Tcp => [p50, Aim::AtMost(1000.0), Aim::None],
        LinkKind::Quic => [Aim::None; 3],
    };
    let count = context.round_trips;
    // Warm-up: buffers, caches, the processor's clock.
    round_trips(table.as_ref(), count / 10, 0)?;
    let before = (active.stats()?.1.batches, standby.applied()?.1);
    let mut one = round_trips(table.as_ref(), count, 1)?;
    let after = (active.stats()?.1.batches, standby.applied()?.1);
    // One waiter: each commit is a batch that the standby applied before.
    if after.0 - before.0 < count.into() || after.1 - before.1 < count.into() {
        return Err(BenchError::failed("commits")(
            "resolved without the standby",
        ));
    }
    let name = format!("commits: {}, 1 waiter", link.text());
    latency(&name, &mut one, aims(Aim::AtMost(100.0)), report);
    let mut tasks = block_on(waiting_tasks(table, count))??;
    let name = format!("commits: {}, {WAITERS} waiting tasks", link.text());
    latency(&name, &mut tasks, aims(Aim::None), report);
    let mut threads = waiting_threads(table.as_ref(), count)?;
    let name = format!("commits: {}, {WAITERS} waiting threads", link.text());
    latency(&name, &mut threads, [Aim::None; 3], report);
    let rate = grouped(table.as_ref(), window(context))?;
    let aim = match link {
        LinkKind::Tcp => Aim::AtLeast(200_000.0),
        LinkKind::Quic => Aim::None,
    };
    let name = format!(
        "commits: {}, {PIPELINES} threads with {OPEN} open each",
        link.text()
    );
    report.row(name, rate, Unit::PerSecond, aim);
    Ok(())
}

fn latency(name: &str, samples: &mut Samples, aims: [Aim; 3], report: &mut Report) {
    for ((percentile, us), aim) in samples.summary_us().into_iter().zip(aims) {
        report.row(format!("{name}, {percentile}"), us, Unit::Micros, aim);
    }
}

fn round_trips(table: &dyn Held, count: u32, seed: u64) -> Result<Samples, BenchError> {
    let mut random = Random::new(seed);
    let mut samples = Samples::with_capacity(count as usize);
    for _ in 0..count {
        let start = Instant::now();
        replicated(table.transaction(random.below(ENTRIES), random.next())?)?;
        samples.record(start.elapsed());
    }
    Ok(samples)
}

fn waiting_threads(table: &dyn Held, count: u32) -> Result<Samples, BenchError> {
    thread::scope(|scope| {
        let each = count / WAITERS;
        let threads: Vec<_> = (0..WAITERS)
            .map(|n| scope.spawn(move || round_trips(table, each, n.into())))
            .collect();
        let mut all = Samples::default();
        for thread in threads {
            let samples = thread.join().map_err(|_| BenchError::Thread {
                what: "waiting for commits",
            })?;
            all.merge(&samples?);
        }
        Ok(all)
    })
}

/// As an async daemon would: all on one thread.
async fn waiting_tasks(table: &Arc<dyn Held>, count: u32) -> Result<Samples, BenchError> {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..WAITERS {
        let table = Arc::clone(table);
        tasks.spawn(async move {
            let mut random = Random::new(n.into());
            let mut samples = Samples::default();
            for _ in 0..count / WAITERS {
                let start = Instant::now();
                let commit = table.transaction(random.below(ENTRIES), random.next())?;
                expect_replicated(commit.await)?;
                samples.record(start.elapsed());
            }
            Ok::<_, BenchError>(samples)
        });
    }
    let mut all = Samples::default();
    while let Some(samples) = tasks.join_next().await {
        all.merge(&samples.map_err(|_| BenchError::Thread {
            what: "waiting for commits",
        })??);
    }
    Ok(all)
}

/// Commits per second, from the first transaction until the last commit has resolved.
fn grouped(table: &dyn Held, window: Duration) -> Result<f64, BenchError> {
    let start = Instant::now();
    let total = thread::scope(|scope| {
        let threads: Vec<_> = (0..PIPELINES)
            .map(|n| scope.spawn(move || pipeline(table, n, start + window)))
            .collect();
        let mut total = 0;
        for thread in threads {
            total += thread
                .join()
                .map_err(|_| BenchError::Thread { what: "committing" })??;
        }
        Ok::<u64, BenchError>(total)
    })?;
    Ok(total as f64 / start.elapsed().as_secs_f64())
}

fn pipeline(table: &dyn Held, number: u64, end: Instant) -> Result<u64, BenchError> {
    let mut random = Random::new(number);
    let mut open = VecDeque::with_capacity(OPEN);
    let mut done = 0;
    while Instant::now() < end {
        open.push_back(table.transaction(random.below(ENTRIES), random.next())?);
        if open.len() == OPEN
            && let Some(oldest) = open.pop_front()
        {
            replicated(oldest)?;
            done += 1;
        }
    }
    for commit in open {
        replicated(commit)?;
        done += 1;
    }
    Ok(done)
}

fn window(context: &Context) -> Duration {
    Duration::from_secs(if context.entries < 1_000_000 { 1 } else { 3 })
}

const ENTRIES: u32 = 10_000;
const WAITERS: u32 = 64;
const PIPELINES: u64 = 4;
const OPEN: usize = 256;
