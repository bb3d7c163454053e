//! Moments and amounts that differ from SA to SA without randomness.

use core::net::IpAddr;
use core::time::Duration;

use ha_core::id::UnitId;

use crate::id::{IkeId, SaId};

/// Gives an SA its own place within a range: the same on each run, different for each SA and for each
/// unit.
///
/// Not a defence against peers that choose SPIs to coincide; it only has to part those that do not
/// try.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SpreadKey(u64);

impl SpreadKey {
    /// The key of an IPsec SA on a unit.
    pub fn of_sa(id: &SaId, unit: UnitId) -> Self {
        let destination = match id.destination {
            IpAddr::V4(address) => address.to_bits().into(),
            IpAddr::V6(address) => address.to_bits(),
        };
        let spi = u64::from(id.protocol.number()) << 32 | u64::from(id.spi);
        Self::of([spi, (destination >> 64) as u64, destination as u64], unit)
    }

    /// The key of an IKE SA on a unit.
    pub fn of_ike(id: &IkeId, unit: UnitId) -> Self {
        Self::of([id.initiator, id.responder, 0], unit)
    }

    fn of(words: [u64; 3], unit: UnitId) -> Self {
        let unit = mix(u64::from(unit.value()));
        Self(words.iter().fold(unit, |hash, word| mix(hash ^ word)))
    }

    /// A key for another purpose, so that two delays of one SA do not coincide.
    #[must_use]
    pub const fn purpose(self, purpose: u64) -> Self {
        Self(mix(self.0 ^ mix(purpose)))
    }

    /// A number in `0..range`; 0 if `range` is 0.
    pub const fn below(self, range: u64) -> u64 {
        ((self.0 as u128 * range as u128) >> 64) as u64
    }

    /// A delay in `0..over`.
    pub fn within(self, over: Duration) -> Duration {
        let nanos = u64::try_from(over.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.below(nanos))
    }
}

/// How far apart things are drawn that would else happen at once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Spreading {
    /// By how much of themselves soft limits are lowered at most, in percent (0 to 50).
    pub jitter_percent: u8,
    /// Within what time after a takeover the SAs are rekeyed whose soft limit in seconds has passed.
    pub takeover: Duration,
}

impl Default for Spreading {
    /// 10 %, and a minute: 100 000 SAs are rekeyed at under 1700 per second.
    fn default() -> Self {
        Self {
            jitter_percent: 10,
            takeover: Duration::from_secs(60),
        }
    }
}

impl Spreading {
    /// The soft limit of an SA.
    pub(super) fn lower(&self, limit: u64, key: SpreadKey) -> u64 {
        let percent = u128::from(self.jitter_percent.min(50));
        // At most half of `limit`.
        limit - key.below((u128::from(limit) * percent / 100) as u64)
    }
}

/// The finalizer of SplitMix64: a bijection in which each input bit moves each output bit.
const fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
