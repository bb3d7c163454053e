//! `show crypto session [active | standby] [detail]`.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::isakmp::Capabilities;
use super::selector::{SelectorView, can_match, protocol_word};
use super::text::{Endpoint, Hms, OrNone, Safe};
use crate::clear::{HaStatus, StatusFilter};

/// The sessions; its `Display` is the command's output, [`detail`](Self::detail) that with the
/// keyword `detail`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct SessionTable {
    /// The sessions.
    pub sessions: Vec<SessionView>,
}

/// What there is between this gateway and one peer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SessionView {
    /// The interface.
    pub interface: String,
    /// The user after XAUTH or EAP.
    pub username: Option<String>,
    /// The profile.
    pub profile: Option<String>,
    /// Addresses that were assigned to the peer.
    pub assigned: Vec<IpAddr>,
    /// How long it has been up, in seconds.
    pub uptime_s: Option<u64>,
    /// How far it is.
    pub status: SessionStatus,
    /// Whether it serves on this unit.
    pub ha: HaStatus,
    /// The peer.
    pub peer: SocketAddr,
    /// The VRF outside the tunnel; `None` for the global one.
    pub fvrf: Option<String>,
    /// The VRF inside the tunnel; `None` for the global one.
    pub ivrf: Option<String>,
    /// The peer's identity.
    pub phase1_id: Option<String>,
    /// The peer's description.
    pub description: Option<String>,
    /// The IKE SAs.
    pub ike: Vec<SessionIkeView>,
    /// The flows.
    pub flows: Vec<SessionFlowView>,
}

/// How far a session is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub enum SessionStatus {
    /// An IKE SA and IPsec SAs.
    UpActive,
    /// The same, on the standby.
    UpStandby,
    /// An IKE SA only.
    UpIdle,
    /// IPsec SAs only.
    UpNoIke,
    /// An IKE SA is being negotiated.
    DownNegotiating,
    /// Nothing.
    Down,
}

impl SessionStatus {
    /// The status from what there is: an IKE SA that is up, any IKE SA, an IPsec SA.
    pub const fn of(ha: HaStatus, ike_up: bool, ike: bool, ipsec: bool) -> Self {
        match (ha, ike_up, ipsec) {
            (HaStatus::Standby, true, true) => Self::UpStandby,
            (HaStatus::Active, true, true) => Self::UpActive,
            (_, true, false) => Self::UpIdle,
            (_, false, true) => Self::UpNoIke,
            (_, false, false) if ike => Self::DownNegotiating,
            (_, false, false) => Self::Down,
        }
    }
}

impl fmt::Display for SessionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UpActive => "UP-ACTIVE",
            Self::UpStandby => "UP-STANDBY",
            Self::UpIdle => "UP-IDLE",
            Self::UpNoIke => "UP-NO-IKE",
            Self::DownNegotiating => "DOWN-NEGOTIATING",
            Self::Down => "DOWN",
        })
    }
}

/// An IKE SA of a session.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SessionIkeView {
    /// The version of IKE, 1 or 2.
    pub version: u8,
    /// This side.
    pub local: SocketAddr,
    /// The peer.
    pub remote: SocketAddr,
    /// Whether it is established.
    pub established: bool,
    /// What else it uses.
    pub capabilities: Capabilities,
    /// The connection's number on this unit.
    pub conn_id: u32,
    /// Seconds left; `None` without a limit.
    pub lifetime_s: Option<u64>,
}

/// The traffic of a session between the same selectors.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SessionFlowView {
    /// The traffic on this side.
    pub local: Vec<SelectorView>,
    /// The traffic on the peer's side.
    pub remote: Vec<SelectorView>,
    /// How many SAs.
    pub active_sas: u32,
    /// What asked for the flow: `crypto map`, `dynamic crypto map`.
    pub origin: String,
    /// To this gateway.
    pub inbound: SessionTraffic,
    /// To the peer.
    pub outbound: SessionTraffic,
}

/// The traffic of a flow in one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct SessionTraffic {
    /// Packets that passed.
    pub packets: u64,
    /// Packets that did not.
    pub dropped: u64,
    /// Kilobytes left; `None` without a limit.
    pub life_kilobytes: Option<u64>,
    /// Seconds left; `None` without a limit.
    pub life_seconds: Option<u64>,
}

impl SessionTable {
    /// Those that the filter admits.
    #[must_use]
    pub fn filtered(mut self, filter: StatusFilter) -> Self {
        self.sessions.retain(|session| filter.admits(session.ha));
        self
    }

    /// Adds another table: that of another group of this unit.
    pub fn merge(&mut self, other: Self) {
        self.sessions.extend(other.sessions);
    }

