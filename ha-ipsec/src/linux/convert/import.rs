//! From the kernel.

use core::net::IpAddr;

use bytes::Bytes;

use super::algorithms::Algorithms;
use super::{ConvertError, LeftOut, Machine, selectors};
use crate::id::{Protocol, SaId};
use crate::lifetime::{Lifetime, Limits};
use crate::linux::replay::{ReplayForm, ReplayState};
use crate::linux::xfrm::{
    self, Address, Attribute, Encap, Family, LifetimeConfig, LifetimeCurrent, Policy, Sa, attr,
    mode, state_flag,
};
use crate::record::{Direction, IpsecSa, LinuxAttributes, Mark, Mode, Name, NatT, SaFlags};
use crate::replay::WindowSize;

/// An SA of the kernel as a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Imported {
    /// What stays the same. What the kernel does not know has its default: the pair, the IKE SA, the
    /// budget, the policy of its window.
    pub sa: IpsecSa,
    /// Its numbers and its window.
    pub replay: ReplayState,
    /// What was used of its lifetime.
    pub usage: LifetimeCurrent,
    /// Whether the selectors are the SA's own, and not those of policies or none: what
    /// [`Export::selector`](super::Export::selector) has to be for the same SA.
    pub own_selector: bool,
    /// What the record does not hold.
    pub left_out: Vec<LeftOut>,
}

/// Makes a record of an SA. Of the `policies` those that it serves give it selectors, if it has none of
/// its own; without any, `local` and `remote` stay empty.
///
/// # Errors
/// What a record cannot say, or what contradicts itself ([`IpsecSa::check`]).
pub fn import<M: Machine + ?Sized>(
    sa: &Sa,
    machine: &M,
    policies: &[Policy],
) -> Result<Imported, ConvertError> {
    let mut left_out = Vec::new();
    let id = import_id(&sa.info.sa_id())?;
    let source = address(sa.info.saddr, sa.info.family)?;
    let direction = direction(sa, &id, source, machine)?;
    let mut record = IpsecSa::new(id, direction, source, mode_of(sa.info.mode)?);
    // First of all: larval SAs have no selector that means anything.
    set_algorithms(&mut record, sa)?;
    record.reqid = sa.info.reqid;
    record.created_unix_s = sa.info.curlft.add_time;
    record.lifetime = lifetime(&sa.info.lft, &mut left_out);
    (record.window, record.esn) = window(sa, direction, &mut left_out);
    let own_selector = set_selectors(&mut record, sa, policies, &mut left_out)?;
    set_attributes(&mut record, sa, machine)?;
    left_out.extend(sa.attributes.iter().filter_map(without_field));
    record.check()?;
    Ok(Imported {
        sa: record,
        replay: ReplayState::of(sa).unwrap_or_default(),
        usage: sa.info.curlft,
        own_selector,
        left_out,
    })
}

/// The name of an SA, as events have it.
///
/// # Errors
/// If it is not IPsec, or neither IPv4 nor IPv6.
pub fn import_id(id: &xfrm::SaId) -> Result<SaId, ConvertError> {
    let protocol = Protocol::from_number(id.proto).ok_or(ConvertError::Protocol(id.proto))?;
    Ok(SaId {
        spi: id.spi,
        destination: address(id.daddr, id.family)?,
        protocol,
    })
}

fn address(address: Address, family: Family) -> Result<IpAddr, ConvertError> {
    address.ip(family).ok_or(ConvertError::Family(family.0))
}

fn mode_of(number: u8) -> Result<Mode, ConvertError> {
    match number {
        mode::TUNNEL => Ok(Mode::Tunnel),
        mode::TRANSPORT => Ok(Mode::Transport),
        other => Err(ConvertError::Mode(other)),
    }
}

fn direction<M: Machine + ?Sized>(
    sa: &Sa,
    id: &SaId,
    source: IpAddr,
    machine: &M,
) -> Result<Direction, ConvertError> {
    match sa.attributes.direction() {
        Some(1) => return Ok(Direction::Inbound),
        Some(2) => return Ok(Direction::Outbound),
        Some(other) => return Err(ConvertError::DirectionValue(*other)),
        None => {}
    }
    match (machine.is_local(source), machine.is_local(id.destination)) {
        (false, true) => Ok(Direction::Inbound),
        (true, false) => Ok(Direction::Outbound),
        (false, false) => Err(ConvertError::Direction { local: 0 }),
        (true, true) => Err(ConvertError::Direction { local: 2 }),
    }
}

