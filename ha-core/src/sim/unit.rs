//! One unit: its process, its clock, and what waits for it while it does not run.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::agenda::Input;
use super::clock::Clock;
use crate::checkpoint::Shared;
use crate::id::{ClientId, Term};
use crate::node::Node;
use crate::redundancy::RfState;
use crate::time::Time;
use crate::wire::{pb, term_of};

/// One of the two units of a [`World`](super::World).
pub struct Unit {
    pub(crate) node: Option<Node>,
    pub(crate) shared: Option<Arc<Shared>>,
    pub(crate) clients: Vec<ClientId>,
    pub(crate) failures: Arc<AtomicU32>,
    pub(crate) clock: Clock,
    pub(crate) epoch: u64,
    pub(crate) paused: bool,
    /// Whether its data path runs on while its node stands still.
    pub(crate) half_paused: bool,
    pub(crate) inbox: VecDeque<Input>,
    /// When the node wants to be called.
    pub(crate) timeout: Time,
    /// The earliest timer on the agenda.
    pub(crate) timer: Option<Time>,
    pub(crate) stand: Option<Stand>,
    pub(crate) before: Option<Stand>,
    pub(crate) applied: u64,
    pub(crate) counted: Counted,
}

/// What was counted of the current activation's stream so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counted {
    pub(crate) resumed_bulks: u64,
    pub(crate) audit_marks: u64,
}

/// Where a unit stands, as it tells its peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Stand {
    /// Its state.
    pub state: RfState,
    /// The highest term that it has seen; its own while active.
    pub term: Term,
    /// Whether it holds the active role.
    pub active: bool,
    /// While active: whether it took over with everything.
    pub complete: bool,
    /// The lineage of the state that it holds.
    pub lineage: u64,
    /// The term of the active unit whose state it holds.
    pub holds: Term,
    /// Whether that state is whole.
    pub holds_complete: bool,
}

impl Unit {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            node: None,
            shared: None,
            clients: Vec::new(),
            failures: Arc::default(),
            clock,
            epoch: 0,
            paused: false,
            half_paused: false,
            inbox: VecDeque::new(),
            timeout: Time::ZERO,
            timer: None,
            stand: None,
            before: None,
            applied: 0,
            counted: Counted::default(),
        }
    }

    /// The process, if it runs (or is paused).
    pub fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// Counts the starts of the process: memory was lost between two of them.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether the process is stopped, with its memory intact; or its node's thread alone.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Where it stands, if it runs.
    pub fn stand(&self) -> Option<Stand> {
        self.stand
    }

    /// Where it stood before the event that is being handled.
    pub fn before(&self) -> Option<Stand> {
        self.before
    }

    /// Whether it took up the active role, or a higher term of it, in this event.
    pub fn activated(&self) -> Option<Stand> {
        let held = self
            .before
            .filter(|before| before.active)
            .map(|before| before.term);
        self.stand
            .filter(|stand| stand.active && held != Some(stand.term))
    }

    /// Whether it holds all of a lineage's state: as the active unit, or as its standby.
    pub fn holds_all_of(&self, lineage: u64) -> bool {
        self.stand.is_some_and(|stand| {
            let complete = if stand.active {
                stand.complete
            } else {
                stand.holds_complete
            };
            stand.lineage == lineage && complete
        })
    }
}

impl From<&pb::GroupStatus> for Stand {
    fn from(status: &pb::GroupStatus) -> Self {
        Self {
            state: RfState::from_number(status.state).unwrap_or(RfState::NotKnown),
            term: term_of(status.term),
            active: status.active,
            complete: status.complete,
            lineage: status.lineage,
            holds: term_of(status.holds),
            holds_complete: status.holds_complete,
        }
    }
}
