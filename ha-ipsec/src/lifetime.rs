//! Lifetimes in seconds, bytes and packets.

/// When to rekey, and when an SA ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Lifetime {
    /// Rekey.
    pub soft: Limits,
    /// End.
    pub hard: Limits,
}

/// Limits of a lifetime.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Limits {
    /// Seconds.
    pub seconds: Option<u64>,
    /// Bytes.
    pub bytes: Option<u64>,
    /// Packets.
    pub packets: Option<u64>,
}
