//! Handles to a running node.

use core::time::Duration;
use std::sync::Arc;

use ha_core::checkpoint::{Shared, StreamStats};
use ha_core::id::{ClientId, GroupId, UnitId};
use ha_core::node::{CommandError, Event, GroupStats, Node as Core};
use ha_core::redundancy::{RfState, SwitchoverHistory};
use ha_core::scheme::Role;
use ha_core::time::Time;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::builder::NodeBuilder;
use super::driver::Command;
use super::view::{GroupView, View};

/// A running unit of a pair. Clones are handles to the same node; it ends when it is stopped, or
/// when the last handle is gone.
#[derive(Clone, Debug)]
pub struct Node {
    unit: UnitId,
    shared: Arc<[(GroupId, Arc<Shared>)]>,
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<View>,
    events: broadcast::Sender<Event>,
}

/// Why a node did not do as told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
    /// The command was refused.
    #[error("{0}")]
    Command(#[from] CommandError),
    /// A manual switchover was begun but did not succeed; this unit is still active.
    #[error("the switchover failed: {0}")]
    SwitchoverFailed(&'static str),
    /// It did not happen in time.
    #[error("it did not happen within {} ms", .0.as_millis())]
    TimedOut(Duration),
}

impl Node {
    /// Begins to set up a unit.
    pub fn builder(unit: UnitId) -> NodeBuilder {
        NodeBuilder::new(unit)
    }

    pub(crate) fn new(
        unit: UnitId,
        shared: Vec<(GroupId, Arc<Shared>)>,
        commands: mpsc::Sender<Command>,
        view: watch::Receiver<View>,
        events: broadcast::Sender<Event>,
    ) -> Self {
        Self {
            unit,
            shared: shared.into(),
            commands,
            view,
            events,
        }
    }

    /// This unit.
    pub fn unit(&self) -> UnitId {
        self.unit
    }

    /// Where the unit stands now.
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Where the first group stands now.
    pub fn group_view(&self) -> Option<GroupView> {
        self.view.borrow().groups.values().next().copied()
    }

    /// What a group shares with the application's threads: transactions over several tables, and
    /// barriers.
    pub fn shared(&self, group: GroupId) -> Option<&Arc<Shared>> {
        self.shared
            .iter()
            .find(|(id, _)| *id == group)
            .map(|(_, shared)| shared)
    }

    /// What happens from now on. A listener that falls far behind misses the oldest.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Waits until the view satisfies a condition.
    ///
    /// # Errors
    /// When the node stops, or the limit is over.
    pub async fn wait_for(
        &self,
        limit: Duration,
        condition: impl FnMut(&View) -> bool,
    ) -> Result<View, NodeError> {
        let mut view = self.view.clone();
        match tokio::time::timeout(limit, view.wait_for(condition)).await {
            Ok(Ok(view)) => Ok(view.clone()),
            Ok(Err(_)) => Err(NodeError::Stopped),
            Err(_) => Err(NodeError::TimedOut(limit)),
        }
    }

    /// Waits until the first group is in a state.
    ///
    /// # Errors
    /// When the node stops, or the limit is over.
    pub async fn wait_for_state(&self, state: RfState, limit: Duration) -> Result<(), NodeError> {
        let in_state = |view: &View| {
            view.groups
                .values()
                .next()
                .is_some_and(|g| g.state == state)
        };
        self.wait_for(limit, in_state).await.map(|_| ())
    }

    /// Gives the active role of the first group to the standby; returns when the peer has it.
    ///
    /// # Errors
    /// When it is refused, or fails.
    pub async fn switchover(&self) -> Result<(), NodeError> {
        self.switchover_of(self.first_group(), false).await
    }

    /// As [`switchover`](Self::switchover), for any group, and by force: even if the peer is not
    /// STANDBY HOT.
    ///
    /// # Errors
    /// When it is refused, or fails.
    pub async fn switchover_of(&self, group: GroupId, force: bool) -> Result<(), NodeError> {
        let mut events = self.events();
        self.call(move |node, now| node.switchover(group, force, now))
            .await??;
        loop {
            match events.recv().await {
                Ok(Event::Switchover { group: done, .. }) if done == group => return Ok(()),
                Ok(Event::SwitchoverFailed { group: failed, why }) if failed == group => {
                    return Err(NodeError::SwitchoverFailed(why));
                }
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    if !self.is_active(group) {
                        return Ok(());
                    }
                }
                Err(broadcast::error::RecvError::Closed) => return Err(NodeError::Stopped),
            }
        }
    }

    /// Puts a group into or out of maintenance mode: it takes over only by command.
    ///
    /// # Errors
    /// When there is no such group, or the node has stopped.
    pub async fn set_maintenance(&self, group: GroupId, on: bool) -> Result<(), NodeError> {
        Ok(self
            .call(move |node, now| node.set_maintenance(group, on, now))
            .await??)
    }

    /// Tells an active unit that a fencing authority ended the other one's process; see
    /// [`Node::peer_fenced`](ha_core::node::Node::peer_fenced).
    ///
    /// # Errors
    /// While the peer is connected, on a unit that is not active, when there is no such group, or the
    /// node has stopped.
    pub async fn peer_fenced(&self, group: GroupId) -> Result<(), NodeError> {
        Ok(self
            .call(move |node, now| node.peer_fenced(group, now))
            .await??)
    }

    /// Sets the role of a group whose scheme takes commands.
    ///
    /// # Errors
    /// When there is no such group, or the node has stopped.
    pub async fn set_role(&self, group: GroupId, role: Role) -> Result<(), NodeError> {
        Ok(self
            .call(move |node, now| node.set_role(group, role, now))
            .await??)
    }

    /// On a standby: has the active send a client again in full; `None` for all clients.
    ///
    /// # Errors
    /// On a unit that is not standby, without such a group or client, or when the node has stopped.
    pub async fn resync(&self, group: GroupId, client: Option<ClientId>) -> Result<(), NodeError> {
        Ok(self
            .call(move |node, now| node.resync(group, client, now))
            .await??)
    }

    /// The text of `show redundancy states` for a group.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn show_redundancy_states(&self, group: GroupId) -> Result<String, NodeError> {
        let states = self
            .call(move |node, _| node.redundancy_states(group))
            .await?;
        Ok(states.map_or_else(String::new, |states| states.to_string()))
    }

    /// The text of `show redundancy history` for a group.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn show_redundancy_history(&self, group: GroupId) -> Result<String, NodeError> {
        let text = move |node: &mut Core, _| {
            node.history(group)
                .map(|history| SwitchoverHistory(history).to_string())
        };
        Ok(self.call(text).await?.unwrap_or_default())
    }

    /// What a group counts, and what its sending half counts while active.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn stats(
        &self,
        group: GroupId,
    ) -> Result<(Option<GroupStats>, Option<StreamStats>), NodeError> {
        self.call(move |node, _| (node.stats(group), node.stream_stats(group)))
            .await
    }

    /// Stops the node in order: the peer is told, and takes over at once. Returns when all links are
    /// closed: the program may end then.
    pub async fn stop(&self) {
        // A node that has stopped already is what is wanted.
        let _ = self
            .call(|node, _| node.stop("stopped by its program"))
            .await;
        let mut view = self.view.clone();
        // Not only until it is marked as stopped: the goodbye is still under way then.
        while view.changed().await.is_ok() {}
    }

    fn first_group(&self) -> GroupId {
        self.shared.first().map_or(GroupId::new(0), |(id, _)| *id)
    }

    fn is_active(&self, group: GroupId) -> bool {
        self.view
            .borrow()
            .groups
            .get(&group)
            .is_some_and(|view| view.active)
    }

    async fn call<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Core, Time) -> T + Send + 'static,
    ) -> Result<T, NodeError> {
        let (reply, answer) = oneshot::channel();
        let command: Command = Box::new(move |node, now| {
            // The caller may have given up.
            let _ = reply.send(f(node, now));
        });
        self.commands
            .send(command)
            .await
            .map_err(|_| NodeError::Stopped)?;
        answer.await.map_err(|_| NodeError::Stopped)
    }
}
