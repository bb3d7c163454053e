//! Who a peer is, and how it proved that.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;

/// An identification payload (RFC 7296 §3.5, RFC 2407 §4.6.2): the ID type at IANA and the data.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Identity {
    /// The ID type; 0 is no identity.
    pub kind: u8,
    /// The data, at most [`MAX_BYTES`](Self::MAX_BYTES).
    pub data: Bytes,
}

impl Identity {
    /// ID_IPV4_ADDR.
    pub const IPV4: u8 = 1;
    /// ID_FQDN.
    pub const FQDN: u8 = 2;
    /// ID_RFC822_ADDR (IKEv1: ID_USER_FQDN).
    pub const RFC822: u8 = 3;
    /// ID_IPV6_ADDR.
    pub const IPV6: u8 = 5;
    /// ID_DER_ASN1_DN.
    pub const DER_DN: u8 = 9;
    /// ID_DER_ASN1_GN.
    pub const DER_GN: u8 = 10;
    /// ID_KEY_ID.
    pub const KEY_ID: u8 = 11;
    /// ID_FC_NAME (RFC 4595).
    pub const FC_NAME: u8 = 12;
    /// ID_NULL (RFC 7619).
    pub const NULL: u8 = 13;

    /// The longest data, in bytes.
    pub const MAX_BYTES: usize = 2048;

    /// An identity of any type.
    pub fn new(kind: u8, data: impl Into<Bytes>) -> Self {
        Self {
            kind,
            data: data.into(),
        }
    }

    /// An address.
    pub fn address(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::new(Self::IPV4, address.octets().to_vec()),
            IpAddr::V6(address) => Self::new(Self::IPV6, address.octets().to_vec()),
        }
    }

    /// A fully qualified domain name.
    pub fn fqdn(name: &str) -> Self {
        Self::new(Self::FQDN, name.as_bytes().to_vec())
    }

    /// A mail address.
    pub fn rfc822(address: &str) -> Self {
        Self::new(Self::RFC822, address.as_bytes().to_vec())
    }

    /// Whether there is no identity.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The name of the ID type at IANA, if it is known here.
    pub const fn kind_name(&self) -> Option<&'static str> {
        match self.kind {
            Self::IPV4 => Some("ID_IPV4_ADDR"),
            Self::FQDN => Some("ID_FQDN"),
            Self::RFC822 => Some("ID_RFC822_ADDR"),
            Self::IPV6 => Some("ID_IPV6_ADDR"),
            Self::DER_DN => Some("ID_DER_ASN1_DN"),
            Self::DER_GN => Some("ID_DER_ASN1_GN"),
            Self::KEY_ID => Some("ID_KEY_ID"),
            Self::FC_NAME => Some("ID_FC_NAME"),
            Self::NULL => Some("ID_NULL"),
            _ => None,
        }
    }
}

/// An address or a name as it is; all else as hexadecimal digits, so that whatever a peer sent is
/// safe in a log.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Self::IPV4, Ok(octets)) = (self.kind, <[u8; 4]>::try_from(&*self.data)) {
            return write!(f, "{}", Ipv4Addr::from(octets));
        }
        if let (Self::IPV6, Ok(octets)) = (self.kind, <[u8; 16]>::try_from(&*self.data)) {
            return write!(f, "{}", Ipv6Addr::from(octets));
        }
        let printable = self.data.iter().all(|byte| (b' '..=b'~').contains(byte));
        let name = matches!(self.kind, Self::FQDN | Self::RFC822 | Self::KEY_ID);
        match core::str::from_utf8(&self.data) {
            _ if self.is_empty() => f.write_str("(none)"),
            Ok(text) if name && printable => f.write_str(text),
            _ => hexadecimal(f, &self.data),
        }
    }
}

fn hexadecimal(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str("0x")?;
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// How a side of an IKE SA proved who it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Authentication {
    /// Not known, or not yet.
    #[default]
    None,
    /// A pre-shared key (RFC 7296 §2.15, RFC 2409 §5.4).
    PreSharedKey,
    /// A signature with a certificate's key (RFC 7296 §3.8, RFC 7427, RFC 2409 §5.1).
    Certificate(Box<Certificate>),
    /// Public-key encryption (IKEv1, RFC 2409 §5.2).
    PublicKeyEncryption,
    /// EAP (RFC 7296 §2.16): the EAP type at IANA, 0 if it is not known.
    Eap(u32),
    /// XAUTH after phase 1 (Cisco), whatever phase 1 was authenticated by.
    Xauth,
    /// The NULL method (RFC 7619).
    Null,
    /// A method that only a newer release knows, kept as it came.
    Unknown(UnknownAuthentication),
}

impl fmt::Display for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::PreSharedKey => "PSK",
            Self::Certificate(certificate) => certificate.method_name(),
            Self::PublicKeyEncryption => "RSA-ENCR",
            Self::Eap(_) => "EAP",
            Self::Xauth => "XAUTH",
            Self::Null => "NULL",
            Self::Unknown(_) => "unknown",
        })
    }
}

/// The certificate of a peer: what is needed to check it against a revocation list that comes
/// later, and to show it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Certificate {
    /// The authentication method at IANA (IKEv2): 1 RSA, 3 DSS, 9..=11 ECDSA, 14 digital
    /// signature. IKEv1 SAs use the same.
    pub method: u8,
    /// The SHA-256 of the certificate, where the chain is not kept.
    pub sha256: Option<[u8; 32]>,
    /// The certificates as DER, the peer's own first; at most [`MAX_CHAIN`](Self::MAX_CHAIN) of at
    /// most [`MAX_DER_BYTES`](Self::MAX_DER_BYTES) each. May be empty.
    pub chain: Vec<Bytes>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.method_name();
        let (certificates, hashed) = (self.chain.len(), self.sha256.is_some());
        write!(
            f,
            "Certificate({method}, chain of {certificates}, hashed: {hashed})"
        )
    }
}

