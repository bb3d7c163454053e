//! Fields of a newer release.

use core::fmt;

/// Fields that a newer release wrote and this one does not know, as they came; they are sent on
/// behind the known ones (promise P8). Empty for records made here.
///
/// A caller that changes a record changes the decoded one, so that these go along; one that makes
/// it anew may move them over.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Unknown(Option<Box<[u8]>>);

impl Unknown {
    /// The most that is kept, in bytes; a record with more is refused.
    pub const MAX_BYTES: usize = 4096;

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The encoded fields.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self((!bytes.is_empty()).then(|| bytes.into()))
    }
}

/// The length alone: a newer release may put a key into a field that is unknown here.
impl fmt::Debug for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unknown({} bytes)", self.as_bytes().len())
    }
}

/// For the same reason.
impl Drop for Unknown {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}
