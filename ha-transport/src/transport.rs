//! What makes links.

use std::future::Future;
use std::pin::Pin;

use crate::error::LinkError;
use crate::link::Link;

/// A boxed future, so that transports of different kinds can be kept in one list.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Which end of a connection a unit is. The unit with the lower id accepts, the other dials, unless the
/// [builder](crate::runtime::NodeBuilder::side) says so.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// Listens and waits for the peer.
    Accept,
    /// Connects to the peer.
    Dial,
}

impl Side {
    /// The name in logs and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Dial => "dial",
        }
    }
}

/// One path to the peer, over which one link after the other is established.
///
/// All methods must be called within a tokio runtime with I/O and time enabled; the tasks that
/// serve a link, and the listener, live on the runtime that they were started on.
pub trait Transport: Send + Sync + 'static {
    /// The kind and addresses in one short text, such as `tcp 10.0.0.1:3249 -> 10.0.0.2:3249`.
    fn describe(&self) -> String;

    /// One attempt to establish the next link.
    ///
    /// [`Side::Dial`] connects once, bounded in time. [`Side::Accept`] waits, without a bound, for
    /// the next connection whose other end proved to be the peer; connections that fail to are
    /// counted and logged, and do not end the wait. Retrying is the caller's business, see
    /// [`Backoff`](crate::Backoff). Dropping the future gives up the attempt and loses nothing.
    ///
    /// # Errors
    ///
    /// [`LinkError`] says why there is no link; for `Accept` that is only [`LinkError::Bind`] or
    /// [`LinkError::Config`].
    fn establish(&self, side: Side) -> BoxFuture<'_, Result<Link, LinkError>>;
}
