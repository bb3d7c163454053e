//! Key material.

use core::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

/// Bytes that nobody else may see: a key, a salt, a shared secret.
///
/// They live in one heap allocation of exactly their length, never move while the value moves, and
/// are overwritten when it is dropped. `Debug` says how many there are and nothing else; there is
/// no `Display`, no serialization, and no ordering. Equality takes the same time wherever the
/// first difference is (the length is no secret).
///
/// What this cannot do: overwrite the bytes that a secret was made from, or keep the system from
/// paging memory out.
#[derive(Clone, Default)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// The longest secret that a [record](crate::record) may hold, in bytes. The longest in use is
    /// a 64-byte key of HMAC-SHA2-512; this leaves room for algorithms to come.
    pub const MAX_BYTES: usize = 256;

    /// Copies `bytes`. The caller's copy stays as it is: overwrite it, or use
    /// [`from_vec`](Self::from_vec).
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// Takes the bytes of `vec`, and overwrites its whole capacity before it is freed.
    pub fn from_vec(mut vec: Vec<u8>) -> Self {
        let secret = Self::new(&vec);
        vec.zeroize();
        secret
    }

    /// No bytes: an algorithm without a key.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The bytes themselves: for a cipher, or for the codec of a record. Never for a log.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl From<&[u8]> for Secret {
    fn from(bytes: &[u8]) -> Self {
        Self::new(bytes)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.len())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_length_alone() {
        let secret = Secret::new(&[0xa5; 20]);
        assert_eq!(format!("{secret:?}"), "Secret(20 bytes)");
        assert_eq!(format!("{secret:#?}"), "Secret(20 bytes)");
    }

    #[test]
    fn equal_means_all_bytes() {
        let secret = Secret::new(b"0123456789abcdef");
        assert_eq!(secret, secret.clone());
        assert_ne!(secret, Secret::new(b"0123456789abcdeX"));
        assert_ne!(secret, Secret::new(b"X123456789abcdef"));
        assert_ne!(secret, Secret::new(b"0123456789abcde"));
        assert_ne!(secret, Secret::empty());
    }

    #[test]
    fn takes_what_a_vec_held() {
        let mut vec = Vec::with_capacity(100);
        vec.extend_from_slice(b"key");
        let secret = Secret::from_vec(vec);
        assert_eq!((secret.expose(), secret.len()), (&b"key"[..], 3));
        assert!(!secret.is_empty() && Secret::default().is_empty());
    }
}
