//! What is replicated: a key, a value, and how each becomes bytes.
//!
//! This file is all that a client costs its author: two types and their codec.

use core::fmt;
use core::str::FromStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ha_core::checkpoint::{BuildError, DecodeError, Record, StateTable};
use ha_core::id::ClientId;

/// Port mappings, replicated.
pub(crate) type Mappings = StateTable<PortKey, Mapping>;

/// Sets the table up. Both units use the same id, and versions that overlap.
pub(crate) fn mappings() -> Result<Mappings, BuildError> {
    Mappings::builder(ClientId::new(40), "port-mappings")
        .versions(1..=1)
        .max_entries(MAX_MAPPINGS)
        // Compared between the units before they replicate: a difference keeps the standby cold.
        .config("max mappings", MAX_MAPPINGS.to_string())
        .build()
}

/// Every port of both protocols.
const MAX_MAPPINGS: usize = 2 * 65536;

/// A transport protocol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

/// The key: an external port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct PortKey {
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
}

/// The value: where packets to the port go, for whom, and for how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mapping {
    pub(crate) internal: SocketAddr,
    pub(crate) owner: String,
    /// In seconds; 0 for ever.
    pub(crate) lifetime_s: u32,
}

impl Mapping {
    /// Longest owner, in bytes.
    pub(crate) const OWNER_LIMIT: usize = 64;
}

impl Record for PortKey {
    fn encode(&self, _version: u16, out: &mut Vec<u8>) {
        out.push(self.protocol.number());
        out.extend_from_slice(&self.port.to_be_bytes());
    }

    fn decode(_version: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
        let &[number, high, low] = bytes else {
            return Err(DecodeError::Length {
                expected: KEY_BYTES,
                got: bytes.len(),
            });
        };
        let protocol = Protocol::from_number(number)
            .ok_or_else(|| DecodeError::Invalid(format!("{number} is neither TCP nor UDP")))?;
        Ok(Self {
            protocol,
            port: u16::from_be_bytes([high, low]),
        })
    }

    fn encoded_len_bound(&self) -> Option<usize> {
        Some(KEY_BYTES)
    }
}

/// `lifetime (4) | port (2) | length of the address (1) | address (4 or 16) | owner (the rest)`
impl Record for Mapping {
    fn encode(&self, _version: u16, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.lifetime_s.to_be_bytes());
        out.extend_from_slice(&self.internal.port().to_be_bytes());
        match self.internal.ip() {
            IpAddr::V4(address) => {
                out.push(4);
                out.extend_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                out.push(16);
                out.extend_from_slice(&address.octets());
            }
        }
        out.extend_from_slice(self.owner.as_bytes());
    }

    fn decode(_version: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
        let (lifetime, rest) = take::<4>(bytes)?;
        let (port, rest) = take::<2>(rest)?;
        let (length, rest) = take::<1>(rest)?;
        let (ip, owner) = match length {
            [4] => take::<4>(rest).map(|(ip, rest)| (Ipv4Addr::from(ip).into(), rest))?,
            [16] => take::<16>(rest).map(|(ip, rest)| (Ipv6Addr::from(ip).into(), rest))?,
            [n] => return Err(DecodeError::Invalid(format!("an address of {n} bytes"))),
        };
        Ok(Self {
            internal: SocketAddr::new(ip, u16::from_be_bytes(port)),
            owner: core::str::from_utf8(owner)?.to_owned(),
            lifetime_s: u32::from_be_bytes(lifetime),
        })
    }

    fn encoded_len_bound(&self) -> Option<usize> {
        Some(4 + 2 + 1 + 16 + self.owner.len())
    }
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), DecodeError> {
    match bytes.split_first_chunk::<N>() {
        Some((head, rest)) => Ok((*head, rest)),
        None => Err(DecodeError::Length {
            expected: N,
            got: bytes.len(),
        }),
    }
}

const KEY_BYTES: usize = 3;

impl Protocol {
    /// As in the IP header.
    const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            _ => None,
        }
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            _ => Err(format!("`{text}` is no protocol: use tcp or udp")),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// As in the commands: `tcp 8080`.
impl fmt::Display for PortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, self.port)
    }
}

/// As in the commands: `10.0.0.5:80 owner 3600`.
impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.internal, self.owner, self.lifetime_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(internal: &str, owner: &str) -> Mapping {
        Mapping {
            internal: internal.parse().unwrap(),
            owner: owner.to_owned(),
            lifetime_s: 7200,
        }
    }

    #[test]
    fn records_come_back_as_they_were() {
        for value in [
            mapping("10.0.0.5:80", "alice"),
            mapping("[2001:db8::5]:443", ""),
        ] {
            let mut bytes = Vec::new();
            value.encode(1, &mut bytes);
            assert!(bytes.len() <= value.encoded_len_bound().unwrap());
            assert_eq!(Mapping::decode(1, &bytes), Ok(value));
        }
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let key = PortKey {
                protocol,
                port: 0x1234,
            };
            let mut bytes = Vec::new();
            key.encode(1, &mut bytes);
            assert_eq!(bytes, [protocol.number(), 0x12, 0x34]);
            assert_eq!(PortKey::decode(1, &bytes), Ok(key));
        }
    }

    #[test]
    fn bytes_that_are_no_record_are_refused() {
        let mut bytes = Vec::new();
        mapping("10.0.0.5:80", "").encode(1, &mut bytes);
        for len in 0..bytes.len() {
            assert!(matches!(
                Mapping::decode(1, &bytes[..len]),
                Err(DecodeError::Length { .. })
            ));
        }
        bytes[6] = 5;
        assert!(matches!(
            Mapping::decode(1, &bytes),
            Err(DecodeError::Invalid(_))
        ));
        bytes[6] = 4;
        bytes.push(0xff);
        assert!(matches!(
            Mapping::decode(1, &bytes),
            Err(DecodeError::Utf8(_))
        ));
        assert!(matches!(
            PortKey::decode(1, &[1, 0, 80]),
            Err(DecodeError::Invalid(_))
        ));
        assert!(matches!(
            PortKey::decode(1, &[6, 0]),
            Err(DecodeError::Length { .. })
        ));
    }
}
