//! SPI allocation that cannot collide between the units.
//!
//! RFC 6027 §3.9: "each cluster member MUST generate SPIs in a fashion that avoids collisions (with
//! other cluster members) for these SPI values". Of the schemes in RFC 6311 §3.3 this is
//! "partitioning the SPI space": the highest bits of what a unit allocates are its [`Share`]. Units
//! need not speak to each other for it, so it holds through every partition; and an SA keeps its SPI
//! for life, whoever has taken it over.
//!
//! The rest is random, which also keeps SPIs hard to guess. One that is in use is passed over; one
//! that was freed is not used again for some time, so that late packets of the old SA do not meet
//! the new one.

mod recent;

use core::fmt;
use core::ops::RangeInclusive;
use core::time::Duration;

use ha_core::time::Time;

use recent::Recent;

/// The part of each number space that a unit allocates from. Every unit that may ever hold SAs of the
/// group needs a share of its own; a unit keeps it through restarts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Share {
    index: u8,
    bits: u8,
}

impl Share {
    /// The first of two units.
    pub const FIRST: Self = Self { index: 0, bits: 1 };

    /// The second of two units.
    pub const SECOND: Self = Self { index: 1, bits: 1 };

    /// Share `index` of `2^bits`; `bits` is 0 (one unit alone) to 3 (eight units).
    ///
    /// # Errors
    /// If there is no such share.
    pub const fn new(index: u8, bits: u8) -> Result<Self, ShareError> {
        if bits <= MAX_SHARE_BITS && index < 1 << bits {
            Ok(Self { index, bits })
        } else {
            Err(ShareError { index, bits })
        }
    }

    /// Which share.
    pub const fn index(self) -> u8 {
        self.index
    }

    /// The numbers of `width` bits that belong to it.
    const fn range(self, width: u32) -> (u64, u64) {
        let width = width - self.bits as u32;
        let ones = u64::MAX >> (64 - width);
        // Shifted in two steps: with no share bits `width` may be 64, and the index is 0.
        let low = ((self.index as u64) << (width - 1)) << 1;
        (low, low | ones)
    }
}

/// There is no such share.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no share {index} of 2^{bits}; use at most {MAX_SHARE_BITS} bits, count from 0")]
pub struct ShareError {
    /// The index asked for.
    pub index: u8,
    /// The bits asked for.
    pub bits: u8,
}

/// For how long, and how many, freed numbers are kept out of use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Quarantine {
    /// How long a freed number rests.
    pub time: Duration,
    /// How many rest at most; beyond that the oldest is let go early. A 16-bit space cannot spare
    /// many.
    pub numbers: usize,
}

impl Default for Quarantine {
    /// 5 minutes, 4096 numbers.
    fn default() -> Self {
        Self {
            time: Duration::from_secs(300),
            numbers: 4096,
        }
    }
}

/// Allocates the SPIs of inbound ESP and AH SAs (32 bits).
///
/// RFC 4303 §2.1: "The set of SPI values in the range 1 through 255 are reserved by the Internet
/// Assigned Numbers Authority (IANA) for future use", and 0 "is reserved for local,
/// implementation-specific use and MUST NOT be sent on the wire".
///
/// ```
/// use ha_core::time::Time;
/// use ha_ipsec::spi::{Quarantine, Share, SpiAllocator, os_random};
///
/// let mut spis = SpiAllocator::new(Share::FIRST, Quarantine::default());
/// let spi = spis.allocate(Time::ZERO, os_random, |spi| spi == 0x1234).unwrap();
/// assert!((0x100..0x8000_0000).contains(&spi)); // the second unit's are above
/// ```
#[derive(Debug)]
pub struct SpiAllocator(Pool);

/// Allocates the SPIs of IKE SAs (64 bits). RFC 7296 §3.1: an SPI "MUST NOT be zero".
#[derive(Debug)]
pub struct IkeSpiAllocator(Pool);

/// Allocates the CPIs of inbound IPComp associations (16 bits).
///
/// RFC 3173 §3.3: 0 to 63 are well-known, 64 to 255 reserved, 61440 to 65535 for private use; what
/// is negotiated lies between. With two units that leaves 32 512 to the first and 28 672 to the
/// second.
#[derive(Debug)]
pub struct CpiAllocator(Pool);

impl SpiAllocator {
    /// An allocator of one unit.
    pub fn new(share: Share, quarantine: Quarantine) -> Self {
        Self(Pool::new(share, 32, 256..=u32::MAX.into(), quarantine))
    }

    /// Finds a number that neither `is_used` (SAs of any unit; asked for at most a few thousand
    /// numbers) nor rests.
    ///
    /// # Errors
    /// If none is found, or `random` fails.
    pub fn allocate(
        &mut self,
        now: Time,
        random: impl FnMut() -> Result<u64, RandomError>,
        mut is_used: impl FnMut(u32) -> bool,
    ) -> Result<u32, SpiError> {
        let spi = self.0.allocate(now, random, |spi| is_used(spi as u32))?;
        Ok(spi as u32)
    }

