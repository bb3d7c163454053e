//! Anti-replay windows.

/// How many packets an anti-replay window spans.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct WindowSize(u32);

impl WindowSize {
    /// The smallest.
    pub const MIN: Self = Self(32);
    /// The largest.
    pub const MAX: Self = Self(8192);

    /// Rounded up to a multiple of 32.
    pub const fn new(packets: u32) -> Option<Self> {
        if packets < 32 || packets > 8192 {
            return None;
        }
        Some(Self(packets.next_multiple_of(32)))
    }

    /// In packets.
    pub const fn packets(self) -> u32 {
        self.0
    }
}

impl Default for WindowSize {
    fn default() -> Self {
        Self(64)
    }
}

/// What a unit that takes over accepts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum InboundPolicy {
    /// Nothing up to the acknowledged ceiling.
    #[default]
    Strict,
    /// What the last window says.
    Resume,
    /// Strict, and the peer moves its counters (RFC 6311).
    PeerSync,
}

/// What an isolated unit accepts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Isolated {
    /// Nothing above the ceiling.
    Freeze,
    /// Everything, counted.
    #[default]
    Continue,
}
