//! What the SA database costs each packet.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ha_ipsec::replay::Accept;
use ha_ipsec::sad::{InboundSa, OutboundSa, Sad};

use super::sample::{SaSpec, id};
use super::yardsticks::{self, BURST, Bursts, OPERATIONS, SEAL_64, SEAL_1400, runs};
use crate::held::{Kind, TableSpec};
use crate::pair::Site;
use crate::random::Random;
use crate::report::{Aim, Report, Unit};
use crate::suite::{BenchError, Context, Suite};
use crate::unit::{Keepalive, LinkKind};

/// On an active unit whose standby, in a process of its own, acknowledges reservations and
/// ceilings: the branches taken are those of production. Only the bound of reservations is out of
/// the way, since a loop that does nothing else is a hundred times faster than any gateway. A run
/// in which a packet had to wait for the standby is not counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Packets;

impl Suite for Packets {
    fn name(&self) -> &'static str {
        "packets"
    }

    fn run(&mut self, context: &mut Context, report: &mut Report) -> Result<(), BenchError> {
        let spec = SaSpec {
            esn: true,
            window: yardsticks::PACKETS,
            replay_interval: 1 << 32,
            ..SaSpec::default()
        };
        let table = TableSpec {
            kind: Kind::Sas(spec),
            // One more for what is measured of a single SA.
            entries: 2 * (SAS + 1),
        };
        let site = Site::new(LinkKind::Tcp, Keepalive::Default, vec![table])?;
        let active = site.active()?;
        let mut standby = site.child(1)?;
        standby.sync()?;
        active.await_standby()?;
        let sad = super::sad(&active)?;
        if sad.stats().isolated {
            return Err(BenchError::failed("packets")("nothing acknowledges"));
        }
        let bench = Bench::new(sad, context)?;
        bench.outbound(report)?;
        bench.inbound(report)
    }
}

struct Bench<'a> {
    context: &'a Context,
    one: (Arc<OutboundSa>, Arc<InboundSa>),
    /// Many, of which each thread has its share, as when a network card spreads SAs over queues.
    outbound: Vec<Arc<OutboundSa>>,
    inbound: Vec<Arc<InboundSa>>,
}

impl<'a> Bench<'a> {
    fn new(sad: &Sad, context: &'a Context) -> Result<Self, BenchError> {
        let outbound = |pair: u32| sad.outbound(&id(2 * pair));
        let inbound = |pair: u32| sad.inbound(&id(2 * pair + 1));
        let failed = || BenchError::failed("an SA");
        let many: Result<Vec<_>, _> = (1..=SAS).map(outbound).collect();
        let many = many.map_err(failed())?;
        let many_inbound: Result<Vec<_>, _> = (1..=SAS).map(inbound).collect();
        Ok(Self {
            context,
            one: (
                outbound(0).map_err(failed())?,
                inbound(0).map_err(failed())?,
            ),
            outbound: shuffled(many, 2),
            inbound: shuffled(many_inbound.map_err(failed())?, 3),
        })
    }

    fn outbound(&self, report: &mut Report) -> Result<(), BenchError> {
        let one = &self.one.0;
        for threads in [1, 2] {
            let next = self.best(threads, &|_| {
                (0..OPERATIONS).all(|_| black_box(one.next()).is_ok())
            })?;
            let name = format!("packets: next, {} one SA", on(threads));
            report.row(name, next, Unit::Nanos, aim(threads));
            let lock = yardsticks::COUNTER[threads - 1];
            beside(lock, "next", threads, next, report);
            let next = self.best(threads, &|thread| {
                let sas = share(&self.outbound, thread, threads);
                (0..OPERATIONS as usize / sas.len())
                    .all(|_| sas.iter().all(|sa| black_box(sa.next()).is_ok()))
            })?;
            let name = format!("packets: next, {} {SAS} SAs", on_shares(threads));
            report.row(name, next, Unit::Nanos, aim(threads));
        }
        self.bursts(report)?;
        let charge = self.best(1, &|_| {
            (0..OPERATIONS).for_each(|_| {
                black_box(one.charge(1400));
            });
            true
        })?;
        let name = "packets: charge, 1 thread on one SA";
        report.row(name, charge, Unit::Nanos, Aim::Beside(SEAL_1400));
        Ok(())
    }

