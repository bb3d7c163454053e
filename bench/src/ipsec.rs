//! Measures of the SA database: the packet path, takeovers, and what SAs cost on the wire and in
//! memory.
//!
//! What a failover is like as a whole, seen by a remote site, is measured by the program in
//! `examples/failover`.

mod bulk;
mod counters;
mod gateway;
mod lookup;
mod memory;
mod packets;
mod sample;
mod takeover;
mod timing;
mod yardsticks;

use ha_ipsec::sad::Sad;

pub(crate) use gateway::Gateway;
pub use sample::SaSpec;
pub(crate) use takeover::last_packet;

use crate::suite::{BenchError, Suite};
use crate::unit::Unit;

/// The suites, in the order in which they run: yardsticks first.
#[must_use]
pub fn suites() -> Vec<Box<dyn Suite>> {
    vec![
        Box::new(yardsticks::Yardsticks),
        Box::new(packets::Packets),
        Box::new(lookup::Lookup),
        Box::new(takeover::Takeover),
        Box::new(bulk::Bulk),
        Box::new(memory::Memory),
        Box::new(counters::Counters),
    ]
}

/// The SA database of a unit.
fn sad(unit: &Unit) -> Result<&Sad, BenchError> {
    let sad = unit.table().sad();
    sad.ok_or_else(|| BenchError::failed("the unit")("has no SA database"))
}
