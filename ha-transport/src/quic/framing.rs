//! Messages on a stream of their lane: a length of four bytes, big endian, and the message.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::error::LinkError;
use crate::lane::Lane;

/// Length of the header of a message.
const HEADER_BYTES: usize = 4;
/// Messages up to this length are copied together.
const SMALL_BYTES: usize = 8 * 1024;
/// Longest chunk handed over at once.
pub(super) const MAX_CHUNK_BYTES: usize = 64 * 1024;

/// Turns messages into chunks of at most [`MAX_CHUNK_BYTES`], about as many bytes in all, or one
/// message if that is longer.
pub(super) fn encode(mut next: impl FnMut() -> Option<Bytes>, chunks: &mut Vec<Bytes>) {
    let mut buffer = BytesMut::new();
    let mut total = 0;
    while total < MAX_CHUNK_BYTES / 2
        && let Some(mut message) = next()
    {
        total += message.len() + HEADER_BYTES;
        buffer.put_u32(message.len() as u32);
        if message.len() <= SMALL_BYTES {
            buffer.extend_from_slice(&message);
            continue;
        }
        chunks.push(buffer.split().freeze());
        while !message.is_empty() {
            chunks.push(message.split_to(message.len().min(MAX_CHUNK_BYTES)));
        }
    }
    if !buffer.is_empty() {
        chunks.push(buffer.freeze());
    }
}

/// Puts the messages of one stream together again.
#[derive(Debug)]
pub(super) struct Decoder {
    lane: Lane,
    limit: usize,
    chunks: VecDeque<Bytes>,
    available: usize,
    /// Length of the message whose header was read.
    length: Option<usize>,
    message: BytesMut,
}

impl Decoder {
    pub(super) fn new(lane: Lane, limit: usize) -> Self {
        let (chunks, message) = (VecDeque::new(), BytesMut::new());
        Self {
            lane,
            limit,
            chunks,
            available: 0,
            length: None,
            message,
        }
    }

    /// Adds what was read; take all messages with [`next`](Self::next) before adding more.
    pub(super) fn add(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.available += chunk.len();
            self.chunks.push_back(chunk);
        }
    }

    /// The next message that is complete.
    ///
    /// # Errors
    ///
    /// [`LinkError::PeerTooLarge`], before anything is stored for the message.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, LinkError> {
        let length = match self.length {
            Some(length) => length,
            None if self.available < HEADER_BYTES => return Ok(None),
            None => self.header()?,
        };
        if self.message.is_empty() && self.chunks.front().is_some_and(|c| c.len() >= length) {
            self.length = None;
            return Ok(Some(self.take(length)));
        }
        self.collect(length);
        if self.message.len() < length {
            return Ok(None);
        }
        self.length = None;
        Ok(Some(std::mem::take(&mut self.message).freeze()))
    }

    /// True if a message has begun and not ended.
    pub(super) fn has_parts(&self) -> bool {
        self.available > 0 || self.length.is_some()
    }

    fn header(&mut self) -> Result<usize, LinkError> {
        let mut header = [0; HEADER_BYTES];
        for byte in &mut header {
            *byte = self.take(1).first().copied().unwrap_or_default();
        }
        let length = u32::from_be_bytes(header) as usize;
        if length > self.limit {
            return Err(LinkError::PeerTooLarge {
                lane: self.lane,
                limit: self.limit,
            });
        }
        self.length = Some(length);
        Ok(length)
    }

    /// Moves what has arrived of a message of several chunks.
    fn collect(&mut self, length: usize) {
        self.message.reserve(length - self.message.len());
        while self.message.len() < length && !self.chunks.is_empty() {
            let part = self.take(length - self.message.len());
            self.message.extend_from_slice(&part);
        }
    }

    /// Up to `count` bytes of the first chunk.
    fn take(&mut self, count: usize) -> Bytes {
        let Some(front) = self.chunks.front_mut() else {
            return Bytes::new();
        };
        let part = front.split_to(count.min(front.len()));
        if !front.has_remaining() {
            self.chunks.pop_front();
        }
        self.available -= part.len();
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> Bytes {
        (0..length).map(|i| (i * 31 % 251) as u8).collect()
    }

    #[test]
    fn messages_of_all_sizes_survive_in_any_pieces() {
        let limit = 200_000;
        let sizes = [
            0,
            1,
            3,
            0,
            SMALL_BYTES,
            SMALL_BYTES + 1,
            MAX_CHUNK_BYTES + 1,
            limit,
            0,
        ];
        let mut queue: VecDeque<Bytes> = sizes.into_iter().map(message).collect();
        let mut chunks = Vec::new();
        while !queue.is_empty() {
            encode(|| queue.pop_front(), &mut chunks);
        }
        assert!(chunks.iter().all(|chunk| chunk.len() <= MAX_CHUNK_BYTES));
        let bytes = chunks.concat();
        for step in [1, 3, 1400, bytes.len()] {
            let mut decoder = Decoder::new(Lane::Bulk, limit);
            let mut seen = Vec::new();
            for piece in bytes.chunks(step) {
                decoder.add(Bytes::copy_from_slice(piece));
                while let Some(message) = decoder.next().unwrap() {
                    seen.push(message);
                }
            }
            assert!(!decoder.has_parts());
            assert_eq!(seen, sizes.map(message), "pieces of {step}");
        }
    }

    #[test]
    fn a_header_beyond_the_limit_is_refused() {
        let mut decoder = Decoder::new(Lane::Bulk, 1000);
        decoder.add(Bytes::copy_from_slice(&1001_u32.to_be_bytes()));
        assert!(matches!(
            decoder.next(),
            Err(LinkError::PeerTooLarge { limit: 1000, .. })
        ));
        let mut decoder = Decoder::new(Lane::Bulk, 1000);
        decoder.add(Bytes::copy_from_slice(&1000_u32.to_be_bytes()));
        assert!(decoder.next().unwrap().is_none());
        assert!(decoder.has_parts());
    }
}
