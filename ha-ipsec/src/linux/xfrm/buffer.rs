//! Bytes of messages that may carry keys.

use core::fmt;

use zeroize::Zeroize as _;

/// A buffer for messages. What it held is overwritten when it is cleared, grows or is dropped.
///
/// Only bytes that were written are overwritten, not the room behind them, where nothing is.
#[derive(Default)]
pub struct Buffer(Vec<u8>);

impl Buffer {
    /// An empty buffer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// A buffer of `len` zeros, to receive into.
    pub fn zeroed(len: usize) -> Self {
        Self(vec![0; len])
    }

    /// What it holds.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What it holds, to receive into.
    pub fn as_mut_bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// How many bytes it holds.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Overwrites what it held and keeps the room.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Overwrites what lies behind `len` and forgets it.
    pub(super) fn truncate(&mut self, len: usize) {
        if let Some(rest) = self.0.get_mut(len..) {
            rest.zeroize();
            self.0.truncate(len);
        }
    }

    /// Room for `additional` bytes, in a vector that will not move while they are written.
    pub(super) fn reserve(&mut self, additional: usize) -> &mut Vec<u8> {
        let needed = self.0.len() + additional;
        if self.0.capacity() < needed {
            let mut larger = Vec::with_capacity(needed.next_power_of_two());
            larger.extend_from_slice(&self.0);
            self.truncate(0);
            self.0 = larger;
        }
        &mut self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.truncate(0);
    }
}

/// The length alone.
impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.len())
    }
}
