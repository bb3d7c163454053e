//! How a node and its groups are set up.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::checkpoint::{CheckpointClient, ClientDescriptor, Shared};
use crate::id::{ClientId, GroupId, UnitId};
use crate::redundancy::{FacilityConfigError, KeepaliveConfig};
use crate::scheme::Scheme;
use crate::wire::limits;

/// Settings of a unit, all groups together.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// This unit.
    pub unit: UnitId,
    /// The other unit.
    pub peer: UnitId,
    /// What this program is, told to the peer for its log.
    pub software: String,
    /// Failure detection (Cisco: keep_alive TMR and threshold).
    pub keepalive: KeepaliveConfig,
    /// How many bytes of batches the peer may have in flight to this unit.
    pub changes_window_bytes: usize,
    /// How many bytes of bulk chunks the peer may have in flight to this unit: 512 KiB by default.
    /// Small enough that a commit never waits long behind them; for a long link it must be as large
    /// as bandwidth times delay (1 Gbit/s and 10 ms: 1.2 MB), or bulk sync is slower.
    pub bulk_window_bytes: usize,
    /// How often digests are compared when nothing changes.
    pub digest_interval: Duration,
    /// How many slots of each table are compared with what was sent or applied, each
    /// `digest_interval`; 0 turns audits off.
    pub audit_slots: u32,
    /// How long the standby may leave batches or chunks without acknowledgement before the link is
    /// given up: commits do not wait for a standby that is stuck.
    pub ack_limit: Duration,
    /// A number that no earlier process of this unit used, from a random source: it tells the
    /// peer whether this process lost its memory.
    pub incarnation: u64,
}

impl NodeConfig {
    /// The settings of `unit` in a pair of units 0 and 1; `random` becomes the incarnation.
    pub fn new(unit: UnitId, random: u64) -> Self {
        Self {
            unit,
            peer: UnitId::new(u32::from(unit.value() == 0)),
            software: concat!("ha-core ", env!("CARGO_PKG_VERSION")).to_owned(),
            keepalive: KeepaliveConfig::default(),
            changes_window_bytes: 4 * 1024 * 1024,
            bulk_window_bytes: 512 * 1024,
            digest_interval: Duration::from_secs(5),
            audit_slots: 16 * 1024,
            ack_limit: Duration::from_secs(5),
            incarnation: random.max(1),
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.unit == self.peer {
            return Err(ConfigError::SameUnit { unit: self.unit });
        }
        let windows = [
            ("changes_window_bytes", self.changes_window_bytes),
            ("bulk_window_bytes", self.bulk_window_bytes),
        ];
        for (name, bytes) in windows {
            if !WINDOW_RANGE.contains(&bytes) {
                return Err(ConfigError::Window { name, bytes });
            }
        }
        if self.software.len() > limits::MAX_TEXT_BYTES {
            return Err(ConfigError::Text {
                what: "software",
                limit: limits::MAX_TEXT_BYTES,
            });
        }
        if self.ack_limit < Duration::from_millis(10) {
            return Err(ConfigError::AckLimit);
        }
        if self.digest_interval < Duration::from_millis(10) {
            return Err(ConfigError::DigestInterval);
        }
        Ok(())
    }
}

/// Windows that make sense: one part of a batch to a quarter of what a standby may stage.
const WINDOW_RANGE: core::ops::RangeInclusive<usize> = 64 * 1024..=limits::MAX_WINDOW_BYTES;

/// A redundancy group: clients that change roles together.
pub struct GroupConfig {
    /// The group's id, the same on both units.
    pub id: GroupId,
    /// The clients.
    pub clients: Vec<Arc<dyn CheckpointClient>>,
    /// Who decides the role.
    pub scheme: Box<dyn Scheme>,
    /// What the group shares with the application's threads.
    pub shared: Arc<Shared>,
    /// How long a client may take to answer a notification (Cisco: client_notification_TMR).
    pub notification_timer: Duration,
    /// Rows of history that are kept: 10 by default, at most 50.
    pub history_rows: usize,
    /// How long a manual switchover waits for the standby to catch up before it fails.
    pub switchover_limit: Duration,
    /// Test only: protections that are left out to prove that tests find that.
    #[doc(hidden)]
    pub planted: Planted,
}

/// Protections that can be left out, to prove that the simulator finds that.
#[doc(hidden)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Planted {
    /// Digests are not compared.
    pub no_digest: bool,
    /// Lower terms are not refused.
    pub no_fencing: bool,
    /// Removals are forgotten.
    pub no_tombstones: bool,
    /// The granted window is not kept.
    pub no_credit: bool,
}

