//! I/O between units.
