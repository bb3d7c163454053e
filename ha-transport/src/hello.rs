//! The first bytes on a connection.
//!
//! With TLS 1.3 the dialling end finishes its handshake before the accepting end has checked its
//! key. Therefore both ends send these bytes once they have checked the other, and a link exists
//! for an end once it has seen them.

use crate::error::LinkError;

/// Length of a hello.
pub(crate) const HELLO_BYTES: usize = 8;

/// The hello of this release; `part` tells the streams of one connection apart.
pub(crate) const fn hello(part: u8) -> [u8; HELLO_BYTES] {
    [b'h', b'a', b'-', b'l', b'i', b'n', VERSION, part]
}

/// The part that the peer's hello names.
pub(crate) fn check(seen: [u8; HELLO_BYTES]) -> Result<u8, LinkError> {
    let part = seen[HELLO_BYTES - 1];
    if seen == hello(part) {
        Ok(part)
    } else {
        Err(LinkError::NotALink {
            seen: seen.to_vec(),
        })
    }
}

/// The version of the framing. An incompatible successor gets another ALPN as well.
const VERSION: u8 = 1;
