//! Promises P1 and P2 in the simulator of `ha-core`: two gateways, their peers, an attacker.
//!
//! [`run`] makes, from a seed, two units with an SA database each ([`Sad`](crate::sad::Sad)).
//! The active one's application creates, rekeys and deletes SAs. On both, active or not, paused by a
//! hair or not, packet paths send and receive with nothing but the handles of the database, among
//! them stale ones. A peer for each pair of SAs sends in bursts and with gaps, over a network that
//! delays, loses, doubles and misroutes; an attacker sends again whatever it likes.
//!
//! An oracle sees it all, and three invariants are asked after each event, beside those of `ha-core`
//! (P3 to P6) on the same runs:
//!
//! - P1, no sequence number is used twice, without exception;
//! - P2, no replay is accepted, but for what the policies expose, derived in `invariants/replay.rs`;
//! - once all is calm, each SA sends and receives again.
//!
//! What it does not do: threads within a unit (loom models do), and cryptography: a key is a number,
//! and a packet that does not fit it is one whose integrity check fails.

mod client;
mod coverage;
mod gateway;
mod invariants;
mod oracle;
mod peer;
mod planted;
mod sas;
mod traffic;
mod wire;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ha_core::sim::{Failure, SimConfig, Simulation, Trace};

pub use coverage::Coverage;
pub use planted::Planted;

use invariants::{NoReplayAccepted, NoSequenceReuse, Recovers};
use oracle::Oracle;
use traffic::SaTraffic;

/// Counts of a run: of the core, and of packets.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    /// What the pair went through.
    pub pair: ha_core::sim::Coverage,
    /// What packets went through.
    pub packets: Coverage,
}

impl Counts {
    /// Adds another simulation's counts.
    pub fn add(&mut self, other: &Self) {
        self.pair.add(&other.pair);
        self.packets.add(&other.packets);
    }

    /// What was never exercised, of all that should be.
    pub fn missing(&self) -> Vec<&'static str> {
        // No table is changed here behind the facility's back.
        let pair = self
            .pair
            .missing()
            .into_iter()
            .filter(|name| *name != "corruptions");
        pair.chain(self.packets.missing()).collect()
    }
}

/// Runs the simulation that a seed stands for, with protections left out.
///
/// # Errors
/// The first promise that was broken.
pub fn run(seed: u64, planted: Planted, trace: Option<Trace>) -> Result<Counts, Failure> {
    let oracle = Arc::<Mutex<Oracle>>::default();
    let traffic = SaTraffic::new(seed, planted, Arc::clone(&oracle));
    let recovers = Recovers {
        oracle: Arc::clone(&oracle),
        pairs: traffic.pairs(),
    };
    let mut simulation = Simulation::new(SimConfig::from_seed(seed), Box::new(traffic))
        .check(Box::new(NoSequenceReuse(Arc::clone(&oracle))))
        .check(Box::new(NoReplayAccepted(Arc::clone(&oracle))))
        .check(Box::new(recovers));
    if let Some(trace) = trace {
        simulation = simulation.traced(trace);
    }
    let pair = simulation.run()?;
    let packets = locked(&oracle).coverage;
    Ok(Counts { pair, packets })
}

/// All of a simulation runs on one thread; the lock is only there because invariants may be sent.
fn locked(oracle: &Mutex<Oracle>) -> MutexGuard<'_, Oracle> {
    oracle.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
