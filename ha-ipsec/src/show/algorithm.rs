//! Algorithms by the names that IOS gives them.
//!
//! A number that is not known here is shown as a number: it is kept verbatim, never guessed at.

use crate::id::Protocol;
use crate::record::{Transform, compression_name};

/// A cipher as in a transform set: `esp-aes`, `esp-256-aes`, `esp-gcm`.
pub(super) fn esp_cipher(cipher: Transform) -> String {
    let Some(algorithm) = cipher.algorithm() else {
        return format!("esp-encr-{}", cipher.id);
    };
    let name = algorithm.cisco.map_or_else(
        || algorithm.name.to_lowercase(),
        |name| name.trim_start_matches("esp-").to_owned(),
    );
    match (cipher.key_bits, algorithm.key_bits) {
        (0 | 128, _) | (_, [_]) => format!("esp-{name}"),
        (bits, _) => format!("esp-{bits}-{name}"),
    }
}

/// An integrity algorithm as in a transform set: `esp-sha-hmac`, `ah-md5-hmac`.
pub(super) fn authenticator(protocol: Protocol, integrity: Transform) -> String {
    let kind = if protocol == Protocol::Ah {
        "ah"
    } else {
        "esp"
    };
    match integrity.algorithm() {
        Some(algorithm) => {
            let name = algorithm.cisco.map(str::to_owned);
            let name = name.unwrap_or_else(|| algorithm.name.to_lowercase());
            format!("{kind}-{name}")
        }
        None => format!("{kind}-integ-{}", integrity.id),
    }
}

/// A compression algorithm as in a transform set.
pub(super) fn compression(id: u16) -> String {
    compression_name(id).map_or_else(
        || format!("comp-{id}"),
        |name| format!("comp-{}", name.to_lowercase()),
    )
}

/// A cipher as `show crypto isakmp sa detail` names it: `3des`, `aes`.
pub(super) fn isakmp_cipher(cipher: Transform) -> String {
    let name = cipher.algorithm().and_then(|algorithm| algorithm.cisco);
    name.map_or_else(
        || cipher.id.to_string(),
        |name| name.trim_start_matches("esp-").to_owned(),
    )
}

/// A hash as `show crypto isakmp sa detail` names it, by the HMAC that makes it a prf.
pub(super) fn isakmp_hash(prf: Transform) -> String {
    let name = prf.algorithm().and_then(|algorithm| algorithm.cisco);
    name.map_or_else(|| prf.id.to_string(), str::to_owned)
}

/// A cipher as `show crypto ikev2 sa` names it: `AES-CBC`, `AES-GCM`.
pub(super) fn ikev2_cipher(cipher: Transform) -> String {
    let Some(algorithm) = cipher.algorithm() else {
        return cipher.id.to_string();
    };
    // IOS leaves out the length of the ICV.
    let name = algorithm
        .name
        .trim_end_matches(|c: char| c.is_ascii_digit());
    let name = name.strip_suffix('-').unwrap_or(algorithm.name);
    name.to_owned()
}

/// An integrity algorithm as `show crypto ikev2 sa` names it: SHA-1 cut to 96 bits is `SHA96`.
pub(super) fn ikev2_hash(integrity: Transform) -> String {
    match integrity.id {
        1 => "MD596".into(),
        2 => "SHA96".into(),
        12 => "SHA256".into(),
        13 => "SHA384".into(),
        14 => "SHA512".into(),
        _ => known_or_number(integrity),
    }
}

/// A pseudorandom function as `show crypto ikev2 sa` names it.
pub(super) fn ikev2_prf(prf: Transform) -> String {
    match prf.id {
        1 => "MD5".into(),
        2 => "SHA1".into(),
        5 => "SHA256".into(),
        6 => "SHA384".into(),
        7 => "SHA512".into(),
        _ => known_or_number(prf),
    }
}

fn known_or_number(transform: Transform) -> String {
    let name = transform.algorithm().map(|algorithm| algorithm.name);
    name.map_or_else(|| transform.id.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_transform_sets() {
        for (transform, name) in [
            (Transform::TRIPLE_DES, "esp-3des"),
            (Transform::NULL, "esp-null"),
            (Transform::AES_CBC_128, "esp-aes"),
            (Transform::AES_CBC_256, "esp-256-aes"),
            (Transform::AES_GCM_128, "esp-gcm"),
            (Transform::AES_GCM_256, "esp-256-gcm"),
            (Transform::CHACHA20_POLY1305, "esp-chacha20-poly1305"),
        ] {
            assert_eq!(esp_cipher(transform), name);
        }
        let sha256 = Transform::HMAC_SHA256_128;
        assert_eq!(authenticator(Protocol::Esp, sha256), "esp-sha256-hmac");
        let md5 = Transform::integrity(1);
        assert_eq!(authenticator(Protocol::Ah, md5), "ah-md5-hmac");
        assert_eq!(compression(3), "comp-lzs");
    }

    #[test]
    fn names_are_those_of_ike_commands() {
        assert_eq!(isakmp_cipher(Transform::TRIPLE_DES), "3des");
        assert_eq!(isakmp_hash(Transform::PRF_HMAC_SHA256), "sha256");
        assert_eq!(ikev2_cipher(Transform::AES_CBC_256), "AES-CBC");
        assert_eq!(ikev2_cipher(Transform::AES_GCM_128), "AES-GCM");
        assert_eq!(ikev2_cipher(Transform::TRIPLE_DES), "3DES");
        assert_eq!(
            ikev2_cipher(Transform::CHACHA20_POLY1305),
            "CHACHA20-POLY1305"
        );
        assert_eq!(ikev2_hash(Transform::HMAC_SHA1_96), "SHA96");
        assert_eq!(ikev2_prf(Transform::PRF_HMAC_SHA1), "SHA1");
    }

    #[test]
    fn unknown_numbers_are_shown_as_numbers() {
        assert_eq!(
            esp_cipher(Transform::encryption(1025, 256)),
            "esp-encr-1025"
        );
        let unknown = Transform::integrity(1025);
        assert_eq!(authenticator(Protocol::Ah, unknown), "ah-integ-1025");
        assert_eq!(ikev2_hash(unknown), "1025");
        assert_eq!(ikev2_prf(Transform::prf(1025)), "1025");
        assert_eq!(isakmp_cipher(Transform::encryption(1025, 0)), "1025");
        assert_eq!(compression(9), "comp-9");
    }
}
