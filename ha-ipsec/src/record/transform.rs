//! Algorithms, by their numbers at IANA.

use core::fmt;

/// What an algorithm is for (IKEv2 transform types, RFC 7296 §3.3.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum TransformKind {
    /// Encryption (ENCR), combined modes included.
    Encryption = 1,
    /// Pseudorandom function (PRF).
    Prf = 2,
    /// Integrity (INTEG, "AUTH").
    Integrity = 3,
}

/// An algorithm: its kind, and its transform id and key length at IANA ("Internet Key Exchange
/// Version 2 (IKEv2) Parameters").
///
/// IKEv1 SAs use the same numbers: [`from_ikev1_encryption`](Self::from_ikev1_encryption) and
/// [`from_ikev1_hash`](Self::from_ikev1_hash) translate. An id that this release does not know is
/// kept and sent on as it is, but an SA that needs it is not [usable](super::IpsecSa::usable).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Transform {
    /// What the algorithm is for. Ids of different kinds overlap.
    pub kind: TransformKind,
    /// The transform id; never 0.
    pub id: u16,
    /// The Key Length attribute (RFC 7296 §3.3.5) in bits, without salt; 0 for an algorithm whose
    /// key has one length only.
    pub key_bits: u16,
}

impl Transform {
    /// Triple DES in CBC mode.
    pub const TRIPLE_DES: Self = Self::encryption(3, 0);
    /// NULL encryption (RFC 2410).
    pub const NULL: Self = Self::encryption(11, 0);
    /// AES-CBC with 128-bit keys (RFC 3602).
    pub const AES_CBC_128: Self = Self::encryption(12, 128);
    /// AES-CBC with 256-bit keys (RFC 3602).
    pub const AES_CBC_256: Self = Self::encryption(12, 256);
    /// AES-GCM with 128-bit keys and a 16-byte ICV (RFC 4106).
    pub const AES_GCM_128: Self = Self::encryption(20, 128);
    /// AES-GCM with 256-bit keys and a 16-byte ICV (RFC 4106).
    pub const AES_GCM_256: Self = Self::encryption(20, 256);
    /// ChaCha20-Poly1305 (RFC 7634).
    pub const CHACHA20_POLY1305: Self = Self::encryption(28, 0);
    /// HMAC-SHA1-96 (RFC 2404).
    pub const HMAC_SHA1_96: Self = Self::integrity(2);
    /// HMAC-SHA-256-128 (RFC 4868).
    pub const HMAC_SHA256_128: Self = Self::integrity(12);
    /// HMAC-SHA-512-256 (RFC 4868).
    pub const HMAC_SHA512_256: Self = Self::integrity(14);
    /// PRF-HMAC-SHA1 (RFC 2104).
    pub const PRF_HMAC_SHA1: Self = Self::prf(2);
    /// PRF-HMAC-SHA-256 (RFC 4868).
    pub const PRF_HMAC_SHA256: Self = Self::prf(5);
    /// PRF-HMAC-SHA-512 (RFC 4868).
    pub const PRF_HMAC_SHA512: Self = Self::prf(7);

    /// An encryption algorithm; `key_bits` as in the Key Length attribute.
    pub const fn encryption(id: u16, key_bits: u16) -> Self {
        Self {
            kind: TransformKind::Encryption,
            id,
            key_bits,
        }
    }

    /// An integrity algorithm.
    pub const fn integrity(id: u16) -> Self {
        Self {
            kind: TransformKind::Integrity,
            id,
            key_bits: 0,
        }
    }

    /// A pseudorandom function.
    pub const fn prf(id: u16) -> Self {
        Self {
            kind: TransformKind::Prf,
            id,
            key_bits: 0,
        }
    }

    /// The encryption algorithm with this number in IKEv1 (RFC 2409 appendix A, RFC 3602).
    pub const fn from_ikev1_encryption(number: u16, key_bits: u16) -> Option<Self> {
        let id = match number {
            1 => 2,
            2 => 5,
            3 => 7,
            5 => 3,
            6 => 6,
            7 => 12,
            8 => 23,
            _ => return None,
        };
        Some(Self::encryption(id, key_bits))
    }

