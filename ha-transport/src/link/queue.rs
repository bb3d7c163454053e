//! One bounded queue per lane.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::lane::Lane;
use crate::limits::{LinkLimits, MESSAGE_OVERHEAD_BYTES};

/// The queues of one direction of a link.
#[derive(Default, Debug)]
pub(super) struct LaneQueues([LaneQueue; 3]);

#[derive(Default, Debug)]
struct LaneQueue {
    messages: VecDeque<Bytes>,
    cost: usize,
}

impl LaneQueues {
    /// Appends `message`, or gives it back if the lane is full.
    pub(super) fn push(
        &mut self,
        lane: Lane,
        message: Bytes,
        limits: &LinkLimits,
    ) -> Result<(), Bytes> {
        let queue = &mut self.0[lane.index()];
        let cost = cost_of(&message);
        let full = queue.cost.saturating_add(cost) > limits.lane(lane).queue_bytes;
        if full && !queue.messages.is_empty() {
            return Err(message);
        }
        queue.cost += cost;
        queue.messages.push_back(message);
        Ok(())
    }

    /// Takes the next message of the highest lane that has one.
    pub(super) fn pop(&mut self) -> Option<(Lane, Bytes)> {
        Lane::ALL
            .into_iter()
            .find_map(|lane| Some((lane, self.pop_lane(lane)?)))
    }

    /// Takes the next message of `lane`.
    pub(super) fn pop_lane(&mut self, lane: Lane) -> Option<Bytes> {
        let queue = &mut self.0[lane.index()];
        let message = queue.messages.pop_front()?;
        queue.cost -= cost_of(&message);
        if queue.messages.is_empty() && queue.messages.capacity() > IDLE_CAPACITY {
            // A burst of tiny messages must not hold its memory for the life of the link.
            queue.messages = VecDeque::new();
        }
        Some(message)
    }

    pub(super) fn queued_bytes(&self, lane: Lane) -> usize {
        self.0[lane.index()].cost
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn cost_of(message: &Bytes) -> usize {
    message.len() + MESSAGE_OVERHEAD_BYTES
}

/// Places that an empty queue keeps.
const IDLE_CAPACITY: usize = 1024;
