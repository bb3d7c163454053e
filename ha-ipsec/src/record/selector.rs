//! Which packets an SA is for.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::RangeInclusive;

/// A traffic selector (RFC 7296 §3.13.1): a protocol, ports and addresses.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Selector {
    /// The IP protocol; 0 is any.
    pub protocol: u8,
    /// The ports. All of them is any; exactly `65535..=0` is OPAQUE, which matches packets whose
    /// ports cannot be seen (RFC 4301 §4.4.1.1). For ICMP and ICMPv6 a port is the type (high 8
    /// bits) and the code (low 8 bits).
    pub ports: RangeInclusive<u16>,
    /// The addresses, of one family.
    pub addresses: RangeInclusive<IpAddr>,
}

impl Selector {
    /// All ports.
    pub const ANY_PORT: RangeInclusive<u16> = 0..=u16::MAX;
    /// OPAQUE: ports that cannot be seen.
    pub const OPAQUE_PORT: RangeInclusive<u16> = RangeInclusive::new(u16::MAX, 0);

    /// All packets of these addresses.
    pub const fn addresses(addresses: RangeInclusive<IpAddr>) -> Self {
        Self {
            protocol: 0,
            ports: Self::ANY_PORT,
            addresses,
        }
    }

    /// All packets of one host.
    pub const fn host(address: IpAddr) -> Self {
        Self::addresses(RangeInclusive::new(address, address))
    }

    /// All packets of a subnet: the addresses that share the first `prefix_bits` bits with
    /// `address`. More bits than the address has are taken as all.
    pub fn subnet(address: IpAddr, prefix_bits: u8) -> Self {
        Self::addresses(match address {
            IpAddr::V4(address) => {
                let host = low_bits(32 - prefix_bits.min(32)) as u32;
                let base = address.to_bits() & !host;
                v4(base)..=v4(base | host)
            }
            IpAddr::V6(address) => {
                let host = low_bits(128 - prefix_bits.min(128));
                let base = address.to_bits() & !host;
                v6(base)..=v6(base | host)
            }
        })
    }

    /// The length of the prefix, if the addresses are exactly one subnet.
    pub fn prefix_bits(&self) -> Option<u8> {
        let (width, first, last) = match (*self.addresses.start(), *self.addresses.end()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                (32, first.to_bits().into(), last.to_bits().into())
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => (128, first.to_bits(), last.to_bits()),
            _ => return None,
        };
        let host: u128 = first ^ last;
        let bits = (128 - host.leading_zeros()) as u8;
        (host == low_bits(bits) && first & host == 0).then_some(width - bits)
    }

    /// Whether the selector is for packets whose ports cannot be seen.
    pub fn is_opaque(&self) -> bool {
        self.ports == Self::OPAQUE_PORT
    }

    /// Whether the addresses are IPv4, or else IPv6.
    pub fn is_ipv4(&self) -> bool {
        self.addresses.start().is_ipv4()
    }
}

const fn low_bits(count: u8) -> u128 {
    match count {
        128.. => u128::MAX,
        _ => (1 << count) - 1,
    }
}

const fn v4(bits: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(bits))
}

const fn v6(bits: u128) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits(bits))
}

/// "10.0.0.0/24", "10.0.0.1-10.0.0.9 proto 17 port 53".
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.addresses.start(), self.addresses.end());
        match self.prefix_bits() {
            Some(bits) => write!(f, "{first}/{bits}")?,
            None => write!(f, "{first}-{last}")?,
        }
        if self.protocol != 0 {
            write!(f, " proto {}", self.protocol)?;
        }
        match (*self.ports.start(), *self.ports.end()) {
            (0, u16::MAX) => Ok(()),
            (u16::MAX, 0) => f.write_str(" port opaque"),
            (first, last) if first == last => write!(f, " port {first}"),
            (first, last) => write!(f, " port {first}-{last}"),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn subnet(address: &str, bits: u8) -> Selector {
        Selector::subnet(address.parse().unwrap(), bits)
    }

    #[test]
    fn subnets_and_their_prefixes() {
        for (address, bits, text) in [
            ("10.1.2.3", 24, "10.1.2.0/24"),
            ("10.1.2.3", 32, "10.1.2.3/32"),
            ("10.1.2.3", 0, "0.0.0.0/0"),
            ("2001:db8::1", 64, "2001:db8::/64"),
            ("2001:db8::1", 128, "2001:db8::1/128"),
            ("2001:db8::1", 0, "::/0"),
        ] {
            let selector = subnet(address, bits);
            assert_eq!(selector.to_string(), text);
            assert_eq!(selector.prefix_bits(), Some(bits));
        }
    }

    #[test]
    fn more_bits_than_there_are_mean_all() {
        assert_eq!(subnet("10.0.0.1", 200).prefix_bits(), Some(32));
        assert_eq!(subnet("::1", 200).prefix_bits(), Some(128));
    }

    #[test]
    fn ranges_that_are_no_subnet() {
        let range = |first: &str, last: &str| {
            Selector::addresses(first.parse().unwrap()..=last.parse().unwrap())
        };
        for (first, last) in [
            ("10.0.0.1", "10.0.0.2"),
            ("10.0.0.0", "10.0.0.2"),
            ("10.0.0.0", "::1"),
        ] {
            assert_eq!(range(first, last).prefix_bits(), None);
        }
        let mut selector = range("10.0.0.1", "10.0.0.2");
        (selector.protocol, selector.ports) = (17, 53..=53);
        assert_eq!(selector.to_string(), "10.0.0.1-10.0.0.2 proto 17 port 53");
    }

    #[test]
    fn opaque_is_no_range() {
        let mut selector = Selector::host("10.0.0.1".parse().unwrap());
        assert!(!selector.is_opaque());
        selector.ports = Selector::OPAQUE_PORT;
        assert!(selector.is_opaque());
        assert_eq!(selector.to_string(), "10.0.0.1/32 port opaque");
    }
}
