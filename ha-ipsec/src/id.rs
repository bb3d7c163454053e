//! What names an SA.

use core::fmt;
use core::net::IpAddr;

use ha_core::checkpoint::{DecodeError, Record};

/// The IP protocol of an SA, with its number at IANA.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Protocol {
    /// Encapsulating Security Payload (RFC 4303).
    Esp = 50,
    /// Authentication Header (RFC 4302).
    Ah = 51,
    /// IP Payload Compression (RFC 3173); its "SPI" is the CPI.
    IpComp = 108,
}

impl Protocol {
    /// The protocol's number at IANA.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The protocol of a number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            50 => Some(Self::Esp),
            51 => Some(Self::Ah),
            108 => Some(Self::IpComp),
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Esp => "ESP",
            Self::Ah => "AH",
            Self::IpComp => "IPComp",
        })
    }
}

/// Names an IPsec SA: the triple of RFC 4301 §4.1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SaId {
    /// Security Parameters Index (the CPI for IPComp).
    pub spi: u32,
    /// Where packets of the SA go: this gateway's virtual address for an inbound one.
    pub destination: IpAddr,
    /// The protocol.
    pub protocol: Protocol,
}

impl fmt::Display for SaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            spi,
            destination,
            protocol,
        } = self;
        write!(f, "{protocol} {spi:#010x} to {destination}")
    }
}

/// Names an IKE SA: its two SPIs (IKEv2, RFC 7296 §2.6) or cookies (IKEv1, RFC 2408 §2.5.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct IkeId {
    /// The initiator's SPI or cookie.
    pub initiator: u64,
    /// The responder's SPI or cookie; 0 until it is known.
    pub responder: u64,
}

impl fmt::Display for IkeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IKE {:016x}_i {:016x}_r", self.initiator, self.responder)
    }
}

/// SPI, protocol, and 4 or 16 bytes of address.
impl Record for SaId {
    fn encode(&self, _version: u16, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.spi.to_be_bytes());
        out.push(self.protocol.number());
        match self.destination {
            IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
        }
    }

    fn decode(_version: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
        let length =
            || DecodeError::Invalid(format!("{} bytes where 9 or 21 are due", bytes.len()));
        let (spi, rest) = bytes.split_first_chunk().ok_or_else(length)?;
        let (number, address) = rest.split_first().ok_or_else(length)?;
        let protocol = Protocol::from_number(*number)
            .ok_or_else(|| DecodeError::Invalid(format!("{number} is not an IPsec protocol")))?;
        let destination = match address.len() {
            4 => <[u8; 4]>::try_from(address).map(IpAddr::from),
            _ => <[u8; 16]>::try_from(address).map(IpAddr::from),
        };
        Ok(Self {
            spi: u32::from_be_bytes(*spi),
            destination: destination.map_err(|_| length())?,
            protocol,
        })
    }

    fn encoded_len_bound(&self) -> Option<usize> {
        Some(21)
    }
}

/// Both SPIs, the initiator's first.
impl Record for IkeId {
    fn encode(&self, _version: u16, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.initiator.to_be_bytes());
        out.extend_from_slice(&self.responder.to_be_bytes());
    }

    fn decode(_version: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
        let halves = bytes.split_first_chunk().zip(bytes.last_chunk());
        match halves {
            Some(((initiator, rest), responder)) if rest.len() == 8 => Ok(Self {
                initiator: u64::from_be_bytes(*initiator),
                responder: u64::from_be_bytes(*responder),
            }),
            _ => Err(DecodeError::Length {
                expected: 16,
                got: bytes.len(),
            }),
        }
    }

    fn encoded_len_bound(&self) -> Option<usize> {
        Some(16)
    }
}
