//! Events.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use super::SocketError;
use super::netlink::Netlink;
use crate::linux::xfrm::{Message, Packets};

/// What XFRM tells of (XFRMNLGRP_*).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
#[repr(u32)]
pub enum Group {
    /// Packets that ask for an SA.
    Acquire = 1,
    /// SAs and policies that reached a limit.
    Expire = 2,
    /// SAs added, changed, deleted, flushed.
    Sa = 3,
    /// Policies added, changed, deleted, flushed.
    Policy = 4,
    /// Numbers of SAs that moved: after net.core.xfrm_aevent_rseqth packets or
    /// net.core.xfrm_aevent_etime. The kernel sends none while nobody listens.
    AsyncEvents = 5,
    /// NAT mappings that changed.
    Mapping = 8,
}

/// An event.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::large_enum_variant, reason = "Lost is rare")]
pub enum Event {
    /// A message of the kernel.
    Message(Message),
    /// The receive buffer ran over: events are missing. Dump everything anew.
    Lost,
}

/// A socket that hears of changes. It never blocks: wait for it to become readable, then call
/// [`next_event`](Self::next_event) until there is nothing left.
pub struct XfrmEvents {
    netlink: Netlink,
    waiting: VecDeque<Message>,
}

impl XfrmEvents {
    /// Listens to these groups, with a receive buffer of about `receive_bytes`: an event of an SA
    /// takes about 2 KiB of it.
    ///
    /// # Errors
    /// Without CAP_NET_ADMIN, or without XFRM.
    pub fn open(groups: &[Group], receive_bytes: usize) -> Result<Self, SocketError> {
        let netlink = Netlink::open()?;
        netlink.set_receive_buffer(receive_bytes)?;
        for group in groups {
            netlink.join(*group as u32)?;
        }
        Ok(Self {
            netlink,
            waiting: VecDeque::new(),
        })
    }

    /// The next event; `None` if there is none yet.
    ///
    /// # Errors
    /// A message that cannot be decoded; the next call goes on behind it. What the system says.
    pub fn next_event(&mut self) -> Result<Option<Event>, SocketError> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Ok(Some(Event::Message(message)));
            }
            match self.receive() {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(SocketError::Lost) => return Ok(Some(Event::Lost)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether a datagram was there.
    fn receive(&mut self) -> Result<bool, SocketError> {
        let Some(datagram) = self.netlink.receive()? else {
            return Ok(false);
        };
        let mut damaged = None;
        for packet in Packets::new(datagram) {
            match packet {
                Ok(packet) => self.waiting.push_back(packet.message),
                Err(error) => damaged = Some(error),
            }
        }
        self.netlink.forget();
        damaged.map_or(Ok(true), |error| Err(error.into()))
    }
}

impl AsFd for XfrmEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.netlink.as_fd()
    }
}

impl AsRawFd for XfrmEvents {
    fn as_raw_fd(&self) -> RawFd {
        self.netlink.as_raw_fd()
    }
}
