//! What the laboratory and a unit say to each other: one JSON value a line, commands on the unit's
//! standard input and events on its standard output.
//!
//! No figure of the report comes this way. The laboratory learns here only whether the pair is
//! whole, so that it knows when it may do the next damage.

use core::net::SocketAddr;
use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;

use ha_core::redundancy::KeepaliveConfig;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What a unit is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub(crate) enum Command {
    /// The first line: how the unit is set up.
    Start(Box<Setup>),
    /// To the active unit, once: negotiate the SAs of the run, as IKE would. The secret comes with
    /// this command and with no other: a unit that is started later has the keys from its peer, or
    /// not at all.
    Install(Install),
    /// Hand the active role over to the standby.
    Switchover,
    /// End in order.
    Stop,
}

/// How a unit is set up.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// 0 or 1.
    pub(crate) unit: u32,
    /// The link to the other unit.
    pub(crate) link: LinkSetup,
    /// Whether failures are found within 160 ms rather than 800 ms.
    pub(crate) fast_keepalives: bool,
    /// The socket that plays the network outside.
    pub(crate) outside: SocketAddr,
    /// The socket that plays the protected network.
    pub(crate) inside: SocketAddr,
    /// The security policy, the same on both units: how many hosts, behind how many peers.
    pub(crate) sas: u32,
    /// See `sas`.
    pub(crate) peers: u32,
    /// A protection to leave out, to show that the checks find it.
    pub(crate) plant: Option<Plant>,
}

impl Setup {
    /// How failures are found.
    pub(crate) fn keepalive(&self) -> KeepaliveConfig {
        if self.fast_keepalives {
            KeepaliveConfig::fast()
        } else {
            KeepaliveConfig::default()
        }
    }
}

/// The link between the units.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "transport", rename_all = "kebab-case")]
pub(crate) enum LinkSetup {
    /// Both units are threads of the laboratory, which hands them the ends of the link.
    Memory,
    /// TCP with TLS 1.3.
    Tcp(Endpoint),
    /// QUIC.
    Quic(Endpoint),
}

/// Where a unit is, and who its peer is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    /// Where the unit listens.
    pub(crate) listen: SocketAddr,
    /// Where it dials: the cable that leads to the other unit.
    pub(crate) peer: SocketAddr,
    /// The directory of its key pair.
    pub(crate) identity: PathBuf,
    /// The fingerprint of the peer's key.
    pub(crate) pin: String,
}

/// The SAs to negotiate.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Install {
    /// What the keys are derived from.
    pub(crate) seed: u64,
    /// Whether extended sequence numbers are used.
    pub(crate) esn: bool,
    /// Whether a unit that takes over accepts again what its copy of the window has not seen,
    /// instead of nothing that the other unit may have accepted.
    pub(crate) resume: bool,
}

impl core::fmt::Debug for Install {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Install")
            .field("esn", &self.esn)
            .field("resume", &self.resume)
            .finish_non_exhaustive()
    }
}

/// A protection that a unit leaves out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Plant {
    /// After a takeover, sequence numbers begin again where those of the standby's copy end.
    Reuse,
    /// Inbound packets are not asked for the window.
    NoWindow,
}

impl core::str::FromStr for Plant {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "reuse" => Ok(Self::Reuse),
            "no-window" => Ok(Self::NoWindow),
            _ => Err("use reuse or no-window"),
        }
    }
}

/// What a unit says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// Where the unit stands, whenever that changes.
    State {
        /// Its state, as `show redundancy states` names it.
        mine: String,
        /// What it knows of its peer's state.
        peer: Option<String>,
    },
    /// These pairs of SAs, from the first on, are held by both units (or there is no other).
    Installed {
        /// How many.
        pairs: u32,
    },
    /// The switchover is done.
    SwitchedOver,
    /// A command failed.
    Failed {
        /// Why.
        why: String,
    },
}

/// Writes one line.
///
/// # Errors
/// When nobody reads any more.
pub(crate) fn send(to: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// Reads one line; `None` at the end.
///
/// # Errors
/// When it is too long or not understood.
pub(crate) fn receive<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    from.take(LINE_LIMIT).read_until(b'\n', &mut line)?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(serde_json::from_slice(&line)?)),
        Some(_) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a line without end: longer than the limit, or the other side died",
        )),
    }
}

/// Longest line, in bytes.
const LINE_LIMIT: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_the_pipe() {
        let install = Command::Install(Install {
            seed: u64::MAX,
            esn: true,
            resume: false,
        });
        let mut pipe = Vec::new();
        send(&mut pipe, &install).unwrap();
        send(&mut pipe, &Command::Switchover).unwrap();
        let mut from = pipe.as_slice();
        assert_eq!(receive(&mut from).unwrap(), Some(install));
        assert_eq!(receive(&mut from).unwrap(), Some(Command::Switchover));
        assert_eq!(receive::<Command>(&mut from).unwrap(), None);
    }

    #[test]
    fn a_line_has_a_limit_and_an_end() {
        let long = vec![b' '; 17 * 1024];
        assert!(receive::<Event>(&mut long.as_slice()).is_err());
        assert!(receive::<Event>(&mut &b"{\"event\":\"switched-over\"}"[..]).is_err());
        assert!(receive::<Event>(&mut &b"{\"event\":\"what\"}\n"[..]).is_err());
    }

    #[test]
    fn the_secret_is_not_shown() {
        let install = Install {
            seed: 4711,
            esn: false,
            resume: false,
        };
        assert!(!format!("{install:?}").contains("4711"));
    }
}
