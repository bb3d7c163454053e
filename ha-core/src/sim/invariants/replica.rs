//! P4: the standby holds a state the active once had.
//!
//! Each value is one that was written to that register; within one term of the active unit no
//! register goes back; what is written together shows together while the standby is STANDBY HOT
//! and when it takes over. Digests and audits find a difference only where one was injected.

use super::{Invariant, Violation};
use crate::id::Term;
use crate::node::Event;
use crate::redundancy::RfState;
use crate::sim::journal::Op;
use crate::sim::unit::Stand;
use crate::sim::workload::Workload;
use crate::sim::world::World;

/// P4, the replica was real.
pub struct ReplicaWasReal {
    groups: Vec<Vec<usize>>,
    /// Groups of which an operator had a unit take over a part.
    torn: Vec<bool>,
    seen: Vec<Option<Op>>,
    shown: [Shown; 2],
}

/// What a standby has shown of one active unit's term.
#[derive(Default)]
struct Shown {
    of: Option<(u64, u64, Term)>,
    /// The last value of each register.
    last: Vec<Option<Op>>,
    /// What it may not go below.
    floor: Vec<Option<Op>>,
}

const NAME: &str = "P4, the standby holds a state the active once had";

impl ReplicaWasReal {
    pub(super) fn new(workload: &dyn Workload) -> Self {
        Self {
            groups: workload.groups(),
            torn: vec![false; workload.groups().len()],
            seen: Vec::new(),
            shown: Default::default(),
        }
    }

    fn check_unit(&mut self, unit: usize, world: &World) -> Result<(), Violation> {
        let Some(stand) = world.units()[unit].stand() else {
            return Ok(());
        };
        let took_over = world.units()[unit].activated().is_some();
        if stand.active && !took_over || !stand.active && stand.holds == Term::ZERO {
            return Ok(());
        }
        world.view(unit, &mut self.seen);
        self.check_written(unit, world)?;
        if stand.active && !stand.complete {
            self.note_torn();
            return Ok(());
        } else if stand.active {
            return self.check_groups(unit, "at takeover", world);
        }
        self.check_order(unit, stand, world)?;
        if stand.state == RfState::StandbyHot {
            self.check_groups(unit, "as STANDBY HOT", world)?;
        }
        Ok(())
    }

    fn check_written(&self, unit: usize, world: &World) -> Result<(), Violation> {
        let shown = self
            .seen
            .iter()
            .enumerate()
            .filter_map(|(r, seen)| Some((r, (*seen)?)));
        for (register, op) in shown.filter(|(_, op)| !op.is_corrupt()) {
            if !world.journal().was_put(register, op) {
                let expected =
                    format!("unit {unit} shows for register {register} what was put there");
                return Err(Violation::new(NAME, expected, format!("it shows {op}")));
            }
        }
        Ok(())
    }

    fn is_whole(&self, group: &[usize]) -> bool {
        let first = group.first().and_then(|register| self.seen[*register]);
        group.iter().all(|register| self.seen[*register] == first)
    }

    /// What a unit takes over that does not hold all is what it is, until it is written again.
    fn note_torn(&mut self) {
        let torn = self.groups.iter().map(|group| !self.is_whole(group));
        self.torn = torn.collect();
    }

    fn check_groups(&mut self, unit: usize, when: &str, world: &World) -> Result<(), Violation> {
        for (index, group) in self.groups.iter().enumerate() {
            if self.is_whole(group) {
                self.torn[index] = false;
                continue;
            }
            let corrupt = group
                .iter()
                .any(|register| self.seen[*register].is_some_and(Op::is_corrupt));
            if !corrupt && !self.torn[index] {
                let expected = format!("unit {unit}, {when}, shows transactions whole");
                let shown = group.iter().map(|register| {
                    let seen = self.seen[*register];
                    let newest = world.journal().writes(*register).iter().rev().take(4);
                    format!(
                        "register {register} shows {seen:?} of {:?}",
                        newest.collect::<Vec<_>>()
                    )
                });
                return Err(Violation::new(
                    NAME,
                    expected,
                    shown.collect::<Vec<_>>().join("; "),
                ));
            }
        }
        Ok(())
    }

    fn check_order(&mut self, unit: usize, stand: Stand, world: &World) -> Result<(), Violation> {
        let shown = &mut self.shown[unit];
        let of = Some((world.units()[unit].epoch(), stand.lineage, stand.holds));
        if shown.of != of || world.happened().flushed[unit] {
            // After a flush an entry that is missing was not removed, but is not there yet.
            shown.last = vec![None; self.seen.len()];
        }
        if shown.of != of {
            shown.floor = vec![None; self.seen.len()];
            shown.of = of;
        }
        for (register, seen) in self.seen.iter().enumerate() {
            shown.note(register, *seen).map_err(|floor| {
                let expected = format!(
                    "unit {unit} shows nothing older for register {register} than {floor}, \
                     while it follows term {}",
                    stand.holds
                );
                Violation::new(NAME, expected, format!("it shows {seen:?}"))
            })?;
        }
        Ok(())
    }

    fn check_events(&self, world: &World) -> Result<(), Violation> {
        for (unit, event) in &world.happened().events {
            let expected = "differences only where an entry was changed by itself";
            let found = match event {
                Event::DigestMismatch { clients, .. } => format!("digests of {clients:?} differ"),
                Event::AuditMismatch { client, .. } if !is_corrupt(*unit, world) => {
                    format!("an audit of {client} finds differences")
                }
                _ => continue,
            };
            return Err(Violation::new(
                NAME,
                expected,
                format!("unit {unit}: {found}"),
            ));
        }
        if world.happened().lost_marks > 0 {
            let found = format!("an audit found {} lost", world.happened().lost_marks);
            return Err(Violation::new(NAME, "no dirty mark is lost", found));
        }
        Ok(())
    }
}

impl Shown {
    /// Takes in what a register shows; refuses what is older than it may be.
    fn note(&mut self, register: usize, seen: Option<Op>) -> Result<(), Op> {
        match (seen, self.last[register]) {
            (Some(op), _) if op.is_corrupt() => return Ok(()),
            (Some(op), _) => {
                if let Some(floor) = self.floor[register].filter(|floor| op < *floor) {
                    return Err(floor);
                }
                self.floor[register] = Some(op);
            }
            // Removed: what was there does not come back.
            (None, Some(last)) => self.floor[register] = Some(Op::from_number(last.number() + 1)),
            (None, None) => {}
        }
        self.last[register] = seen;
        Ok(())
    }
}

impl Invariant for ReplicaWasReal {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&mut self, world: &World) -> Result<(), Violation> {
        self.check_events(world)?;
        for unit in 0..2 {
            if world.happened().changed[unit] {
                self.check_unit(unit, world)?;
            }
        }
        Ok(())
    }
}

fn is_corrupt(unit: usize, world: &World) -> bool {
    let registers = 0..world.workload().registers();
    registers
        .into_iter()
        .any(|r| world.workload().read(unit, r).is_some_and(Op::is_corrupt))
}
