//! The two units and the link between them: starting, breaking and mending them.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::fs::OpenOptions;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use failover::options::TransportKind;
use failover::wire::Gateway;
use ha_transport::{Fingerprint, Identity};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::LabError;
use super::cable::Cable;
use super::process::{Said, Unit};
use crate::control::{Command, Endpoint, Install, LinkSetup, Plant, Setup};

/// Both units and what connects them.
pub(super) struct Pair {
    setups: [Setup; 2],
    units: [Option<Unit>; 2],
    cable: Cable,
    logs: [PathBuf; 2],
}

/// What the units have in common.
pub(super) struct Common {
    pub(super) transport: TransportKind,
    pub(super) fast_keepalives: bool,
    /// The sockets that play the networks.
    pub(super) outside: SocketAddr,
    pub(super) inside: SocketAddr,
    pub(super) sas: u32,
    pub(super) peers: u32,
    pub(super) plant: Option<Plant>,
}

impl Pair {
    /// Starts two units that trust each other and nobody else; their keys are in `directory`.
    pub(super) fn start(common: &Common, directory: &Path, logs: &Path) -> Result<Self, LabError> {
        let (cable, links) = match common.transport {
            TransportKind::Memory => (Cable::memory(), [LinkSetup::Memory, LinkSetup::Memory]),
            TransportKind::Tcp => {
                let far = free_port()?;
                let cable = Cable::tcp(far).map_err(LabError::system("a TCP relay"))?;
                let ends = endpoints(far, &cable, directory)?;
                (cable, ends.map(LinkSetup::Tcp))
            }
            TransportKind::Quic => {
                let far = free_port()?;
                let cable = Cable::udp(far).map_err(LabError::system("a UDP relay"))?;
                let ends = endpoints(far, &cable, directory)?;
                (cable, ends.map(LinkSetup::Quic))
            }
        };
        let mut unit = 0;
        let setups = links.map(|link| {
            let number = unit;
            unit += 1;
            Setup {
                unit: number,
                link,
                fast_keepalives: common.fast_keepalives,
                outside: common.outside,
                inside: common.inside,
                sas: common.sas,
                peers: common.peers,
                plant: common.plant,
            }
        });
        let mut pair = Self {
            setups,
            units: [None, None],
            cable,
            logs: [0, 1].map(|unit| logs.join(format!("unit-{unit}.log"))),
        };
        for unit in Gateway::BOTH {
            pair.restart(unit)?;
        }
        Ok(pair)
    }

    /// Starts a unit that does not run: with nothing but its key pair and its configuration.
    pub(super) fn restart(&mut self, unit: Gateway) -> Result<(), LabError> {
        let index = unit.index();
        let setup = self.setups[index].clone();
        let started = match &self.cable {
            Cable::Memory(ends) => Unit::thread(setup, ends[index].clone()),
            Cable::Wire { .. } => {
                let log = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(&self.logs[index])
                    .map_err(LabError::system("the log of a unit"))?;
                Unit::spawn(setup, Stdio::from(log))
            }
        };
        self.units[index] = Some(started.map_err(LabError::system("a unit"))?);
        Ok(())
    }

    /// Waits until one unit is ACTIVE and the other STANDBY HOT; returns the active one.
    pub(super) async fn whole(&self, what: &'static str) -> Result<Gateway, LabError> {
        self.until(what, |said| {
            let both = [said[0].state.as_str(), said[1].state.as_str()];
            match both {
                ["ACTIVE", "STANDBY HOT"] if said[0].peer == "STANDBY HOT" => Some(Gateway::A),
                ["STANDBY HOT", "ACTIVE"] if said[1].peer == "STANDBY HOT" => Some(Gateway::B),
                _ => None,
            }
        })
        .await
    }

    /// Has the active unit make the SAs, and waits until both units hold them.
    pub(super) async fn install(
        &mut self,
        active: Gateway,
        install: Install,
    ) -> Result<(), LabError> {
        let all = self.setups[active.index()].sas;
        self.tell(active, &Command::Install(install))?;
        self.until("the set-up of the SAs on both units", |said| {
            (said[active.index()].installed >= all).then_some(())
        })
        .await
    }

    /// Hands the role over by command, and waits until it is done.
    pub(super) async fn switch_over(&mut self, active: Gateway) -> Result<(), LabError> {
        let done = |said: &Said| said.switchovers;
        let before = self.said(active).map_or(0, |said| done(&said.borrow()));
        self.tell(active, &Command::Switchover)?;
        self.until("the switchover", |said| {
            (done(&said[active.index()]) > before).then_some(())
        })
        .await
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self, unit: Gateway) -> Result<(), LabError> {
        let Some(process) = self.units[unit.index()].take() else {
            return Ok(());
        };
        process.kill().map_err(LabError::system("SIGKILL"))
    }