fn lifetime(limits: &LifetimeConfig, left_out: &mut Vec<LeftOut>) -> Lifetime {
    let finite = |limit: u64| (limit != LifetimeConfig::INF).then_some(limit);
    let seconds = |limit: u64| finite(limit).filter(|limit| *limit != 0);
    let use_limits = [
        limits.soft_use_expires_seconds,
        limits.hard_use_expires_seconds,
    ];
    if use_limits.into_iter().any(|limit| seconds(limit).is_some()) {
        left_out.push(LeftOut::UseLifetime);
    }
    Lifetime {
        soft: Limits {
            seconds: seconds(limits.soft_add_expires_seconds),
            bytes: finite(limits.soft_byte_limit),
            packets: finite(limits.soft_packet_limit),
        },
        hard: Limits {
            seconds: seconds(limits.hard_add_expires_seconds),
            bytes: finite(limits.hard_byte_limit),
            packets: finite(limits.hard_packet_limit),
        },
    }
}

/// Rounded up to what a record can say: a number that the kernel's window does not reach counts as
/// received. For an SA that sends any window will do.
fn window(sa: &Sa, direction: Direction, left_out: &mut Vec<LeftOut>) -> (WindowSize, bool) {
    let packets = ReplayForm::of(sa).window();
    let checks = direction == Direction::Inbound && sa.info.id.proto != Protocol::IpComp.number();
    if packets == 0 && checks {
        left_out.push(LeftOut::NoWindow);
    }
    let size = packets.clamp(WindowSize::MIN.packets(), WindowSize::MAX.packets());
    let extended = sa.info.flags & state_flag::ESN != 0;
    (WindowSize::new(size).unwrap_or(WindowSize::MIN), extended)
}

/// Whether they are the SA's own.
fn set_selectors(
    record: &mut IpsecSa,
    sa: &Sa,
    policies: &[Policy],
    left_out: &mut Vec<LeftOut>,
) -> Result<bool, ConvertError> {
    let own = selectors::of_sa(sa, left_out)?;
    let is_own = own.is_some();
    (record.local, record.remote) = match own {
        Some(pair) => {
            let (local, remote) = pair.by_side(record.direction);
            (vec![local], vec![remote])
        }
        None => selectors::of_policies(sa, record.direction, policies)?,
    };
    Ok(is_own)
}

fn set_algorithms(record: &mut IpsecSa, sa: &Sa) -> Result<(), ConvertError> {
    let found = Algorithms::import(&sa.attributes)?;
    if found.is_empty() {
        return Err(ConvertError::Larval);
    }
    record.encryption = found.encryption;
    record.integrity = found.integrity;
    record.compression = found.compression;
    record.keys = found.keys;
    if found.icv_bits != 0 {
        record.linux.get_or_insert_default().icv_bits = found.icv_bits;
    }
    Ok(())
}

fn set_attributes<M: Machine + ?Sized>(
    record: &mut IpsecSa,
    sa: &Sa,
    machine: &M,
) -> Result<(), ConvertError> {
    let attributes = &sa.attributes;
    let extra = attributes.extra_flags().copied().unwrap_or(0);
    record.flags = flags(sa.info.flags, extra);
    record.interface_id = attributes.if_id().copied().unwrap_or(0);
    record.mark = attributes.mark().map(|mark| Mark {
        value: mark.v,
        mask: mark.m,
    });
    if let Some(encap) = attributes.encap() {
        record.nat_t = Some(Box::new(nat_t(encap, record.direction, sa.info.family)?));
    }
    let mut linux = LinuxAttributes {
        icv_bits: record.linux.as_ref().map_or(0, |linux| linux.icv_bits),
        ..rare_attributes(sa)?
    };
    linux.extra_flags = extra & !DONT_ENCAP_DSCP;
    if let Some(offload) = attributes.offload() {
        let index = offload.ifindex;
        let name = machine
            .device_name(index)
            .ok_or_else(|| ConvertError::Device {
                name: index.to_string(),
            })?;
        linux.offload_device = Name::from(name);
        linux.offload_flags = offload.flags;
    }
    record.linux = (linux != LinuxAttributes::default()).then(|| Box::new(linux));
    Ok(())
}

