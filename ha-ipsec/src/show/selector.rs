//! Traffic selectors as the commands write them.

use core::fmt;
use core::net::IpAddr;

use serde::Serialize;

use super::text::mask;

/// One traffic selector (RFC 7296 §3.13.1): a protocol, a range of ports, a range of addresses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct SelectorView {
    /// The IP protocol; 0 for any.
    pub protocol: u8,
    /// The first port.
    pub first_port: u16,
    /// The last port; below the first one if ports are opaque (RFC 7296 §3.13.1).
    pub last_port: u16,
    /// The first address.
    pub first: IpAddr,
    /// The last address.
    pub last: IpAddr,
}

impl SelectorView {
    /// All traffic of one host.
    pub const fn host(address: IpAddr) -> Self {
        Self {
            protocol: 0,
            first_port: 0,
            last_port: u16::MAX,
            first: address,
            last: address,
        }
    }

    /// All traffic of `address/prefix`; a prefix beyond the address family's is a host.
    pub fn subnet(address: IpAddr, prefix: u8) -> Self {
        let (first, last) = match address {
            IpAddr::V4(v4) => {
                let host = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
                let bits = v4.to_bits();
                (
                    IpAddr::V4((bits & !host).into()),
                    IpAddr::V4((bits | host).into()),
                )
            }
            IpAddr::V6(v6) => {
                let host = u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
                let bits = v6.to_bits();
                (
                    IpAddr::V6((bits & !host).into()),
                    IpAddr::V6((bits | host).into()),
                )
            }
        };
        Self {
            first,
            last,
            ..Self::host(address)
        }
    }

    /// The length of the prefix that the addresses make up, if they are one.
    pub fn prefix(&self) -> Option<u8> {
        let (first, last, width) = match (self.first, self.last) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
            _ => return None,
        };
        let host: u128 = first ^ last;
        let whole = first & host == 0 && host & host.wrapping_add(1) == 0;
        let bits = u8::try_from(host.count_ones()).ok()?;
        whole.then_some(width - bits)
    }

    fn any_port(&self) -> bool {
        self.first_port == 0 && self.last_port == u16::MAX
    }

    /// As `show crypto ipsec sa` writes it: `addr/mask/prot/port`.
    pub(super) const fn ident(&self) -> Ident<'_> {
        Ident(self)
    }

    /// As an access list writes it: `host 192.168.0.1`, `10.0.0.0/255.0.0.0`.
    pub(super) const fn access(&self) -> Access<'_> {
        Access(self)
    }
}

/// The word of an access list for the traffic of a flow: `ip`, `ipv6` or the protocol's number.
pub(super) fn protocol_word(local: &SelectorView, remote: &SelectorView) -> String {
    match (local.protocol.max(remote.protocol), local.first) {
        (0, IpAddr::V4(_)) => "ip".to_owned(),
        (0, IpAddr::V6(_)) => "ipv6".to_owned(),
        (number, _) => number.to_string(),
    }
}

/// Whether some traffic can match both: one address family, one protocol.
pub(super) fn can_match(local: &SelectorView, remote: &SelectorView) -> bool {
    let protocols = (local.protocol, remote.protocol);
    let protocol = protocols.0 == protocols.1 || protocols.0 == 0 || protocols.1 == 0;
    protocol && local.first.is_ipv4() == remote.first.is_ipv4()
}

pub(super) struct Ident<'a>(&'a SelectorView);

impl fmt::Display for Ident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let selector = self.0;
        match selector.prefix() {
            Some(prefix) => write!(f, "{}/{}", selector.first, mask(selector.first, prefix))?,
            None => write!(f, "{}-{}", selector.first, selector.last)?,
        }
        write!(f, "/{}/", selector.protocol)?;
        if selector.any_port() {
            f.write_str("0")
        } else {
            Ports(selector).fmt(f)
        }
    }
}

pub(super) struct Access<'a>(&'a SelectorView);

impl fmt::Display for Access<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let selector = self.0;
        match (selector.prefix(), selector.first) {
            (Some(32), address @ IpAddr::V4(_)) | (Some(128), address @ IpAddr::V6(_)) => {
                write!(f, "host {address}")?;
            }
            (Some(prefix), address) => write!(f, "{address}/{}", mask(address, prefix))?,
            (None, address) => write!(f, "{address}-{}", selector.last)?,
        }
        if selector.any_port() {
            return Ok(());
        }
        write!(f, " port {}", Ports(selector))
    }
}

struct Ports<'a>(&'a SelectorView);

impl fmt::Display for Ports<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.0.first_port, self.0.last_port);
        match first.cmp(&last) {
            core::cmp::Ordering::Equal => write!(f, "{first}"),
            core::cmp::Ordering::Less => write!(f, "{first}-{last}"),
            core::cmp::Ordering::Greater => f.write_str("opaque"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn texts(selector: &SelectorView) -> (String, String) {
        (selector.ident().to_string(), selector.access().to_string())
    }

    #[test]
    fn every_prefix_is_found_again() {
        for (address, width) in [("10.171.205.239", 32), ("2001:db8:55aa:ff00:1234::9", 128)] {
            for prefix in 0..=width {
                let selector = SelectorView::subnet(ip(address), prefix);
                assert_eq!(selector.prefix(), Some(prefix), "{address}/{prefix}");
            }
        }
    }

    #[test]
    fn ranges_that_are_no_prefix_are_written_as_ranges() {
        for (first, last) in [
            ("10.0.0.1", "10.0.0.2"),
            ("10.0.0.0", "10.0.0.2"),
            ("10.0.0.2", "10.0.0.1"),
            ("10.0.0.0", "::1"),
        ] {
            let selector = SelectorView {
                first: ip(first),
                last: ip(last),
                ..SelectorView::host(ip(first))
            };
            assert_eq!(selector.prefix(), None, "{first}-{last}");
            let expected = format!("{first}-{last}");
            assert_eq!(texts(&selector), (format!("{expected}/0/0"), expected));
        }
    }

    #[test]
    fn ports_and_protocols_show() {
        let all = SelectorView::subnet(ip("0.0.0.0"), 0);
        let mut selector = SelectorView {
            protocol: 17,
            first_port: 1701,
            last_port: 1701,
            ..SelectorView::host(ip("2001:db8::1"))
        };
        let (ident, access) = texts(&selector);
        assert_eq!(ident, "2001:db8::1/128/17/1701");
        assert_eq!(access, "host 2001:db8::1 port 1701");
        selector.last_port = 1702;
        assert_eq!(texts(&selector).1, "host 2001:db8::1 port 1701-1702");
        (selector.first_port, selector.last_port) = (u16::MAX, 0);
        assert_eq!(texts(&selector).1, "host 2001:db8::1 port opaque");
        let any = SelectorView::host(ip("2001:db8::2"));
        assert_eq!(protocol_word(&any, &selector), "17");
        assert_eq!(protocol_word(&any, &any), "ipv6");
        assert!(can_match(&any, &selector));
        let tcp = SelectorView { protocol: 6, ..any };
        assert!(!can_match(&tcp, &selector) && !can_match(&any, &all));
        assert_eq!(
            texts(&all),
            ("0.0.0.0/0.0.0.0/0/0".into(), "0.0.0.0/0.0.0.0".into())
        );
    }
}
