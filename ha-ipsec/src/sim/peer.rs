//! The remote peer of an SA pair, and what an attacker has seen of it.

use core::fmt;
use std::collections::BTreeSet;

use ha_core::sim::Rng;

/// The peer's ends of one pair of SAs.
///
/// Its code shares nothing with what is tested.
pub(super) struct Peer {
    esn: bool,
    /// The last number it sent.
    sent: u64,
    /// Long gaps that it may still leave: with more, none received in between, the high half of a
    /// number cannot be inferred any more.
    leaps: u8,
    /// Numbers that it sent: an attacker may send any again.
    log: Vec<u64>,
    /// The highest number it accepted, and those below it.
    top: u64,
    seen: BTreeSet<u64>,
}

impl Peer {
    pub(super) fn new(esn: bool) -> Self {
        Self {
            esn,
            sent: 0,
            leaps: 2,
            log: Vec::new(),
            top: 0,
            seen: BTreeSet::new(),
        }
    }

    /// Sends a burst of packets, with gaps at times: the numbers.
    pub(super) fn send(&mut self, rng: &mut Rng, calm: bool) -> Vec<u64> {
        let burst = if rng.chance(30) { 200 } else { 6 };
        let mut numbers = Vec::new();
        let burst = if calm { 60 } else { rng.range(1..=burst) };
        for _ in 0..burst {
            let skipped = if calm { 0 } else { self.skip(rng) };
            let next = self.sent + 1 + skipped;
            if !self.esn && next > u64::from(u32::MAX) {
                break;
            }
            self.sent = next;
            numbers.push(next);
        }
        self.log.extend_from_slice(&numbers);
        numbers
    }

    fn skip(&mut self, rng: &mut Rng) -> u64 {
        match rng.below(1000) {
            0..2 if self.leaps > 0 => {
                self.leaps -= 1;
                rng.range(1..=1 << 29)
            }
            2..40 => rng.range(1..=300),
            _ => 0,
        }
    }

    /// Packets that an attacker has recorded: recent ones more often.
    pub(super) fn recorded(&self, rng: &mut Rng) -> Vec<u64> {
        let Some(last) = self.log.len().checked_sub(1) else {
            return Vec::new();
        };
        let reach = if rng.chance(700) { last.min(300) } else { last };
        let from = last - rng.index(reach + 1);
        let count = if rng.chance(300) { 100 } else { 3 };
        self.log.iter().copied().skip(from).take(count).collect()
    }

    /// A packet of the gateway arrives: whether the peer takes it.
    pub(super) fn receive(&mut self, number: u64) -> bool {
        // Under another number the integrity check fails.
        if self.infer(number as u32) != number || number + WINDOW <= self.top {
            return false;
        }
        self.top = self.top.max(number);
        let keep = self.seen.split_off(&(self.top.saturating_sub(WINDOW)));
        self.seen = keep;
        self.seen.insert(number)
    }

    /// RFC 4303 appendix A2.2: the number with these low bits that is nearest above the bottom of
    /// the window.
    fn infer(&self, low: u32) -> u64 {
        if !self.esn {
            return u64::from(low);
        }
        let bottom = (self.top + 1).saturating_sub(WINDOW);
        let candidate = bottom & !u64::from(u32::MAX) | u64::from(low);
        if candidate < bottom {
            candidate + (1 << 32)
        } else {
            candidate
        }
    }
}

/// Of the peer, in packets.
const WINDOW: u64 = 64;

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { esn, sent, top, .. } = self;
        write!(f, "ESN {esn}, sent up to {sent}, received up to {top}")
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn the_peer_takes_each_packet_once() {
        let mut peer = Peer::new(true);
        assert!(peer.receive(1) && peer.receive(70) && peer.receive(69));
        assert!(!peer.receive(69), "a duplicate");
        assert!(!peer.receive(2), "too old");
        assert!(
            peer.receive((1 << 32) - 10),
            "inferred across less than 2^32"
        );
        assert!(peer.receive((1 << 32) + 5));
        assert!(
            !peer.receive((3 << 32) + 7),
            "inferred wrongly, as its integrity check tells"
        );
    }

    #[test]
    fn an_attacker_sees_what_was_sent() {
        let mut rng = Rng::new(1);
        let mut peer = Peer::new(false);
        assert!(peer.recorded(&mut rng).is_empty());
        let sent: Vec<u64> = (0..50).flat_map(|_| peer.send(&mut rng, false)).collect();
        assert!(sent.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(
            peer.recorded(&mut rng)
                .iter()
                .all(|number| sent.contains(number))
        );
    }
}
