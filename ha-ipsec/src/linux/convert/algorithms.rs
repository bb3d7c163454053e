//! The kernel's names of algorithms (net/xfrm/xfrm_algo.c), and their numbers at IANA.

use super::ConvertError;
use crate::id::Protocol;
use crate::linux::xfrm::{
    AeadAlgorithm, Algorithm, AlgorithmName, Attribute, Attributes, AuthAlgorithm,
};
use crate::record::{IpsecSa, SaKeys, Transform, TransformKind};
use crate::secret::Secret;

/// What the algorithms of an SA mean.
#[derive(Default)]
pub(super) struct Algorithms {
    pub(super) encryption: Option<Transform>,
    pub(super) integrity: Option<Transform>,
    pub(super) compression: Option<u16>,
    pub(super) keys: SaKeys,
    /// A truncation that is not the standard's.
    pub(super) icv_bits: u16,
}

impl Algorithms {
    pub(super) fn import(attributes: &Attributes) -> Result<Self, ConvertError> {
        let mut found = Self::default();
        if let Some(aead) = attributes.aead() {
            found.aead(aead)?;
        }
        if let Some(crypt) = attributes.alg_crypt() {
            let id = by_name(CIPHERS, &crypt.name).ok_or_else(|| unknown(&crypt.name, 0))?;
            found.encryption = Some(transform(TransformKind::Encryption, id, &crypt.key));
            found.keys.encryption = crypt.key.clone();
        }
        // The kernel shows both; the truncation is in the second alone.
        match (attributes.auth_trunc(), attributes.alg_auth()) {
            (Some(auth), _) => found.integrity(&auth.name, auth.trunc_bits, &auth.key)?,
            (None, Some(auth)) => found.integrity(&auth.name, 0, &auth.key)?,
            (None, None) => {}
        }
        if let Some(comp) = attributes.alg_comp() {
            let id = by_name(COMPRESSIONS, &comp.name).ok_or_else(|| unknown(&comp.name, 0))?;
            found.compression = Some(id);
        }
        Ok(found)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.encryption.is_none() && self.integrity.is_none() && self.compression.is_none()
    }

    fn aead(&mut self, aead: &AeadAlgorithm) -> Result<(), ConvertError> {
        let unknown = || unknown(&aead.name, aead.icv_bits);
        let (id, odd) = by_icv(AEADS, &aead.name, aead.icv_bits).ok_or_else(unknown)?;
        self.icv_bits = odd;
        self.encryption = Some(transform(TransformKind::Encryption, id, &aead.key));
        self.keys.encryption = aead.key.clone();
        Ok(())
    }

    fn integrity(
        &mut self,
        name: &AlgorithmName,
        bits: u32,
        key: &Secret,
    ) -> Result<(), ConvertError> {
        if name.as_str() == Some(NO_INTEGRITY) {
            return Ok(());
        }
        let bits = match bits {
            0 => default_truncation(name),
            bits => bits,
        };
        let (id, odd) = by_icv(HMACS, name, bits).ok_or_else(|| unknown(name, bits))?;
        self.icv_bits = odd;
        self.integrity = Some(Transform::integrity(id));
        self.keys.integrity = key.clone();
        Ok(())
    }
}

/// The attributes of a record's algorithms.
pub(super) fn export(sa: &IpsecSa) -> Result<Vec<Attribute>, ConvertError> {
    let odd = sa.linux.as_ref().map_or(0, |linux| linux.icv_bits);
    let mut all = Vec::new();
    if let Some(transform) = sa.encryption {
        all.push(encryption(transform, odd, &sa.keys.encryption)?);
    }
    if let Some(transform) = sa.integrity {
        let (name, bits) = named(HMACS, transform)?;
        all.push(Attribute::AuthTrunc(AuthAlgorithm {
            name,
            trunc_bits: or_odd(bits, odd),
            key: sa.keys.integrity.clone(),
        }));
    }
    if let (Protocol::IpComp, Some(id)) = (sa.id.protocol, sa.compression) {
        let found = COMPRESSIONS.iter().find(|(found, _)| *found == id);
        let name = found.and_then(|(_, name)| AlgorithmName::new(name));
        let name = name.ok_or(ConvertError::NoKernelCompression(id))?;
        let key = Secret::empty();
        all.push(Attribute::AlgComp(Algorithm { name, key }));
    }
    Ok(all)
}

