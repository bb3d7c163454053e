//! How far a window reaches back.

/// The size of an anti-replay window in packets: a multiple of 32.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct WindowSize(u32);

impl WindowSize {
    /// The smallest: "A minimum window size of 32 packets MUST be supported" (RFC 4303 §3.4.3).
    pub const MIN: Self = Self(32);
    /// The largest. Cisco's `set security-association replay window-size` ends at 1024, Linux at
    /// 4096.
    pub const MAX: Self = Self(16_384);

    /// A window of `packets`, rounded up to a multiple of 32.
    ///
    /// # Errors
    /// Outside of [`MIN`](Self::MIN)`..=`[`MAX`](Self::MAX).
    pub const fn new(packets: u32) -> Result<Self, WindowSizeError> {
        if packets < Self::MIN.0 || packets > Self::MAX.0 {
            return Err(WindowSizeError { packets });
        }
        Ok(Self(packets.next_multiple_of(BLOCK)))
    }

    /// The size in packets.
    pub const fn packets(self) -> u32 {
        self.0
    }

    /// The size in blocks.
    pub(super) const fn blocks(self) -> u32 {
        self.0 / BLOCK
    }
}

impl Default for WindowSize {
    /// 64: "a window size of 64 is preferred and SHOULD be employed as the default" (RFC 4303
    /// §3.4.3); Cisco's default too.
    fn default() -> Self {
        Self(64)
    }
}

impl TryFrom<u32> for WindowSize {
    type Error = WindowSizeError;

    fn try_from(packets: u32) -> Result<Self, WindowSizeError> {
        Self::new(packets)
    }
}

/// A window of that size is not supported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "an anti-replay window of {packets} packets is not supported; configure {min} to {max}",
    min = WindowSize::MIN.0,
    max = WindowSize::MAX.0
)]
pub struct WindowSizeError {
    /// The size that was asked for, in packets.
    pub packets: u32,
}

/// Numbers in a block.
pub(super) const BLOCK: u32 = 32;

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_up_to_blocks_within_the_limits() {
        assert_eq!(WindowSize::new(32).map(WindowSize::packets), Ok(32));
        assert_eq!(WindowSize::new(33).map(WindowSize::packets), Ok(64));
        assert_eq!(WindowSize::new(4096).map(WindowSize::packets), Ok(4096));
        assert_eq!(WindowSize::new(16_384), Ok(WindowSize::MAX));
        for packets in [0, 31, 16_385, u32::MAX] {
            let error = WindowSize::new(packets).unwrap_err();
            assert_eq!(error, WindowSizeError { packets });
            assert!(error.to_string().contains("configure 32 to 16384"));
        }
    }
}
