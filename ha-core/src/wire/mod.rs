//! The messages between units: schema, limits and codec.

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated from proto/ha.proto, which explains each field")]
#[rustfmt::skip]
#[path = "generated.rs"]
pub mod pb;

pub mod limits;

/// Something from the wire is outside its limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what} is {got}, allowed is {allowed}")]
pub struct LimitError {
    /// The field.
    pub what: &'static str,
    /// What was found.
    pub got: usize,
    /// What would have been right, or the most that would have been.
    pub allowed: usize,
}

impl LimitError {
    pub(crate) const fn new(what: &'static str, got: usize, allowed: usize) -> Self {
        Self { what, got, allowed }
    }
}
