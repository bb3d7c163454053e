//! When peers are probed, and when they count as dead.

use core::time::Duration;

use crate::message_id::{CodecError, Reader, put};

/// When peers are probed, and when they count as dead (Cisco: `crypto isakmp keepalive`, `crypto
/// ikev2 dpd`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DpdConfig {
    /// Silence before the first probe, in seconds, 1 to 3600.
    pub interval_s: u16,
    /// Wait for an answer before the first retry, in seconds, 1 to 600.
    pub retry_s: u16,
    /// How many retries, 1 to 20.
    pub retries: u8,
    /// When to probe at all.
    pub mode: DpdMode,
    /// How the waits grow.
    pub backoff: Backoff,
}

/// When a silent peer is probed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum DpdMode {
    /// Only if something was sent to it since it was heard (Cisco's default).
    #[default]
    OnDemand = 0,
    /// Whenever it is silent.
    Periodic = 1,
}

/// How the waits between retries grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum Backoff {
    /// Not at all.
    #[default]
    Fixed = 0,
    /// Each wait is twice the one before: RFC 7296 §2.4: "retransmission times MUST increase
    /// exponentially".
    Doubling = 1,
}

impl Default for DpdConfig {
    fn default() -> Self {
        Self::IKEV1
    }
}

impl DpdConfig {
    /// For IKEv1: 10 s with 5 retries, 10 s apart; a peer is dead after 70 s. Cisco, of DPD with HA:
    /// "A keepalive time of 10 seconds with 5 retries seems to work well with HA because of the time
    /// it takes for the router to get into active mode".
    pub const IKEV1: Self = Self {
        interval_s: 10,
        retry_s: 10,
        retries: 5,
        mode: DpdMode::OnDemand,
        backoff: Backoff::Fixed,
    };

    /// For IKEv2: 10 s with 5 retries, the first after 2 s; a peer is dead after 136 s.
    pub const IKEV2: Self = Self {
        retry_s: 2,
        backoff: Backoff::Doubling,
        ..Self::IKEV1
    };

    /// Silence before the first probe.
    pub const fn interval(&self) -> Duration {
        Duration::from_secs(self.interval_s as u64)
    }

    /// The wait after retry number `retries` (0: after the first probe), at most an hour.
    pub(super) fn wait(&self, retries: u8) -> Duration {
        let doublings = match self.backoff {
            Backoff::Fixed => 0,
            Backoff::Doubling => u32::from(retries).min(12),
        };
        Duration::from_secs((u64::from(self.retry_s) << doublings).min(3600))
    }

    /// How long a peer is silent when it is declared dead: what a takeover must stay below, on the
    /// peer's side of the configuration.
    pub fn detection_time(&self) -> Duration {
        let waits = (0..=self.retries).map(|retries| self.wait(retries));
        self.interval() + waits.sum::<Duration>()
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// Names the field that is out of its range.
    pub fn validate(&self) -> Result<(), DpdConfigError> {
        check("interval_s", self.interval_s, 1..=3600)?;
        check("retry_s", self.retry_s, 1..=600)?;
        check("retries", self.retries.into(), 1..=20)
    }

    /// An upper bound of the encoded length in bytes.
    pub const ENCODED_LEN_BOUND: usize = 10;

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.interval_s.into());
        put(out, self.retry_s.into());
        put(out, self.retries.into());
        put(out, self.mode as u64 | (self.backoff as u64) << 1);
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// On anything else: each record has one encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let interval_s = reader.u16("interval_s")?;
        let retry_s = reader.u16("retry_s")?;
        let retries = reader.u8("retries")?;
        let (mode, backoff) = match reader.u8("mode")? {
            0 => (DpdMode::OnDemand, Backoff::Fixed),
            1 => (DpdMode::Periodic, Backoff::Fixed),
            2 => (DpdMode::OnDemand, Backoff::Doubling),
            3 => (DpdMode::Periodic, Backoff::Doubling),
            _ => return Err(CodecError::Contradiction { field: "mode" }),
        };
        reader.finish()?;
        let config = Self {
            interval_s,
            retry_s,
            retries,
            mode,
            backoff,
        };
        let checked = config.validate();
        checked.map_err(|error| CodecError::Contradiction { field: error.field })?;
        Ok(config)
    }
}

fn check(
    field: &'static str,
    value: u16,
    range: core::ops::RangeInclusive<u16>,
) -> Result<(), DpdConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(DpdConfigError {
        field,
        value,
        lowest: *range.start(),
        highest: *range.end(),
    })
}

/// A field of a [`DpdConfig`] is out of its range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field} is {value}, must be {lowest} to {highest}")]
pub struct DpdConfigError {
    /// The field.
    pub field: &'static str,
    /// Its value.
    pub value: u16,
    /// The lowest that is allowed.
    pub lowest: u16,
    /// The highest that is allowed.
    pub highest: u16,
}
