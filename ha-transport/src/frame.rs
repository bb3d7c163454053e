//! Frames on a byte stream: messages of several lanes, cut into chunks and interleaved.
//!
//! ```text
//!  byte 0        bytes 1..4            bytes 4..4+length
//! +-+-+--------+--------------------+------------------------+
//! |E|C|  lane  | length, big endian | part of a message      |
//! +-+-+--------+--------------------+------------------------+
//! ```
//!
//! `E` (0x80) marks the last part of a message. `C` (0x40) is the orderly end of the stream: lane
//! and length are zero, and nothing follows. A frame is at most [`MAX_FRAME_BYTES`] long, which is
//! also the largest TLS record. Parts of messages of different lanes may alternate, those of one
//! lane may not.
//!
//! Both directions are free of I/O, so that they can be tested and fuzzed.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::error::LinkError;
use crate::lane::Lane;
use crate::limits::LinkLimits;

/// Longest frame, header included.
pub const MAX_FRAME_BYTES: usize = 16 * 1024;
/// Length of the header of a frame.
pub const HEADER_BYTES: usize = 4;
/// Longest part of a message in one frame.
pub const MAX_PART_BYTES: usize = MAX_FRAME_BYTES - HEADER_BYTES;

const END: u8 = 0x80;
const CLOSE: u8 = 0x40;
const LANE: u8 = 0x3f;

/// Cuts messages into frames. Between two frames a higher lane may go first.
#[derive(Default, Debug)]
pub struct FrameEncoder {
    /// What is left of the message being sent on each lane.
    rest: [Option<Bytes>; 3],
}

impl FrameEncoder {
    /// Fills `buffer` with frames up to `budget` bytes; `next` takes the next message of a lane.
    /// Stops early when there is nothing left to send.
    pub fn fill(
        &mut self,
        buffer: &mut BytesMut,
        budget: usize,
        mut next: impl FnMut(Lane) -> Option<Bytes>,
    ) {
        while buffer.len() + MAX_FRAME_BYTES <= budget {
            let Some((lane, message)) = self.take(&mut next) else {
                return;
            };
            self.rest[lane.index()] = put_frame(buffer, lane, message);
        }
    }

    /// True if parts of a message are still to be sent.
    pub fn has_rest(&self) -> bool {
        self.rest.iter().any(Option::is_some)
    }

    fn take(&mut self, next: &mut impl FnMut(Lane) -> Option<Bytes>) -> Option<(Lane, Bytes)> {
        let rest = &mut self.rest;
        Lane::ALL
            .into_iter()
            .find_map(|lane| Some((lane, rest[lane.index()].take().or_else(|| next(lane))?)))
    }
}

/// Appends the next frame of `message` and returns what is left.
fn put_frame(buffer: &mut BytesMut, lane: Lane, mut message: Bytes) -> Option<Bytes> {
    let is_last = message.len() <= MAX_PART_BYTES;
    let length = message.len().min(MAX_PART_BYTES);
    let kind = if is_last {
        lane.number() | END
    } else {
        lane.number()
    };
    buffer.put_u32(u32::from(kind) << 24 | length as u32);
    buffer.extend_from_slice(&message[..length]);
    message.advance(length);
    (!is_last).then_some(message)
}

/// Appends the frame that ends the stream in an orderly way.
pub fn put_close(buffer: &mut BytesMut) {
    buffer.put_u32(u32::from(CLOSE) << 24);
}

/// What a peer's bytes amount to.
#[derive(PartialEq, Eq, Debug)]
pub enum Incoming {
    /// A whole message.
    Message(Lane, Bytes),
    /// The orderly end: everything that the peer had to send has arrived.
    Close,
}

/// Why a peer's bytes are not frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// There is no such lane.
    #[error("unknown lane {number}")]
    UnknownLane {
        /// Its number.
        number: u8,
    },
    /// The frame is malformed.
    #[error("{detail}")]
    Malformed {
        /// What is wrong.
        detail: &'static str,
    },
    /// The message exceeds the limit of its lane.
    #[error("message above the limit of {limit} bytes of lane {lane}")]
    TooLarge {
        /// The lane.
        lane: Lane,
        /// Longest message.
        limit: usize,
    },
}

