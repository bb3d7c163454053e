//! Views from records.
//!
//! [`Show`] makes all views of one group's database; the functions beneath it take records alone,
//! for a gateway that keeps its SAs elsewhere.

mod database;
mod ike;
mod ipsec;
mod session;

use core::net::IpAddr;

pub use database::Show;
pub use ike::{crypto_ha, ikev2_sa, isakmp_sa};
pub use ipsec::{SaFigures, ipsec_sa_table};
pub use session::session_table;

use super::selector::SelectorView;
use crate::clear::HaStatus;
use crate::id::SaId;
use crate::record::Selector;

/// What the records do not say.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Now, in seconds since 1970.
    pub unix_s: u64,
    /// Whether this unit is active for these SAs.
    pub status: HaStatus,
    /// What the gateway knows.
    pub platform: &'a dyn Platform,
}

/// What the gateway around the database knows.
///
/// The records hold numbers, since the units may number alike and name differently; and packets are
/// counted by the data path.
pub trait Platform {
    /// The interface that carries an SA: by the interface id of a route-based SA, if it is not 0,
    /// or by this gateway's address.
    fn interface(&self, id: u32, local: IpAddr) -> String {
        match id {
            0 => local.to_string(),
            id => format!("if_id {id}"),
        }
    }

    /// The MTU of that interface, in bytes.
    fn interface_mtu(&self, id: u32, local: IpAddr) -> Option<u16> {
        let _ = (id, local);
        None
    }

    /// The VRF of a number; `None` for the global one.
    fn vrf(&self, id: u32) -> Option<String> {
        (id != 0).then(|| id.to_string())
    }

    /// What the data path counted of an SA. Without it the highest sequence number stands for the
    /// packets: exact until a takeover skips numbers, and without drops.
    fn packets(&self, id: &SaId) -> Option<SaPackets> {
        let _ = id;
        None
    }

    /// An operator's description of a peer.
    fn description(&self, peer: IpAddr) -> Option<String> {
        let _ = peer;
        None
    }
}

/// What a data path counts of an SA.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SaPackets {
    /// Packets that passed.
    pub passed: u64,
    /// Packets that did not.
    pub dropped: u64,
}

/// Numbers and addresses instead of names, and nothing counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainPlatform;

impl Platform for PlainPlatform {}

impl From<&Selector> for SelectorView {
    fn from(selector: &Selector) -> Self {
        Self {
            protocol: selector.protocol,
            first_port: *selector.ports.start(),
            last_port: *selector.ports.end(),
            first: *selector.addresses.start(),
            last: *selector.addresses.end(),
        }
    }
}

fn selectors(selectors: &[Selector]) -> Vec<SelectorView> {
    selectors.iter().map(SelectorView::from).collect()
}

/// The seconds left of a limit.
const fn seconds_left(created_unix_s: u64, limit: Option<u64>, now_unix_s: u64) -> Option<u64> {
    match limit {
        Some(limit) => {
            let age = now_unix_s.saturating_sub(created_unix_s);
            Some(limit.saturating_sub(age))
        }
        None => None,
    }
}
