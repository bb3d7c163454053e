//! Two units with an SA database each, in virtual time.

mod bad;
mod changes;
mod handover;
mod harness;
mod numbers;
