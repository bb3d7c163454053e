//! What the simulated application does with its tables.

use std::sync::Arc;

use super::journal::{Op, Writing};
use super::rng::Rng;
use crate::checkpoint::CheckpointClient;

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
