//! Full resync: a fresh standby gets all SAs.

use std::time::{Duration, Instant};

use super::sample::SaSpec;
use crate::held::{Kind, TableSpec};
use crate::pair::{Order, Peer, Site};
use crate::report::{Aim, Report, Unit};
use crate::suite::{BenchError, Context, Suite};
use crate::unit::{self, Keepalive, LinkKind};
use crate::updates::loopback_bytes;

/// From the start of the standby's node, with connection and handshake, until it is STANDBY HOT
/// with all records and counters.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bulk;

impl Suite for Bulk {
    fn name(&self) -> &'static str {
        "bulk"
    }

    fn run(&mut self, context: &mut Context, report: &mut Report) -> Result<(), BenchError> {
        for (ike, name) in [
            (false, "IPsec SAs"),
            (true, "IPsec SAs, an IKE SA per pair"),
        ] {
            let spec = SaSpec {
                ike,
                ..SaSpec::default()
            };
            let entries = context.entries;
            let kind = Kind::Sas(spec);
            let best = best_of(TableSpec { kind, entries }, context)?;
            let name = format!("bulk: {entries} {name}");
            best.report(&name, f64::from(entries), report);
        }
        let bytes = SaSpec::default().entry_bytes();
        let name = "bulk: key and record of an IPsec SA as bytes";
        report.row(name, bytes as f64, Unit::Bytes, Aim::None);
        Ok(())
    }
}

/// Each figure of the best run for it.
struct Best {
    total: f64,
    stream: Option<f64>,
    wire: Option<u64>,
}

impl Best {
    fn report(&self, name: &str, entries: f64, report: &mut Report) {
        report.row(name, self.total, Unit::Seconds, Aim::None);
        if let Some(stream) = self.stream {
            let name = format!("{name}: the stream alone");
            report.row(name, stream, Unit::Seconds, Aim::None);
        }
        let label = format!("{name}: SAs");
        report.row(label, entries / self.total, Unit::PerSecond, Aim::None);
        if let Some(wire) = self.wire {
            let label = format!("{name}: on the wire per SA, all headers and answers");
            report.row(label, wire as f64 / entries, Unit::Bytes, Aim::None);
        }
    }
}

fn best_of(table: TableSpec, context: &Context) -> Result<Best, BenchError> {
    let site = Site::new(LinkKind::Tcp, Keepalive::Default, vec![table])?;
    let active = site.active()?;
    let mut best: Option<Best> = None;
    for _ in 0..context.repeats {
        let mut standby = site.child(1)?;
        let before = loopback_bytes();
        let (total, stream) = standby.sync()?;
        let wire = before.zip(loopback_bytes()).map(|(from, to)| to - from);
        settle(&active, &mut standby)?;
        standby.ask(Order::Stop)?;
        active.await_view("the standby leaves", |view| !view.peer_up)?;
        let others = best.as_ref();
        // Other processes can only add to what the device carried.
        let wire = others.map_or(wire, |best| best.wire.min(wire));
        best = match best {
            Some(best) if best.total <= total => Some(Best { wire, ..best }),
            _ => Some(Best {
                total,
                stream,
                wire,
            }),
        };
    }
    best.ok_or_else(|| BenchError::failed("bulk")("no run was asked for"))
}

/// Waits until both units hold the same: after a sync ceilings of idle SAs still close.
pub(super) fn settle(active: &unit::Unit, standby: &mut Peer) -> Result<(), BenchError> {
    let end = Instant::now() + LIMIT;
    loop {
        active.barrier()?;
        match standby.expect_equal(active) {
            Err(error) if Instant::now() > end => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
            Ok(()) => return Ok(()),
        }
    }
}

/// For idle SAs to come to rest.
const LIMIT: Duration = Duration::from_secs(30);
