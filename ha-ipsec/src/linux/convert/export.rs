//! To the kernel.

use super::import::{DONT_ENCAP_DSCP, FLAGS, UDP_ENCAP_ESPINUDP};
use super::{ConvertError, Machine, algorithms, selectors};
use crate::lifetime::{Lifetime, Limits};
use crate::linux::replay::{ReplayForm, ReplayState};
use crate::linux::xfrm::{
    Address, Attribute, Encap, Family, LifetimeConfig, LifetimeCurrent, Mark, Offload, ReplayEsn,
    Sa, SaInfo, SecurityContext, Selector, StateId, attr, mode, state_flag,
};
use crate::record::{Direction, IpsecSa, LinuxAttributes, Mode, NatT, SaFlags};
use crate::secret::Secret;

/// How an SA is to be installed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Export {
    /// Its numbers and window; at their beginning, with the record's window, without. The outbound
    /// number is the *last* one sent.
    pub replay: Option<ReplayState>,
    /// What was used of its lifetime, and when it was added. Without, its life begins now.
    pub usage: Option<LifetimeCurrent>,
    /// Whether the kernel knows XFRMA_SA_DIR (Linux 6.10 and later). Older ones ignore it, but refuse
    /// outbound SAs with extended numbers and the window 0 that it demands.
    pub direction: bool,
    /// Whether an SA with one local and one remote selector gets them as its own. Without, it is for
    /// any packet that a policy sends to it, as IKE daemons install tunnels. A transport-mode SA
    /// always gets them.
    pub selector: bool,
}

/// Makes an SA to be installed by NEWSA, or by UPDSA over a larval one.
///
/// # Errors
/// What the kernel cannot do, or what contradicts itself ([`IpsecSa::check`]).
pub fn export<M: Machine + ?Sized>(
    record: &IpsecSa,
    options: &Export,
    machine: &M,
) -> Result<Sa, ConvertError> {
    record.check()?;
    refuse_what_is_not_there(record.flags)?;
    let form = form(record, options);
    let mut sa = Sa::new(info(record, form, options)?);
    for attribute in algorithms::export(record)? {
        sa.attributes.push(attribute);
    }
    if let Some(attribute) = replay(form, options)? {
        sa.attributes.push(attribute);
    }
    if let Some(usage) = options.usage {
        sa.attributes.push(Attribute::LifetimeCurrent(usage));
    }
    for attribute in plain_attributes(record, options) {
        sa.attributes.push(attribute);
    }
    if let Some(linux) = record.linux.as_deref() {
        linux_attributes(linux, machine, &mut sa)?;
    }
    Ok(sa)
}

fn refuse_what_is_not_there(flags: SaFlags) -> Result<(), ConvertError> {
    let missing = [
        (SaFlags::SET_DF, "an outer DF bit that is always set"),
        (SaFlags::FRAGMENT_BEFORE, "fragmentation before encryption"),
    ];
    match missing.into_iter().find(|(flag, _)| flags.contains(*flag)) {
        Some((_, what)) => Err(ConvertError::NotInKernel { what }),
        None => Ok(()),
    }
}

/// The form that the SA of a record has.
pub(super) fn form(record: &IpsecSa, options: &Export) -> ReplayForm {
    let outbound = record.direction == Direction::Outbound;
    let own = options.replay.as_ref().map(|state| state.window);
    let window = match own {
        // verify_newsa_info of newer kernels: "Replay window should be zero for output SA".
        _ if outbound && options.direction => 0,
        // xfrm_init_replay: "ESN replay window must be > 0".
        None | Some(0) if record.esn => record.window.packets(),
        None if outbound || record.compression.is_some() => 0,
        None => record.window.packets(),
        Some(window) => window,
    };
    ReplayForm::for_window(window, record.esn)
}

fn info(record: &IpsecSa, form: ReplayForm, options: &Export) -> Result<SaInfo, ConvertError> {
    let mut flags = FLAGS
        .iter()
        .filter(|(_, flag)| record.flags.contains(*flag))
        .fold(0, |flags, (bit, _)| flags | bit);
    if record.esn {
        flags |= state_flag::ESN;
    }
    Ok(SaInfo {
        sel: selector(record, options)?,
        id: StateId {
            daddr: record.id.destination.into(),
            spi: record.id.spi,
            proto: record.id.protocol.number(),
        },
        saddr: record.source.into(),
        lft: lifetime(&record.lifetime),
        reqid: record.reqid,
        family: Family::of(&record.id.destination),
        mode: match record.mode {
            Mode::Tunnel => mode::TUNNEL,
            Mode::Transport => mode::TRANSPORT,
        },
        // "ESN not compatible with legacy replay_window": the other form says its window itself.
        replay_window: match form {
            // At most 32.
            ReplayForm::Legacy { window } => window as u8,
            ReplayForm::Esn { .. } => 0,
        },
        flags,
        ..SaInfo::default()
    })
}

