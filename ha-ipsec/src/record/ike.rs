//! The record of an IKE SA.

use core::fmt;
use core::net::SocketAddr;

use super::{
    Authentication, ConfigAttribute, Identity, IkeKeys, IkeV1Keys, IkeV2Keys, Name, Transform,
    Unknown,
};
use crate::dpd::DpdConfig;
use crate::id::IkeId;
use crate::lifetime::Lifetime;
use crate::rfc6311::SyncSupport;

/// An IKE SA: what does not change with each exchange; see [`IkeProgress`](super::IkeProgress) for
/// what does.
///
/// [`new`](Self::new) asks for what every SA has; set the rest field by field. What contradicts
/// itself is refused by [`check`](Self::check), which every insertion and every decoding does.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct IkeSa {
    /// The SPIs or cookies.
    pub id: IkeId,
    /// The version of IKE; [`keys`](Self::keys) must be of the same.
    pub version: IkeVersion,
    /// Whether this gateway began.
    pub role: IkeRole,
    /// How far the SA is.
    pub state: IkeState,
    /// This gateway's address and UDP port. No scope id and no flow label: they mean something on
    /// one unit only.
    pub local: SocketAddr,
    /// The peer's address and UDP port, of the same family.
    pub remote: SocketAddr,
    /// The VRF of the packets; 0 is the global one.
    pub vrf: u32,
    /// Who this gateway says it is.
    pub local_identity: Identity,
    /// Who the peer is.
    pub remote_identity: Identity,
    /// How this gateway proved that.
    pub local_authentication: Authentication,
    /// How the peer proved that.
    pub authentication: Authentication,
    /// The user after XAUTH or EAP; at most [`MAX_USER_BYTES`].
    pub user: Option<String>,
    /// The encryption algorithm.
    pub encryption: Option<Transform>,
    /// The integrity algorithm; none with a combined mode, and for IKEv1.
    pub integrity: Option<Transform>,
    /// The pseudorandom function; for IKEv1 the HMAC of the hash.
    pub prf: Option<Transform>,
    /// The Diffie-Hellman group at IANA (transform type 4); 0 is none.
    pub group: u16,
    /// The keys.
    pub keys: IkeKeys,
    /// What the peer was assigned, in the order in which it was; at most [`MAX_ATTRIBUTES`].
    pub attributes: Vec<ConfigAttribute>,
    /// Who is behind NAT.
    pub nat: NatDetection,
    /// When to rekey, and when the SA ends.
    pub lifetime: Lifetime,
    /// When the SA was made, in seconds since 1970 by the clock of the group
    /// ([`Sad::unix_s`](crate::sad::Sad::unix_s)); 0 before it is inserted.
    pub created_unix_s: u64,
    /// When the peer must authenticate again (RFC 4478), in seconds since 1970.
    pub reauthenticate_unix_s: Option<u64>,
    /// After how many seconds without traffic the SA is given up; none for never.
    pub idle_timeout_s: Option<u32>,
    /// Dead peer detection.
    pub dpd: DpdConfig,
    /// What of RFC 6311 both sides support.
    pub sync_support: SyncSupport,
    /// Other extensions that both sides support.
    pub extensions: Extensions,
    /// Tells SAs apart that had the same SPIs one after the other (Cisco's cookies stamp).
    pub ha_stamp: u64,
    /// The connection's number in `show`.
    pub conn_id: u32,
    /// The crypto map by which it was made.
    pub crypto_map: Name,
    /// The IKE profile by which it was made.
    pub profile: Name,
    /// Fields of a newer release.
    pub unknown: Unknown,
}

impl IkeSa {
    /// An SA in the first state of its version, with no keys and no algorithms, and with
    /// the default dead peer detection of the version.
    pub fn new(
        id: IkeId,
        version: IkeVersion,
        role: IkeRole,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Self {
        let (state, keys, dpd) = match version {
            IkeVersion::V1 => {
                let keys = IkeKeys::V1(IkeV1Keys::default());
                (IkeState::MmNoState, keys, DpdConfig::IKEV1)
            }
            IkeVersion::V2 => {
                let keys = IkeKeys::V2(IkeV2Keys::default());
                (IkeState::InNegotiation, keys, DpdConfig::IKEV2)
            }
        };
        Self {
            id,
            version,
            role,
            state,
            local,
            remote,
            vrf: 0,
            local_identity: Identity::default(),
            remote_identity: Identity::default(),
            local_authentication: Authentication::None,
            authentication: Authentication::None,
            user: None,
            encryption: None,
            integrity: None,
            prf: None,
            group: 0,
            keys,
            attributes: Vec::new(),
            nat: NatDetection::default(),
            lifetime: Lifetime::default(),
            created_unix_s: 0,
            reauthenticate_unix_s: None,
            idle_timeout_s: None,
            dpd,
            sync_support: SyncSupport::default(),
            extensions: Extensions::default(),
            ha_stamp: 0,
            conn_id: 0,
            crypto_map: Name::default(),
            profile: Name::default(),
            unknown: Unknown::default(),
        }
    }
}

/// How many configuration attributes an IKE SA may have.
pub const MAX_ATTRIBUTES: usize = 64;
/// The longest user name, in bytes of UTF-8.
pub const MAX_USER_BYTES: usize = 255;

/// The version of IKE.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum IkeVersion {
    /// RFC 2409.
    V1 = 1,
    /// RFC 7296.
    V2 = 2,
}

