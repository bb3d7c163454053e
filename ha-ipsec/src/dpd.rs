//! Dead peer detection across a takeover.

use crate::message_id::{CodecError, Reader, put};

/// When peers are probed, and when they count as dead.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DpdConfig {
    /// Silence before the first probe, in seconds.
    pub interval_s: u16,
    /// Wait for an answer before the first retry, in seconds.
    pub retry_s: u16,
    /// How many retries.
    pub retries: u8,
    /// When to probe at all.
    pub mode: DpdMode,
    /// How the waits grow.
    pub backoff: Backoff,
}

/// When a silent peer is probed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum DpdMode {
    /// Only while there is something to send to it (Cisco's default).
    #[default]
    OnDemand,
    /// Whenever it is silent.
    Periodic,
}

/// How the waits between retries grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Backoff {
    /// Not at all.
    #[default]
    Fixed,
    /// Each wait is twice the one before.
    Doubling,
}

/// What of DPD moves with each exchange.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct DpdState {
    /// IKEv1: the sequence number of our own `R-U-THERE` that was answered last.
    pub answered: u32,
    /// IKEv1: the number expected in the peer's next `R-U-THERE`.
    pub expected: Option<u32>,
}

impl Default for DpdConfig {
    fn default() -> Self {
        Self::IKEV1
    }
}

impl DpdConfig {
    /// For IKEv1: 10 s, 5 retries 10 s apart, on demand.
    pub const IKEV1: Self = Self {
        interval_s: 10,
        retry_s: 10,
        retries: 5,
        mode: DpdMode::OnDemand,
        backoff: Backoff::Fixed,
    };
}

impl DpdState {
    /// An upper bound of the encoded length in bytes.
    pub const ENCODED_LEN_BOUND: usize = 10;

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.answered.into());
        put(out, self.expected.map_or(0, |next| u64::from(next) + 1));
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// On anything else: each record has one encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        const EXPECTED: &str = "expected R-U-THERE";
        let mut reader = Reader::new(bytes);
        let answered = reader.u32("answered R-U-THERE")?;
        let expected = reader.u64(EXPECTED)?.checked_sub(1);
        reader.finish()?;
        let expected = expected.map(u32::try_from).transpose();
        Ok(Self {
            answered,
            expected: expected.map_err(|_| CodecError::NotCanonical { field: EXPECTED })?,
        })
    }
}
