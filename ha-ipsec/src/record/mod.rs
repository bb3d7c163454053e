//! What both units know of each SA.
//!
//! One record per direction of an IPsec SA ([`IpsecSa`]), one per IKE SA ([`IkeSa`]), and one per
//! IKE SA for what moves with each exchange ([`IkeProgress`]).

mod check;
mod codec;
mod error;
mod identity;
mod ike;
mod ipsec;
mod keys;
mod name;
mod progress;
mod selector;
mod transform;
mod unknown;

pub use crate::rfc6311::SyncSupport;
pub use codec::VERSIONS;
pub use error::{RecordError, Unusable};
pub use identity::{Authentication, Certificate, ConfigAttribute, Identity, UnknownAuthentication};
pub use ike::{
    Extensions, IkeRole, IkeSa, IkeState, IkeVersion, MAX_ATTRIBUTES, MAX_USER_BYTES, NatDetection,
};
pub use ipsec::{
    DEFAULT_BUDGET, Direction, IpsecSa, LinuxAttributes, MAX_SECURITY_CONTEXT, MAX_SELECTORS, Mark,
    Mode, NatT, SaFlags,
};
pub use keys::{IkeKeys, IkeV1Keys, IkeV2Keys, SaKeys};
pub use name::Name;
pub use progress::IkeProgress;
pub use selector::Selector;
pub use transform::{Algorithm, Transform, TransformKind, compression_name};
pub use unknown::Unknown;
