//! What both units know of each SA.
//!
//! One record per direction of an IPsec SA ([`IpsecSa`]), one per IKE SA ([`IkeSa`]), and one per
//! IKE SA for what moves with each exchange ([`IkeProgress`]). Sequence numbers and windows, which
//! change with each packet, are no part of them: see [`sad`](crate::sad).
//!
//! All implement [`Record`](ha_core::checkpoint::Record), in the format of `proto/ipsec.proto`. What
//! a newer release adds survives ([`Unknown`]); algorithms that are unknown here are kept but not
//! used ([`IpsecSa::usable`]); what contradicts itself is refused ([`IpsecSa::check`]).
//!
//! # Sizes
//! A tunnel with AES-GCM-128, one selector on each side and a named crypto map takes about 170
//! bytes encoded, and about 510 bytes decoded: 408 of [`IpsecSa`] and 104 on the heap. The SA database
//! keeps IPsec SAs encoded until a packet or a person asks for one.
//!
//! # Limits
//! Everything has one, and it is checked before anything is allocated: see the constants of the
//! types, [`MAX_SELECTORS`] and [`MAX_ATTRIBUTES`].

mod check;
mod codec;
mod error;
mod identity;
mod ike;
mod ipsec;
mod keys;
mod memory;
mod name;
mod progress;
mod selector;
mod stored;
mod transform;
mod unknown;

pub use crate::rfc6311::SyncSupport;
pub(crate) use codec::Outline;
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
pub(crate) use stored::StoredSa;
pub use transform::{Algorithm, Transform, TransformKind, compression_name};
pub use unknown::Unknown;
