//! The security policy: which packets are protected by which SAs. It is configuration, the same on
//! both units; it holds no secret and nothing that changes.

use std::net::{IpAddr, Ipv4Addr};

use failover::wire::plan::{Plan, VIRTUAL_ADDRESS};
use ha_ipsec::id::SaId;

use super::sas;
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
        Self {
            plan,
            first_remote_host: plan.pair(0).remote_host.to_bits(),
        }
    }

    /// The outbound SA for a packet from a host of the LAN to one behind a peer.
    pub(super) fn outbound(&self, source: Ipv4Addr, destination: Ipv4Addr) -> Option<SaId> {
        let flow = destination.to_bits().checked_sub(self.first_remote_host)?;
        let protects = self.protects(flow, source, destination);
        protects.then(|| sas::outbound_id(&self.plan.pair(flow)))
    }

    /// The inbound SA of an SPI: all of them end at the virtual address.
    pub(super) const fn inbound(spi: u32) -> SaId {
        sas::esp(spi, IpAddr::V4(VIRTUAL_ADDRESS))
    }

    /// RFC 4301 §5.2, step 4: whether a packet between a host behind a peer and one of the LAN is
    /// one that the SAs of a flow protect.
    pub(super) fn protects(&self, flow: u32, local: Ipv4Addr, remote: Ipv4Addr) -> bool {
        let pair = self.plan.pair(flow);
        flow < self.plan.sas && pair.lan_host == local && pair.remote_host == remote
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_of_hosts_has_its_tunnel_and_others_have_none() {
        let plan = Plan {
            seed: 0,
            sas: 3,
            peers: 2,
            esn: false,
        };
        let policy = Policy {
            plan,
            first_remote_host: plan.pair(0).remote_host.to_bits(),
        };
        let [first, last] = [plan.pair(0), plan.pair(2)];
        let id = policy.outbound(last.lan_host, last.remote_host).unwrap();
        assert_eq!(id.spi, last.outbound_spi);
        assert_eq!(id.destination, IpAddr::V4(last.peer_address));
        assert_eq!(policy.outbound(first.lan_host, last.remote_host), None);
        let beyond = plan.pair(3);
        assert_eq!(policy.outbound(beyond.lan_host, beyond.remote_host), None);
        let before = Ipv4Addr::new(1, 1, 1, 1);
        assert_eq!(policy.outbound(first.lan_host, before), None);
        assert!(policy.protects(2, last.lan_host, last.remote_host));
        assert!(!policy.protects(0, last.lan_host, last.remote_host));
        assert!(!policy.protects(2, last.remote_host, last.lan_host));
    }
}
