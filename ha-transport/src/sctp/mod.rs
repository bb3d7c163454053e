//! Links over SCTP (RFC 9260) with TLS 1.3 inside; Linux.
//!
//! An association has one stream for each lane and one or two addresses at each end. The kernel
//! moves to the other path when one fails, and the link does not notice; [`Sctp::paths`], the log
//! and the metrics do. Each stream carries a TLS connection of its own, since TLS needs its bytes in
//! order and streams are ordered only within themselves. All three are checked to be of the same
//! peer and to belong together.
//!
//! [`idle_timeout`](LinkLimits::idle_timeout) does not apply: `assoc_retransmit` and the
//! heartbeats of [`SctpConfig`] find a silent peer.

mod association;
mod config;
mod drive;
mod handshake;
mod layout;
mod notification;
mod paths;
#[allow(
    unsafe_code,
    reason = "socket options of SCTP, which no safe library has"
)]
mod socket;
mod streams;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::accept::{Desk, Listener, Source, TransportStats};
use crate::error::LinkError;
use crate::fingerprint::Fingerprint;
use crate::identity::{Identity, PeerTrust};
use crate::limits::LinkLimits;
use crate::link::shared::{Shared, WakeUps};
use crate::link::{Link, PeerInfo};
use crate::tls::Credentials;
use crate::transport::{BoxFuture, Side, Transport};
use association::{Association, bind_error, with_port};
use drive::{ByteStream, drive};
use paths::{Paths, Reporter};
use streams::Pump;

pub use association::is_supported;
pub use config::{MAX_ADDRESSES, SctpConfig, SctpConfigError};
pub use paths::{Path, PathState};

/// The default port, as in Cisco's examples of `redundancy inter-device`.
pub const DEFAULT_PORT: u16 = 5000;

/// One or two paths to the peer over SCTP with TLS 1.3.
#[derive(Debug)]
pub struct Sctp {
    setup: Arc<Setup>,
    desk: Arc<Desk>,
    listener: Mutex<Option<Listener>>,
}

/// What listener and dialler need.
#[derive(Debug)]
struct Setup {
    local: Vec<SocketAddr>,
    remote: Vec<SocketAddr>,
    security: Security,
    config: SctpConfig,
    limits: LinkLimits,
    paths: Paths,
}

#[derive(Debug)]
enum Security {
    Tls(Credentials),
    Insecure,
}

impl Sctp {
    /// Paths from `local`, where this unit listens and from whose addresses it dials, to `remote`:
    /// one or two addresses each, of one family and with one port at each end.
    ///
    /// # Errors
    ///
    /// [`LinkError::Config`] if the identity, the addresses or a timer cannot be used.
    pub fn new(
        local: &[SocketAddr],
        remote: &[SocketAddr],
        identity: &Identity,
        trust: PeerTrust,
        config: SctpConfig,
        limits: LinkLimits,
    ) -> Result<Self, LinkError> {
        let security = Security::Tls(Credentials::new(identity, trust)?);
        Self::with_security(local, remote, security, config, limits)
    }

    /// Paths without encryption and without authentication. **Whoever reaches the port can read
    /// the keys of every SA and can impersonate the peer.** For measurements, and for networks
    /// that are secured by other means.
    ///
    /// # Errors
    ///
    /// [`LinkError::Config`] if the addresses or a timer cannot be used.
    pub fn insecure_plaintext(
        local: &[SocketAddr],
        remote: &[SocketAddr],
        config: SctpConfig,
        limits: LinkLimits,
    ) -> Result<Self, LinkError> {
        Self::with_security(local, remote, Security::Insecure, config, limits)
    }

    fn with_security(
        local: &[SocketAddr],
        remote: &[SocketAddr],
        security: Security,
        config: SctpConfig,
        limits: LinkLimits,
    ) -> Result<Self, LinkError> {
        let checked = config
            .check()
            .and_then(|()| config::check_addresses(local, remote));
        checked.map_err(|error| LinkError::Config {
            detail: error.to_string(),
        })?;
        let setup = Setup {
            local: local.to_vec(),
            remote: remote.to_vec(),
            security,
            config,
            limits,
            paths: Paths::new(remote),
        };
        let desk = Desk::new(setup.name(), limits, remote.iter().map(SocketAddr::ip));
        Ok(Self {
            setup: Arc::new(setup),
            desk,
            listener: Mutex::default(),
        })
    }

