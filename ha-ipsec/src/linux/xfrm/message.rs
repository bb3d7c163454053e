//! Messages (XFRM_MSG_*).

use super::attribute::{Attribute, Attributes, Tlvs, put_tlv};
use super::buffer::Buffer;
use super::error::{DecodeError, EncodeError, Part};
use super::header::{Header, flag};
use super::reply::{ExtendedAck, NlError};
use super::structs::{AsyncEventId, PolicyId, PolicyInfo, SaId, SaInfo, SadHashInfo};
use super::wire::{Wire, align, wire};
use crate::secret::Secret;

/// A message. What it means depends on who sent it: NEWSA is a request to add an SA, the answer to a
/// GETSA or ALLOCSPI, or the event that one was added.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Message {
    /// XFRM_MSG_NEWSA.
    NewSa(Sa),
    /// XFRM_MSG_UPDSA: replaces an SA, an ALLOCSPI's larval one included. The event of it too.
    UpdateSa(Sa),
    /// XFRM_MSG_DELSA; as an event with XFRMA_SA.
    DeleteSa(SaRef),
    /// XFRM_MSG_GETSA of one SA.
    GetSa(SaRef),
    /// XFRM_MSG_GETSA of all, or of those that XFRMA_PROTO and XFRMA_ADDRESS_FILTER let pass.
    DumpSa(Attributes),
    /// XFRM_MSG_FLUSHSA.
    FlushSa(Flush),
    /// XFRM_MSG_ALLOCSPI.
    AllocSpi(SpiRequest),
    /// XFRM_MSG_EXPIRE.
    Expire(SaExpire),
    /// XFRM_MSG_NEWPOLICY.
    NewPolicy(Policy),
    /// XFRM_MSG_UPDPOLICY.
    UpdatePolicy(Policy),
    /// XFRM_MSG_DELPOLICY; as an event with XFRMA_POLICY.
    DeletePolicy(PolicyRef),
    /// XFRM_MSG_GETPOLICY of one policy.
    GetPolicy(PolicyRef),
    /// XFRM_MSG_GETPOLICY of all.
    DumpPolicy(Attributes),
    /// XFRM_MSG_FLUSHPOLICY.
    FlushPolicy(Attributes),
    /// XFRM_MSG_POLEXPIRE.
    PolicyExpire(PolicyExpire),
    /// XFRM_MSG_NEWAE: an SA's numbers and usage, as an event, an answer, or to be set.
    NewAsyncEvent(AsyncEvent),
    /// XFRM_MSG_GETAE.
    GetAsyncEvent(AsyncEvent),
    /// XFRM_MSG_NEWSADINFO.
    NewSadInfo(SadInfo),
    /// XFRM_MSG_GETSADINFO.
    GetSadInfo(SadInfo),
    /// NLMSG_ERROR: an error, or with code 0 an acknowledgement.
    Error(NlError),
    /// NLMSG_DONE: the end of a dump, with 0 or a negative errno.
    Done(i32, ExtendedAck),
    /// A message that this release does not know, as it came.
    Other {
        /// nlmsg_type.
        kind: u16,
        /// What follows the header. It may hold keys.
        payload: Secret,
    },
}

