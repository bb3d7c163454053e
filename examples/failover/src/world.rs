//! Everything around the units, started together and led through one failure after the other.
//!
//! ```no_run
//! # use core::time::Duration;
//! # use failover::{options::Options, report::Report, world::{World, WorldError}};
//! # async fn lead(options: &Options) -> Result<Report, WorldError> {
//! let mut world = World::start(options)?;
//! // Start the units. They send to `world.outside()` and `world.inside()`, and one claims the
//! // virtual address.
//! world.set_traffic(true);
//! for kind in options.faults() {
//!     world.until_steady().await?;
//!     if let Some(failed) = world.holder() {
//!         world.begin(kind, failed)?;
//!         // Do it to that unit.
//!         let is_back = world.until_recovered(Duration::from_secs(10)).await?;
//!         // Undo it: restart, continue, heal.
//!         let failure = world.conclude().await?;
//!     }
//! }
//! world.finish(options).await
//! # }
//! ```

use core::time::Duration;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use thiserror::Error;
use tokio::time::sleep;

use crate::attacker::{Attacker, Capture, Heard};
use crate::lan::{self, LanConfig};
use crate::observer::{Fault, FaultKind, Observer, ObserverConfig, Progress};
use crate::options::Options;
use crate::relay::{self, RelayConfig};
use crate::remote::{self, RemoteConfig};
use crate::report::{FailureReport, Outcome, Report};
use crate::site::{Site, Switches};
use crate::tap::{Clock, Log, Tap, What};
use crate::wire::plan::Plan;
use crate::wire::{Direction, Gateway, socket};

/// The world around the units. Its threads end when it is dropped.
pub struct World {
    clock: Clock,
    plan: Plan,
    logs: [Log; 3],
    observer: Observer,
    attacker: Attacker,
    capture: Capture,
    holder: Option<Gateway>,
    failures: Vec<FailureReport>,
    outside: SocketAddr,
    inside: SocketAddr,
    site: SocketAddr,
    sites: [Site; 3],
    switches: Arc<Switches>,
}

/// Why a run could not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WorldError {
    /// A socket or a thread could not be had, or failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The traffic did not become what it should be.
    #[error(
        "only {passing} of {sas} SA pairs carried traffic in both directions within {seconds} s; \
         is a unit active, and can the machine sustain the rate (--pps)?"
    )]
    NotSteady {
        /// SA pairs that did.
        passing: u32,
        /// All SA pairs.
        sas: u32,
        /// How long was waited.
        seconds: u64,
    },
    /// [`World::conclude`] without [`World::begin`].
    #[error("no failure was begun")]
    NoFailure,
}

impl Plan {
    /// The SAs of a run with these options.
    pub fn of(options: &Options) -> Self {
        Self {
            seed: options.seed,
            sas: options.sas,
            peers: options.peers,
            esn: options.esn,
        }
    }
}

impl World {
    /// Binds the sockets and starts the threads. There is no traffic yet.
    ///
    /// # Errors
    /// [`WorldError::Io`]. Outside of a tokio runtime it panics.
    pub fn start(options: &Options) -> Result<Self, WorldError> {
        let [outside, inside, site, attacker] = [bind()?, bind()?, bind()?, bind()?];
        let addresses = [&outside, &inside, &site].map(UdpSocket::local_addr);
        let [outside_address, inside_address, site_address] = addresses;
        let (outside_address, site_address) = (outside_address?, site_address?);
        let (clock, plan) = (Clock::start(), Plan::of(options));
        let capture = Capture::new(options.seed);
        let switches = Arc::new(Switches::default());
        let logs: [Log; 3] = Default::default();
        let tap = |index: usize| Tap::new(clock, logs[index].clone());
        let pps = options.pps;
        let relay = RelayConfig {
            plan,
            socket: outside,
            remote: site_address,
            attacker: attacker.local_addr()?,
            tap: tap(0),
            capture: capture.clone(),
        };
        let lan = LanConfig {
            plan,
            pps,
            socket: inside,
            tap: tap(1),
        };
        let remote = RemoteConfig {
            plan,
            pps,
            gateway: outside_address,
            socket: site,
            tap: tap(2),
        };
        Ok(Self {
            sites: [
                relay::spawn(relay, &switches)?,
                lan::spawn(lan, &switches)?,
                remote::spawn(remote, &switches)?,
            ],
            observer: Observer::new(ObserverConfig {
                sas: plan.sas,
                pps,
                page_limit: PAGE_LIMIT.max(plan.sas as usize * PAGES_PER_SA),
            }),
            attacker: Attacker::new(attacker, outside_address)?,
            outside: outside_address,
            inside: inside_address?,
            site: site_address,
            holder: None,
            failures: Vec::new(),
            clock,
            plan,
            logs,
            capture,
            switches,
        })
    }

