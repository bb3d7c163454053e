//! The SAs and policies of the Linux kernel.
//!
//! - [`xfrm`]: the messages of NETLINK_XFRM, as types and as bytes. No socket, no meaning.
//! - [`socket`]: requests, dumps and events over netlink.
//! - [`convert`]: between the kernel's SAs and [`record::IpsecSa`](crate::record::IpsecSa).
//! - [`replay`]: sequence numbers and windows, in the two forms that the kernel has.
//!
//! Everything that changes the kernel needs CAP_NET_ADMIN in the user namespace that owns the network
//! namespace, and the module `xfrm_user`. A dump with that capability shows keys: they are held in
//! [`Secret`](crate::secret::Secret), and buffers are overwritten after use.

pub mod convert;
pub mod mirror;
pub mod replay;
pub mod socket;
pub mod xfrm;