/// A fixed part and attributes.
macro_rules! bodies {
    ($( $(#[$doc:meta])* $name:ident { $(#[$field_doc:meta])* $field:ident: $type:ty } )*) => { $(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug, Default)]
        pub struct $name {
            $(#[$field_doc])*
            pub $field: $type,
            /// The attributes.
            pub attributes: Attributes,
        }

        impl $name {
            /// Without attributes.
            pub const fn new($field: $type) -> Self {
                Self { $field, attributes: Attributes::new() }
            }

            fn decode(kind: u16, payload: &[u8]) -> Result<Self, DecodeError> {
                let ($field, attributes) = decode_body(kind, payload)?;
                Ok(Self { $field, attributes })
            }

            fn encode(&self, kind: u16, out: &mut Buffer) -> Result<(), EncodeError> {
                encode_body(&self.$field, &self.attributes, kind, out)
            }
        }
    )* };
}

bodies! {
    /// An SA.
    Sa {
        /// The fixed part.
        info: SaInfo
    }
    /// The name of an SA. With XFRMA_MARK and XFRMA_IF_ID if the SA has them; the kernel looks an SA
    /// up by its mark. The source (XFRMA_SRCADDR) is for SAs without SPI.
    SaRef {
        /// Destination, SPI and protocol.
        id: SaId
    }
    /// A policy.
    Policy {
        /// The fixed part.
        info: PolicyInfo
    }
    /// The name of a policy. With XFRMA_MARK, XFRMA_IF_ID and XFRMA_POLICY_TYPE if the policy has
    /// them.
    PolicyRef {
        /// Selector or number, and direction.
        id: PolicyId
    }
    /// A request for an SPI.
    SpiRequest {
        /// The SA that it is for, and the range.
        range: SpiRange
    }
    /// The news that an SA reached a limit.
    SaExpire {
        /// Which, and which limit.
        expire: ExpiredSa
    }
    /// The news that a policy reached a limit.
    PolicyExpire {
        /// Which, and which limit.
        expire: ExpiredPolicy
    }
    /// Numbers and usage of an SA.
    AsyncEvent {
        /// The SA, and what the message is about.
        id: AsyncEventId
    }
    /// Which SAs to delete, or were deleted.
    Flush {
        /// IPPROTO_ESP, AH, COMP, or IPSEC_PROTO_ANY 255.
        proto: u8
    }
}

wire! {
    /// `xfrm_userspi_info`: a range of SPIs.
    pub struct SpiRange[232] {
        /// The SA.
        info: SaInfo,
        /// The lowest SPI.
        min: u32,
        /// The highest SPI.
        max: u32,
    }

    /// `xfrm_user_expire`: an SA that reached a limit.
    pub struct ExpiredSa[232] {
        /// The SA.
        state: SaInfo,
        /// Whether it is gone (1), or should be rekeyed (0).
        hard: u8; 7,
    }

    /// `xfrm_user_polexpire`: a policy that reached a limit.
    pub struct ExpiredPolicy[176] {
        /// The policy.
        pol: PolicyInfo,
        /// Whether it is gone (1).
        hard: u8; 7,
    }
}

/// Figures of the SA database.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SadInfo {
    /// Not used by the kernel.
    pub flags: u32,
    /// The figures; none in a request.
    pub figures: Vec<SadFigure>,
}

/// A figure of the SA database (XFRMA_SAD_*).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SadFigure {
    /// How many SAs there are (XFRMA_SAD_CNT).
    Count(u32),
    /// Buckets of its hash tables (XFRMA_SAD_HINFO).
    Hash(SadHashInfo),
    /// A figure that this release does not know.
    Other(u16, Vec<u8>),
}

impl SadInfo {
    /// How many SAs there are.
    pub fn count(&self) -> Option<u32> {
        self.figures.iter().find_map(|figure| match figure {
            SadFigure::Count(count) => Some(*count),
            _ => None,
        })
    }

    fn decode(kind: u16, payload: &[u8]) -> Result<Self, DecodeError> {
        let (flags, rest) = decode_fixed(kind, payload)?;
        let mut figures = Vec::new();
        for tlv in Tlvs::new(kind, Header::BYTES + 4, rest) {
            let tlv = tlv?;
            if figures.len() == super::MAX_ATTRIBUTES {
                return Err(DecodeError::Limit {
                    part: Part::Message(kind),
                    offset: tlv.offset,
                    what: "attributes or more",
                    got: super::MAX_ATTRIBUTES + 1,
                    allowed: super::MAX_ATTRIBUTES,
                });
            }
            figures.push(SadFigure::decode(tlv.kind, tlv.value));
        }
        Ok(Self { flags, figures })
    }

    fn encode(&self, message: u16, out: &mut Buffer) -> Result<(), EncodeError> {
        self.flags.write(out.reserve(4));
        for figure in &self.figures {
            let (kind, value) = figure.encode();
            let part = Part::Attribute { kind, message };
            put_tlv(out, part, kind, value.len(), |out| {
                out.extend_from_slice(&value);
            })?;
        }
        Ok(())
    }
}

