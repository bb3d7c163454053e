//! One association: a one-to-one style socket (RFC 6458, section 4) within tokio.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::config::SctpConfig;
use super::paths::PathState;
use super::socket::Piece;
use super::{layout, socket};
use crate::error::LinkError;
use crate::lane::Lane;

/// An association, or the socket that waits for them.
#[derive(Debug)]
pub(super) struct Association(AsyncFd<Socket>);

impl Association {
    /// A socket at `local` that accepts associations.
    pub(super) fn listen(local: &[SocketAddr], config: &SctpConfig) -> Result<Self, LinkError> {
        let open = || {
            let socket = open(local[0], config)?;
            // A restarted unit must not wait until associations of its former life are forgotten.
            socket.set_reuse_address(true)?;
            bind(&socket, local)?;
            socket.listen(BACKLOG)?;
            Ok(Self(socket::watched(socket)?))
        };
        open().map_err(|error| bind_error(local[0], error))
    }

    /// The address of the socket.
    pub(super) fn local(&self) -> io::Result<SocketAddr> {
        address(self.0.get_ref())
    }

    /// The next association. Errors, such as too many open files, are waited out.
    pub(super) async fn accept(&self) -> (Self, SocketAddr) {
        loop {
            match self.try_accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an association, trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn try_accept(&self) -> io::Result<(Self, SocketAddr)> {
        loop {
            let mut ready = self.0.readable().await?;
            let Ok(accepted) = ready.try_io(|socket| socket.get_ref().accept()) else {
                continue;
            };
            let (socket, remote) = accepted?;
            let remote = remote.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
            socket.set_nonblocking(true)?;
            prepare(&socket)?;
            prefer_control(&socket);
            return Ok((Self(socket::watched(socket)?), remote));
        }
    }

    /// Connects from `local`, with a port of the system's choice, to all of `remote`.
    pub(super) async fn connect(
        local: &[SocketAddr],
        remote: &[SocketAddr],
        config: &SctpConfig,
        limit: Duration,
    ) -> Result<Self, LinkError> {
        let open = || {
            let socket = open(local[0], config)?;
            let any_port: Vec<_> = local.iter().map(|a| with_port(*a, 0)).collect();
            bind(&socket, &any_port)?;
            Ok(Self(socket::watched(socket)?))
        };
        let association = open().map_err(|error| bind_error(local[0], error))?;
        let address = remote[0];
        match tokio::time::timeout(limit, association.finish_connect(remote)).await {
            Ok(Ok(())) => Ok(association),
            Ok(Err(error)) => Err(LinkError::Connect {
                address,
                source: Arc::new(error),
            }),
            Err(_) => Err(LinkError::ConnectTimeout { address, limit }),
        }
    }

    async fn finish_connect(&self, remote: &[SocketAddr]) -> io::Result<()> {
        let socket = self.0.get_ref();
        match socket::set_option(socket, layout::CONNECTX, &layout::addresses(remote)) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        loop {
            // A refusal makes the socket readable, for its notification, and not writable.
            let both = Interest::READABLE | Interest::WRITABLE;
            let mut ready = self.0.ready(both).await?;
            if let Some(error) = socket.take_error()? {
                return Err(error);
            }
            if socket.peer_addr().is_ok() {
                prefer_control(socket);
                return Ok(());
            }
            ready.clear_ready();
        }
    }

    /// How an address of the peer is; `None` if the association does not use it.
    pub(super) fn path(&self, address: SocketAddr) -> Option<PathState> {
        let mut info = layout::path_info(address);
        socket::option(self.0.get_ref(), layout::PEER_ADDR_INFO, &mut info).ok()?;
        match layout::path_info_state(&info)? {
            0 => Some(PathState::Unreachable),
            1 => Some(PathState::PotentiallyFailed),
            2 => Some(PathState::Available),
            _ => Some(PathState::Unknown),
        }
    }

    /// Sends a message of at most [`MAX_MESSAGE_BYTES`] on a stream.
    pub(super) fn poll_send(
        &self,
        context: &mut Context<'_>,
        stream: u16,
        message: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.0.poll_write_ready(context))?;
            let sent = ready.try_io(|socket| socket::send(socket.get_ref(), stream, message));
            if let Ok(result) = sent {
                return Poll::Ready(result);
            }
        }
    }

    /// Receives into the spare room of `buffer`. Cancel safe.
    pub(super) async fn receive(&self, buffer: &mut BytesMut) -> io::Result<Option<Piece>> {
        loop {
            let mut ready = self.0.readable().await?;
            let received = ready.try_io(|socket| socket::receive(socket.get_ref(), buffer));
            if let Ok(result) = received {
                return result;
            }
        }
    }