    fn bursts(&self, report: &mut Report) -> Result<(), BenchError> {
        for threads in [1, 2] {
            let one = &self.one.0;
            let take = self.best(threads, &|_| {
                (0..OPERATIONS / BURST).all(|_| {
                    let range = black_box(one.take(BURST));
                    range.is_ok_and(|range| range.count == BURST)
                })
            })?;
            let name = format!("packets: take({BURST}), {} one SA, per number", on(threads));
            report.row(name, take, Unit::Nanos, aim(threads));
        }
        Ok(())
    }

    fn inbound(&self, report: &mut Report) -> Result<(), BenchError> {
        let bursts = Bursts::default();
        let sweeps = AtomicU64::new(1);
        for threads in [1, 2] {
            let ns = self.best(threads, &|_| {
                bursts.all(OPERATIONS, |burst| pass(&self.one.1, burst))
            })?;
            let name = format!(
                "packets: check_burst + accept_burst({BURST}), {} one SA, each",
                on(threads)
            );
            report.row(name, ns, Unit::Nanos, aim(threads));
            let ns = self.best(threads, &|_| {
                bursts.all(OPERATIONS, |burst| accepted(&self.one.1, burst))
            })?;
            let name = format!(
                "packets: accept_burst({BURST}), {} one SA, each",
                on(threads)
            );
            report.row(name, ns, Unit::Nanos, aim(threads));
            let ns = self.best(threads, &|_| {
                bursts.each(OPERATIONS, |number| passes(&self.one.1, number))
            })?;
            let name = format!("packets: check + accept, {} one SA", on(threads));
            report.row(name, ns, Unit::Nanos, aim(threads));
            let lock = yardsticks::WINDOW[threads - 1];
            beside(lock, "check + accept", threads, ns, report);
            let ns = self.best(threads, &|thread| {
                let sas = share(&self.inbound, thread, threads);
                (0..OPERATIONS as usize / sas.len()).all(|_| {
                    let number = sweeps.fetch_add(1, Ordering::Relaxed);
                    sas.iter().all(|sa| passes(sa, number))
                })
            })?;
            let name = format!("packets: check + accept, {} {SAS} SAs", on_shares(threads));
            report.row(name, ns, Unit::Nanos, aim(threads));
        }
        Ok(())
    }

    fn best(&self, threads: usize, work: super::timing::Work<'_>) -> Result<f64, BenchError> {
        runs(threads, OPERATIONS, self.context).best("packets", work)
    }
}

#[inline]
fn passes(sa: &InboundSa, number: u64) -> bool {
    // Between the two the packet would be verified and decrypted.
    sa.check(black_box(number)).is_ok() && matches!(sa.accept(number), Accept::Deliver { .. })
}

/// How many packets of a burst pass.
#[inline]
fn pass(sa: &InboundSa, burst: &[u64]) -> u32 {
    // Between the two they would be verified and decrypted.
    let mut is_new = true;
    sa.check_burst(black_box(burst), |_, _| is_new = false);
    if is_new { accepted(sa, burst) } else { 0 }
}

/// How many packets of a burst whose integrity is verified are delivered.
#[inline]
fn accepted(sa: &InboundSa, burst: &[u64]) -> u32 {
    let mut delivered = 0;
    sa.accept_burst(black_box(burst), |_, accept| {
        delivered += u32::from(matches!(black_box(accept), Accept::Deliver { .. }));
    });
    delivered
}

/// At most 2 % of what encryption takes; for several threads there is no promise per thread.
fn aim(threads: usize) -> Aim {
    match threads {
        1 => Aim::Faster {
            than: SEAL_1400,
            times: 50.0,
        },
        _ => Aim::Beside(SEAL_64),
    }
}

/// The same figure once more, against a lock.
fn beside(lock: &'static str, what: &str, threads: usize, ns: f64, report: &mut Report) {
    let name = format!("packets: {what}, {} one SA, against a Mutex", on(threads));
    let aim = Aim::Faster {
        than: lock,
        times: 1.0,
    };
    report.row(name, ns, Unit::Nanos, aim);
}

fn on(threads: usize) -> &'static str {
    match threads {
        1 => "1 thread on",
        _ => "2 threads on",
    }
}

fn on_shares(threads: usize) -> &'static str {
    match threads {
        1 => "1 thread on",
        _ => "2 threads, each on half of",
    }
}

fn share<T>(items: &[T], thread: usize, threads: usize) -> &[T] {
    let each = items.len() / threads;
    &items[thread * each..][..each]
}

fn shuffled<T>(mut items: Vec<T>, seed: u64) -> Vec<T> {
    Random::new(seed).shuffle(&mut items);
    items
}

/// SAs of each direction that packets of many SAs belong to.
const SAS: u32 = 1000;
