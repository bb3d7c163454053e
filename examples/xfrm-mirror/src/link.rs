//! Links to the other unit.

use ha_transport::runtime::NodeBuilder;
use ha_transport::{LinkError, LinkLimits, Quic, Tcp};

use crate::config::{LinkSettings, Settings, Transport};

/// Adds all links.
pub(crate) fn add(mut node: NodeBuilder, settings: &Settings) -> Result<NodeBuilder, LinkError> {
    for link in &settings.links {
        node = add_one(node, link, settings)?;
    }
    Ok(node)
}

fn add_one(
    node: NodeBuilder,
    link: &LinkSettings,
    settings: &Settings,
) -> Result<NodeBuilder, LinkError> {
    let (identity, trust) = (&settings.identity, settings.trust.clone());
    let (local, remote, limits) = (link.local[0], link.remote[0], LinkLimits::default());
    Ok(match link.transport {
        Transport::Tcp => node.link(Tcp::new(local, remote, identity, trust, limits)?),
        Transport::Quic => node.link(Quic::new(local, remote, identity, trust, limits)?),
        Transport::Sctp => {
            let detail = "this program was built without sctp (--features sctp)".to_owned();
            return Err(LinkError::Config { detail });
        }
    })
}
