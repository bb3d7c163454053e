//! From the remote site to the LAN: ESP packets are checked, opened and delivered.

use std::net::SocketAddr;
use std::sync::Arc;

use failover::esp::Header;
use failover::wire::inner;
use failover::wire::socket::Sender;

use super::cache::Ciphers;
use super::parked::Parked;
use super::path::Path;
use super::policy::Policy;
use super::sas::{Accept, InboundSa, Pending, Sas};
use crate::control::{Plant, Setup};

/// The inbound path.
pub(super) struct Inbound {
    sas: Sas,
    policy: Arc<Policy>,
    ciphers: Ciphers<InboundSa>,
    /// Opened and recorded as seen; to be delivered when the standby knows that they were.
    parked: Parked<(Arc<InboundSa>, Pending)>,
    lan: Lan,
    /// Planted: the window is not asked.
    unchecked: bool,
}

/// The protected network.
struct Lan {
    address: SocketAddr,
    sender: Sender,
}

impl Inbound {
    pub(super) fn new(setup: &Setup, sas: Sas, policy: Arc<Policy>, sender: Sender) -> Self {
        Self {
            sas,
            policy,
            ciphers: Ciphers::new(setup.sas),
            parked: Parked::new(),
            lan: Lan {
                address: setup.inside,
                sender,
            },
            unchecked: setup.plant == Some(Plant::NoWindow),
        }
    }
}

impl Path for Inbound {
    /// RFC 4303 §3.4: lookup, replay check, integrity, window, in this order. What fails is
    /// dropped: a gateway answers nothing to what it cannot authenticate.
    fn packet(&mut self, packet: &mut [u8]) {
        let Ok(header) = Header::parse(packet) else {
            return;
        };
        let Ok(sa) = self.sas.inbound(&Policy::inbound(header.spi)) else {
            return;
        };
        let number = sa.infer(header.sequence);
        if !self.unchecked && sa.check(number).is_err() {
            return;
        }
        let Some(cipher) = self.ciphers.of(&sa, sa.record()) else {
            return;
        };
        let Ok(inner) = cipher.open(number, packet) else {
            return;
        };
        let admitted = inner::addresses(inner).is_some_and(|(source, destination)| {
            let flow = sa.record().flow_id;
            self.policy.admits(flow, source, destination)
        });
        if !admitted {
            return;
        }
        match sa.accept(number) {
            Accept::Deliver { .. } => self.lan.send(inner),
            Accept::Pending(pending) => {
                // If it does not fit it is lost, as from any full queue.
                self.parked.park((sa, pending), inner);
            }
            Accept::Replay(_) if self.unchecked => self.lan.send(inner),
            Accept::Replay(_) => {}
        }
    }

    fn is_waiting(&self) -> bool {
        !self.parked.is_empty()
    }

    fn retry(&mut self) {
        for _ in 0..self.parked.len() {
            let Some(((sa, pending), packet)) = self.parked.take() else {
                return;
            };
            match sa.retry(&pending) {
                Accept::Deliver { .. } => self.lan.send(packet.bytes()),
                Accept::Pending(pending) => {
                    self.parked.park((sa, pending), packet.bytes());
                }
                Accept::Replay(_) => {}
            }
        }
    }

    fn flush(&mut self) {
        self.lan.sender.flush();
    }
}

impl Lan {
    fn send(&mut self, inner: &[u8]) {
        self.sender.send(self.address, inner);
    }
}