    /// The HMAC of the hash with this number in IKEv1 (RFC 2409 appendix A, RFC 4868 §2.6).
    pub const fn from_ikev1_hash(number: u16) -> Option<Self> {
        let id = match number {
            1 => 1,
            2 => 2,
            4 => 5,
            5 => 6,
            6 => 7,
            _ => return None,
        };
        Some(Self::prf(id))
    }

    /// What is known of the algorithm; `None` if the id is not known here.
    pub fn algorithm(&self) -> Option<&'static Algorithm> {
        let table = match self.kind {
            TransformKind::Encryption => ENCRYPTION,
            TransformKind::Integrity => INTEGRITY,
            TransformKind::Prf => PRF,
        };
        table.iter().find(|algorithm| algorithm.id == self.id)
    }

    /// Whether the id is known here.
    pub fn is_known(&self) -> bool {
        self.algorithm().is_some()
    }

    /// The whole keying material in bytes, salt included; `None` if the algorithm is not known, or
    /// not with keys of this length.
    pub fn key_bytes(&self) -> Option<usize> {
        let algorithm = self.algorithm()?;
        let bits = match (self.key_bits, algorithm.key_bits) {
            (0, [only]) => *only,
            (bits, allowed) if allowed.contains(&bits) => bits,
            _ => return None,
        };
        Some(usize::from(bits) / 8 + usize::from(algorithm.salt_bytes))
    }

    /// Whether the algorithm is known to protect integrity by itself (a combined mode).
    pub fn is_aead(&self) -> bool {
        self.algorithm().is_some_and(|algorithm| algorithm.aead)
    }
}

/// "AES-GCM-16-128", "HMAC-SHA2-256-128", "encryption 999 (256-bit key)".
impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(algorithm) = self.algorithm() else {
            let kind = match self.kind {
                TransformKind::Encryption => "encryption",
                TransformKind::Prf => "prf",
                TransformKind::Integrity => "integrity",
            };
            write!(f, "{kind} {}", self.id)?;
            return match self.key_bits {
                0 => Ok(()),
                bits => write!(f, " ({bits}-bit key)"),
            };
        };
        f.write_str(algorithm.name)?;
        match (self.key_bits, algorithm.key_bits) {
            (0, _) | (_, [_]) => Ok(()),
            (bits, _) => write!(f, "-{bits}"),
        }
    }
}

/// The name of an IPComp transform (RFC 3173, RFC 7296 §3.10.1), if it is known.
pub const fn compression_name(id: u16) -> Option<&'static str> {
    match id {
        2 => Some("DEFLATE"),
        3 => Some("LZS"),
        4 => Some("LZJH"),
        _ => None,
    }
}

/// What is known of an algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Algorithm {
    /// The transform id at IANA.
    pub id: u16,
    /// The name at IANA, without its prefix.
    pub name: &'static str,
    /// Cisco's name as part of a transform set ("esp-aes", "sha256-hmac"), as far as there is one.
    pub cisco: Option<&'static str>,
    /// The lengths that a key can have, in bits, without salt.
    pub key_bits: &'static [u16],
    /// The salt that follows the key in the keying material, in bytes.
    pub salt_bytes: u8,
    /// The explicit IV of each packet, in bytes.
    pub iv_bytes: u8,
    /// The ICV of each packet, in bytes; 0 for an encryption algorithm that has none.
    pub icv_bytes: u8,
    /// Whether an encryption algorithm protects integrity by itself.
    pub aead: bool,
}

const NONE: Algorithm = Algorithm {
    id: 0,
    name: "",
    cisco: None,
    key_bits: &[],
    salt_bytes: 0,
    iv_bytes: 0,
    icv_bytes: 0,
    aead: false,
};

const AES: &[u16] = &[128, 192, 256];

