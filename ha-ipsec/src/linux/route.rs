//! Route injection: routes to the peers' networks are exactly where the active role is (Cisco's
//! `reverse-route`).
//!
//! [`Routes::sync`] brings the kernel's table to a set of prefixes: those of the outbound policies of
//! the mirrored SAs ([`protected`]), or what a gateway takes from its records ([`prefixes`]). A prefix
//! that several SAs need is one route, so a rekey changes nothing. On a unit that is not active the set
//! is empty.
//!
//! Routes carry a protocol number of our own (`rtm_protocol`), by which [`Routes::open`] finds those of
//! a former life; they are replaced by the first set. A route to the same prefix that somebody else made
//! is left alone, and told.

mod prefix;
mod rtnetlink;

use core::net::IpAddr;
use std::collections::BTreeSet;

pub use prefix::{MAX_PREFIXES, Prefix, PrefixError, prefixes};

use crate::linux::xfrm;
use rtnetlink::{Added, RouteSocket};

/// How routes are injected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteConfig {
    /// The routing table; 254 is main.
    pub table: u32,
    /// `rtm_protocol` of the routes, which no other program of this machine uses; 242 by default.
    pub protocol: u8,
    /// The metric; lower goes first.
    pub metric: u32,
    /// The interface that the routes lead through: the outer one, or a VTI.
    pub interface: String,
    /// The next hop of IPv4 routes; none for an interface without neighbours.
    pub via_v4: Option<core::net::Ipv4Addr>,
    /// The next hop of IPv6 routes.
    pub via_v6: Option<core::net::Ipv6Addr>,
    /// Whether 0.0.0.0/0 and ::/0 become routes too. They take all of the machine's traffic.
    pub default_route: bool,
}

impl RouteConfig {
    /// Routes of the main table through an interface, without a next hop.
    pub fn new(interface: impl Into<String>) -> Self {
        Self {
            table: 254,
            protocol: 242,
            metric: 0,
            interface: interface.into(),
            via_v4: None,
            via_v6: None,
            default_route: false,
        }
    }

    /// For IPv6 the kernel reads no metric as 1024 (IP6_RT_PRIO_USER).
    fn effective_metric(&self, prefix: &Prefix) -> u32 {
        match self.metric {
            0 if prefix.address().is_ipv6() => 1024,
            metric => metric,
        }
    }

    fn via(&self, prefix: &Prefix) -> Option<IpAddr> {
        match prefix.address() {
            IpAddr::V4(_) => self.via_v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.via_v6.map(IpAddr::V6),
        }
    }
}

/// Why routes are not as they should be. What could be done is done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// There is no such interface.
    #[error("there is no interface {0} for routes; is its name right?")]
    NoInterface(String),
    /// EPERM.
    #[error("changing routes needs CAP_NET_ADMIN; run as root, or give the program the capability")]
    Permission,
    /// Somebody else has routes to the same prefixes.
    #[error(
        "there is a route to {first} already, and to {more} more, which this program did not make; remove it, or use another metric or table"
    )]
    Exists {
        /// One of them.
        first: Prefix,
        /// How many others.
        more: usize,
    },
    /// More routes than can be handled.
    #[error("{got} routes; at most {MAX_ROUTES} are possible")]
    TooMany {
        /// How many.
        got: usize,
    },
    /// What the system said.
    #[error("{what} failed: {cause}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        cause: String,
    },
}

/// The injected routes of one group.
#[derive(Debug)]
pub struct Routes {
    config: RouteConfig,
    socket: RouteSocket,
    /// Ours, in the kernel, by table, metric and prefix: also those of other settings.
    held: BTreeSet<Held>,
}

/// A route of ours.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Held {
    prefix: Prefix,
    table: u32,
    metric: u32,
}

impl Routes {
    /// Finds what a former life left.
    ///
    /// # Errors
    /// When the kernel's routes cannot be read.
    pub fn open(config: RouteConfig) -> Result<Self, RouteError> {
        let mut routes = Self {
            config,
            socket: RouteSocket::open()?,
            held: BTreeSet::new(),
        };
        routes.refresh()?;
        Ok(routes)
    }

