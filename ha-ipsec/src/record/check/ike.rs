//! What makes an [`IkeSa`] whole.

use core::net::SocketAddr;

use super::super::codec::limit;
use super::super::{
    Authentication, Certificate, ConfigAttribute, Identity, IkeKeys, IkeSa, IkeV2Keys, IkeVersion,
    MAX_ATTRIBUTES, MAX_USER_BYTES, RecordError, TransformKind, Unusable,
};
use super::{check_key, check_name, check_transform, known, need, refuse_if};
use crate::secret::Secret;

impl IkeSa {
    /// Whether the record is whole and free of contradictions. Insertion and decoding refuse what
    /// this refuses; what an unknown algorithm would need is not checked.
    ///
    /// # Errors
    /// What is missing, beyond its limit, or contradicts what.
    pub fn check(&self) -> Result<(), RecordError> {
        self.check_ends()?;
        self.check_state()?;
        self.check_algorithms()?;
        self.check_keys()?;
        self.check_who()?;
        self.check_attributes()?;
        self.lifetime.validate()?;
        self.dpd.validate()?;
        check_name("crypto_map", &self.crypto_map)?;
        check_name("profile", &self.profile)
    }

    /// Whether this release knows the algorithms of the SA. One of which it does not is kept, and
    /// sent on as it came.
    ///
    /// # Errors
    /// What is unknown.
    pub fn usable(&self) -> Result<(), Unusable> {
        known(self.encryption)?;
        known(self.integrity)?;
        known(self.prf)
    }

    fn check_ends(&self) -> Result<(), RecordError> {
        // RFC 7296 §2.6, RFC 2408 §3.1: the initiator's SPI is never zero.
        need(self.id.initiator != 0, "initiator")?;
        need(self.local.port() != 0, "local_port")?;
        need(self.remote.port() != 0, "remote_port")?;
        refuse_if(
            self.local.is_ipv4() != self.remote.is_ipv4(),
            "a local and a remote address of different families",
        )?;
        refuse_if(
            is_scoped(&self.local) || is_scoped(&self.remote),
            "an address with a scope id or a flow label, which mean nothing to the other unit",
        )
    }

    fn check_state(&self) -> Result<(), RecordError> {
        let keys = match self.keys {
            IkeKeys::V1(_) => IkeVersion::V1,
            IkeKeys::V2(_) => IkeVersion::V2,
        };
        refuse_if(keys != self.version, "keys of another version of IKE")?;
        refuse_if(
            self.state.version() != self.version,
            "a state of another version of IKE",
        )?;
        if !self.state.is_established() {
            return Ok(());
        }
        need(self.id.responder != 0, "responder")?;
        need(self.encryption.is_some(), "encryption")?;
        need(self.prf.is_some(), "prf")?;
        match &self.keys {
            IkeKeys::V1(keys) => need(!keys.skeyid_d.is_empty(), "skeyid_d"),
            IkeKeys::V2(keys) => need(!keys.sk_d.is_empty(), "sk_d"),
        }
    }

    fn check_algorithms(&self) -> Result<(), RecordError> {
        for (transform, kind) in [
            (self.encryption, TransformKind::Encryption),
            (self.integrity, TransformKind::Integrity),
            (self.prf, TransformKind::Prf),
        ] {
            transform.map_or(Ok(()), |transform| check_transform(transform, kind))?;
        }
        let aead = self.encryption.is_some_and(|it| it.is_aead());
        refuse_if(
            self.integrity.is_some() && (aead || self.version == IkeVersion::V1),
            "an integrity algorithm beside a combined mode (RFC 7296 §3.3) or in IKEv1",
        )
    }

    /// IKEv1 stretches and cuts its keys as the algorithm needs (RFC 2409 appendix B): only their
    /// bounds are checked.
    fn check_keys(&self) -> Result<(), RecordError> {
        for (field, key) in self.keys.each() {
            limit(field, key.len(), Secret::MAX_BYTES)?;
        }
        match &self.keys {
            IkeKeys::V1(_) => Ok(()),
            IkeKeys::V2(keys) => self.check_v2(keys),
        }
    }

    /// An SA that is not yet established may lack keys.
    fn check_v2(&self, keys: &IkeV2Keys) -> Result<(), RecordError> {
        let established = self.state.is_established();
        for (field, transform, key, always) in [
            ("sk_d", self.prf, &keys.sk_d, established),
            ("sk_ai", self.integrity, &keys.sk_ai, established),
            ("sk_ar", self.integrity, &keys.sk_ar, established),
            ("sk_ei", self.encryption, &keys.sk_ei, established),
            ("sk_er", self.encryption, &keys.sk_er, established),
            ("sk_pi", self.prf, &keys.sk_pi, false),
            ("sk_pr", self.prf, &keys.sk_pr, false),
        ] {
            if always || !key.is_empty() {
                check_key(field, transform, key)?;
            }
        }
        Ok(())
    }

    fn check_who(&self) -> Result<(), RecordError> {
        for (field, identity) in [
            ("local_id", &self.local_identity),
            ("remote_id", &self.remote_identity),
        ] {
            limit(field, identity.data.len(), Identity::MAX_BYTES)?;
            let wrong = identity.kind == 0 && !identity.data.is_empty();
            refuse_if(wrong, "the data of an identity without its type")?;
        }
        check_authentication(&self.local_authentication)?;
        check_authentication(&self.authentication)?;
        let user = self.user.as_ref().map_or(0, String::len);
        limit("user", user, MAX_USER_BYTES)
    }

    fn check_attributes(&self) -> Result<(), RecordError> {
        limit("attributes", self.attributes.len(), MAX_ATTRIBUTES)?;
        for attribute in &self.attributes {
            limit("value", attribute.value.len(), ConfigAttribute::MAX_BYTES)?;
        }
        Ok(())
    }
}

fn is_scoped(end: &SocketAddr) -> bool {
    match end {
        SocketAddr::V4(_) => false,
        SocketAddr::V6(end) => end.scope_id() != 0 || end.flowinfo() != 0,
    }
}

fn check_authentication(it: &Authentication) -> Result<(), RecordError> {
    let Authentication::Certificate(certificate) = it else {
        return Ok(());
    };
    limit("chain", certificate.chain.len(), Certificate::MAX_CHAIN)?;
    for der in &certificate.chain {
        limit("chain", der.len(), Certificate::MAX_DER_BYTES)?;
    }
    Ok(())
}
