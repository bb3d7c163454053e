//! A deterministic simulator of two units, for this crate's promises and for your own clients.
//!
//! One seed fixes everything: timers, clocks, delays, faults, writes. A [`Simulation`] runs two
//! [`Node`](crate::node::Node)s in virtual time over an adversarial network, crashes, stops and
//! cuts off units, lets a [`Workload`] write on whichever is active, and asks each [`Invariant`]
//! after each event. After a *safety phase* of faults comes a *liveness phase* without: the pair
//! must return to ACTIVE and STANDBY HOT, and once the writing ends, both tables must be equal.
//!
//! ```
//! use ha_core::sim::Simulation;
//!
//! let coverage = Simulation::from_seed(1).run().map_err(|failure| failure.to_string())?;
//! assert!(coverage.puts > 0);
//! # Ok::<(), String>(())
//! ```
//!
//! To test a client of your own, implement [`Workload`] for it and hand it to
//! [`Simulation::new`]; more promises of your own are [`Invariant`]s, added with
//! [`Simulation::check`]. An application whose threads use a table without asking the node, as a
//! packet path does, runs them in [`Workload::traffic`]: also on a unit that woke up and does not
//! know yet that it lost the role, or whose node alone stands still.
//!
//! What it does not do: threads (loom models in [`sync`](crate::sync) do), real sockets, and
//! messages that a correct transport never lets through (fuzzing does).

mod adversary;
mod agenda;
mod clock;
mod config;
mod coverage;
mod flaky;
pub mod invariants;
mod journal;
mod network;
mod registers;
mod rng;
mod trace;
mod unit;
mod workload;
mod world;

use core::fmt;
use core::time::Duration;

pub use config::{Adversity, Fault, SimConfig};
pub use coverage::Coverage;
pub use invariants::{Invariant, Violation};
pub use journal::{Journal, Op, Resolution, Write, Writing};
pub use registers::Registers;
pub use rng::Rng;
pub use unit::{Stand, Unit};
pub use workload::{Traffic, Workload};
pub use world::{GROUP, Happened, Trace, World};

use crate::redundancy::RfState;
use crate::time::Time;

/// One run, from a seed to a verdict.
pub struct Simulation {
    world: World,
    invariants: Vec<Box<dyn Invariant>>,
}

/// A promise was broken.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed that shows it.
    pub seed: u64,
    /// When.
    pub at: Time,
    /// What.
    pub violation: Violation,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            at,
            violation,
        } = self;
        write!(f, "seed {seed} at {at}: {violation}")
    }
}

impl core::error::Error for Failure {}

impl Simulation {
    /// The simulation that a seed stands for, with the workload and the invariants of this crate.
    pub fn from_seed(seed: u64) -> Self {
        Self::new(
            SimConfig::from_seed(seed),
            Box::new(Registers::from_seed(seed)),
        )
    }

    /// A simulation of a client of your own, with this crate's invariants.
    ///
    /// # Panics
    /// When a setting is out of the range that [`NodeConfig`](crate::node::NodeConfig) allows.
    pub fn new(config: SimConfig, workload: Box<dyn Workload>) -> Self {
        let invariants = invariants::all(&*workload);
        Self {
            world: World::new(config, workload),
            invariants,
        }
    }

    /// Adds a promise to check.
    #[must_use]
    pub fn check(mut self, invariant: Box<dyn Invariant>) -> Self {
        self.invariants.push(invariant);
        self
    }

