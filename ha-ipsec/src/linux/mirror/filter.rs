//! Which of the kernel's SAs and policies are mirrored.

use core::net::IpAddr;
use std::collections::BTreeSet;

use crate::linux::xfrm;
use crate::record::{Direction, IpsecSa, Mark};

/// Which SAs and policies of a kernel are mirrored: those of the virtual addresses, and of them
/// those that all the other parts name. Everything else is never read into a table, nor touched.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// The virtual addresses: an SA ends or begins at one of them.
    pub addresses: BTreeSet<IpAddr>,
    /// Request ids; empty is any.
    pub reqids: BTreeSet<u32>,
    /// Interface ids (XFRMA_IF_ID); empty is any.
    pub interface_ids: BTreeSet<u32>,
    /// Marks (XFRMA_MARK); empty is any, and none.
    pub marks: Vec<Mark>,
}

impl Filter {
    /// SAs and policies of these virtual addresses.
    pub fn addresses(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            addresses: addresses.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Which direction an SA between these addresses has; `None` if neither is a virtual one. If
    /// both are, it is one between two of our own, and counts as inbound.
    pub fn direction(&self, source: &IpAddr, destination: &IpAddr) -> Option<Direction> {
        if self.addresses.contains(destination) {
            Some(Direction::Inbound)
        } else if self.addresses.contains(source) {
            Some(Direction::Outbound)
        } else {
            None
        }
    }

    /// Whether an SA is mirrored.
    pub fn takes(&self, sa: &IpsecSa) -> bool {
        self.direction(&sa.source, &sa.id.destination).is_some()
            && (self.reqids.is_empty() || self.reqids.contains(&sa.reqid))
            && self.takes_interface(sa.interface_id)
            && self.takes_mark(sa.mark)
    }

    /// Whether a policy is mirrored: one of its templates is for a tunnel of a virtual address, or,
    /// in transport mode, its packets are from or to one.
    pub fn takes_policy(&self, policy: &xfrm::Policy) -> bool {
        let mark = policy.attributes.mark();
        let mark = mark.map(|mark| Mark {
            value: mark.v,
            mask: mark.m,
        });
        let templates = policy.attributes.templates().map_or(&[][..], Vec::as_slice);
        self.takes_interface(policy.attributes.if_id().copied().unwrap_or(0))
            && self.takes_mark(mark)
            && templates
                .iter()
                .any(|template| self.takes_template(policy, template))
    }

    fn takes_template(&self, policy: &xfrm::Policy, template: &xfrm::Template) -> bool {
        let ours = |address: &xfrm::Address, family| {
            let address = address.ip(family);
            address.is_some_and(|address| self.addresses.contains(&address))
        };
        let selector = &policy.info.sel;
        let host = |address, prefix: u8, family: xfrm::Family| {
            let whole = if family == xfrm::Family::INET {
                32
            } else {
                128
            };
            prefix == whole && ours(address, family)
        };
        let ends = if template.mode == xfrm::mode::TRANSPORT {
            host(&selector.saddr, selector.prefixlen_s, selector.family)
                || host(&selector.daddr, selector.prefixlen_d, selector.family)
        } else {
            ours(&template.saddr, template.family) || ours(&template.id.daddr, template.family)
        };
        ends && (self.reqids.is_empty() || self.reqids.contains(&template.reqid))
    }

    fn takes_interface(&self, id: u32) -> bool {
        self.interface_ids.is_empty() || self.interface_ids.contains(&id)
    }

    fn takes_mark(&self, mark: Option<Mark>) -> bool {
        self.marks.is_empty() || mark.is_some_and(|mark| self.marks.contains(&mark))
    }
}