impl From<FrameError> for LinkError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::UnknownLane { number } => Self::UnknownLane { number },
            FrameError::Malformed { detail } => Self::BadFrame { detail },
            FrameError::TooLarge { lane, limit } => Self::PeerTooLarge { lane, limit },
        }
    }
}

/// Puts messages together again. Holds at most one unfinished message per lane, each within the
/// limit of its lane.
#[derive(Debug)]
pub struct FrameDecoder {
    limits: LinkLimits,
    parts: [BytesMut; 3],
}

impl FrameDecoder {
    /// A decoder for a new stream.
    pub fn new(limits: LinkLimits) -> Self {
        Self {
            limits,
            parts: Default::default(),
        }
    }

    /// Takes whole frames from the front of `buffer` until a message is complete; `None` once more
    /// bytes are needed. A message of one frame shares the memory of `buffer`.
    ///
    /// # Errors
    ///
    /// [`FrameError`]; the stream cannot go on after it.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Incoming>, FrameError> {
        while let Some(header) = buffer.first_chunk::<HEADER_BYTES>() {
            let header = Header::parse(*header)?;
            let Header::Part {
                lane,
                length,
                is_last,
            } = header
            else {
                buffer.advance(HEADER_BYTES);
                return Ok(Some(Incoming::Close));
            };
            self.check_limit(lane, length)?;
            if buffer.len() < HEADER_BYTES + length {
                return Ok(None);
            }
            buffer.advance(HEADER_BYTES);
            let part = buffer.split_to(length);
            if let Some(message) = self.add(lane, part, is_last) {
                return Ok(Some(Incoming::Message(lane, message)));
            }
        }
        Ok(None)
    }

    /// True if a message has begun and not ended.
    pub fn has_parts(&self) -> bool {
        self.parts.iter().any(|parts| !parts.is_empty())
    }

    fn check_limit(&self, lane: Lane, length: usize) -> Result<(), FrameError> {
        let limit = self.limits.lane(lane).message_bytes;
        if self.parts[lane.index()].len() + length > limit {
            return Err(FrameError::TooLarge { lane, limit });
        }
        Ok(())
    }

    fn add(&mut self, lane: Lane, part: BytesMut, is_last: bool) -> Option<Bytes> {
        let parts = &mut self.parts[lane.index()];
        if is_last && parts.is_empty() {
            return Some(part.freeze());
        }
        if parts.is_empty() {
            parts.reserve(FIRST_PARTS_BYTES.min(self.limits.lane(lane).message_bytes));
        }
        parts.extend_from_slice(&part);
        is_last.then(|| std::mem::take(parts).freeze())
    }
}

enum Header {
    Part {
        lane: Lane,
        length: usize,
        is_last: bool,
    },
    Close,
}

impl Header {
    fn parse([kind, high, mid, low]: [u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let malformed = |detail| Err(FrameError::Malformed { detail });
        let length = u32::from_be_bytes([0, high, mid, low]) as usize;
        if kind & CLOSE != 0 {
            let exact = kind == CLOSE && length == 0;
            return if exact {
                Ok(Self::Close)
            } else {
                malformed("a close frame with content")
            };
        }
        let number = kind & LANE;
        let lane = Lane::from_number(number).ok_or(FrameError::UnknownLane { number })?;
        let is_last = kind & END != 0;
        if length > MAX_PART_BYTES {
            return malformed("longer than a frame may be");
        }
        // Only a full part may be followed by another: no endless trickle of tiny frames.
        if !is_last && length != MAX_PART_BYTES {
            return malformed("a part that is not the last and not full");
        }
        Ok(Self::Part {
            lane,
            length,
            is_last,
        })
    }
}

/// Room for the first parts of a message: most messages of more than one frame fit.
const FIRST_PARTS_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests;
