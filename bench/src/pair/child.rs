//! What a child does: it obeys orders.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ha_core::redundancy::RfState;
use serde::{Deserialize, Serialize};

use crate::memory::resident_bytes;
use crate::suite::BenchError;
use crate::unit::Unit;

/// What a child is told, each as a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Order {
    /// Fill the tables.
    Fill,
    /// Start the node and become active.
    Activate,
    /// Start the node and become STANDBY HOT.
    Sync,
    /// Wait until the peer is known to be STANDBY HOT.
    AwaitStandby,
    /// Tell what the node counts.
    Stats,
    /// Tell the sum over all tables.
    Checksum,
    /// Change each entry of the first table once.
    WriteAll,
    /// Tell how much memory is used.
    Memory,
    /// Give the active role to the peer.
    Switchover,
    /// The same; tell when the first IPsec SA passed its last packet, in microseconds of the
    /// machine's clock.
    HandOver,
    /// Stop the node in order.
    Stop,
}

/// What a child answers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// It is done.
    Done,
    /// The unit is STANDBY HOT with all entries.
    Synced {
        /// From the start of the node on.
        seconds: f64,
        /// The part of it that the stream took.
        stream_seconds: Option<f64>,
    },
    /// The counters.
    Stats {
        /// Seconds since the process began.
        at: f64,
        /// Entries applied, all together.
        applied: u64,
    },
    /// A number that was asked for.
    Number(u64),
    /// It did not work.
    Failed(String),
}

/// Acts as a child if the arguments say so, until the parent is gone or has no more orders.
pub fn serve(mut args: impl Iterator<Item = String>) -> Option<Result<(), BenchError>> {
    (args.next()? == COMMAND).then(|| serve_unit(&args.next().unwrap_or_default()))
}

fn serve_unit(spec: &str) -> Result<(), BenchError> {
    let began = Instant::now();
    let spec = serde_json::from_str(spec).map_err(BenchError::failed("reading a unit"))?;
    let mut unit = Unit::new(spec)?;
    for line in std::io::stdin().lines() {
        let line = line.map_err(BenchError::io("reading an order"))?;
        let order = serde_json::from_str(&line).map_err(BenchError::failed("an order"))?;
        let answer = obey(&mut unit, order, began);
        let answer = answer.unwrap_or_else(|error| Answer::Failed(error.to_string()));
        let line = serde_json::to_string(&answer).map_err(BenchError::failed("an answer"))?;
        println!("{line}");
    }
    Ok(())
}

fn obey(unit: &mut Unit, order: Order, began: Instant) -> Result<Answer, BenchError> {
    match order {
        Order::Fill => unit.fill()?,
        Order::Activate => {
            unit.start()?;
            unit.await_state(RfState::Active)?;
        }
        Order::Sync => {
            let (took, stream) = unit.sync()?;
            return Ok(Answer::Synced {
                seconds: took.as_secs_f64(),
                stream_seconds: stream.map(|took| took.as_secs_f64()),
            });
        }
        Order::AwaitStandby => unit.await_standby()?,
        Order::Stats => {
            let applied = unit.stats()?.0.entries_applied;
            let at = began.elapsed().as_secs_f64();
            return Ok(Answer::Stats { at, applied });
        }
        Order::Checksum => return Ok(Answer::Number(unit.checksum())),
        Order::WriteAll => return Ok(Answer::Number(unit.write_all())),
        Order::Memory => return Ok(Answer::Number(resident_bytes()?)),
        Order::Switchover => unit.switchover()?,
        Order::HandOver => {
            let last = crate::ipsec::last_packet(unit, || unit.switchover())?;
            return Ok(Answer::Number(clock_micros(last)));
        }
        Order::Stop => unit.stop(),
    }
    Ok(Answer::Done)
}

/// A time by the clock that all processes of this machine share.
pub fn clock_micros(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The hidden command of a child.
pub(super) const COMMAND: &str = "unit";
