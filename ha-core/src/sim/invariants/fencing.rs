//! P5: fencing.
//!
//! No two activations of one lineage that anybody remembers share a term (a unit that lost its
//! memory, and whose last activation nobody heard of, may reach its number again); an activation's term is higher than any that
//! its unit has seen; a unit never forgets a term, and never goes back to the state of a lower one.

use std::collections::{BTreeMap, BTreeSet};

use super::{Invariant, Violation};
use crate::id::Term;
use crate::sim::unit::Unit;
use crate::sim::world::World;

/// P5, fencing.
pub struct TermsFence {
    /// By lineage and term: the unit and its start.
    activations: BTreeMap<(u64, Term), (usize, u64)>,
    /// Units, by start, that have followed an activation.
    heard: BTreeSet<(usize, u64, u64, Term)>,
}

const NAME: &str = "P5, fencing";

impl TermsFence {
    pub(super) fn new() -> Self {
        Self {
            activations: BTreeMap::new(),
            heard: BTreeSet::new(),
        }
    }

    fn check_activation(&mut self, index: usize, world: &World) -> Result<(), Violation> {
        let [unit, peer] = [index, 1 - index].map(|index| &world.units()[index]);
        let Some(stand) = unit.activated() else {
            return Ok(());
        };
        if stand.term.unit.value() as usize != index {
            let expected = format!("unit {index} is active in a term of its own");
            return Err(Violation::new(
                NAME,
                expected,
                format!("its term is {}", stand.term),
            ));
        }
        let known = self
            .heard
            .contains(&(1 - index, peer.epoch(), stand.lineage, stand.term));
        let epoch = self
            .activations
            .insert((stand.lineage, stand.term), (index, unit.epoch()));
        if epoch.is_some_and(|epoch| known || epoch == (index, unit.epoch())) {
            let expected = format!("the activation of unit {index} has a term of its own");
            return Err(Violation::new(
                NAME,
                expected,
                format!("term {} was used", stand.term),
            ));
        }
        match unit.before() {
            Some(before) if stand.term <= before.term => {
                let expected = format!("unit {index} activates above term {}", before.term);
                Err(Violation::new(
                    NAME,
                    expected,
                    format!("its term is {}", stand.term),
                ))
            }
            _ => Ok(()),
        }
    }

    fn check_steps(index: usize, unit: &Unit) -> Result<(), Violation> {
        let (Some(before), Some(now)) = (unit.before(), unit.stand()) else {
            return Ok(());
        };
        if now.term < before.term {
            let expected = format!(
                "unit {index}, which has seen term {}, remembers it",
                before.term
            );
            return Err(Violation::new(
                NAME,
                expected,
                format!("it knows {}", now.term),
            ));
        }
        if now.holds != Term::ZERO && now.holds < before.holds {
            let expected = format!(
                "unit {index} never follows a lower term than {}",
                before.holds
            );
            return Err(Violation::new(
                NAME,
                expected,
                format!("it follows {}", now.holds),
            ));
        }
        Ok(())
    }
}

impl Invariant for TermsFence {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&mut self, world: &World) -> Result<(), Violation> {
        for (index, unit) in world.units().iter().enumerate() {
            if world.happened().changed[index] {
                self.check_activation(index, world)?;
                Self::check_steps(index, unit)?;
                self.heard.extend(
                    unit.stand()
                        .map(|stand| (index, unit.epoch(), stand.lineage, stand.holds)),
                );
            }
        }
        Ok(())
    }
}
