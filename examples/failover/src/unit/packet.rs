//! Packets that wait for the standby.

use std::collections::VecDeque;

/// A packet that was copied aside, without an allocation.
pub(super) struct Packet {
    len: usize,
    bytes: [u8; LENGTH_LIMIT],
}

impl Packet {
    /// Copies a packet; `None` if it is longer than any that this gateway carries.
    pub(super) fn copy(packet: &[u8]) -> Option<Self> {
        let mut bytes = [0; LENGTH_LIMIT];
        bytes.get_mut(..packet.len())?.copy_from_slice(packet);
        let len = packet.len();
        Some(Self { len, bytes })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Packets that got no number yet, each with its SA. Bounded; its room is allocated once.
pub(super) struct Queue<S> {
    packets: VecDeque<(S, Packet)>,
}

impl<S> Queue<S> {
    pub(super) fn new() -> Self {
        Self {
            packets: VecDeque::with_capacity(super::WAITING_LIMIT),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Appends a packet. Without room it is lost, as from any full queue.
    pub(super) fn push(&mut self, sa: S, packet: Packet) {
        if self.packets.len() < super::WAITING_LIMIT {
            self.packets.push_back((sa, packet));
        }
    }

    /// Takes each packet once, the oldest first, and keeps those for which `send` says so.
    pub(super) fn retain(&mut self, mut send: impl FnMut(&S, &Packet) -> Keep) {
        for _ in 0..self.packets.len() {
            let Some((sa, packet)) = self.packets.pop_front() else {
                return;
            };
            if send(&sa, &packet) == Keep::Yes {
                self.packets.push_back((sa, packet));
            }
        }
    }
}

/// Whether a packet goes on waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keep {
    Yes,
    No,
}

/// The longest packet, in bytes: what an Ethernet frame carries.
pub(super) const LENGTH_LIMIT: usize = 1500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_has_a_limit() {
        let packet = Packet::copy(&[7; LENGTH_LIMIT]).unwrap();
        assert_eq!(packet.bytes(), [7; LENGTH_LIMIT]);
        assert!(Packet::copy(&[7; LENGTH_LIMIT + 1]).is_none());
        assert!(Packet::copy(b"").unwrap().bytes().is_empty());
    }

    #[test]
    fn the_queue_is_bounded_and_in_order() {
        let mut queue = Queue::new();
        let limit = super::super::WAITING_LIMIT;
        for index in 0..=limit {
            queue.push(index, Packet::copy(&index.to_be_bytes()).unwrap());
        }
        let mut seen = Vec::new();
        queue.retain(|index, packet| {
            assert_eq!(packet.bytes(), index.to_be_bytes());
            seen.push(*index);
            if index % 2 == 0 { Keep::Yes } else { Keep::No }
        });
        assert_eq!(seen, (0..limit).collect::<Vec<_>>(), "one did not fit");
        let mut left = 0;
        queue.retain(|index, _| {
            assert_eq!(index % 2, 0);
            left += 1;
            Keep::No
        });
        assert_eq!(left, limit / 2);
        assert!(queue.is_empty());
    }
}
