//! The security policy: which packets are protected by which SAs. It is configuration, the same on
//! both units; it holds no secret and nothing that changes.

use std::net::{IpAddr, Ipv4Addr};

use failover::wire::plan::{Plan, VIRTUAL_ADDRESS};
use ha_ipsec::id::{Protocol, SaId};

use crate::control::Setup;

/// One tunnel for each pair of hosts.
pub(super) struct Policy {
    plan: Plan,
    first_remote_host: u32,
}

impl Policy {
    pub(super) fn new(setup: &Setup) -> Self {
        let plan = Plan {
            // What the keys depend on is not part of the policy.
            seed: 0,
            sas: setup.sas,
            peers: setup.peers,
            esn: false,
        };
        let first_remote_host = plan.pair(0).remote_host.to_bits();
        Self {
            plan,
            first_remote_host,
        }
    }

    /// The outbound SA for a packet from a host of the LAN to one behind a peer.
    pub(super) fn outbound(&self, source: Ipv4Addr, destination: Ipv4Addr) -> Option<SaId> {
        let flow = destination.to_bits().checked_sub(self.first_remote_host)?;
        if flow >= self.plan.sas {
            return None;
        }
        let pair = self.plan.pair(flow);
        (pair.lan_host == source).then_some(SaId {
            spi: pair.outbound_spi,
            destination: IpAddr::V4(pair.peer_address),
            protocol: Protocol::Esp,
        })
    }

    /// The inbound SA of an SPI: all of them end at the virtual address.
    pub(super) const fn inbound(spi: u32) -> SaId {
        SaId {
            spi,
            destination: IpAddr::V4(VIRTUAL_ADDRESS),
            protocol: Protocol::Esp,
        }
    }

    /// RFC 4301 §5.2, step 4: whether a packet that came out of the SA of a flow is one that it
    /// protects.
    pub(super) fn admits(&self, flow: u32, source: Ipv4Addr, destination: Ipv4Addr) -> bool {
        let pair = self.plan.pair(flow);
        flow < self.plan.sas && pair.remote_host == source && pair.lan_host == destination
    }
}
