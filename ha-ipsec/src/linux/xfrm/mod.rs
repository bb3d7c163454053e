//! The messages of NETLINK_XFRM (kernel `include/uapi/linux/xfrm.h`, `net/xfrm/xfrm_user.c`).
//!
//! A [`Packet`] is a header and a [`Message`]; a datagram holds several ([`Packets`]). A message is a
//! fixed part, a struct of this module with the kernel's field names, and [`Attributes`]. What this
//! release does not know — messages, attributes, attributes longer than here — is kept as it came,
//! and written back in its place. Names of algorithms, modes and flags stay the kernel's numbers and
//! texts here: what they mean is the matter of [`convert`](super::convert).
//!
//! # Promises
//! - Decoding never panics, and allocates in proportion to the bytes it was given.
//! - Encoding what was decoded gives the same bytes, but for padding, which is written as zeros.
//! - Keys are in [`Secret`](crate::secret::Secret): `Debug` shows their length, and comparison takes
//!   the same time wherever the first difference is.
//!
//! Structs have the layout of a 64-bit kernel. A 32-bit program under a 64-bit kernel would need its
//! compatibility layouts, which the kernel offers on x86 only; that is not supported.

mod algorithm;
mod attribute;
mod buffer;
mod error;
mod header;
mod message;
mod payload;
mod reply;
mod structs;
#[cfg(all(test, not(loom)))]
mod tests;
mod wire;

pub use algorithm::{AeadAlgorithm, Algorithm, AlgorithmName, AuthAlgorithm};
pub use attribute::{Attribute, Attributes, MAX_ATTRIBUTES, attr};
pub use buffer::Buffer;
pub use error::{DecodeError, EncodeError, Part};
pub use header::{Header, Packet, Packets, flag};
pub use message::{
    AsyncEvent, ExpiredPolicy, ExpiredSa, Flush, Message, Policy, PolicyExpire, PolicyRef, Sa,
    SaExpire, SaRef, SadFigure, SadInfo, SpiRange, SpiRequest, kind,
};
pub use reply::{ExtendedAck, NlError};
pub use structs::{
    Address, AddressFilter, AsyncEventId, Encap, Family, LifetimeConfig, LifetimeCurrent, Mark,
    Offload, PolicyId, PolicyInfo, PolicyType, ReplayEsn, ReplayLegacy, SaId, SaInfo, SaStats,
    SadHashInfo, SecurityContext, Selector, StateId, Template, ae, dir, mode, state_flag,
};
