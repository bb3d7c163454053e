//! Headers, and the messages of a datagram.

use core::fmt;

use super::buffer::Buffer;
use super::error::{DecodeError, EncodeError};
use super::message::Message;
use super::wire::{Wire, align, wire};

wire! {
    /// `nlmsghdr`, as an error repeats it.
    pub struct Header[16] {
        /// Bytes of the message, this header included.
        len: u32,
        /// One of [`kind`](super::kind).
        kind: u16,
        /// Bits of [`flag`].
        flags: u16,
        /// Pairs answers with requests.
        sequence: u32,
        /// The netlink port of the sender of a request; 0 is the kernel.
        port: u32,
    }
}

/// Bits of `nlmsg_flags` (NLM_F_*). What 0x100 and above mean depends on the message.
pub mod flag {
    /// A request.
    pub const REQUEST: u16 = 1;
    /// Part of an answer of several messages, which ends with NLMSG_DONE.
    pub const MULTI: u16 = 2;
    /// The sender asks for an acknowledgement.
    pub const ACK: u16 = 4;
    /// A dump that changes of the database interrupted: it may miss entries.
    pub const DUMP_INTR: u16 = 0x10;
    /// Of NEW: replace what is there.
    pub const REPLACE: u16 = 0x100;
    /// Of NEW: fail if it is there.
    pub const EXCL: u16 = 0x200;
    /// Of NEW: make what is not there.
    pub const CREATE: u16 = 0x400;
    /// Of GET: all of them.
    pub const DUMP: u16 = 0x300;
    /// Of errors: the request is not repeated in them.
    pub const CAPPED: u16 = 0x100;
    /// Of errors: attributes follow.
    pub const ACK_TLVS: u16 = 0x200;
}

/// A message with its header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Bits of [`flag`].
    pub flags: u16,
    /// Pairs answers with requests.
    pub sequence: u32,
    /// The netlink port of the requester; 0 in requests and events.
    pub port: u32,
    /// The message.
    pub message: Message,
}

impl Packet {
    /// Appends the packet, padded to four bytes.
    ///
    /// # Errors
    /// If an attribute is too long, or there are too many. What was there before stays.
    pub fn encode(&self, out: &mut Buffer) -> Result<(), EncodeError> {
        let begin = out.len();
        let done = self.encode_behind(begin, out);
        if done.is_err() {
            out.truncate(begin);
        }
        done
    }

    fn encode_behind(&self, begin: usize, out: &mut Buffer) -> Result<(), EncodeError> {
        out.reserve(Header::BYTES)
            .extend_from_slice(&[0; Header::BYTES]);
        self.message.encode(self.flags, out)?;
        // 256 attributes of 64 KiB at most.
        let len = (out.len() - begin) as u32;
        let header = Header {
            len,
            kind: self.message.kind(),
            flags: self.flags,
            sequence: self.sequence,
            port: self.port,
        };
        let mut bytes = Vec::with_capacity(Header::BYTES);
        header.write(&mut bytes);
        if let Some(place) = out.as_mut_bytes().get_mut(begin..begin + Header::BYTES) {
            place.copy_from_slice(&bytes);
        }
        let padding = align(len as usize) - len as usize;
        out.reserve(padding).extend_from_slice(&[0; 3][..padding]);
        Ok(())
    }
}

/// The messages of a datagram. It ends after the first header that cannot be right; a message that is
/// damaged within does not hide the next one.
#[derive(Clone)]
pub struct Packets<'a> {
    offset: usize,
    rest: &'a [u8],
}

impl<'a> Packets<'a> {
    /// Of this datagram.
    pub const fn new(datagram: &'a [u8]) -> Self {
        Self {
            offset: 0,
            rest: datagram,
        }
    }

    fn split(&mut self) -> Result<(Header, &'a [u8]), DecodeError> {
        let fault = |claimed| DecodeError::Header {
            offset: self.offset,
            claimed,
            available: self.rest.len(),
        };
        let header = Header::from_prefix(self.rest).ok_or(fault(Header::BYTES))?;
        let claimed = header.len as usize;
        let payload = self
            .rest
            .get(Header::BYTES..claimed)
            .ok_or(fault(claimed))?;
        let step = align(claimed).min(self.rest.len());
        self.rest = self.rest.get(step..).unwrap_or_default();
        self.offset += step;
        Ok((header, payload))
    }
}

/// The length alone: there are keys in it.
impl fmt::Debug for Packets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packets({} bytes)", self.rest.len())
    }
}

impl Iterator for Packets<'_> {
    type Item = Result<Packet, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (header, payload) = match self.split() {
            Ok(split) => split,
            Err(error) => {
                self.rest = &[];
                return Some(Err(error));
            }
        };
        let message = Message::decode(header.kind, header.flags, payload);
        Some(message.map(|message| Packet {
            flags: header.flags,
            sequence: header.sequence,
            port: header.port,
            message,
        }))
    }
}
