//! P1: no outbound sequence number is used twice under one key.
//!
//! Under any schedule, and without exception: the oracle keeps all numbers that either unit ever
//! handed out for a key.

use std::sync::{Arc, Mutex};

use ha_core::sim::{Invariant, Violation, World};

use crate::sim::locked;
use crate::sim::oracle::{Oracle, Use};

/// P1, no sequence reuse.
pub(crate) struct NoSequenceReuse(pub(crate) Arc<Mutex<Oracle>>);

const NAME: &str = "P1, no sequence number is used twice";

impl Invariant for NoSequenceReuse {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&mut self, _: &World) -> Result<(), Violation> {
        locked(&self.0).broken_sequence.take().map_or(Ok(()), Err)
    }
}

/// Someone used a number again.
pub(crate) fn violation(key: u64, number: u64, first: &Use, again: &Use) -> Violation {
    let expected = format!("number {number} under key {key} is used once");
    let found = format!(
        "unit {} used it at {}, and unit {} at {}",
        first.unit, first.at, again.unit, again.at
    );
    Violation::new(NAME, expected, found)
}
