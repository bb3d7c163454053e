//! From the remote site to the LAN: ESP packets are checked, opened and delivered.

use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use failover::esp::Header;
use failover::wire::inner;
use failover::wire::socket::Sender;
use ha_core::time::Time;
use ha_ipsec::replay::{Accept, Parked};
use ha_ipsec::sad::{InboundSa, Pinned};

use super::cache::Ciphers;
use super::exposure::{ActiveSince, Exposure};
use super::packet::Packet;
use super::path::Path;
use super::policy::Policy;
use super::sas::Sas;
use crate::control::{Plant, Setup};

/// The inbound path.
pub(super) struct Inbound {
    policy: Arc<Policy>,
    ciphers: Ciphers,
    /// Opened, and recorded as seen; to be delivered when the standby knows that they were.
    parked: Parked<(Arc<InboundSa>, Packet)>,
    lan: Lan,
    active_since: Arc<ActiveSince>,
    exposure: Exposure,
    now: Time,
    /// Planted: the window is not asked.
    unchecked: bool,
}

/// The protected network.
struct Lan {
    address: SocketAddr,
    sender: Sender,
}

impl Inbound {
    pub(super) fn new(
        setup: &Setup,
        policy: Arc<Policy>,
        active_since: Arc<ActiveSince>,
        sender: Sender,
    ) -> Self {
        Self {
            policy,
            active_since,
            exposure: Exposure::new(setup.keepalive().detection_time()),
            ciphers: Ciphers::new(setup.sas),
            parked: Parked::new(super::WAITING_LIMIT, PATIENCE),
            lan: Lan {
                address: setup.inside,
                sender,
            },
            now: Time::ZERO,
            unchecked: setup.plant == Some(Plant::NoWindow),
        }
    }

    /// RFC 4303 §3.4: lookup, replay check, integrity, and then the window, in this order. What
    /// fails is dropped: a gateway answers nothing to what it cannot authenticate.
    fn take(&mut self, sas: &Pinned<'_>, packet: &mut [u8]) -> Option<()> {
        let header = Header::parse(packet).ok()?;
        let sa = sas.inbound(&Policy::inbound(header.spi)).ok()?;
        let number = sa.infer(header.sequence);
        if !self.unchecked {
            sa.check(number).ok()?;
        }
        let inner = self.ciphers.of(sa.record())?.open(number, packet).ok()?;
        let (remote, local) = inner::addresses(inner)?;
        if !self.policy.protects(sa.record().flow_id, local, remote) {
            return None;
        }
        match sa.accept(number) {
            Accept::Deliver { exposed, .. } => {
                if exposed && !self.exposure.allows(&self.active_since, self.now) {
                    return None;
                }
                sa.charge(inner.len() as u64);
                self.lan.send(inner);
            }
            Accept::Pending(pending) => {
                let copy = (Arc::clone(sa), Packet::copy(inner)?);
                // Without room it is lost, as from any full queue.
                self.parked.park(pending, copy, self.now);
            }
            Accept::Replay(_) if self.unchecked => self.lan.send(inner),
            Accept::Replay(_) => {}
        }
        Some(())
    }
}

impl Path for Inbound {
    fn packet(&mut self, sas: &Pinned<'_>, packet: &mut [u8]) {
        // `None` says that it was dropped.
        let _ = self.take(sas, packet);
    }

    fn is_waiting(&self) -> bool {
        !self.parked.is_empty()
    }

    fn begin(&mut self, sas: &Sas) {
        self.now = sas.now();
        if self.exposure.is_alone() && !sas.is_isolated() {
            self.exposure.accompanied();
        }
    }

    fn end(&mut self, sas: &Sas) {
        let Self {
            lan,
            exposure,
            active_since,
            now,
            ..
        } = self;
        self.parked.retry(
            sas.acknowledgements(),
            *now,
            |(sa, _), pending| sa.retry(pending),
            |(sa, packet), exposed| {
                if !exposed || exposure.allows(active_since, *now) {
                    sa.charge(packet.bytes().len() as u64);
                    lan.send(packet.bytes());
                }
            },
        );
        lan.sender.flush();
    }
}

impl Lan {
    fn send(&mut self, inner: &[u8]) {
        self.sender.send(self.address, inner);
    }
}

/// How long a packet waits: far longer than it takes to find that the standby is lost.
const PATIENCE: Duration = Duration::from_secs(1);
