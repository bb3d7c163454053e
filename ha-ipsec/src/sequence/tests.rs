mod counter;
mod lead;
mod two_units;

use super::{OutboundCounter, Refused, SequenceSpace};
use crate::gate::Gate;

fn open() -> Gate {
    let gate = Gate::new();
    gate.set_open(true);
    gate
}

fn alone() -> Gate {
    let gate = open();
    gate.set_isolated(true);
    gate
}

/// Takes numbers one by one until refused.
fn drain(counter: &OutboundCounter, gate: &Gate) -> (Vec<u64>, Refused) {
    let mut numbers = Vec::new();
    loop {
        match counter.next(gate) {
            Ok(granted) => numbers.push(granted.number),
            Err(refused) => return (numbers, refused),
        }
    }
}
