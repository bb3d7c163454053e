//! The accepting side of the network transports: many strangers, one peer.
//!
//! A listener task takes connections and runs their handshakes, a bounded number at once and each
//! bounded in time. When one more comes than may be in its handshake, the oldest is dropped,
//! strangers' before those from the peer's own address: whoever opens connections and leaves them
//! idle, or sends a byte now and then, pushes out himself. What finishes its handshake is the
//! peer, and waits for `establish`.

use std::collections::VecDeque;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, Id, JoinError, JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::error::LinkError;
use crate::limits::LinkLimits;
use crate::link::Link;
use crate::metrics as names;

/// Counters of one transport, as of now.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TransportStats {
    /// Connections whose other end proved to be the peer, on either side.
    pub established: u64,
    /// Connections that failed their handshake, on either side, those in `dropped` not included.
    pub failed: u64,
    /// Connections dropped because too many were in their handshake.
    pub dropped: u64,
    /// Connections in their handshake now, on the accepting side.
    pub in_handshake: u64,
}

/// What the transport and its listener share.
#[derive(Debug)]
pub(crate) struct Desk {
    transport: &'static str,
    limits: LinkLimits,
    /// The configured addresses of the peer.
    peer: Vec<IpAddr>,
    ready: Mutex<VecDeque<Link>>,
    arrived: Notify,
    established: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    in_handshake: AtomicU64,
    log: Mutex<LogGate>,
}

impl Desk {
    pub(crate) fn new(
        transport: &'static str,
        limits: LinkLimits,
        peer: impl IntoIterator<Item = IpAddr>,
    ) -> Arc<Self> {
        Arc::new(Self {
            transport,
            limits,
            peer: peer.into_iter().collect(),
            ready: Mutex::default(),
            arrived: Notify::new(),
            established: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            in_handshake: AtomicU64::new(0),
            log: Mutex::default(),
        })
    }

    pub(crate) fn stats(&self) -> TransportStats {
        TransportStats {
            established: self.established.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            in_handshake: self.in_handshake.load(Ordering::Relaxed),
        }
    }

    /// True if many connections are in their handshake.
    #[cfg(feature = "quic")]
    pub(crate) fn is_busy(&self) -> bool {
        self.in_handshake.load(Ordering::Relaxed) > self.limits.max_handshakes as u64 / 2
    }

    /// Waits for the next link of the peer. Cancel safe.
    pub(crate) async fn next(&self) -> Link {
        loop {
            if let Some(link) = self.take_ready() {
                return link;
            }
            self.arrived.notified().await;
        }
    }

    /// Counts an attempt of this unit to dial.
    pub(crate) fn dialled(&self, result: &Result<Link, LinkError>) {
        match result {
            Ok(_) => self.established.fetch_add(1, Ordering::Relaxed),
            Err(error) => self.count_failure("dial", error),
        };
    }

    fn take_ready(&self) -> Option<Link> {
        let mut ready = self.ready.lock();
        // A link that broke while it waited is of no use to anybody.
        while let Some(link) = ready.pop_front() {
            if link.sender.end_reason().is_none() {
                if !ready.is_empty() {
                    self.arrived.notify_one();
                }
                return Some(link);
            }
        }
        None
    }

    fn offer(&self, link: Link) {
        self.established.fetch_add(1, Ordering::Relaxed);
        let mut ready = self.ready.lock();
        if ready.len() == MAX_READY {
            ready.pop_front();
        }
        ready.push_back(link);
        drop(ready);
        self.arrived.notify_one();
    }

    fn fail(&self, remote: SocketAddr, error: &LinkError) {
        self.count_failure("accept", error);
        let Some(unlogged) = self.log.lock().admit() else {
            return;
        };
        tracing::warn!(
            transport = self.transport, %remote, %error, unlogged, "connection refused"
        );
    }

    fn count_failure(&self, side: &'static str, error: &LinkError) -> u64 {
        let counter = match error {
            LinkError::TooManyHandshakes { .. } => &self.dropped,
            _ => &self.failed,
        };
        metrics::counter!(
            names::HANDSHAKES_FAILED,
            "transport" => self.transport, "side" => side, "cause" => error.cause()
        )
        .increment(1);
        counter.fetch_add(1, Ordering::Relaxed)
    }
}

/// Lets one log line per second through and counts the others: a flood of connections must not
/// fill the disk.
#[derive(Default, Debug)]
struct LogGate {
    last: Option<Instant>,
    unlogged: u64,
}

