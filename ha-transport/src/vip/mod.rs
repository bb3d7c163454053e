//! Virtual addresses: they are where the active role is.
//!
//! [`VirtualAddresses::take`] puts the addresses of a group onto their interfaces and announces them,
//! so that the neighbours' caches and the switches follow at once: gratuitous ARP (RFC 5227 §3, both
//! as request and as reply) and unsolicited neighbour advertisements (RFC 4861 §7.2.6).
//! [`VirtualAddresses::release`] removes them.
//!
//! Nobody else's address is touched: what was added is removed, exactly. Ours carry a mark in the kernel (IFA_PROTO, since Linux 5.18), by
//! which a process that starts again after a crash finds what its former life left
//! ([`VirtualAddresses::clean_up`]). An address that is there without the mark is an error.
//!
//! There is no duplicate address detection: the other unit may be dead, hung, or unreachable for us
//! alone, and waiting for its answer would delay each takeover. Who holds the role is decided by the
//! redundancy facility, not by the network.
//!
//! Calls take a few system calls for each address, and wait for nobody: announcements are sent by a thread
//! of their own.

mod address;
mod announce;
mod error;
mod rtnetlink;

use std::collections::HashSet;
use std::time::Duration;

use ha_core::time::Time;

pub use address::{InvalidVirtualAddress, VirtualAddress};
pub use error::VipError;

use announce::Announcer;
use rtnetlink::{Added, Interfaces, Placed};

/// The virtual addresses of a group.
#[derive(Debug)]
pub struct VirtualAddresses {
    addresses: Vec<VirtualAddress>,
    is_taken: bool,
    /// What was put onto an interface, and is to be removed: never more, never less.
    placed: HashSet<Placed>,
    /// When to look whether all are still there.
    look: Time,
    /// Announcements that are still to come, and when the next one is due.
    repeats: Option<(u32, Time)>,
    announcer: Announcer,
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
        let mut known = HashSet::new();
        for address in &addresses {
            // A link-local address may be on each of several links.
            if !known.insert((&address.interface, address.address)) {
                return Err(VipError::Twice(address.address));
            }
        }
        Ok(Self {
            addresses,
            is_taken: false,
            placed: HashSet::new(),
            look: Time::ZERO,
            repeats: None,
            announcer: Announcer::default(),
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
    /// An address that somebody else configured; a lack of privileges.
    pub fn clean_up(&mut self) -> Result<usize, VipError> {
        let mut interfaces = Interfaces::open()?;
        let (mut removed, mut outcome) = (0, Ok(()));
        for address in &self.addresses {
            for found in interfaces.find(address)? {
                if found.ours {
                    interfaces.remove(&found.placed)?;
                    removed += 1;
                } else {
                    outcome = Err(rtnetlink::in_use(address, found.placed.index));
                }
            }
        }
        self.is_taken = false;
        outcome.map(|()| removed)
    }

    /// This unit became active: the addresses come here, and are announced, now and by
    /// [`tick`](Self::tick) a few times more.
    ///
    /// # Errors
    /// As for [`clean_up`](Self::clean_up), and an interface that is not there. Those that could be
    /// added are here and are announced; [`release`](Self::release) removes them.
    pub fn take(&mut self, now: Time) -> Result<(), VipError> {
        self.is_taken = true;
        self.repeats = Some((REPEATS, now + REPEAT_INTERVAL));
        self.put(now)
    }

    /// This unit is not active any more: the addresses go.
    ///
    /// # Errors
    /// When one could not be removed; the others are gone. Call it again then.
    pub fn release(&mut self) -> Result<(), VipError> {
        (self.is_taken, self.repeats) = (false, None);
        if self.placed.is_empty() {
            return Ok(());
        }
        let mut interfaces = Interfaces::open()?;
        let mut outcome = Ok(());
        self.placed
            .retain(|placed| match interfaces.remove(placed) {
                Ok(()) => false,
                Err(error) => {
                    outcome = Err(error);
                    true
                }
            });
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
            self.announcer.announce(self.addresses.clone());
            let left = left - 1;
            self.repeats = (left > 0).then(|| (left, now + REPEAT_INTERVAL));
        }
        if !self.is_taken || now < self.look {
            return Ok(());
        }
        self.put(now)
    }

    /// Adds what is not there, all of it first, and announces it.
    fn put(&mut self, now: Time) -> Result<(), VipError> {
        self.look = now + LOOK_INTERVAL;
        let mut interfaces = Interfaces::open()?;
        let (mut outcome, mut fresh) = (Ok(()), Vec::new());
        for address in &self.addresses {
            match interfaces.add(address) {
                Ok((placed, added)) => {
                    self.placed.insert(placed);
                    if added == Added::Now {
                        fresh.push(address.clone());
                    }
                }
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        self.announcer.announce(fresh);
        outcome
    }
}

/// The most virtual addresses of a group.
pub const MAX_ADDRESSES: usize = 1024;

/// Announcements after the first one.
const REPEATS: u32 = 4;
const REPEAT_INTERVAL: Duration = Duration::from_millis(250);
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
