//! What both sockets share.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_XFRM};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, sockopt};

use super::SocketError;
use crate::linux::xfrm::Buffer;

pub(super) struct Netlink {
    socket: Socket,
    received: Buffer,
    /// How many bytes of it the last datagram filled.
    filled: usize,
}

impl Netlink {
    pub(super) fn open() -> Result<Self, SocketError> {
        let what = "opening a NETLINK_XFRM socket";
        let mut socket = Socket::new(NETLINK_XFRM).map_err(|e| SocketError::from_io(what, e))?;
        socket
            .bind_auto()
            .map_err(|e| SocketError::from_io(what, e))?;
        // Answers need not repeat keys, and say in words what is wrong. Kernels before 4.12 cannot.
        let _ = socket.set_cap_ack(true);
        let _ = socket.set_ext_ack(true);
        Ok(Self {
            socket,
            received: Buffer::zeroed(DATAGRAM_BYTES),
            filled: 0,
        })
    }

    pub(super) fn join(&self, group: u32) -> Result<(), SocketError> {
        let joined = self.socket.add_membership(group);
        joined.map_err(|e| SocketError::from_io("listening to XFRM events", e))
    }

    /// Beyond net.core.rmem_max with CAP_NET_ADMIN, up to it without.
    pub(super) fn set_receive_buffer(&self, bytes: usize) -> Result<usize, SocketError> {
        let fail = |e: Errno| SocketError::from_io("setting the receive buffer", e.into());
        if sockopt::set_socket_recv_buffer_size_force(&self.socket, bytes).is_err() {
            sockopt::set_socket_recv_buffer_size(&self.socket, bytes).map_err(fail)?;
        }
        sockopt::socket_recv_buffer_size(&self.socket).map_err(fail)
    }

    pub(super) fn send(&self, datagram: &[u8]) -> Result<(), SocketError> {
        let kernel = SocketAddr::new(0, 0);
        loop {
            match self.socket.send_to(datagram, &kernel, 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(SocketError::from_io("sending to the kernel", error)),
            }
        }
    }

    /// The next datagram of the kernel; `None` if there is none yet. It is overwritten by the next
    /// one, and by [`forget`](Self::forget).
    pub(super) fn receive(&mut self) -> Result<Option<&[u8]>, SocketError> {
        // MSG_TRUNC: the length is the datagram's, however much room there is.
        let flags = (RecvFlags::TRUNC | RecvFlags::DONTWAIT).bits() as i32;
        loop {
            let mut room = self.received.as_mut_bytes();
            match self.socket.recv_from(&mut room, flags) {
                // Only the kernel's port is 0: other processes may send to us.
                Ok((_, sender)) if sender.port_number() != 0 => {}
                Ok((length, _)) => {
                    let room = self.received.len();
                    self.filled = length.min(room);
                    if length > room {
                        self.forget();
                        return Err(SocketError::Truncated { length, room });
                    }
                    return Ok(self.received.as_bytes().get(..length));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(SocketError::from_io("receiving", error)),
            }
        }
    }

    /// Overwrites what was received.
    pub(super) fn forget(&mut self) {
        if let Some(filled) = self.received.as_mut_bytes().get_mut(..self.filled) {
            zeroize::Zeroize::zeroize(filled);
        }
    }

    /// Waits until something is there.
    pub(super) fn wait(&self, timeout_ms: u32) -> Result<(), SocketError> {
        let timeout = Timespec {
            tv_sec: (timeout_ms / 1000).into(),
            tv_nsec: (timeout_ms % 1000 * 1_000_000).into(),
        };
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => Err(SocketError::Timeout {
                waited_ms: timeout_ms,
            }),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(SocketError::from_io("waiting for the kernel", error.into())),
        }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Netlink {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// The kernel's dumps come in datagrams of up to 32 KiB.
const DATAGRAM_BYTES: usize = 64 * 1024;
