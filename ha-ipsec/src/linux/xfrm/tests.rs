//! Messages that a Linux 6.1 kernel sent (`ha-ipsec/tests/captured`), damaged ones, and made-up ones.

mod damaged;
mod random;

use super::*;
use crate::secret::Secret;

/// Their keys are made up.
pub(super) const CAPTURED: [(&str, &[u8]); 17] = [
    (
        "bad_algo",
        include_bytes!("../../../tests/captured/bad_algo"),
    ),
    (
        "dump_policy",
        include_bytes!("../../../tests/captured/dump_policy"),
    ),
    ("dump_sa", include_bytes!("../../../tests/captured/dump_sa")),
    (
        "event_async_event",
        include_bytes!("../../../tests/captured/event_async_event"),
    ),
    (
        "event_deleted_policy",
        include_bytes!("../../../tests/captured/event_deleted_policy"),
    ),
    (
        "event_deleted_sa",
        include_bytes!("../../../tests/captured/event_deleted_sa"),
    ),
    (
        "event_expire_hard",
        include_bytes!("../../../tests/captured/event_expire_hard"),
    ),
    (
        "event_expire_soft",
        include_bytes!("../../../tests/captured/event_expire_soft"),
    ),
    (
        "event_flushed_sa",
        include_bytes!("../../../tests/captured/event_flushed_sa"),
    ),
    (
        "event_new_policy",
        include_bytes!("../../../tests/captured/event_new_policy"),
    ),
    (
        "event_new_sa",
        include_bytes!("../../../tests/captured/event_new_sa"),
    ),
    (
        "event_policy_expire_soft",
        include_bytes!("../../../tests/captured/event_policy_expire_soft"),
    ),
    ("get_ae", include_bytes!("../../../tests/captured/get_ae")),
    ("get_sa", include_bytes!("../../../tests/captured/get_sa")),
    (
        "get_sa_missing",
        include_bytes!("../../../tests/captured/get_sa_missing"),
    ),
    (
        "sad_info",
        include_bytes!("../../../tests/captured/sad_info"),
    ),
    (
        "set_ae_ack",
        include_bytes!("../../../tests/captured/set_ae_ack"),
    ),
];

pub(super) fn captured(name: &str) -> &'static [u8] {
    CAPTURED.iter().find(|(known, _)| *known == name).unwrap().1
}

/// The messages of a capture, which has no damage.
pub(super) fn messages(name: &str) -> Vec<Message> {
    let packets = Packets::new(captured(name));
    packets.map(|packet| packet.unwrap().message).collect()
}

fn only(name: &str) -> Message {
    let [message] = messages(name).try_into().unwrap();
    message
}

#[test]
fn captures_are_written_as_they_were_read() {
    for (name, bytes) in CAPTURED {
        let mut again = Buffer::default();
        for packet in Packets::new(bytes) {
            packet.unwrap().encode(&mut again).unwrap();
        }
        // The last message of a datagram has no padding.
        assert_eq!(again.as_bytes().get(..bytes.len()), Some(bytes), "{name}");
        assert!(again.len() - bytes.len() < 4, "{name}");
    }
}

#[test]
fn captures_hold_nothing_unknown() {
    for (name, bytes) in CAPTURED {
        for packet in Packets::new(bytes) {
            let message = packet.unwrap().message;
            assert!(!matches!(message, Message::Other { .. }), "{name}");
            let attributes = match &message {
                Message::NewSa(sa) | Message::UpdateSa(sa) => &sa.attributes,
                Message::NewPolicy(policy) => &policy.attributes,
                Message::DeleteSa(sa) => &sa.attributes,
                Message::DeletePolicy(policy) => &policy.attributes,
                Message::NewAsyncEvent(event) => &event.attributes,
                _ => continue,
            };
            // XFRMA_PAD is all that is left.
            let known =
                |it: &Attribute| !matches!(it, Attribute::Other { kind, .. } if *kind != 27);
            assert!(attributes.iter().all(known), "{name}: {attributes:?}");
        }
    }
}

