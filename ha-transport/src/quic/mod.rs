//! Links over QUIC: one bidirectional stream per lane.
//!
//! The accepting end opens the streams, once it has checked the dialling end: a stranger cannot
//! open any.

mod config;
mod drive;
mod error;
mod framing;

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use quinn::{Connecting, Connection, Endpoint, RecvStream, SendStream};

use crate::accept::{Desk, Listener, Source, TransportStats};
use crate::error::LinkError;
use crate::hello::{self, HELLO_BYTES};
use crate::identity::{Identity, PeerTrust};
use crate::lane::Lane;
use crate::limits::LinkLimits;
use crate::link::shared::{Shared, WakeUps};
use crate::link::{Link, PeerInfo};
use crate::tls::{self, Credentials, Verdict};
use crate::transport::{BoxFuture, Side, Transport};
use drive::drive;

/// A path to the peer over QUIC. The default port is a matter of the configuration; that of TCP
/// can be used at the same time.
#[derive(Debug)]
pub struct Quic {
    setup: Arc<Setup>,
    desk: Arc<Desk>,
    listener: Mutex<Option<Listener>>,
}

/// What listener and dialler need.
#[derive(Debug)]
struct Setup {
    local: SocketAddr,
    remote: SocketAddr,
    credentials: Credentials,
    limits: LinkLimits,
}

/// The streams of one connection, by lane.
struct Streams([(SendStream, RecvStream); 3]);

impl Streams {
    fn split(self) -> ([SendStream; 3], [RecvStream; 3]) {
        let [(s0, r0), (s1, r1), (s2, r2)] = self.0;
        ([s0, s1, s2], [r0, r1, r2])
    }
}

