//! Links to the other unit.

use ha_transport::runtime::NodeBuilder;
use ha_transport::{LinkError, LinkLimits, Quic, Side, Tcp};

use crate::config::{LinkSettings, Settings, Transport};

/// Adds all links. The fingerprints say who dials: the unit ids may be alike by mistake.
pub(crate) fn add(mut node: NodeBuilder, settings: &Settings) -> Result<NodeBuilder, LinkError> {
    node = node.side(if settings.identity.fingerprint() < settings.peer {
        Side::Accept
    } else {
        Side::Dial
    });
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
        #[cfg(feature = "sctp")]
        Transport::Sctp => {
            let (config, ends) = (timers(&link.file), (&link.local, &link.remote));
            let sctp = ha_transport::Sctp::new(ends.0, ends.1, identity, trust, config, limits)?;
            node.link(sctp)
        }
        #[cfg(not(feature = "sctp"))]
        Transport::Sctp => {
            let detail = "this program was built without sctp (--features sctp)".to_owned();
            return Err(LinkError::Config { detail });
        }
    })
}

/// The timers that the file gives; the others stay at their defaults.
#[cfg(feature = "sctp")]
fn timers(file: &crate::config::Link) -> ha_transport::sctp::SctpConfig {
    use std::time::Duration;
    let ms = |count: u32| Duration::from_millis(count.into());
    let default = ha_transport::sctp::SctpConfig::default();
    ha_transport::sctp::SctpConfig {
        retransmit_timeout: file
            .retransmit_timeout_ms
            .map_or(default.retransmit_timeout, |bounds| bounds.map(ms)),
        path_retransmit: file.path_retransmit.unwrap_or(default.path_retransmit),
        assoc_retransmit: file.assoc_retransmit.unwrap_or(default.assoc_retransmit),
        heartbeat: file.heartbeat_ms.map_or(default.heartbeat, ms),
    }
}