fn encryption(transform: Transform, odd: u16, key: &Secret) -> Result<Attribute, ConvertError> {
    let key = key.clone();
    if let Ok((name, bits)) = named(AEADS, transform) {
        let icv_bits = or_odd(bits, odd);
        return Ok(Attribute::Aead(AeadAlgorithm {
            name,
            icv_bits,
            key,
        }));
    }
    let found = CIPHERS.iter().find(|(id, _)| *id == transform.id);
    let name = found.and_then(|(_, name)| AlgorithmName::new(name));
    let name = name.ok_or(ConvertError::NoKernelName(transform))?;
    Ok(Attribute::AlgCrypt(Algorithm { name, key }))
}

fn or_odd(bits: u16, odd: u16) -> u32 {
    match odd {
        0 => bits.into(),
        odd => odd.into(),
    }
}

fn named(
    table: &[(u16, &str, u16)],
    transform: Transform,
) -> Result<(AlgorithmName, u16), ConvertError> {
    let found = table.iter().find(|(id, ..)| *id == transform.id);
    let named = found.and_then(|(_, name, bits)| Some((AlgorithmName::new(name)?, *bits)));
    named.ok_or(ConvertError::NoKernelName(transform))
}

fn by_name(table: &[(u16, &str)], name: &AlgorithmName) -> Option<u16> {
    let name = name.as_str()?;
    table
        .iter()
        .find(|(_, known)| *known == name)
        .map(|(id, _)| *id)
}

/// The id, and the ICV if it is not the standard's.
fn by_icv(table: &[(u16, &str, u16)], name: &AlgorithmName, bits: u32) -> Option<(u16, u16)> {
    let name = name.as_str()?;
    let bits = u16::try_from(bits).ok().filter(|bits| bits % 8 == 0)?;
    let mut named = table.iter().filter(|(_, known, _)| *known == name);
    let first = named.clone().next()?;
    match named.find(|(.., known)| *known == bits) {
        Some((id, ..)) => Some((*id, 0)),
        None => Some((first.0, bits)),
    }
}

/// With the key length, for algorithms that have several.
fn transform(kind: TransformKind, id: u16, key: &Secret) -> Transform {
    let bare = Transform {
        kind,
        id,
        key_bits: 0,
    };
    let Some(known) = bare.algorithm() else {
        return bare;
    };
    let key_bytes = key.len().saturating_sub(known.salt_bytes.into());
    match known.key_bits {
        [_] => bare,
        _ => Transform {
            // Keys that are longer are refused by the check of the record.
            key_bits: u16::try_from(8 * key_bytes).unwrap_or(u16::MAX),
            ..bare
        },
    }
}

fn unknown(name: &AlgorithmName, icv_bits: u32) -> ConvertError {
    let name = name.to_string();
    ConvertError::UnknownAlgorithm { name, icv_bits }
}

/// Without XFRMA_ALG_AUTH_TRUNC the kernel truncates as its table says: HMAC-SHA-256 to 96 bits, as a
/// draft had it, all others as the standards.
fn default_truncation(name: &AlgorithmName) -> u32 {
    let known = HMACS
        .iter()
        .find(|(_, known, _)| name.as_str() == Some(known));
    match known {
        Some((12, ..)) => 96,
        Some((.., bits)) => (*bits).into(),
        None => 0,
    }
}

const CIPHERS: &[(u16, &str)] = &[
    (2, "cbc(des)"),
    (3, "cbc(des3_ede)"),
    (11, "ecb(cipher_null)"),
    (12, "cbc(aes)"),
    (13, "rfc3686(ctr(aes))"),
    (23, "cbc(camellia)"),
];

/// With the bits of their ICV.
const AEADS: &[(u16, &str, u16)] = &[
    (20, "rfc4106(gcm(aes))", 128),
    (19, "rfc4106(gcm(aes))", 96),
    (18, "rfc4106(gcm(aes))", 64),
    (16, "rfc4309(ccm(aes))", 128),
    (15, "rfc4309(ccm(aes))", 96),
    (14, "rfc4309(ccm(aes))", 64),
    (21, "rfc4543(gcm(aes))", 128),
    (28, "rfc7539esp(chacha20,poly1305)", 128),
];

/// With the bits of their ICV.
const HMACS: &[(u16, &str, u16)] = &[
    (1, "hmac(md5)", 96),
    (6, "hmac(md5)", 128),
    (2, "hmac(sha1)", 96),
    (7, "hmac(sha1)", 160),
    (12, "hmac(sha256)", 128),
    (13, "hmac(sha384)", 192),
    (14, "hmac(sha512)", 256),
    (5, "xcbc(aes)", 96),
    (8, "cmac(aes)", 96),
];

const COMPRESSIONS: &[(u16, &str)] = &[(2, "deflate"), (3, "lzs"), (4, "lzjh")];

/// ESP without integrity, as some programs ask for it.
const NO_INTEGRITY: &str = "digest_null";
