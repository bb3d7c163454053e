//! From a packet to its SA, in a full table.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ha_ipsec::id::SaId;
use ha_ipsec::record::Direction;
use ha_ipsec::sad::{InboundSa, LookupError, OutboundSa, Pinned, Sad};

use super::sample::{SaSpec, direction, id};
use super::yardsticks::{BURST, SEAL_1400};
use crate::held::{Kind, TableSpec};
use crate::pair::Site;
use crate::random::Random;
use crate::report::{Aim, Report, Unit};
use crate::suite::{BenchError, Context, Suite};
use crate::unit::{Keepalive, LinkKind};

/// Random SAs of a table with as many as the context says, far more than any cache holds; half of
/// them are inbound. Each lookup goes on to the SA's record, as a packet would for its keys. Beside
/// it the same objects in a map of the standard library under a lock for readers and writers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lookup;

const LOCKED: [&str; 2] = [
    "lookup: RwLock<HashMap>, 1 thread",
    "lookup: RwLock<HashMap>, 2 threads",
];

impl Suite for Lookup {
    fn name(&self) -> &'static str {
        "lookup"
    }

    fn run(&mut self, context: &mut Context, report: &mut Report) -> Result<(), BenchError> {
        let entries = context.entries;
        let kind = Kind::Sas(SaSpec::default());
        let table = TableSpec { kind, entries };
        let site = Site::new(LinkKind::Tcp, Keepalive::Default, vec![table])?;
        let active = site.active()?;
        let sad = super::sad(&active)?;
        let orders = [1, 2].map(|seed| order(entries, seed));

        let start = Instant::now();
        touch_all(sad, &orders[0])?;
        let first = start.elapsed().as_secs_f64() * 1e9 / f64::from(entries);
        let name = format!("lookup: first packet of each of {entries} SAs, 1 thread");
        report.row(name, first, Unit::Nanos, Aim::None);

        let locked = locked(sad, &orders[0])?;
        for threads in [1, 2] {
            let orders = &orders[..threads];
            let ns = best(orders, context, &|ids| look_up_locked(&locked, ids))?;
            report.row(LOCKED[threads - 1], ns, Unit::Nanos, Aim::None);
        }
        drop(locked);
        for threads in [1, 2] {
            let orders = &orders[..threads];
            let aim = Aim::Faster {
                than: LOCKED[threads - 1],
                times: 1.0,
            };
            let ns = best(orders, context, &|ids| look_up(sad, ids))?;
            let plural = if threads == 1 { "thread" } else { "threads" };
            let name = format!("lookup: pinned for {BURST} packets, {threads} {plural}");
            report.row(name, ns, Unit::Nanos, aim);
        }
        let ns = best(&orders[..1], context, &|ids| look_up_each(sad, ids))?;
        let name = "lookup: pinned for each packet, 1 thread";
        report.row(name, ns, Unit::Nanos, Aim::Beside(SEAL_1400));
        Ok(())
    }
}

/// All SAs, in random order.
pub(super) fn order(entries: u32, seed: u64) -> Vec<SaId> {
    let mut ids: Vec<_> = (0..entries).map(id).collect();
    Random::new(seed).shuffle(&mut ids);
    ids
}

/// Brings all SAs into use.
fn touch_all(sad: &Sad, ids: &[SaId]) -> Result<(), BenchError> {
    ids.chunks(BURST as usize).try_for_each(|burst| {
        let sad = sad.pin();
        let mut found = burst.iter().map(|id| find(&sad, id));
        found.try_for_each(|found| found.map(drop).map_err(BenchError::failed("a lookup")))
    })
}

/// The SPI of the record that is found, so that it is read.
#[inline]
fn find(sad: &Pinned<'_>, id: &SaId) -> Result<u32, LookupError> {
    // As `id` makes them; a gateway knows by the packet's way.
    Ok(match is_outbound(id) {
        true => sad.outbound(id)?.record().id.spi,
        false => sad.inbound(id)?.record().id.spi,
    })
}

/// By the address: outbound SAs end at peers, of which no two have the same.
fn is_outbound(id: &SaId) -> bool {
    id.destination != super::sample::id(1).destination
}

fn look_up(sad: &Sad, ids: &[SaId]) -> bool {
    ids.chunks(BURST as usize).all(|burst| {
        let sad = sad.pin();
        burst
            .iter()
            .all(|id| find(&sad, black_box(id)) == Ok(id.spi))
    })
}

fn look_up_each(sad: &Sad, ids: &[SaId]) -> bool {
    ids.iter()
        .all(|id| find(&sad.pin(), black_box(id)) == Ok(id.spi))
}

/// What a packet path would hold.
enum Path {
    Outbound(Arc<OutboundSa>),
    Inbound(Arc<InboundSa>),
}

type Locked = RwLock<HashMap<SaId, Path>>;

fn locked(sad: &Sad, ids: &[SaId]) -> Result<Locked, BenchError> {
    let all = (0..ids.len() as u32).map(|number| {
        let id = id(number);
        let path = match direction(number) {
            Direction::Outbound => sad.outbound(&id).map(Path::Outbound),
            Direction::Inbound => sad.inbound(&id).map(Path::Inbound),
        };
        Ok((id, path.map_err(BenchError::failed("a lookup"))?))
    });
    Ok(RwLock::new(all.collect::<Result<_, BenchError>>()?))
}

fn look_up_locked(map: &Locked, ids: &[SaId]) -> bool {
    ids.iter().all(|id| {
        let map = map.read().unwrap_or_else(PoisonError::into_inner);
        let found = match map.get(black_box(id)) {
            Some(Path::Outbound(sa)) => sa.record().id.spi,
            Some(Path::Inbound(sa)) => sa.record().id.spi,
            None => return false,
        };
        found == id.spi
    })
}

/// Nanoseconds per lookup and thread, each thread in its own order, the best of several parts: the
/// others may have been disturbed.
fn best(
    orders: &[Vec<SaId>],
    context: &Context,
    look_up: &(dyn Fn(&[SaId]) -> bool + Sync),
) -> Result<f64, BenchError> {
    let mut best = Duration::MAX;
    for _ in 0..context.repeats {
        for part in 0..orders[0].len() / PART {
            let parts = orders.iter().map(|ids| &ids[part * PART..][..PART]);
            best = best.min(run(&parts.collect::<Vec<_>>(), look_up)?);
        }
    }
    Ok(best.as_secs_f64() * 1e9 / PART as f64)
}

fn run(
    parts: &[&[SaId]],
    look_up: &(dyn Fn(&[SaId]) -> bool + Sync),
) -> Result<Duration, BenchError> {
    let timing = super::timing::Timing {
        threads: parts.len(),
        operations: 1,
        runs: 1,
    };
    let nanos = timing.best("a lookup", &|thread| look_up(parts[thread]))?;
    Ok(Duration::from_nanos(nanos as u64))
}

/// Lookups of a part: some milliseconds.
const PART: usize = 20_000;
