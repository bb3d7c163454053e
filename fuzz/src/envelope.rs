//! Any bytes as an `Envelope`: the decoder never panics, and what it accepts survives a round trip.

use ha_core::wire::pb::Envelope;
use prost::Message;

/// One input.
pub fn run(bytes: &[u8]) {
    let Ok(envelope) = Envelope::decode(bytes) else {
        return;
    };
    let encoded = envelope.encode_to_vec();
    let again = Envelope::decode(encoded.as_slice()).expect("own encoding decodes");
    assert_eq!(
        envelope, again,
        "decoding what was encoded gives the same message"
    );
    assert_eq!(encoded.len(), envelope.encoded_len());
}
