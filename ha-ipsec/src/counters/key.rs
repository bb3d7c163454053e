//! What names a counter on the wire.

use ha_core::checkpoint::DecodeError;
use prost::encoding::{decode_varint, encode_varint};

use crate::replay::{InboundPolicy, Isolated, WindowSize};
use crate::sequence::SequenceSpace;

/// Names a counter: the instance of the SA, and what of the SA is fixed and needed to use the
/// counter, so that it can be used without the SA's record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CounterKey {
    pub(crate) instance: u64,
    pub(crate) shape: Shape,
}

/// What kind of counter it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// Numbers are handed out.
    Outbound {
        space: SequenceSpace,
        /// The autonomy budget J, in packets.
        budget: u32,
    },
    /// Numbers are accepted.
    Inbound {
        space: SequenceSpace,
        size: WindowSize,
        policy: InboundPolicy,
        isolated: Isolated,
    },
}

const INBOUND: u8 = 1;
const ESN: u8 = 2;
const RESUME: u8 = 4;
const PEER_SYNC: u8 = 8;
const FREEZE: u8 = 16;

impl CounterKey {
    /// Tells uses of a slot apart, in receipts.
    pub(crate) fn tag(&self) -> u32 {
        let bytes = self.instance.to_le_bytes();
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// Eight bytes of instance, one of flags, and the budget or the window size as a varint.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.instance.to_be_bytes());
        let (flags, number) = match self.shape {
            Shape::Outbound { space, budget } => {
                (flag(space == SequenceSpace::Esn, ESN), u64::from(budget))
            }
            Shape::Inbound {
                space,
                size,
                policy,
                isolated,
            } => {
                let policy = match policy {
                    InboundPolicy::Strict => 0,
                    InboundPolicy::Resume => RESUME,
                    InboundPolicy::PeerSync => PEER_SYNC,
                };
                let freeze = flag(isolated == Isolated::Freeze, FREEZE);
                let esn = flag(space == SequenceSpace::Esn, ESN);
                (INBOUND | esn | policy | freeze, u64::from(size.packets()))
            }
        };
        out.push(flags);
        encode_varint(number, out);
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let wrong = |what: &str| DecodeError::Invalid(what.to_owned());
        let (instance, rest) = bytes
            .split_first_chunk()
            .ok_or_else(|| wrong("a key of less than 10 bytes"))?;
        let (flags, mut rest) = rest
            .split_first()
            .ok_or_else(|| wrong("a key without flags"))?;
        let number = decode_varint(&mut rest).map_err(|_| wrong("a key without a parameter"))?;
        let known = match flags & INBOUND {
            0 => ESN,
            _ => INBOUND | ESN | RESUME | PEER_SYNC | FREEZE,
        };
        if !rest.is_empty() || flags & !known != 0 {
            return Err(wrong("a key with more than is known of keys"));
        }
        let space = if flags & ESN == 0 {
            SequenceSpace::Bits32
        } else {
            SequenceSpace::Esn
        };
        let shape = if flags & INBOUND == 0 {
            Shape::outbound(space, number)?
        } else {
            Shape::inbound(space, *flags, number)?
        };
        Ok(Self {
            instance: u64::from_be_bytes(*instance),
            shape,
        })
    }
}

impl Shape {
    fn outbound(space: SequenceSpace, budget: u64) -> Result<Self, DecodeError> {
        let fits = (1..=crate::sequence::MAX_BUDGET).contains(&budget);
        match u32::try_from(budget) {
            Ok(budget) if fits => Ok(Self::Outbound { space, budget }),
            _ => {
                let text = format!("an autonomy budget of {budget} packets is out of range");
                Err(DecodeError::Invalid(text))
            }
        }
    }

    fn inbound(space: SequenceSpace, flags: u8, packets: u64) -> Result<Self, DecodeError> {
        let invalid = |error: &dyn core::fmt::Display| DecodeError::Invalid(error.to_string());
        let packets = u32::try_from(packets).map_err(|error| invalid(&error))?;
        let size = WindowSize::new(packets).map_err(|error| invalid(&error))?;
        let policy = match flags & (RESUME | PEER_SYNC) {
            0 => InboundPolicy::Strict,
            RESUME => InboundPolicy::Resume,
            PEER_SYNC => InboundPolicy::PeerSync,
            _ => return Err(invalid(&"two inbound policies at once")),
        };
        let isolated = if flags & FREEZE == 0 {
            Isolated::Continue
        } else {
            Isolated::Freeze
        };
        Ok(Self::Inbound {
            space,
            size,
            policy,
            isolated,
        })
    }
}

fn flag(on: bool, bit: u8) -> u8 {
    if on { bit } else { 0 }
}
