//! The packets inside the tunnel: IPv4, UDP, and a number that shows whether they arrived.

use std::net::Ipv4Addr;

use super::Direction;

/// A packet between a host behind the peer and one in the LAN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inner {
    /// From where to where.
    pub direction: Direction,
    /// Number of the SA pair that it belongs to.
    pub flow: u32,
    /// Counts the packets of the flow in this direction, from 1 on.
    pub counter: u64,
    /// When it was sent, in nanoseconds of the sender's clock.
    pub sent_ns: u64,
}

/// Length of an inner packet, in bytes.
pub const INNER_LEN: usize = 64;

impl Inner {
    /// Writes the packet from `source` to `destination` into `buffer`.
    pub fn encode(&self, source: Ipv4Addr, destination: Ipv4Addr, buffer: &mut [u8; INNER_LEN]) {
        buffer.fill(0);
        buffer[0] = 0x45;
        buffer[2..4].copy_from_slice(&(INNER_LEN as u16).to_be_bytes());
        buffer[8] = 64; // time to live
        buffer[9] = UDP;
        buffer[12..16].copy_from_slice(&source.octets());
        buffer[16..20].copy_from_slice(&destination.octets());
        let checksum = !checksum(&buffer[..IP_LEN]);
        buffer[10..12].copy_from_slice(&checksum.to_be_bytes());
        // UDP without checksum, which IPv4 allows (RFC 768).
        let port = PORTS[self.direction.index()].to_be_bytes();
        buffer[20..22].copy_from_slice(&port);
        buffer[22..24].copy_from_slice(&port);
        buffer[24..26].copy_from_slice(&((INNER_LEN - IP_LEN) as u16).to_be_bytes());
        buffer[28..32].copy_from_slice(&MAGIC);
        buffer[32..36].copy_from_slice(&self.flow.to_be_bytes());
        buffer[36..44].copy_from_slice(&self.counter.to_be_bytes());
        buffer[44..52].copy_from_slice(&self.sent_ns.to_be_bytes());
    }

    /// Reads a packet; `None` if it is none of ours or was damaged.
    pub fn decode(packet: &[u8]) -> Option<Self> {
        let packet: &[u8; INNER_LEN] = packet.try_into().ok()?;
        let port = u16::from_be_bytes([packet[22], packet[23]]);
        let direction = Direction::BOTH
            .into_iter()
            .find(|direction| PORTS[direction.index()] == port)?;
        let intact = packet[0] == 0x45
            && packet[9] == UDP
            && packet[28..32] == MAGIC
            && checksum(&packet[..IP_LEN]) == 0xffff;
        intact.then(|| Self {
            direction,
            flow: u32::from_be_bytes([packet[32], packet[33], packet[34], packet[35]]),
            counter: number(&packet[36..44]),
            sent_ns: number(&packet[44..52]),
        })
    }
}

/// Source and destination of an IPv4 packet, which is what a policy looks at; `None` if it is
/// not one.
pub fn addresses(packet: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    if packet.len() < IP_LEN || packet[0] >> 4 != 4 {
        return None;
    }
    let address =
        |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
    Some((address(12), address(16)))
}

fn number(bytes: &[u8]) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(bytes);
    u64::from_be_bytes(number)
}

/// The ones' complement sum of RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2);
    let mut sum: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

const IP_LEN: usize = 20;
const UDP: u8 = 17;
const MAGIC: [u8; 4] = *b"flow";
/// One port for each direction.
const PORTS: [u16; 2] = [4001, 4002];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_survive_and_damaged_ones_are_none() {
        for direction in Direction::BOTH {
            let packet = Inner {
                direction,
                flow: 70_000,
                counter: 1 << 40,
                sent_ns: 99,
            };
            let [source, destination] = [[10, 0, 0, 1], [10, 129, 0, 2]].map(Ipv4Addr::from);
            let mut bytes = [0; INNER_LEN];
            packet.encode(source, destination, &mut bytes);
            assert_eq!(Inner::decode(&bytes), Some(packet));
            assert_eq!(addresses(&bytes), Some((source, destination)));
            for at in 0..IP_LEN {
                let mut damaged = bytes;
                damaged[at] ^= 0x10;
                assert_eq!(Inner::decode(&damaged), None, "byte {at}");
            }
            assert_eq!(Inner::decode(&bytes[1..]), None);
            assert_eq!(addresses(&bytes[..19]), None);
        }
    }

    #[test]
    fn the_header_checksum_is_that_of_a_known_packet() {
        // From RFC 1071's sum over a header that every textbook shows.
        let header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8,
            0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7,
        ];
        assert_eq!(checksum(&header), 0xffff);
    }
}
