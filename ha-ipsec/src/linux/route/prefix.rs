//! Networks, and the ranges that selectors have.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::record::Selector;

/// A network: an address whose bits behind the prefix are 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Prefix {
    address: IpAddr,
    bits: u8,
}

impl Prefix {
    /// The network that an address is in; more bits than it has count as all.
    pub fn new(address: IpAddr, bits: u8) -> Self {
        match address {
            IpAddr::V4(address) => {
                let bits = bits.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                let address = Ipv4Addr::from_bits(address.to_bits() & mask).into();
                Self { address, bits }
            }
            IpAddr::V6(address) => {
                let bits = bits.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                let address = Ipv6Addr::from_bits(address.to_bits() & mask).into();
                Self { address, bits }
            }
        }
    }

    /// The first address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Bits of the prefix; 0 is a default route.
    pub const fn bits(&self) -> u8 {
        self.bits
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// Why a selector is no set of networks.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrefixError {
    /// It ends before it begins, or its ends are of different families.
    #[error("{0} is no range of addresses")]
    NoRange(Selector),
    /// Too many networks.
    #[error("{0} takes more than {MAX_PREFIXES} networks; choose a range nearer to a prefix")]
    TooMany(Selector),
}

/// The most networks of one range of addresses.
pub const MAX_PREFIXES: usize = 64;

/// The networks that make up the addresses of a selector, in order; one if they are a prefix.
///
/// # Errors
/// If they are no range, or too many.
pub fn prefixes(selector: &Selector) -> Result<Vec<Prefix>, PrefixError> {
    let (first, last) = (*selector.addresses.start(), *selector.addresses.end());
    let (width, first, last) = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            (32, u128::from(first.to_bits()), u128::from(last.to_bits()))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => (128, first.to_bits(), last.to_bits()),
        _ => return Err(PrefixError::NoRange(selector.clone())),
    };
    if first > last {
        return Err(PrefixError::NoRange(selector.clone()));
    }
    split(width, first, last).ok_or_else(|| PrefixError::TooMany(selector.clone()))
}

/// The largest block that begins at `first` and ends within the range, again and again.
fn split(width: u32, mut first: u128, last: u128) -> Option<Vec<Prefix>> {
    let mut all = Vec::new();
    loop {
        if all.len() == MAX_PREFIXES {
            return None;
        }
        let aligned = first.trailing_zeros().min(width);
        let room = last - first;
        let fits = (0..=aligned).rev().find(|host| host_part(*host) <= room)?;
        let bits = u8::try_from(width - fits).ok()?;
        let address = if width == 32 {
            Ipv4Addr::from_bits(u32::try_from(first).ok()?).into()
        } else {
            Ipv6Addr::from_bits(first).into()
        };
        all.push(Prefix { address, bits });
        let end = first + host_part(fits);
        if end == last {
            return Some(all);
        }
        first = end + 1;
    }
}

/// The highest number of so many bits.
const fn host_part(bits: u32) -> u128 {
    match bits {
        128.. => u128::MAX,
        _ => (1 << bits) - 1,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(first: &str, last: &str) -> Selector {
        Selector::addresses(first.parse().unwrap()..=last.parse().unwrap())
    }

    fn texts(selector: &Selector) -> Vec<String> {
        prefixes(selector)
            .unwrap()
            .iter()
            .map(Prefix::to_string)
            .collect()
    }

    #[test]
    fn ranges_become_networks() {
        assert_eq!(texts(&range("10.0.0.0", "10.0.0.255")), ["10.0.0.0/24"]);
        assert_eq!(
            texts(&range("10.0.0.1", "10.0.0.6")),
            ["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/31", "10.0.0.6/32"]
        );
        assert_eq!(texts(&range("0.0.0.0", "255.255.255.255")), ["0.0.0.0/0"]);
        assert_eq!(
            texts(&range("2001:db8::", "2001:db8::ffff")),
            ["2001:db8::/112"]
        );
        let all = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        assert_eq!(texts(&range("::", all)), ["::/0"]);
    }

    #[test]
    fn what_is_no_range_or_takes_too_many_is_refused() {
        assert!(matches!(
            prefixes(&range("10.0.0.2", "10.0.0.1")),
            Err(PrefixError::NoRange(_))
        ));
        assert!(matches!(
            prefixes(&range("10.0.0.2", "::1")),
            Err(PrefixError::NoRange(_))
        ));
        let wide = range("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe");
        assert!(matches!(prefixes(&wide), Err(PrefixError::TooMany(_))));
    }

    #[test]
    fn host_bits_do_not_count() {
        let prefix = Prefix::new("10.1.2.3".parse().unwrap(), 16);
        assert_eq!(prefix.to_string(), "10.1.0.0/16");
        assert_eq!(
            Prefix::new("10.1.2.3".parse().unwrap(), 0).to_string(),
            "0.0.0.0/0"
        );
        assert_eq!(
            Prefix::new("::1".parse().unwrap(), 200).to_string(),
            "::1/128"
        );
    }

    proptest! {
        #[test]
        fn networks_cover_a_range_without_gap_or_overlap(a: u32, b: u32) {
            let (first, last) = (a.min(b), a.max(b));
            let selector = Selector::addresses(IpAddr::V4(first.into())..=IpAddr::V4(last.into()));
            let Ok(all) = prefixes(&selector) else {
                return Err(TestCaseError::fail("a range of IPv4 takes 62 at most"));
            };
            let mut next = u64::from(first);
            for prefix in all {
                let IpAddr::V4(address) = prefix.address() else {
                    return Err(TestCaseError::fail("IPv4"));
                };
                prop_assert_eq!(u64::from(address.to_bits()), next);
                next += 1 << (32 - prefix.bits());
            }
            prop_assert_eq!(next, u64::from(last) + 1);
        }
    }
}
