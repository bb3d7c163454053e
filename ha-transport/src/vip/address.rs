//! An address with its interface.

use std::fmt;
use std::net::IpAddr;

/// A virtual address and where it goes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct VirtualAddress {
    /// The interface's name.
    pub interface: String,
    /// The address.
    pub address: IpAddr,
    /// Bits of its prefix; all of them for an address whose network is reached by a route.
    pub prefix_bits: u8,
}

/// Why a text is no address with a prefix.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no address with a prefix length, such as 192.0.2.1/24 or 2001:db8::1/64")]
pub struct InvalidVirtualAddress(String);

impl VirtualAddress {
    /// From an interface's name and an address as `192.0.2.1/24`; without a prefix length all bits
    /// count.
    ///
    /// # Errors
    /// If the text is not that, or the address is one that no host can have.
    pub fn parse(
        interface: impl Into<String>,
        address: &str,
    ) -> Result<Self, InvalidVirtualAddress> {
        let invalid = || InvalidVirtualAddress(address.to_owned());
        let (host, bits) = match address.split_once('/') {
            Some((host, bits)) => (host, Some(bits)),
            None => (address, None),
        };
        let host: IpAddr = host.parse().map_err(|_| invalid())?;
        let width = if host.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match bits {
            Some(bits) => bits.parse().map_err(|_| invalid())?,
            None => width,
        };
        if prefix_bits == 0 || prefix_bits > width || host.is_unspecified() || host.is_multicast() {
            return Err(invalid());
        }
        Ok(Self {
            interface: interface.into(),
            address: host,
            prefix_bits,
        })
    }
}

impl fmt::Display for VirtualAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            interface,
            address,
            prefix_bits,
        } = self;
        write!(f, "{address}/{prefix_bits} on {interface}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_prefixes() {
        for (text, shown) in [
            ("192.0.2.1/24", "192.0.2.1/24 on eth0"),
            ("192.0.2.1", "192.0.2.1/32 on eth0"),
            ("2001:db8::1/64", "2001:db8::1/64 on eth0"),
            ("2001:db8::1", "2001:db8::1/128 on eth0"),
        ] {
            assert_eq!(
                VirtualAddress::parse("eth0", text).unwrap().to_string(),
                shown
            );
        }
    }

    #[test]
    fn what_is_none_is_said() {
        for text in [
            "",
            "eth0",
            "192.0.2.1/33",
            "192.0.2.1/0",
            "192.0.2.1/",
            "2001:db8::1/129",
            "0.0.0.0/8",
            "224.0.0.1/24",
            "192.0.2/24",
        ] {
            let error = VirtualAddress::parse("eth0", text).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
