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
//!
//! ```no_run
//! use std::net::IpAddr;
//!
//! use ha_ipsec::linux::convert::{Export, SaHandle, export, import};
//! use ha_ipsec::linux::socket::{Event, Group, XfrmEvents, XfrmSocket};
//! use ha_ipsec::linux::xfrm::Message;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // First listen, then dump: what changes meanwhile is told.
//! let mut events = XfrmEvents::open(&[Group::Sa, Group::AsyncEvents], 8 << 20)?;
//! let mut socket = XfrmSocket::open()?;
//! let local: [IpAddr; 1] = ["192.0.2.1".parse()?];
//! for message in socket.dump(&Message::dump_ipsec())? {
//!     let Message::NewSa(sa) = message else { continue };
//!     let Ok(known) = import(&sa, local.as_slice(), &[]) else { continue };
//!     // `known.sa` and `known.replay` go to the other unit, which installs the SA ...
//!     let mut options = Export::default();
//!     options.replay = Some(known.replay.clone());
//!     options.selector = true;
//!     socket.execute(Message::NewSa(export(&known.sa, &options, local.as_slice())?))?;
//!     // ... and moves its numbers on.
//!     let handle = SaHandle::of_record(&known.sa, &options);
//!     let mut ahead = known.replay;
//!     ahead.outbound += 1 << 24;
//!     socket.execute(handle.set_numbers(&ahead, None)?)?;
//! }
//! // When the socket is readable:
//! while let Some(event) = events.next_event()? {
//!     match event {
//!         Event::Message(_message) => {}
//!         Event::Lost => println!("dump everything anew"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```

pub mod convert;
pub mod mirror;
pub mod replay;
pub mod route;
pub mod socket;
pub mod xfrm;
