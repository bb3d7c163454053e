//! Links within a process, for tests, simulations and demonstrations.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::error::LinkError;
use crate::limits::LinkLimits;
use crate::link::shared::{Shared, WakeUps, Work};
use crate::link::{Link, PeerInfo};
use crate::transport::{BoxFuture, Side, Transport};

/// One end of a path within the process. It carries plaintext and never leaves the process.
///
/// ```
/// # use ha_transport::{Lane, LinkLimits, Side, Transport, memory};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), ha_transport::LinkError> {
/// let (a, b) = memory::pair(LinkLimits::default());
/// let (mut near, far) = tokio::try_join!(a.establish(Side::Accept), b.establish(Side::Dial))?;
/// far.sender.send(Lane::Control, "hello".into())?;
/// assert_eq!(near.receiver.recv().await?, (Lane::Control, "hello".into()));
/// a.cut();
/// assert!(b.establish(Side::Dial).await.is_err());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Memory {
    name: &'static str,
    limits: LinkLimits,
    path: Arc<Path>,
}

/// Makes the two ends of a path.
pub fn pair(limits: LinkLimits) -> (Memory, Memory) {
    let path = Arc::new(Path::default());
    let end = |name| Memory {
        name,
        limits,
        path: Arc::clone(&path),
    };
    (end("a"), end("b"))
}

impl Memory {
    /// Cuts the path: links over it are lost, and no new one can be dialled.
    pub fn cut(&self) {
        let mut state = self.path.state.lock();
        state.cut = true;
        state.waiting.clear();
        for link in state.links.drain(..).filter_map(|link| link.upgrade()) {
            link.end(LinkError::lost("the path was cut"));
        }
    }

    /// Heals the path after a [`cut`](Self::cut).
    pub fn heal(&self) {
        self.path.state.lock().cut = false;
    }

    fn dial(&self) -> Result<Link, LinkError> {
        let mut state = self.path.state.lock();
        if state.cut {
            return Err(LinkError::lost("the path is cut"));
        }
        let near = Shared::new(self.peer_info(), self.limits, WakeUps::Shared);
        let far = Shared::new(self.peer_info(), self.limits, WakeUps::Shared);
        state.links.retain(|link| link.strong_count() > 0);
        state
            .links
            .extend([Arc::downgrade(&near), Arc::downgrade(&far)]);
        if state.waiting.len() == MAX_WAITING {
            state.waiting.pop_front();
        }
        let (link, other) = (Link::new(&near), Link::new(&far));
        tokio::spawn(serve(near, far));
        state.waiting.push_back(other);
        drop(state);
        self.path.arrived.notify_one();
        Ok(link)
    }

    async fn accept(&self) -> Link {
        loop {
            if let Some(link) = self.path.state.lock().waiting.pop_front() {
                return link;
            }
            self.path.arrived.notified().await;
        }
    }

    fn peer_info(&self) -> PeerInfo {
        PeerInfo {
            address: "in-process".to_owned(),
            transport: "memory",
            fingerprint: None,
        }
    }
}

impl Transport for Memory {
    fn describe(&self) -> String {
        format!("memory {}", self.name)
    }

    fn establish(&self, side: Side) -> BoxFuture<'_, Result<Link, LinkError>> {
        Box::pin(async move {
            match side {
                Side::Accept => Ok(self.accept().await),
                Side::Dial => self.dial(),
            }
        })
    }
}

#[derive(Default, Debug)]
struct Path {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Default, Debug)]
struct State {
    cut: bool,
    /// Dialled, not yet accepted.
    waiting: VecDeque<Link>,
    links: Vec<Weak<Shared>>,
}

/// Carries messages both ways until either end is down.
async fn serve(near: Arc<Shared>, far: Arc<Shared>) {
    tokio::select! {
        reason = near.wait_ended() => { far.end(seen_by_peer(&reason)); }
        reason = far.wait_ended() => { near.end(seen_by_peer(&reason)); }
        () = carry(&near, &far) => {}
        () = carry(&far, &near) => {}
    }
}

async fn carry(from: &Shared, to: &Shared) {
    loop {
        if let Work::Close = from.outbound_work().await {
            to.end(LinkError::ClosedByPeer);
            from.end(LinkError::Closed);
            return;
        }
        while let Some((lane, message)) = from.take_any_outbound() {
            if let Err(reason) = to.deliver(lane, message).await {
                from.end(seen_by_peer(&reason));
                to.end(reason);
                return;
            }
            tokio::task::consume_budget().await;
        }
    }
}

fn seen_by_peer(reason: &LinkError) -> LinkError {
    LinkError::lost(format_args!("the other end says: {reason}"))
}

/// Most links that were dialled and not yet accepted; one more pushes out the oldest.
const MAX_WAITING: usize = 16;
