//! Lifetimes in seconds, bytes and packets.
