//! What must hold after each event of a simulation, one promise a file.

mod commits;
mod credit;
mod fencing;
mod replica;

use core::fmt;

pub use commits::CommitsSurvive;
pub use credit::MemoryIsBounded;
pub use fencing::TermsFence;
pub use replica::ReplicaWasReal;

use super::journal::Op;
use super::workload::Workload;
use super::world::World;

/// A promise that must hold after each event.
pub trait Invariant: Send {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Looks at the world after an event.
    ///
    /// # Errors
    /// When the promise is broken.
    fn check(&mut self, world: &World) -> Result<(), Violation>;

    /// What the promise still waits for once faults and writes are over, for people. The simulation
    /// ends when no promise waits any more, and fails if that takes longer than
    /// [`SimConfig::settling`](super::SimConfig::settling).
    fn awaits(&self, world: &World) -> Option<String> {
        let _ = world;
        None
    }

    /// Acknowledged state that was lost legitimately, because all units that held it crashed: the
    /// lineage, and what is left. From then on the oracle expects no more.
    fn losses(&mut self) -> Vec<(u64, Vec<Option<Op>>)> {
        Vec::new()
    }
}

/// How a promise was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The invariant.
    pub invariant: &'static str,
    /// What should have been.
    pub expected: String,
    /// What was.
    pub found: String,
}

impl Violation {
    /// Describes a broken promise.
    pub fn new(
        invariant: &'static str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self {
            invariant,
            expected: expected.into(),
            found: found.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is broken\n  expected: {}\n     found: {}",
            self.invariant, self.expected, self.found
        )
    }
}

/// All invariants of this crate.
pub(crate) fn all(workload: &dyn Workload) -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(CommitsSurvive::new()),
        Box::new(ReplicaWasReal::new(workload)),
        Box::new(TermsFence::new()),
        Box::new(MemoryIsBounded::new(workload)),
    ]
}