fn selector(record: &IpsecSa, options: &Export) -> Result<Selector, ConvertError> {
    if (options.selector || record.mode == Mode::Transport)
        && let ([local], [remote]) = (record.local.as_slice(), record.remote.as_slice())
    {
        return selectors::export(local, remote, record.direction);
    }
    // The kernel puts the family of the SA in its place.
    Ok(Selector::default())
}

fn lifetime(lifetime: &Lifetime) -> LifetimeConfig {
    let Lifetime { soft, hard } = lifetime;
    let bytes = |limits: &Limits| limits.bytes.unwrap_or(LifetimeConfig::INF);
    let packets = |limits: &Limits| limits.packets.unwrap_or(LifetimeConfig::INF);
    LifetimeConfig {
        soft_byte_limit: bytes(soft),
        hard_byte_limit: bytes(hard),
        soft_packet_limit: packets(soft),
        hard_packet_limit: packets(hard),
        soft_add_expires_seconds: soft.seconds.unwrap_or(0),
        hard_add_expires_seconds: hard.seconds.unwrap_or(0),
        soft_use_expires_seconds: 0,
        hard_use_expires_seconds: 0,
    }
}

/// `None` for an SA at its beginning that needs no attribute to say its window.
fn replay(form: ReplayForm, options: &Export) -> Result<Option<Attribute>, ConvertError> {
    if let Some(state) = &options.replay {
        return Ok(Some(state.attribute(form)?));
    }
    match form {
        ReplayForm::Legacy { .. } => Ok(None),
        ReplayForm::Esn { .. } => Ok(Some(ReplayState::default().attribute(form)?)),
    }
}

fn plain_attributes(record: &IpsecSa, options: &Export) -> Vec<Attribute> {
    let mut all = Vec::new();
    if let Some(nat_t) = record.nat_t.as_deref() {
        all.push(Attribute::Encap(encap(nat_t, record.direction)));
    }
    if let Some(mark) = record.mark {
        let (v, m) = (mark.value, mark.mask);
        all.push(Attribute::Mark(Mark { v, m }));
    }
    if record.interface_id != 0 {
        all.push(Attribute::IfId(record.interface_id));
    }
    let extra = record.linux.as_ref().map_or(0, |linux| linux.extra_flags);
    let dscp = match record.flags.contains(SaFlags::NO_ENCAP_DSCP) {
        true => DONT_ENCAP_DSCP,
        false => 0,
    };
    if extra | dscp != 0 {
        all.push(Attribute::ExtraFlags(extra | dscp));
    }
    if options.direction {
        all.push(Attribute::Direction(match record.direction {
            Direction::Inbound => 1,
            Direction::Outbound => 2,
        }));
    }
    all
}

fn encap(nat_t: &NatT, direction: Direction) -> Encap {
    let (sport, dport, original) = match direction {
        Direction::Inbound => (nat_t.remote_port, nat_t.local_port, nat_t.original_remote),
        Direction::Outbound => (nat_t.local_port, nat_t.remote_port, nat_t.original_local),
    };
    Encap {
        encap_type: UDP_ENCAP_ESPINUDP,
        encap_sport: sport,
        encap_dport: dport,
        encap_oa: original.map(Address::from).unwrap_or_default(),
    }
}

fn linux_attributes<M: Machine + ?Sized>(
    linux: &LinuxAttributes,
    machine: &M,
    sa: &mut Sa,
) -> Result<(), ConvertError> {
    if let Some(mark) = linux.output_mark {
        sa.attributes.push(Attribute::SetMark(mark.value));
        sa.attributes.push(Attribute::SetMarkMask(mark.mask));
    }
    if linux.tfc_padding != 0 {
        sa.attributes.push(Attribute::TfcPad(linux.tfc_padding));
    }
    if let Some(address) = linux.care_of {
        sa.attributes.push(Attribute::CareOf(address.into()));
    }
    if let [ctx_alg, ctx_doi, label @ ..] = linux.security_context.as_ref() {
        sa.attributes
            .push(Attribute::SecurityContext(SecurityContext {
                exttype: attr::SEC_CTX,
                ctx_alg: *ctx_alg,
                ctx_doi: *ctx_doi,
                label: Secret::new(label),
            }));
    }
    if !linux.offload_device.is_empty() {
        let name = linux.offload_device.as_str();
        let ifindex = machine
            .device_index(name)
            .ok_or_else(|| ConvertError::Device {
                name: name.to_owned(),
            })?;
        let flags = linux.offload_flags;
        sa.attributes
            .push(Attribute::Offload(Offload { ifindex, flags }));
    }
    Ok(())
}

/// The largest window that the kernel has, in packets.
const _: () = assert!(32 * ReplayEsn::MAX_WORDS == 4096);