impl Certificate {
    /// How many certificates are kept.
    pub const MAX_CHAIN: usize = 8;
    /// The longest certificate, in bytes of DER.
    pub const MAX_DER_BYTES: usize = 16 * 1024;

    /// The name of the method.
    pub const fn method_name(&self) -> &'static str {
        match self.method {
            1 => "RSA",
            3 => "DSS",
            9..=11 => "ECDSA",
            _ => "signature",
        }
    }
}

/// A method of authentication that is unknown here; see [`Authentication::Unknown`].
#[derive(Clone, PartialEq, Eq)]
pub struct UnknownAuthentication(pub(super) Box<[u8]>);

impl UnknownAuthentication {
    /// The longest that is kept, in bytes.
    pub const MAX_BYTES: usize = 4096;
}

impl fmt::Debug for UnknownAuthentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnknownAuthentication({} bytes)", self.0.len())
    }
}

/// A configuration attribute (RFC 7296 §3.15.1) or a mode-config attribute (IKEv1): an address that
/// the peer was assigned, a name server, a banner.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ConfigAttribute {
    /// The attribute type at IANA; vendors' types are kept as they are.
    pub kind: u16,
    /// The value, at most [`MAX_BYTES`](Self::MAX_BYTES); may be empty.
    pub value: Bytes,
}

impl ConfigAttribute {
    /// INTERNAL_IP4_ADDRESS.
    pub const IP4_ADDRESS: u16 = 1;
    /// INTERNAL_IP4_NETMASK.
    pub const IP4_NETMASK: u16 = 2;
    /// INTERNAL_IP4_DNS.
    pub const IP4_DNS: u16 = 3;
    /// INTERNAL_IP4_NBNS.
    pub const IP4_NBNS: u16 = 4;
    /// APPLICATION_VERSION.
    pub const APPLICATION_VERSION: u16 = 7;
    /// INTERNAL_IP6_ADDRESS: address and prefix length.
    pub const IP6_ADDRESS: u16 = 8;
    /// INTERNAL_IP6_DNS.
    pub const IP6_DNS: u16 = 10;
    /// INTERNAL_IP4_SUBNET.
    pub const IP4_SUBNET: u16 = 13;
    /// INTERNAL_DNS_DOMAIN (RFC 8598).
    pub const DNS_DOMAIN: u16 = 25;

    /// The longest value, in bytes.
    pub const MAX_BYTES: usize = 1024;

    /// An attribute.
    pub fn new(kind: u16, value: impl Into<Bytes>) -> Self {
        Self {
            kind,
            value: value.into(),
        }
    }

    /// The address in the value, for an attribute that begins with one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self.kind {
            Self::IP4_ADDRESS | Self::IP4_NETMASK | Self::IP4_DNS | Self::IP4_NBNS => {
                let octets: [u8; 4] = self.value.get(..4)?.try_into().ok()?;
                Some(octets.into())
            }
            Self::IP6_ADDRESS | Self::IP6_DNS => {
                let octets: [u8; 16] = self.value.get(..16)?.try_into().ok()?;
                Some(octets.into())
            }
            _ => None,
        }
    }
}

/// The type with the address or the length: a value may be what a client answered to XAUTH.
impl fmt::Debug for ConfigAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip() {
            Some(ip) => write!(f, "ConfigAttribute({}, {ip})", self.kind),
            None => write!(
                f,
                "ConfigAttribute({}, {} bytes)",
                self.kind,
                self.value.len()
            ),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn identities_as_text() {
        for (identity, text) in [
            (Identity::address("10.0.0.1".parse().unwrap()), "10.0.0.1"),
            (
                Identity::address("2001:db8::1".parse().unwrap()),
                "2001:db8::1",
            ),
            (Identity::fqdn("gw.example.com"), "gw.example.com"),
            (Identity::rfc822("user@example.com"), "user@example.com"),
            (Identity::new(Identity::FQDN, vec![0x1b, b'[']), "0x1b5b"),
            (Identity::new(Identity::DER_DN, vec![0x30, 0]), "0x3000"),
            (Identity::new(Identity::IPV4, vec![1, 2]), "0x0102"),
            (Identity::new(200, b"x".to_vec()), "0x78"),
            (Identity::default(), "(none)"),
        ] {
            assert_eq!(identity.to_string(), text);
        }
        assert_eq!(Identity::fqdn("a").kind_name(), Some("ID_FQDN"));
        assert_eq!(Identity::new(200, Bytes::new()).kind_name(), None);
    }

    #[test]
    fn addresses_in_attributes() {
        let attribute = |kind, value: &[u8]| ConfigAttribute::new(kind, value.to_vec()).ip();
        let (v4, v6) = ([10, 0, 0, 9], [0xfe; 17]);
        assert_eq!(
            attribute(ConfigAttribute::IP4_ADDRESS, &v4),
            Some(v4.into())
        );
        assert_eq!(
            attribute(ConfigAttribute::IP6_ADDRESS, &v6),
            Some([0xfe; 16].into())
        );
        assert_eq!(attribute(ConfigAttribute::IP6_DNS, &v4), None);
        assert_eq!(attribute(ConfigAttribute::DNS_DOMAIN, &v4), None);
    }
}
