//! Liveness: once all is calm, each SA of the active unit sends and receives again, unless the
//! database asked for its rekey: its counters did not get here, or its numbers are used up.

use std::sync::{Arc, Mutex};

use ha_core::sim::{Invariant, Violation, World};

use crate::sim::locked;
use crate::sim::oracle::Oracle;

/// Traffic recovers.
pub(crate) struct Recovers {
    pub(crate) oracle: Arc<Mutex<Oracle>>,
    /// Registers that are pairs of SAs.
    pub(crate) pairs: usize,
}

impl Invariant for Recovers {
    fn name(&self) -> &'static str {
        "traffic recovers"
    }

    fn check(&mut self, _: &World) -> Result<(), Violation> {
        Ok(())
    }

    fn awaits(&self, world: &World) -> Option<String> {
        let mut oracle = locked(&self.oracle);
        oracle.recovery.is_awaited = true;
        let active = world.active()?;
        let live = (0..self.pairs).filter(|pair| world.workload().read(active, *pair).is_some());
        let live = live.filter(|pair| !oracle.recovery.rekeys[active].contains(pair));
        live.flat_map(|pair| [(pair, false), (pair, true)])
            .find(|way| !oracle.recovery.moved.contains(way))
            .map(|(pair, inbound)| {
                let way = if inbound { "from" } else { "to" };
                let why = oracle.recovery.obstacles.get(&(pair, inbound));
                let why = why.map_or("there is none", String::as_str);
                format!("no packet {way} the peer of pair {pair} gets through: {why}")
            })
    }
}
