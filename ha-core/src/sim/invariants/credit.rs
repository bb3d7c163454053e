//! P6: bounded memory.
//!
//! What a unit has in flight, by its own account and by the network's, never exceeds the window
//! that was granted by more than one batch or chunk; the messages under way are bounded.

use super::{Invariant, Violation};
use crate::sim::workload::Workload;
use crate::sim::world::{GROUP, World};
use crate::wire::Lane;

/// P6, bounded memory.
pub struct MemoryIsBounded {
    /// The largest batch: a transaction is not split.
    batch: usize,
}

const NAME: &str = "P6, bounded memory";

/// The contents of a chunk, and one entry beyond.
const CHUNK: usize = 64 * 1024 + 16 * 1024;
/// Messages under way in one direction.
const MESSAGES: usize = 2_000;

impl MemoryIsBounded {
    pub(super) fn new(workload: &dyn Workload) -> Self {
        Self {
            batch: workload.bytes() + 1024,
        }
    }

    fn check_credit(&self, unit: usize, world: &World) -> Result<(), Violation> {
        let Some(credit) = world.units()[unit]
            .node()
            .and_then(|node| node.credit(GROUP))
        else {
            return Ok(());
        };
        let beyond = [("changes", self.batch), ("bulk", CHUNK)];
        for ((used, window), (lane, beyond)) in credit.into_iter().zip(beyond) {
            if window > 0 && used > window + beyond {
                let expected = format!(
                    "unit {unit} has at most {window} + {beyond} bytes of {lane} in flight"
                );
                return Err(Violation::new(NAME, expected, format!("it has {used}")));
            }
        }
        Ok(())
    }

    /// A stream that broke off may still be under way beside the one after it.
    fn check_network(&self, unit: usize, world: &World) -> Result<(), Violation> {
        let config = world.config();
        let limits = [
            (
                Lane::Changes,
                3 * (config.changes_window_bytes + 2 * self.batch),
            ),
            (Lane::Bulk, 3 * (config.bulk_window_bytes + CHUNK)),
        ];
        for (lane, limit) in limits {
            let bytes = world.bytes_under_way(unit, lane);
            if bytes > limit {
                let expected =
                    format!("at most {limit} bytes from unit {unit} under way on {lane:?}");
                return Err(Violation::new(NAME, expected, format!("there are {bytes}")));
            }
        }
        let messages = world.messages_under_way(unit);
        if messages > MESSAGES {
            let expected = format!("at most {MESSAGES} messages from unit {unit} under way");
            return Err(Violation::new(
                NAME,
                expected,
                format!("there are {messages}"),
            ));
        }
        Ok(())
    }
}

impl Invariant for MemoryIsBounded {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&mut self, world: &World) -> Result<(), Violation> {
        for unit in 0..2 {
            if world.happened().called[unit] {
                self.check_credit(unit, world)?;
                self.check_network(unit, world)?;
            }
        }
        Ok(())
    }
}
