//! How long a commit takes while a full resync runs beside it.

use std::time::Instant;

use ha_core::node::Event;

use crate::held::{Kind, TableSpec, expect_replicated};
use crate::latency::Samples;
use crate::pair::{Order, Site};
use crate::random::Random;
use crate::report::{Aim, Report, Unit};
use crate::suite::{BenchError, Context, Suite, wait_until};
use crate::unit::{self, BOUND, Keepalive, LinkKind, next_event};

/// One waiter commits without pause, from the begin of the stream until the standby is STANDBY HOT.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommitUnderBulk;

impl Suite for CommitUnderBulk {
    fn name(&self) -> &'static str {
        "commit-under-bulk"
    }

    fn run(&mut self, context: &mut Context, report: &mut Report) -> Result<(), BenchError> {
        for (link, aim) in [
            (LinkKind::Tcp, Aim::AtMost(2000.0)),
            (LinkKind::Quic, Aim::None),
        ] {
            let mut samples = measure(link, context)?;
            let name = format!("commit-under-bulk: {}", link.text());
            for ((percentile, us), aim) in
                samples
                    .summary_us()
                    .into_iter()
                    .zip([Aim::None, aim, Aim::None])
            {
                report.row(format!("{name}, {percentile}"), us, Unit::Micros, aim);
            }
            let rounds = samples.len() as f64 / f64::from(context.repeats);
            eprintln!("   {rounds} commits during each resync");
        }
        Ok(())
    }
}

fn measure(link: LinkKind, context: &Context) -> Result<Samples, BenchError> {
    let table = |kind, entries| TableSpec { kind, entries };
    let tables = vec![
        table(Kind::Heap, context.entries),
        table(Kind::Counter, ENTRIES),
    ];
    let site = Site::new(link, Keepalive::Default, tables)?;
    let active = site.active()?;
    let mut all = Samples::default();
    for _ in 0..context.repeats {
        one_resync(&site, &active, &mut all)?;
    }
    Ok(all)
}

fn one_resync(site: &Site, active: &unit::Unit, all: &mut Samples) -> Result<(), BenchError> {
    let mut standby = site.child(1)?;
    let mut events = active.node()?.handle().events();
    standby.order(Order::Sync)?;
    let poll = std::time::Duration::from_micros(100);
    wait_until("the stream begins", poll, BOUND, || {
        let event = next_event(&mut events)?;
        Ok(matches!(event, Some(Event::SyncBegan { .. })))
    })?;
    let mut random = Random::new(5);
    while standby.try_answer()?.is_none() {
        let start = Instant::now();
        let commit = active
            .last_table()
            .transaction(random.below(ENTRIES), random.next())?;
        expect_replicated(commit.wait(BOUND))?;
        all.record(start.elapsed());
    }
    active.barrier()?;
    standby.expect_equal(active)?;
    standby.ask(Order::Stop)?;
    active.await_view("the standby leaves", |view| !view.peer_up)
}

const ENTRIES: u32 = 10_000;