    /// Notes that an SPI is no longer in use. Those of other units' shares need not rest here.
    pub fn free(&mut self, spi: u32, now: Time) {
        self.0.free(spi.into(), now);
    }
}

impl IkeSpiAllocator {
    /// An allocator of one unit.
    pub fn new(share: Share, quarantine: Quarantine) -> Self {
        Self(Pool::new(share, 64, 1..=u64::MAX, quarantine))
    }

    /// Finds a number that neither `is_used` nor rests.
    ///
    /// # Errors
    /// If none is found, or `random` fails.
    pub fn allocate(
        &mut self,
        now: Time,
        random: impl FnMut() -> Result<u64, RandomError>,
        is_used: impl FnMut(u64) -> bool,
    ) -> Result<u64, SpiError> {
        self.0.allocate(now, random, is_used)
    }

    /// Notes that an SPI is no longer in use.
    pub fn free(&mut self, spi: u64, now: Time) {
        self.0.free(spi, now);
    }
}

impl CpiAllocator {
    /// An allocator of one unit.
    pub fn new(share: Share, quarantine: Quarantine) -> Self {
        Self(Pool::new(share, 16, 256..=61439, quarantine))
    }

    /// Finds a number that neither `is_used` nor rests.
    ///
    /// # Errors
    /// If none is found, or `random` fails.
    pub fn allocate(
        &mut self,
        now: Time,
        random: impl FnMut() -> Result<u64, RandomError>,
        mut is_used: impl FnMut(u16) -> bool,
    ) -> Result<u16, SpiError> {
        let cpi = self.0.allocate(now, random, |cpi| is_used(cpi as u16))?;
        Ok(cpi as u16)
    }

    /// Notes that a CPI is no longer in use.
    pub fn free(&mut self, cpi: u16, now: Time) {
        self.0.free(cpi.into(), now);
    }
}

/// Random bits of the operating system.
///
/// # Errors
/// If it has none.
pub fn os_random() -> Result<u64, RandomError> {
    getrandom::u64().map_err(|_| RandomError)
}

/// The source of randomness failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no random bits; without them SPIs could be guessed, so none is allocated")]
pub struct RandomError;

/// Why no number was allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpiError {
    /// All that were tried are in use or rest.
    #[error(
        "none of {tried} numbers from {first:#x} to {last:#x} is free; delete SAs, or wait until \
         freed ones have rested"
    )]
    Exhausted {
        /// How many were tried.
        tried: u64,
        /// The lowest of the share.
        first: u64,
        /// The highest of the share.
        last: u64,
    },
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// One number space of one unit.
struct Pool {
    first: u64,
    last: u64,
    recent: Recent,
}

impl Pool {
    fn new(share: Share, width: u32, usable: RangeInclusive<u64>, quarantine: Quarantine) -> Self {
        let (low, high) = share.range(width);
        Self {
            first: low.max(*usable.start()),
            last: high.min(*usable.end()),
            recent: Recent::new(quarantine),
        }
    }

    fn allocate(
        &mut self,
        now: Time,
        mut random: impl FnMut() -> Result<u64, RandomError>,
        mut is_used: impl FnMut(u64) -> bool,
    ) -> Result<u64, SpiError> {
        self.recent.expire(now);
        let mut is_free = |number| !self.recent.contains(number) && !is_used(number);
        let mut number = self.first;
        for _ in 0..RANDOM_TRIES {
            number = scale(random()?, self.first, self.last);
            if is_free(number) {
                return Ok(number);
            }
        }
        // So full that chance does not find a gap: look at the numbers after the last one tried.
        let steps = (self.last - self.first).min(MAX_STEPS);
        for _ in 0..steps {
            number = if number == self.last {
                self.first
            } else {
                number + 1
            };
            if is_free(number) {
                return Ok(number);
            }
        }
        Err(SpiError::Exhausted {
            tried: u64::from(RANDOM_TRIES) + steps,
            first: self.first,
            last: self.last,
        })
    }

    fn free(&mut self, number: u64, now: Time) {
        if (self.first..=self.last).contains(&number) {
            self.recent.insert(number, now);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("first", &self.first)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

/// Spreads 64 random bits over a range of at most 2^64 numbers. The bias is below 2^-32 where it
/// matters.
const fn scale(random: u64, first: u64, last: u64) -> u64 {
    let count = (last - first) as u128 + 1;
    first + ((random as u128 * count) >> 64) as u64
}

const MAX_SHARE_BITS: u8 = 3;
const RANDOM_TRIES: u32 = 32;
/// Covers every CPI.
const MAX_STEPS: u64 = 1 << 16;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
