//! Runs a node: links, timers and handles around the sans-IO core.
//!
//! [`Node::builder`] collects clients, a scheme and links; `start` runs the node as a task of the
//! current tokio runtime, `start_thread` on a thread of its own.

mod blocking;
mod builder;
mod clock;
mod driver;
mod handle;
mod notify;
mod paths;
mod report;
mod view;

pub use blocking::BlockingNode;
pub use builder::{AsClient, NodeBuilder, StartError};
pub use handle::{Node, NodeError};
pub use notify::{Notification, Responder};
pub use view::{GroupView, View};