const fn block(
    id: u16,
    name: &'static str,
    cisco: Option<&'static str>,
    key_bits: &'static [u16],
    iv_bytes: u8,
) -> Algorithm {
    Algorithm {
        id,
        name,
        cisco,
        key_bits,
        iv_bytes,
        ..NONE
    }
}

const fn counter(id: u16, name: &'static str) -> Algorithm {
    Algorithm {
        salt_bytes: 4,
        ..block(id, name, None, AES, 8)
    }
}

const fn aead(
    id: u16,
    name: &'static str,
    cisco: Option<&'static str>,
    [salt_bytes, iv_bytes, icv_bytes]: [u8; 3],
) -> Algorithm {
    Algorithm {
        salt_bytes,
        icv_bytes,
        aead: true,
        ..block(id, name, cisco, AES, iv_bytes)
    }
}

/// ChaCha20 has one key length.
const fn chacha(id: u16, name: &'static str, iv_bytes: u8) -> Algorithm {
    Algorithm {
        key_bits: &[256],
        ..aead(id, name, None, [4, iv_bytes, 16])
    }
}

const fn keyed(
    id: u16,
    name: &'static str,
    cisco: Option<&'static str>,
    key_bits: &'static [u16],
    icv_bytes: u8,
) -> Algorithm {
    Algorithm {
        icv_bytes,
        ..block(id, name, cisco, key_bits, 0)
    }
}

const fn gmac(id: u16, name: &'static str, key_bits: &'static [u16]) -> Algorithm {
    Algorithm {
        salt_bytes: 4,
        iv_bytes: 8,
        ..keyed(id, name, None, key_bits, 16)
    }
}

/// Transform type 1, without what nobody should use any more.
const ENCRYPTION: &[Algorithm] = &[
    block(2, "DES", Some("esp-des"), &[64], 8),
    block(3, "3DES", Some("esp-3des"), &[192], 8),
    block(11, "NULL", Some("esp-null"), &[0], 0),
    block(12, "AES-CBC", Some("esp-aes"), AES, 16),
    counter(13, "AES-CTR"),
    aead(14, "AES-CCM-8", None, [3, 8, 8]),
    aead(15, "AES-CCM-12", None, [3, 8, 12]),
    aead(16, "AES-CCM-16", None, [3, 8, 16]),
    aead(18, "AES-GCM-8", None, [4, 8, 8]),
    aead(19, "AES-GCM-12", None, [4, 8, 12]),
    aead(20, "AES-GCM-16", Some("esp-gcm"), [4, 8, 16]),
    aead(21, "NULL-AUTH-AES-GMAC", Some("esp-gmac"), [4, 8, 16]),
    block(23, "CAMELLIA-CBC", None, AES, 16),
    counter(24, "CAMELLIA-CTR"),
    aead(25, "CAMELLIA-CCM-8", None, [3, 8, 8]),
    aead(26, "CAMELLIA-CCM-12", None, [3, 8, 12]),
    aead(27, "CAMELLIA-CCM-16", None, [3, 8, 16]),
    chacha(28, "CHACHA20-POLY1305", 8),
    // RFC 8750: the sequence number is the nonce, so a number used twice is a nonce used twice.
    aead(29, "AES-CCM-8-IIV", None, [3, 0, 8]),
    aead(30, "AES-GCM-16-IIV", None, [4, 0, 16]),
    chacha(31, "CHACHA20-POLY1305-IIV", 0),
];

/// Transform type 2; the key is as long as the output (RFC 7296 §2.13, RFC 4434, RFC 4615).
const PRF: &[Algorithm] = &[
    keyed(1, "HMAC-MD5", Some("md5"), &[128], 0),
    keyed(2, "HMAC-SHA1", Some("sha"), &[160], 0),
    keyed(4, "AES128-XCBC", None, &[128], 0),
    keyed(5, "HMAC-SHA2-256", Some("sha256"), &[256], 0),
    keyed(6, "HMAC-SHA2-384", Some("sha384"), &[384], 0),
    keyed(7, "HMAC-SHA2-512", Some("sha512"), &[512], 0),
    keyed(8, "AES128-CMAC", None, &[128], 0),
];

