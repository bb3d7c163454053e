//! The task that owns a node: links, timers, doorbells and commands go in, messages come out.

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use bytes::Bytes;
use ha_core::id::LinkId;
use ha_core::node::{CloseReason, Event, Node, Output};
use ha_core::sync::Doorbell;
use ha_core::time::Time;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

use super::clock::Clock;
use super::notify::{Notification, Notifier};
use super::paths::Established;
use super::report;
use super::view::View;
use crate::error::LinkError;
use crate::lane::Lane;
use crate::link::{LinkReceiver, LinkSender};

/// Something to do with the node, from one of its handles.
pub(crate) type Command = Box<dyn FnOnce(&mut Node, Time) + Send>;

/// Owns the node.
pub(crate) struct Driver {
    pub(crate) node: Node,
    pub(crate) clock: Clock,
    pub(crate) established: mpsc::Receiver<Established>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) doorbells: Vec<Arc<Doorbell>>,
    pub(crate) views: watch::Sender<View>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) notifier: Notifier,
    pub(crate) links: Vec<OpenLink>,
    pub(crate) next_link: u64,
    /// Turns since the driver had to wait for something.
    pub(crate) busy_turns: u32,
    /// Links that are being closed in order.
    pub(crate) closing: JoinSet<()>,
}

/// A link that the node knows.
pub(crate) struct OpenLink {
    id: LinkId,
    path: usize,
    peer: String,
    sender: LinkSender,
    receive: Receive,
}

type Received = (LinkReceiver, Result<(Lane, Bytes), LinkError>);
type Receive = Pin<Box<dyn Future<Output = Received> + Send>>;

/// What woke the driver.
enum Wake {
    Message(usize, LinkReceiver, Result<(Lane, Bytes), LinkError>),
    Link(Established),
    Command(Command),
    Doorbell,
    Timer,
    /// All handles are gone.
    Abandoned,
}

/// Messages taken from one link before others get their turn.
const BURST_MESSAGES: usize = 64;
/// Bytes taken from one link before others get their turn: a few milliseconds of applying.
const BURST_BYTES: usize = 256 * 1024;
/// Turns without waiting after which others on the thread get theirs.
const BUSY_TURNS: u32 = 4;
/// Links of one path that are open at once: while the peer comes back, the old one may linger.
const LINKS_PER_PATH: usize = 4;

impl Driver {
    /// Runs until the node is stopped or all handles are gone.
    pub(crate) async fn run(mut self) {
        loop {
            let deadline = self.drain();
            self.publish();
            if self.node.is_stopped() {
                break;
            }
            match self.wait(deadline).await {
                Wake::Message(place, receiver, first) => self.receive(place, receiver, first),
                Wake::Link(established) => self.open(established),
                Wake::Command(command) => command(&mut self.node, self.clock.now()),
                Wake::Doorbell => self.node.handle_doorbell(self.clock.now()),
                Wake::Timer => self.node.handle_timeout(self.clock.now()),
                Wake::Abandoned => self.node.stop("its program dropped it"),
            }
        }
        for link in self.links.drain(..) {
            self.closing.spawn(link.sender.close());
        }
        // Each takes at most the close timeout of its link.
        while self.closing.join_next().await.is_some() {}
    }

    /// Carries out everything the node asks for; returns when it wants to be called next.
    fn drain(&mut self) -> Time {
        loop {
            match self.node.poll_output(self.clock.now()) {
                Output::Timeout(at) => return at,
                Output::Send {
                    link,
                    lane,
                    message,
                } => self.send(link, lane, message),
                Output::CloseLink { link, reason } => self.close(link, &reason),
                Output::NotifyClient {
                    group,
                    client,
                    state,
                    token,
                } => {
                    self.notifier.notify(Notification {
                        group,
                        client,
                        state,
                        token,
                    });
                }
                Output::Event(event) => {
                    report::report(&event, &self.links_text());
                    // Nobody need listen.
                    let _ = self.events.send(event);
                }
                _ => {}
            }
        }
    }

    fn publish(&self) {
        self.views.send_if_modified(|view| view.update(&self.node));
    }

    fn send(&mut self, id: LinkId, lane: Lane, message: Bytes) {
        let Some(place) = self.links.iter().position(|link| link.id == id) else {
            return;
        };
        if let Err(error) = self.links[place].sender.send(lane, message) {
            // A full queue of small messages means that the peer stopped reading: the link is of
            // no use, and the node must know that what it sent is lost.
            self.lost(place, &error);
        }
    }

