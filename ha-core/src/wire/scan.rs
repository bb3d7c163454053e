//! Looks at a message before it is decoded.
//!
//! An empty section takes two bytes on the wire and a hundred times as many in memory: what a
//! message may cost must be known before it is decoded.

use bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::{LimitError, limits};

/// Field of a batch in an envelope.
const BATCH: u32 = 5;
/// Fields of sections and of digests in a batch.
const REPEATED: [(u32, &str); 2] = [(7, "sections"), (8, "digests")];

/// Checks how many sections and digests an encoded envelope holds. What cannot be read is left to
/// the decoder, which says what is wrong with it.
pub(super) fn check(mut envelope: &[u8]) -> Result<(), LimitError> {
    while envelope.has_remaining() {
        let Ok((tag, WireType::LengthDelimited)) = decode_key(&mut envelope) else {
            return Ok(());
        };
        let Some(body) = take(&mut envelope) else {
            return Ok(());
        };
        if tag == BATCH {
            check_batch(body)?;
        }
    }
    Ok(())
}

fn check_batch(mut batch: &[u8]) -> Result<(), LimitError> {
    let mut counts = [0; REPEATED.len()];
    while batch.has_remaining() {
        let Ok((tag, wire_type)) = decode_key(&mut batch) else {
            return Ok(());
        };
        if skip_field(wire_type, tag, &mut batch, DecodeContext::default()).is_err() {
            return Ok(());
        }
        for ((field, what), count) in REPEATED.iter().zip(&mut counts) {
            *count += usize::from(tag == *field);
            if *count > limits::MAX_CLIENTS {
                return Err(LimitError::new(what, *count, limits::MAX_CLIENTS));
            }
        }
    }
    Ok(())
}

fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(decode_varint(bytes).ok()?).ok()?;
    let (body, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(body)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::super::{Body, pb};
    use super::*;

    fn envelope(sections: usize, digests: usize) -> Vec<u8> {
        let batch = pb::Batch {
            sections: vec![pb::Section::default(); sections],
            digests: vec![pb::Digest::default(); digests],
            ..pb::Batch::default()
        };
        let body = Some(Body::Batch(batch));
        pb::Envelope { body }.encode_to_vec()
    }

    #[test]
    fn counts_up_to_the_limit_and_one_beyond() {
        let max = limits::MAX_CLIENTS;
        assert_eq!(check(&envelope(max, max)), Ok(()));
        let error = check(&envelope(max + 1, 0)).unwrap_err();
        assert_eq!(error.what, "sections");
        assert_eq!(check(&envelope(0, max + 1)).unwrap_err().what, "digests");
    }

    #[test]
    fn leaves_garbage_to_the_decoder() {
        for garbage in [
            &[0xff; 40][..],
            &[0x2a, 0xff, 0x01],
            &[0x2a, 0x02, 0x3a],
            &[],
        ] {
            assert_eq!(check(garbage), Ok(()));
        }
    }
}
