use proptest::prelude::*;

use super::*;

fn payload(notify: Notify) -> Vec<u8> {
    let mut out = vec![];
    notify.encode(0, &mut out);
    out
}

#[test]
fn the_four_payloads_have_the_layout_of_section_6() {
    assert_eq!(
        payload(Notify::MessageIdSyncSupported),
        [0, 0, 0, 8, 0, 0, 0x40, 0x24]
    );
    assert_eq!(
        payload(Notify::ReplayCounterSyncSupported),
        [0, 0, 0, 8, 0, 0, 0x40, 0x25]
    );
    assert_eq!(
        payload(Notify::MessageIdSync(sync(0x0102_0304, 5))),
        [
            0, 0, 0, 20, 0, 0, 0x40, 0x26, // header
            1, 2, 3, 4, // nonce
            1, 2, 3, 4, // EXPECTED_SEND_REQ_MESSAGE_ID
            0, 0, 0, 5, // EXPECTED_RECV_REQ_MESSAGE_ID
        ]
    );
    assert_eq!(
        payload(Notify::ReplayCounterSync(ReplayDelta::Bits32(0x0a0b))),
        [0, 0, 0, 12, 0, 0, 0x40, 0x27, 0, 0, 0x0a, 0x0b]
    );
    assert_eq!(
        payload(Notify::ReplayCounterSync(ReplayDelta::Esn(0x0a0b))),
        [0, 0, 0, 16, 0, 0, 0x40, 0x27, 0, 0, 0, 0, 0, 0, 0x0a, 0x0b]
    );
}

#[test]
fn fields_to_be_ignored_are_ignored() {
    let notify = Notify::MessageIdSync(sync(7, 8));
    let mut bytes = payload(notify);
    bytes[0] = 41; // next payload
    bytes[1] = 0xff; // critical bit and reserved ones
    bytes[4] = 3; // the protocol id "MUST be ignored on receipt" without an SPI
    assert_eq!(Notify::decode(&bytes), Ok(notify));
}

#[test]
fn lengths_and_spis_are_checked() {
    let good = payload(Notify::MessageIdSync(sync(7, 8)));
    let spi = {
        let mut bytes = good.clone();
        bytes[5] = 4;
        bytes
    };
    assert_eq!(
        Notify::decode(&spi),
        Err(NotifyError::SpiSize {
            kind: 16422,
            spi_size: 4
        })
    );
    assert_eq!(
        Notify::decode(&good[..19]),
        Err(NotifyError::PayloadLength { got: 19 })
    );
    for (kind, len) in [
        (16420, 1),
        (16421, 4),
        (16422, 11),
        (16422, 13),
        (16422, 0),
        (16423, 0),
        (16423, 5),
        (16423, 12),
    ] {
        assert_eq!(
            Notify::from_parts(kind, 0, &vec![0; len]),
            Err(NotifyError::DataLength { kind, got: len })
        );
    }
    // SET_WINDOW_SIZE, with an SPI at that: none of our business.
    assert_eq!(
        Notify::from_parts(16385, 4, &[0; 4]),
        Err(NotifyError::Unrelated { kind: 16385 })
    );
}

#[test]
fn support_is_what_both_assert() {
    let both = [
        Notify::MessageIdSyncSupported,
        Notify::ReplayCounterSyncSupported,
    ];
    assert_eq!(SyncSupport::asserted(both), SyncSupport::ALL);
    assert_eq!(SyncSupport::asserted([]), SyncSupport::NONE);
    let all: Vec<_> = Notify::supported(SyncSupport::ALL).collect();
    assert_eq!(all, both);
    assert_eq!(Notify::supported(SyncSupport::NONE).count(), 0);
    for bits in 0..4 {
        let support = SyncSupport::from_bits(bits);
        assert_eq!(support.bits(), bits);
        assert_eq!(SyncSupport::ALL.agree(support), support);
        assert_eq!(SyncSupport::NONE.agree(support), SyncSupport::NONE);
        assert_eq!(SyncSupport::asserted(Notify::supported(support)), support);
    }
    assert_eq!(SyncSupport::from_bits(0xfe).bits(), 2);
}

fn parse(message: &SyncRequest) -> Result<Option<SyncRequest>, SyncMessageError> {
    let mut out = vec![];
    let first = message.encode(&mut out);
    SyncRequest::parse(message.message_id, first, &out)
}

#[test]
fn requests_of_all_three_cases_round_trip() {
    let both = SyncRequest {
        replay: Some(ReplayDelta::Esn(9)),
        ..request(4, 5)
    };
    let only_counters = SyncRequest {
        message_id: 77,
        ids: None,
        replay: Some(ReplayDelta::Bits32(9)),
    };
    for message in [request(4, 5), both, only_counters] {
        assert_eq!(parse(&message), Ok(Some(message)));
    }
    let mut out = vec![];
    assert_eq!(response(5, 4).encode(&mut out), PAYLOAD_NOTIFY);
    assert_eq!(SyncResponse::parse(0, 41, &out), Ok(response(5, 4)));
    let empty = SyncResponse {
        message_id: 77,
        ids: None,
    };
    assert_eq!(empty.encode(&mut vec![]), 0);
    assert_eq!(SyncResponse::parse(77, 0, &[]), Ok(empty));
}

