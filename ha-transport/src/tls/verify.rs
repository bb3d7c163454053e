//! The check of the peer in the handshake.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{
    CertificateDer, ServerName, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, PeerIncompatible, SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage};

use super::fingerprint;
use crate::error::LinkError;
use crate::fingerprint::Fingerprint;
use crate::identity::{PeerTrust, Trust};

/// What came of the check of one peer. The TLS library passes on only its own errors.
#[derive(Clone, Default, Debug)]
pub(crate) struct Verdict(Arc<Mutex<Seen>>);

#[derive(Default, Debug)]
struct Seen {
    fingerprint: Option<Fingerprint>,
    refusal: Option<LinkError>,
}

impl Verdict {
    /// The key that the peer showed. It has proved to hold it once the handshake has finished.
    pub(crate) fn fingerprint(&self) -> Option<Fingerprint> {
        self.0.lock().fingerprint
    }

    /// Why the peer was refused.
    pub(crate) fn refusal(&self) -> Option<LinkError> {
        self.0.lock().refusal.clone()
    }
}

/// Checks the peer of one connection, be it client or server.
pub(super) struct PeerVerifier {
    algorithms: WebPkiSupportedAlgorithms,
    trust: PeerTrust,
    verdict: Verdict,
}

impl PeerVerifier {
    pub(super) fn new(provider: Arc<CryptoProvider>, trust: PeerTrust, verdict: Verdict) -> Self {
        Self {
            algorithms: provider.signature_verification_algorithms,
            trust,
            verdict,
        }
    }

    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: KeyUsage,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let checked = match self.trust.kind() {
            Trust::RawKeys(pins) => self.check_pin(end_entity, pins),
            Trust::Certificates(pins) => {
                self.check_pinned_certificate(end_entity, pins, usage, now)
            }
            Trust::Authority { anchors, name } => {
                self.check_chain(end_entity, intermediates, anchors, name, usage, now)
            }
        };
        checked.map_err(|refusal| {
            let error = alert_for(&refusal);
            self.verdict.0.lock().refusal = Some(refusal);
            rustls::Error::InvalidCertificate(error)
        })
    }

    fn check_pin(&self, spki: &[u8], pins: &[Fingerprint]) -> Result<(), LinkError> {
        let seen = fingerprint(spki);
        self.verdict.0.lock().fingerprint = Some(seen);
        if pins.contains(&seen) {
            return Ok(());
        }
        Err(LinkError::PeerNotPinned {
            seen,
            expected: pins.to_vec(),
        })
    }

    fn check_pinned_certificate(
        &self,
        der: &CertificateDer<'_>,
        pins: &[Fingerprint],
        usage: KeyUsage,
        now: UnixTime,
    ) -> Result<(), LinkError> {
        let certificate = EndEntityCert::try_from(der).map_err(refusal)?;
        self.check_pin(&certificate.subject_public_key_info(), pins)?;
        // A pinned certificate is its own authority: what is left to check is its signature, its
        // period of validity and its purpose.
        let anchor = webpki::anchor_from_trusted_cert(der).map_err(refusal)?;
        self.check_path(&certificate, &[], &[anchor], usage, now)
    }

    fn check_chain(
        &self,
        der: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        anchors: &[TrustAnchor<'_>],
        name: &ServerName<'_>,
        usage: KeyUsage,
        now: UnixTime,
    ) -> Result<(), LinkError> {
        let certificate = EndEntityCert::try_from(der).map_err(refusal)?;
        self.check_path(&certificate, intermediates, anchors, usage, now)?;
        certificate
            .verify_is_valid_for_subject_name(name)
            .map_err(refusal)?;
        let seen = fingerprint(&certificate.subject_public_key_info());
        self.verdict.0.lock().fingerprint = Some(seen);
        Ok(())
    }

    fn check_path(
        &self,
        certificate: &EndEntityCert<'_>,
        intermediates: &[CertificateDer<'_>],
        anchors: &[TrustAnchor<'_>],
        usage: KeyUsage,
        now: UnixTime,
    ) -> Result<(), LinkError> {
        let algorithms = self.algorithms.all;
        certificate
            .verify_for_usage(algorithms, anchors, intermediates, now, usage, None, None)
            .map(drop)
            .map_err(refusal)
    }

    fn is_raw(&self) -> bool {
        matches!(self.trust.kind(), Trust::RawKeys(_))
    }

    fn verify_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.is_raw() {
            let spki = SubjectPublicKeyInfoDer::from(certificate.as_ref());
            verify_tls13_signature_with_raw_key(message, &spki, signature, &self.algorithms)
        } else {
            verify_tls13_signature(message, certificate, signature, &self.algorithms)
        }
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(end_entity, intermediates, KeyUsage::server_auth(), now)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.is_raw()
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verify(end_entity, intermediates, KeyUsage::client_auth(), now)
            .map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.is_raw()
    }
}

impl fmt::Debug for PeerVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerVerifier")
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

/// Our reason for what the certificate library found.
fn refusal(error: webpki::Error) -> LinkError {
    use webpki::Error as E;
    let detail = error.to_string();
    let hint = match error {
        E::CertExpired { time, not_after } => {
            let seconds = time.as_secs().saturating_sub(not_after.as_secs());
            return LinkError::CertificateExpired {
                detail: ago(seconds),
            };
        }
        E::CertNotValidYet { time, not_before } => {
            let seconds = not_before.as_secs().saturating_sub(time.as_secs());
            return LinkError::CertificateNotYetValid {
                detail: ahead(seconds),
            };
        }
        E::UnknownIssuer | E::InvalidSignatureForPublicKey => {
            "it was not issued by the configured authority"
        }
        E::CertNotValidForName(_) => "it is for another name than the one configured for the peer",
        E::RequiredEkuNotFoundContext(_) => {
            "it must be valid for TLS servers and for TLS clients (extended key usage)"
        }
        E::CaUsedAsEndEntity => "it is the certificate of an authority, not of a unit",
        _ => "make a new one with `ha-identity new`",
    };
    LinkError::CertificateRefused { detail, hint }
}

fn ago(seconds: u64) -> String {
    format!(
        "{} days {} h {} min ago by this unit's clock",
        days(seconds),
        hours(seconds),
        minutes(seconds)
    )
}

fn ahead(seconds: u64) -> String {
    format!(
        "valid in {} days {} h {} min by this unit's clock",
        days(seconds),
        hours(seconds),
        minutes(seconds)
    )
}

const fn days(seconds: u64) -> u64 {
    seconds / 86_400
}

const fn hours(seconds: u64) -> u64 {
    seconds / 3600 % 24
}

const fn minutes(seconds: u64) -> u64 {
    seconds / 60 % 60
}

/// The error that makes the TLS library send the fitting alert to the peer.
fn alert_for(refusal: &LinkError) -> CertificateError {
    match refusal {
        LinkError::PeerNotPinned { .. } => CertificateError::ApplicationVerificationFailure,
        LinkError::CertificateExpired { .. } => CertificateError::Expired,
        LinkError::CertificateNotYetValid { .. } => CertificateError::NotValidYet,
        _ => CertificateError::BadEncoding,
    }
}
