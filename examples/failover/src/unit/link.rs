//! The node and its link to the other unit.

use core::time::Duration;

use ha_core::id::UnitId;
use ha_core::scheme::{PeerHealth, PeerHealthConfig};
use ha_transport::runtime::{BlockingNode, Node, NodeBuilder};
use ha_transport::{Fingerprint, Identity, LinkLimits, PeerTrust, Quic, Tcp};

use super::UnitError;
use super::sas::Sas;
use crate::control::{Endpoint, LinkSetup, Setup};
use crate::lab::MemoryEnd;

/// Starts the node on a thread of its own.
pub(super) fn start(
    setup: &Setup,
    sas: &Sas,
    memory: Option<MemoryEnd>,
) -> Result<BlockingNode, UnitError> {
    let keepalive = setup.keepalive();
    let mut scheme = PeerHealthConfig::for_keepalive(keepalive);
    // A unit that is only half way through a resync can use few SAs. If it loses sight of its peer
    // then, more likely the machine is overloaded than the peer dead.
    scheme.takeover_incomplete = false;
    // One that starts has no SA to serve with, and can take its time to look for its peer.
    scheme.boot_wait = BOOT_WAIT;
    let mut node = Node::builder(UnitId::new(setup.unit))
        .software(concat!("failover ", env!("CARGO_PKG_VERSION")))
        .keepalive(keepalive)
        .scheme(PeerHealth::new(scheme));
    for client in sas.clients() {
        node = node.client(&client);
    }
    let node = match (&setup.link, memory) {
        (LinkSetup::Memory, Some(end)) => node.link(end),
        (LinkSetup::Memory, None) => {
            let why = "memory is within one process; this unit is a process of its own";
            return Err(UnitError::Link(why.to_owned()));
        }
        (LinkSetup::Tcp(endpoint), _) => encrypted(node, endpoint, Kind::Tcp)?,
        (LinkSetup::Quic(endpoint), _) => encrypted(node, endpoint, Kind::Quic)?,
    };
    node.start_thread().map_err(link_error)
}

/// How long a unit that starts looks for its peer before it is active alone.
const BOOT_WAIT: Duration = Duration::from_secs(5);

enum Kind {
    Tcp,
    Quic,
}

/// A link over the network: this unit's identity, and the only peer that it talks to.
fn encrypted(node: NodeBuilder, end: &Endpoint, kind: Kind) -> Result<NodeBuilder, UnitError> {
    let identity = Identity::load(&end.identity).map_err(link_error)?;
    let pin: Fingerprint = end.pin.parse().map_err(link_error)?;
    let trust = PeerTrust::keys([pin]).map_err(link_error)?;
    let (listen, peer, limits) = (end.listen, end.peer, LinkLimits::default());
    Ok(match kind {
        Kind::Tcp => {
            node.link(Tcp::new(listen, peer, &identity, trust, limits).map_err(link_error)?)
        }
        Kind::Quic => {
            node.link(Quic::new(listen, peer, &identity, trust, limits).map_err(link_error)?)
        }
    })
}

fn link_error(error: impl core::fmt::Display) -> UnitError {
    UnitError::Link(error.to_string())
}
