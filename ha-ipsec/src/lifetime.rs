//! Lifetimes in seconds, bytes and packets.

/// Bounds on the life of an SA; `None` is no bound.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Limits {
    /// Seconds since the SA was made.
    pub seconds: Option<u64>,
    /// Bytes protected.
    pub bytes: Option<u64>,
    /// Packets protected.
    pub packets: Option<u64>,
}

/// When an SA is to be replaced (soft) and when it must not be used any more (hard).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Lifetime {
    /// When to begin a rekey.
    pub soft: Limits,
    /// When to delete the SA.
    pub hard: Limits,
}
/// x
pub fn spread() {}
