//! P3: state whose commit was acknowledged survives a takeover.
//!
//! An acknowledgement means that the other unit holds the write, or a later one, at that moment;
//! and a unit that takes over with a whole state shows each acknowledged write of its lineage, or
//! a later one. Lost may be only what all units that held it lost by crashing, or what an operator
//! forced. A unit that holds all never yields to one of the same lineage that does not.

use super::{Invariant, Violation};
use crate::sim::journal::{Op, Resolution};
use crate::sim::unit::Stand;
use crate::sim::world::World;
use crate::sync::Committed;

/// P3, no SA lost.
pub struct CommitsSurvive {
    seen: Vec<Option<Op>>,
    losses: Vec<(u64, Vec<Option<Op>>)>,
    /// Units that took over without everything, and the lineage.
    partial: [Option<u64>; 2],
}

const NAME: &str = "P3, acknowledged state survives";

impl CommitsSurvive {
    pub(super) fn new() -> Self {
        Self {
            seen: Vec::new(),
            losses: Vec::new(),
            partial: [None; 2],
        }
    }

    /// The other unit holds what it acknowledged.
    fn at_acknowledgement(resolution: &Resolution, world: &World) -> Result<(), Violation> {
        let other = 1 - resolution.unit;
        // A unit that crashed, or follows another history by now, acknowledged before that.
        let follows = world.units()[other]
            .stand()
            .is_some_and(|stand| !stand.active && stand.lineage == resolution.lineage);
        if resolution.outcome != Ok(Committed::Replicated) || !follows {
            return Ok(());
        }
        for (register, op) in &resolution.writes {
            let seen = world.workload().read(other, *register);
            if !seen.is_some_and(Op::is_corrupt) && !world.journal().honours(*register, *op, seen) {
                let expected = format!("unit {other} shows {op} of register {register} or later");
                let writes = world.journal().writes(*register).iter().rev().take(4);
                let found = format!(
                    "{}, of {:?}; the commit covers {:?}",
                    shown(seen),
                    writes.collect::<Vec<_>>(),
                    resolution.writes
                );
                return Err(Violation::new(NAME, expected, found));
            }
        }
        Ok(())
    }

    /// A unit takes over.
    fn at_takeover(&mut self, unit: usize, stand: Stand, world: &World) -> Result<(), Violation> {
        world.view(unit, &mut self.seen);
        let journal = world.journal();
        let lost = (0..self.seen.len()).find_map(|register| {
            let op = journal.acknowledged(stand.lineage, register)?;
            let seen = self.seen[register];
            let kept = seen.is_some_and(Op::is_corrupt) || journal.honours(register, op, seen);
            (!kept).then_some((register, op))
        });
        let Some((register, op)) = lost else {
            return Ok(());
        };
        if stand.complete {
            let expected = format!(
                "unit {unit}, which takes over in term {}, shows {op} of register {register} or later",
                stand.term
            );
            return Err(Violation::new(NAME, expected, shown(self.seen[register])));
        }
        self.partial[unit] = Some(stand.lineage);
        Ok(())
    }

    /// What a unit took over in part is the truth once nobody holds more.
    fn at_loss(&mut self, unit: usize, world: &World) {
        let Some(lineage) = self.partial[unit] else {
            return;
        };
        let stands = world.units()[unit]
            .stand()
            .is_some_and(|s| s.active && s.lineage == lineage);
        if stands && !world.units()[1 - unit].holds_all_of(lineage) {
            world.view(unit, &mut self.seen);
            self.losses.push((lineage, self.seen.clone()));
        }
        if !stands || !self.losses.is_empty() {
            self.partial[unit] = None;
        }
    }

    /// A unit that holds all gives way.
    fn at_demotion(unit: usize, world: &World) -> Result<(), Violation> {
        let this = &world.units()[unit];
        let (Some(before), Some(now)) = (this.before(), this.stand()) else {
            return Ok(());
        };
        let rival = world.units()[1 - unit].stand().filter(|rival| rival.active);
        let Some(rival) = rival.filter(|_| before.active && !now.active && before.complete) else {
            return Ok(());
        };
        if rival.lineage == before.lineage && !rival.complete && !world.was_forced() {
            let expected = format!("unit {unit}, which holds all, keeps the role");
            let found = format!("it yields to term {}, which does not hold all", rival.term);
            return Err(Violation::new(NAME, expected, found));
        }
        Ok(())
    }
}

impl Invariant for CommitsSurvive {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&mut self, world: &World) -> Result<(), Violation> {
        for resolution in &world.happened().resolved {
            Self::at_acknowledgement(resolution, world)?;
        }
        for unit in 0..2 {
            if !world.happened().changed[unit] {
                continue;
            }
            Self::at_demotion(unit, world)?;
            if let Some(stand) = world.units()[unit].activated() {
                self.at_takeover(unit, stand, world)?;
            }
        }
        (0..2).for_each(|unit| self.at_loss(unit, world));
        Ok(())
    }

    fn losses(&mut self) -> Vec<(u64, Vec<Option<Op>>)> {
        core::mem::take(&mut self.losses)
    }
}

fn shown(seen: Option<Op>) -> String {
    seen.map_or_else(
        || "it shows no entry".to_owned(),
        |op| format!("it shows {op}"),
    )
}
