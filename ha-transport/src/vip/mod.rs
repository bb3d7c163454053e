//! Virtual addresses: they are where the active role is.
//!
//! [`VirtualAddresses::take`] puts the addresses of a group onto their interfaces and announces them,
//! so that the neighbours' caches and the switches follow at once: gratuitous ARP (RFC 5227 §3, both
//! as request and as reply) and unsolicited neighbour advertisements (RFC 4861 §7.2.6).
//! [`VirtualAddresses::release`] removes them.
//!
//! Nobody else's address is touched. Ours carry a mark in the kernel (IFA_PROTO, since Linux 5.18), by
//! which a process that starts again after a crash finds what its former life left
//! ([`VirtualAddresses::clean_up`]). An address that is there without the mark is an error.
//!
//! There is no duplicate address detection: the other unit may be dead, hung, or unreachable for us
//! alone, and waiting for its answer would delay each takeover. Who holds the role is decided by the
//! redundancy facility, not by the network.
//!
//! Calls take a few system calls for each address, and do not wait for the network.

mod address;
mod announce;
mod error;
mod rtnetlink;

use std::time::Duration;

use ha_core::time::Time;

pub use address::{InvalidVirtualAddress, VirtualAddress};
pub use error::VipError;

use announce::announce;
use rtnetlink::{Added, Interfaces};

/// The virtual addresses of a group.
#[derive(Debug)]
pub struct VirtualAddresses {
    addresses: Vec<VirtualAddress>,
    is_taken: bool,
    /// When to look whether all are still there.
    look: Time,
    /// Announcements that are still to come, and when the next one is due.
    repeats: Option<(u32, Time)>,
}

impl VirtualAddresses {
    /// Addresses that are not here yet.
    ///
    /// # Errors
    /// If there are more than [`MAX_ADDRESSES`], or one is named twice.
    pub fn new(addresses: Vec<VirtualAddress>) -> Result<Self, VipError> {
        if addresses.len() > MAX_ADDRESSES {
            return Err(VipError::TooMany {
                got: addresses.len(),
                allowed: MAX_ADDRESSES,
            });
        }
        for (place, address) in addresses.iter().enumerate() {
            let before = &addresses[..place];
            if before.iter().any(|it| it.address == address.address) {
                return Err(VipError::Twice(address.address));
            }
        }
        Ok(Self {
            addresses,
            is_taken: false,
            look: Time::ZERO,
            repeats: None,
        })
    }

    /// The addresses.
    pub fn addresses(&self) -> &[VirtualAddress] {
        &self.addresses
    }

    /// Whether the addresses belong here.
    pub const fn is_taken(&self) -> bool {
        self.is_taken
    }

    /// Removes what a former life of this program left, before the role is known. Returns how many.
    ///
    /// # Errors
    /// An address that somebody else configured; an interface that is not there; a lack of
    /// privileges.
    pub fn clean_up(&mut self) -> Result<usize, VipError> {
        let mut interfaces = Interfaces::open()?;
        let mut removed = 0;
        for address in &self.addresses {
            removed += usize::from(interfaces.remove_marked(address)?);
        }
        self.is_taken = false;
        Ok(removed)
    }

    /// This unit became active: the addresses come here and are announced, now and by
    /// [`tick`](Self::tick) a few times more.
    ///
    /// # Errors
    /// As for [`clean_up`](Self::clean_up). Those that could be added are here and are announced;
    /// [`release`](Self::release) removes them.
    pub fn take(&mut self, now: Time) -> Result<(), VipError> {
        self.is_taken = true;
        self.repeats = Some((REPEATS, now + REPEAT_INTERVAL));
        self.put(now)
    }

    /// This unit is not active any more: the addresses go.
    ///
    /// # Errors
    /// When one could not be removed; the others are gone.
    pub fn release(&mut self) -> Result<(), VipError> {
        (self.is_taken, self.repeats) = (false, None);
        let mut interfaces = Interfaces::open()?;
        let mut outcome = Ok(());
        for address in &self.addresses {
            match interfaces.remove_marked(address) {
                // Not ours, or gone with its interface: it does not attract packets on our behalf.
                Ok(_) | Err(VipError::InUse { .. } | VipError::NoInterface(_)) => {}
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    /// Repeats announcements that are due, since one may get lost, and puts back what is missing: an
    /// interface that came back, an address that somebody removed. Call it every 10 to 100 ms.
    ///
    /// # Errors
    /// As for [`take`](Self::take), about once a second.
    pub fn tick(&mut self, now: Time) -> Result<(), VipError> {
        if let Some((left, due)) = self.repeats
            && now >= due
        {
            self.addresses.iter().for_each(announce_or_say);
            let left = left - 1;
            self.repeats = (left > 0).then(|| (left, now + REPEAT_INTERVAL));
        }
        if !self.is_taken || now < self.look {
            return Ok(());
        }
        self.put(now)
    }

    /// Adds what is not there, and announces it.
    fn put(&mut self, now: Time) -> Result<(), VipError> {
        self.look = now + LOOK_INTERVAL;
        let mut interfaces = Interfaces::open()?;
        let mut outcome = Ok(());
        for address in &self.addresses {
            match interfaces.add(address) {
                Ok(Added::Now) => announce_or_say(address),
                Ok(Added::Before) => {}
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }
}

/// The address works without it, only later: neighbours ask again by themselves.
fn announce_or_say(address: &VirtualAddress) {
    if let Err(error) = announce(address) {
        tracing::warn!(%address, %error, "the address could not be announced");
    }
}

/// The most virtual addresses of a group.
pub const MAX_ADDRESSES: usize = 1024;

/// Announcements after the first one.
const REPEATS: u32 = 4;
const REPEAT_INTERVAL: Duration = Duration::from_millis(250);
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
