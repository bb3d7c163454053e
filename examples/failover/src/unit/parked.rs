//! Packets that wait for the standby.

use std::collections::VecDeque;

/// Packets that may pass only when the standby has acknowledged a number. Bounded, and made once:
/// parking allocates nothing. When it is full the newest is dropped, as from any queue.
pub(super) struct Parked<T> {
    packets: VecDeque<(T, Packet)>,
}

/// A packet that was copied aside.
pub(super) struct Packet {
    len: usize,
    bytes: [u8; PACKET_LIMIT],
}

impl<T> Parked<T> {
    pub(super) fn new() -> Self {
        Self {
            packets: VecDeque::with_capacity(LIMIT),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// Copies a packet aside with what is known of it. Returns whether there was room.
    pub(super) fn park(&mut self, with: T, packet: &[u8]) -> bool {
        if self.packets.len() == LIMIT || packet.len() > PACKET_LIMIT {
            return false;
        }
        let mut copy = Packet {
            len: packet.len(),
            bytes: [0; PACKET_LIMIT],
        };
        copy.bytes[..packet.len()].copy_from_slice(packet);
        self.packets.push_back((with, copy));
        true
    }

    /// Takes the oldest.
    pub(super) fn take(&mut self) -> Option<(T, Packet)> {
        self.packets.pop_front()
    }

    /// Forgets all: the role is lost.
    pub(super) fn clear(&mut self) {
        self.packets.clear();
    }
}

impl Packet {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Packets that wait in one direction, at most.
const LIMIT: usize = 4096;
/// The longest that is parked, in bytes: what fits into an Ethernet frame.
const PACKET_LIMIT: usize = 1500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_in_order() {
        let mut parked = Parked::new();
        for index in 0..LIMIT {
            assert!(parked.park(index, &index.to_be_bytes()));
        }
        assert!(!parked.park(LIMIT, b"one too many"));
        let (first, packet) = parked.take().unwrap();
        assert_eq!((first, packet.bytes()), (0, &0_usize.to_be_bytes()[..]));
        assert!(!parked.park(LIMIT, &[0; PACKET_LIMIT + 1]));
        assert!(parked.park(LIMIT, &[0; PACKET_LIMIT]));
        assert_eq!(parked.len(), LIMIT);
        parked.clear();
        assert!(parked.is_empty());
    }
}
