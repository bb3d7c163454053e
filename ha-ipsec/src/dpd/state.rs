//! The sequence numbers of RFC 3706.

use crate::message_id::{CodecError, Reader, put, put_optional};

/// What of DPD moves with each exchange, and is replicated, as Cisco did: "Dead peer detection (DPD)
/// sequence number updates". Both numbers are IKEv1's; with IKEv2 the record stays as it began.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct DpdState {
    /// The number of our own `R-U-THERE` that was answered last; one less than the first if none
    /// was.
    pub answered: u32,
    /// The number expected in the peer's next `R-U-THERE`; `None` before the first.
    pub expected: Option<u32>,
}

/// What to do with an `R-U-THERE` of the peer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RUThere {
    /// Answer with `R-U-THERE-ACK` (36137) of the same number. The state has changed.
    Answer,
    /// Answer, but it proves nothing: the last one again, by a peer that missed the answer or an
    /// attacker who replays it.
    AnswerAgain,
    /// Drop it: an old number, or one too far ahead.
    Reject,
}

impl DpdState {
    /// The state of a new IKE SA.
    pub(super) const fn new(first_sequence: u32) -> Self {
        let first = first_sequence & (u32::MAX >> 1);
        Self {
            answered: first.wrapping_sub(1),
            expected: None,
        }
    }

    /// Notes an answer, if `sequence` is one of those sent after the last answered.
    pub(super) fn acknowledge(&mut self, sequence: u32, sent: u32) -> bool {
        let ahead = sequence.wrapping_sub(self.answered);
        let waiting = (1..=sent.wrapping_sub(self.answered)).contains(&ahead);
        if waiting {
            self.answered = sequence;
        }
        waiting
    }

    /// Judges the peer's number. RFC 3706 §6.2 leaves a window of acceptable numbers to the
    /// implementation; one that only looks ahead lets a standby that lags follow the peer.
    pub(super) fn receive(&mut self, sequence: u32) -> RUThere {
        match self.expected.map(|next| sequence.wrapping_sub(next)) {
            None | Some(0..WINDOW) => {
                self.expected = Some(sequence.wrapping_add(1));
                RUThere::Answer
            }
            Some(u32::MAX) => RUThere::AnswerAgain,
            Some(_) => RUThere::Reject,
        }
    }

    /// An upper bound of the encoded length in bytes.
    pub const ENCODED_LEN_BOUND: usize = 10;

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.answered.into());
        put_optional(out, self.expected);
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// On anything else: each record has one encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let answered = reader.u32("answered R-U-THERE")?;
        let expected = reader.optional_u32("expected R-U-THERE")?;
        reader.finish()?;
        Ok(Self { answered, expected })
    }
}

const WINDOW: u32 = 64;
