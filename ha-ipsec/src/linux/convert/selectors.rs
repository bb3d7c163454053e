//! Selectors: prefixes, and ports with masks, against ranges.

use core::net::IpAddr;
use core::ops::RangeInclusive;

use super::{ConvertError, LeftOut};
use crate::linux::xfrm::{
    Address, Family, Policy, Sa, SaInfo, Selector as Kernel, Template, dir, state_flag,
};
use crate::record::{Direction, MAX_SELECTORS, Selector};

/// What the source and what the destination may be.
pub(super) struct Pair {
    pub(super) source: Selector,
    pub(super) destination: Selector,
}

impl Pair {
    /// This gateway's side and the peer's.
    pub(super) fn by_side(self, direction: Direction) -> (Selector, Selector) {
        match direction {
            Direction::Inbound => (self.destination, self.source),
            Direction::Outbound => (self.source, self.destination),
        }
    }
}

/// `None` for a selector that lets all packets of the SA's own family pass.
pub(super) fn of_sa(sa: &Sa, left_out: &mut Vec<LeftOut>) -> Result<Option<Pair>, ConvertError> {
    let selector = &sa.info.sel;
    if selector.ifindex != 0 {
        left_out.push(LeftOut::SelectorInterface);
    }
    if selector.user != 0 {
        left_out.push(LeftOut::SelectorUser);
    }
    match is_any(&sa.info) {
        true => Ok(None),
        false => import(selector).map(Some),
    }
}

/// With XFRM_STATE_AF_UNSPEC a selector of a family is a selector for that family alone.
fn is_any(info: &SaInfo) -> bool {
    let selector = &info.sel;
    let same = info.flags & state_flag::AF_UNSPEC == 0 && selector.family == info.family;
    let all = selector.prefixlen_d == 0 && selector.prefixlen_s == 0 && selector.proto == 0;
    (same || selector.family == Family::UNSPEC)
        && all
        && selector.dport_mask == 0
        && selector.sport_mask == 0
}

/// Those of the policies that an SA serves, this gateway's side and the peer's, each once.
pub(super) fn of_policies(
    sa: &Sa,
    direction: Direction,
    policies: &[Policy],
) -> Result<(Vec<Selector>, Vec<Selector>), ConvertError> {
    let (mut locals, mut remotes) = (Vec::new(), Vec::new());
    for policy in policies
        .iter()
        .filter(|policy| serves(sa, direction, policy))
    {
        let (local, remote) = import(&policy.info.sel)?.by_side(direction);
        add(&mut locals, local);
        add(&mut remotes, remote);
    }
    Ok((locals, remotes))
}

/// More than a record can hold are not for a table.
fn add(all: &mut Vec<Selector>, selector: Selector) {
    if all.len() < MAX_SELECTORS && !all.contains(&selector) {
        all.push(selector);
    }
}

fn serves(sa: &Sa, direction: Direction, policy: &Policy) -> bool {
    let wanted = match direction {
        Direction::Inbound => dir::IN,
        Direction::Outbound => dir::OUT,
    };
    let interface = |attributes: &crate::linux::xfrm::Attributes| attributes.if_id().copied();
    policy.info.dir == wanted
        && interface(&policy.attributes).unwrap_or(0) == interface(&sa.attributes).unwrap_or(0)
        && templates(policy)
            .iter()
            .any(|template| asks_for(template, sa))
}

fn templates(policy: &Policy) -> &[Template] {
    policy.attributes.templates().map_or(&[], Vec::as_slice)
}

/// As xfrm_state_find and xfrm_state_ok compare them.
fn asks_for(template: &Template, sa: &Sa) -> bool {
    let info = &sa.info;
    let any_or = |wanted: Address, got: Address| wanted.is_unspecified() || wanted == got;
    template.id.proto == info.id.proto
        && template.mode == info.mode
        && (template.reqid == 0 || template.reqid == info.reqid)
        && (template.id.spi == 0 || template.id.spi == info.id.spi)
        && any_or(template.id.daddr, info.id.daddr)
        && any_or(template.saddr, info.saddr)
}

fn import(selector: &Kernel) -> Result<Pair, ConvertError> {
    let side = |address: Address, prefix, port, mask| {
        let address = address.ip(selector.family).ok_or(ConvertError::Selector {
            what: "addresses of an unknown family",
        })?;
        Ok::<_, ConvertError>(Selector {
            protocol: selector.proto,
            ports: ports(port, mask)?,
            ..Selector::subnet(address, prefix)
        })
    };
    if has_types(selector.proto) && (selector.sport_mask | selector.dport_mask) != 0 {
        return Err(TYPES);
    }
    Ok(Pair {
        source: side(
            selector.saddr,
            selector.prefixlen_s,
            selector.sport,
            selector.sport_mask,
        )?,
        destination: side(
            selector.daddr,
            selector.prefixlen_d,
            selector.dport,
            selector.dport_mask,
        )?,
    })
}

/// A mask that begins with ones is a range.
fn ports(port: u16, mask: u16) -> Result<RangeInclusive<u16>, ConvertError> {
    if mask.leading_ones() + mask.trailing_zeros() != 16 && mask != 0 {
        return Err(ConvertError::Selector {
            what: "a port mask that is no range",
        });
    }
    Ok((port & mask)..=(port | !mask))
}

/// ICMP, ICMPv6 and mobility headers have types where others have ports: the kernel compares the type
/// with the source port and the code with the destination port.
const fn has_types(protocol: u8) -> bool {
    matches!(protocol, 1 | 58 | 135)
}

const TYPES: ConvertError = ConvertError::Selector {
    what: "ICMP types or codes",
};

/// The kernel's selector for one local and one remote selector.
pub(super) fn export(
    local: &Selector,
    remote: &Selector,
    direction: Direction,
) -> Result<Kernel, ConvertError> {
    let (source, destination) = match direction {
        Direction::Inbound => (remote, local),
        Direction::Outbound => (local, remote),
    };
    if source.protocol != destination.protocol {
        return Err(ConvertError::Selector {
            what: "two protocols",
        });
    }
    if source.is_ipv4() != destination.is_ipv4() {
        return Err(ConvertError::Selector {
            what: "two address families",
        });
    }
    let (saddr, prefixlen_s) = prefix(source)?;
    let (daddr, prefixlen_d) = prefix(destination)?;
    let (sport, sport_mask) = masked(source)?;
    let (dport, dport_mask) = masked(destination)?;
    if has_types(source.protocol) && (sport_mask | dport_mask) != 0 {
        return Err(TYPES);
    }
    Ok(Kernel {
        daddr: daddr.into(),
        saddr: saddr.into(),
        dport,
        dport_mask,
        sport,
        sport_mask,
        family: Family::of(&saddr),
        prefixlen_d,
        prefixlen_s,
        proto: source.protocol,
        ifindex: 0,
        user: 0,
    })
}

fn prefix(selector: &Selector) -> Result<(IpAddr, u8), ConvertError> {
    let bits = selector.prefix_bits().ok_or(ConvertError::Selector {
        what: "a range of addresses that is no subnet",
    })?;
    Ok((*selector.addresses.start(), bits))
}

fn masked(selector: &Selector) -> Result<(u16, u16), ConvertError> {
    let (first, last) = (*selector.ports.start(), *selector.ports.end());
    let mask = !(first ^ last);
    let aligned = first & !mask == 0 && mask.leading_ones() + mask.count_zeros() == 16;
    if selector.is_opaque() || !aligned {
        return Err(ConvertError::Selector {
            what: "OPAQUE ports, or a range of them that no mask says",
        });
    }
    Ok((first, mask))
}
