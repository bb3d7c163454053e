//! What the file means.

use core::time::Duration;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ha_core::id::{GroupId, UnitId};
use ha_core::redundancy::KeepaliveConfig;
use ha_core::scheme::{PeerHealthConfig, Role};
use ha_ipsec::linux::mirror::{Filter, MirrorConfig};
use ha_ipsec::linux::route::RouteConfig;
use ha_ipsec::record::Mark;
use ha_ipsec::replay::InboundPolicy;
use ha_ipsec::sad::SadConfig;
use ha_transport::vip::VirtualAddress;
use ha_transport::{Fingerprint, Identity, PeerTrust};

use super::ConfigError;
use super::check::Checker;
use super::file::{File, Hooks, Inbound, Link, LogLevel, Mode, Transport};

/// Everything, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) unit: UnitId,
    pub(crate) group: GroupId,
    pub(crate) identity: Identity,
    /// The other unit's.
    pub(crate) peer: Fingerprint,
    pub(crate) trust: PeerTrust,
    pub(crate) links: Vec<LinkSettings>,
    pub(crate) keepalive: KeepaliveConfig,
    pub(crate) scheme: SchemeSettings,
    pub(crate) addresses: Vec<VirtualAddress>,
}

/// Who decides on the role.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SchemeSettings {
    PeerHealth(PeerHealthConfig),
    Static(Role),
}

/// A path to the other unit.
#[derive(Clone, Debug)]
pub(crate) struct LinkSettings {
    pub(crate) transport: Transport,
    pub(crate) local: Vec<SocketAddr>,
    pub(crate) remote: Vec<SocketAddr>,
    #[cfg_attr(not(feature = "sctp"), expect(dead_code, reason = "of SCTP alone"))]
    pub(crate) file: Link,
}

impl Settings {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// What is wrong, where, and what is right.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::check(path, Self::parse(path)?)
    }

    fn parse(path: &Path) -> Result<File, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        toml::from_str(&text).map_err(|error| ConfigError::syntax(path, &error))
    }

    fn check(path: &Path, file: File) -> Result<Self, ConfigError> {
        let checker = Checker { path };
        let unit = checker.unit(file.unit.id)?;
        let (identity, peer, trust) = checker.identity(&file)?;
        let links = checker.links(&file)?;
        checker.mirror(&file)?;
        checker.routes(&file)?;
        let keepalive = checker.keepalive(&file)?;
        let scheme = checker.scheme(&file, keepalive)?;
        let addresses = checker.addresses(&file, &links)?;
        Ok(Self {
            path: path.to_owned(),
            unit,
            group: GroupId::new(file.unit.group),
            identity,
            peer,
            trust,
            links,
            keepalive,
            scheme,
            addresses,
            file,
        })
    }

    pub(crate) fn hooks(&self) -> &Hooks {
        &self.file.hooks
    }

    pub(crate) fn log_level(&self) -> LogLevel {
        self.file.log.level
    }

    pub(crate) fn mirror(&self) -> MirrorConfig {
        let mirror = &self.file.mirror;
        let filter = Filter {
            addresses: mirror.addresses.iter().copied().collect(),
            reqids: mirror.reqids.iter().copied().collect(),
            interface_ids: mirror.interface_ids.iter().copied().collect(),
            marks: mirror
                .marks
                .iter()
                .map(|mark| Mark {
                    value: mark.value,
                    mask: mark.mask,
                })
                .collect(),
        };
        let mode = match mirror.mode {
            Mode::Counters => ha_ipsec::linux::mirror::Mode::Counters,
            Mode::Full => ha_ipsec::linux::mirror::Mode::Full,
        };
        let mut config = MirrorConfig::new(mode, filter);
        config.policy = match mirror.inbound_policy {
            Inbound::Strict => InboundPolicy::Strict,
            Inbound::Resume => InboundPolicy::Resume,
        };
        config.rekey_held = mirror.rekey_held;
        config.max_rekeys_per_s = mirror.max_rekeys_per_s;
        config.budget = mirror.budget;
        config.event_interval = Duration::from_millis(mirror.event_interval_ms);
        config.apply_interval = Duration::from_millis(mirror.apply_interval_ms);
        let quarter = mirror.replay_interval_inbound / 4;
        config.max_event_packets = u32::try_from(quarter).unwrap_or(u32::MAX).max(1);
        config
    }

    pub(crate) fn routes(&self) -> Option<RouteConfig> {
        self.file.routes.as_ref().map(|routes| RouteConfig {
            table: routes.table,
            protocol: routes.protocol,
            metric: routes.metric,
            via_v4: routes.via_v4,
            via_v6: routes.via_v6,
            default_route: routes.default_route,
            ..RouteConfig::new(routes.interface.clone())
        })
    }

    pub(crate) fn sad(&self) -> SadConfig {
        let mirror = &self.file.mirror;
        SadConfig {
            unit: self.unit,
            max_sas: mirror.max_sas,
            max_ike_sas: 1,
            detection: self.keepalive.detection_time(),
            flush_interval: Duration::from_millis(mirror.flush_interval_ms),
            // The kernel tells in time, but this process may have to wait for its turn to listen.
            observe_interval: Duration::from_millis(mirror.event_interval_ms * 2),
            replay_interval_inbound: mirror.replay_interval_inbound,
            replay_interval_outbound: mirror.replay_interval_outbound,
            ..SadConfig::default()
        }
    }
}