    /// Has each thing that happens told to `trace`.
    #[must_use]
    pub fn traced(mut self, trace: Trace) -> Self {
        self.world.trace = Some(trace);
        self
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// The first promise that was broken.
    pub fn run(mut self) -> Result<Coverage, Failure> {
        let end = Time::ZERO + self.world.config.safety;
        self.run_until(|world| world.now >= end)?;
        self.world.calm_down();
        self.judge()?;
        let deadline = self.world.now + self.world.config.liveness;
        self.run_until(|world| world.now >= deadline || world.is_whole())?;
        self.demand(World::is_whole, "one unit ACTIVE, the other STANDBY HOT")?;
        self.world.writing = false;
        let (settled, deadline) = {
            let world = &self.world;
            (
                world.now + world.config.digest_interval * 2,
                world.now + world.config.settling,
            )
        };
        self.run_until(|world| {
            world.now >= deadline || world.now >= settled && world.is_settled()
        })?;
        self.demand(World::is_settled, "both tables equal and no commit waiting")?;
        self.run_until_kept(deadline)?;
        Ok(self.world.coverage())
    }

    /// Until no promise waits for anything any more.
    fn run_until_kept(&mut self, deadline: Time) -> Result<(), Failure> {
        loop {
            let awaited = self.invariants.iter().find_map(|invariant| {
                let what = invariant.awaits(&self.world)?;
                Some(Violation::new(
                    invariant.name(),
                    "it is kept again once all is calm",
                    what,
                ))
            });
            match awaited {
                None => return Ok(()),
                Some(violation) if self.world.now >= deadline => return Err(self.fail(violation)),
                Some(_) => {
                    let next = self.world.now + CHECK;
                    self.run_until(|world| world.now >= next)?;
                }
            }
        }
    }

    fn run_until(&mut self, done: impl Fn(&World) -> bool) -> Result<(), Failure> {
        while !done(&self.world) && self.world.step() {
            self.judge()?;
        }
        Ok(())
    }

    fn judge(&mut self) -> Result<(), Failure> {
        if self.world.still > STANDSTILL {
            let found = format!("{STANDSTILL} events without any: a timer that is always due?");
            return Err(self.fail(Violation::new("liveness", "time goes on", found)));
        }
        for invariant in &mut self.invariants {
            if let Err(violation) = invariant.check(&self.world) {
                return Err(self.fail(violation));
            }
        }
        let losses = self
            .invariants
            .iter_mut()
            .flat_map(|invariant| invariant.losses());
        for (lineage, seen) in losses.collect::<Vec<_>>() {
            self.world.coverage.legitimate_losses += 1;
            self.world.journal.rebase(lineage, &seen);
        }
        Ok(())
    }

    fn demand(&self, holds: fn(&World) -> bool, what: &str) -> Result<(), Failure> {
        if holds(&self.world) {
            return Ok(());
        }
        let found = self.world.describe();
        Err(self.fail(Violation::new("liveness", what, found)))
    }

    fn fail(&self, violation: Violation) -> Failure {
        Failure {
            seed: self.world.config.seed,
            at: self.world.now,
            violation,
        }
    }
}

impl World {
    /// Whether one unit is ACTIVE and the other one STANDBY HOT.
    pub fn is_whole(&self) -> bool {
        let Some(active) = self.active() else {
            return false;
        };
        let state = |unit: usize| self.units[unit].stand().map(|stand| stand.state);
        state(active) == Some(RfState::Active) && state(1 - active) == Some(RfState::StandbyHot)
    }

    /// Whether in addition nothing is left to replicate.
    pub fn is_settled(&self) -> bool {
        self.is_whole() && self.journal.waiting(None) == 0 && self.differing().is_none()
    }

    /// The first register that the units show differently.
    fn differing(&self) -> Option<usize> {
        let registers = 0..self.workload.registers();
        registers
            .into_iter()
            .find(|r| self.workload.read(0, *r) != self.workload.read(1, *r))
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        for (index, unit) in self.units.iter().enumerate() {
            match unit.stand() {
                Some(stand) => {
                    text += &format!("unit {index} is {} in term {}", stand.state, stand.term);
                    text += if stand.active { " (active); " } else { "; " };
                }
                None => text += &format!("unit {index} does not run; "),
            }
        }
        if let Some(register) = self.differing() {
            let seen = [0, 1].map(|unit| self.workload.read(unit, register));
            text += &format!("register {register} is {:?} and {:?}; ", seen[0], seen[1]);
        }
        text += &format!("{} commits wait", self.journal.waiting(None));
        text
    }
}

/// How often it is looked whether promises still wait for something.
const CHECK: Duration = Duration::from_millis(20);

/// More events than this at one moment are an endless loop.
const STANDSTILL: u32 = 10_000;

#[cfg(test)]
mod tests;
