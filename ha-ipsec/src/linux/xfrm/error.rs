//! What can be wrong with a message.

use core::fmt;

use super::attribute::attr;
use super::message::kind;

/// Why bytes are no message. No text holds a byte of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A header that says less than a header, or more than there is.
    #[error(
        "a netlink header at byte {offset} says {claimed} bytes where {available} are; the datagram \
         was cut off, or is none"
    )]
    Header {
        /// Where the header begins in the datagram.
        offset: usize,
        /// The length that it says.
        claimed: usize,
        /// The bytes from there to the end.
        available: usize,
    },
    /// A part of a message with too few bytes.
    #[error(
        "{part} at byte {offset} of its message has {length} bytes where {expected} are due; the \
         kernel is older than this release knows, or the message is damaged"
    )]
    TooShort {
        /// The message or attribute.
        part: Part,
        /// Where it begins in the message.
        offset: usize,
        /// The bytes that there are.
        length: usize,
        /// The bytes that it takes.
        expected: usize,
    },
    /// An attribute whose header says less than a header, or more than there is.
    #[error(
        "{part} at byte {offset} of its message says {claimed} bytes where {available} are; the \
         message is damaged"
    )]
    AttributeLength {
        /// The attribute.
        part: Part,
        /// Where it begins in the message.
        offset: usize,
        /// The length that it says.
        claimed: usize,
        /// The bytes from there to the end.
        available: usize,
    },
    /// More of something than is allowed.
    #[error("{part} at byte {offset} of its message has {got} {what}, beyond {allowed}")]
    Limit {
        /// The message or attribute.
        part: Part,
        /// Where it begins in the message.
        offset: usize,
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// How many are allowed.
        allowed: usize,
    },
}

/// Why a message cannot be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// An attribute longer than its length field can say.
    #[error("{part} takes {length} bytes where netlink has room for 65535; shorten it")]
    TooLong {
        /// The attribute.
        part: Part,
        /// Bytes, with the header.
        length: usize,
    },
    /// More attributes than a message may have here.
    #[error("a message with {got} attributes, beyond {allowed}", allowed = super::MAX_ATTRIBUTES)]
    Attributes {
        /// How many there are.
        got: usize,
    },
}

/// The part of a message that an error is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Part {
    /// The fixed part of a message of this type (nlmsg_type).
    Message(u16),
    /// An attribute of this type, in a message of that type.
    Attribute {
        /// nla_type.
        kind: u16,
        /// nlmsg_type.
        message: u16,
    },
}

/// "XFRMA_MARK of XFRM_MSG_NEWSA".
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Message(message) => name(f, kind::name(message), "message", message),
            Self::Attribute {
                kind: attribute,
                message,
            } => {
                name(f, attr::name(attribute), "attribute", attribute)?;
                f.write_str(" of ")?;
                name(f, kind::name(message), "message", message)
            }
        }
    }
}

fn name(f: &mut fmt::Formatter<'_>, name: Option<&str>, what: &str, number: u16) -> fmt::Result {
    match name {
        Some(name) => f.write_str(name),
        None => write!(f, "{what} {number}"),
    }
}
