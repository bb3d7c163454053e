//! What the simulated application does with its tables.

use core::time::Duration;
use std::sync::Arc;

use super::journal::{Op, Writing};
use super::rng::Rng;
use crate::checkpoint::{CheckpointClient, Shared};
use crate::time::Time;

/// An application with replicated tables, as the simulator sees it.
///
/// Its contents are *registers*: entries, numbered from 0 over all tables, whose value tells which
/// write put it ([`Op`]). The simulator starts the application on both units, lets it write on the
/// active one, and looks at the registers of either.
pub trait Workload {
    /// How many registers there are.
    fn registers(&self) -> usize;

    /// Registers that only ever change together, in one transaction: each show the same write, or
    /// all are absent.
    fn groups(&self) -> Vec<Vec<usize>> {
        Vec::new()
    }

    /// Bytes that all values take at most: what one transaction may carry.
    fn bytes(&self) -> usize;

    /// A unit starts, with nothing in memory: makes its tables.
    fn start(&mut self, unit: usize) -> Vec<Arc<dyn CheckpointClient>>;

    /// The active unit's application runs: it may write, and must note in the journal what it
    /// wrote. A write that is refused must not be noted.
    fn step(&mut self, at: &mut Writing<'_>);

    /// The time between two runs of a unit's data path, on average; `None` if the application has
    /// none beside the writes of [`step`](Self::step).
    fn traffic_interval(&self) -> Option<Duration> {
        None
    }

    /// A unit's data path runs, whether or not the unit is active, and without having asked its
    /// node: as threads of their own do. All it may rely on is what its tables tell it.
    fn traffic(&mut self, at: &mut Traffic<'_>) {
        let _ = at;
    }

    /// Which write a unit shows for a register; `None` if there is no entry; [`Op::ALIEN`] if the
    /// entry is not one that was ever written there.
    fn read(&self, unit: usize, register: usize) -> Option<Op>;

    /// Which write a unit shows for each register.
    fn view(&self, unit: usize, seen: &mut Vec<Option<Op>>) {
        seen.clear();
        seen.extend((0..self.registers()).map(|register| self.read(unit, register)));
    }

    /// Changes an entry of a unit behind the facility's back, to
    /// [`Op::corrupted`]. Returns which register, or `None` if it cannot.
    fn corrupt(&mut self, unit: usize, rng: &mut Rng) -> Option<usize> {
        let _ = (unit, rng);
        None
    }
}

/// The unit whose data path runs now.
pub struct Traffic<'a> {
    /// Its index.
    pub unit: usize,
    /// The time of the simulation: for networks and oracles.
    pub now: Time,
    /// The time that the unit's own clock shows: for the application.
    pub local: Time,
    /// Whether the process stood still until this moment, and its node has not been called since:
    /// it does not know yet what it missed.
    pub woke: bool,
    /// Whether faults are over for good.
    pub calm: bool,
    /// What its group shares with the application's threads.
    pub shared: &'a Shared,
    /// Where to draw from. Draws here do not shift those of the rest of the simulation.
    pub rng: &'a mut Rng,
}