impl GroupConfig {
    /// A group with default settings.
    pub fn new(id: GroupId, scheme: Box<dyn Scheme>, shared: Arc<Shared>) -> Self {
        Self {
            id,
            clients: Vec::new(),
            scheme,
            shared,
            notification_timer: Duration::from_secs(30),
            history_rows: 10,
            switchover_limit: Duration::from_secs(10),
            planted: Planted::default(),
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.clients.len() > limits::MAX_CLIENTS {
            return Err(ConfigError::TooManyClients {
                limit: limits::MAX_CLIENTS,
            });
        }
        let mut ids = BTreeSet::new();
        for client in &self.clients {
            let descriptor = client.descriptor();
            check_descriptor(descriptor)?;
            if !ids.insert(descriptor.id) {
                return Err(ConfigError::DuplicateClient {
                    client: descriptor.id,
                });
            }
        }
        Ok(())
    }
}

fn check_descriptor(descriptor: &ClientDescriptor) -> Result<(), ConfigError> {
    let client = descriptor.id;
    if matches!(client.value(), 0 | 65000) {
        return Err(ConfigError::ReservedClient { client });
    }
    if descriptor.versions.is_empty() {
        return Err(ConfigError::NoVersion { client });
    }
    if descriptor.flush.max_age < MIN_FLUSH_AGE {
        return Err(ConfigError::FlushAge { client });
    }
    let limit = ClientDescriptor::NAME_LIMIT;
    if descriptor.name.is_empty() || descriptor.name.len() > limit {
        return Err(ConfigError::Text {
            what: "client name",
            limit,
        });
    }
    let limit = ClientDescriptor::CONFIG_TEXT_LIMIT;
    let long = |(name, value): &(String, String)| name.len() > limit || value.len() > limit;
    if descriptor.config.iter().any(long) {
        return Err(ConfigError::Text {
            what: "configuration item",
            limit,
        });
    }
    if descriptor.config.len() > ClientDescriptor::CONFIG_LIMIT {
        return Err(ConfigError::TooManyItems {
            client,
            limit: ClientDescriptor::CONFIG_LIMIT,
        });
    }
    Ok(())
}

/// A shorter age would keep the node busy with nothing but looking for marks.
const MIN_FLUSH_AGE: Duration = Duration::from_micros(100);

/// Why a node cannot be set up as asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Both units have the same id.
    #[error("this unit and its peer are both {unit}; give them different ids")]
    SameUnit {
        /// The id.
        unit: UnitId,
    },
    /// A window is out of range.
    #[error(
        "{name} is {bytes}; allowed are {} to {}",
        WINDOW_RANGE.start(),
        WINDOW_RANGE.end()
    )]
    Window {
        /// The setting.
        name: &'static str,
        /// Its value.
        bytes: usize,
    },
    /// A text is empty or too long.
    #[error("the {what} must have 1 to {limit} bytes")]
    Text {
        /// Which.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// `digest_interval` is below 10 ms.
    #[error("digest_interval must be at least 10 ms")]
    DigestInterval,
    /// Something about a group's facility.
    #[error("{0}")]
    Facility(#[from] FacilityConfigError),
    /// `ack_limit` is below 10 ms.
    #[error("ack_limit must be at least 10 ms, and longer than the standby ever takes to apply")]
    AckLimit,
    /// No group, or too many.
    #[error("a node hosts 1 to {limit} groups")]
    Groups {
        /// The limit.
        limit: usize,
    },
    /// Two groups with one id.
    #[error("{group} is configured twice")]
    DuplicateGroup {
        /// The id.
        group: GroupId,
    },
    /// Too many clients.
    #[error("a group has at most {limit} clients")]
    TooManyClients {
        /// The limit.
        limit: usize,
    },
    /// Two clients with one id.
    #[error("{client} is registered twice in one group; give each client an id of its own")]
    DuplicateClient {
        /// The id.
        client: ClientId,
    },
    /// An id that Cisco's facility uses itself.
    #[error("{client} is reserved; use 1 to 64999 or 65001 to 65535")]
    ReservedClient {
        /// The id.
        client: ClientId,
    },
    /// An empty version range.
    #[error("{client} speaks no version; give it a range such as 1..=1")]
    NoVersion {
        /// The client.
        client: ClientId,
    },
    /// A flush policy that would keep the node busy for nothing.
    #[error("{client} is to be flushed after less than 100 µs; raise max_age")]
    FlushAge {
        /// The client.
        client: ClientId,
    },
    /// Too many configuration items.
    #[error("{client} has more than {limit} configuration items")]
    TooManyItems {
        /// The client.
        client: ClientId,
        /// The limit.
        limit: usize,
    },
}

#[cfg(all(test, not(loom)))]
mod tests;
