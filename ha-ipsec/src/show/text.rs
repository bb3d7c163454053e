//! How the commands write times, addresses and words.

use core::fmt::{self, Write as _};
use core::net::{IpAddr, Ipv4Addr};

use serde::{Serialize, Serializer};

/// Seconds as `hh:mm:ss`, hours going on past 99.
pub(super) struct Hms(pub(super) u64);

impl fmt::Display for Hms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes, seconds) = (self.0 / 3600, self.0 / 60 % 60, self.0 % 60);
        f.pad(&format!("{hours:02}:{minutes:02}:{seconds:02}"))
    }
}

/// Words that came from a peer or a configuration: control characters are escaped, so that nobody
/// writes to an operator's terminal through an identity.
pub(super) struct Safe<'a>(pub(super) &'a str);

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            // Bidirectional marks reorder what stands beside them.
            let reorders = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}');
            if c.is_control() || reorders {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// Words, or `(none)`.
pub(super) struct OrNone<'a>(pub(super) Option<&'a str>);

impl fmt::Display for OrNone<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(text) => Safe(text).fmt(f),
            None => f.write_str("(none)"),
        }
    }
}

/// An SPI as IOS writes it: `0xD42904F0(3559458032)`.
pub(super) struct Spi(pub(super) u32);

impl fmt::Display for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#X}({})", self.0, self.0)
    }
}

/// A cookie or IKE SPI of 8 bytes in two words: `9263635C CA4B4E99`.
pub(super) struct Cookie(pub(super) u64);

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X} {:08X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// `address/port`.
pub(super) struct Endpoint(pub(super) core::net::SocketAddr);

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.0.ip(), self.0.port()))
    }
}

/// The mask of a prefix: dotted for IPv4, a number for IPv6.
pub(super) fn mask(address: IpAddr, prefix: u8) -> String {
    match address {
        IpAddr::V4(_) => {
            let bits = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            Ipv4Addr::from_bits(bits).to_string()
        }
        IpAddr::V6(_) => prefix.to_string(),
    }
}

/// Serializes an 8-byte cookie or IKE SPI as 16 hexadecimal digits: JSON numbers end at 2^53.
pub(super) fn hex_u64<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    format!("{value:016x}").serialize(serializer)
}

/// Serializes bytes as hexadecimal digits.
pub(super) fn hex_bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_cover_every_prefix() {
        let four = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        assert_eq!(mask(four, 0), "0.0.0.0");
        assert_eq!(mask(four, 20), "255.255.240.0");
        assert_eq!(mask(four, 32), "255.255.255.255");
        let six = IpAddr::V6(core::net::Ipv6Addr::UNSPECIFIED);
        assert_eq!((mask(six, 0), mask(six, 128)), ("0".into(), "128".into()));
    }

    #[test]
    fn hours_go_on_past_99() {
        assert_eq!(Hms(82_629).to_string(), "22:57:09");
        assert_eq!(Hms(u64::from(u32::MAX)).to_string(), "1193046:28:15");
    }

    #[test]
    fn an_identity_cannot_drive_the_terminal() {
        let text = Safe("ok \u{1b}[2J\r\nmy state\u{202e}").to_string();
        assert!(!text.chars().any(char::is_control), "{text}");
        assert_eq!(text, "ok \\u{1b}[2J\\r\\nmy state\\u{202e}");
    }
}
