//! Algorithms with their keys.

use core::fmt;

use super::wire::{Reader, Wire};
use crate::secret::Secret;

/// The kernel's name of an algorithm, "cbc(aes)": at most 63 bytes and a NUL.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AlgorithmName([u8; Self::BYTES]);

impl AlgorithmName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = Self::BYTES - 1;
    const BYTES: usize = 64;

    /// A name; `None` if it is longer than [`MAX_BYTES`](Self::MAX_BYTES) or holds a NUL.
    pub fn new(name: &str) -> Option<Self> {
        if name.len() > Self::MAX_BYTES || name.as_bytes().contains(&0) {
            return None;
        }
        let mut bytes = [0; Self::BYTES];
        bytes
            .get_mut(..name.len())?
            .copy_from_slice(name.as_bytes());
        Some(Self(bytes))
    }

    /// The text up to the first NUL; `None` if it is not UTF-8, which no name of the kernel is.
    pub fn as_str(&self) -> Option<&str> {
        let text = self.0.split(|byte| *byte == 0).next()?;
        core::str::from_utf8(text).ok()
    }
}

impl fmt::Display for AlgorithmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str().unwrap_or("(no text)"))
    }
}

impl fmt::Debug for AlgorithmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str().unwrap_or("(no text)"), f)
    }
}

impl Wire for AlgorithmName {
    const BYTES: usize = 64;

    fn read(reader: &mut Reader<'_>) -> Self {
        Self(reader.take())
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

/// `xfrm_algo`: encryption (XFRMA_ALG_CRYPT), compression (XFRMA_ALG_COMP), or integrity with the
/// kernel's own truncation (XFRMA_ALG_AUTH).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Algorithm {
    /// Its name.
    pub name: AlgorithmName,
    /// Its key; empty for compression and NULL.
    pub key: Secret,
}

/// `xfrm_algo_auth`: integrity (XFRMA_ALG_AUTH_TRUNC).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthAlgorithm {
    /// Its name.
    pub name: AlgorithmName,
    /// The ICV, in bits; 0 is the kernel's own truncation.
    pub trunc_bits: u32,
    /// Its key.
    pub key: Secret,
}

/// `xfrm_algo_aead`: a combined mode (XFRMA_ALG_AEAD).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AeadAlgorithm {
    /// Its name.
    pub name: AlgorithmName,
    /// The ICV, in bits.
    pub icv_bits: u32,
    /// Its key, with the salt behind it.
    pub key: Secret,
}
