//! The keys of SAs.

use crate::secret::Secret;

/// The keys of one direction of an IPsec SA.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SaKeys {
    /// For encryption, with the salt behind the key where the algorithm has one (RFC 4106 §8.1);
    /// empty without encryption.
    pub encryption: Secret,
    /// For integrity; empty for a combined mode.
    pub integrity: Secret,
}

impl SaKeys {
    /// The keys of an SA. Copies: the caller overwrites its own.
    pub fn new(encryption: &[u8], integrity: &[u8]) -> Self {
        Self {
            encryption: Secret::new(encryption),
            integrity: Secret::new(integrity),
        }
    }
}

/// The keys of an IKE SA.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum IkeKeys {
    /// IKEv1.
    V1(IkeV1Keys),
    /// IKEv2.
    V2(IkeV2Keys),
}

impl IkeKeys {
    /// Each key with its name.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&'static str, &Secret)> {
        let list = match self {
            Self::V1(keys) => [
                Some(("skeyid", &keys.skeyid)),
                Some(("skeyid_d", &keys.skeyid_d)),
                Some(("skeyid_a", &keys.skeyid_a)),
                Some(("skeyid_e", &keys.skeyid_e)),
                Some(("iv", &keys.iv)),
                None,
                None,
            ],
            Self::V2(keys) => [
                Some(("sk_d", &keys.sk_d)),
                Some(("sk_ai", &keys.sk_ai)),
                Some(("sk_ar", &keys.sk_ar)),
                Some(("sk_ei", &keys.sk_ei)),
                Some(("sk_er", &keys.sk_er)),
                Some(("sk_pi", &keys.sk_pi)),
                Some(("sk_pr", &keys.sk_pr)),
            ],
        };
        list.into_iter().flatten()
    }
}

/// The keys of an IKEv1 SA (RFC 2409 §5).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct IkeV1Keys {
    /// SKEYID.
    pub skeyid: Secret,
    /// SKEYID_d: derives the keys of phase 2.
    pub skeyid_d: Secret,
    /// SKEYID_a: authenticates.
    pub skeyid_a: Secret,
    /// SKEYID_e, or the key expanded from it (RFC 2409 appendix B): encrypts.
    pub skeyid_e: Secret,
    /// The last CBC block of phase 1, from which the IV of each later exchange derives
    /// (RFC 2409 appendix B).
    pub iv: Secret,
}

/// The keys of an IKEv2 SA (RFC 7296 §2.14).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct IkeV2Keys {
    /// SK_d: derives the keys of the child SAs.
    pub sk_d: Secret,
    /// SK_ai: integrity, from the initiator; empty with a combined mode (RFC 5282 §7).
    pub sk_ai: Secret,
    /// SK_ar: integrity, from the responder; empty with a combined mode.
    pub sk_ar: Secret,
    /// SK_ei: encryption, from the initiator, with the salt of a combined mode.
    pub sk_ei: Secret,
    /// SK_er: encryption, from the responder, with the salt of a combined mode.
    pub sk_er: Secret,
    /// SK_pi: the initiator's AUTH payload; may be empty once the SA is established.
    pub sk_pi: Secret,
    /// SK_pr: the responder's AUTH payload; may be empty once the SA is established.
    pub sk_pr: Secret,
}
