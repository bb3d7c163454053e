//! Sockets of NETLINK_XFRM.
//!
//! [`XfrmSocket`] asks and waits for the answer; [`XfrmEvents`] is told. They are two sockets, since a
//! burst of events must not push out answers. Both belong to the network namespace in which they were
//! opened.

mod error;
mod events;
mod netlink;
mod requests;

pub use error::{KernelError, SocketError};
pub use events::{Event, Group, XfrmEvents};
pub use requests::{MAX_DUMP, XfrmSocket};
