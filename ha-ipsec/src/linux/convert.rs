//! Between the kernel's SAs and [`IpsecSa`](crate::record::IpsecSa).
//!
//! [`import`] makes a record of an SA that a dump or an event showed, [`export`] makes an SA to be
//! installed (NEWSA, UPDSA) of a record. [`SaHandle`] names an SA of the kernel for everything else:
//! to read it, delete it, and set its numbers. [`copy`] goes without a record, on one kernel.
//!
//! # What a record cannot hold
//! Policies: they are what they are, and a mirror carries them as messages. Of an SA: a limit since
//! the first use, the interface and the user of its selector, and attributes without a field in the
//! record. They are listed in [`Imported::left_out`], so that the caller can refuse. Modes other than
//! tunnel and transport, encapsulation in TCP, and algorithms without a number at IANA are errors.
//!
//! # Selectors
//! An SA of the kernel has one selector, or any. `import` takes that one, or else those of the
//! policies that it is given, for `show`. A mirror gives it no policies, and sets
//! [`Export::selector`] on the other unit: then the record has selectors exactly if the SA has its own,
//! and the copy has the same. Selectors that come from policies must not become an SA's own, since it
//! may serve others later.

mod algorithms;
mod error;
mod export;
mod handle;
mod import;
mod selectors;
#[cfg(all(test, not(loom)))]
mod tests;

use core::net::IpAddr;

pub use error::{ConvertError, LeftOut};
pub use export::{Export, export};
pub use handle::{SaHandle, copy};
pub use import::{Imported, import, import_id};

/// What only this machine knows.
pub trait Machine {
    /// Whether an address is this gateway's, its virtual addresses included: an SA to it is inbound.
    /// Asked only if the kernel does not say the direction (before Linux 6.10).
    fn is_local(&self, address: IpAddr) -> bool;

    /// The name of a network device, for offloaded SAs.
    fn device_name(&self, _index: i32) -> Option<String> {
        None
    }

    /// The index of a network device, for offloaded SAs.
    fn device_index(&self, _name: &str) -> Option<i32> {
        None
    }
}

/// The addresses of the gateway; no devices.
impl Machine for [IpAddr] {
    fn is_local(&self, address: IpAddr) -> bool {
        self.contains(&address)
    }
}
