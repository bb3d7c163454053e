//! Errors and acknowledgements of the kernel.

use super::attribute::{Tlvs, put_tlv};
use super::buffer::Buffer;
use super::error::{DecodeError, EncodeError, Part};
use super::header::{Header, flag};
use super::message::{decode_fixed, kind};
use super::wire::{Wire, align, pad, wire};
use crate::secret::Secret;

/// `nlmsgerr`: the answer to a request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NlError {
    /// 0, or a negative errno.
    pub code: i32,
    /// The header of the request.
    pub request: Header,
    /// The rest of the request, if the kernel repeats it (without NLM_F_CAPPED). It may hold keys.
    pub echo: Secret,
    /// What the kernel has to say.
    pub ack: ExtendedAck,
}

wire! {
    struct NlErrorHead[20] {
        code: i32,
        request: Header,
    }
}

impl NlError {
    /// Whether it is an acknowledgement.
    pub const fn is_ack(&self) -> bool {
        self.code == 0
    }

    pub(super) fn decode(flags: u16, payload: &[u8]) -> Result<Self, DecodeError> {
        let (head, rest): (NlErrorHead, _) = decode_fixed(kind::ERROR, payload)?;
        let echoed = match flags & flag::CAPPED {
            0 => (head.request.len as usize).saturating_sub(Header::BYTES),
            _ => 0,
        };
        let offset = Header::BYTES + NlErrorHead::BYTES;
        let echo = rest.get(..echoed).ok_or(DecodeError::TooShort {
            part: Part::Message(kind::ERROR),
            offset,
            length: rest.len(),
            expected: echoed,
        })?;
        let behind = align(echoed).min(rest.len());
        let tlvs = match flags & flag::ACK_TLVS {
            0 => &[],
            _ => rest.get(behind..).unwrap_or_default(),
        };
        Ok(Self {
            code: head.code,
            request: head.request,
            echo: Secret::new(echo),
            ack: ExtendedAck::decode(kind::ERROR, offset + behind, tlvs)?,
        })
    }

    pub(super) fn encode(&self, _flags: u16, out: &mut Buffer) -> Result<(), EncodeError> {
        let bytes = out.reserve(NlErrorHead::BYTES + align(self.echo.len()));
        let head = NlErrorHead {
            code: self.code,
            request: self.request,
        };
        head.write(bytes);
        let begin = bytes.len();
        bytes.extend_from_slice(self.echo.expose());
        if !self.ack.0.is_empty() {
            pad(bytes, begin);
        }
        self.ack.encode(kind::ERROR, out)
    }
}

/// What the kernel says beside an error or acknowledgement (NLMSGERR_ATTR_*).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExtendedAck(pub(super) Vec<(u16, Secret)>);

impl ExtendedAck {
    /// The kernel's text, if there is one (NLMSGERR_ATTR_MSG).
    pub fn text(&self) -> Option<String> {
        let bytes = self.value(MSG)?;
        let text = bytes.split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// Where in the request the fault is, in bytes (NLMSGERR_ATTR_OFFS).
    pub fn offset(&self) -> Option<u32> {
        u32::from_prefix(self.value(OFFS)?)
    }

    fn value(&self, kind: u16) -> Option<&[u8]> {
        let found = self.0.iter().find(|(found, _)| *found == kind);
        found.map(|(_, value)| value.expose())
    }

    pub(super) fn decode(message: u16, offset: usize, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut all = Vec::new();
        for tlv in Tlvs::new(message, offset, bytes).take(MAX_ACK_TLVS) {
            let tlv = tlv?;
            all.push((tlv.kind, Secret::new(tlv.value)));
        }
        Ok(Self(all))
    }

    pub(super) fn encode(&self, message: u16, out: &mut Buffer) -> Result<(), EncodeError> {
        for (kind, value) in &self.0 {
            let part = Part::Attribute {
                kind: *kind,
                message,
            };
            put_tlv(out, part, *kind, value.len(), |out| {
                out.extend_from_slice(value.expose());
            })?;
        }
        Ok(())
    }
}

const MSG: u16 = 1;
const OFFS: u16 = 2;
/// The kernel has six; later ones are dropped.
const MAX_ACK_TLVS: usize = 16;
