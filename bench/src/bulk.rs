//! Full resync: a fresh standby gets all entries.

use crate::held::{Kind, TableSpec};
use crate::pair::{Order, Site};
use crate::report::{Aim, Report, Unit};
use crate::suite::{BenchError, Context, Suite};
use crate::unit::{Keepalive, LinkKind};
use crate::{loopback, redis};

/// From the start of the standby's node (as Redis: from REPLICAOF, so with connection and
/// handshake) until it is STANDBY HOT with all entries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bulk;

impl Suite for Bulk {
    fn name(&self) -> &'static str {
        "bulk"
    }

    fn run(&mut self, context: &mut Context, report: &mut Report) -> Result<(), BenchError> {
        for (link, kind, values) in [
            (LinkKind::Tcp, Kind::Heap, "values on the heap"),
            (LinkKind::Tcp, Kind::Inline, "values in place"),
            (LinkKind::Quic, Kind::Heap, "values on the heap"),
        ] {
            let entries = context.entries;
            let best = best_of(link, TableSpec { kind, entries }, context)?;
            let name = format!("bulk: {}, {values}", link.text());
            add_rows(&name, &best, context, report);
        }
        Ok(())
    }
}

/// Seconds of the best run.
struct Best {
    total: f64,
    stream: Option<f64>,
}

fn best_of(link: LinkKind, table: TableSpec, context: &Context) -> Result<Best, BenchError> {
    let site = Site::new(link, Keepalive::Default, vec![table])?;
    let active = site.active()?;
    let mut best: Option<Best> = None;
    for _ in 0..context.repeats {
        let mut standby = site.child(1)?;
        let (total, stream) = standby.sync()?;
        standby.expect_equal(&active)?;
        standby.ask(Order::Stop)?;
        active.await_view("the standby leaves", |view| !view.peer_up)?;
        if best.as_ref().is_none_or(|best| total < best.total) {
            best = Some(Best { total, stream });
        }
    }
    best.ok_or_else(|| BenchError::failed("bulk")("no run was asked for"))
}

fn add_rows(name: &str, best: &Best, context: &Context, report: &mut Report) {
    let aim = Aim::Faster {
        than: redis::RESYNC,
        times: 3.0,
    };
    report.row(name, best.total, Unit::Seconds, aim);
    if let Some(stream) = best.stream {
        let name = format!("{name}: the stream alone");
        report.row(name, stream, Unit::Seconds, Aim::None);
    }
    let rate = context.bulk_bytes() as f64 / best.total / 1e6;
    report.row(
        format!("{name}: bytes of values"),
        rate,
        Unit::MegabytesPerSecond,
        Aim::Beside(loopback::RATE),
    );
    let rate = f64::from(context.entries) / best.total;
    let name = format!("{name}: entries");
    report.row(name, rate, Unit::PerSecond, Aim::None);
}
