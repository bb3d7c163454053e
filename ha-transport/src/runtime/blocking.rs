//! A node for programs without async.

use core::future::Future;
use core::time::Duration;
use std::thread::JoinHandle;

use ha_core::id::GroupId;
use ha_core::redundancy::RfState;

use super::handle::{Node, NodeError};
use super::view::View;

/// A node on a thread of its own; its methods block the calling thread.
///
/// Dropping it stops the node and waits for its thread.
#[derive(Debug)]
pub struct BlockingNode {
    node: Node,
    thread: Option<JoinHandle<()>>,
}

impl BlockingNode {
    pub(crate) fn new(node: Node, thread: JoinHandle<()>) -> Self {
        Self {
            node,
            thread: Some(thread),
        }
    }

    /// The handle for async callers.
    pub fn handle(&self) -> &Node {
        &self.node
    }

    /// Where the unit stands now.
    pub fn view(&self) -> View {
        self.node.view()
    }

    /// Waits until the first group is in a state.
    ///
    /// # Errors
    /// When the node stops, or the limit is over.
    pub fn wait_for_state(&self, state: RfState, limit: Duration) -> Result<(), NodeError> {
        block_on(self.node.wait_for_state(state, limit))
    }

    /// Waits until the view satisfies a condition.
    ///
    /// # Errors
    /// When the node stops, or the limit is over.
    pub fn wait_for(
        &self,
        limit: Duration,
        condition: impl FnMut(&View) -> bool,
    ) -> Result<View, NodeError> {
        block_on(self.node.wait_for(limit, condition))
    }

    /// Gives the active role of the first group to the standby.
    ///
    /// # Errors
    /// When it is refused, or fails.
    pub fn switchover(&self) -> Result<(), NodeError> {
        block_on(self.node.switchover())
    }

    /// The text of `show redundancy states`.
    ///
    /// # Errors
    /// When the node has stopped.
    pub fn show_redundancy_states(&self, group: GroupId) -> Result<String, NodeError> {
        block_on(self.node.show_redundancy_states(group))
    }

    /// Stops the node in order and waits for its thread.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            if block_on(async {
                self.node.stop().await;
                Ok(())
            })
            .is_err()
            {
                tracing::warn!("the node could not be stopped in order");
            }
            // A panic of the node's thread was printed already.
            let _ = thread.join();
        }
    }
}

impl Drop for BlockingNode {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs a future on a small runtime of the calling thread.
fn block_on<T>(future: impl Future<Output = Result<T, NodeError>>) -> Result<T, NodeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.map_err(|_| NodeError::Stopped)?.block_on(future)
}