    /// The output with the keyword `detail`.
    pub const fn detail(&self) -> SessionDetail<'_> {
        SessionDetail(self)
    }
}

impl fmt::Display for SessionTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Crypto session current status")?;
        for session in &self.sessions {
            session.write_brief(f)?;
        }
        Ok(())
    }
}

/// The output of `show crypto session detail`.
#[derive(Clone, Copy, Debug)]
pub struct SessionDetail<'a>(&'a SessionTable);

impl fmt::Display for SessionDetail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crypto session current status\n\n{CODES}")?;
        for session in &self.0.sessions {
            session.write_detail(f)?;
        }
        Ok(())
    }
}

impl SessionView {
    fn write_brief(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nInterface: {}", Safe(&self.interface))?;
        writeln!(f, "Session status: {}", self.status)?;
        let (peer, port) = (self.peer.ip(), self.peer.port());
        writeln!(f, "Peer: {peer} port {port}")?;
        self.ike.iter().try_for_each(|ike| ike.write_head(f))?;
        self.flows.iter().try_for_each(|flow| flow.write_head(f))
    }

    fn write_detail(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nInterface: {}", Safe(&self.interface))?;
        for (name, value) in [("Username", &self.username), ("Profile", &self.profile)] {
            if let Some(value) = value {
                writeln!(f, "{name}: {}", Safe(value))?;
            }
        }
        for address in &self.assigned {
            writeln!(f, "Assigned address: {address}")?;
        }
        if let Some(uptime) = self.uptime_s {
            writeln!(f, "Uptime: {}", Hms(uptime))?;
        }
        writeln!(f, "Session status: {}", self.status)?;
        self.write_peer(f)?;
        for ike in &self.ike {
            ike.write_head(f)?;
            ike.write_capabilities(f)?;
        }
        for flow in &self.flows {
            flow.write_head(f)?;
            flow.write_traffic(f)?;
        }
        Ok(())
    }

    fn write_peer(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (peer, port) = (self.peer.ip(), self.peer.port());
        let fvrf = OrNone(self.fvrf.as_deref());
        let ivrf = OrNone(self.ivrf.as_deref());
        writeln!(f, "Peer: {peer} port {port} fvrf: {fvrf} ivrf: {ivrf}")?;
        let id = OrNone(self.phase1_id.as_deref());
        writeln!(f, "      Phase1_id: {id}")?;
        let description = OrNone(self.description.as_deref());
        writeln!(f, "      Desc: {description}")
    }
}

impl SessionIkeView {
    fn write_head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (local, remote) = (Endpoint(self.local), Endpoint(self.remote));
        let state = if self.established {
            "Active"
        } else {
            "Inactive"
        };
        let version = self.version;
        writeln!(
            f,
            "  IKEv{version} SA: local {local} remote {remote} {state}"
        )
    }

    fn write_capabilities(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = self.capabilities.letters();
        let letters = if letters.is_empty() {
            "(none)"
        } else {
            &letters
        };
        write!(
            f,
            "          Capabilities:{letters} connid:{}",
            self.conn_id
        )?;
        match self.lifetime_s {
            Some(seconds) => writeln!(f, " lifetime:{}", Hms(seconds)),
            None => writeln!(f, " lifetime:none"),
        }
    }
}

impl SessionFlowView {
    /// One line for each pair of selectors: what RFC 4301 §4.4.1.2 calls a decorrelated entry.
    fn write_head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for local in &self.local {
            for remote in self.remote.iter().filter(|remote| can_match(local, remote)) {
                let protocol = protocol_word(local, remote);
                let (local, remote) = (local.access(), remote.access());
                writeln!(f, "  IPSEC FLOW: permit {protocol} {local} {remote}")?;
            }
        }
        let (count, origin) = (self.active_sas, Safe(&self.origin));
        writeln!(f, "        Active SAs: {count}, origin: {origin}")
    }

    fn write_traffic(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "        Inbound:  #pkts dec'ed {}", self.inbound)?;
        writeln!(f, "        Outbound: #pkts enc'ed {}", self.outbound)
    }
}

impl fmt::Display for SessionTraffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} drop {} life (KB/Sec) ", self.packets, self.dropped)?;
        match self.life_kilobytes {
            Some(kilobytes) => write!(f, "{kilobytes}/")?,
            None => f.write_str("KB Vol Rekey Disabled/")?,
        }
        match self.life_seconds {
            Some(seconds) => write!(f, "{seconds}"),
            None => f.write_str("none"),
        }
    }
}

const CODES: &str = "\
Code: C - IKE Configuration mode, D - Dead Peer Detection
K - Keepalives, N - NAT-traversal, T - cTCP encapsulation
X - IKE Extended Authentication, F - IKE Fragmentation
";
