//! Dead peer detection across a takeover.

/// How DPD is done.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct DpdConfig {
    /// Seconds.
    pub interval_s: u16,
    /// Times.
    pub retries: u16,
}

/// How far DPD is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct DpdState {
    /// RFC 3706.
    pub sequence: u32,
}
