//! What can go wrong with virtual addresses.

use std::net::IpAddr;
use std::sync::Arc;

use super::VirtualAddress;

/// Why virtual addresses could not be taken or released.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VipError {
    /// More than can be handled.
    #[error("{got} virtual addresses; at most {allowed} are possible")]
    TooMany {
        /// How many.
        got: usize,
        /// How many are allowed.
        allowed: usize,
    },
    /// The same address twice.
    #[error("the virtual address {0} is named twice; remove one")]
    Twice(IpAddr),
    /// There is no interface of that name.
    #[error(
        "there is no interface {0} in this network namespace; is its name right, and is it up?"
    )]
    NoInterface(String),
    /// Somebody else configured the address on this machine.
    #[error(
        "{address} is on {interface} already and was not put there by this program; remove it \
         (ip address del), or choose another one"
    )]
    InUse {
        /// The address.
        address: VirtualAddress,
        /// Where it is.
        interface: String,
    },
    /// EPERM or EACCES.
    #[error("{what} needs {capability}; run as root, or give the program the capability")]
    Permission {
        /// What was tried.
        what: &'static str,
        /// The capability.
        capability: &'static str,
    },
    /// The kernel refused.
    #[error("{what} failed: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: Arc<std::io::Error>,
    },
    /// The kernel's answer is no message.
    #[error("the kernel's answer to {what} cannot be read: {cause}")]
    Answer {
        /// What was asked.
        what: &'static str,
        /// Why.
        cause: String,
    },
}

impl VipError {
    pub(super) fn io(what: &'static str, error: std::io::Error) -> Self {
        let capability = match error.kind() {
            std::io::ErrorKind::PermissionDenied if what.starts_with("announcing") => "CAP_NET_RAW",
            std::io::ErrorKind::PermissionDenied => "CAP_NET_ADMIN",
            _ => {
                let source = Arc::new(error);
                return Self::Io { what, source };
            }
        };
        Self::Permission { what, capability }
    }
}
