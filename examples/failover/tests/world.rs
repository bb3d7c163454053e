//! The world around the gateways, with gateways that are as good as wished: two that share all
//! their state, so that nothing can be lost, and such with a fault that the report must find.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use failover::esp::{Cipher, HEADROOM, Header, TAILROOM};
use failover::observer::FaultKind;
use failover::options::Options;
use failover::remote::Window;
use failover::report::Report;
use failover::wire::inner::{INNER_LEN, addresses};
use failover::wire::plan::Plan;
use failover::wire::socket::{self, Sender};
use failover::wire::{Claim, Direction, Gateway};
use failover::world::World;
use parking_lot::Mutex;

const LIMIT: Duration = Duration::from_secs(20);

/// What the unit that takes over does wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flaw {
    None,
    /// Its outbound numbers begin anew.
    Restarts,
    /// Its windows accept everything once more.
    Forgets,
    /// It does not know one of the SAs.
    LosesOne,
    /// Its window drops the first two packets of each SA.
    DropsTwo,
}

struct Sa {
    outbound: Cipher,
    inbound: Cipher,
    next: u64,
    window: Window,
    drop: u32,
}

#[derive(Clone)]
struct Shared {
    sas: Arc<Mutex<Vec<Sa>>>,
    hosts: Arc<HashMap<Ipv4Addr, usize>>,
    plan: Plan,
}

impl Shared {
    fn new(plan: Plan) -> Self {
        let sas = plan.pairs().map(|pair| {
            let cipher = |spi, direction| {
                let keying_material = plan.keying_material(pair.index, direction);
                Cipher::new(spi, &keying_material, plan.esn).unwrap()
            };
            Sa {
                outbound: cipher(pair.outbound_spi, Direction::Outbound),
                inbound: cipher(pair.inbound_spi, Direction::Inbound),
                next: 1,
                window: Window::new(),
                drop: 0,
            }
        });
        let hosts = plan.pairs().map(|p| (p.remote_host, p.index as usize));
        Self {
            sas: Arc::new(Mutex::new(sas.collect())),
            hosts: Arc::new(hosts.collect()),
            plan,
        }
    }

    fn harm(&self, flaw: Flaw) {
        for sa in self.sas.lock().iter_mut() {
            match flaw {
                Flaw::Restarts => sa.next = 1,
                Flaw::Forgets => sa.window = Window::new(),
                Flaw::DropsTwo => sa.drop = 3,
                Flaw::None | Flaw::LosesOne => {}
            }
        }
    }

    fn decrypt<'a>(&self, packet: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let header = Header::parse(packet).ok()?;
        let (direction, index) = self.plan.find(header.spi)?;
        let mut sas = self.sas.lock();
        let sa = sas.get_mut(index as usize)?;
        if direction != Direction::Inbound {
            return None;
        }
        let number = header.sequence.into();
        let inner = sa.inbound.open(number, packet).ok()?;
        let accepted = sa.window.accept(number);
        sa.drop = sa.drop.saturating_sub(u32::from(accepted));
        (accepted && sa.drop == 0).then_some(inner)
    }

    fn encrypt(&self, inner: &[u8], buffer: &mut [u8], lost: Option<usize>) -> Option<usize> {
        let (_, destination) = addresses(inner)?;
        let index = self.hosts.get(&destination).filter(|i| Some(**i) != lost)?;
        let mut sas = self.sas.lock();
        let sa = &mut sas[*index];
        buffer[HEADROOM..HEADROOM + inner.len()].copy_from_slice(inner);
        let number = sa.next;
        sa.next += 1;
        sa.outbound.seal(number, buffer, inner.len()).ok()
    }
}

/// A unit: a task that works while its flag is up.
struct Unit {
    active: Arc<AtomicBool>,
}

