//! Where the world's threads write down what they see.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::wire::{Direction, Gateway};

/// The clock of a run, the same for all taps.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that begins now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the beginning.
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// One thing that happened outside of the units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// When, in nanoseconds of the run's [`Clock`].
    pub at_ns: u64,
    /// The packet's number: its sequence number for ESP, else its number within the flow.
    pub number: u64,
    /// The SA pair of the packet.
    pub sa: u32,
    /// The unit concerned, if any.
    pub unit: Option<Gateway>,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// A packet was forwarded to the unit that holds the virtual address; `unit` is `None` if none
    /// does. For inbound ones seen on the wire, for outbound ones sent by the LAN; in both cases
    /// the sequence number of the sender, which for the LAN is a count.
    Sent(Direction),
    /// A unit put an ESP packet on the wire.
    Esp,
    /// A packet reached its host: it is in the LAN, or the remote site has decrypted it.
    Delivered(Direction),
    /// The remote site's replay check refused an ESP packet of the gateway.
    RemoteReplay,
    /// The remote site could not authenticate or understand a packet of the gateway.
    RemoteRefused,
    /// The attacker's copy of a packet was forwarded to a unit.
    Injected,
    /// A packet of the gateway's own came back out of it into the LAN: a reflection accepted.
    Reflected,
    /// A unit claimed the virtual address, on the outside or in the LAN.
    Claimed,
}

/// The writing end. Events become visible in batches.
#[derive(Debug)]
pub struct Tap {
    clock: Clock,
    batch: Vec<Event>,
    log: Log,
}

/// The reading end.
#[derive(Clone, Default, Debug)]
pub struct Log(Arc<Mutex<Vec<Event>>>);

impl Tap {
    /// A tap that writes to `log`.
    pub fn new(clock: Clock, log: Log) -> Self {
        let batch = Vec::with_capacity(1024);
        Self { clock, batch, log }
    }

    /// The clock of the run.
    pub fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// Writes down an event of which the time is known.
    pub fn write(&mut self, event: Event) {
        self.batch.push(event);
    }

    /// Makes what was written visible.
    pub fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.log.0.lock().append(&mut self.batch);
        }
    }
}

impl Log {
    /// Takes what was written since the last call, in order of time.
    pub fn drain(&self) -> Vec<Event> {
        core::mem::take(&mut self.0.lock())
    }
}
