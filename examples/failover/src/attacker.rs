//! The attacker: listens on the outside line, and sends copies of what it heard.
//!
//! It keeps a random sample of all packets so far and the most recent ones, which at a takeover
//! are those that the new unit is least likely to know of. It sends copies of both directions to
//! the virtual address: those of the remote site are replays, those of the gateway reflections.
//! The relay brings them to both units, except in a partition ([`World::begin`]).
//! Of the former it uses only packets that were delivered, so that whatever passes is a replay
//! and not a late arrival.
//!
//! [`World::begin`]: crate::world::World::begin

use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::sleep;

use crate::wire::Direction;
use crate::wire::socket::{self, Sender};

/// A packet that was heard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heard {
    /// Its direction.
    pub direction: Direction,
    /// Its SA pair.
    pub sa: u32,
    /// Its sequence number.
    pub number: u64,
    /// All of it.
    pub packet: Box<[u8]>,
}

/// What was heard; shared with the relay.
#[derive(Clone, Debug)]
pub struct Capture(Arc<Mutex<[Sample; 2]>>);

/// A bounded sample of one direction.
#[derive(Debug)]
struct Sample {
    random: u64,
    /// Packets heard so far.
    heard: u64,
    /// Each packet heard so far is in it with the same probability.
    whole: Vec<Heard>,
    recent: VecDeque<Heard>,
}

impl Capture {
    /// An empty capture.
    pub fn new(seed: u64) -> Self {
        let sample = |direction: Direction| Sample {
            random: (seed ^ direction as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            heard: 0,
            whole: Vec::new(),
            recent: VecDeque::new(),
        };
        Self(Arc::new(Mutex::new(Direction::BOTH.map(sample))))
    }

    /// Hears a packet.
    pub fn offer(&self, direction: Direction, sa: u32, number: u64, packet: &[u8]) {
        let heard = Heard {
            direction,
            sa,
            number,
            packet: packet.into(),
        };
        self.0.lock()[direction.index()].add(heard);
    }

    /// All that is kept of one direction.
    pub fn kept(&self, direction: Direction) -> Vec<Heard> {
        let samples = self.0.lock();
        let sample = &samples[direction.index()];
        sample.whole.iter().chain(&sample.recent).cloned().collect()
    }
}

impl Sample {
    fn add(&mut self, heard: Heard) {
        self.heard += 1;
        if self.recent.len() == RECENT {
            // Algorithm R: the n-th packet replaces one of k with probability k/n.
            if let Some(older) = self.recent.pop_front() {
                self.keep(older);
            }
        }
        self.recent.push_back(heard);
    }

    fn keep(&mut self, older: Heard) {
        if self.whole.len() < WHOLE {
            self.whole.push(older);
            return;
        }
        let seen = self.heard - RECENT as u64;
        let place = self.draw() % seen;
        if let Some(place) = usize::try_from(place)
            .ok()
            .and_then(|place| self.whole.get_mut(place))
        {
            *place = older;
        }
    }

    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 8
    }
}

/// The attacker's own socket.
pub struct Attacker {
    sender: Sender,
    target: SocketAddr,
}

impl Attacker {
    /// An attacker on `socket`, who sends to `target`.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(socket: std::net::UdpSocket, target: SocketAddr) -> io::Result<Self> {
        let (_, sender) = socket::adopt(socket)?;
        Ok(Self { sender, target })
    }

    /// Sends the packets, not faster than a gateway can read them beside its work.
    pub async fn inject(&mut self, packets: &[Heard]) {
        for burst in packets.chunks(BURST) {
            for heard in burst {
                self.sender.send(self.target, &heard.packet);
            }
            self.sender.flush();
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Packets of a direction that are kept of all that were heard.
const WHOLE: usize = 1024;
/// Packets of a direction that are kept because they are the latest.
const RECENT: usize = 1024;
/// Packets sent at once.
const BURST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_bounded_recent_and_fair() {
        let capture = Capture::new(1);
        let all = 50_000;
        for number in 0..all {
            capture.offer(Direction::Inbound, 0, number, &[1, 2, 3]);
        }
        let kept = capture.kept(Direction::Inbound);
        assert_eq!(kept.len(), WHOLE + RECENT);
        assert!(capture.kept(Direction::Outbound).is_empty());
        let recent = kept[WHOLE..].iter().map(|heard| heard.number);
        assert!(recent.eq(all - RECENT as u64..all));
        // A quarter of the sample from each quarter of the time; the seed is fixed.
        let older = all - RECENT as u64;
        for quarter in 0..4 {
            let range = older * quarter / 4..older * (quarter + 1) / 4;
            let of_it = kept[..WHOLE].iter();
            let count = of_it.filter(|heard| range.contains(&heard.number)).count();
            assert!((200..=312).contains(&count), "quarter {quarter}: {count}");
        }
    }
}