    /// The virtual address on the outside: units send ESP packets and claims to it.
    pub fn outside(&self) -> SocketAddr {
        self.outside
    }

    /// The LAN: units send decrypted packets and claims to it.
    pub fn inside(&self) -> SocketAddr {
        self.inside
    }

    /// The SAs.
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// Turns the traffic on or off.
    pub fn set_traffic(&self, on: bool) {
        self.switches.set_traffic(on);
    }

    /// The unit that claimed the virtual address last, as far as was looked.
    pub fn holder(&self) -> Option<Gateway> {
        self.holder
    }

    /// Looks at what the taps saw since the last time. Everything that waits does so, too.
    ///
    /// # Errors
    /// [`WorldError::Io`] if a thread of the world has ended.
    pub fn look(&mut self) -> Result<Progress, WorldError> {
        for site in &mut self.sites {
            site.check()?;
        }
        let now_ns = self.clock.now_ns();
        let [outside, inside, remote] = self.logs.each_ref().map(Log::drain);
        let mut claims = outside.iter().filter(|event| event.what == What::Claimed);
        self.holder = claims.next_back().map_or(self.holder, |event| event.unit);
        for events in [outside, inside, remote] {
            self.observer.absorb(events);
        }
        self.observer.forget(now_ns);
        Ok(self.observer.progress())
    }

    /// Waits until each SA pair carries traffic in both directions.
    ///
    /// # Errors
    /// [`WorldError::NotSteady`] if that takes too long; [`WorldError::Io`].
    pub async fn until_steady(&mut self) -> Result<(), WorldError> {
        let begin = self.clock.now_ns();
        let limit = 20 * SECOND_NS + 4 * self.observer.window_ns();
        loop {
            self.look()?;
            let now_ns = self.clock.now_ns();
            let passing = self.observer.passing(now_ns);
            if passing == self.plan.sas {
                return Ok(());
            }
            if now_ns - begin > limit {
                return Err(WorldError::NotSteady {
                    passing,
                    sas: self.plan.sas,
                    seconds: limit / SECOND_NS,
                });
            }
            sleep(LOOK_INTERVAL * 5).await;
        }
    }

    /// Says that `failed`, which is active, is going to fail now. Returns when that is, as seconds
    /// from the beginning of the run.
    ///
    /// In a partition the LAN forwards packets to both units until [`World::conclude`], so that
    /// both have something to send under the same keys. In all other cases the attacker's packets
    /// go to both units: a unit that was stopped finds them when it wakes up. (In a partition an
    /// isolated unit that accepts what the other has accepted is the announced exposure, unless it
    /// is told to freeze.)
    ///
    /// # Errors
    /// [`WorldError::Io`] if a thread of the world has ended.
    pub fn begin(&mut self, kind: FaultKind, failed: Gateway) -> Result<f64, WorldError> {
        self.look()?;
        self.switches.set_flood(kind == FaultKind::Partition);
        self.switches.set_spread(kind != FaultKind::Partition);
        let at_ns = self.clock.now_ns();
        self.observer.begin(Fault {
            kind,
            failed,
            at_ns,
        });
        Ok(at_ns as f64 / 1e9)
    }