    /// Lets what was sent reach the peer before the association ends. Without this, its end is an
    /// ABORT: also when this process is killed, so that the peer knows at once.
    pub(super) fn end_gracefully(&self) {
        let _ = self.0.get_ref().set_linger(None);
    }

    /// Sends what is queued and then nothing more.
    pub(super) fn shutdown(&self) {
        self.end_gracefully();
        let _ = self.0.get_ref().shutdown(std::net::Shutdown::Write);
    }
}

/// True if the kernel has SCTP.
pub fn is_supported() -> bool {
    new_socket(Domain::IPV4).is_ok()
}

fn new_socket(domain: Domain) -> io::Result<Socket> {
    Socket::new(
        domain,
        Type::STREAM,
        Some(Protocol::from(libc::IPPROTO_SCTP)),
    )
}

fn open(local: SocketAddr, config: &SctpConfig) -> io::Result<Socket> {
    let socket = new_socket(Domain::for_address(local))?;
    socket.set_nonblocking(true)?;
    prepare(&socket)?;
    let [least, most] = config.retransmit_timeout;
    let set = |name, value: &[u8]| socket::set_option(&socket, name, value);
    // Cautious until a round trip was measured, but within the bounds.
    set(layout::RTOINFO, &layout::rto_info(most, least, most))?;
    set(
        layout::ASSOCINFO,
        &layout::assoc_params(config.assoc_retransmit),
    )?;
    set(
        layout::PEER_ADDR_PARAMS,
        &layout::path_params(config.heartbeat, config.path_retransmit),
    )?;
    set(layout::INITMSG, &layout::init_message(STREAMS))?;
    Ok(socket)
}

/// What each socket needs, be it for associations to come or accepted.
fn prepare(socket: &Socket) -> io::Result<()> {
    let on = 1_u32.to_ne_bytes();
    let set = |name, value: &[u8]| socket::set_option(socket, name, value);
    set(layout::NODELAY, &on)?;
    set(layout::RECVRCVINFO, &on)?;
    for kind in [
        layout::ASSOC_CHANGE,
        layout::PEER_ADDR_CHANGE,
        layout::SHUTDOWN_EVENT,
        layout::PARTIAL_DELIVERY_EVENT,
    ] {
        set(layout::EVENT, &layout::event(kind))?;
    }
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)
}

/// What the kernel has queued leaves in the order of the lanes. Kernels before 4.15 cannot.
fn prefer_control(socket: &Socket) {
    let by_priority = layout::assoc_value(layout::SCHEDULE_BY_PRIORITY);
    let mut set = socket::set_option(socket, layout::STREAM_SCHEDULER, &by_priority);
    for lane in Lane::ALL {
        let value = layout::stream_value(lane.index() as u16, lane.index() as u16);
        set = set.and_then(|()| socket::set_option(socket, layout::STREAM_SCHEDULER_VALUE, &value));
    }
    if let Err(error) = set {
        tracing::debug!(%error, "no priorities of SCTP streams; keepalives may be delayed by bulk");
    }
}

/// The first address decides on the port of all.
fn bind(socket: &Socket, local: &[SocketAddr]) -> io::Result<()> {
    socket.bind(&local[0].into())?;
    let port = address(socket)?.port();
    for other in &local[1..] {
        let other = layout::addresses(&[with_port(*other, port)]);
        socket::set_option(socket, layout::BINDX_ADD, &other)?;
    }
    Ok(())
}

/// Keeps the scope, without which a link-local address says nothing.
pub(super) fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

fn address(socket: &Socket) -> io::Result<SocketAddr> {
    let address = socket.local_addr()?;
    address
        .as_socket()
        .ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

pub(super) fn bind_error(address: SocketAddr, error: io::Error) -> LinkError {
    if matches!(
        error.raw_os_error(),
        Some(libc::EPROTONOSUPPORT | libc::ESOCKTNOSUPPORT)
    ) {
        let detail = "this kernel has no SCTP; load its module (modprobe sctp), or use TCP or QUIC";
        return LinkError::Config {
            detail: detail.to_owned(),
        };
    }
    LinkError::Bind {
        address,
        source: Arc::new(error),
    }
}

/// Longest message: a TLS record (RFC 8446, section 5.2) in one, so that no lane waits for more
/// than that of another.
pub(super) const MAX_MESSAGE_BYTES: usize = 5 + 16 * 1024 + 256;
/// One for each lane.
const STREAMS: u16 = Lane::ALL.len() as u16;
const BACKLOG: i32 = 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What the kernel queues of a link; the kernel doubles it for its own needs.
const SEND_BUFFER_BYTES: usize = 128 * 1024;
