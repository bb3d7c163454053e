//! Any message survives being written and read.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::wire::Wire;
use super::*;

fn any_of<T: Wire + core::fmt::Debug>() -> impl Strategy<Value = T> {
    vec(any::<u8>(), T::BYTES).prop_map(|bytes| T::from_prefix(&bytes).unwrap())
}

fn secret(most: usize) -> impl Strategy<Value = Secret> {
    vec(any::<u8>(), 0..=most).prop_map(|bytes| Secret::new(&bytes))
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    (any_of(), secret(80)).prop_map(|(name, key)| Algorithm { name, key })
}

fn auth() -> impl Strategy<Value = AuthAlgorithm> {
    (any_of(), any::<u32>(), secret(80)).prop_map(|(name, trunc_bits, key)| AuthAlgorithm {
        name,
        trunc_bits,
        key,
    })
}

fn aead() -> impl Strategy<Value = AeadAlgorithm> {
    (any_of(), any::<u32>(), secret(80)).prop_map(|(name, icv_bits, key)| AeadAlgorithm {
        name,
        icv_bits,
        key,
    })
}

fn esn() -> impl Strategy<Value = ReplayEsn> {
    let head = any::<[u32; 5]>();
    (head, vec(any::<u32>(), 0..=ReplayEsn::MAX_WORDS)).prop_map(|(head, bmp)| {
        let [oseq, seq, oseq_hi, seq_hi, replay_window] = head;
        ReplayEsn {
            oseq,
            seq,
            oseq_hi,
            seq_hi,
            replay_window,
            bmp,
        }
    })
}

fn context() -> impl Strategy<Value = SecurityContext> {
    (any::<u16>(), any::<u8>(), any::<u8>(), secret(60)).prop_map(
        |(exttype, ctx_alg, ctx_doi, label)| SecurityContext {
            exttype,
            ctx_alg,
            ctx_doi,
            label,
        },
    )
}

/// Of a number that no attribute has.
fn other() -> impl Strategy<Value = Attribute> {
    let unknown = prop_oneof![Just(17_u16), Just(27), 200..=u16::MAX];
    (unknown, secret(40)).prop_map(|(kind, value)| Attribute::Other { kind, value })
}

fn attribute() -> impl Strategy<Value = Attribute> {
    let first = prop_oneof![
        algorithm().prop_map(Attribute::AlgAuth),
        algorithm().prop_map(Attribute::AlgCrypt),
        algorithm().prop_map(Attribute::AlgComp),
        any_of().prop_map(Attribute::Encap),
        vec(any_of(), 0..=4).prop_map(Attribute::Templates),
        any_of().prop_map(|info| Attribute::Sa(Box::new(info))),
        any_of().prop_map(|info| Attribute::Policy(Box::new(info))),
        context().prop_map(Attribute::SecurityContext),
        any_of().prop_map(Attribute::LifetimeCurrent),
    ];
    let second = prop_oneof![
        any_of().prop_map(Attribute::Replay),
        any::<u32>().prop_map(Attribute::ReplayThreshold),
        any::<u32>().prop_map(Attribute::TimerThreshold),
        any_of().prop_map(Attribute::Source),
        any_of().prop_map(Attribute::CareOf),
        any::<u64>().prop_map(Attribute::LastUsed),
        any::<(u8, u16, u8)>().prop_map(|(kind, reserved1, reserved2)| {
            Attribute::PolicyType(PolicyType {
                kind,
                reserved1,
                reserved2,
            })
        }),
        aead().prop_map(Attribute::Aead),
        auth().prop_map(Attribute::AuthTrunc),
    ];
    let third = prop_oneof![
        any_of().prop_map(Attribute::Mark),
        any::<u32>().prop_map(Attribute::TfcPad),
        esn().prop_map(Attribute::ReplayEsn),
        any::<u32>().prop_map(Attribute::ExtraFlags),
        any::<u8>().prop_map(Attribute::Proto),
        any_of().prop_map(Attribute::AddressFilter),
        any_of().prop_map(Attribute::Offload),
        any::<u32>().prop_map(Attribute::SetMark),
        any::<u32>().prop_map(Attribute::SetMarkMask),
    ];
    let fourth = prop_oneof![
        any::<u32>().prop_map(Attribute::IfId),
        any::<u32>().prop_map(Attribute::MappingThreshold),
        any::<u8>().prop_map(Attribute::Direction),
        any::<u32>().prop_map(Attribute::NatKeepalive),
        any::<u32>().prop_map(Attribute::Cpu),
        other(),
    ];
    prop_oneof![first, second, third, fourth]
}

fn attributes() -> impl Strategy<Value = Attributes> {
    vec(attribute(), 0..=12).prop_map(Attributes::from_iter)
}

