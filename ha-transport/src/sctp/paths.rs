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
pub(super) struct Paths(Arc<Mutex<Known>>);

#[derive(Debug)]
struct Known {
    paths: Vec<Path>,
    /// The link that the states are of, counted from 1.
    link: u64,
}

impl Paths {
    pub(super) fn new(remote: &[SocketAddr]) -> Self {
        let paths = remote.iter().map(|end| Path {
            address: end.ip(),
            state: PathState::Unknown,
        });
        Self(Arc::new(Mutex::new(Known {
            paths: paths.collect(),
            link: 0,
        })))
    }

    pub(super) fn all(&self) -> Vec<Path> {
        self.0.lock().paths.clone()
    }
}

/// What one association may say of the paths: nothing until its peer was authenticated, and
/// nothing more once a later link began. Otherwise a stranger who connects and leaves, or an old
/// link that ends late, would make paths unknown that work.
#[derive(Debug)]
pub(super) struct Reporter {
    paths: Paths,
    link: Option<u64>,
}

impl Reporter {
    pub(super) const fn new(paths: Paths) -> Self {
        Self { paths, link: None }
    }

    /// The association has become a link, and each address is as `ask` says.
    pub(super) fn begin(&mut self, ask: impl Fn(IpAddr) -> PathState) {
        let addresses: Vec<_> = {
            let mut known = self.paths.0.lock();
            known.link += 1;
            self.link = Some(known.link);
            known.paths.iter().map(|path| path.address).collect()
        };
        for address in addresses {
            self.set(address, ask(address));
        }
    }

    /// Takes over what the kernel says of an address.
    pub(super) fn set(&self, address: IpAddr, state: PathState) {
        let mut known = self.paths.0.lock();
        if self.link != Some(known.link) {
            return;
        }
        let Some(path) = known.paths.iter_mut().find(|path| path.address == address) else {
            return;
        };
        let old = std::mem::replace(&mut path.state, state);
        drop(known);
        if old == state {
            return;
        }
        report(address, old, state);
    }

    /// The association has ended.
    pub(super) fn forget(&self) {
        for path in self.paths.all() {
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

    fn states(paths: &Paths) -> Vec<PathState> {
        paths.all().iter().map(|path| path.state).collect()
    }

    fn two_paths() -> ([IpAddr; 2], Paths) {
        let remote = ["10.0.0.2:3249", "10.0.1.2:3249"].map(|text| text.parse().unwrap());
        (remote.map(|end: SocketAddr| end.ip()), Paths::new(&remote))
    }

    #[test]
    fn only_configured_addresses_are_kept() {
        let ([first, second], paths) = two_paths();
        let mut link = Reporter::new(paths.clone());
        link.begin(|address| {
            if address == first {
                PathState::Available
            } else {
                PathState::Unknown
            }
        });
        link.set(second, PathState::Unreachable);
        link.set("10.9.9.9".parse().unwrap(), PathState::Available);
        let expected = [PathState::Available, PathState::Unreachable];
        assert_eq!(states(&paths), expected);
        link.forget();
        assert_eq!(states(&paths), [PathState::Unknown; 2]);
    }

    #[test]
    fn only_the_latest_link_has_a_say() {
        let ([first, _], paths) = two_paths();
        let [mut old, mut new, stranger] = [(); 3].map(|()| Reporter::new(paths.clone()));
        old.begin(|_| PathState::Unreachable);
        new.begin(|_| PathState::Available);
        for other in [&old, &stranger] {
            other.set(first, PathState::Unreachable);
            other.forget();
            assert_eq!(states(&paths), [PathState::Available; 2]);
        }
        new.forget();
        assert_eq!(states(&paths), [PathState::Unknown; 2]);
    }
}
