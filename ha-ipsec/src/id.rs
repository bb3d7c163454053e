//! What names an SA.

use core::fmt;
use core::net::IpAddr;

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
