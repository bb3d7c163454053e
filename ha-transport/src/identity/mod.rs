//! Who a unit is, and whom it trusts.
//!
//! Each unit has a key pair of its own. The other unit pins its public key by fingerprint, or
//! trusts the authority that issued its certificate.

mod files;
mod trust;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::sign::SigningKey;
use thiserror::Error;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::fingerprint::Fingerprint;
use crate::tls;

pub use trust::PeerTrust;
pub(crate) use trust::Trust;

/// A unit's key pair and certificate.
///
/// Clones share the key, which is wiped from memory with the last of them and never printed.
#[derive(Clone)]
pub struct Identity {
    key_pem: Arc<Zeroizing<String>>,
    key: Arc<dyn SigningKey>,
    chain_pem: String,
    chain: Vec<CertificateDer<'static>>,
    fingerprint: Fingerprint,
}

impl Identity {
    /// Makes a key pair (Ed25519) and a self-signed certificate for it that does not expire: the
    /// peer pins the key, and replacing the pin is what ends its use.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Name`] unless `name` is a DNS name such as `unit-0` or `gw1.example.net`.
    pub fn generate(name: &str) -> Result<Self, IdentityError> {
        // RFC 5280 §4.1.2.5: "To indicate that a certificate has no well-defined expiration date,
        // the notAfter SHOULD be assigned the GeneralizedTime value of 99991231235959Z."
        Self::generate_valid(
            name,
            UNIX_EPOCH,
            UNIX_EPOCH + Duration::from_secs(253_402_300_799),
        )
    }

    /// Like [`generate`](Self::generate), with a certificate that is valid from `not_before` to
    /// `not_after`.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Name`], or [`IdentityError::Generate`] if the times cannot be encoded.
    pub fn generate_valid(
        name: &str,
        not_before: SystemTime,
        not_after: SystemTime,
    ) -> Result<Self, IdentityError> {
        let invalid_name = || IdentityError::Name {
            name: name.to_owned(),
        };
        rustls::pki_types::DnsName::try_from(name).map_err(|_| invalid_name())?;
        let mut params =
            CertificateParams::new(vec![name.to_owned()]).map_err(|_| invalid_name())?;
        params.not_before = date(not_before)?;
        params.not_after = date(not_after)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).map_err(generate_error)?;
        let certificate = params.self_signed(&key).map_err(generate_error)?;
        Self::from_pem(Zeroizing::new(key.serialize_pem()), certificate.pem())
    }

    /// An identity from a private key and its certificate chain, both PEM; the unit's own
    /// certificate comes first. The key is PKCS#8, PKCS#1 or SEC1.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Key`], [`IdentityError::Certificate`], or [`IdentityError::KeyMismatch`] if
    /// the certificate is not for this key.
    pub fn from_pem(key: Zeroizing<String>, chain: String) -> Result<Self, IdentityError> {
        let signing = tls::load_key(&key)?;
        let certificates = trust::certificates(&chain)?;
        let certified = rustls::sign::CertifiedKey::new(certificates, Arc::clone(&signing));
        certified
            .keys_match()
            .map_err(|_| IdentityError::KeyMismatch)?;
        let spki = signing.public_key().ok_or(IdentityError::KeyMismatch)?;
        Ok(Self {
            key_pem: Arc::new(key),
            fingerprint: tls::fingerprint(&spki),
            key: signing,
            chain_pem: chain,
            chain: certified.cert,
        })
    }

    /// The fingerprint of the public key: what the other unit pins.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The name in the certificate, if it has one: what the other unit expects if it trusts an
    /// authority.
    pub fn name(&self) -> Option<String> {
        let certificate = webpki::EndEntityCert::try_from(self.chain.first()?).ok()?;
        certificate.valid_dns_names().next().map(str::to_owned)
    }

    /// The certificate chain, PEM. It holds nothing secret.
    pub fn certificate_pem(&self) -> &str {
        &self.chain_pem
    }

    pub(crate) fn key(&self) -> &Arc<dyn SigningKey> {
        &self.key
    }

    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("fingerprint", &self.fingerprint)
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// Why an identity or a trust could not be made, saved or loaded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The name cannot stand in a certificate.
    #[error("`{name}` cannot name a unit: use a DNS name such as `unit-0` or `gw1.example.net`")]
    Name {
        /// The name.
        name: String,
    },
    /// The key or certificate could not be made.
    #[error("cannot make the key and certificate: {detail}")]
    Generate {
        /// What the library said.
        detail: String,
    },
    /// The text holds no usable private key.
    #[error(
        "not a usable private key: {detail}; expected one PEM section `PRIVATE KEY` with an \
         Ed25519, ECDSA or RSA key"
    )]
    Key {
        /// What the library said.
        detail: String,
    },
    /// The text holds no usable certificate.
    #[error("not a usable certificate: {detail}; expected PEM sections `CERTIFICATE`")]
    Certificate {
        /// What the library said.
        detail: String,
    },
    /// Key and certificate do not belong together.
    #[error("the certificate is not for this key; were the files of two units mixed up?")]
    KeyMismatch,
    /// No fingerprint was given.
    #[error("no key is pinned: give the fingerprint that `ha-identity show` prints on the peer")]
    NothingPinned,
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// `read`, `write` or `create`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// An identity is there already.
    #[error(
        "{} exists already; an identity is never overwritten: remove the directory first, and pin \
         the new fingerprint on the other unit", path.display()
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Other users of the machine can read the private key.
    #[error(
        "{} can be read by other users (mode {mode:03o}): run `chmod 600` on it, and make a new \
         identity if others may have copied the key", path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

fn generate_error(error: rcgen::Error) -> IdentityError {
    IdentityError::Generate {
        detail: error.to_string(),
    }
}

fn date(time: SystemTime) -> Result<OffsetDateTime, IdentityError> {
    let detail = || "a time lies outside the years 1970 to 9999".to_owned();
    let since = time.duration_since(UNIX_EPOCH);
    let seconds = since
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok());
    seconds
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .ok_or_else(|| IdentityError::Generate { detail: detail() })
}
