//! Sockets: listening, connecting, and the options that keep the kernel's queues short.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::error::LinkError;
use crate::limits::LinkLimits;

pub(super) fn listen(address: SocketAddr) -> Result<TcpListener, LinkError> {
    try_listen(address).map_err(|error| bind_error(address, error))
}

fn try_listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restarted unit must not wait until connections of its former life are forgotten.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

pub(super) fn bind_error(address: SocketAddr, error: io::Error) -> LinkError {
    LinkError::Bind {
        address,
        source: Arc::new(error),
    }
}

/// The next connection. Errors, such as too many open files, are waited out.
pub(super) async fn accept(listener: &TcpListener, limits: &LinkLimits) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                tune(&stream, limits);
                return (stream, remote);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection, trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Connects from the address of `local`, with a port of the system's choice.
pub(super) async fn connect(
    local: SocketAddr,
    remote: SocketAddr,
    limits: &LinkLimits,
) -> Result<TcpStream, LinkError> {
    let socket = bound(local, remote)?;
    let limit = limits.connect_timeout;
    match tokio::time::timeout(limit, socket.connect(remote)).await {
        Ok(Ok(stream)) => {
            tune(&stream, limits);
            Ok(stream)
        }
        Ok(Err(error)) => Err(LinkError::Connect {
            address: remote,
            source: Arc::new(error),
        }),
        Err(_) => Err(LinkError::ConnectTimeout {
            address: remote,
            limit,
        }),
    }
}

fn bound(local: SocketAddr, remote: SocketAddr) -> Result<TcpSocket, LinkError> {
    let make = || {
        let socket = if remote.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        if !local.ip().is_unspecified() {
            socket.bind(SocketAddr::new(local.ip(), 0))?;
        }
        Ok(socket)
    };
    make().map_err(|error| bind_error(local, error))
}

/// Short queues and no delays. A socket that cannot be tuned works nevertheless.
fn tune(stream: &TcpStream, limits: &LinkLimits) {
    let socket = SockRef::from(stream);
    let tuned = socket
        .set_tcp_nodelay(true)
        .and_then(|()| bound_queues(&socket, limits));
    if let Err(error) = tuned {
        tracing::debug!(%error, "cannot tune a socket; keepalives may be delayed by bulk");
    }
}

/// Bounds what the kernel queues beyond what the path carries: there a keepalive cannot overtake
/// bulk any more. Also bounds the time until a silent peer counts as lost.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn bound_queues(socket: &SockRef<'_>, limits: &LinkLimits) -> io::Result<()> {
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    socket.set_tcp_user_timeout(Some(limits.idle_timeout))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn bound_queues(socket: &SockRef<'_>, _: &LinkLimits) -> io::Result<()> {
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)
}

const BACKLOG: i32 = 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES: u32 = 128 * 1024;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SEND_BUFFER_BYTES: usize = 1024 * 1024;
