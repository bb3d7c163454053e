//! What a handle sees of its node without asking.

use std::collections::BTreeMap;

use ha_core::id::{GroupId, Term};
use ha_core::node::Node;
use ha_core::redundancy::RfState;

/// Where a unit stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct View {
    /// Whether the peer was heard within the detection time.
    pub peer_up: bool,
    /// The groups.
    pub groups: BTreeMap<GroupId, GroupView>,
    /// Whether the other end of a link claimed this unit's id: one of the two is set up wrongly, and both
    /// would use the same sequence numbers. So until a peer of another id is there.
    pub same_unit: bool,
    /// Whether the node has stopped.
    pub stopped: bool,
}

/// Where one group stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct GroupView {
    /// This unit's state.
    pub state: RfState,
    /// The peer's state, if the peer is there.
    pub peer_state: Option<RfState>,
    /// Whether this unit holds the active role.
    pub active: bool,
    /// The highest term seen.
    pub term: Term,
}

impl View {
    /// Takes over what changed; returns whether anything did.
    pub(crate) fn update(&mut self, node: &Node) -> bool {
        let mut changed = self.peer_up != node.peer_is_up() || self.stopped != node.is_stopped();
        (self.peer_up, self.stopped) = (node.peer_is_up(), node.is_stopped());
        changed |= self.peer_up && core::mem::take(&mut self.same_unit);
        for id in node.groups() {
            let (Some(state), Some(term)) = (node.state(id), node.term(id)) else {
                continue;
            };
            let (peer_state, active) = (node.peer_state(id), node.is_active(id));
            let view = GroupView {
                state,
                peer_state,
                active,
                term,
            };
            changed |= self.groups.insert(id, view) != Some(view);
        }
        changed
    }
}