macro_rules! body {
    ($name:ident.$field:ident) => {
        (any_of(), attributes()).prop_map(|($field, attributes)| $name { $field, attributes })
    };
}

fn sad_info() -> impl Strategy<Value = SadInfo> {
    let figure = prop_oneof![
        any::<u32>().prop_map(SadFigure::Count),
        any_of().prop_map(SadFigure::Hash),
        (3..=u16::MAX, vec(any::<u8>(), 0..20))
            .prop_map(|(kind, bytes)| SadFigure::Other(kind, bytes)),
    ];
    (any::<u32>(), vec(figure, 0..5)).prop_map(|(flags, figures)| SadInfo { flags, figures })
}

fn extended_ack() -> impl Strategy<Value = ExtendedAck> {
    vec((any::<u16>(), secret(30)), 0..=6).prop_map(ExtendedAck)
}

/// A message, with the flags that say what it is.
fn message() -> impl Strategy<Value = (u16, Message)> {
    let plain = prop_oneof![
        body!(Sa.info).prop_map(Message::NewSa),
        body!(Sa.info).prop_map(Message::UpdateSa),
        body!(SaRef.id).prop_map(Message::DeleteSa),
        body!(SaRef.id).prop_map(Message::GetSa),
        body!(Flush.proto).prop_map(Message::FlushSa),
        body!(SpiRequest.range).prop_map(Message::AllocSpi),
        body!(SaExpire.expire).prop_map(Message::Expire),
        body!(Policy.info).prop_map(Message::NewPolicy),
        body!(Policy.info).prop_map(Message::UpdatePolicy),
    ];
    let more = prop_oneof![
        body!(PolicyRef.id).prop_map(Message::DeletePolicy),
        body!(PolicyRef.id).prop_map(Message::GetPolicy),
        attributes().prop_map(Message::FlushPolicy),
        body!(PolicyExpire.expire).prop_map(Message::PolicyExpire),
        body!(AsyncEvent.id).prop_map(Message::NewAsyncEvent),
        body!(AsyncEvent.id).prop_map(Message::GetAsyncEvent),
        sad_info().prop_map(Message::NewSadInfo),
        sad_info().prop_map(Message::GetSadInfo),
        (any::<i32>(), extended_ack()).prop_map(|(code, ack)| Message::Done(code, ack)),
    ];
    let rare = (0x24_u16.., secret(60));
    let rare = rare.prop_map(|(kind, payload)| Message::Other { kind, payload });
    prop_oneof![
        prop_oneof![plain, more, rare].prop_map(|message| (flag::MULTI, message)),
        attributes().prop_map(|list| (flag::DUMP, Message::DumpSa(list))),
        attributes().prop_map(|list| (flag::DUMP, Message::DumpPolicy(list))),
        error(),
    ]
}

fn error() -> impl Strategy<Value = (u16, Message)> {
    let parts = (
        any::<i32>(),
        any_of::<Header>(),
        secret(70),
        extended_ack(),
        any::<bool>(),
    );
    parts.prop_map(|(code, mut request, echo, ack, capped)| {
        let echo = if capped { Secret::empty() } else { echo };
        let mut flags = flag::ACK_TLVS;
        if capped {
            flags |= flag::CAPPED;
        } else {
            request.len = 16 + echo.len() as u32;
        }
        let error = NlError {
            code,
            request,
            echo,
            ack,
        };
        (flags, Message::Error(error))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_written_is_read(parts in vec((message(), any::<u32>(), any::<u32>()), 1..4)) {
        let packets: Vec<_> = parts
            .into_iter()
            .map(|((flags, message), sequence, port)| Packet { flags, sequence, port, message })
            .collect();
        let mut out = Buffer::default();
        for packet in &packets {
            packet.encode(&mut out).unwrap();
        }
        prop_assert_eq!(out.len() % 4, 0);
        let read: Result<Vec<_>, _> = Packets::new(out.as_bytes()).collect();
        prop_assert_eq!(read.unwrap(), packets);
    }

    #[test]
    fn what_is_read_is_written(kind in 0_u16..0x30, flags: u16, mut payload in vec(any::<u8>(), 0..400)) {
        // Plausible attributes are rare among random bytes.
        if let Some(place) = payload.get_mut(224..228) {
            place.copy_from_slice(&[12, 0, place[2] % 36, 0]);
        }
        let Ok(message) = Message::decode(kind, flags, &payload) else {
            return Ok(());
        };
        let packet = Packet { flags, sequence: 1, port: 2, message };
        let mut out = Buffer::default();
        packet.encode(&mut out).unwrap();
        let again = Packets::new(out.as_bytes()).next().unwrap().unwrap();
        prop_assert_eq!(again, packet);
    }
}
