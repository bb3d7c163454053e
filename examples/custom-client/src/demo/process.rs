//! The two units, as child processes of this one.

use core::time::Duration;
use std::fs::OpenOptions;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ha_transport::{Fingerprint, Identity};
use tokio::time::{Instant, sleep, timeout};

use super::Options;
use super::client::Client;
use crate::args::Error;

/// Both units.
pub(super) struct Pair {
    pub(super) units: [Unit; 2],
}

/// One unit: how it is started, and its process while it lives.
pub(super) struct Unit {
    pub(super) id: usize,
    pub(super) socket: PathBuf,
    log: PathBuf,
    arguments: Vec<String>,
    process: Option<Child>,
}

/// Longest time for a unit to reach a state.
const STATE_LIMIT: Duration = Duration::from_secs(60);
/// How often a unit is asked for its state.
const ASK_INTERVAL: Duration = Duration::from_millis(20);

impl Pair {
    /// Makes two identities and starts two units that trust each other, in `directory`.
    pub(super) fn start(options: &Options, directory: &Path) -> Result<Self, Error> {
        let mut prints = Vec::new();
        for id in 0..2 {
            let identity = Identity::generate(&format!("unit-{id}")).map_err(Error::other)?;
            identity
                .save(directory.join(format!("identity-{id}")))
                .map_err(Error::other)?;
            prints.push(identity.fingerprint());
        }
        // Held until both are known, so that they differ.
        let ports = [FreePort::find()?, FreePort::find()?];
        let unit = |id: usize| {
            let peer = 1 - id;
            Unit::new(
                id,
                directory,
                options,
                [ports[id].address, ports[peer].address],
                prints[peer],
            )
        };
        let mut pair = Self {
            units: [unit(0), unit(1)],
        };
        drop(ports);
        pair.units.iter_mut().try_for_each(Unit::start)?;
        Ok(pair)
    }

    /// Waits until one unit is ACTIVE and the other STANDBY HOT; returns which is active, and since
    /// when both are known to be so.
    pub(super) async fn wait_until_redundant(&mut self) -> Result<(usize, Instant), Error> {
        let ready = async {
            loop {
                let asked = Instant::now();
                let states = [self.units[0].state().await?, self.units[1].state().await?];
                match [states[0].as_str(), states[1].as_str()] {
                    ["ACTIVE", "STANDBY HOT"] => return Ok((0, asked)),
                    ["STANDBY HOT", "ACTIVE"] => return Ok((1, asked)),
                    _ => sleep(ASK_INTERVAL).await,
                }
            }
        };
        let late = |_| Error::other("the units did not become ACTIVE and STANDBY HOT in time");
        timeout(STATE_LIMIT, ready).await.map_err(late)?
    }

    /// The last lines of both logs, for when something went wrong.
    pub(super) fn log_tails(&self) -> String {
        self.units.iter().map(Unit::log_tail).collect()
    }
}

impl Unit {
    fn new(
        id: usize,
        directory: &Path,
        options: &Options,
        [listen, peer]: [SocketAddr; 2],
        pin: Fingerprint,
    ) -> Self {
        let socket = directory.join(format!("unit-{id}.sock"));
        let text = |path: &Path| path.display().to_string();
        let mut arguments = ["unit", "--with-stdin", "--log", "info"]
            .map(str::to_owned)
            .to_vec();
        let values = [
            ("--id", id.to_string()),
            ("--listen", listen.to_string()),
            ("--peer", peer.to_string()),
            (
                "--identity",
                text(&directory.join(format!("identity-{id}"))),
            ),
            ("--pin", pin.to_string()),
            ("--socket", text(&socket)),
            (
                "--peer-socket",
                text(&directory.join(format!("unit-{}.sock", 1 - id))),
            ),
            ("--transport", options.transport.name().to_owned()),
        ];
        for (name, value) in values {
            arguments.extend([name.to_owned(), value]);
        }
        if options.fast {
            arguments.push("--fast".to_owned());
        }
        let log = directory.join(format!("unit-{id}.log"));
        Self {
            id,
            socket,
            log,
            arguments,
            process: None,
        }
    }

    /// Starts the unit's process. Its standard input is a pipe from this process: it ends with it,
    /// however that happens.
    pub(super) fn start(&mut self) -> Result<(), Error> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let process = Command::new(std::env::current_exe().map_err(Error::other)?)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log.map_err(Error::other)?)
            .spawn()
            .map_err(Error::other)?;
        self.process = Some(process);
        Ok(())
    }

    /// Starts the unit's process unless it runs.
    pub(super) fn ensure_running(&mut self) -> Result<(), Error> {
        if self.process.is_none() {
            self.start()
        } else {
            Ok(())
        }
    }

    /// Ends the unit at once: SIGKILL.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        process.kill()?;
        process.wait().map(drop)
    }

    /// The unit's state as it says itself, such as `STANDBY HOT`; empty while it does not serve.
    async fn state(&mut self) -> Result<String, Error> {
        if let Some(status) = self
            .process
            .as_mut()
            .and_then(|p| p.try_wait().ok().flatten())
        {
            return Err(Error::other(format!(
                "unit {} ended by itself: {status}",
                self.id
            )));
        }
        let Ok(mut client) = Client::connect(&self.socket).await else {
            return Ok(String::new());
        };
        let lines = client.ask_lines("STATES").await.unwrap_or_default();
        // `my state = 13 -ACTIVE`
        let state = lines
            .iter()
            .find_map(|line| line.trim().strip_prefix("my state = "));
        let name = state.and_then(|state| state.split_once('-'));
        Ok(name.map_or_else(String::new, |(_, name)| name.trim().to_owned()))
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
        format!("--- log of unit {}\n{}\n", self.id, tail.join("\n"))
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        let _ = self.kill();
    }
}

const LOG_TAIL_LINES: usize = 20;

/// A port that neither TCP nor UDP uses, held until this is dropped.
struct FreePort {
    address: SocketAddr,
    _tcp: TcpListener,
    _udp: UdpSocket,
}

impl FreePort {
    fn find() -> Result<Self, Error> {
        let attempt = || -> io::Result<Self> {
            let tcp = TcpListener::bind("127.0.0.1:0")?;
            let address = tcp.local_addr()?;
            let udp = UdpSocket::bind(address)?;
            Ok(Self {
                address,
                _tcp: tcp,
                _udp: udp,
            })
        };
        let mut found = attempt();
        for _ in 0..16 {
            if found.is_ok() {
                break;
            }
            found = attempt();
        }
        found.map_err(|error| Error::other(format!("no free port on 127.0.0.1: {error}")))
    }
}
