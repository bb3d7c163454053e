//! Attributes (XFRMA_*).

use super::algorithm::{AeadAlgorithm, Algorithm, AuthAlgorithm};
use super::buffer::Buffer;
use super::error::{DecodeError, EncodeError, Part};
use super::payload::{Fault, Payload};
use super::structs::{
    Address, AddressFilter, Encap, LifetimeCurrent, Mark, Offload, PolicyInfo, PolicyType,
    ReplayEsn, ReplayLegacy, SaInfo, SecurityContext, Template,
};
use super::wire::{align, pad};
use crate::secret::Secret;

/// Number and name of an attribute, its variant and value, and the method of [`Attributes`] that finds
/// it.
macro_rules! attributes {
    ($( $(#[$doc:meta])* $number:literal $name:ident $variant:ident($type:ty) $find:ident; )*) => {
        /// An attribute of a message.
        #[derive(Clone, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        pub enum Attribute {
            $( $(#[$doc])* $variant($type), )*
            /// One that this release does not know, or that has more bytes than it knows; kept as it
            /// came.
            Other {
                /// nla_type, with its flags.
                kind: u16,
                /// The value. It may be a key.
                value: Secret,
            },
        }

        /// The numbers of attributes (XFRMA_*).
        pub mod attr {
            $( $(#[$doc])* pub const $name: u16 = $number; )*

            /// The kernel's name of an attribute, if this release knows it.
            pub const fn name(kind: u16) -> Option<&'static str> {
                match kind {
                    $( $number => Some(concat!("XFRMA_", stringify!($name))), )*
                    _ => None,
                }
            }
        }

        impl Attribute {
            /// The attribute's number (nla_type).
            pub const fn kind(&self) -> u16 {
                match self {
                    $( Self::$variant(_) => $number, )*
                    Self::Other { kind, .. } => *kind,
                }
            }

            fn decode_known(kind: u16, value: &[u8]) -> Result<Option<Self>, Fault> {
                match kind {
                    $( $number => Ok(<$type as Payload>::decode(value)?.map(Self::$variant)), )*
                    _ => Ok(None),
                }
            }

            fn encode_value(&self, out: &mut Vec<u8>) {
                match self {
                    $( Self::$variant(value) => value.encode(out), )*
                    Self::Other { value, .. } => out.extend_from_slice(value.expose()),
                }
            }

            fn value_len(&self) -> usize {
                match self {
                    $( Self::$variant(value) => value.encoded_len(), )*
                    Self::Other { value, .. } => value.len(),
                }
            }
        }

        /// Finding an attribute. Where there are several the last one counts, as in the kernel.
        impl Attributes {
            $(
                $(#[$doc])*
                pub fn $find(&self) -> Option<&$type> {
                    self.0.iter().rev().find_map(|attribute| match attribute {
                        Attribute::$variant(value) => Some(value),
                        _ => None,
                    })
                }
            )*
        }
    };
}

attributes! {
    /// Integrity, with the kernel's own truncation (XFRMA_ALG_AUTH).
    1 ALG_AUTH AlgAuth(Algorithm) alg_auth;
    /// Encryption (XFRMA_ALG_CRYPT).
    2 ALG_CRYPT AlgCrypt(Algorithm) alg_crypt;
    /// Compression (XFRMA_ALG_COMP).
    3 ALG_COMP AlgComp(Algorithm) alg_comp;
    /// UDP encapsulation (XFRMA_ENCAP).
    4 ENCAP Encap(Encap) encap;
    /// The SAs that a policy asks for, outermost last (XFRMA_TMPL).
    5 TMPL Templates(Vec<Template>) templates;
    /// The SA that was deleted (XFRMA_SA).
    6 SA Sa(Box<SaInfo>) sa;
    /// The policy that was deleted (XFRMA_POLICY).
    7 POLICY Policy(Box<PolicyInfo>) policy;
    /// A security label (XFRMA_SEC_CTX).
    8 SEC_CTX SecurityContext(SecurityContext) security_context;
    /// What was used of a lifetime (XFRMA_LTIME_VAL).
    9 LTIME_VAL LifetimeCurrent(LifetimeCurrent) lifetime_current;
    /// Numbers and a window of at most 32 (XFRMA_REPLAY_VAL).
    10 REPLAY_VAL Replay(ReplayLegacy) replay;
    /// Async events after so many packets (XFRMA_REPLAY_THRESH).
    11 REPLAY_THRESH ReplayThreshold(u32) replay_threshold;
    /// Async events after so long: reported in 100 ms, but stored as it was given, in jiffies
    /// (XFRMA_ETIMER_THRESH). Prefer net.core.xfrm_aevent_etime.
    12 ETIMER_THRESH TimerThreshold(u32) timer_threshold;
    /// The source of an SA that is named (XFRMA_SRCADDR).
    13 SRCADDR Source(Address) source;
    /// The care-of address (XFRMA_COADDR).
    14 COADDR CareOf(Address) care_of;
    /// When the SA was used last, in seconds since 1970 (XFRMA_LASTUSED).
    15 LASTUSED LastUsed(u64) last_used;
    /// Main or sub policy (XFRMA_POLICY_TYPE).
    16 POLICY_TYPE PolicyType(PolicyType) policy_type;
    /// A combined mode (XFRMA_ALG_AEAD).
    18 ALG_AEAD Aead(AeadAlgorithm) aead;
    /// Integrity (XFRMA_ALG_AUTH_TRUNC).
    20 ALG_AUTH_TRUNC AuthTrunc(AuthAlgorithm) auth_trunc;
    /// The packet mark that the SA or policy matches (XFRMA_MARK).
    21 MARK Mark(Mark) mark;
    /// Traffic flow confidentiality padding, in bytes (XFRMA_TFCPAD).
    22 TFCPAD TfcPad(u32) tfc_pad;
    /// Numbers of 64 bits, or a window of more than 32 (XFRMA_REPLAY_ESN_VAL).
    23 REPLAY_ESN_VAL ReplayEsn(ReplayEsn) replay_esn;
    /// XFRM_SA_XFLAG_DONT_ENCAP_DSCP 1, OSEQ_MAY_WRAP 2 (XFRMA_SA_EXTRA_FLAGS).
    24 SA_EXTRA_FLAGS ExtraFlags(u32) extra_flags;
    /// Which SAs a dump shows, by protocol (XFRMA_PROTO).
    25 PROTO Proto(u8) proto;
    /// Which SAs a dump shows, by addresses (XFRMA_ADDRESS_FILTER).
    26 ADDRESS_FILTER AddressFilter(AddressFilter) address_filter;
    /// Hardware that handles the SA (XFRMA_OFFLOAD_DEV).
    28 OFFLOAD_DEV Offload(Offload) offload;
    /// The mark that packets get (XFRMA_SET_MARK, XFRMA_OUTPUT_MARK).
    29 SET_MARK SetMark(u32) set_mark;
    /// Which bits of it are set (XFRMA_SET_MARK_MASK).
    30 SET_MARK_MASK SetMarkMask(u32) set_mark_mask;
    /// The interface of a route-based SA or policy (XFRMA_IF_ID).
    31 IF_ID IfId(u32) if_id;
    /// After how many seconds a changed NAT mapping is told again (XFRMA_MTIMER_THRESH).
    32 MTIMER_THRESH MappingThreshold(u32) mapping_threshold;
    /// The direction of an SA: 1 is in, 2 out (XFRMA_SA_DIR, since Linux 6.10).
    33 SA_DIR Direction(u8) direction;
    /// NAT keepalives, in seconds (XFRMA_NAT_KEEPALIVE_INTERVAL, since Linux 6.11).
    34 NAT_KEEPALIVE_INTERVAL NatKeepalive(u32) nat_keepalive;
    /// The CPU that an SA is for (XFRMA_SA_PCPU, since Linux 6.13).
    35 SA_PCPU Cpu(u32) cpu;
}

/// The attributes of a message, in their order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attributes(Vec<Attribute>);

/// The most attributes of one message; the kernel has 46.
pub const MAX_ATTRIBUTES: usize = 256;

impl Attributes {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// All of them, in their order.
    pub fn iter(&self) -> core::slice::Iter<'_, Attribute> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends one.
    pub fn push(&mut self, attribute: Attribute) {
        self.0.push(attribute);
    }

    /// Puts it in the place of the first of its kind, and removes the others; appends it if there was
    /// none.
    pub fn set(&mut self, attribute: Attribute) {
        let kind = attribute.kind();
        let Some(place) = self.0.iter().position(|it| it.kind() == kind) else {
            return self.push(attribute);
        };
        self.remove(kind);
        self.0.insert(place.min(self.0.len()), attribute);
    }

    /// Removes all of a kind.
    pub fn remove(&mut self, kind: u16) {
        self.0.retain(|it| it.kind() != kind);
    }

    /// `bytes` are the rest of a message of type `message` behind its first `offset` bytes.
    pub(super) fn decode(message: u16, offset: usize, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut all = Vec::new();
        for tlv in Tlvs::new(message, offset, bytes) {
            let Tlv {
                kind,
                offset,
                value,
            } = tlv?;
            let part = Part::Attribute { kind, message };
            if all.len() == MAX_ATTRIBUTES {
                return Err(DecodeError::Limit {
                    part: Part::Message(message),
                    offset,
                    what: "attributes or more",
                    got: MAX_ATTRIBUTES + 1,
                    allowed: MAX_ATTRIBUTES,
                });
            }
            all.push(
                Attribute::decode(kind, value).map_err(|fault| fault.at(part, offset, value))?,
            );
        }
        Ok(Self(all))
    }

    pub(super) fn encode(&self, message: u16, out: &mut Buffer) -> Result<(), EncodeError> {
        if self.0.len() > MAX_ATTRIBUTES {
            return Err(EncodeError::Attributes { got: self.0.len() });
        }
        for attribute in &self.0 {
            let kind = attribute.kind();
            let part = Part::Attribute { kind, message };
            put_tlv(out, part, kind, attribute.value_len(), |out| {
                attribute.encode_value(out);
            })?;
        }
        Ok(())
    }
}

impl FromIterator<Attribute> for Attributes {
    fn from_iter<I: IntoIterator<Item = Attribute>>(attributes: I) -> Self {
        Self(attributes.into_iter().collect())
    }
}

impl Extend<Attribute> for Attributes {
    fn extend<I: IntoIterator<Item = Attribute>>(&mut self, attributes: I) {
        self.0.extend(attributes);
    }
}

impl<'a> IntoIterator for &'a Attributes {
    type Item = &'a Attribute;
    type IntoIter = core::slice::Iter<'a, Attribute>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Attribute {
    fn decode(kind: u16, value: &[u8]) -> Result<Self, Fault> {
        let known = Self::decode_known(kind, value)?;
        Ok(known.unwrap_or_else(|| {
            let value = Secret::new(value);
            Self::Other { kind, value }
        }))
    }
}

impl Fault {
    fn at(self, part: Part, offset: usize, value: &[u8]) -> DecodeError {
        match self {
            Self::Short { expected } => DecodeError::TooShort {
                part,
                offset,
                length: value.len(),
                expected,
            },
            Self::Limit { what, got, allowed } => DecodeError::Limit {
                part,
                offset,
                what,
                got,
                allowed,
            },
        }
    }
}

/// An attribute as bytes.
pub(super) struct Tlv<'a> {
    pub(super) kind: u16,
    /// Of its header in the message.
    pub(super) offset: usize,
    pub(super) value: &'a [u8],
}

/// The attributes in the rest of a message.
pub(super) struct Tlvs<'a> {
    message: u16,
    offset: usize,
    rest: &'a [u8],
}

impl<'a> Tlvs<'a> {
    pub(super) fn new(message: u16, offset: usize, rest: &'a [u8]) -> Self {
        Self {
            message,
            offset,
            rest,
        }
    }

    fn next_tlv(&mut self) -> Result<Tlv<'a>, DecodeError> {
        let (offset, available) = (self.offset, self.rest.len());
        let fault = |kind, claimed| DecodeError::AttributeLength {
            part: Part::Attribute {
                kind,
                message: self.message,
            },
            offset,
            claimed,
            available,
        };
        let [a, b, c, d, ..] = *self.rest else {
            return Err(fault(0, TLV_HEAD));
        };
        let claimed = usize::from(u16::from_ne_bytes([a, b]));
        let kind = u16::from_ne_bytes([c, d]);
        let value = self
            .rest
            .get(TLV_HEAD..claimed)
            .ok_or(fault(kind, claimed))?;
        let step = align(claimed).min(available);
        self.rest = self.rest.get(step..).unwrap_or_default();
        self.offset += step;
        Ok(Tlv {
            kind,
            offset,
            value,
        })
    }
}

/// Ends after the first error.
impl<'a> Iterator for Tlvs<'a> {
    type Item = Result<Tlv<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let tlv = self.next_tlv();
        if tlv.is_err() {
            self.rest = &[];
        }
        Some(tlv)
    }
}

/// Appends an attribute whose value has `len` bytes.
pub(super) fn put_tlv(
    out: &mut Buffer,
    part: Part,
    kind: u16,
    len: usize,
    value: impl FnOnce(&mut Vec<u8>),
) -> Result<(), EncodeError> {
    let length = TLV_HEAD + len;
    let Ok(nla_len) = u16::try_from(length) else {
        return Err(EncodeError::TooLong { part, length });
    };
    let out = out.reserve(align(length));
    let begin = out.len();
    out.extend_from_slice(&nla_len.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    value(out);
    pad(out, begin);
    Ok(())
}

/// nla_len and nla_type.
const TLV_HEAD: usize = 4;
