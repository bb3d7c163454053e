//! Captured SAs as records and back, and what cannot be converted.

use core::net::IpAddr;

use super::*;
use crate::id::{Protocol, SaId};
use crate::linux::replay::{ReplayForm, ReplayState};
use crate::linux::xfrm::{
    Address, AlgorithmName, Attribute, AuthAlgorithm, Encap, Family, LifetimeCurrent, Mark,
    Message, Offload, Packets, Policy, Sa, SecurityContext, Selector as Kernel, ae, attr, mode,
    state_flag,
};
use crate::record::{
    Direction, IpsecSa, LinuxAttributes, Mode, NatT, SaFlags, Selector, Transform,
};
use crate::secret::Secret;

const DUMP: &[u8] = include_bytes!("../../../tests/captured/dump_sa");
const POLICIES: &[u8] = include_bytes!("../../../tests/captured/dump_policy");

struct Lab;

impl Machine for Lab {
    fn is_local(&self, address: IpAddr) -> bool {
        [ip("192.0.2.1"), ip("2001:db8::1")].contains(&address)
    }

    fn device_name(&self, index: i32) -> Option<String> {
        (index == 3).then(|| "eth1".to_owned())
    }

    fn device_index(&self, name: &str) -> Option<i32> {
        (name == "eth1").then_some(3)
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn sas() -> Vec<Sa> {
    let messages = Packets::new(DUMP).map(|packet| packet.unwrap().message);
    let sas = messages.filter_map(|message| match message {
        Message::NewSa(sa) => Some(sa),
        _ => None,
    });
    sas.collect()
}

fn sa(spi: u32) -> Sa {
    let mut all = sas().into_iter();
    all.find(|sa| sa.info.id.spi == spi).unwrap()
}

fn policies() -> Vec<Policy> {
    let messages = Packets::new(POLICIES).map(|packet| packet.unwrap().message);
    let policies = messages.filter_map(|message| match message {
        Message::NewPolicy(policy) => Some(policy),
        _ => None,
    });
    policies.collect()
}

fn imported(sa: &Sa) -> Imported {
    import(sa, &Lab, &[]).unwrap()
}

/// As the caller installs it again.
fn again(was: &Imported) -> Sa {
    let options = Export {
        replay: Some(was.replay.clone()),
        usage: Some(was.usage),
        selector: was.own_selector,
        ..Export::default()
    };
    export(&was.sa, &options, &Lab).unwrap()
}

/// What the kernel makes of an SA that is installed: it shows integrity twice, and usage elsewhere.
fn as_shown(mut sa: Sa) -> Sa {
    if let Some(usage) = sa.attributes.lifetime_current().copied() {
        sa.info.curlft = usage;
        sa.attributes.remove(attr::LTIME_VAL);
    }
    if sa.info.sel.family == Family::UNSPEC && sa.info.flags & state_flag::AF_UNSPEC == 0 {
        sa.info.sel.family = sa.info.family;
    }
    sorted(&sa)
}

fn sorted(sa: &Sa) -> Sa {
    let mut sa = sa.clone();
    sa.attributes.remove(attr::ALG_AUTH);
    sa.attributes.remove(attr::LASTUSED);
    let mut all: Vec<_> = sa.attributes.iter().cloned().collect();
    all.sort_by_key(Attribute::kind);
    sa.attributes = all.into_iter().collect();
    sa
}

/// By way of the record to the same SA, for all that have one.
#[test]
fn captured_sas_survive() {
    let mut count = 0;
    for sa in sas() {
        let Ok(was) = import(&sa, &Lab, &[]) else {
            continue;
        };
        let installed = again(&was);
        assert_eq!(
            as_shown(installed.clone()),
            sorted(&sa),
            "{:#x}",
            sa.info.id.spi
        );
        assert_eq!(imported(&as_shown(installed)), was);
        count += 1;
    }
    // All but an SA under negotiation, one with Serpent, and one of mode BEET.
    assert_eq!(count, sas().len() - 3);
}

#[test]
fn what_a_record_says() {
    let was = imported(&sa(0x1002));
    assert_eq!(was.sa.direction, Direction::Inbound);
    assert_eq!((was.sa.source, was.sa.reqid), (ip("198.51.100.7"), 7));
    assert_eq!((was.sa.mode, was.sa.window.packets()), (Mode::Tunnel, 32));
    assert_eq!(was.sa.encryption, Some(Transform::AES_GCM_128));
    let soft = was.sa.lifetime.soft;
    assert_eq!(
        (soft.seconds, soft.bytes, soft.packets),
        (Some(3000), Some(1_000_000), Some(1000))
    );
    assert_eq!(was.sa.lifetime.hard.seconds, Some(3600));
    assert_eq!(was.sa.created_unix_s, was.usage.add_time);
    assert!(was.usage.add_time > 0 && was.left_out.is_empty());

    let esn = imported(&sa(0x1009));
    assert!(esn.sa.esn && esn.sa.window.packets() == 1024);
    assert_eq!(esn.replay.inbound, 0x2_0000_0123);

    let odd = imported(&sa(0x1004)).sa;
    assert_eq!(odd.integrity, Some(Transform::HMAC_SHA256_128));
    assert_eq!(odd.linux.unwrap().icv_bits, 96);

    let marked = imported(&sa(0x100c)).sa;
    assert_eq!(marked.interface_id, 42);
    let mark = |value, mask| Some(crate::record::Mark { value, mask });
    assert_eq!(marked.mark, mark(5, 0xff));
    assert_eq!(marked.linux.unwrap().output_mark, mark(9, 15));
    assert_eq!(marked.nat_t, Some(Box::new(NatT::new(4500, 4501))));
    // The peer's port is the sender's of an inbound SA.
    assert_eq!(
        imported(&sa(0x100b)).sa.nat_t,
        Some(Box::new(NatT::new(4500, 4501)))
    );

    let ipv6 = imported(&sa(0x100d)).sa;
    assert_eq!(ipv6.linux.as_ref().unwrap().tfc_padding, 500);
    assert_eq!(
        ipv6.flags,
        SaFlags::ANY_INNER_FAMILY | SaFlags::NO_ENCAP_DSCP
    );
}

#[test]
fn every_algorithm_with_its_key() {
    for (spi, encryption, integrity) in [
        (0x1008, Some(Transform::encryption(19, 128)), None),
        (
            0x100e,
            Some(Transform::AES_CBC_256),
            Some(Transform::HMAC_SHA512_256),
        ),
        (0x1010, Some(Transform::CHACHA20_POLY1305), None),
        (0x1011, Some(Transform::NULL), Some(Transform::HMAC_SHA1_96)),
        (
            0x1012,
            Some(Transform::TRIPLE_DES),
            Some(Transform::integrity(1)),
        ),
        (0x1005, None, Some(Transform::HMAC_SHA1_96)),
    ] {
        let record = imported(&sa(spi)).sa;
        assert_eq!(
            (record.encryption, record.integrity),
            (encryption, integrity)
        );
        assert!(record.usable().is_ok());
    }
    // Without XFRMA_ALG_AUTH_TRUNC the kernel truncates HMAC-SHA-256 to 96 bits.
    let mut bare = sa(0x1006);
    bare.attributes.remove(attr::ALG_AUTH_TRUNC);
    assert_eq!(imported(&bare), imported(&sa(0x1006)));
    let compressed = imported(&sa(0x1007)).sa;
    assert_eq!(compressed.compression, Some(2));
}

#[test]
fn what_is_left_out_is_said() {
    let mut odd = sa(0x1002);
    odd.info.lft.hard_use_expires_seconds = 60;
    odd.info.sel.ifindex = 2;
    odd.info.sel.user = 1000;
    odd.attributes.push(Attribute::MappingThreshold(5));
    let value = Secret::empty();
    odd.attributes.push(Attribute::Other { kind: 99, value });
    assert_eq!(
        imported(&odd).left_out,
        [
            LeftOut::UseLifetime,
            LeftOut::SelectorInterface,
            LeftOut::SelectorUser,
            LeftOut::Attribute(attr::MTIMER_THRESH),
            LeftOut::Attribute(99),
        ]
    );
    assert_eq!(imported(&sa(0x1006)).left_out, [LeftOut::NoWindow]);
    let mut longer = sa(0x1002);
    let (kind, value) = (attr::MARK, Secret::new(&[0; 12]));
    longer.attributes.push(Attribute::Other { kind, value });
    assert_eq!(imported(&longer).left_out, [LeftOut::Attribute(kind)]);
}

#[test]
fn directions() {
    let outbound = sa(0x1001);
    let nobody: &[IpAddr] = &[];
    let lost = import(&outbound, nobody, &[]).unwrap_err();
    assert_eq!(lost, ConvertError::Direction { local: 0 });
    let both = [ip("192.0.2.1"), ip("198.51.100.7")];
    let lost = import(&outbound, both.as_slice(), &[]).unwrap_err();
    assert_eq!(lost, ConvertError::Direction { local: 2 });
    // The kernel's word counts.
    for (value, direction) in [(1, Direction::Inbound), (2, Direction::Outbound)] {
        let mut told = outbound.clone();
        told.attributes.push(Attribute::Direction(value));
        assert_eq!(import(&told, nobody, &[]).unwrap().sa.direction, direction);
    }
    let mut odd = outbound;
    odd.attributes.push(Attribute::Direction(3));
    assert_eq!(
        import(&odd, nobody, &[]),
        Err(ConvertError::DirectionValue(3))
    );
}

#[test]
fn what_has_no_record() {
    let changed = |change: &dyn Fn(&mut Sa)| {
        let mut sa = sa(0x1002);
        change(&mut sa);
        import(&sa, &Lab, &[]).unwrap_err()
    };
    assert_eq!(import(&sa(0x1020), &Lab, &[]), Err(ConvertError::Larval));
    assert_eq!(
        import(&sa(0x1013), &Lab, &[]).unwrap_err().to_string(),
        "\"cbc(serpent)\" with an ICV of 0 bits has no transform id; use a standard algorithm"
    );
    assert_eq!(
        import(&sa(0x1014), &Lab, &[]),
        Err(ConvertError::Mode(mode::BEET))
    );
    assert_eq!(
        changed(&|sa| sa.info.id.proto = 4),
        ConvertError::Protocol(4)
    );
    assert_eq!(
        changed(&|sa| sa.info.family = Family(7)),
        ConvertError::Family(7)
    );
    let encap = |encap_type| Encap {
        encap_type,
        ..Encap::default()
    };
    assert_eq!(
        changed(&|sa| sa.attributes.push(Attribute::Encap(encap(7)))),
        ConvertError::Encapsulation(7)
    );
    // Ports 0.
    assert!(matches!(
        changed(&|sa| sa.attributes.push(Attribute::Encap(encap(2)))),
        ConvertError::Record(_)
    ));
    let offload = Offload {
        ifindex: 4,
        flags: 0,
    };
    assert!(matches!(
        changed(&|sa| sa.attributes.push(Attribute::Offload(offload))),
        ConvertError::Device { .. }
    ));
}

#[test]
fn offload_and_labels() {
    let mut rare = sa(0x1001);
    let offload = Offload {
        ifindex: 3,
        flags: 4,
    };
    rare.attributes.push(Attribute::Offload(offload));
    let care_of = Address::from(ip("192.0.2.9"));
    rare.attributes.push(Attribute::CareOf(care_of));
    rare.attributes.push(Attribute::ExtraFlags(3));
    rare.attributes
        .push(Attribute::SecurityContext(SecurityContext {
            exttype: attr::SEC_CTX,
            ctx_alg: 1,
            ctx_doi: 1,
            label: Secret::new(b"system_u:object_r:ipsec_spd_t:s0\0"),
        }));
    let was = imported(&rare);
    let linux = was.sa.linux.as_deref().unwrap();
    assert_eq!((&*linux.offload_device, linux.offload_flags), ("eth1", 4));
    assert_eq!(
        (linux.care_of, linux.extra_flags),
        (Some(ip("192.0.2.9")), 2)
    );
    assert!(linux.security_context.starts_with(b"\x01\x01system_u"));
    assert_eq!(as_shown(again(&was)), sorted(&rare));
    // The other unit has no such device.
    let elsewhere = export(&was.sa, &Export::default(), [].as_slice()).unwrap_err();
    let name = "eth1".to_owned();
    assert_eq!(elsewhere, ConvertError::Device { name });
}

#[test]
fn selectors_of_policies() {
    let was = import(&sa(0x1001), &Lab, &policies()).unwrap();
    assert_eq!(was.sa.local, [Selector::subnet(ip("10.0.0.0"), 8)]);
    assert_eq!(was.sa.remote, [Selector::subnet(ip("10.1.0.0"), 16)]);
    let inbound = import(&sa(0x1002), &Lab, &policies()).unwrap();
    assert_eq!(
        (&inbound.sa.local, &inbound.sa.remote),
        (&was.sa.local, &was.sa.remote)
    );
    // They are not the SA's own.
    assert!(!was.own_selector);
    assert_eq!(again(&was).info.sel, Kernel::default());
    // Another reqid, another interface.
    assert_eq!(
        import(&sa(0x100f), &Lab, &policies())
            .unwrap()
            .sa
            .local
            .len(),
        1
    );
    let mut other = sa(0x1001);
    other.attributes.push(Attribute::IfId(9));
    assert!(
        import(&other, &Lab, &policies())
            .unwrap()
            .sa
            .local
            .is_empty()
    );
    other.info.reqid = 8;
    assert!(
        import(&other, &Lab, &policies())
            .unwrap()
            .sa
            .local
            .is_empty()
    );
}

fn with_selector(change: impl Fn(&mut Kernel)) -> Result<Imported, ConvertError> {
    let mut sa = sa(0x1003);
    change(&mut sa.info.sel);
    import(&sa, &Lab, &[])
}

#[test]
fn ports_are_masks_there_and_ranges_here() {
    let was = with_selector(|_| ()).unwrap();
    assert_eq!(
        (&was.sa.local[0].ports, was.sa.local[0].protocol),
        (&(500..=500), 17)
    );
    assert_eq!(was.sa.remote[0].ports, 1701..=1701);
    for (port, mask, range) in [
        (0x1000, 0xf000, 0x1000..=0x1fff),
        (0, 0, 0..=0xffff),
        (6, 0xfffe, 6..=7),
        (0x8000, 0x8000, 0x8000..=0xffff),
    ] {
        let was = with_selector(|sel| (sel.sport, sel.sport_mask) = (port, mask)).unwrap();
        assert_eq!(was.sa.local[0].ports, range);
        let sel = again(&was).info.sel;
        assert_eq!((sel.sport, sel.sport_mask), (port, mask));
    }
    let odd = with_selector(|sel| sel.sport_mask = 0xff0f).unwrap_err();
    assert!(matches!(odd, ConvertError::Selector { .. }));
    let icmp = with_selector(|sel| sel.proto = 1).unwrap_err();
    assert!(icmp.to_string().contains("ICMP"));
    let family = with_selector(|sel| sel.family = Family(7)).unwrap_err();
    assert!(matches!(family, ConvertError::Selector { .. }));
}

fn exported(change: impl Fn(&mut IpsecSa)) -> Result<Sa, ConvertError> {
    let mut record = imported(&sa(0x1003)).sa;
    change(&mut record);
    export(&record, &Export::default(), &Lab)
}

#[test]
fn what_the_kernel_cannot_do() {
    let selector =
        |what: Result<Sa, _>| assert!(matches!(what, Err(ConvertError::Selector { .. })));
    selector(exported(|sa| sa.local[0].ports = 500..=502));
    selector(exported(|sa| sa.local[0].ports = Selector::OPAQUE_PORT));
    selector(exported(|sa| sa.local[0].protocol = 6));
    selector(exported(|sa| {
        sa.local[0].addresses = ip("10.0.0.0")..=ip("10.0.0.2");
    }));
    selector(exported(|sa| {
        sa.local[0] = Selector {
            protocol: 17,
            ..Selector::host(ip("::1"))
        }
    }));
    assert!(exported(|sa| sa.local[0].ports = 504..=511).is_ok());
    // Several pairs: any.
    let any = exported(|sa| sa.local.push(Selector::host(ip("10.0.0.1")))).unwrap();
    assert_eq!(any.info.sel, Kernel::default());

    let iiv = Transform::encryption(30, 128);
    let no_name = exported(|sa| {
        sa.encryption = Some(iiv);
        sa.integrity = None;
        sa.keys = crate::record::SaKeys::new(&[1; 20], &[]);
    });
    assert_eq!(no_name, Err(ConvertError::NoKernelName(iiv)));
    let unknown = Transform::encryption(999, 0);
    let no_name = exported(|sa| sa.encryption = Some(unknown));
    assert_eq!(no_name, Err(ConvertError::NoKernelName(unknown)));

    let mut tunnel = imported(&sa(0x1001)).sa;
    tunnel.flags = SaFlags::SET_DF;
    let set_df = export(&tunnel, &Export::default(), &Lab);
    assert!(matches!(set_df, Err(ConvertError::NotInKernel { .. })));
    tunnel.flags = SaFlags::default();
    let options = Export {
        replay: Some(ReplayState {
            outbound: 1 << 32,
            ..ReplayState::default()
        }),
        ..Export::default()
    };
    assert!(matches!(
        export(&tunnel, &options, &Lab),
        Err(ConvertError::Replay(_))
    ));
}

/// verify_newsa_info of Linux 6.10 and later.
#[test]
fn windows_by_direction() {
    let esn = imported(&sa(0x1009)).sa;
    let mut outbound = esn.clone();
    (outbound.direction, outbound.source) = (Direction::Outbound, esn.id.destination);
    outbound.id.destination = esn.source;
    let mut options = Export::default();
    let form = |sa: &IpsecSa, options: &Export| ReplayForm::of(&export(sa, options, &Lab).unwrap());
    // Older kernels: "ESN replay window must be > 0".
    assert_eq!(form(&outbound, &options).window(), 1024);
    options.direction = true;
    assert_eq!(form(&outbound, &options).window(), 0);
    assert_eq!(form(&esn, &options).window(), 1024);
    let sa = export(&outbound, &options, &Lab).unwrap();
    assert_eq!(sa.attributes.direction(), Some(&2));
    outbound.esn = false;
    options.direction = false;
    assert_eq!(form(&outbound, &options), ReplayForm::Legacy { window: 0 });
}

#[test]
fn handles_name_sas_by_their_mark() {
    let shown = sa(0x100c);
    let handle = SaHandle::of(&shown);
    assert_eq!(handle.mark, Some(Mark { v: 5, m: 0xff }));
    let was = imported(&shown);
    let options = Export {
        replay: Some(was.replay.clone()),
        ..Export::default()
    };
    assert_eq!(SaHandle::of_record(&was.sa, &options), handle);
    let Message::DeleteSa(delete) = handle.delete() else {
        panic!("no DELSA")
    };
    assert_eq!(delete.attributes.mark(), handle.mark.as_ref());
    assert_eq!(delete.id, shown.info.sa_id());
    assert_eq!(import_id(&delete.id), Ok(was.sa.id));
    let Message::GetAsyncEvent(get) = handle.get_numbers() else {
        panic!("no GETAE")
    };
    assert_eq!((get.id.flags, get.id.reqid), (ae::RVAL | ae::LVAL, 0));
    let state = ReplayState {
        outbound: 1000,
        ..ReplayState::default()
    };
    let usage = Some(LifetimeCurrent::default());
    let Message::NewAsyncEvent(set) = handle.set_numbers(&state, usage).unwrap() else {
        panic!("no NEWAE")
    };
    assert_eq!(set.attributes.replay().unwrap().oseq, 1000);
    assert_eq!(set.attributes.lifetime_current(), usage.as_ref());
    assert_eq!(set.attributes.mark(), handle.mark.as_ref());
}

#[test]
fn copies_leave_out_what_the_kernel_does_not_take() {
    let mut shown = sa(0x1003);
    shown.attributes.push(Attribute::LastUsed(5));
    let copied = copy(&shown);
    assert_eq!(copied.attributes.last_used(), None);
    assert_eq!(copied.attributes.alg_auth(), None);
    assert_eq!(
        copied.attributes.lifetime_current(),
        Some(&shown.info.curlft)
    );
    // Integrity without a truncation is not said twice.
    shown.attributes.remove(attr::ALG_AUTH_TRUNC);
    assert!(copy(&shown).attributes.alg_auth().is_some());
}

/// Every algorithm that has a name goes both ways.
#[test]
fn names_and_numbers() {
    let gateway = ip("192.0.2.1");
    let id = SaId {
        spi: 0x1000,
        destination: ip("198.51.100.7"),
        protocol: Protocol::Esp,
    };
    let mut count = 0;
    for number in 1..40 {
        for (encryption, integrity) in [
            (Transform::encryption(number, 0), None),
            (Transform::encryption(number, 256), None),
            (Transform::NULL, Some(Transform::integrity(number))),
        ] {
            let mut record = IpsecSa::new(id, Direction::Outbound, gateway, Mode::Tunnel);
            (record.encryption, record.integrity) = (Some(encryption), integrity);
            let bytes = |it: Option<Transform>| it.map_or(Some(0), |it| it.key_bytes());
            let (Some(key), Some(auth)) = (bytes(Some(encryption)), bytes(integrity)) else {
                continue;
            };
            record.keys = crate::record::SaKeys::new(&vec![1; key], &vec![2; auth]);
            // ChaCha20's only key length need not be said.
            if encryption == Transform::encryption(28, 256) {
                continue;
            }
            if let Ok(sa) = export(&record, &Export::default(), &Lab) {
                let back = imported(&as_shown(sa)).sa;
                assert_eq!(
                    (back.encryption, back.integrity, back.keys),
                    (record.encryption, record.integrity, record.keys)
                );
                count += 1;
            }
        }
    }
    // Six ciphers and eight combined modes, less NULL without integrity; nine for integrity.
    assert_eq!(count, 22);
}

#[test]
fn no_integrity_is_none() {
    let mut bare = sa(0x1003);
    bare.attributes.remove(attr::ALG_AUTH);
    bare.attributes.set(Attribute::AuthTrunc(AuthAlgorithm {
        name: AlgorithmName::new("digest_null").unwrap(),
        trunc_bits: 0,
        key: Secret::empty(),
    }));
    assert_eq!(imported(&bare).sa.integrity, None);
    assert_eq!(imported(&bare).sa.linux, None::<Box<LinuxAttributes>>);
}