#[test]
fn an_sa() {
    let Message::NewSa(sa) = only("get_sa") else {
        panic!("no SA")
    };
    assert_eq!(sa.info.id.spi, 0x1001);
    assert_eq!(
        sa.info.id.daddr.ip(sa.info.family),
        Some([198, 51, 100, 7].into())
    );
    assert_eq!((sa.info.reqid, sa.info.mode), (7, mode::TUNNEL));
    assert_eq!(sa.info.lft, LifetimeConfig::UNLIMITED);
    let aead = sa.attributes.aead().unwrap();
    assert_eq!(aead.name.as_str(), Some("rfc4106(gcm(aes))"));
    let key: Vec<u8> = (0..20).collect();
    assert_eq!((aead.icv_bits, &aead.key), (128, &Secret::new(&key)));
    assert!(sa.attributes.replay().is_some() && sa.attributes.replay_esn().is_none());
}

#[test]
fn a_dump() {
    let mut all = messages("dump_sa");
    assert_eq!(all.pop(), Some(Message::Done(0, ExtendedAck::default())));
    let find = |spi| {
        let sas = all.iter().filter_map(|message| match message {
            Message::NewSa(sa) => Some(sa),
            _ => None,
        });
        sas.clone().find(|sa| sa.info.id.spi == spi).unwrap()
    };
    let esn = find(0x1009);
    let replay = esn.attributes.replay_esn().unwrap();
    assert_eq!(
        (replay.seq_hi, replay.seq, replay.replay_window),
        (2, 0x123, 1024)
    );
    assert_eq!((replay.bmp.len(), esn.info.flags), (32, state_flag::ESN));
    let marked = find(0x100c);
    assert_eq!(marked.attributes.mark(), Some(&Mark { v: 5, m: 0xff }));
    assert_eq!(marked.attributes.set_mark(), Some(&9));
    assert_eq!(marked.attributes.set_mark_mask(), Some(&15));
    assert_eq!(marked.attributes.if_id(), Some(&42));
    let encap = marked.attributes.encap().unwrap();
    assert_eq!((encap.encap_sport, encap.encap_dport), (4500, 4501));
    let ipv6 = find(0x100d);
    assert_eq!(ipv6.attributes.tfc_pad(), Some(&500));
    assert_eq!(ipv6.attributes.extra_flags(), Some(&1));
    let hmac = find(0x1004).attributes.auth_trunc().unwrap().clone();
    assert_eq!(
        (hmac.name.as_str(), hmac.trunc_bits),
        (Some("hmac(sha256)"), 96)
    );
    assert_eq!(
        find(0x1007).attributes.alg_comp().unwrap().name.as_str(),
        Some("deflate")
    );
}

#[test]
fn policies() {
    let all = messages("dump_policy");
    let policies = all.iter().filter_map(|message| match message {
        Message::NewPolicy(policy) => Some(policy),
        _ => None,
    });
    let policies: Vec<_> = policies.collect();
    assert_eq!(policies.len(), 5);
    let marked = policies.iter().find(|it| it.info.priority == 7).unwrap();
    let templates = marked.attributes.templates().unwrap();
    let outline = |it: &Template| (it.id.proto, it.mode, it.optional);
    let outlines: Vec<_> = templates.iter().map(outline).collect();
    assert_eq!(
        outlines,
        [(108, mode::TRANSPORT, 1), (50, mode::TRANSPORT, 0)]
    );
    assert_eq!(marked.attributes.if_id(), Some(&42));
    assert_eq!((marked.info.sel.proto, marked.info.sel.dport), (17, 53));
    assert!(marked.attributes.policy_type().is_some());
}

#[test]
fn answers_and_errors() {
    let Message::Error(error) = only("bad_algo") else {
        panic!("no error")
    };
    assert_eq!(
        error.ack.text().as_deref(),
        Some("Requested AEAD algorithm not found")
    );
    assert!(!error.is_ack() && error.echo.is_empty() && error.request.kind == kind::NEWSA);
    let Message::Error(error) = only("get_sa_missing") else {
        panic!("no error")
    };
    assert_eq!((error.code, error.ack.text()), (-3, None));
    let Message::Error(ack) = only("set_ae_ack") else {
        panic!("no acknowledgement")
    };
    assert!(ack.is_ack() && ack.request.sequence == 9);
    let Message::NewSadInfo(info) = only("sad_info") else {
        panic!("no figures")
    };
    assert!(info.count() > Some(20));
    let Message::NewAsyncEvent(event) = only("get_ae") else {
        panic!("no numbers")
    };
    assert_eq!(event.attributes.replay_esn().unwrap().seq, 0x123);
    assert!(event.attributes.lifetime_current().is_some());
    assert!(event.attributes.replay_threshold().is_some());
}

