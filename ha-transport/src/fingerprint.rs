//! Fingerprints of public keys.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// SHA-256 of a public key in its DER form (SubjectPublicKeyInfo, RFC 5280 §4.1.2.7).
///
/// Written as `sha256:` and 64 hexadecimal digits. Reading ignores case, colons between the digits
/// and a missing prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint with this SHA-256 value.
    pub const fn new(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// The SHA-256 value.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a fingerprint.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error(
    "`{text}` is not a key fingerprint: expected `sha256:` and 64 hexadecimal digits, as printed by \
     `ha-identity show` on the other unit"
)]
#[non_exhaustive]
pub struct InvalidFingerprint {
    /// The text, shortened to 80 characters.
    pub text: String,
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        parse(text).ok_or_else(|| InvalidFingerprint {
            text: text.chars().take(80).collect(),
        })
    }
}

fn parse(text: &str) -> Option<Fingerprint> {
    let text = text.trim();
    let prefixed = text
        .get(..PREFIX.len())
        .is_some_and(|p| p.eq_ignore_ascii_case(PREFIX));
    let digits = if prefixed {
        &text[PREFIX.len()..]
    } else {
        text
    };
    let mut value = [0_u8; 32];
    let mut count = 0;
    for c in digits.chars().filter(|&c| c != ':') {
        let digit = u8::try_from(c.to_digit(16)?).ok()?;
        let byte = value.get_mut(count / 2)?;
        *byte = *byte << 4 | digit;
        count += 1;
    }
    (count == 64).then_some(Fingerprint(value))
}

const PREFIX: &str = "sha256:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_the_form_with_colons() {
        let bytes: [u8; 32] = std::array::from_fn(|i| (i * 7) as u8);
        let fingerprint = Fingerprint::new(bytes);
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        let colons: Vec<String> = bytes.iter().map(|b| format!("{b:02X}")).collect();
        assert_eq!(
            format!("SHA256:{}", colons.join(":")).parse(),
            Ok(fingerprint)
        );
    }

    #[test]
    fn refuses_other_lengths_and_other_characters() {
        for text in [
            "",
            "sha256:",
            &"0".repeat(63),
            &"0".repeat(65),
            &"g".repeat(64),
            "sha256é",
        ] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }
}
