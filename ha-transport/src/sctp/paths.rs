//! The peer's addresses and how they are.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::metrics as names;

/// How a path to an address of the peer is, by the kernel's judgement.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum PathState {
    /// There is no association, or the address was not confirmed yet (RFC 9260, section 5.4).
    #[default]
    Unknown,
    /// It answers.
    Available,
    /// It missed an answer; other paths are preferred (RFC 7829).
    PotentiallyFailed,
    /// It missed more than `path_retransmit` answers.
    Unreachable,
}

impl PathState {
    /// The name in logs and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Available => "available",
            Self::PotentiallyFailed => "potentially_failed",
            Self::Unreachable => "unreachable",
        }
    }
}

impl fmt::Display for PathState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An address of the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Path {
    /// The address.
    pub address: IpAddr,
    /// How it is.
    pub state: PathState,
}

/// The configured addresses of the peer; others are not kept.
#[derive(Clone, Debug)]
pub(super) struct Paths(Arc<Mutex<Vec<Path>>>);

impl Paths {
    pub(super) fn new(remote: &[SocketAddr]) -> Self {
        let paths = remote.iter().map(|end| Path {
            address: end.ip(),
            state: PathState::Unknown,
        });
        Self(Arc::new(Mutex::new(paths.collect())))
    }

    pub(super) fn all(&self) -> Vec<Path> {
        self.0.lock().clone()
    }

    /// Takes over what the kernel says of an address.
    pub(super) fn set(&self, address: IpAddr, state: PathState) {
        let mut paths = self.0.lock();
        let Some(path) = paths.iter_mut().find(|path| path.address == address) else {
            return;
        };
        let old = std::mem::replace(&mut path.state, state);
        drop(paths);
        if old == state {
            return;
        }
        report(address, old, state);
    }

    /// The association has ended.
    pub(super) fn forget(&self) {
        for path in self.all() {
            self.set(path.address, PathState::Unknown);
        }
    }
}

fn report(address: IpAddr, old: PathState, state: PathState) {
    match state {
        PathState::Unreachable => {
            tracing::warn!(%address, %old, %state, "SCTP path lost: check its cables and switches");
        }
        _ => tracing::info!(%address, %old, %state, "SCTP path changed"),
    }
    metrics::counter!(names::SCTP_PATH_CHANGES, "state" => state.name()).increment(1);
    let up = f64::from(u8::from(state == PathState::Available));
    metrics::gauge!(names::SCTP_PATH_UP, "address" => address.to_string()).set(up);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_configured_addresses_are_kept() {
        let remote = ["10.0.0.2:3249", "10.0.1.2:3249"].map(|text| text.parse().unwrap());
        let paths = Paths::new(&remote);
        paths.set(remote[1].ip(), PathState::Unreachable);
        paths.set("10.9.9.9".parse().unwrap(), PathState::Available);
        let states = || {
            paths
                .all()
                .iter()
                .map(|path| path.state)
                .collect::<Vec<_>>()
        };
        assert_eq!(states(), [PathState::Unknown, PathState::Unreachable]);
        paths.forget();
        assert_eq!(states(), [PathState::Unknown; 2]);
    }
}
