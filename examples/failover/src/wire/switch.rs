//! Who holds the virtual address: what a switch learns from gratuitous ARPs.

use std::net::SocketAddr;

use super::Gateway;

/// What a unit sends, from the socket it works with, when it takes the virtual address: our
/// gratuitous ARP. As with ARP, nothing proves it.
///
/// It begins with four zero bytes, where ESP has its SPI (RFC 3948 §2.2: the non-ESP marker) and
/// an IP packet its version, so it cannot be mistaken for either.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// Who claims.
    pub unit: Gateway,
    /// Grows with each takeover of the pair (the term of the redundancy facility does). 0 only
    /// says where the unit's socket is, and claims nothing. The switch does not judge by it: a
    /// later claim wins, whatever it says.
    pub term: u64,
}

impl Claim {
    /// Length of an encoded claim, in bytes.
    pub const LEN: usize = 17;

    /// The bytes on the wire.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[4..8].copy_from_slice(&MAGIC);
        bytes[8] = self.unit as u8;
        bytes[9..].copy_from_slice(&self.term.to_be_bytes());
        bytes
    }

    /// The claim in a datagram; `None` if it is something else.
    pub fn decode(datagram: &[u8]) -> Option<Self> {
        let (head, rest) = datagram.split_first_chunk::<8>()?;
        let (unit, term) = rest.split_first()?;
        if head[..4] != [0; 4] || head[4..] != MAGIC {
            return None;
        }
        Some(Self {
            unit: Gateway::from_index(usize::from(*unit))?,
            term: u64::from_be_bytes(term.try_into().ok()?),
        })
    }
}

/// Where a datagram came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// From the socket of a unit.
    Unit(Gateway),
    /// From elsewhere.
    Other,
}

/// The table of a switch with two interesting ports.
#[derive(Clone, Default, Debug)]
pub struct Switch {
    sockets: [Option<SocketAddr>; 2],
    holder: Option<Gateway>,
}

impl Switch {
    /// Learns from a claim that came from `from`. Returns whether the virtual address moved.
    pub fn learn(&mut self, claim: Claim, from: SocketAddr) -> bool {
        self.sockets[claim.unit.index()] = Some(from);
        let moved = claim.term > 0 && self.holder != Some(claim.unit);
        if moved {
            self.holder = Some(claim.unit);
        }
        moved
    }

    /// Whose socket this is.
    pub fn source(&self, from: SocketAddr) -> Source {
        let known = |unit: &Gateway| self.sockets[unit.index()] == Some(from);
        Gateway::BOTH
            .into_iter()
            .find(known)
            .map_or(Source::Other, Source::Unit)
    }

    /// The socket of the unit that does not hold the virtual address, if it is known.
    pub fn other(&self) -> Option<SocketAddr> {
        self.sockets[self.holder?.other().index()]
    }

    /// The unit that holds the virtual address, and its socket.
    pub fn holder(&self) -> Option<(Gateway, SocketAddr)> {
        let unit = self.holder?;
        Some((unit, self.sockets[unit.index()]?))
    }
}

const MAGIC: [u8; 4] = *b"GARP";

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn claims_survive_the_wire_and_nothing_else_is_one() {
        let claim = Claim {
            unit: Gateway::B,
            term: 7,
        };
        let bytes = claim.encode();
        assert_eq!(Claim::decode(&bytes), Some(claim));
        for len in 0..bytes.len() {
            assert_eq!(Claim::decode(&bytes[..len]), None);
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert_eq!(Claim::decode(&longer), None);
        for byte in 0..9 {
            let mut other = bytes;
            other[byte] ^= 0x40;
            assert_eq!(Claim::decode(&other), None, "byte {byte}");
        }
    }

    #[test]
    fn the_last_claim_wins_even_with_an_older_term() {
        let mut switch = Switch::default();
        let claim = |unit, term| Claim { unit, term };
        assert!(!switch.learn(claim(Gateway::A, 0), at(1)));
        assert_eq!(switch.holder(), None);
        assert_eq!(switch.source(at(1)), Source::Unit(Gateway::A));
        assert!(switch.learn(claim(Gateway::A, 5), at(1)));
        assert!(switch.learn(claim(Gateway::B, 6), at(2)));
        assert!(!switch.learn(claim(Gateway::B, 6), at(2)));
        assert_eq!(switch.holder(), Some((Gateway::B, at(2))));
        assert_eq!(switch.other(), Some(at(1)));
        assert!(switch.learn(claim(Gateway::A, 5), at(3)));
        assert_eq!(switch.holder(), Some((Gateway::A, at(3))));
        assert_eq!(switch.source(at(1)), Source::Other);
    }
}
