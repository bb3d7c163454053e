//! Atomics and locks: the real ones, or loom's while a model runs.

pub(crate) use ha_core::sync::shim::*;