/// Transform type 3.
const INTEGRITY: &[Algorithm] = &[
    keyed(1, "HMAC-MD5-96", Some("md5-hmac"), &[128], 12),
    keyed(2, "HMAC-SHA1-96", Some("sha-hmac"), &[160], 12),
    keyed(5, "AES-XCBC-96", None, &[128], 12),
    keyed(6, "HMAC-MD5-128", None, &[128], 16),
    keyed(7, "HMAC-SHA1-160", None, &[160], 20),
    keyed(8, "AES-CMAC-96", None, &[128], 12),
    gmac(9, "AES-128-GMAC", &[128]),
    gmac(10, "AES-192-GMAC", &[192]),
    gmac(11, "AES-256-GMAC", &[256]),
    keyed(12, "HMAC-SHA2-256-128", Some("sha256-hmac"), &[256], 16),
    keyed(13, "HMAC-SHA2-384-192", Some("sha384-hmac"), &[384], 24),
    keyed(14, "HMAC-SHA2-512-256", Some("sha512-hmac"), &[512], 32),
];

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn keying_material_includes_the_salt() {
        for (transform, bytes) in [
            (Transform::AES_GCM_128, 20),
            (Transform::AES_GCM_256, 36),
            (Transform::encryption(16, 192), 27),
            (Transform::CHACHA20_POLY1305, 36),
            (Transform::AES_CBC_256, 32),
            (Transform::TRIPLE_DES, 24),
            (Transform::encryption(3, 192), 24),
            (Transform::NULL, 0),
            (Transform::HMAC_SHA1_96, 20),
            (Transform::integrity(11), 36),
            (Transform::PRF_HMAC_SHA512, 64),
        ] {
            assert_eq!(transform.key_bytes(), Some(bytes), "{transform}");
        }
    }

    #[test]
    fn no_key_length_for_what_is_not_known() {
        for transform in [
            Transform::encryption(20, 0),
            Transform::encryption(20, 127),
            Transform::encryption(999, 128),
            Transform::integrity(20),
            Transform::prf(3),
        ] {
            assert_eq!(transform.key_bytes(), None, "{transform}");
        }
        assert!(!Transform::encryption(999, 128).is_known());
        assert!(Transform::encryption(20, 127).is_known());
    }

    #[test]
    fn names() {
        assert_eq!(Transform::AES_GCM_128.to_string(), "AES-GCM-16-128");
        assert_eq!(Transform::TRIPLE_DES.to_string(), "3DES");
        assert_eq!(Transform::HMAC_SHA256_128.to_string(), "HMAC-SHA2-256-128");
        let unknown = Transform::encryption(999, 256);
        assert_eq!(unknown.to_string(), "encryption 999 (256-bit key)");
        assert_eq!(Transform::prf(77).to_string(), "prf 77");
    }

    #[test]
    fn tables_are_sorted_and_whole() {
        for table in [ENCRYPTION, PRF, INTEGRITY] {
            assert!(table.is_sorted_by_key(|algorithm| algorithm.id));
            for algorithm in table {
                assert!(!algorithm.key_bits.is_empty() && !algorithm.name.is_empty());
                assert!(algorithm.key_bits.iter().all(|bits| bits % 8 == 0));
                assert!(!algorithm.aead || algorithm.icv_bytes >= 8);
            }
        }
    }

    #[test]
    fn ikev1_numbers() {
        assert_eq!(
            Transform::from_ikev1_encryption(5, 0),
            Some(Transform::TRIPLE_DES)
        );
        assert_eq!(
            Transform::from_ikev1_encryption(7, 128),
            Some(Transform::AES_CBC_128)
        );
        assert_eq!(
            Transform::from_ikev1_hash(4),
            Some(Transform::PRF_HMAC_SHA256)
        );
        assert_eq!(Transform::from_ikev1_encryption(99, 0), None);
        assert_eq!(Transform::from_ikev1_hash(3), None);
    }
}