    /// Waits until the traffic is back, and attacks at once. Returns whether it came back within
    /// `limit`.
    ///
    /// # Errors
    /// [`WorldError::Io`] if a thread of the world has ended.
    pub async fn until_recovered(&mut self, limit: Duration) -> Result<bool, WorldError> {
        let begin = self.clock.now_ns();
        loop {
            self.look()?;
            let now_ns = self.clock.now_ns();
            if self.observer.recovered_ns(now_ns).is_some() {
                self.attack().await;
                return Ok(true);
            }
            if now_ns - begin > limit.as_nanos() as u64 {
                return Ok(false);
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Waits until every SA has had its turn since the takeover, attacks once more, and judges.
    ///
    /// # Errors
    /// [`WorldError::Io`] if a thread of the world has ended; [`WorldError::NoFailure`].
    pub async fn conclude(&mut self) -> Result<FailureReport, WorldError> {
        self.switches.set_flood(false);
        self.look()?;
        let now_ns = self.clock.now_ns();
        let recovered = self.observer.recovered_ns(now_ns).unwrap_or(now_ns);
        self.look_until(recovered + self.observer.window_ns())
            .await?;
        self.attack().await;
        let until_ns = self.clock.now_ns();
        self.settle(until_ns).await?;
        let report = self.observer.conclude(until_ns);
        let report = report.ok_or(WorldError::NoFailure)?;
        self.failures.push(report.clone());
        Ok(report)
    }

    /// Ends the traffic and reports.
    ///
    /// # Errors
    /// [`WorldError::Io`] if a thread of the world has ended.
    pub async fn finish(mut self, options: &Options) -> Result<Report, WorldError> {
        self.set_traffic(false);
        self.settle(self.clock.now_ns()).await?;
        let outcome = Outcome {
            failures: core::mem::take(&mut self.failures),
            reused: self.observer.oracle().examples().copied().collect(),
            replayed: self.observer.replays().to_vec(),
            timeline: self.observer.timeline().clone(),
            overflowed: self.observer.overflowed(),
            missed: self.missed(),
        };
        Ok(Report::new(options.clone(), outcome))
    }

    /// Packets that the taps missed because a socket of this process was full.
    fn missed(&self) -> u64 {
        let sockets = [self.outside, self.inside, self.site];
        sockets.into_iter().filter_map(socket::dropped).sum()
    }

    /// Injects copies of packets of both directions.
    async fn attack(&mut self) {
        let replays = self.capture.kept(Direction::Inbound).into_iter();
        let delivered = |heard: &Heard| {
            self.observer
                .was_delivered(heard.direction, heard.sa, heard.number)
        };
        let mut packets: Vec<Heard> = replays.filter(delivered).collect();
        let reflections = self.capture.kept(Direction::Outbound).into_iter();
        packets.extend(reflections.step_by(REFLECT_ONE_IN));
        self.attacker.inject(&packets).await;
    }

    /// Waits until what was sent before `until_ns`, and what the attacker sent, has arrived; not
    /// for long, since something may be lost.
    async fn settle(&mut self, until_ns: u64) -> Result<(), WorldError> {
        self.look_until(until_ns + SETTLE_MIN_NS).await?;
        while self.observer.on_their_way(until_ns) > 0
            && self.clock.now_ns() < until_ns + SETTLE_MAX_NS
        {
            sleep(LOOK_INTERVAL).await;
            self.look()?;
        }
        Ok(())
    }

    async fn look_until(&mut self, end_ns: u64) -> Result<(), WorldError> {
        while self.clock.now_ns() < end_ns {
            self.look()?;
            sleep(LOOK_INTERVAL).await;
        }
        self.look().map(drop)
    }
}

fn bind() -> io::Result<UdpSocket> {
    UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
}

const SECOND_NS: u64 = 1_000_000_000;
const SETTLE_MIN_NS: u64 = 150_000_000;
const SETTLE_MAX_NS: u64 = 1_000_000_000;
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
const REFLECT_ONE_IN: usize = 8;
/// Bitmap pages of about 80 bytes, for each of three sets.
const PAGE_LIMIT: usize = 2_000_000;
const PAGES_PER_SA: usize = 8;
