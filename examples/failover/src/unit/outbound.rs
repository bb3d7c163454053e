//! From the LAN to the remote site: packets get a number, are sealed and sent.

use std::net::SocketAddr;
use std::sync::Arc;

use failover::esp::{HEADROOM, TAILROOM};
use failover::wire::inner;
use failover::wire::socket::Sender;

use super::cache::Ciphers;
use super::parked::Parked;
use super::path::Path;
use super::policy::Policy;
use super::sas::{OutboundSa, Refused, Sas};
use crate::control::{Plant, Setup};

/// The outbound path.
pub(super) struct Outbound {
    sas: Sas,
    policy: Arc<Policy>,
    /// Packets that have no number yet: the standby must acknowledge a reservation first.
    parked: Parked<Arc<OutboundSa>>,
    tunnel: Tunnel,
}

/// What seals and sends.
struct Tunnel {
    ciphers: Ciphers<OutboundSa>,
    address: SocketAddr,
    sender: Sender,
    buffer: Box<[u8; BUFFER]>,
    /// Planted: numbers that no reservation covers.
    planted: Option<Vec<u64>>,
}

impl Outbound {
    pub(super) fn new(setup: &Setup, sas: Sas, policy: Arc<Policy>, sender: Sender) -> Self {
        let planted = setup.plant == Some(Plant::Reuse);
        Self {
            sas,
            policy,
            parked: Parked::new(),
            tunnel: Tunnel {
                ciphers: Ciphers::new(setup.sas),
                address: setup.outside,
                sender,
                buffer: Box::new([0; BUFFER]),
                planted: planted.then(|| vec![0; setup.sas as usize]),
            },
        }
    }
}

impl Path for Outbound {
    fn packet(&mut self, packet: &mut [u8]) {
        let Some((source, destination)) = inner::addresses(packet) else {
            return;
        };
        let Some(id) = self.policy.outbound(source, destination) else {
            return;
        };
        let Ok(sa) = self.sas.outbound(&id) else {
            return;
        };
        if self.tunnel.send(&sa, packet) == Err(Refused::NoReservation) {
            // If it does not fit it is lost, as from any full queue.
            self.parked.park(sa, packet);
        }
    }

    fn is_waiting(&self) -> bool {
        !self.parked.is_empty()
    }

    fn retry(&mut self) {
        for _ in 0..self.parked.len() {
            let Some((sa, packet)) = self.parked.take() else {
                return;
            };
            if self.tunnel.send(&sa, packet.bytes()) == Err(Refused::NoReservation) {
                self.parked.park(sa, packet.bytes());
            }
        }
    }

    fn flush(&mut self) {
        self.tunnel.sender.flush();
    }
}

impl Tunnel {
    /// Sends a packet under the next number of its SA.
    fn send(&mut self, sa: &Arc<OutboundSa>, packet: &[u8]) -> Result<(), Refused> {
        let Some(place) = self.buffer.get_mut(HEADROOM..HEADROOM + packet.len()) else {
            // Too long for the tunnel; a gateway would answer with ICMP (RFC 4301 §8.2).
            return Ok(());
        };
        place.copy_from_slice(packet);
        let record = sa.record();
        let Some(cipher) = self.ciphers.of(sa, record) else {
            return Ok(());
        };
        let mut number = sa.next()?;
        if let Some(planted) = &mut self.planted {
            let own = &mut planted[record.flow_id as usize];
            *own += 1;
            number = *own;
        }
        if let Ok(len) = cipher.seal(number, &mut self.buffer[..], packet.len()) {
            self.sender.send(self.address, &self.buffer[..len]);
        }
        Ok(())
    }
}

/// The longest inner packet is what is left of it, in bytes.
const BUFFER: usize = HEADROOM + 1500 + TAILROOM;
