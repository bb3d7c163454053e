//! The TLS configuration, the only place that knows the cryptographic provider and the clock.
//!
//! TLS 1.3 only, both sides authenticated, no resumption: a resumed session would skip the check
//! of a pin that was removed or a certificate that expired meanwhile.

mod error;
mod verify;

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::time_provider::DefaultTimeProvider;
use rustls::{ClientConfig, ServerConfig};

use crate::error::LinkError;
use crate::fingerprint::Fingerprint;
use crate::identity::{Identity, IdentityError, PeerTrust, Trust};

#[cfg(feature = "quic")]
pub(crate) use error::refused_by_peer;
pub(crate) use error::wrong_protocol;
#[cfg(any(feature = "tcp", feature = "sctp"))]
pub(crate) use error::{ended, failed_handshake, lost};
use verify::PeerVerifier;
pub(crate) use verify::Verdict;

/// The protocol that both ends agree on by ALPN (RFC 7301).
pub(crate) const ALPN: &str = "ha/1";

/// What a unit needs for a handshake: who it is and whom it trusts.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    certified: Arc<CertifiedKey>,
    trust: PeerTrust,
}

impl Credentials {
    pub(crate) fn new(identity: &Identity, trust: PeerTrust) -> Result<Self, LinkError> {
        let chain = match trust.kind() {
            Trust::RawKeys(_) => vec![raw_public_key(identity)?],
            Trust::Certificates(_) | Trust::Authority { .. } => identity.chain().to_vec(),
        };
        let certified = Arc::new(CertifiedKey::new(chain, Arc::clone(identity.key())));
        let credentials = Self { certified, trust };
        credentials.client()?;
        Ok(credentials)
    }

    /// The configuration for one connection that this unit dials, and what comes of the check of
    /// the peer.
    pub(crate) fn client(&self) -> Result<(ClientConfig, Verdict), LinkError> {
        let verdict = Verdict::default();
        let verifier = PeerVerifier::new(provider(), self.trust.clone(), verdict.clone());
        let builder = ClientConfig::builder_with_details(provider(), Arc::new(DefaultTimeProvider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(config_error)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let certified = Arc::clone(&self.certified);
        let mut config = match self.trust.kind() {
            Trust::RawKeys(_) => builder.with_client_cert_resolver(Arc::new(
                AlwaysResolvesClientRawPublicKeys::new(certified),
            )),
            _ => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified))),
        };
        config.alpn_protocols = vec![ALPN.into()];
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Ok((config, verdict))
    }

    /// The configuration for one connection that this unit accepts, and what comes of the check of
    /// the peer.
    pub(crate) fn server(&self) -> Result<(ServerConfig, Verdict), LinkError> {
        let verdict = Verdict::default();
        let verifier = PeerVerifier::new(provider(), self.trust.clone(), verdict.clone());
        let builder = ServerConfig::builder_with_details(provider(), Arc::new(DefaultTimeProvider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(config_error)?
            .with_client_cert_verifier(Arc::new(verifier));
        let certified = Arc::clone(&self.certified);
        let mut config = match self.trust.kind() {
            Trust::RawKeys(_) => builder
                .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified))),
            _ => builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified))),
        };
        config.alpn_protocols = vec![ALPN.into()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok((config, verdict))
    }

    /// The name to dial. It is never sent; with an authority the verifier checks the name that the
    /// configuration gives.
    pub(crate) fn server_name(&self) -> ServerName<'static> {
        match self.trust.kind() {
            Trust::Authority { name, .. } => name.clone(),
            _ => ServerName::try_from("peer").unwrap_or_else(|_| unreachable!("a valid name")),
        }
    }
}

/// The fingerprint of a public key in DER form.
pub(crate) fn fingerprint(spki: &[u8]) -> Fingerprint {
    let hash = digest(&SHA256, spki);
    let mut value = [0; 32];
    value.copy_from_slice(hash.as_ref());
    Fingerprint::new(value)
}

/// Reads a private key, PEM.
pub(crate) fn load_key(pem: &str) -> Result<Arc<dyn SigningKey>, IdentityError> {
    let error = |detail: String| IdentityError::Key { detail };
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|e| error(e.to_string()))?;
    provider()
        .key_provider
        .load_private_key(key)
        .map_err(|e| error(e.to_string()))
}

fn raw_public_key(identity: &Identity) -> Result<CertificateDer<'static>, LinkError> {
    let spki = identity.key().public_key();
    let spki = spki.ok_or_else(|| config_error("the key does not tell its public half"))?;
    Ok(CertificateDer::from(spki.to_vec()))
}

fn config_error(detail: impl ToString) -> LinkError {
    LinkError::Config {
        detail: detail.to_string(),
    }
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let provider = PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    Arc::clone(provider)
}
