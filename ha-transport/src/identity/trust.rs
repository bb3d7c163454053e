//! Whom a unit trusts.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor};

use super::IdentityError;
use crate::fingerprint::Fingerprint;

/// How a unit recognizes its peer. Both units of a pair must use the same kind.
#[derive(Clone, Debug)]
pub struct PeerTrust(Trust);

#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// Raw public keys (RFC 7250).
    RawKeys(Vec<Fingerprint>),
    /// Self-signed certificates with these keys.
    Certificates(Vec<Fingerprint>),
    /// Certificates of an authority.
    Authority {
        anchors: Vec<TrustAnchor<'static>>,
        name: ServerName<'static>,
    },
}

impl PeerTrust {
    /// Trusts the holder of one of these keys. The units show each other raw public keys
    /// (RFC 7250): no certificate, no clock, nothing that expires. Pin a second key while the
    /// peer's is being replaced.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NothingPinned`] if there is no fingerprint.
    pub fn keys(pins: impl IntoIterator<Item = Fingerprint>) -> Result<Self, IdentityError> {
        pinned(pins).map(|pins| Self(Trust::RawKeys(pins)))
    }

    /// Like [`keys`](Self::keys), but the units show each other their self-signed certificates,
    /// and one outside its period of validity (by this unit's clock) is refused.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NothingPinned`] if there is no fingerprint.
    pub fn certificates(
        pins: impl IntoIterator<Item = Fingerprint>,
    ) -> Result<Self, IdentityError> {
        pinned(pins).map(|pins| Self(Trust::Certificates(pins)))
    }

    /// Trusts certificates for `peer_name` that an authority issued; `authority` is its
    /// certificate, or several, PEM. The certificates must be valid for TLS servers and clients.
    /// Revocation is not checked: to revoke a unit, replace the name it is expected to have.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Certificate`] or [`IdentityError::Name`].
    pub fn authority(authority: &str, peer_name: &str) -> Result<Self, IdentityError> {
        let anchors = certificates(authority)?
            .iter()
            .map(|certificate| Ok(webpki::anchor_from_trusted_cert(certificate)?.to_owned()))
            .collect::<Result<Vec<_>, webpki::Error>>()
            .map_err(|error| IdentityError::Certificate {
                detail: error.to_string(),
            })?;
        let name = ServerName::try_from(peer_name.to_owned()).map_err(|_| IdentityError::Name {
            name: peer_name.to_owned(),
        })?;
        Ok(Self(Trust::Authority { anchors, name }))
    }

    pub(crate) fn kind(&self) -> &Trust {
        &self.0
    }
}

fn pinned(pins: impl IntoIterator<Item = Fingerprint>) -> Result<Vec<Fingerprint>, IdentityError> {
    let pins: Vec<_> = pins.into_iter().collect();
    if pins.is_empty() {
        Err(IdentityError::NothingPinned)
    } else {
        Ok(pins)
    }
}

/// The certificates of a PEM text; at least one.
pub(super) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let error = |detail: String| IdentityError::Certificate { detail };
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| error(e.to_string()))?;
    let first = certificates
        .first()
        .ok_or_else(|| error("no certificate found".to_owned()))?;
    webpki::EndEntityCert::try_from(first).map_err(|e| error(e.to_string()))?;
    Ok(certificates)
}
