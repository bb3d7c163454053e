//! What the file means.

use core::time::Duration;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ha_core::id::{GroupId, UnitId};
use ha_core::redundancy::KeepaliveConfig;
use ha_ipsec::linux::mirror::{Filter, MirrorConfig};
use ha_ipsec::linux::route::RouteConfig;
use ha_ipsec::record::Mark;
use ha_ipsec::replay::InboundPolicy;
use ha_ipsec::sad::SadConfig;
use ha_ipsec::sequence::MAX_BUDGET;
use ha_transport::vip::VirtualAddress;
use ha_transport::{Fingerprint, Identity, PeerTrust};

use super::ConfigError;
use super::file::{File, Hooks, Inbound, Link, LogLevel, Mode, Transport};

/// Everything, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) unit: UnitId,
    pub(crate) group: GroupId,
    pub(crate) identity: Identity,
    pub(crate) trust: PeerTrust,
    pub(crate) links: Vec<LinkSettings>,
    pub(crate) keepalive: KeepaliveConfig,
    pub(crate) addresses: Vec<VirtualAddress>,
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
        let (identity, trust) = checker.identity(&file)?;
        let links = checker.links(&file)?;
        checker.mirror(&file)?;
        checker.routes(&file)?;
        let keepalive = checker.keepalive(&file)?;
        let addresses = checker.addresses(&file, &links)?;
        Ok(Self {
            path: path.to_owned(),
            unit,
            group: GroupId::new(file.unit.group),
            identity,
            trust,
            links,
            keepalive,
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

/// Knows where the file is, for the errors.
struct Checker<'a> {
    path: &'a Path,
}

impl Checker<'_> {
    fn value(&self, key: impl Into<String>, problem: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            path: self.path.to_owned(),
            key: key.into(),
            problem: problem.into(),
        }
    }

    fn within(&self, key: &str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
        if (least..=most).contains(&value) {
            return Ok(());
        }
        Err(self.value(
            key,
            format!("is {value}; it must be within {least} and {most}"),
        ))
    }

    fn unit(&self, id: u32) -> Result<UnitId, ConfigError> {
        self.within("unit.id", id.into(), 0, 1)?;
        Ok(UnitId::new(id))
    }

    fn identity(&self, file: &File) -> Result<(Identity, PeerTrust), ConfigError> {
        let folder = &file.unit.identity;
        let identity = Identity::load(folder).map_err(|error| ConfigError::Identity {
            path: self.path.to_owned(),
            folder: folder.clone(),
            cause: error.to_string(),
        })?;
        let pin: Fingerprint = file
            .unit
            .peer
            .parse()
            .map_err(|error| self.value("unit.peer", format!("is no fingerprint: {error}")))?;
        if identity.fingerprint() == pin {
            let problem = "is this unit's own fingerprint; put the other unit's there \
                           (ha-identity show DIR)";
            return Err(self.value("unit.peer", problem));
        }
        let trust = PeerTrust::keys([pin])
            .map_err(|error| self.value("unit.peer", format!("cannot be used: {error}")))?;
        Ok((identity, trust))
    }

    fn links(&self, file: &File) -> Result<Vec<LinkSettings>, ConfigError> {
        if file.link.is_empty() || file.link.len() > MAX_LINKS {
            let problem = format!("must be there 1 to {MAX_LINKS} times");
            return Err(self.value("link", problem));
        }
        let links = file.link.iter().enumerate();
        links.map(|(place, link)| self.link(place, link)).collect()
    }

    fn link(&self, place: usize, link: &Link) -> Result<LinkSettings, ConfigError> {
        let key = |name: &str| format!("link {}: {name}", place + 1);
        let local = self.ends(&key("local"), link.local.all(), link.transport)?;
        let remote = self.ends(&key("remote"), link.remote.all(), link.transport)?;
        if local.iter().any(|end| remote.contains(end)) {
            return Err(self.value(key("local"), "is the same as the remote end"));
        }
        if local
            .iter()
            .chain(&remote)
            .any(|end| end.is_ipv4() != local[0].is_ipv4())
        {
            return Err(self.value(key("local"), "and the remote end are of different families"));
        }
        let of_sctp = link.retransmit_timeout_ms.is_some()
            || link.path_retransmit.is_some()
            || link.assoc_retransmit.is_some()
            || link.heartbeat_ms.is_some();
        if of_sctp && link.transport != Transport::Sctp {
            let problem = "has timers that only sctp has (retransmit_timeout_ms, path_retransmit, \
                           assoc_retransmit, heartbeat_ms)";
            return Err(self.value(key("transport"), problem));
        }
        if link.transport == Transport::Sctp && cfg!(not(feature = "sctp")) {
            let problem = "is sctp, and this program was built without it (--features sctp)";
            return Err(self.value(key("transport"), problem));
        }
        Ok(LinkSettings {
            transport: link.transport,
            local,
            remote,
            file: link.clone(),
        })
    }

    fn ends(
        &self,
        key: &str,
        texts: &[String],
        transport: Transport,
    ) -> Result<Vec<SocketAddr>, ConfigError> {
        let most = if transport == Transport::Sctp { 2 } else { 1 };
        if texts.is_empty() || texts.len() > most {
            return Err(self.value(
                key,
                format!("names {} addresses; 1 to {most} are possible", texts.len()),
            ));
        }
        texts.iter().map(|text| self.end(key, text)).collect()
    }

    fn end(&self, key: &str, text: &str) -> Result<SocketAddr, ConfigError> {
        let end: SocketAddr = text.parse().map_err(|_| {
            let problem =
                format!("is `{text}`, which is no address with a port, such as 10.0.0.1:3249");
            self.value(key, problem)
        })?;
        if end.port() == 0 || end.ip().is_unspecified() {
            return Err(self.value(key, format!("is `{text}`; address and port must be given")));
        }
        Ok(end)
    }

    fn keepalive(&self, file: &File) -> Result<KeepaliveConfig, ConfigError> {
        let keepalive = &file.keepalive;
        self.within("keepalive.interval_ms", keepalive.interval_ms, 10, 60_000)?;
        self.within("keepalive.threshold", keepalive.threshold.into(), 2, 50)?;
        let interval = Duration::from_millis(keepalive.interval_ms);
        KeepaliveConfig::new(interval, keepalive.threshold)
            .map_err(|error| self.value("keepalive", error.to_string()))
    }

    fn mirror(&self, file: &File) -> Result<(), ConfigError> {
        let mirror = &file.mirror;
        if mirror.addresses.is_empty() {
            let problem = "is empty; name the virtual addresses whose SAs are mirrored";
            return Err(self.value("mirror.addresses", problem));
        }
        let within = |key: &str, value, least, most| {
            self.within(&format!("mirror.{key}"), value, least, most)
        };
        within(
            "replay_interval_inbound",
            mirror.replay_interval_inbound,
            4,
            1_000_000,
        )?;
        within(
            "replay_interval_outbound",
            mirror.replay_interval_outbound,
            1000,
            1_000_000_000,
        )?;
        within("max_rekeys_per_s", mirror.max_rekeys_per_s.into(), 1, 1000)?;
        within("budget", mirror.budget, 1000, MAX_BUDGET)?;
        within("flush_interval_ms", mirror.flush_interval_ms, 1, 10_000)?;
        within("event_interval_ms", mirror.event_interval_ms, 1, 10_000)?;
        within("apply_interval_ms", mirror.apply_interval_ms, 100, 600_000)?;
        within("max_sas", mirror.max_sas.into(), 2, 10_000_000)?;
        within(
            "receive_buffer_kib",
            mirror.receive_buffer_kib.into(),
            64,
            1 << 20,
        )
    }

    fn routes(&self, file: &File) -> Result<(), ConfigError> {
        let Some(routes) = &file.routes else {
            return Ok(());
        };
        self.within("routes.table", routes.table.into(), 1, u32::MAX.into())?;
        // Below are the kernel's own, and those of tools (RTPROT_BOOT, RTPROT_STATIC).
        self.within("routes.protocol", routes.protocol.into(), 5, 255)
    }

    fn addresses(
        &self,
        file: &File,
        links: &[LinkSettings],
    ) -> Result<Vec<VirtualAddress>, ConfigError> {
        if let Some(address) = file.mirror.addresses.iter().find(|it| {
            links.iter().any(|link| {
                link.local
                    .iter()
                    .chain(&link.remote)
                    .any(|end| end.ip() == **it)
            })
        }) {
            let problem =
                format!("has {address}, which is an end of a link: its SAs stay with a unit");
            return Err(self.value("mirror.addresses", problem));
        }
        let mut addresses = Vec::new();
        let mut known = HashSet::new();
        let ends: HashSet<IpAddr> = links
            .iter()
            .flat_map(|link| link.local.iter().chain(&link.remote))
            .map(SocketAddr::ip)
            .collect();
        for (place, address) in file.virtual_address.iter().enumerate() {
            let key = format!("virtual_address {}", place + 1);
            let address = VirtualAddress::parse(&address.interface, &address.address)
                .map_err(|error| self.value(&key, error.to_string()))?;
            if !known.insert(address.address) {
                return Err(self.value(&key, format!("names {} again", address.address)));
            }
            // Cisco: local and remote of the IPC must not be virtual addresses.
            if ends.contains(&address.address) {
                let problem = format!(
                    "is {}, which is an end of a link; links need addresses that stay with a unit",
                    address.address
                );
                return Err(self.value(&key, problem));
            }
            addresses.push(address);
        }
        Ok(addresses)
    }
}

const MAX_LINKS: usize = 8;

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
