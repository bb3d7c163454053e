//! From the LAN to the remote site: packets get a number, are sealed and sent.

use std::net::SocketAddr;
use std::sync::Arc;

use failover::esp::{HEADROOM, TAILROOM};
use failover::wire::inner;
use failover::wire::socket::Sender;
use ha_ipsec::sad::{OutboundSa, Pinned};
use ha_ipsec::sequence::Refused;

use super::cache::Ciphers;
use super::packet::{Keep, LENGTH_LIMIT, Packet, Queue};
use super::path::Path;
use super::policy::Policy;
use super::sas::Sas;
use crate::control::{Plant, Setup};

/// The outbound path.
pub(super) struct Outbound {
    policy: Arc<Policy>,
    /// Packets that have no number: the standby must acknowledge a reservation first.
    waiting: Queue<Arc<OutboundSa>>,
    acknowledgements: u64,
    tunnel: Tunnel,
}

/// What seals and sends.
struct Tunnel {
    ciphers: Ciphers,
    address: SocketAddr,
    sender: Sender,
    buffer: Box<[u8; HEADROOM + LENGTH_LIMIT + TAILROOM]>,
    /// Planted: numbers of its own, by flow, from 1 on.
    planted: Option<Vec<u64>>,
}

impl Outbound {
    pub(super) fn new(setup: &Setup, policy: Arc<Policy>, sender: Sender) -> Self {
        let planted = setup.plant == Some(Plant::Reuse);
        Self {
            policy,
            waiting: Queue::new(),
            acknowledgements: 0,
            tunnel: Tunnel {
                ciphers: Ciphers::new(setup.sas),
                address: setup.outside,
                sender,
                buffer: Box::new([0; HEADROOM + LENGTH_LIMIT + TAILROOM]),
                planted: planted.then(|| vec![0; setup.sas as usize]),
            },
        }
    }

    fn take(&mut self, sas: &Pinned<'_>, packet: &[u8]) -> Option<()> {
        let (local, remote) = inner::addresses(packet)?;
        let sa = sas.outbound(&self.policy.outbound(local, remote)?).ok()?;
        // Refused for another reason it cannot be sent, now or later.
        if self.tunnel.send(sa, packet) == Err(Refused::NoReservation) {
            self.waiting.push(Arc::clone(sa), Packet::copy(packet)?);
        }
        Some(())
    }
}

impl Path for Outbound {
    fn packet(&mut self, sas: &Pinned<'_>, packet: &mut [u8]) {
        // `None` says that it was dropped.
        let _ = self.take(sas, packet);
    }

    fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn begin(&mut self, _: &Sas) {}

    fn end(&mut self, sas: &Sas) {
        let acknowledgements = sas.acknowledgements();
        let before = core::mem::replace(&mut self.acknowledgements, acknowledgements);
        if before != acknowledgements {
            let tunnel = &mut self.tunnel;
            self.waiting
                .retain(|sa, packet| match tunnel.send(sa, packet.bytes()) {
                    Err(Refused::NoReservation) => Keep::Yes,
                    Ok(()) | Err(_) => Keep::No,
                });
        }
        self.tunnel.sender.flush();
    }
}

impl Tunnel {
    /// Sends a packet under the next number of its SA.
    fn send(&mut self, sa: &OutboundSa, packet: &[u8]) -> Result<(), Refused> {
        let record = sa.record();
        let place = self.buffer.get_mut(HEADROOM..HEADROOM + packet.len());
        let (Some(place), Some(cipher)) = (place, self.ciphers.of(record)) else {
            // Too long for the tunnel, or a cipher that this gateway has not.
            return Ok(());
        };
        let mut number = sa.next()?;
        if let Some(planted) = &mut self.planted {
            let own = &mut planted[record.flow_id as usize];
            *own += 1;
            number = *own;
        }
        place.copy_from_slice(packet);
        if let Ok(len) = cipher.seal(number, &mut self.buffer[..], packet.len()) {
            sa.charge(packet.len() as u64);
            self.sender.send(self.address, &self.buffer[..len]);
        }
        Ok(())
    }
}
