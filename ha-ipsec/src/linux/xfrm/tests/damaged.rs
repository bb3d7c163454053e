//! What is cut off, too long, or too much.

use super::super::wire::Wire as _;
use super::*;

fn decode(kind: u16, payload: &[u8]) -> Result<Message, DecodeError> {
    Message::decode(kind, 0, payload)
}

/// An SA with one attribute, as bytes behind the header.
fn with_attribute(len: u16, kind: u16, value: &[u8]) -> Vec<u8> {
    let mut payload = vec![0; SaInfo::BYTES];
    payload.extend_from_slice(&len.to_ne_bytes());
    payload.extend_from_slice(&kind.to_ne_bytes());
    payload.extend_from_slice(value);
    payload
}

#[test]
fn errors_say_what_and_where() {
    let error = decode(kind::NEWSA, &[0; 223]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "XFRM_MSG_NEWSA at byte 16 of its message has 223 bytes where 224 are due; the kernel is \
         older than this release knows, or the message is damaged"
    );
    let part = Part::Attribute {
        kind: attr::MARK,
        message: kind::NEWSA,
    };
    let short = with_attribute(4 + 7, attr::MARK, &[0; 8]);
    let error = decode(kind::NEWSA, &short).unwrap_err();
    let (offset, length, expected) = (16 + 224, 7, 8);
    assert_eq!(
        error,
        DecodeError::TooShort {
            part,
            offset,
            length,
            expected
        }
    );
    assert!(
        error
            .to_string()
            .starts_with("XFRMA_MARK of XFRM_MSG_NEWSA at byte 240")
    );
    for claimed in [0, 3, 13, u16::MAX] {
        let error = decode(kind::NEWSA, &with_attribute(claimed, attr::MARK, &[0; 8])).unwrap_err();
        let (claimed, available) = (claimed.into(), 12);
        assert_eq!(
            error,
            DecodeError::AttributeLength {
                part,
                offset,
                claimed,
                available
            }
        );
    }
}

/// A newer kernel may know more of an attribute: it is kept, and not taken for what is known.
#[test]
fn longer_attributes_are_kept_as_they_came() {
    let longer = with_attribute(4 + 12, attr::MARK, &[7; 12]);
    let Message::NewSa(sa) = decode(kind::NEWSA, &longer).unwrap() else {
        panic!("no SA")
    };
    assert_eq!(sa.attributes.mark(), None);
    let value = Secret::new(&[7; 12]);
    let kind = attr::MARK;
    let kept = Attribute::Other { kind, value };
    assert_eq!(sa.attributes.iter().collect::<Vec<_>>(), [&kept]);
}

#[test]
fn keys_are_as_long_as_they_say() {
    let algorithm = |bits: u32, key: &[u8]| {
        let mut value = vec![0; 64];
        value.extend_from_slice(&bits.to_ne_bytes());
        value.extend_from_slice(key);
        let len = 4 + value.len() as u16;
        decode(kind::NEWSA, &with_attribute(len, attr::ALG_CRYPT, &value))
    };
    let sa = |message| match message {
        Message::NewSa(sa) => sa,
        _ => panic!("no SA"),
    };
    let found = sa(algorithm(128, &[1; 16]).unwrap());
    assert_eq!(found.attributes.alg_crypt().unwrap().key.len(), 16);
    assert!(matches!(
        algorithm(136, &[1; 16]),
        Err(DecodeError::TooShort { expected: 85, .. })
    ));
    assert!(matches!(
        algorithm(u32::MAX, &[1; 16]),
        Err(DecodeError::TooShort { .. })
    ));
    // Bits that are no bytes, and bytes that belong to no key.
    for (bits, length) in [(127, 16), (128, 20)] {
        let found = sa(algorithm(bits, &vec![1; length]).unwrap());
        assert_eq!(found.attributes.alg_crypt(), None);
        assert_eq!(found.attributes.len(), 1);
    }
}

