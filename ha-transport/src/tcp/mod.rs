//! Links over TCP with TLS 1.3.

mod drive;
mod socket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::accept::{Desk, Listener, Source, TransportStats};
use crate::error::LinkError;
use crate::fingerprint::Fingerprint;
use crate::hello::{self, HELLO_BYTES};
use crate::identity::{Identity, PeerTrust};
use crate::limits::LinkLimits;
use crate::link::shared::{Shared, WakeUps};
use crate::link::{Link, PeerInfo};
use crate::tls::{self, Credentials, Verdict};
use crate::transport::{BoxFuture, Side, Transport};
use drive::{ByteStream, drive};

/// The default port: that of Cisco's state synchronization protocol (SSP).
pub const DEFAULT_PORT: u16 = 3249;

/// A path to the peer over TCP with TLS 1.3.
#[derive(Debug)]
pub struct Tcp {
    setup: Arc<Setup>,
    desk: Arc<Desk>,
    listener: Mutex<Option<Listener>>,
}

/// What listener and dialler need.
#[derive(Debug)]
struct Setup {
    local: SocketAddr,
    remote: SocketAddr,
    security: Security,
    limits: LinkLimits,
}

#[derive(Debug)]
enum Security {
    Tls(Credentials),
    Insecure,
}

impl Tcp {
    /// A path from `local`, where this unit listens and from whose address it dials, to `remote`.
    ///
    /// # Errors
    ///
    /// [`LinkError::Config`] if the identity cannot be used.
    pub fn new(
        local: SocketAddr,
        remote: SocketAddr,
        identity: &Identity,
        trust: PeerTrust,
        limits: LinkLimits,
    ) -> Result<Self, LinkError> {
        let security = Security::Tls(Credentials::new(identity, trust)?);
        Ok(Self::with_security(local, remote, security, limits))
    }

    /// A path without encryption and without authentication. **Whoever reaches the port can read
    /// the keys of every SA and can impersonate the peer.** For measurements, and for networks
    /// that are secured by other means.
    pub fn insecure_plaintext(local: SocketAddr, remote: SocketAddr, limits: LinkLimits) -> Self {
        Self::with_security(local, remote, Security::Insecure, limits)
    }

    fn with_security(
        local: SocketAddr,
        remote: SocketAddr,
        security: Security,
        limits: LinkLimits,
    ) -> Self {
        let setup = Setup {
            local,
            remote,
            security,
            limits,
        };
        let desk = Desk::new(setup.name(), limits, [remote.ip()]);
        Self {
            setup: Arc::new(setup),
            desk,
            listener: Mutex::default(),
        }
    }

    /// Starts listening now, instead of at the first `establish`, and says where: port 0 becomes
    /// the port that the system chose.
    ///
    /// # Errors
    ///
    /// [`LinkError::Bind`].
    pub fn listen(&self) -> Result<SocketAddr, LinkError> {
        let mut listener = self.listener.lock();
        if let Some(listener) = listener.as_ref().filter(|listener| listener.is_running()) {
            return Ok(listener.address);
        }
        // The old one first: it may hold the port.
        *listener = None;
        let socket = socket::listen(self.setup.local)?;
        let address = socket
            .local_addr()
            .map_err(|e| socket::bind_error(self.setup.local, e))?;
        let source = Incoming {
            socket,
            setup: Arc::clone(&self.setup),
        };
        *listener = Some(Listener::start(address, source, Arc::clone(&self.desk)));
        Ok(address)
    }

    /// Where this unit listens, once it does.
    pub fn listen_addr(&self) -> Option<SocketAddr> {
        self.listener
            .lock()
            .as_ref()
            .map(|listener| listener.address)
    }

    /// Counters of this transport.
    pub fn stats(&self) -> TransportStats {
        self.desk.stats()
    }
}

impl Transport for Tcp {
    fn describe(&self) -> String {
        let local = self.listen_addr().unwrap_or(self.setup.local);
        format!("{} {local} -> {}", self.setup.name(), self.setup.remote)
    }

    fn establish(&self, side: Side) -> BoxFuture<'_, Result<Link, LinkError>> {
        Box::pin(async move {
            match side {
                Side::Dial => {
                    let link = self.setup.dial().await;
                    self.desk.dialled(&link);
                    link
                }
                Side::Accept => {
                    self.listen()?;
                    Ok(self.desk.next().await)
                }
            }
        })
    }
}

/// The listening socket.
struct Incoming {
    socket: TcpListener,
    setup: Arc<Setup>,
}

impl Source for Incoming {
    type Handshake = BoxFuture<'static, Result<Link, LinkError>>;