impl Quic {
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
        let credentials = Credentials::new(identity, trust)?;
        let setup = Arc::new(Setup {
            local,
            remote,
            credentials,
            limits,
        });
        let desk = Desk::new(NAME, limits, [remote.ip()]);
        Ok(Self {
            setup,
            desk,
            listener: Mutex::default(),
        })
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
        let (config, _) = self.setup.credentials.server()?;
        let config = config::server(config, &self.setup.limits)?;
        let (endpoint, address) = config::endpoint(self.setup.local, Some(config))?;
        let desk = Arc::clone(&self.desk);
        let source = Incoming {
            endpoint,
            setup: Arc::clone(&self.setup),
            desk: Arc::clone(&desk),
        };
        *listener = Some(Listener::start(address, source, desk));
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

impl Transport for Quic {
    fn describe(&self) -> String {
        let local = self.listen_addr().unwrap_or(self.setup.local);
        format!("{NAME} {local} -> {}", self.setup.remote)
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

/// The listening endpoint.
struct Incoming {
    endpoint: Endpoint,
    setup: Arc<Setup>,
    desk: Arc<Desk>,
}

impl Source for Incoming {
    type Handshake = BoxFuture<'static, Result<Link, LinkError>>;

    async fn next(&mut self) -> Option<(SocketAddr, Self::Handshake)> {
        loop {
            let incoming = self.endpoint.accept().await?;
            if self.desk.is_busy() && incoming.may_retry() {
                // Under load each must show first that it receives at the address it names.
                let _ = incoming.retry();
                continue;
            }
            let remote = incoming.remote_address();
            let setup = Arc::clone(&self.setup);
            return Some((
                remote,
                Box::pin(async move { setup.accept(incoming).await }),
            ));
        }
    }
}

impl Setup {
    async fn dial(&self) -> Result<Link, LinkError> {
        // An endpoint of its own for each connection lives as long as that.
        let (endpoint, _) = config::endpoint(SocketAddr::new(self.local.ip(), 0), None)?;
        let (config, verdict) = self.credentials.client()?;
        let name = self.credentials.server_name();
        let connecting = endpoint
            .connect_with(
                config::client(config, &self.limits)?,
                self.remote,
                &name.to_str(),
            )
            .map_err(|error| LinkError::Config {
                detail: error.to_string(),
            })?;
        let limit = self.limits.connect_timeout;
        let connection = tokio::time::timeout(limit, connected(connecting, &verdict))
            .await
            .unwrap_or(Err(LinkError::ConnectTimeout {
                address: self.remote,
                limit,
            }))?;
        let limit = self.limits.handshake_timeout;
        let streams = tokio::time::timeout(limit, accept_streams(&connection))
            .await
            .unwrap_or(Err(LinkError::HandshakeTimeout { limit }))?;
        Ok(self.start(connection, streams, &verdict))
    }

    async fn accept(&self, incoming: quinn::Incoming) -> Result<Link, LinkError> {
        let (config, verdict) = self.credentials.server()?;
        let config = config::server(config, &self.limits)?;
        let connecting = incoming
            .accept_with(Arc::new(config))
            .map_err(|error| error::connection_error(&error, &verdict))?;
        let connection = connected(connecting, &verdict).await?;
        let streams = open_streams(&connection).await?;
        Ok(self.start(connection, streams, &verdict))
    }

    fn start(&self, connection: Connection, streams: Streams, verdict: &Verdict) -> Link {
        let peer = PeerInfo {
            address: connection.remote_address().to_string(),
            transport: NAME,
            fingerprint: verdict.fingerprint(),
        };
        let shared = Shared::new(peer, self.limits, WakeUps::PerLane);
        let link = Link::new(&shared);
        tokio::spawn(drive(connection, streams, shared, self.limits));
        link
    }
}

async fn connected(connecting: Connecting, verdict: &Verdict) -> Result<Connection, LinkError> {
    let connection = connecting
        .await
        .map_err(|error| error::connection_error(&error, verdict))?;
    let data = connection.handshake_data();
    let data = data.and_then(|d| d.downcast::<quinn::crypto::rustls::HandshakeData>().ok());
    let protocol = data.and_then(|data| data.protocol);
    if protocol.as_deref() != Some(tls::ALPN.as_bytes()) {
        return Err(tls::wrong_protocol(protocol.as_deref()));
    }
    Ok(connection)
}

/// The accepting end: opens a stream per lane and waits for the answers.
async fn open_streams(connection: &Connection) -> Result<Streams, LinkError> {
    let mut streams = [
        open(connection).await?,
        open(connection).await?,
        open(connection).await?,
    ];
    for (lane, (sender, _)) in Lane::ALL.into_iter().zip(&mut streams) {
        write_hello(sender, lane).await?;
    }
    for (lane, (_, receiver)) in Lane::ALL.into_iter().zip(&mut streams) {
        if read_hello(receiver).await? != lane {
            return Err(LinkError::BadFrame {
                detail: "a stream answered for another lane",
            });
        }
    }
    Ok(Streams(streams))
}

async fn open(connection: &Connection) -> Result<(SendStream, RecvStream), LinkError> {
    connection
        .open_bi()
        .await
        .map_err(|error| error::ended(&error))
}

/// The dialling end: takes the streams, in any order, and answers.
async fn accept_streams(connection: &Connection) -> Result<Streams, LinkError> {
    let mut streams = [None, None, None];
    for _ in Lane::ALL {
        let accepted = connection.accept_bi().await;
        let (mut sender, mut receiver) = accepted.map_err(|error| error::ended(&error))?;
        let lane = read_hello(&mut receiver).await?;
        write_hello(&mut sender, lane).await?;
        streams[lane.index()] = Some((sender, receiver));
    }
    let [Some(control), Some(changes), Some(bulk)] = streams else {
        return Err(LinkError::BadFrame {
            detail: "two streams for one lane",
        });
    };
    Ok(Streams([control, changes, bulk]))
}

async fn write_hello(sender: &mut SendStream, lane: Lane) -> Result<(), LinkError> {
    // Higher numbers go first.
    let priority = i32::from(Lane::Bulk.number()) - i32::from(lane.number());
    let _ = sender.set_priority(priority);
    let written = sender.write_all(&hello::hello(lane.number())).await;
    written.map_err(|error| error::write_error(&error))
}

async fn read_hello(receiver: &mut RecvStream) -> Result<Lane, LinkError> {
    let mut seen = [0; HELLO_BYTES];
    receiver
        .read_exact(&mut seen)
        .await
        .map_err(|error| error::read_exact_error(&error))?;
    let number = hello::check(seen)?;
    Lane::from_number(number).ok_or(LinkError::UnknownLane { number })
}

const NAME: &str = "quic";