#[test]
fn events() {
    assert!(matches!(only("event_new_sa"), Message::NewSa(sa) if sa.info.id.spi == 0x2001));
    let Message::DeleteSa(deleted) = only("event_deleted_sa") else {
        panic!("no deletion")
    };
    assert_eq!(deleted.attributes.sa().unwrap().sa_id(), deleted.id);
    let Message::DeletePolicy(deleted) = only("event_deleted_policy") else {
        panic!("no deletion")
    };
    assert_eq!(deleted.attributes.policy().unwrap().sel, deleted.id.sel);
    assert!(matches!(only("event_new_policy"), Message::NewPolicy(it) if it.info.dir == dir::OUT));
    assert!(matches!(only("event_expire_soft"), Message::Expire(it) if it.expire.hard == 0));
    assert!(matches!(only("event_expire_hard"), Message::Expire(it) if it.expire.hard == 1));
    assert!(matches!(
        only("event_policy_expire_soft"),
        Message::PolicyExpire(_)
    ));
    assert!(matches!(only("event_flushed_sa"), Message::FlushSa(it) if it.proto == 51));
    let Message::NewAsyncEvent(event) = only("event_async_event") else {
        panic!("no numbers")
    };
    assert_eq!(event.id.flags & ae::CU, ae::CU);
}

/// GCM's key is 0, 1, 2 ...; in hexadecimal or decimal three of its bytes would be seen.
#[test]
fn debug_shows_no_key() {
    for name in ["get_sa", "dump_sa", "event_new_sa"] {
        let text = format!("{:?}", messages(name));
        assert!(text.contains("Secret(20 bytes)"));
        for key in [
            "0d0e0f",
            "13, 14, 15",
            "0xd, 0xe",
            "\\r\\u{e}",
            "303132",
            "48, 49, 50",
        ] {
            assert!(!text.contains(key), "{name}");
        }
    }
    let mut buffer = Buffer::default();
    let packet = Packets::new(captured("get_sa")).next().unwrap().unwrap();
    packet.encode(&mut buffer).unwrap();
    assert_eq!(format!("{buffer:?}"), "Buffer(352 bytes)");
    let packets = Packets::new(captured("get_sa"));
    assert_eq!(format!("{packets:?}"), "Packets(352 bytes)");
    // Nor does a payload that is not understood.
    let value = Secret::new(&[0xa5; 8]);
    let other = Attribute::Other { kind: 99, value };
    assert_eq!(
        format!("{other:?}"),
        "Other { kind: 99, value: Secret(8 bytes) }"
    );
}

#[test]
fn setting_an_attribute_keeps_its_place() {
    let list = |ids: &[u32]| -> Vec<_> { ids.iter().map(|id| Attribute::IfId(*id)).collect() };
    let mut attributes: Attributes = list(&[1]).into_iter().collect();
    attributes.push(Attribute::TfcPad(5));
    attributes.extend(list(&[2]));
    assert_eq!(attributes.if_id(), Some(&2));
    attributes.set(Attribute::IfId(3));
    let wanted: Attributes = list(&[3])
        .into_iter()
        .chain([Attribute::TfcPad(5)])
        .collect();
    assert_eq!(attributes, wanted);
    attributes.set(Attribute::SetMark(1));
    assert_eq!((attributes.len(), attributes.set_mark()), (3, Some(&1)));
}

#[test]
fn names_of_algorithms_have_63_bytes() {
    let longest = "x".repeat(63);
    assert_eq!(
        AlgorithmName::new(&longest).unwrap().as_str(),
        Some(longest.as_str())
    );
    assert_eq!(AlgorithmName::new(&"x".repeat(64)), None);
    assert_eq!(AlgorithmName::new("a\0b"), None);
}
