//! The messages between units: schema, limits and codec.

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated from proto/ha.proto, which explains each field")]
#[rustfmt::skip]
#[path = "generated.rs"]
pub mod pb;

mod codec;
pub mod limits;
mod scan;

pub(crate) use codec::{Body, decode, encode};
pub use codec::{Lane, WireError};

use crate::id::{Term, UnitId};

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

impl From<Term> for pb::Term {
    fn from(term: Term) -> Self {
        Self {
            counter: term.counter,
            unit: term.unit.value(),
        }
    }
}

impl From<pb::Term> for Term {
    fn from(term: pb::Term) -> Self {
        Self {
            counter: term.counter,
            unit: UnitId::new(term.unit),
        }
    }
}

/// A term from the wire; a missing one is below every activation.
pub(crate) fn term_of(term: Option<pb::Term>) -> Term {
    term.map_or(Term::ZERO, Term::from)
}
