//! What a file may not say.

use core::time::Duration;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use ha_core::id::UnitId;
use ha_core::redundancy::KeepaliveConfig;
use ha_core::scheme::{PeerHealthConfig, Role};
use ha_ipsec::sequence::MAX_BUDGET;
use ha_transport::vip::VirtualAddress;
use ha_transport::{Fingerprint, Identity, PeerTrust};

use super::ConfigError;
use super::file::{File, Link, Scheme, SchemeKind, StaticRole, Transport};
use super::settings::{LinkSettings, SchemeSettings};

/// Knows where the file is, for the errors.
pub(super) struct Checker<'a> {
    pub(super) path: &'a Path,
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

    pub(super) fn unit(&self, id: u32) -> Result<UnitId, ConfigError> {
        self.within("unit.id", id.into(), 0, 1)?;
        Ok(UnitId::new(id))
    }

    pub(super) fn identity(
        &self,
        file: &File,
    ) -> Result<(Identity, Fingerprint, PeerTrust), ConfigError> {
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
        Ok((identity, pin, trust))
    }

    pub(super) fn links(&self, file: &File) -> Result<Vec<LinkSettings>, ConfigError> {
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

    pub(super) fn keepalive(&self, file: &File) -> Result<KeepaliveConfig, ConfigError> {
        let keepalive = &file.keepalive;
        self.within("keepalive.interval_ms", keepalive.interval_ms, 10, 60_000)?;
        self.within("keepalive.threshold", keepalive.threshold.into(), 2, 50)?;
        let interval = Duration::from_millis(keepalive.interval_ms);
        KeepaliveConfig::new(interval, keepalive.threshold)
            .map_err(|error| self.value("keepalive", error.to_string()))
    }

    pub(super) fn scheme(
        &self,
        file: &File,
        keepalive: KeepaliveConfig,
    ) -> Result<SchemeSettings, ConfigError> {
        match file.scheme.kind {
            SchemeKind::PeerHealth => self.peer_health(&file.scheme, keepalive),
            SchemeKind::Static => self.static_role(&file.scheme),
        }
    }

    fn peer_health(
        &self,
        scheme: &Scheme,
        keepalive: KeepaliveConfig,
    ) -> Result<SchemeSettings, ConfigError> {
        if scheme.role.is_some() {
            let problem =
                "is there, but the units elect one; for a fixed role write kind = \"static\"";
            return Err(self.value("scheme.role", problem));
        }
        let mut config = PeerHealthConfig::for_keepalive(keepalive);
        config.boot_wait = config.boot_wait.max(BOOT_WAIT);
        if let Some(ms) = scheme.boot_wait_ms {
            config.boot_wait = Duration::from_millis(ms);
        }
        if let Some(ms) = scheme.hold_ms {
            config.hold = Duration::from_millis(ms);
        }
        config.priority = scheme.priority.unwrap_or(config.priority);
        config.preempt = scheme.preempt.unwrap_or(config.preempt);
        config.start_alone = scheme.start_alone.unwrap_or(config.start_alone);
        // A unit that is half way through its first sync has few SAs to serve with.
        config.takeover_incomplete = scheme.takeover_incomplete.unwrap_or(false);
        config
            .validate(keepalive)
            .map_err(|error| self.value("scheme", format!("cannot be: {error}")))?;
        Ok(SchemeSettings::PeerHealth(config))
    }

    fn static_role(&self, scheme: &Scheme) -> Result<SchemeSettings, ConfigError> {
        let others = [
            ("priority", scheme.priority.is_some()),
            ("preempt", scheme.preempt.is_some()),
            ("boot_wait_ms", scheme.boot_wait_ms.is_some()),
            ("hold_ms", scheme.hold_ms.is_some()),
            ("start_alone", scheme.start_alone.is_some()),
            ("takeover_incomplete", scheme.takeover_incomplete.is_some()),
        ];
        if let Some((name, _)) = others.iter().find(|(_, is_there)| *is_there) {
            let problem = "is there, but with kind = \"static\" nobody elects; remove it";
            return Err(self.value(format!("scheme.{name}"), problem));
        }
        match scheme.role {
            Some(StaticRole::Active) => Ok(SchemeSettings::Static(Role::Active)),
            Some(StaticRole::Standby) => Ok(SchemeSettings::Static(Role::Standby)),
            None => {
                let problem = "is missing: with kind = \"static\" say which role the unit starts in, \
                               active or standby";
                Err(self.value("scheme.role", problem))
            }
        }
    }

    pub(super) fn mirror(&self, file: &File) -> Result<(), ConfigError> {
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

    pub(super) fn routes(&self, file: &File) -> Result<(), ConfigError> {
        let Some(routes) = &file.routes else {
            return Ok(());
        };
        self.within("routes.table", routes.table.into(), 1, u32::MAX.into())?;
        // Below are the kernel's own, and those of tools (RTPROT_BOOT, RTPROT_STATIC).
        self.within("routes.protocol", routes.protocol.into(), 5, 255)
    }

    pub(super) fn addresses(
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
/// How long a unit that starts looks for the other one before it is active alone: longer than an attempt
/// to connect that was begun before it was there (3 s), and the pause after it (1 s).
const BOOT_WAIT: Duration = Duration::from_secs(5);
