//! Memory per SA on both units.

use super::sample::SaSpec;
use crate::held::{Kind, TableSpec};
use crate::pair::{Order, Peer, Site};
use crate::report::{Aim, Report, Unit};
use crate::suite::{BenchError, Context, Suite};
use crate::unit::{Keepalive, LinkKind};

/// What the resident memory of each unit's process grows by, from before its database is filled
/// until the standby is STANDBY HOT, beyond key and record of each SA as bytes. Counters and what
/// the packet path needs are in it; so are buffers of links and what the allocator keeps for later.
/// Then once more when a packet of each SA has passed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory;

impl Suite for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn run(&mut self, context: &mut Context, report: &mut Report) -> Result<(), BenchError> {
        let entries = context.entries;
        let kind = Kind::Sas(SaSpec::default());
        let table = TableSpec { kind, entries };
        let site = Site::new(LinkKind::Tcp, Keepalive::Default, vec![table])?;
        let (mut active, mut standby) = (site.child(0)?, site.child(1)?);
        let empty = [resident(&mut active)?, resident(&mut standby)?];
        active.ask(Order::Activate)?;
        active.ask(Order::Fill)?;
        standby.sync()?;
        let own = table.entry_bytes() as f64;
        let beyond = |bytes: u64| bytes as f64 / f64::from(entries) - own;
        let [on_active, on_standby] = [resident(&mut active)?, resident(&mut standby)?];
        for (unit, grown) in [
            ("active", on_active - empty[0]),
            ("standby", on_standby - empty[1]),
        ] {
            let name = format!("memory: {unit}, per SA beyond its {own} B of key and record");
            report.row(name, beyond(grown), Unit::Bytes, Aim::AtMost(200.0));
        }
        let used = active.number(Order::WriteAll)?;
        if used == 0 {
            return Err(BenchError::failed("memory")("no packet passed"));
        }
        let grown = resident(&mut active)? - empty[0];
        let name = "memory: active, the same once a packet of each SA has passed";
        report.row(name, beyond(grown), Unit::Bytes, Aim::None);
        Ok(())
    }
}

fn resident(unit: &mut Peer) -> Result<u64, BenchError> {
    unit.number(Order::Memory)
}
