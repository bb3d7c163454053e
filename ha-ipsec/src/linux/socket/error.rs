//! What can go wrong with a socket.

use std::io;

use rustix::io::Errno;

use crate::linux::xfrm::{DecodeError, EncodeError, NlError, Part};

/// Why a socket could not be opened, or a request was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// EPERM.
    #[error(
        "{what} needs CAP_NET_ADMIN in the network namespace's user namespace; run as root, or give the \
         program the capability"
    )]
    Permission {
        /// What was tried.
        what: &'static str,
    },
    /// EPROTONOSUPPORT or EOPNOTSUPP.
    #[error("this kernel has no XFRM over netlink (CONFIG_XFRM_USER); load it: modprobe xfrm_user")]
    Unsupported,
    /// The kernel refused a request.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// ENOBUFS: the receive buffer was full, and answers or events are lost.
    #[error(
        "the netlink receive buffer ran over and messages are lost; read everything anew, and make the \
         buffer larger (net.core.rmem_max)"
    )]
    Lost,
    /// A datagram longer than the buffer for it.
    #[error("a datagram of {length} bytes where there is room for {room}")]
    Truncated {
        /// Bytes of the datagram.
        length: usize,
        /// Bytes of the buffer.
        room: usize,
    },
    /// No answer came.
    #[error("the kernel did not answer within {waited_ms} ms")]
    Timeout {
        /// How long it was waited for, in milliseconds.
        waited_ms: u32,
    },
    /// A dump was never whole.
    #[error("a dump was interrupted {tries} times by changes; try again when it is quieter")]
    Interrupted {
        /// How often it was begun.
        tries: u32,
    },
    /// A dump of more than is allowed.
    #[error("the kernel holds more than {allowed} entries; raise the limit of the dump")]
    TooMany {
        /// How many are allowed.
        allowed: usize,
    },
    /// An answer of a kind that does not belong to the request.
    #[error("the kernel answered with {got}, which does not belong to the request")]
    Unexpected {
        /// What came.
        got: Part,
    },
    /// An answer that is no message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A request that cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Anything else that the system said.
    #[error("{what} failed: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl SocketError {
    pub(super) fn from_io(what: &'static str, source: io::Error) -> Self {
        match Errno::from_io_error(&source) {
            Some(Errno::PERM | Errno::ACCESS) => Self::Permission { what },
            Some(Errno::PROTONOSUPPORT | Errno::OPNOTSUPP) => Self::Unsupported,
            Some(Errno::NOBUFS) => Self::Lost,
            _ => Self::Io { what, source },
        }
    }
}

/// A request that the kernel refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the kernel refused {request}: {}{}", self.reason(), self.advice())]
pub struct KernelError {
    /// The message of the request.
    pub request: Part,
    /// The errno, positive.
    pub errno: i32,
    /// The kernel's own words (extended acknowledgement).
    pub text: Option<String>,
    /// Where in the request the fault is, in bytes.
    pub offset: Option<u32>,
}

impl KernelError {
    pub(super) fn new(request: u16, error: &NlError) -> Self {
        Self {
            request: Part::Message(request),
            errno: error.code.saturating_neg(),
            text: error.ack.text(),
            offset: error.ack.offset(),
        }
    }

    /// ESRCH, or ENOENT: there is no such SA or policy.
    pub fn is_missing(&self) -> bool {
        self.is(Errno::SRCH) || self.is(Errno::NOENT)
    }

    /// EEXIST: there is one already.
    pub fn is_duplicate(&self) -> bool {
        self.is(Errno::EXIST)
    }

    fn is(&self, errno: Errno) -> bool {
        self.errno == errno.raw_os_error()
    }

    fn reason(&self) -> String {
        let system = io::Error::from_raw_os_error(self.errno);
        match &self.text {
            Some(text) => format!("{text} ({system})"),
            None => system.to_string(),
        }
    }

    fn advice(&self) -> &'static str {
        if self.is(Errno::PERM) {
            "; it needs CAP_NET_ADMIN"
        } else if self.is(Errno::PROTONOSUPPORT) || self.is(Errno::OPNOTSUPP) {
            "; load the module of the protocol: modprobe esp4, esp6, ah4, ah6, ipcomp or xfrm_user"
        } else if self.is(Errno::NOSYS) {
            "; this kernel lacks the algorithm: modprobe its module"
        } else {
            ""
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        let of = |errno: Errno| {
            SocketError::from_io("listening to XFRM events", errno.into()).to_string()
        };
        assert!(of(Errno::PERM).starts_with("listening to XFRM events needs CAP_NET_ADMIN"));
        assert!(of(Errno::PROTONOSUPPORT).ends_with("modprobe xfrm_user"));
        assert!(of(Errno::NOBUFS).contains("read everything anew"));
        assert!(
            of(Errno::MSGSIZE).starts_with("listening to XFRM events failed: Message too long")
        );
        let refused = |errno: Errno| {
            let error = NlError {
                code: -errno.raw_os_error(),
                ..NlError::default()
            };
            KernelError::new(crate::linux::xfrm::kind::NEWSA, &error)
        };
        assert_eq!(
            refused(Errno::PERM).to_string(),
            "the kernel refused XFRM_MSG_NEWSA: Operation not permitted (os error 1); it needs \
             CAP_NET_ADMIN"
        );
        assert!(
            refused(Errno::PROTONOSUPPORT)
                .to_string()
                .contains("modprobe esp4")
        );
        assert!(refused(Errno::EXIST).is_duplicate() && refused(Errno::SRCH).is_missing());
    }
}
