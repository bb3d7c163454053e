//! Memory per entry on both units.

use std::fs;

use crate::held::{Kind, TableSpec};
use crate::pair::{Order, Peer, Site};
use crate::report::{Aim, Report, Unit};
use crate::suite::{BenchError, Context, Suite};
use crate::unit::{Keepalive, LinkKind};

/// What the resident memory of each unit's process grows by, from before its table is filled until
/// the standby is STANDBY HOT, beyond the bytes of keys and values. What the allocator keeps for
/// later is included, and so are the buffers of the links.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory;

impl Suite for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn run(&mut self, context: &mut Context, report: &mut Report) -> Result<(), BenchError> {
        for (kind, values) in [
            (Kind::Heap, "300 B values on the heap"),
            (Kind::Inline, "300 B values in place"),
            (Kind::Counter, "16 B values"),
        ] {
            let entries = context.entries;
            let table = TableSpec { kind, entries };
            let grown = measure(table)?;
            for (unit, bytes) in ["active", "standby"].iter().zip(grown) {
                let beyond = bytes as f64 / f64::from(entries) - table.entry_bytes() as f64;
                let name = format!("memory: {unit}, {values}, per entry beyond its own bytes");
                report.row(name, beyond, Unit::Bytes, Aim::AtMost(200.0));
            }
        }
        Ok(())
    }
}

/// How much the processes of the active and of the standby grow, in bytes.
fn measure(table: TableSpec) -> Result<[u64; 2], BenchError> {
    let site = Site::new(LinkKind::Tcp, Keepalive::Default, vec![table])?;
    let (mut active, mut standby) = (site.child(0)?, site.child(1)?);
    let before = resident(&mut active, &mut standby)?;
    active.ask(Order::Fill)?;
    active.ask(Order::Activate)?;
    standby.sync()?;
    let after = resident(&mut active, &mut standby)?;
    Ok([after[0] - before[0], after[1] - before[1]])
}

fn resident(active: &mut Peer, standby: &mut Peer) -> Result<[u64; 2], BenchError> {
    Ok([
        active.number(Order::Memory)?,
        standby.number(Order::Memory)?,
    ])
}

/// Memory of this process that is in RAM, in bytes.
///
/// # Errors
/// If `/proc` does not tell.
pub fn resident_bytes() -> Result<u64, BenchError> {
    let status = fs::read_to_string("/proc/self/status").map_err(BenchError::io("/proc"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    let kib = line.ok_or_else(|| BenchError::failed("/proc/self/status")("no VmRSS"))?;
    Ok(kib * 1024)
}