impl fmt::Display for IkeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V1 => "IKEv1",
            Self::V2 => "IKEv2",
        })
    }
}

/// Which side of an IKE SA this gateway is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum IkeRole {
    /// It began.
    Initiator = 1,
    /// The peer began.
    Responder = 2,
}

impl fmt::Display for IkeRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Initiator => "Initiator",
            Self::Responder => "Responder",
        })
    }
}

/// How far an IKE SA is, with the texts of `show crypto isakmp sa` and `show crypto ikev2 sa`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
#[non_exhaustive]
pub enum IkeState {
    /// Main mode: the SA exists, nothing else happened.
    MmNoState = 1,
    /// Main mode: the parameters are agreed.
    MmSaSetup = 2,
    /// Main mode: keys are exchanged.
    MmKeyExchange = 3,
    /// Main mode: authenticated.
    MmKeyAuthenticated = 4,
    /// Aggressive mode: the SA exists, nothing else happened.
    AgNoState = 5,
    /// Aggressive mode: the first exchange is done.
    AgInitExchange = 6,
    /// Aggressive mode: authenticated.
    AgAuthenticated = 7,
    /// IKEv1: established, and free for quick mode.
    QmIdle = 8,
    /// IKEv1: XAUTH under way.
    ConfXauth = 9,
    /// IKEv1: mode config under way.
    ConfAddr = 10,
    /// IKEv2: not yet established.
    InNegotiation = 16,
    /// IKEv2: established.
    Ready = 17,
    /// IKEv2: being deleted.
    Delete = 18,
}

impl IkeState {
    const ALL: [Self; 13] = [
        Self::MmNoState,
        Self::MmSaSetup,
        Self::MmKeyExchange,
        Self::MmKeyAuthenticated,
        Self::AgNoState,
        Self::AgInitExchange,
        Self::AgAuthenticated,
        Self::QmIdle,
        Self::ConfXauth,
        Self::ConfAddr,
        Self::InNegotiation,
        Self::Ready,
        Self::Delete,
    ];

    /// Cisco's text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MmNoState => "MM_NO_STATE",
            Self::MmSaSetup => "MM_SA_SETUP",
            Self::MmKeyExchange => "MM_KEY_EXCH",
            Self::MmKeyAuthenticated => "MM_KEY_AUTH",
            Self::AgNoState => "AG_NO_STATE",
            Self::AgInitExchange => "AG_INIT_EXCH",
            Self::AgAuthenticated => "AG_AUTH",
            Self::QmIdle => "QM_IDLE",
            Self::ConfXauth => "CONF_XAUTH",
            Self::ConfAddr => "CONF_ADDR",
            Self::InNegotiation => "IN-NEG",
            Self::Ready => "READY",
            Self::Delete => "DELETE",
        }
    }

    /// The version of IKE that has this state.
    pub const fn version(self) -> IkeVersion {
        match self {
            Self::InNegotiation | Self::Ready | Self::Delete => IkeVersion::V2,
            _ => IkeVersion::V1,
        }
    }

    /// Whether phase 1 or IKE_AUTH is complete, so that there are keys.
    pub const fn is_established(self) -> bool {
        matches!(
            self,
            Self::QmIdle | Self::ConfXauth | Self::ConfAddr | Self::Ready | Self::Delete
        )
    }

    pub(super) fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as u64 == number)
    }
}

impl fmt::Display for IkeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Who is behind NAT (RFC 7296 §2.23, RFC 3947 §3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct NatDetection {
    /// This gateway.
    pub local: bool,
    /// The peer.
    pub remote: bool,
}

/// Extensions that both sides of an IKE SA support, as a set of bits. Bits unknown here are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Extensions(u64);

impl Extensions {
    /// Fragmentation (RFC 7383; for IKEv1 the vendor's).
    pub const FRAGMENTATION: Self = Self(1);
    /// MOBIKE (RFC 4555).
    pub const MOBIKE: Self = Self(1 << 1);
    /// Redirect (RFC 5685).
    pub const REDIRECT: Self = Self(1 << 2);
    /// Session resumption (RFC 5723).
    pub const RESUMPTION: Self = Self(1 << 3);
    /// Quick crash detection (RFC 6290).
    pub const QUICK_CRASH_DETECTION: Self = Self(1 << 4);
    /// Cloning (RFC 7791).
    pub const CLONING: Self = Self(1 << 5);
    /// Childless initiation (RFC 6023).
    pub const CHILDLESS: Self = Self(1 << 6);
    /// Signature hash algorithms (RFC 7427).
    pub const SIGNATURE_AUTHENTICATION: Self = Self(1 << 7);
    /// EAP alone (RFC 5998).
    pub const EAP_ONLY: Self = Self(1 << 8);
    /// IKE_INTERMEDIATE (RFC 9242).
    pub const INTERMEDIATE: Self = Self(1 << 9);
    /// DPD as a vendor id of IKEv1 (RFC 3706).
    pub const DPD: Self = Self(1 << 10);
    /// NAT traversal as a vendor id of IKEv1 (RFC 3947).
    pub const NAT_T: Self = Self(1 << 11);
    /// XAUTH (Cisco, IKEv1).
    pub const XAUTH: Self = Self(1 << 12);
    /// Cisco Unity.
    pub const CISCO_UNITY: Self = Self(1 << 13);

    /// The set with these bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether all of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl core::ops::BitOr for Extensions {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extensions({:#x})", self.0)
    }
}
