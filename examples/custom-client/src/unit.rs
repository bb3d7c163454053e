//! One unit of the pair: the node, its link to the other unit, and the local socket.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ha_core::id::UnitId;
use ha_core::redundancy::KeepaliveConfig;
use ha_core::scheme::PeerHealth;
use ha_transport::runtime::{Node, NodeBuilder};
use ha_transport::{Fingerprint, Identity, LinkLimits, PeerTrust, Quic, Tcp};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Args, Error};
use crate::lease::Leases;
use crate::log;
use crate::serve::{self, Service};
use crate::table::mappings;

/// How a unit is set up.
pub(crate) struct Options {
    id: UnitId,
    listen: SocketAddr,
    peer: SocketAddr,
    identity: PathBuf,
    pin: Fingerprint,
    socket: PathBuf,
    peer_socket: Option<PathBuf>,
    transport: TransportKind,
    keepalive: KeepaliveConfig,
    log: tracing::level_filters::LevelFilter,
    with_stdin: bool,
}

/// How the units talk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TransportKind {
    Tcp,
    Quic,
}

impl core::str::FromStr for TransportKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "quic" => Ok(Self::Quic),
            _ => Err("use tcp or quic".to_owned()),
        }
    }
}

impl TransportKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic",
        }
    }
}

impl Options {
    /// Reads the command line.
    pub(crate) fn parse(mut args: Args) -> Result<Self, Error> {
        let fast = args.flag("--fast");
        let options = Self {
            id: UnitId::new(args.required("--id")?),
            listen: args.required("--listen")?,
            peer: args.required("--peer")?,
            identity: args.required("--identity")?,
            pin: args.required("--pin")?,
            socket: args.required("--socket")?,
            peer_socket: args.value("--peer-socket")?,
            transport: args.value("--transport")?.unwrap_or(TransportKind::Tcp),
            keepalive: if fast {
                KeepaliveConfig::fast()
            } else {
                KeepaliveConfig::default()
            },
            log: args
                .value("--log")?
                .unwrap_or(tracing::level_filters::LevelFilter::INFO),
            with_stdin: args.flag("--with-stdin"),
        };
        args.finish()?;
        Ok(options)
    }

    /// Adds the link of the chosen kind.
    fn link(&self, node: NodeBuilder) -> Result<NodeBuilder, Error> {
        let identity = Identity::load(&self.identity).map_err(Error::other)?;
        let trust = PeerTrust::keys([self.pin]).map_err(Error::other)?;
        let limits = LinkLimits::default();
        let (listen, peer) = (self.listen, self.peer);
        Ok(match self.transport {
            TransportKind::Tcp => {
                node.link(Tcp::new(listen, peer, &identity, trust, limits).map_err(Error::other)?)
            }
            TransportKind::Quic => {
                node.link(Quic::new(listen, peer, &identity, trust, limits).map_err(Error::other)?)
            }
        })
    }
}

/// Runs a unit until it is told to end.
pub(crate) async fn run(options: Options) -> Result<(), Error> {
    log::start(options.log);
    let listener = serve::listen(&options.socket).map_err(|source| Error::Socket {
        path: options.socket.clone(),
        source,
    })?;

    // Three things make a program redundant: a table, a node that replicates it, and a link.
    let table = mappings().map_err(Error::other)?;
    let node = Node::builder(options.id)
        .software(concat!("custom-client ", env!("CARGO_PKG_VERSION")))
        .keepalive(options.keepalive)
        .client(&table)
        .scheme(PeerHealth::default());
    let node = options.link(node)?.start().await.map_err(Error::other)?;

    let service = Arc::new(Service {
        node: node.clone(),
        table,
        leases: Leases::default(),
        peer_socket: options.peer_socket,
    });
    tokio::select! {
        () = service.run(listener) => {}
        () = told_to_end(options.with_stdin) => {}
    }
    // Says goodbye, so that the other unit takes over at once.
    node.stop().await;
    let _ = std::fs::remove_file(&options.socket);
    Ok(())
}

/// Waits for Ctrl-C, SIGTERM, or the end of standard input.
async fn told_to_end(with_stdin: bool) {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => drop(signals.recv().await),
            Err(_) => core::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
        () = end_of_stdin(), if with_stdin => {}
    }
}

/// A parent process that dies, in whatever way, closes its end of the pipe.
async fn end_of_stdin() {
    let (ended, end) = tokio::sync::oneshot::channel();
    // A thread that the program does not wait for when it ends: a read cannot be called off.
    let thread = std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            let _ = ended.send(());
        });
    if thread.is_err() || end.await.is_err() {
        core::future::pending::<()>().await;
    }
}
