//! The file as it stands.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// All sections.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) unit: Unit,
    pub(crate) link: Vec<Link>,
    #[serde(default)]
    pub(crate) keepalive: Keepalive,
    #[serde(default)]
    pub(crate) scheme: Scheme,
    pub(crate) mirror: Mirror,
    #[serde(default)]
    pub(crate) virtual_address: Vec<Address>,
    pub(crate) routes: Option<Routes>,
    #[serde(default)]
    pub(crate) hooks: Hooks,
    #[serde(default)]
    pub(crate) log: Log,
}

/// Who this is, and who the other one is.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unit {
    pub(crate) id: u32,
    pub(crate) identity: PathBuf,
    pub(crate) peer: String,
    #[serde(default)]
    pub(crate) group: u32,
    pub(crate) status_socket: PathBuf,
}

/// A path to the other unit.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    pub(crate) transport: Transport,
    pub(crate) local: Ends,
    pub(crate) remote: Ends,
    pub(crate) retransmit_timeout_ms: Option<[u32; 2]>,
    pub(crate) path_retransmit: Option<u16>,
    pub(crate) assoc_retransmit: Option<u16>,
    pub(crate) heartbeat_ms: Option<u32>,
}

/// One address with a port, or (SCTP) two.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Ends {
    One(String),
    Several(Vec<String>),
}

impl Ends {
    pub(crate) fn all(&self) -> &[String] {
        match self {
            Self::One(one) => core::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    Tcp,
    Quic,
    Sctp,
}

/// When the other unit counts as dead: after `threshold` intervals without a sign of life.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Keepalive {
    pub(crate) interval_ms: u64,
    pub(crate) threshold: u32,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self {
            interval_ms: 250,
            threshold: 3,
        }
    }
}

/// Who should be active.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Scheme {
    pub(crate) kind: SchemeKind,
    pub(crate) role: Option<StaticRole>,
    pub(crate) priority: Option<u32>,
    pub(crate) preempt: Option<bool>,
    pub(crate) boot_wait_ms: Option<u64>,
    pub(crate) hold_ms: Option<u64>,
    pub(crate) start_alone: Option<bool>,
    pub(crate) takeover_incomplete: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SchemeKind {
    /// The units watch each other.
    #[default]
    PeerHealth,
    /// Somebody else tells.
    Static,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StaticRole {
    Active,
    Standby,
}

/// What is mirrored, and how.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mirror {
    pub(crate) mode: Mode,
    pub(crate) addresses: Vec<IpAddr>,
    #[serde(default)]
    pub(crate) reqids: Vec<u32>,
    #[serde(default)]
    pub(crate) interface_ids: Vec<u32>,
    #[serde(default)]
    pub(crate) marks: Vec<Mark>,
    #[serde(default)]
    pub(crate) inbound_policy: Inbound,
    #[serde(default = "rekey_held")]
    pub(crate) rekey_held: bool,
    #[serde(default = "max_rekeys_per_s")]
    pub(crate) max_rekeys_per_s: u32,
    #[serde(default = "replay_interval_inbound")]
    pub(crate) replay_interval_inbound: u64,
    #[serde(default = "replay_interval_outbound")]
    pub(crate) replay_interval_outbound: u64,
    #[serde(default = "budget")]
    pub(crate) budget: u64,
    #[serde(default = "flush_interval_ms")]
    pub(crate) flush_interval_ms: u64,
    #[serde(default = "event_interval_ms")]
    pub(crate) event_interval_ms: u64,
    #[serde(default = "apply_interval_ms")]
    pub(crate) apply_interval_ms: u64,
    #[serde(default = "max_sas")]
    pub(crate) max_sas: u32,
    #[serde(default = "receive_buffer_kib")]
    pub(crate) receive_buffer_kib: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// The IKE daemons install SAs on both units.
    Counters,
    /// The mirror does.
    Full,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mark {
    pub(crate) value: u32,
    pub(crate) mask: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Inbound {
    #[default]
    Strict,
    Resume,
}

/// An address that is where the active role is.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Address {
    pub(crate) interface: String,
    pub(crate) address: String,
}

/// Route injection (RRI): routes to the peers' networks, exactly on the active unit.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Routes {
    pub(crate) interface: String,
    #[serde(default = "main_table")]
    pub(crate) table: u32,
    #[serde(default = "route_protocol")]
    pub(crate) protocol: u8,
    #[serde(default)]
    pub(crate) metric: u32,
    pub(crate) via_v4: Option<std::net::Ipv4Addr>,
    pub(crate) via_v6: Option<std::net::Ipv6Addr>,
    #[serde(default)]
    pub(crate) default_route: bool,
}

/// Commands for the shell, run when something happens.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Hooks {
    pub(crate) active: Option<String>,
    pub(crate) standby: Option<String>,
    pub(crate) peer_lost: Option<String>,
}

#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    pub(crate) level: LogLevel,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// Without it, TCP may never come back under the strict policy.
const fn rekey_held() -> bool {
    true
}

const fn max_rekeys_per_s() -> u32 {
    20
}

/// Cisco's default of `redundancy replay-interval inbound`.
const fn replay_interval_inbound() -> u64 {
    1000
}

/// Cisco's default of `redundancy replay-interval outbound`.
const fn replay_interval_outbound() -> u64 {
    100_000
}

const fn main_table() -> u32 {
    254
}

const fn route_protocol() -> u8 {
    242
}

const fn budget() -> u64 {
    ha_ipsec::record::DEFAULT_BUDGET
}

const fn flush_interval_ms() -> u64 {
    10
}

const fn event_interval_ms() -> u64 {
    20
}

const fn apply_interval_ms() -> u64 {
    1000
}

const fn max_sas() -> u32 {
    200_000
}

const fn receive_buffer_kib() -> u32 {
    8192
}