    /// SIGSTOP.
    pub(super) fn stop(&self, unit: Gateway) -> Result<(), LabError> {
        let process = self.units[unit.index()].as_ref();
        process.map_or(Ok(()), |process| {
            process.stop().map_err(LabError::system("SIGSTOP"))
        })
    }

    /// SIGCONT.
    pub(super) fn go_on(&self, unit: Gateway) -> Result<(), LabError> {
        let process = self.units[unit.index()].as_ref();
        process.map_or(Ok(()), |process| {
            process.go_on().map_err(LabError::system("SIGCONT"))
        })
    }

    /// Cuts the link between the units, or mends it.
    pub(super) fn set_cut(&self, on: bool) {
        self.cable.set_cut(on);
    }

    /// The last lines of the units' logs, for when something went wrong.
    pub(super) fn log_tails(&self) -> String {
        let tail = |(unit, path): (Gateway, &PathBuf)| {
            let log = std::fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
            format!("--- log of unit {unit}\n{}\n", tail.join("\n"))
        };
        Gateway::BOTH
            .into_iter()
            .zip(&self.logs)
            .map(tail)
            .collect()
    }

    fn tell(&mut self, unit: Gateway, command: &Command) -> Result<(), LabError> {
        let Some(process) = &mut self.units[unit.index()] else {
            return Err(LabError::UnitFailed {
                unit,
                why: "it does not run".to_owned(),
            });
        };
        process
            .tell(command)
            .map_err(LabError::system("a command to a unit"))
    }

    fn said(&self, unit: Gateway) -> Option<watch::Receiver<Said>> {
        self.units[unit.index()].as_ref().map(Unit::said)
    }

    /// Waits until a condition on what the units say holds.
    async fn until<T>(
        &self,
        what: &'static str,
        mut condition: impl FnMut(&[Said; 2]) -> Option<T>,
    ) -> Result<T, LabError> {
        let deadline = Instant::now() + LIMIT;
        let mut receivers = [self.said(Gateway::A), self.said(Gateway::B)];
        loop {
            let mut said = [Said::default(), Said::default()];
            for (unit, receiver) in Gateway::BOTH.into_iter().zip(&mut receivers) {
                let Some(receiver) = receiver else { continue };
                let latest = receiver.borrow_and_update().clone();
                if let Some(why) = latest.failure.clone() {
                    return Err(LabError::UnitFailed { unit, why });
                }
                said[unit.index()] = latest;
            }
            if let Some(done) = condition(&said) {
                return Ok(done);
            }
            let [a, b] = &mut receivers;
            let news = async {
                tokio::select! { () = changed(a) => {}, () = changed(b) => {} }
            };
            if timeout_at(deadline, news).await.is_err() {
                let states = said.map(|said| said.state).join(" and ");
                return Err(LabError::Late { what, states });
            }
        }
    }
}

async fn changed(said: &mut Option<watch::Receiver<Said>>) {
    let heard = match said {
        Some(said) => said.changed().await.is_ok(),
        None => false,
    };
    if !heard {
        // Whoever ended has said so last, and that was looked at.
        core::future::pending::<()>().await;
    }
}

/// Unit 0 listens at `far`; unit 1 dials the cable.
fn endpoints(far: SocketAddr, cable: &Cable, directory: &Path) -> Result<[Endpoint; 2], LabError> {
    let Cable::Wire { near, .. } = cable else {
        return Err(LabError::system("a relay")(
            io::ErrorKind::Unsupported.into(),
        ));
    };
    let identities = [0, 1].map(|unit| directory.join(format!("identity-{unit}")));
    let pins = [
        make_identity(&identities[0])?,
        make_identity(&identities[1])?,
    ];
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let [first, second] = identities;
    Ok([
        Endpoint {
            listen: far,
            peer: *near,
            identity: first,
            pin: pins[1].to_string(),
        },
        Endpoint {
            listen: any,
            peer: *near,
            identity: second,
            pin: pins[0].to_string(),
        },
    ])
}

fn make_identity(directory: &Path) -> Result<Fingerprint, LabError> {
    let made = || {
        let identity = Identity::generate("failover-unit")?;
        identity.save(directory)?;
        Ok(identity.fingerprint())
    };
    made().map_err(|error: ha_transport::IdentityError| LabError::Identity(error.to_string()))
}

/// A port that neither TCP nor UDP uses at this moment.
fn free_port() -> Result<SocketAddr, LabError> {
    let attempt = || {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = tcp.local_addr()?;
        UdpSocket::bind(address).map(|_| address)
    };
    let mut found = attempt();
    for _ in 0..ATTEMPTS {
        if found.is_ok() {
            break;
        }
        found = attempt();
    }
    found.map_err(LabError::system("a free port"))
}

/// Longest time for the units to do anything.
const LIMIT: Duration = Duration::from_secs(30);
const LOG_TAIL_LINES: usize = 20;
const ATTEMPTS: usize = 16;
