//! Counters of the active unit that nothing moves.

use std::sync::Arc;

use super::client::Value;
use super::control::Control;
use super::live::Live;
use super::raw::Raw;

/// A counter of the active unit that nobody holds, and of which the standby knows all there is: it is
/// given up for what was told of it, and made again when a packet comes.
///
/// Most SAs of a large gateway are like that, and an object takes twenty times as much. P1 and P2 ask
/// for nothing new: what is made again is what was given up, number by number, with the generation
/// that keeps late acknowledgements void and the contests that it has heard of. Nobody can have held
/// the object meanwhile: the only reference was this table's, under its lock.
#[derive(Debug)]
pub(crate) struct Still {
    /// What the standby was told last.
    told: Raw,
    /// Outbound: how far the reservation is ahead of the next number, at least 1. Inbound: the
    /// generation of the window's receipts.
    own: u32,
    /// The contests that it has heard of.
    contests: u16,
}

impl Still {
    /// Of a counter that can be given up now.
    pub(super) fn of(control: &Control) -> Option<Self> {
        // Before its record has left there is nothing that the standby was told.
        let told = control.exposed && control.is_settled();
        if !told || !control.live.is_sole() {
            return None;
        }
        let own = match &control.live {
            Live::Outbound(live) => {
                let next = live.counter.at_rest()?;
                u32::try_from(live.counter.proposal().reserved + 1 - next).ok()?
            }
            Live::Inbound(live) => live.window.at_rest()?,
        };
        let mut told = Vec::new();
        control.encode_sent(&mut told);
        Some(Self {
            told: Raw::new(&told),
            own,
            contests: u16::try_from(control.contests).ok()?,
        })
    }

    /// What the standby was told last.
    pub(super) fn told(&self) -> &[u8] {
        self.told.bytes()
    }

    /// The contests that it has heard of.
    pub(super) fn contests(&self) -> u32 {
        self.contests.into()
    }

    /// The next number of an outbound counter whose reservation is this.
    pub(super) fn next(&self, reserved: u64) -> u64 {
        (reserved + 1).saturating_sub(self.own.into())
    }

    /// The generation of an inbound window's receipts.
    pub(super) fn generation(&self) -> u32 {
        self.own
    }
}

impl Live {
    /// Whether nobody else holds it, nor can: who has none cannot make more of it.
    fn is_sole(&self) -> bool {
        match self {
            Self::Outbound(live) => Arc::strong_count(live) == 1,
            Self::Inbound(live) => Arc::strong_count(live) == 1,
        }
    }
}

impl Value {
    /// Bytes that were charged, as far as was told.
    pub(super) fn bytes(&self) -> u64 {
        self.kib().saturating_mul(1024)
    }
}