fn rare_attributes(sa: &Sa) -> Result<LinuxAttributes, ConvertError> {
    let attributes = &sa.attributes;
    let mut linux = LinuxAttributes {
        output_mark: attributes.set_mark().map(|value| Mark {
            value: *value,
            mask: attributes.set_mark_mask().copied().unwrap_or(u32::MAX),
        }),
        tfc_padding: attributes.tfc_pad().copied().unwrap_or(0),
        ..LinuxAttributes::default()
    };
    if let Some(care_of) = attributes.care_of() {
        linux.care_of = Some(address(*care_of, sa.info.family)?);
    }
    if let Some(context) = attributes.security_context() {
        let head = [context.ctx_alg, context.ctx_doi];
        linux.security_context = Bytes::from([&head, context.label.expose()].concat());
    }
    Ok(linux)
}

fn flags(flags: u8, extra: u32) -> SaFlags {
    let known = FLAGS.iter().filter(|(bit, _)| flags & bit != 0);
    let set = known.fold(SaFlags::default(), |set, (_, flag)| set | *flag);
    match extra & DONT_ENCAP_DSCP {
        0 => set,
        _ => set | SaFlags::NO_ENCAP_DSCP,
    }
}

fn nat_t(encap: &Encap, direction: Direction, family: Family) -> Result<NatT, ConvertError> {
    if encap.encap_type != UDP_ENCAP_ESPINUDP {
        return Err(ConvertError::Encapsulation(encap.encap_type));
    }
    // Of the 16 bytes an IPv4 address has four; the rest says nothing.
    let original = encap.encap_oa.ip(family);
    let original = original.filter(|address| !address.is_unspecified());
    Ok(match direction {
        Direction::Inbound => NatT {
            original_remote: original,
            ..NatT::new(encap.encap_dport, encap.encap_sport)
        },
        Direction::Outbound => NatT {
            original_local: original,
            ..NatT::new(encap.encap_sport, encap.encap_dport)
        },
    })
}

/// `None` for what the record holds, what changes with each packet, and what is of this unit alone.
fn without_field(attribute: &Attribute) -> Option<LeftOut> {
    let kind = attribute.kind();
    let known = [
        attr::ALG_AUTH,
        attr::ALG_CRYPT,
        attr::ALG_COMP,
        attr::ENCAP,
        attr::SEC_CTX,
        attr::LTIME_VAL,
        attr::REPLAY_VAL,
        attr::REPLAY_THRESH,
        attr::ETIMER_THRESH,
        attr::COADDR,
        attr::LASTUSED,
        attr::ALG_AEAD,
        attr::ALG_AUTH_TRUNC,
        attr::MARK,
        attr::TFCPAD,
        attr::REPLAY_ESN_VAL,
        attr::SA_EXTRA_FLAGS,
        XFRMA_PAD,
        attr::OFFLOAD_DEV,
        attr::SET_MARK,
        attr::SET_MARK_MASK,
        attr::IF_ID,
        attr::SA_DIR,
    ];
    let longer = matches!(attribute, Attribute::Other { .. }) && kind != XFRMA_PAD;
    (longer || !known.contains(&kind)).then_some(LeftOut::Attribute(kind))
}

/// XFRM_STATE_* bits and their flags; ESN is a field of its own.
pub(super) const FLAGS: [(u8, SaFlags); 7] = [
    (state_flag::NOECN, SaFlags::NO_ECN),
    (state_flag::DECAP_DSCP, SaFlags::DECAP_DSCP),
    (state_flag::NOPMTUDISC, SaFlags::CLEAR_DF),
    (state_flag::WILDRECV, SaFlags::WILD_RECEIVE),
    (state_flag::ICMP, SaFlags::ICMP),
    (state_flag::AF_UNSPEC, SaFlags::ANY_INNER_FAMILY),
    (state_flag::ALIGN4, SaFlags::ALIGN_4),
];
/// XFRM_SA_XFLAG_DONT_ENCAP_DSCP.
pub(super) const DONT_ENCAP_DSCP: u32 = 1;
pub(super) const UDP_ENCAP_ESPINUDP: u16 = 2;
/// Fills gaps before 64-bit values.
const XFRMA_PAD: u16 = 27;