    fn close(&mut self, id: LinkId, reason: &CloseReason) {
        let Some(place) = self.links.iter().position(|link| link.id == id) else {
            return;
        };
        let link = self.links.swap_remove(place);
        tracing::warn!(peer = link.peer, link = id.value(), %reason, "link closed");
        if matches!(reason, CloseReason::SameUnit { .. }) {
            let is_new = |view: &mut View| !core::mem::replace(&mut view.same_unit, true);
            self.views.send_if_modified(is_new);
        }
        if matches!(reason, CloseReason::Silent(_)) {
            link.sender.abort();
        } else {
            while self.closing.try_join_next().is_some() {}
            self.closing.spawn(link.sender.close());
        }
    }

    fn lost(&mut self, place: usize, error: &LinkError) {
        let link = self.links.swap_remove(place);
        tracing::warn!(peer = link.peer, link = link.id.value(), %error, "link lost");
        link.sender.abort();
        self.node.handle_link_down(link.id, self.clock.now());
    }

    fn open(&mut self, Established { path, link }: Established) {
        let peer = link.peer.to_string();
        if self.links.iter().filter(|open| open.path == path).count() >= LINKS_PER_PATH {
            tracing::warn!(peer, "too many links on one path; the newest is dropped");
            return link.sender.abort();
        }
        let id = LinkId::new(self.next_link);
        self.next_link += 1;
        tracing::info!(peer, link = id.value(), "link open");
        let receive = receive(link.receiver);
        self.links.push(OpenLink {
            id,
            path,
            peer,
            sender: link.sender,
            receive,
        });
        self.node.handle_link_up(id, self.clock.now());
    }

    /// Takes what arrived on a link, then waits for more.
    fn receive(
        &mut self,
        place: usize,
        mut receiver: LinkReceiver,
        first: Result<(Lane, Bytes), LinkError>,
    ) {
        let id = self.links[place].id;
        let mut next = Some(first);
        let (mut messages, mut bytes) = (0, 0);
        while let Some(message) = next {
            match message {
                Ok((lane, message)) => {
                    messages += 1;
                    bytes += message.len();
                    self.node
                        .handle_message(id, lane, message, self.clock.now());
                }
                Err(error) => return self.lost(place, &error),
            }
            let more = messages < BURST_MESSAGES && bytes < BURST_BYTES;
            next = if more {
                receiver.try_recv().map(Ok)
            } else {
                None
            };
        }
        self.links[place].receive = receive(receiver);
    }

    async fn wait(&mut self, deadline: Time) -> Wake {
        if self.busy_turns >= BUSY_TURNS {
            // What serves the links may share this thread.
            self.busy_turns = 0;
            tokio::task::yield_now().await;
        }
        let timer = tokio::time::sleep_until(self.clock.instant(deadline));
        tokio::pin!(timer);
        self.busy_turns += 1;
        poll_fn(|cx| {
            let wake = self.poll_wake(timer.as_mut(), cx);
            if wake.is_pending() {
                self.busy_turns = 0;
            }
            wake
        })
        .await
    }

    fn poll_wake(
        &mut self,
        timer: Pin<&mut tokio::time::Sleep>,
        cx: &mut Context<'_>,
    ) -> Poll<Wake> {
        // The timer first: keepalives must go out however much arrives.
        if timer.poll(cx).is_ready() {
            return Poll::Ready(Wake::Timer);
        }
        for (place, link) in self.links.iter_mut().enumerate() {
            if let Poll::Ready((receiver, message)) = link.receive.as_mut().poll(cx) {
                return Poll::Ready(Wake::Message(place, receiver, message));
            }
        }
        // Every bell is heard, so that none keeps its ring for later.
        let rung = self
            .doorbells
            .iter()
            .filter(|bell| bell.poll_rung(cx).is_ready())
            .count();
        if rung > 0 {
            return Poll::Ready(Wake::Doorbell);
        }
        if let Poll::Ready(command) = self.commands.poll_recv(cx) {
            return Poll::Ready(command.map_or(Wake::Abandoned, Wake::Command));
        }
        match self.established.poll_recv(cx) {
            Poll::Ready(Some(established)) => Poll::Ready(Wake::Link(established)),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn links_text(&self) -> impl Fn(LinkId) -> String + '_ {
        |id| {
            let link = self.links.iter().find(|link| link.id == id);
            link.map_or_else(String::new, |link| link.peer.clone())
        }
    }
}

fn receive(mut receiver: LinkReceiver) -> Receive {
    Box::pin(async move {
        let message = receiver.recv().await;
        (receiver, message)
    })
}
