//! Traffic over time, in bounded memory.

use crate::wire::Direction;

/// Packets of one stretch of time.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Bucket {
    /// Sent, by direction.
    pub sent: [u32; 2],
    /// Delivered, by direction.
    pub delivered: [u32; 2],
}

/// Packets over time. When the run gets long, each two buckets become one.
#[derive(Clone, Debug)]
pub struct Timeline {
    width_ns: u64,
    buckets: Vec<Bucket>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            width_ns: FIRST_WIDTH_NS,
            buckets: Vec::new(),
        }
    }
}

impl Timeline {
    /// Counts a packet that was sent.
    pub fn sent(&mut self, direction: Direction, at_ns: u64) {
        self.bucket(at_ns).sent[direction.index()] += 1;
    }

    /// Counts a packet that was delivered.
    pub fn delivered(&mut self, direction: Direction, at_ns: u64) {
        self.bucket(at_ns).delivered[direction.index()] += 1;
    }

    /// Length of a bucket, in nanoseconds.
    pub fn width_ns(&self) -> u64 {
        self.width_ns
    }

    /// The buckets from the beginning of the run on.
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    fn bucket(&mut self, at_ns: u64) -> &mut Bucket {
        while at_ns / self.width_ns >= MAX_BUCKETS {
            self.halve();
        }
        let index = (at_ns / self.width_ns) as usize;
        if self.buckets.len() <= index {
            self.buckets.resize(index + 1, Bucket::default());
        }
        &mut self.buckets[index]
    }

    fn halve(&mut self) {
        self.width_ns *= 2;
        let both = |two: &[Bucket]| {
            let mut sum = Bucket::default();
            for bucket in two {
                for direction in 0..2 {
                    sum.sent[direction] += bucket.sent[direction];
                    sum.delivered[direction] += bucket.delivered[direction];
                }
            }
            sum
        };
        self.buckets = self.buckets.chunks(2).map(both).collect();
    }
}

const FIRST_WIDTH_NS: u64 = 20_000_000;
const MAX_BUCKETS: u64 = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_packet_is_lost_when_buckets_merge() {
        let mut timeline = Timeline::default();
        let times = 100_000;
        for index in 0..times {
            timeline.sent(Direction::Inbound, index * 10_000_000);
            timeline.delivered(Direction::Outbound, index * 10_000_000);
        }
        assert!(timeline.buckets().len() <= MAX_BUCKETS as usize);
        assert!(timeline.width_ns() > FIRST_WIDTH_NS);
        let sum = |count: fn(&Bucket) -> u32| timeline.buckets().iter().map(count).sum::<u32>();
        assert_eq!(u64::from(sum(|bucket| bucket.sent[0])), times);
        assert_eq!(u64::from(sum(|bucket| bucket.delivered[1])), times);
        assert_eq!(sum(|bucket| bucket.sent[1] + bucket.delivered[0]), 0);
    }
}