#[test]
fn bitmaps_have_a_limit() {
    let replay = |words: u32, there: usize| {
        let mut value = words.to_ne_bytes().to_vec();
        value.resize(24 + 4 * there, 0);
        let len = 4 + value.len() as u16;
        decode(
            kind::NEWSA,
            &with_attribute(len, attr::REPLAY_ESN_VAL, &value),
        )
    };
    assert!(replay(128, 128).is_ok() && replay(0, 0).is_ok());
    assert!(matches!(
        replay(129, 129),
        Err(DecodeError::Limit {
            got: 129,
            allowed: 128,
            ..
        })
    ));
    assert!(matches!(
        replay(u32::MAX, 1),
        Err(DecodeError::Limit { .. })
    ));
    assert!(matches!(
        replay(2, 1),
        Err(DecodeError::TooShort { expected: 32, .. })
    ));
}

#[test]
fn attributes_and_templates_have_a_limit() {
    let many = |count: usize| {
        let mut payload = vec![0; SaInfo::BYTES];
        payload.extend(
            [4_u16.to_ne_bytes(), 27_u16.to_ne_bytes()]
                .concat()
                .repeat(count),
        );
        decode(kind::NEWSA, &payload)
    };
    assert!(many(MAX_ATTRIBUTES).is_ok());
    assert!(matches!(
        many(MAX_ATTRIBUTES + 1),
        Err(DecodeError::Limit { allowed: 256, .. })
    ));
    let templates = |count: usize| {
        let value = vec![0; count * Template::BYTES];
        let len = 4 + value.len() as u16;
        decode(kind::NEWSA, &with_attribute(len, attr::TMPL, &value))
    };
    assert!(templates(64).is_ok());
    assert!(matches!(
        templates(65),
        Err(DecodeError::Limit { got: 65, .. })
    ));
    let half = with_attribute(4 + 96, attr::TMPL, &[0; 96]);
    assert!(matches!(
        decode(kind::NEWSA, &half),
        Err(DecodeError::TooShort { expected: 128, .. })
    ));
}

#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    let mut out = Buffer::default();
    let packet = |value: &[u8]| {
        let value = Secret::new(value);
        let mut sa = Sa::default();
        sa.attributes.push(Attribute::Other { kind: 99, value });
        Packet {
            flags: 0,
            sequence: 0,
            port: 0,
            message: Message::NewSa(sa),
        }
    };
    packet(&[1; 65_531]).encode(&mut out).unwrap();
    let before = out.len();
    let error = packet(&[1; 65_532]).encode(&mut out).unwrap_err();
    assert!(matches!(error, EncodeError::TooLong { length: 65_536, .. }));
    let attributes = core::iter::repeat_n(Attribute::IfId(1), MAX_ATTRIBUTES + 1).collect();
    let too_many = Packet {
        message: Message::DumpSa(attributes),
        ..packet(&[])
    };
    let error = too_many.encode(&mut out).unwrap_err();
    assert_eq!(error, EncodeError::Attributes { got: 257 });
    assert_eq!(out.len(), before);
}

#[test]
fn a_damaged_message_does_not_hide_the_next() {
    let good = captured("get_sa");
    let mut damaged = good.to_vec();
    // The length of the first attribute.
    damaged[240..242].copy_from_slice(&1_u16.to_ne_bytes());
    let datagram = [&damaged, good].concat();
    let all: Vec<_> = Packets::new(&datagram).collect();
    assert!(matches!(
        all.as_slice(),
        [
            Err(DecodeError::AttributeLength {
                claimed: 1,
                offset: 240,
                ..
            }),
            Ok(_)
        ]
    ));
    // But a header that is wrong does: nobody knows where the next one begins.
    let mut cut = good.to_vec();
    cut[..4].copy_from_slice(&15_u32.to_ne_bytes());
    let all: Vec<_> = Packets::new(&cut).collect();
    assert!(matches!(
        all.as_slice(),
        [Err(DecodeError::Header { claimed: 15, .. })]
    ));
}

#[test]
fn no_prefix_and_no_changed_byte_panics() {
    for (_, bytes) in CAPTURED {
        let bytes = &bytes[..bytes.len().min(2000)];
        for end in 0..bytes.len() {
            let _ = Packets::new(&bytes[..end]).count();
        }
        for place in 0..bytes.len().min(600) {
            for value in [0, 1, 3, 0x7f, 0xff] {
                let mut changed = bytes.to_vec();
                changed[place] = value;
                let _ = Packets::new(&changed).count();
            }
        }
    }
}