    /// Starts listening now, instead of at the first `establish`, and says where: port 0 becomes
    /// the port that the system chose. Of two addresses, the first.
    ///
    /// # Errors
    ///
    /// [`LinkError::Bind`], or [`LinkError::Config`] if the kernel has no SCTP.
    pub fn listen(&self) -> Result<SocketAddr, LinkError> {
        let mut listener = self.listener.lock();
        if let Some(listener) = listener.as_ref().filter(|listener| listener.is_running()) {
            return Ok(listener.address);
        }
        // The old one first: it may hold the port.
        *listener = None;
        let socket = Association::listen(&self.setup.local, &self.setup.config)?;
        let address = socket
            .local()
            .map_err(|error| bind_error(self.setup.local[0], error))?;
        let source = Incoming {
            socket,
            setup: Arc::clone(&self.setup),
        };
        *listener = Some(Listener::start(address, source, Arc::clone(&self.desk)));
        Ok(address)
    }

    /// Where this unit listens, once it does.
    pub fn listen_addr(&self) -> Option<SocketAddr> {
        let listener = self.listener.lock();
        listener.as_ref().map(|listener| listener.address)
    }

    /// The peer's addresses and how they are now.
    pub fn paths(&self) -> Vec<Path> {
        self.setup.paths.all()
    }

    /// Counters of this transport.
    pub fn stats(&self) -> TransportStats {
        self.desk.stats()
    }
}

impl Transport for Sctp {
    fn describe(&self) -> String {
        let mut local = self.setup.local.clone();
        if let (Some(first), Some(address)) = (local.first_mut(), self.listen_addr()) {
            *first = address;
        }
        let (local, remote) = (list(&local), list(&self.setup.remote));
        format!("{} {local} -> {remote}", self.setup.name())
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
    socket: Association,
    setup: Arc<Setup>,
}

impl Source for Incoming {
    type Handshake = BoxFuture<'static, Result<Link, LinkError>>;

    async fn next(&mut self) -> Option<(SocketAddr, Self::Handshake)> {
        let (association, remote) = self.socket.accept().await;
        let setup = Arc::clone(&self.setup);
        let handshake = async move { setup.serve(association, Side::Accept, remote).await };
        Some((remote, Box::pin(handshake)))
    }
}

impl Setup {
    fn name(&self) -> &'static str {
        match self.security {
            Security::Tls(_) => "sctp",
            Security::Insecure => "sctp-insecure",
        }
    }

    async fn dial(&self) -> Result<Link, LinkError> {
        let limit = self.limits.connect_timeout;
        let association =
            Association::connect(&self.local, &self.remote, &self.config, limit).await?;
        let limit = self.limits.handshake_timeout;
        let handshake = self.serve(association, Side::Dial, self.remote[0]);
        tokio::time::timeout(limit, handshake)
            .await
            .unwrap_or(Err(LinkError::HandshakeTimeout { limit }))
    }

    /// The handshake, and then the task that serves the link.
    async fn serve(
        &self,
        association: Association,
        side: Side,
        remote: SocketAddr,
    ) -> Result<Link, LinkError> {
        let (streams, mut pump) = Pump::new(association, Reporter::new(self.paths.clone()));
        let Security::Tls(credentials) = &self.security else {
            let hellos = handshake::plaintext(streams, side);
            let lanes = fed(&mut pump, hellos).await?;
            return Ok(self.start(lanes, pump, remote, None));
        };
        let secured = fed(&mut pump, handshake::tls(streams, side, credentials)).await;
        match secured {
            Ok((lanes, fingerprint)) => Ok(self.start(lanes, pump, remote, fingerprint)),
            Err(reason) => {
                // The timeout of the whole handshake must not hide the reason.
                let _ = tokio::time::timeout(LINGER, linger(pump)).await;
                Err(reason)
            }
        }
    }

    fn start(
        &self,
        lanes: [impl ByteStream; 3],
        mut pump: Pump,
        remote: SocketAddr,
        fingerprint: Option<Fingerprint>,
    ) -> Link {
        let ends = self.remote.iter();
        let ends: Vec<_> = ends.map(|end| with_port(*end, remote.port())).collect();
        pump.begin(&ends);
        let peer = PeerInfo {
            address: remote.to_string(),
            transport: self.name(),
            fingerprint,
        };
        let shared = Shared::new(peer, self.limits, WakeUps::PerLane);
        let link = Link::new(&shared);
        tokio::spawn(drive(lanes, pump, shared, self.limits));
        link
    }
}

/// Runs `handshake` while the pump feeds its streams.
async fn fed<T>(pump: &mut Pump, handshake: impl Future<Output = T>) -> T {
    let mut handshake = std::pin::pin!(handshake);
    tokio::select! {
        biased;
        done = &mut handshake => return done,
        () = pump.run() => {}
    }
    // The streams say why there is no more.
    handshake.await
}

/// Lets the alert that was sent reach the other end.
async fn linger(mut pump: Pump) {
    pump.association().shutdown();
    pump.run().await;
}

fn list(addresses: &[SocketAddr]) -> String {
    let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    texts.join("+")
}

const LINGER: Duration = Duration::from_millis(500);