#[test]
fn the_message_id_is_zero() {
    let message = SyncRequest {
        message_id: 1,
        ..request(4, 5)
    };
    assert_eq!(
        parse(&message),
        Err(SyncMessageError::MessageId { message_id: 1 })
    );
    let mut out = vec![];
    response(5, 4).encode(&mut out);
    assert_eq!(
        SyncResponse::parse(1, 41, &out),
        Err(SyncMessageError::MessageId { message_id: 1 })
    );
}

#[test]
fn there_are_no_additional_payloads() {
    const DELETE: u8 = 42;
    let delete = [0, 0, 0, 8, 1, 0, 0, 0];
    let mut out = vec![];
    Notify::MessageIdSync(sync(4, 5)).encode(DELETE, &mut out);
    out.extend(delete);
    assert_eq!(
        SyncRequest::parse(0, PAYLOAD_NOTIFY, &out),
        Err(SyncMessageError::Additional { payloads: 1 })
    );
    // Also not a notify that RFC 7296 would have ignored.
    let mut out = vec![];
    Notify::MessageIdSyncSupported.encode(PAYLOAD_NOTIFY, &mut out);
    Notify::MessageIdSync(sync(4, 5)).encode(0, &mut out);
    assert_eq!(
        SyncRequest::parse(0, PAYLOAD_NOTIFY, &out),
        Err(SyncMessageError::Additional { payloads: 1 })
    );
    // Beside replay counters alone there may be others.
    let delta = ReplayDelta::Bits32(3);
    let mut out = vec![];
    Notify::ReplayCounterSync(delta).encode(DELETE, &mut out);
    out.extend(delete);
    let parsed = SyncRequest::parse(9, PAYLOAD_NOTIFY, &out)
        .unwrap()
        .unwrap();
    assert_eq!(parsed.replay, Some(delta));
}

#[test]
fn a_notify_occurs_once_and_a_response_moves_no_counters() {
    let mut out = vec![];
    Notify::MessageIdSync(sync(4, 5)).encode(PAYLOAD_NOTIFY, &mut out);
    Notify::MessageIdSync(sync(6, 7)).encode(0, &mut out);
    assert_eq!(
        SyncRequest::parse(0, PAYLOAD_NOTIFY, &out),
        Err(SyncMessageError::Repeated)
    );
    let both = SyncRequest {
        replay: Some(ReplayDelta::Bits32(1)),
        ..request(4, 5)
    };
    let mut out = vec![];
    both.encode(&mut out);
    assert_eq!(
        SyncResponse::parse(0, PAYLOAD_NOTIFY, &out),
        Err(SyncMessageError::ReplayInResponse)
    );
}

#[test]
fn an_ordinary_request_is_none() {
    assert_eq!(SyncRequest::parse(0, 0, &[]), Ok(None), "a liveness check");
    let delete = [0, 0, 0, 8, 1, 0, 0, 0];
    assert_eq!(SyncRequest::parse(5, 42, &delete), Ok(None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_judged_without_a_panic(
        first in prop_oneof![Just(41u8), any::<u8>()],
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        message_id in 0u32..2,
    ) {
        let _ = Notify::decode(&bytes);
        let _ = SyncRequest::parse(message_id, first, &bytes);
        let _ = SyncResponse::parse(message_id, first, &bytes);
    }

    /// One byte of a proper message changed: what is still accepted is consistent.
    #[test]
    fn damaged_messages(at in 0usize..36, to in any::<u8>(), esn in any::<bool>()) {
        let delta = if esn { ReplayDelta::Esn(1) } else { ReplayDelta::Bits32(1) };
        let message = SyncRequest { replay: Some(delta), ..request(4, 5) };
        let mut out = vec![];
        let first = message.encode(&mut out);
        let at = at % out.len();
        out[at] = to;
        if let Ok(Some(read)) = SyncRequest::parse(0, first, &out) {
            let mut again = vec![];
            read.encode(&mut again);
            prop_assert_eq!(SyncRequest::parse(0, first, &again), Ok(Some(read)));
        }
    }

    #[test]
    fn notifies_round_trip(nonce in any::<[u8; 4]>(), next in any::<u32>(), expected in any::<u32>(), delta in any::<u64>()) {
        let ids = MessageIdSync { nonce, next_request: next, expected_request: expected };
        for notify in [
            Notify::MessageIdSync(ids),
            Notify::ReplayCounterSync(ReplayDelta::Bits32(delta as u32)),
            Notify::ReplayCounterSync(ReplayDelta::Esn(delta)),
        ] {
            prop_assert_eq!(Notify::decode(&payload(notify)), Ok(notify));
        }
    }
}
