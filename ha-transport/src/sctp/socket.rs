//! The calls to the kernel that no safe library offers: SCTP socket options, and receiving with
//! `MSG_NOTIFICATION`. The only file of the crate with unsafe code.

use std::io;
use std::os::fd::AsRawFd;

use bytes::BytesMut;
use socket2::{MsgHdr, Socket};
use tokio::io::unix::AsyncFd;

use super::layout;

/// What one call of `recvmsg` brought into the buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    pub(super) length: usize,
    /// The stream, of data.
    pub(super) stream: Option<u16>,
    /// From the kernel, not from the peer (`MSG_NOTIFICATION`).
    pub(super) is_notification: bool,
    /// The last piece of its message (`MSG_EOR`).
    pub(super) is_last: bool,
}

/// The socket within tokio; to be called within a runtime.
pub(super) fn watched(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: `Socket` owns an open descriptor, answers `as_raw_fd` always with it, and closes it
    // only when it is dropped, which `AsyncFd` does after its own use. Nothing takes it out.
    Ok(unsafe { AsyncFd::register(socket) }?)
}

/// Sets an option of level `IPPROTO_SCTP`. `connectx` answers with the id of the association.
pub(super) fn set_option(socket: &Socket, name: i32, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(io::Error::other)?;
    // SAFETY: `value` is readable for `length` bytes during the call, and the kernel copies it.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_SCTP,
            name,
            value.as_ptr().cast(),
            length,
        )
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Reads an option of level `IPPROTO_SCTP` into `value`, which the kernel reads as well: the address
/// that is asked about.
pub(super) fn option(socket: &Socket, name: i32, value: &mut [u8]) -> io::Result<()> {
    let mut length = libc::socklen_t::try_from(value.len()).map_err(io::Error::other)?;
    // SAFETY: `value` is readable and writable for `length` bytes during the call, and the kernel
    // writes no more than `length` says.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_SCTP,
            name,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Sends one message on `stream`.
pub(super) fn send(socket: &Socket, stream: u16, message: &[u8]) -> io::Result<usize> {
    let control = layout::send_info(stream);
    let buffers = [io::IoSlice::new(message)];
    let header = MsgHdr::new().with_buffers(&buffers).with_control(&control);
    socket.sendmsg(&header, libc::MSG_NOSIGNAL)
}

/// Receives a message, or a piece of one, into the spare room of `buffer`, of which there must be
/// some. `None` at the end of the association.
pub(super) fn receive(socket: &Socket, buffer: &mut BytesMut) -> io::Result<Option<Piece>> {
    let old = buffer.len();
    let spare = buffer.spare_capacity_mut();
    let mut part = libc::iovec {
        iov_base: spare.as_mut_ptr().cast(),
        iov_len: spare.len(),
    };
    let mut control = [0_u8; layout::CONTROL_BYTES];
    // SAFETY: `msghdr` is plain data for which all zeros is a value: no name, buffers or control.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = control.len() as _;
    // SAFETY: `header` points to one buffer that is writable for `iov_len` bytes and to a control
    // buffer that is writable for `msg_controllen` bytes; both outlive the call.
    let count = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0) };
    let Ok(length) = usize::try_from(count) else {
        return Err(io::Error::last_os_error());
    };
    let is_notification = header.msg_flags & MSG_NOTIFICATION != 0;
    if length == 0 {
        return Ok(None);
    }
    // SAFETY: the kernel has written `length` bytes, which is at most `iov_len`, behind the first
    // `old`.
    unsafe { buffer.set_len(old + length) };
    let used = (header.msg_controllen as usize).min(control.len());
    Ok(Some(Piece {
        length,
        stream: layout::received_stream(&control[..used]),
        is_notification,
        is_last: header.msg_flags & libc::MSG_EOR != 0,
    }))
}

/// `include/uapi/linux/sctp.h`.
const MSG_NOTIFICATION: i32 = 0x8000;
