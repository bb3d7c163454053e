//! Dead peer detection across a takeover.