    async fn next(&mut self) -> Option<(SocketAddr, Self::Handshake)> {
        let (stream, remote) = socket::accept(&self.socket, &self.setup.limits).await;
        let setup = Arc::clone(&self.setup);
        Some((
            remote,
            Box::pin(async move { setup.accept(stream, remote).await }),
        ))
    }
}

impl Setup {
    fn name(&self) -> &'static str {
        match self.security {
            Security::Tls(_) => "tcp",
            Security::Insecure => "tcp-insecure",
        }
    }

    async fn dial(&self) -> Result<Link, LinkError> {
        let stream = socket::connect(self.local, self.remote, &self.limits).await?;
        let limit = self.limits.handshake_timeout;
        tokio::time::timeout(limit, self.dial_handshake(stream))
            .await
            .unwrap_or(Err(LinkError::HandshakeTimeout { limit }))
    }

    async fn dial_handshake(&self, stream: TcpStream) -> Result<Link, LinkError> {
        let stream = buffered(stream);
        let Security::Tls(credentials) = &self.security else {
            return self.start(stream, Side::Dial, self.remote, None).await;
        };
        let (config, verdict) = credentials.client()?;
        let connector = TlsConnector::from(Arc::new(config));
        let connected = connector.connect(credentials.server_name(), stream).await;
        let stream = connected.map_err(|error| tls::failed_handshake(&error, &verdict))?;
        self.start_tls(stream.into(), Side::Dial, self.remote, &verdict)
            .await
    }

    async fn accept(&self, stream: TcpStream, remote: SocketAddr) -> Result<Link, LinkError> {
        let stream = buffered(stream);
        let Security::Tls(credentials) = &self.security else {
            return self.start(stream, Side::Accept, remote, None).await;
        };
        let (config, verdict) = credentials.server()?;
        let handshake = TlsAcceptor::from(Arc::new(config)).accept(stream);
        match handshake.into_fallible().await {
            Ok(stream) => {
                self.start_tls(stream.into(), Side::Accept, remote, &verdict)
                    .await
            }
            Err((error, stream)) => {
                let reason = tls::failed_handshake(&error, &verdict);
                // The timeout of the whole handshake must not hide the reason.
                let _ = tokio::time::timeout(LINGER, linger(stream)).await;
                Err(reason)
            }
        }
    }

    async fn start_tls(
        &self,
        stream: TlsStream<BufReader<TcpStream>>,
        side: Side,
        remote: SocketAddr,
        verdict: &Verdict,
    ) -> Result<Link, LinkError> {
        let protocol = stream.get_ref().1.alpn_protocol();
        if protocol != Some(tls::ALPN.as_bytes()) {
            return Err(tls::wrong_protocol(protocol));
        }
        self.start(stream, side, remote, verdict.fingerprint())
            .await
    }

    async fn start(
        &self,
        mut stream: impl ByteStream,
        side: Side,
        remote: SocketAddr,
        fingerprint: Option<Fingerprint>,
    ) -> Result<Link, LinkError> {
        exchange_hellos(&mut stream, side).await?;
        let peer = PeerInfo {
            address: remote.to_string(),
            transport: self.name(),
            fingerprint,
        };
        let shared = Shared::new(peer, self.limits, WakeUps::Shared);
        let link = Link::new(&shared);
        tokio::spawn(drive(stream, shared, self.limits));
        Ok(link)
    }
}

/// The accepting end goes first: were it to refuse the dialling end and close the connection with
/// a hello unread, the operating system would throw away the alert that says why.
async fn exchange_hellos(stream: &mut impl ByteStream, side: Side) -> Result<(), LinkError> {
    if side == Side::Dial {
        read_hello(stream).await?;
    }
    let write = async {
        stream.write_all(&hello::hello(0)).await?;
        stream.flush().await
    };
    write.await.map_err(|error| tls::lost(&error))?;
    if side == Side::Accept {
        read_hello(stream).await?;
    }
    Ok(())
}

async fn read_hello(stream: &mut impl ByteStream) -> Result<(), LinkError> {
    let mut seen = [0; HELLO_BYTES];
    stream
        .read_exact(&mut seen)
        .await
        .map_err(|error| tls::lost(&error))?;
    hello::check(seen).map(drop)
}

/// Lets the alert that was sent reach the other end: closing with bytes unread would reset the
/// connection and lose it.
async fn linger(mut stream: BufReader<TcpStream>) {
    if stream.shutdown().await.is_ok() {
        let _ = tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await;
    }
}

/// Larger reads than the TLS library asks for.
fn buffered(stream: TcpStream) -> BufReader<TcpStream> {
    BufReader::with_capacity(READ_BUFFER_BYTES, stream)
}

const READ_BUFFER_BYTES: usize = 128 * 1024;
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: u64 = 64 * 1024;
