//! The SAs of a run.
//!
//! In place of IKE both ends derive the same SAs from a seed. Only the unit that is active first
//! does so; the other, and every unit that starts later, has them from its peer or not at all.

use std::net::Ipv4Addr;

use aws_lc_rs::digest;

use super::Direction;
use crate::esp::KEYING_MATERIAL_LEN;

/// What the SAs of a run depend on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Seed of the keys.
    pub seed: u64,
    /// SA pairs, at most [`MAX_SAS`].
    pub sas: u32,
    /// Peers that they are spread over, at most [`MAX_PEERS`].
    pub peers: u32,
    /// Whether extended sequence numbers (RFC 4303 §2.2.1) are used.
    pub esn: bool,
}

/// Two SAs, one for each direction, and what they protect.
#[derive(Clone, Debug)]
pub struct SaPair {
    /// Number of the pair, from 0 on; also the flow id of its packets.
    pub index: u32,
    /// Number of the peer, from 0 on.
    pub peer: u32,
    /// Address of the peer: destination of the outbound SA.
    pub peer_address: Ipv4Addr,
    /// Host behind the peer: the remote selector, a /32.
    pub remote_host: Ipv4Addr,
    /// Host in the LAN: the local selector, a /32.
    pub lan_host: Ipv4Addr,
    /// SPI of the gateway's inbound SA.
    pub inbound_spi: u32,
    /// SPI of the gateway's outbound SA.
    pub outbound_spi: u32,
}

/// SA pairs at most.
pub const MAX_SAS: u32 = 1_000_000;
/// Peers at most.
pub const MAX_PEERS: u32 = 60_000;
/// The gateways' address on the outside: destination of every inbound SA (TEST-NET-1, RFC 5737).
pub const VIRTUAL_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

impl Plan {
    /// The pair with this number.
    pub fn pair(&self, index: u32) -> SaPair {
        let peer = index % self.peers.max(1);
        SaPair {
            index,
            peer,
            peer_address: Ipv4Addr::from_bits(FIRST_PEER.to_bits() + peer),
            remote_host: Ipv4Addr::from_bits(FIRST_REMOTE_HOST.to_bits() + index),
            lan_host: Ipv4Addr::from_bits(FIRST_LAN_HOST.to_bits() + index),
            inbound_spi: FIRST_INBOUND_SPI + index,
            outbound_spi: FIRST_OUTBOUND_SPI + index,
        }
    }

    /// All pairs.
    pub fn pairs(&self) -> impl Iterator<Item = SaPair> {
        let plan = *self;
        (0..self.sas).map(move |index| plan.pair(index))
    }

    /// The keying material of one SA of a pair: AES-128 key and salt (RFC 4106 §8.1).
    pub fn keying_material(&self, index: u32, direction: Direction) -> [u8; KEYING_MATERIAL_LEN] {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"failover demonstration");
        context.update(&self.seed.to_be_bytes());
        context.update(&index.to_be_bytes());
        context.update(&[direction as u8]);
        let mut material = [0; KEYING_MATERIAL_LEN];
        material.copy_from_slice(&context.finish().as_ref()[..KEYING_MATERIAL_LEN]);
        material
    }

    /// The SA that an SPI names: the gateway's direction, and the number of the pair.
    pub fn find(&self, spi: u32) -> Option<(Direction, u32)> {
        let within = |first: u32| spi.checked_sub(first).filter(|index| *index < self.sas);
        let inbound = within(FIRST_INBOUND_SPI).map(|index| (Direction::Inbound, index));
        inbound.or_else(|| within(FIRST_OUTBOUND_SPI).map(|index| (Direction::Outbound, index)))
    }
}

/// SPIs need not be random; these leave the reserved ones (1..=255) alone and tell the direction.
const FIRST_INBOUND_SPI: u32 = 0x1000_0000;
const FIRST_OUTBOUND_SPI: u32 = 0x2000_0000;
/// From the range for benchmarks (RFC 2544, 198.18.0.0/15).
const FIRST_PEER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const FIRST_LAN_HOST: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 0);
const FIRST_REMOTE_HOST: Ipv4Addr = Ipv4Addr::new(10, 129, 0, 0);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const PLAN: Plan = Plan {
        seed: 1,
        sas: 300,
        peers: 7,
        esn: false,
    };

    #[test]
    fn each_sa_has_names_and_keys_of_its_own() {
        let mut spis = HashSet::new();
        let mut keys = HashSet::new();
        let mut hosts = HashSet::new();
        for pair in PLAN.pairs() {
            assert!(spis.insert(pair.inbound_spi) && spis.insert(pair.outbound_spi));
            assert!(hosts.insert(pair.remote_host) && hosts.insert(pair.lan_host));
            for direction in Direction::BOTH {
                assert!(keys.insert(PLAN.keying_material(pair.index, direction)));
            }
            assert_eq!(
                PLAN.find(pair.inbound_spi),
                Some((Direction::Inbound, pair.index))
            );
            assert_eq!(
                PLAN.find(pair.outbound_spi),
                Some((Direction::Outbound, pair.index))
            );
        }
        assert_eq!(PLAN.find(FIRST_INBOUND_SPI + PLAN.sas), None);
        assert_eq!(PLAN.find(0), None);
    }

    #[test]
    fn ranges_do_not_meet_at_the_limit() {
        let plan = Plan {
            sas: MAX_SAS,
            peers: MAX_PEERS,
            ..PLAN
        };
        let last = plan.pair(MAX_SAS - 1);
        assert!(last.lan_host < FIRST_REMOTE_HOST);
        assert!(last.remote_host.octets()[0] == 10);
        assert!(last.inbound_spi < FIRST_OUTBOUND_SPI);
        assert!(plan.pair(MAX_PEERS - 1).peer_address.octets()[..2] == [198, 18]);
    }

    #[test]
    fn another_seed_makes_other_keys() {
        let other = Plan { seed: 2, ..PLAN };
        let key = |plan: &Plan| plan.keying_material(0, Direction::Inbound);
        assert_eq!(key(&PLAN), key(&PLAN));
        assert_ne!(key(&PLAN), key(&other));
    }
}