impl LogGate {
    /// The number of lines left out since the last one, if a line may be written now.
    fn admit(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self
            .last
            .is_some_and(|last| now.duration_since(last) < LOG_INTERVAL)
        {
            self.unlogged += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unlogged))
    }
}

/// Where connections come from.
pub(crate) trait Source: Send + 'static {
    /// The handshake of one connection.
    type Handshake: Future<Output = Result<Link, LinkError>> + Send + 'static;

    /// Waits for the next connection; `None` if there will be no more. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Option<(SocketAddr, Self::Handshake)>> + Send;
}

/// A running listener; stops when dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Listener {
    pub(crate) fn start(address: SocketAddr, source: impl Source, desk: Arc<Desk>) -> Self {
        Self {
            address,
            task: tokio::spawn(listen(source, desk)),
        }
    }

    /// False once the runtime that it ran on is gone.
    pub(crate) fn is_running(&self) -> bool {
        !self.task.is_finished()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(mut source: impl Source, desk: Arc<Desk>) {
    let mut handshakes = Handshakes::default();
    loop {
        desk.in_handshake
            .store(handshakes.pending.len() as u64, Ordering::Relaxed);
        tokio::select! {
            next = source.next() => {
                let Some((remote, handshake)) = next else { return };
                handshakes.admit(remote, handshake, &desk);
            }
            Some(ended) = handshakes.tasks.join_next_with_id() => {
                handshakes.finish(ended, &desk);
            }
        }
    }
}

/// The connections in their handshake, oldest first.
#[derive(Default)]
struct Handshakes {
    tasks: JoinSet<Result<Link, LinkError>>,
    pending: VecDeque<Pending>,
}

struct Pending {
    task: AbortHandle,
    remote: SocketAddr,
}

impl Handshakes {
    fn admit<F>(&mut self, remote: SocketAddr, handshake: F, desk: &Desk)
    where
        F: Future<Output = Result<Link, LinkError>> + Send + 'static,
    {
        if self.pending.len() >= desk.limits.max_handshakes.max(1) {
            self.push_out(desk);
        }
        let limit = desk.limits.handshake_timeout;
        let task = self.tasks.spawn(async move {
            tokio::time::timeout(limit, handshake)
                .await
                .unwrap_or(Err(LinkError::HandshakeTimeout { limit }))
        });
        self.pending.push_back(Pending { task, remote });
    }

    fn push_out(&mut self, desk: &Desk) {
        let stranger = self
            .pending
            .iter()
            .position(|p| !desk.peer.contains(&p.remote.ip()));
        let Some(oldest) = self.pending.remove(stranger.unwrap_or(0)) else {
            return;
        };
        oldest.task.abort();
        let limit = desk.limits.max_handshakes;
        desk.fail(oldest.remote, &LinkError::TooManyHandshakes { limit });
    }

    fn finish(&mut self, ended: Result<(Id, Result<Link, LinkError>), JoinError>, desk: &Desk) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(error) => (
                error.id(),
                Err(LinkError::lost("the handshake was given up")),
            ),
        };
        let index = self
            .pending
            .iter()
            .position(|pending| pending.task.id() == id);
        let pending = index.and_then(|index| self.pending.remove(index));
        match (result, pending) {
            // Even if it was pushed out at the very moment when it had finished.
            (Ok(link), _) => desk.offer(link),
            (Err(error), Some(pending)) => desk.fail(pending.remote, &error),
            // It was pushed out, and counted then.
            (Err(_), None) => {}
        }
    }
}

/// Most links of the peer that wait for `establish`; one more pushes out the oldest.
const MAX_READY: usize = 16;
const LOG_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn strangers_are_pushed_out_before_any_address_of_the_peer() {
        let limits = LinkLimits {
            max_handshakes: 3,
            ..LinkLimits::default()
        };
        let ends = [1, 2, 3, 4].map(|i| SocketAddr::from(([10, 0, 0, i], 9)));
        let [first, second, stranger, other] = ends;
        let desk = Desk::new("test", limits, [first.ip(), second.ip()]);
        let mut handshakes = Handshakes::default();
        for end in [second, stranger, first, other] {
            handshakes.admit(end, pending(), &desk);
        }
        let left: Vec<_> = handshakes.pending.iter().map(|p| p.remote).collect();
        assert_eq!(left, [second, first, other]);
        assert_eq!(desk.stats().dropped, 1);
    }
}
