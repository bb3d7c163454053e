//! Tests of the frames.

use std::collections::VecDeque;

use super::*;

fn decode(bytes: &[u8], step: usize) -> Result<Vec<Incoming>, FrameError> {
    let mut decoder = FrameDecoder::new(LinkLimits::default());
    let mut buffer = BytesMut::new();
    let mut seen = Vec::new();
    for chunk in bytes.chunks(step.max(1)) {
        buffer.extend_from_slice(chunk);
        while let Some(incoming) = decoder.next(&mut buffer)? {
            seen.push(incoming);
        }
    }
    Ok(seen)
}

fn encode(messages: &[(Lane, Bytes)]) -> BytesMut {
    let mut queues: [VecDeque<Bytes>; 3] = Default::default();
    for (lane, message) in messages {
        queues[lane.index()].push_back(message.clone());
    }
    let mut encoder = FrameEncoder::default();
    let mut buffer = BytesMut::new();
    encoder.fill(&mut buffer, usize::MAX, |lane| {
        queues[lane.index()].pop_front()
    });
    assert!(!encoder.has_rest());
    buffer
}

fn message(length: usize) -> Bytes {
    (0..length).map(|i| (i * 31 % 251) as u8).collect()
}

#[test]
fn sizes_around_the_edges_survive_in_any_pieces() {
    let limit = LinkLimits::default().bulk.message_bytes;
    let part = MAX_PART_BYTES;
    for length in [
        0,
        1,
        part - 1,
        part,
        part + 1,
        2 * part,
        2 * part + 1,
        limit,
    ] {
        let bytes = encode(&[(Lane::Bulk, message(length))]);
        for step in [1021, 16_384, usize::MAX] {
            let seen = decode(&bytes, step).unwrap();
            assert_eq!(
                seen,
                [Incoming::Message(Lane::Bulk, message(length))],
                "{length}"
            );
        }
    }
    let one_byte_at_a_time = decode(&encode(&[(Lane::Control, message(300))]), 1).unwrap();
    assert_eq!(
        one_byte_at_a_time,
        [Incoming::Message(Lane::Control, message(300))]
    );
}

#[test]
fn a_higher_lane_goes_between_the_frames_of_a_lower_one() {
    let mut bulk = Some(message(1024 * 1024));
    let mut encoder = FrameEncoder::default();
    let mut buffer = BytesMut::new();
    encoder.fill(&mut buffer, 64 * 1024, |lane| {
        bulk.take_if(|_| lane == Lane::Bulk)
    });
    assert!(buffer.len() <= 64 * 1024 && encoder.has_rest());
    let mut urgent = Some(message(10));
    encoder.fill(&mut buffer, usize::MAX, |lane| {
        urgent.take_if(|_| lane == Lane::Control)
    });
    let seen = decode(&buffer, usize::MAX).unwrap();
    assert_eq!(seen[0], Incoming::Message(Lane::Control, message(10)));
    assert_eq!(seen[1], Incoming::Message(Lane::Bulk, message(1024 * 1024)));
}

#[test]
fn one_byte_beyond_the_limit_is_refused_before_it_is_stored() {
    let limit = LinkLimits::default().control.message_bytes;
    assert!(decode(&encode(&[(Lane::Control, message(limit))]), usize::MAX).is_ok());
    let error = decode(&encode(&[(Lane::Control, message(limit + 1))]), usize::MAX);
    assert_eq!(
        error,
        Err(FrameError::TooLarge {
            lane: Lane::Control,
            limit
        })
    );
}

#[test]
fn malformed_headers_are_refused() {
    let malformed = |bytes: [u8; 4]| {
        matches!(
            decode(&bytes, usize::MAX),
            Err(FrameError::Malformed { .. })
        )
    };
    assert!(malformed([END, 0, 0x3f, 0xfd]), "longer than a frame");
    assert!(malformed([0, 0, 0, 1]), "neither last nor full");
    assert!(malformed([0, 0, 0, 0]), "neither last nor full");
    assert!(malformed([CLOSE | END, 0, 0, 0]), "close with flags");
    assert!(malformed([CLOSE, 0, 0, 1]), "close with content");
    for number in 3..LANE {
        let result = decode(&[END | number, 0, 0, 0], usize::MAX);
        assert_eq!(result, Err(FrameError::UnknownLane { number }));
    }
}

#[test]
fn the_close_frame_is_told_apart() {
    let mut bytes = encode(&[(Lane::Changes, message(5))]);
    put_close(&mut bytes);
    let seen = decode(&bytes, 3).unwrap();
    assert_eq!(
        seen,
        [
            Incoming::Message(Lane::Changes, message(5)),
            Incoming::Close
        ]
    );
}
