//! Whether two units fit together: clients, versions and configuration.

use core::fmt;
use std::collections::BTreeMap;

use crate::checkpoint::ClientDescriptor;
use crate::id::ClientId;
use crate::wire::pb;

/// What comparing the two units' registrations gave.
#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct Agreement {
    /// What does not fit at all.
    pub(crate) disagreements: Vec<Disagreement>,
    /// What is configured differently.
    pub(crate) differences: Vec<ConfigDifference>,
    /// The version to speak, and the highest that the peer speaks, of each client.
    pub(crate) versions: BTreeMap<ClientId, (u16, u16)>,
}

/// Why two units cannot replicate to each other.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Disagreement {
    /// The peer does not host the group.
    NoGroup,
    /// Only this unit has the client.
    MissingOnPeer {
        /// The client.
        client: ClientId,
        /// Its name here.
        name: String,
    },
    /// Only the peer has the client.
    MissingHere {
        /// The client's number.
        client: u32,
        /// Its name there.
        name: String,
    },
    /// No version in common.
    Versions {
        /// The client.
        client: ClientId,
        /// Its name here.
        name: String,
        /// Lowest and highest version here.
        here: (u16, u16),
        /// Lowest and highest version there.
        peer: (u32, u32),
    },
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGroup => f.write_str("the peer does not host this group"),
            Self::MissingOnPeer { client, name } => {
                write!(
                    f,
                    "{client} ({name}) is registered here but not on the peer"
                )
            }
            Self::MissingHere { client, name } => {
                write!(
                    f,
                    "client {client} ({name}) is registered on the peer but not here"
                )
            }
            Self::Versions {
                client,
                name,
                here,
                peer,
            } => write!(
                f,
                "{client} ({name}) speaks versions {} to {} here, {} to {} on the peer: \
                 upgrade the older unit",
                here.0, here.1, peer.0, peer.1
            ),
        }
    }
}

/// One configuration item that differs between the units.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigDifference {
    /// The client.
    pub client: ClientId,
    /// The client's name.
    pub name: String,
    /// The item.
    pub item: String,
    /// Its value here, if it is set.
    pub here: Option<String>,
    /// Its value on the peer, if it is set.
    pub peer: Option<String>,
}

impl fmt::Display for ConfigDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<String>| {
            value
                .as_ref()
                .map_or_else(|| "not set".to_owned(), |value| format!("{value:?}"))
        };
        write!(
            f,
            "{} ({}): {} is {} here, {} on the peer",
            self.client,
            self.name,
            self.item,
            text(&self.here),
            text(&self.peer)
        )
    }
}

/// Compares this unit's clients with what the peer said of its own.
pub(crate) fn compare<'a>(
    here: impl Iterator<Item = &'a ClientDescriptor>,
    peer: Option<&pb::GroupHello>,
) -> Agreement {
    let mut agreement = Agreement::default();
    let Some(peer) = peer else {
        agreement.disagreements.push(Disagreement::NoGroup);
        return agreement;
    };
    let mut theirs: BTreeMap<u32, &pb::ClientHello> = peer
        .clients
        .iter()
        .map(|client| (client.id, client))
        .collect();
    for ours in here {
        match theirs.remove(&u32::from(ours.id.value())) {
            Some(client) => agreement.compare_client(ours, client),
            None => agreement.disagreements.push(Disagreement::MissingOnPeer {
                client: ours.id,
                name: ours.name.clone(),
            }),
        }
    }
    agreement.disagreements.extend(
        theirs
            .into_values()
            .map(|client| Disagreement::MissingHere {
                client: client.id,
                name: client.name.clone(),
            }),
    );
    agreement
}

impl Agreement {
    fn compare_client(&mut self, ours: &ClientDescriptor, theirs: &pb::ClientHello) {
        let here = (*ours.versions.start(), *ours.versions.end());
        let common = u32::from(here.1).min(theirs.version_max);
        if common < u32::from(here.0).max(theirs.version_min) {
            self.disagreements.push(Disagreement::Versions {
                client: ours.id,
                name: ours.name.clone(),
                here,
                peer: (theirs.version_min, theirs.version_max),
            });
            return;
        }
        let number = |version| u16::try_from(version).unwrap_or(u16::MAX);
        self.versions
            .insert(ours.id, (number(common), number(theirs.version_max)));
        self.compare_config(ours, theirs);
    }

    fn compare_config(&mut self, ours: &ClientDescriptor, theirs: &pb::ClientHello) {
        let mut items: BTreeMap<&str, (Option<&str>, Option<&str>)> = BTreeMap::new();
        for (name, value) in &ours.config {
            items.entry(name).or_default().0 = Some(value);
        }
        for item in &theirs.config {
            items.entry(&item.name).or_default().1 = Some(&item.value);
        }
        let differing = items.into_iter().filter(|(_, (here, peer))| here != peer);
        self.differences
            .extend(differing.map(|(item, (here, peer))| ConfigDifference {
                client: ours.id,
                name: ours.name.clone(),
                item: item.to_owned(),
                here: here.map(str::to_owned),
                peer: peer.map(str::to_owned),
            }));
    }
}

/// What this unit says of its clients.
pub(crate) fn client_hello(descriptor: &ClientDescriptor) -> pb::ClientHello {
    let item = |(name, value): &(String, String)| pb::ConfigItem {
        name: name.clone(),
        value: value.clone(),
    };
    pb::ClientHello {
        id: u32::from(descriptor.id.value()),
        name: descriptor.name.clone(),
        version_min: u32::from(*descriptor.versions.start()),
        version_max: u32::from(*descriptor.versions.end()),
        sequence: u32::from(descriptor.sequence),
        config: descriptor.config.iter().map(item).collect(),
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
