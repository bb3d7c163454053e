//! One unit's packet path: what it holds of the database, and packets that wait.

use core::time::Duration;
use std::sync::Arc;

use ha_core::sim::Rng;
use ha_core::time::Time;

use super::sas::{inbound_id, outbound_id};
use crate::replay::{Accept, Parked, Pending};
use crate::sad::{InboundSa, LookupError, OutboundSa, Sad};

/// A unit's database, and the threads that pass packets.
pub(super) struct Gateway {
    pub(super) sad: Sad,
    /// Handles that threads keep; some of them for too long.
    outbound: Vec<Option<Arc<OutboundSa>>>,
    inbound: Vec<Option<Arc<InboundSa>>>,
    parked: Parked<Waiting>,
    is_calm: bool,
}

/// A packet that waits for the standby.
struct Waiting {
    pair: usize,
    sa: Arc<InboundSa>,
    number: u64,
}

/// A packet that may go at last.
pub(super) struct Released {
    pub(super) pair: usize,
    pub(super) sa: Arc<InboundSa>,
    pub(super) number: u64,
    pub(super) exposed: bool,
}

impl Gateway {
    pub(super) fn new(sad: Sad, pairs: usize, rng: &mut Rng) -> Self {
        let capacity = rng.pick(&[1, 16, 200]).unwrap_or(16);
        Self {
            sad,
            outbound: vec![None; pairs],
            inbound: vec![None; pairs],
            parked: Parked::new(capacity, PATIENCE),
            is_calm: false,
        }
    }

    /// Faults are over: nothing is lost any more for want of room to wait in.
    pub(super) fn calm_down(&mut self) {
        if !core::mem::replace(&mut self.is_calm, true) {
            self.parked = Parked::new(2_000, PATIENCE);
        }
    }

    /// A thread's handle to send with. The second: whether the table does not have it any more.
    pub(super) fn outbound(
        &mut self,
        pair: usize,
        rng: &mut Rng,
    ) -> Result<(Arc<OutboundSa>, bool), LookupError> {
        let found = || self.sad.outbound(&outbound_id(pair));
        refresh(&mut self.outbound[pair], found, rng)
    }

    /// A thread's handle to receive with.
    pub(super) fn inbound(
        &mut self,
        pair: usize,
        rng: &mut Rng,
    ) -> Result<(Arc<InboundSa>, bool), LookupError> {
        let found = || self.sad.inbound(&inbound_id(pair));
        refresh(&mut self.inbound[pair], found, rng)
    }

    /// A packet has to wait. If there is no room it is dropped.
    pub(super) fn park(&mut self, pending: Pending, pair: usize, sa: Arc<InboundSa>, now: Time) {
        let number = pending.number();
        self.parked.park(pending, Waiting { pair, sa, number }, now);
    }

    /// Packets that need not wait any longer.
    pub(super) fn released(&mut self, now: Time) -> Vec<Released> {
        let mut released = Vec::new();
        self.parked.retry(
            self.sad.acknowledgements(),
            now,
            |waiting, pending| -> Accept { waiting.sa.retry(pending) },
            |Waiting { pair, sa, number }, exposed| {
                released.push(Released {
                    pair,
                    sa,
                    number,
                    exposed,
                });
            },
        );
        released
    }
}

/// How long a packet waits for the standby.
const PATIENCE: Duration = Duration::from_millis(500);

/// A thread uses the handle that it has, most of the time, and also some time after the table does
/// not know it any more.
fn refresh<T>(
    kept: &mut Option<Arc<T>>,
    found: impl FnOnce() -> Result<Arc<T>, LookupError>,
    rng: &mut Rng,
) -> Result<(Arc<T>, bool), LookupError> {
    if let Some(sa) = kept.as_ref().filter(|_| rng.chance(900)) {
        let sa = Arc::clone(sa);
        let stale = found().map_or(true, |now| !Arc::ptr_eq(&now, &sa));
        return Ok((sa, stale));
    }
    *kept = None;
    let sa = found()?;
    *kept = Some(Arc::clone(&sa));
    Ok((sa, false))
}