impl Unit {
    fn start(unit: Gateway, term: u64, world: &World, shared: &Shared, flaw: Flaw) -> Self {
        let active = Arc::new(AtomicBool::new(true));
        let local = "127.0.0.1:0".parse().unwrap();
        let (mut outside, mut to_outside) = socket::open(local).unwrap();
        let (mut inside, mut to_inside) = socket::open(local).unwrap();
        let claim = Claim { unit, term }.encode();
        let (net, lan) = (world.outside(), world.inside());
        for (sender, to) in [(&mut to_outside, net), (&mut to_inside, lan)] {
            sender.send(to, &claim);
            sender.flush();
        }
        let (shared, alive) = (shared.clone(), Arc::clone(&active));
        let lost = (flaw == Flaw::LosesOne).then_some(3);
        tokio::spawn(async move {
            while alive.load(Ordering::Relaxed) {
                tokio::select! {
                    _ = outside.readable() => {}
                    _ = inside.readable() => {}
                }
                if !alive.load(Ordering::Relaxed) {
                    return;
                }
                outside
                    .receive(|_, packet| {
                        if let Some(inner) = shared.decrypt(packet) {
                            to_inside.send(lan, inner);
                        }
                    })
                    .unwrap();
                let mut buffer = [0; HEADROOM + INNER_LEN + TAILROOM];
                let mut seal = |inner: &mut [u8], sender: &mut Sender| {
                    if let Some(len) = shared.encrypt(inner, &mut buffer, lost) {
                        sender.send(net, &buffer[..len]);
                    }
                };
                inside
                    .receive(|_, inner| seal(inner, &mut to_outside))
                    .unwrap();
                to_inside.flush();
                to_outside.flush();
            }
        });
        Self { active }
    }
}

/// Runs two failures, of which the second shows the flaw.
async fn run(flaw: Flaw, esn: bool) -> Report {
    let options = Options {
        sas: 50,
        peers: 5,
        pps: 2000,
        failures: 2,
        esn,
        ..Options::default()
    };
    let mut world = World::start(&options).unwrap();
    let shared = Shared::new(world.plan());
    let mut unit = Unit::start(Gateway::A, 1, &world, &shared, Flaw::None);
    world.set_traffic(true);
    for (failure, other) in [(0, Gateway::B), (1, Gateway::A)] {
        world.until_steady().await.unwrap();
        let failed = world.holder().unwrap();
        assert_eq!(failed, other.other());
        world.begin(FaultKind::Crash, failed).unwrap();
        unit.active.store(false, Ordering::Relaxed);
        let flaw = if failure == 1 { flaw } else { Flaw::None };
        shared.harm(flaw);
        unit = Unit::start(other, failure + 2, &world, &shared, flaw);
        // A flaw may keep it from coming back, which the report then says.
        let recovered = world.until_recovered(LIMIT).await.unwrap();
        assert!(recovered || flaw != Flaw::None, "{flaw:?}");
        world.conclude().await.unwrap();
    }
    world.finish(&options).await.unwrap()
}

#[tokio::test]
async fn gateways_without_fault_pass() {
    for esn in [false, true] {
        let report = run(Flaw::None, esn).await;
        assert!(report.passed, "{report}");
        assert_eq!(report.failures.len(), 2);
        for failure in &report.failures {
            assert_eq!((failure.sas_before, failure.sas_after), (50, 50));
            assert!(failure.replays_injected > 100, "{report}");
            assert!(failure.packets_sent > 2000, "{report}");
        }
    }
}

#[tokio::test]
async fn numbers_that_restart_are_found() {
    let report = run(Flaw::Restarts, false).await;
    assert!(!report.passed);
    assert!(report.failures[1].sequence_numbers_reused > 100);
    assert!(report.failures[1].dropped_by_remote > 100);
    assert!(!report.reused.is_empty());
    assert_eq!(report.failures[0].sequence_numbers_reused, 0);
}

#[tokio::test]
async fn replays_that_pass_are_found() {
    let report = run(Flaw::Forgets, false).await;
    assert!(!report.passed);
    assert!(report.failures[1].replays_accepted > 0, "{report}");
    assert_eq!(report.failures[0].replays_accepted, 0);
}

#[tokio::test]
async fn a_lost_sa_is_found() {
    let report = run(Flaw::LosesOne, false).await;
    assert!(!report.passed);
    assert_eq!(report.failures[1].sas_lost, 1, "{report}");
    assert_eq!(report.failures[0].sas_lost, 0);
}

#[tokio::test]
async fn packets_dropped_as_replays_are_found() {
    let report = run(Flaw::DropsTwo, false).await;
    let failure = &report.failures[1];
    assert!(failure.dropped_by_gateway >= 50, "{report}");
    assert!(failure.most_dropped_of_one_sa >= 2, "{report}");
}
