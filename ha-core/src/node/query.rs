//! What a node can be asked.

use std::sync::Arc;

use super::Node;
use super::group::{Group, GroupStats};
use crate::checkpoint::{Shared, StreamStats};
use crate::id::{GroupId, Term, UnitId};
use crate::redundancy::{Communications, History, ManualSwitchover, RedundancyStates, RfState};
#[cfg(feature = "sim")]
use crate::wire::pb;

impl Node {
    /// This unit.
    pub fn unit(&self) -> UnitId {
        self.config.unit
    }

    /// Whether the node was stopped.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether the peer is there: it was heard within the detection time.
    pub fn peer_is_up(&self) -> bool {
        self.peer.incarnation().is_some()
    }

    /// The groups.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> + '_ {
        self.groups.keys().copied()
    }

    /// What a group shares with the application's threads.
    pub fn shared(&self, group: GroupId) -> Option<&Arc<Shared>> {
        self.groups.get(&group).map(Group::shared)
    }

    /// What this unit tells its peer of a group.
    #[cfg(feature = "sim")]
    pub(crate) fn group_status(&self, group: GroupId) -> Option<pb::GroupStatus> {
        self.groups.get(&group).map(Group::status)
    }

    /// A group's state.
    pub fn state(&self, group: GroupId) -> Option<RfState> {
        self.groups.get(&group).map(|group| group.facility.state())
    }

    /// The highest term that a group has seen; its own while active.
    pub fn term(&self, group: GroupId) -> Option<Term> {
        self.groups.get(&group).map(Group::term)
    }

    /// Whether this unit holds the group's active role.
    pub fn is_active(&self, group: GroupId) -> bool {
        self.groups.get(&group).is_some_and(Group::is_active)
    }

    /// The peer's state of a group, as far as known.
    pub fn peer_state(&self, group: GroupId) -> Option<RfState> {
        self.peer.incarnation()?;
        self.groups.get(&group)?.peer_state()
    }

    /// What a group counts.
    pub fn stats(&self, group: GroupId) -> Option<GroupStats> {
        self.groups.get(&group).map(|group| group.stats)
    }

    /// What a group's sending half counts, while active.
    pub fn stream_stats(&self, group: GroupId) -> Option<StreamStats> {
        Some(self.groups.get(&group)?.sender()?.stats)
    }

    /// Bytes in flight and bytes granted, for changes and for bulk, while active.
    pub fn credit(&self, group: GroupId) -> Option<[(usize, usize); 2]> {
        Some(self.groups.get(&group)?.sender()?.credit())
    }

    /// `show redundancy states` of a group.
    pub fn redundancy_states(&self, group: GroupId) -> Option<RedundancyStates> {
        let there = self.peer.incarnation().is_some();
        let group = self.groups.get(&group)?;
        let peer = if there { group.peer_state() } else { None };
        Some(RedundancyStates {
            state: group.facility.state(),
            peer_state: peer.unwrap_or(RfState::Disabled),
            duplex: there,
            unit: self.config.unit,
            split: group.is_active() && peer.is_some_and(RfState::is_active),
            maintenance: group.maintenance(),
            manual: group
                .switchover_refusal(there)
                .map_or(ManualSwitchover::Enabled, ManualSwitchover::Disabled),
            communications: self.communications(),
            client_count: group.facility.clients().len(),
            notification_timer: group.facility.notification_timer(),
            keepalive_interval: self.config.keepalive.interval(),
            keepalive_count: self.monitor.count(),
            keepalive_threshold: self.config.keepalive.threshold(),
            debug_mask: 0,
        })
    }

    fn communications(&self) -> Communications {
        if self.peer.incarnation().is_some() {
            Communications::Up
        } else {
            Communications::Down {
                reason: "no link to the peer".to_owned(),
            }
        }
    }

    /// `show redundancy history` of a group.
    pub fn history(&self, group: GroupId) -> Option<&History> {
        Some(self.groups.get(&group)?.facility.history())
    }
}
