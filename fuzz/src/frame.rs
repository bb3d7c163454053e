//! Any bytes as frames of a TCP link: what comes out does not depend on how the bytes are cut, each
//! message keeps its lane's limit, and messages survive being cut into frames again.

use bytes::{Bytes, BytesMut};
use ha_transport::frame::{FrameDecoder, FrameEncoder, FrameError, Incoming};
use ha_transport::{Lane, LinkLimits};

/// One input: the first byte says how the rest is cut.
pub fn run(bytes: &[u8]) {
    let Some((step, stream)) = bytes.split_first() else {
        return;
    };
    let (whole, end) = decode(stream, usize::MAX);
    assert_eq!(
        (&whole, &end),
        (&decode(stream, usize::from(*step) + 1).0, &end),
        "the same, however the bytes arrive"
    );
    assert_eq!(decode(stream, usize::from(*step) + 1).1, end);
    for (lane, message) in &whole {
        assert!(message.len() <= limits().lane(*lane).message_bytes);
    }
    round_trip(&whole);
}

/// Valid streams: small and large messages, lanes interleaved.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let message = |lane, len| (lane, Bytes::from(vec![7; len]));
    let small = Lane::ALL.map(|lane| message(lane, 10));
    let large = [message(Lane::Bulk, 40_000), message(Lane::Control, 5)];
    let empty = [message(Lane::Changes, 0)];
    let cut = |step: u8, messages: &[(Lane, Bytes)]| {
        let mut bytes = vec![step];
        bytes.extend_from_slice(&encode(messages));
        bytes
    };
    let mut truncated = cut(9, &large);
    truncated.truncate(20_000);
    vec![
        ("small", cut(0, &small)),
        ("large", cut(200, &large)),
        ("empty", cut(2, &empty)),
        ("truncated", truncated),
        ("unknown_lane", vec![3, 0x83, 0, 0, 0]),
    ]
}

fn limits() -> LinkLimits {
    let mut limits = LinkLimits::default();
    limits.control.message_bytes = 1024;
    limits.bulk.message_bytes = 50_000;
    limits
}

type Decoded = (Vec<(Lane, Bytes)>, Result<bool, FrameError>);

/// All messages, and how it ended: with an error, orderly, or in the middle.
fn decode(stream: &[u8], step: usize) -> Decoded {
    let (mut decoder, mut buffer) = (FrameDecoder::new(limits()), BytesMut::new());
    let mut messages = Vec::new();
    for piece in stream.chunks(step.min(stream.len().max(1))) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.next(&mut buffer) {
                Ok(Some(Incoming::Message(lane, message))) => messages.push((lane, message)),
                Ok(Some(Incoming::Close)) => return (messages, Ok(true)),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
    }
    (messages, Ok(false))
}

fn round_trip(messages: &[(Lane, Bytes)]) {
    let (again, end) = decode(&encode(messages), usize::MAX);
    assert_eq!(end, Ok(false));
    for lane in Lane::ALL {
        let of = |all: &[(Lane, Bytes)]| -> Vec<Bytes> {
            all.iter()
                .filter(|m| m.0 == lane)
                .map(|m| m.1.clone())
                .collect()
        };
        assert_eq!(of(messages), of(&again), "{lane} keeps its order");
    }
}

fn encode(messages: &[(Lane, Bytes)]) -> Vec<u8> {
    let mut queues = Lane::ALL.map(|lane| {
        let of: Vec<Bytes> = messages
            .iter()
            .filter(|m| m.0 == lane)
            .map(|m| m.1.clone())
            .collect();
        of.into_iter()
    });
    let (mut encoder, mut buffer) = (FrameEncoder::default(), BytesMut::new());
    encoder.fill(&mut buffer, usize::MAX, |lane| queues[lane.index()].next());
    buffer.to_vec()
}