impl SadFigure {
    fn decode(kind: u16, value: &[u8]) -> Self {
        let known = match (kind, value.len()) {
            (1, 4) => u32::from_prefix(value).map(Self::Count),
            (2, 8) => SadHashInfo::from_prefix(value).map(Self::Hash),
            _ => None,
        };
        known.unwrap_or_else(|| Self::Other(kind, value.to_vec()))
    }

    fn encode(&self) -> (u16, Vec<u8>) {
        let mut value = Vec::new();
        let kind = match self {
            Self::Count(count) => {
                count.write(&mut value);
                1
            }
            Self::Hash(hash) => {
                hash.write(&mut value);
                2
            }
            Self::Other(kind, bytes) => {
                value.extend_from_slice(bytes);
                *kind
            }
        };
        (kind, value)
    }
}

impl Message {
    /// A dump of the SAs of ESP, AH and IPComp; without the filter the kernel shows its own IP-in-IP
    /// tunnels below IPComp too.
    pub fn dump_ipsec() -> Self {
        Self::DumpSa(Attributes::from_iter([Attribute::Proto(IPSEC_PROTO_ANY)]))
    }
}

/// Number, name and variant of each message whose meaning does not depend on its flags.
macro_rules! messages {
    ($( $number:literal $name:ident $variant:ident($body:ident); )*) => {
        /// The numbers of messages (XFRM_MSG_*, NLMSG_*).
        pub mod kind {
            $(
                #[doc = concat!("XFRM_MSG_", stringify!($name), ".")]
                pub const $name: u16 = $number;
            )*
            /// XFRM_MSG_GETSA.
            pub const GETSA: u16 = 0x12;
            /// XFRM_MSG_GETPOLICY.
            pub const GETPOLICY: u16 = 0x15;
            /// XFRM_MSG_FLUSHPOLICY.
            pub const FLUSHPOLICY: u16 = 0x1d;
            /// NLMSG_ERROR.
            pub const ERROR: u16 = 2;
            /// NLMSG_DONE.
            pub const DONE: u16 = 3;

            /// The kernel's name of a message, if this release knows it.
            pub const fn name(kind: u16) -> Option<&'static str> {
                match kind {
                    $( $number => Some(concat!("XFRM_MSG_", stringify!($name))), )*
                    GETSA => Some("XFRM_MSG_GETSA"),
                    GETPOLICY => Some("XFRM_MSG_GETPOLICY"),
                    FLUSHPOLICY => Some("XFRM_MSG_FLUSHPOLICY"),
                    ERROR => Some("NLMSG_ERROR"),
                    DONE => Some("NLMSG_DONE"),
                    _ => None,
                }
            }
        }

        impl Message {
            /// The message's number (nlmsg_type).
            pub const fn kind(&self) -> u16 {
                match self {
                    $( Self::$variant(_) => $number, )*
                    Self::GetSa(_) | Self::DumpSa(_) => kind::GETSA,
                    Self::GetPolicy(_) | Self::DumpPolicy(_) => kind::GETPOLICY,
                    Self::FlushPolicy(_) => kind::FLUSHPOLICY,
                    Self::Error(_) => kind::ERROR,
                    Self::Done(..) => kind::DONE,
                    Self::Other { kind, .. } => *kind,
                }
            }

            /// The message with these nlmsg_type, nlmsg_flags and bytes behind the header.
            ///
            /// # Errors
            /// What is too short, too long or too much, and where.
            pub fn decode(kind: u16, flags: u16, payload: &[u8]) -> Result<Self, DecodeError> {
                let dump = flags & flag::DUMP != 0;
                match kind {
                    $( $number => $body::decode(kind, payload).map(Self::$variant), )*
                    kind::GETSA if dump => bare(kind, payload).map(Self::DumpSa),
                    kind::GETSA => SaRef::decode(kind, payload).map(Self::GetSa),
                    kind::GETPOLICY if dump => bare(kind, payload).map(Self::DumpPolicy),
                    kind::GETPOLICY => PolicyRef::decode(kind, payload).map(Self::GetPolicy),
                    kind::FLUSHPOLICY => bare(kind, payload).map(Self::FlushPolicy),
                    kind::ERROR => NlError::decode(flags, payload).map(Self::Error),
                    kind::DONE => {
                        let (code, rest) = decode_fixed(kind, payload)?;
                        let ack = ExtendedAck::decode(kind, Header::BYTES + 4, rest)?;
                        Ok(Self::Done(code, ack))
                    }
                    _ => Ok(Self::Other { kind, payload: Secret::new(payload) }),
                }
            }

            /// Appends what follows the header, in a message with these nlmsg_flags.
            pub(super) fn encode(&self, flags: u16, out: &mut Buffer) -> Result<(), EncodeError> {
                let kind = self.kind();
                match self {
                    $( Self::$variant(body) => body.encode(kind, out), )*
                    Self::GetSa(body) => body.encode(kind, out),
                    Self::GetPolicy(body) => body.encode(kind, out),
                    Self::DumpSa(list) | Self::DumpPolicy(list) | Self::FlushPolicy(list) => {
                        list.encode(kind, out)
                    }
                    Self::Error(error) => error.encode(flags, out),
                    Self::Done(code, ack) => {
                        code.write(out.reserve(4));
                        ack.encode(kind, out)
                    }
                    Self::Other { payload, .. } => {
                        out.reserve(payload.len()).extend_from_slice(payload.expose());
                        Ok(())
                    }
                }
            }
        }
    };
}