    /// Reads which routes of ours are there: an interface that went down, or somebody else, may have
    /// removed some. To be called now and then, before [`sync`](Self::sync).
    ///
    /// # Errors
    /// When the kernel's routes cannot be read.
    pub fn refresh(&mut self) -> Result<(), RouteError> {
        self.held = self.socket.ours(&self.config)?;
        Ok(())
    }

    /// The routes of ours that are there.
    pub fn held(&self) -> BTreeSet<Prefix> {
        self.held.iter().map(|held| held.prefix).collect()
    }

    /// Brings the table to this set: new ones first, so that nothing is without a route meanwhile.
    /// Returns how many routes changed.
    ///
    /// # Errors
    /// See [`RouteError`]; what could be done is done, and the next call tries the rest again.
    pub fn sync(&mut self, wanted: &BTreeSet<Prefix>) -> Result<usize, RouteError> {
        let wanted: BTreeSet<Held> = self.allowed(wanted)?;
        let plan = Plan::new(&self.held, &wanted);
        let (mut changed, mut outcome, mut taken) = (0, Ok(()), Vec::new());
        for route in plan.add {
            match self.socket.add(&self.config, &route.prefix) {
                Ok(Added::Now) => {
                    changed += 1;
                    self.held.insert(route);
                }
                Ok(Added::SomebodyElses) => taken.push(route.prefix),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        for route in plan.remove {
            match self.socket.remove(&self.config, &route) {
                Ok(()) => {
                    changed += 1;
                    self.held.remove(&route);
                }
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome?;
        match taken.split_first() {
            Some((first, more)) => Err(RouteError::Exists {
                first: *first,
                more: more.len(),
            }),
            None => Ok(changed),
        }
    }

    /// This unit is not active any more.
    ///
    /// # Errors
    /// As for [`sync`](Self::sync).
    pub fn clear(&mut self) -> Result<usize, RouteError> {
        self.sync(&BTreeSet::new())
    }

    fn allowed(&self, wanted: &BTreeSet<Prefix>) -> Result<BTreeSet<Held>, RouteError> {
        if wanted.len() > MAX_ROUTES {
            let got = wanted.len();
            return Err(RouteError::TooMany { got });
        }
        let all = wanted.iter().copied();
        Ok(all
            .filter(|prefix| self.config.default_route || prefix.bits() > 0)
            .map(|prefix| Held {
                prefix,
                table: self.config.table,
                metric: self.config.effective_metric(&prefix),
            })
            .collect())
    }
}

/// The networks behind the peers: destinations of outbound policies that demand an SA.
pub fn protected<'a>(policies: impl Iterator<Item = &'a xfrm::Policy>) -> BTreeSet<Prefix> {
    let outbound = policies.filter(|policy| {
        let templates = policy.attributes.templates();
        policy.info.dir == xfrm::dir::OUT && templates.is_some_and(|all| !all.is_empty())
    });
    outbound
        .filter_map(|policy| {
            let selector = &policy.info.sel;
            let address = selector.daddr.ip(selector.family)?;
            Some(Prefix::new(address, selector.prefixlen_d))
        })
        .collect()
}

/// The most routes that are injected.
pub const MAX_ROUTES: usize = 1 << 17;

/// What is to be done.
struct Plan<T> {
    add: Vec<T>,
    remove: Vec<T>,
}

impl<T: Copy + Ord> Plan<T> {
    fn new(held: &BTreeSet<T>, wanted: &BTreeSet<T>) -> Self {
        Self {
            add: wanted.difference(held).copied().collect(),
            remove: held.difference(wanted).copied().collect(),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix() -> impl Strategy<Value = Prefix> {
        (0_u32..8, 24_u8..=32).prop_map(|(net, bits)| {
            Prefix::new(IpAddr::V4((0x0a00_0000 + (net << 8)).into()), bits)
        })
    }

    proptest! {
        #[test]
        fn after_any_sequence_the_table_is_the_last_set(
            sets in proptest::collection::vec(proptest::collection::btree_set(prefix(), 0..12), 1..12),
        ) {
            let mut table = BTreeSet::new();
            for wanted in &sets {
                let plan = Plan::new(&table, wanted);
                for prefix in &plan.add {
                    prop_assert!(table.insert(*prefix), "{prefix} is there");
                }
                for prefix in &plan.remove {
                    prop_assert!(table.remove(prefix), "{prefix} is not there");
                }
                prop_assert_eq!(&table, wanted);
            }
        }
    }
}