/// For people, and for SIGHUP.
impl Settings {
    /// The status socket that a file names; nothing else of it is looked at.
    pub(crate) fn socket_of(path: &Path) -> Result<PathBuf, ConfigError> {
        Self::parse(path).map(|file| file.unit.status_socket)
    }

    /// The sections of another file that only a restart can take over.
    pub(crate) fn differences(&self, other: &Self) -> Vec<&'static str> {
        let (a, b) = (&self.file, &other.file);
        [
            ("unit", a.unit != b.unit),
            ("link", a.link != b.link),
            ("keepalive", a.keepalive != b.keepalive),
            ("scheme", a.scheme != b.scheme),
            ("mirror", a.mirror != b.mirror),
            ("virtual_address", a.virtual_address != b.virtual_address),
            ("routes", a.routes != b.routes),
        ]
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
    }

    /// What the daemon would do.
    pub(crate) fn summary(&self) -> String {
        let mut lines = vec![format!(
            "unit {} of group {}, {}; peer {}",
            self.unit.value(),
            self.group.value(),
            self.identity.fingerprint(),
            self.file.unit.peer
        )];
        lines.extend(self.links.iter().map(|link| {
            let ends = |ends: &[SocketAddr]| {
                ends.iter()
                    .map(SocketAddr::to_string)
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            let kind = format!("{:?}", link.transport).to_lowercase();
            format!(
                "link over {kind}: {} to {}",
                ends(&link.local),
                ends(&link.remote)
            )
        }));
        lines.push(format!(
            "the other unit counts as dead after {} ms",
            self.keepalive.detection_time().as_millis()
        ));
        lines.push(match self.scheme {
            SchemeSettings::PeerHealth(config) => format!(
                "the units elect the active one; priority {}{}",
                config.priority,
                if config.preempt {
                    ", which is preferred whenever it is ready"
                } else {
                    ""
                }
            ),
            SchemeSettings::Static(role) => {
                format!("starts {role}; only commands and switchovers change that")
            }
        });
        let mirror = &self.file.mirror;
        let addresses: Vec<_> = mirror.addresses.iter().map(IpAddr::to_string).collect();
        lines.push(match mirror.mode {
            Mode::Counters => format!(
                "numbers, windows and lifetimes of SAs of {}; an IKE daemon installs the SAs",
                addresses.join(", ")
            ),
            Mode::Full => format!("SAs, policies and counters of {}", addresses.join(", ")),
        });
        lines.extend(
            self.file.routes.as_ref().map(|routes| {
                format!("routes to the peers' networks through {}", routes.interface)
            }),
        );
        lines.extend(
            self.addresses
                .iter()
                .map(|it| format!("virtual address {it}")),
        );
        lines.join("\n")
    }
}