messages! {
    0x10 NEWSA NewSa(Sa);
    0x11 DELSA DeleteSa(SaRef);
    0x13 NEWPOLICY NewPolicy(Policy);
    0x14 DELPOLICY DeletePolicy(PolicyRef);
    0x16 ALLOCSPI AllocSpi(SpiRequest);
    0x18 EXPIRE Expire(SaExpire);
    0x19 UPDPOLICY UpdatePolicy(Policy);
    0x1a UPDSA UpdateSa(Sa);
    0x1b POLEXPIRE PolicyExpire(PolicyExpire);
    0x1c FLUSHSA FlushSa(Flush);
    0x1e NEWAE NewAsyncEvent(AsyncEvent);
    0x1f GETAE GetAsyncEvent(AsyncEvent);
    0x22 NEWSADINFO NewSadInfo(SadInfo);
    0x23 GETSADINFO GetSadInfo(SadInfo);
}

/// A message without a fixed part.
fn bare(kind: u16, payload: &[u8]) -> Result<Attributes, DecodeError> {
    Attributes::decode(kind, Header::BYTES, payload)
}

fn decode_body<T: Wire>(kind: u16, payload: &[u8]) -> Result<(T, Attributes), DecodeError> {
    let (fixed, rest) = decode_fixed(kind, payload)?;
    let offset = Header::BYTES + align(T::BYTES);
    Ok((fixed, Attributes::decode(kind, offset, rest)?))
}

/// The fixed part, and what follows it and its padding.
pub(super) fn decode_fixed<T: Wire>(kind: u16, payload: &[u8]) -> Result<(T, &[u8]), DecodeError> {
    let fixed = T::from_prefix(payload).ok_or(DecodeError::TooShort {
        part: Part::Message(kind),
        offset: Header::BYTES,
        length: payload.len(),
        expected: T::BYTES,
    })?;
    Ok((fixed, payload.get(align(T::BYTES)..).unwrap_or_default()))
}

fn encode_body<T: Wire>(
    fixed: &T,
    attributes: &Attributes,
    kind: u16,
    out: &mut Buffer,
) -> Result<(), EncodeError> {
    let bytes = out.reserve(align(T::BYTES));
    let begin = bytes.len();
    fixed.write(bytes);
    super::wire::pad(bytes, begin);
    attributes.encode(kind, out)
}

/// ESP, AH and IPComp.
const IPSEC_PROTO_ANY: u8 = 255;
