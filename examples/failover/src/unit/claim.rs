//! The virtual address follows the role.

use core::time::Duration;
use std::net::{SocketAddr, UdpSocket};

use failover::wire::{Claim, Gateway};
use ha_core::redundancy::RfState;
use ha_transport::runtime::GroupView;
use tokio::time::Instant;

/// Claims the virtual address on both networks, as a gateway does with gratuitous ARPs.
///
/// A claim can be lost, so each is repeated a few times and then no more. A unit that was stopped
/// and goes on believes that it still has the role; as it does not take it up, it claims nothing.
pub(super) struct Claims {
    unit: Gateway,
    networks: [(UdpSocket, SocketAddr); 2],
    standing: Standing,
    left: u32,
    due: Instant,
}

/// What of a unit's standing matters to the address.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Standing {
    active: bool,
    peer_is_standby: bool,
    term: u64,
}

impl Claims {
    /// Makes the unit's sockets known; claims nothing.
    pub(super) fn new(unit: Gateway, networks: [(UdpSocket, SocketAddr); 2]) -> Self {
        let claims = Self {
            unit,
            networks,
            standing: Standing::default(),
            left: 0,
            due: Instant::now(),
        };
        claims.send(0);
        claims
    }

    /// Takes note of where the unit stands.
    pub(super) fn follow(&mut self, view: GroupView) {
        let now = Standing {
            active: view.active,
            peer_is_standby: view.peer_state.is_some_and(RfState::is_standby),
            term: view.term.counter,
        };
        let before = core::mem::replace(&mut self.standing, now);
        if !now.active {
            self.left = 0;
        } else if now.must_claim(before) {
            self.left = REPEATS;
            self.due = Instant::now();
            self.repeat();
        }
    }

    /// Sends the next claim, if one is due.
    pub(super) fn repeat(&mut self) {
        if self.left > 0 && Instant::now() >= self.due {
            self.left -= 1;
            self.due += INTERVAL;
            self.send(self.standing.term);
        }
    }

    fn send(&self, term: u64) {
        let claim = Claim {
            unit: self.unit,
            term,
        };
        for (socket, network) in &self.networks {
            // One that is lost is repeated.
            let _ = socket.send_to(&claim.encode(), network);
        }
    }
}

impl Standing {
    /// The role was taken up, or another unit that may have claimed the address gave it up.
    const fn must_claim(self, before: Self) -> bool {
        let took_up = self.active && !before.active;
        let yielded = self.peer_is_standby && !before.peer_is_standby;
        took_up || (self.active && yielded)
    }
}

const REPEATS: u32 = 5;
const INTERVAL: Duration = Duration::from_millis(40);

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(active: bool, peer_is_standby: bool, term: u64) -> Standing {
        Standing {
            active,
            peer_is_standby,
            term,
        }
    }

    #[test]
    fn only_who_takes_or_keeps_the_role_claims() {
        let alone = standing(true, false, 1);
        let whole = standing(true, true, 1);
        assert!(alone.must_claim(standing(false, false, 0)));
        assert!(whole.must_claim(standing(false, true, 0)));
        assert!(whole.must_claim(alone), "the other one yielded");
        assert!(!whole.must_claim(whole));
        assert!(!alone.must_claim(whole), "the peer is lost, nothing is new");
        let outdated = standing(true, false, 2);
        assert!(!outdated.must_claim(whole), "it heard of a later takeover");
        assert!(!standing(false, true, 2).must_claim(outdated));
    }
}
