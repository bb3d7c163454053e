//! The node: one unit of a pair, without I/O.
//!
//! # Contract
//! A driver calls the `handle_*` methods when something happens and then drains
//! [`Node::poll_output`] until it yields [`Output::Timeout`]. It calls [`Node::handle_timeout`] at
//! that time, or earlier. `now` must never go backwards. The node calls the clients' tables
//! (see [`CheckpointClient`](crate::checkpoint::CheckpointClient)) to read and to install entries,
//! and calls nothing else.

mod agreement;
mod config;
mod group;
mod output;
mod peer;
mod query;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

pub use agreement::{ConfigDifference, Disagreement};
pub use config::{ConfigError, GroupConfig, NodeConfig, Planted};
pub use group::GroupStats;
pub use output::{CloseReason, Event, Output};

use crate::id::{ClientId, GroupId, LinkId, UnitId};
use crate::redundancy::{
    Answer, FencingRefusal, KeepaliveEvent, KeepaliveMonitor, NotificationToken, SwitchoverRefusal,
    UnknownToken,
};
use crate::scheme::{Role as SchemeRole, SchemeInput};
use crate::time::Time;
use crate::wire::{Body, Lane, WireError, decode, encode, limits, pb};
use group::{Context, Group};
use peer::Peer;

/// One unit of a pair: its groups, its links to the peer.
pub struct Node {
    config: NodeConfig,
    groups: BTreeMap<GroupId, Group>,
    peer: Peer,
    monitor: KeepaliveMonitor,
    /// When the next Status goes out.
    status_at: Time,
    /// Something in the Status changed.
    status_due: bool,
    out: VecDeque<Output>,
    /// Links that a group wants closed.
    refused: Vec<(LinkId, CloseReason)>,
    stopped: bool,
}

/// Why a command to a group did not take effect.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// No such group.
    #[error("{group} is not hosted here")]
    NoGroup {
        /// The group.
        group: GroupId,
    },
    /// No such client.
    #[error("{client} is not registered in the group")]
    NoClient {
        /// The client.
        client: ClientId,
    },
    /// Only a standby can ask for its entries again.
    #[error("this unit is not standby; only a standby resynchronises from the active")]
    NotStandby,
    /// A manual switchover was refused.
    #[error("{0}")]
    Refused(#[from] SwitchoverRefusal),
    /// The word of a fencing authority was refused.
    #[error("{0}")]
    Fencing(#[from] FencingRefusal),
    /// An answer to a notification that is not open.
    #[error("{0}")]
    UnknownToken(#[from] UnknownToken),
}

impl Node {
    /// Sets up a unit and starts its groups.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn new(
        config: NodeConfig,
        groups: Vec<GroupConfig>,
        now: Time,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        if groups.is_empty() || groups.len() > limits::MAX_GROUPS {
            return Err(ConfigError::Groups {
                limit: limits::MAX_GROUPS,
            });
        }
        let mut by_id = BTreeMap::new();
        for group in groups {
            group.validate()?;
            let id = group.id;
            if by_id.insert(id, Group::new(group, &config, now)?).is_some() {
                return Err(ConfigError::DuplicateGroup { group: id });
            }
        }
        let monitor = KeepaliveMonitor::new(config.keepalive);
        let mut node = Self {
            peer: Peer::new(config.unit, config.peer),
            monitor,
            config,
            groups: by_id,
            status_at: now,
            status_due: false,
            out: VecDeque::new(),
            refused: Vec::new(),
            stopped: false,
        };
        node.each_group(now, Group::boot);
        Ok(node)
    }

    /// An authenticated link to the peer opened.
    pub fn handle_link_up(&mut self, link: LinkId, now: Time) {
        if self.stopped {
            return self.close(link, CloseReason::Leaving);
        }
        self.peer.link_up(link, now);
        let hello = Body::Hello(self.hello());
        self.send(link, hello);
    }

    /// A link is gone, for whatever reason.
    pub fn handle_link_down(&mut self, link: LinkId, now: Time) {
        if self.peer.link_down(link) {
            self.each_group(now, |group, ctx| group.handle_link_down(link, ctx));
        }
    }

    /// A message arrived.
    pub fn handle_message(&mut self, link: LinkId, lane: Lane, message: Bytes, now: Time) {
        if self.stopped || !self.peer.knows(link) {
            return;
        }
        match decode(lane, message) {
            Ok(body) => self.handle_body(link, body, now),
            Err(error) => self.refuse(link, CloseReason::Wire(error), now),
        }
    }

    /// Time passed: at the latest when [`Output::Timeout`] said.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.stopped {
            return;
        }
        while let Some(event) = self.monitor.handle_timeout(now) {
            self.handle_keepalive(event, now);
        }
        for link in self.peer.overdue(now) {
            self.refuse(link, CloseReason::NoHello, now);
        }
        self.each_group(now, Group::handle_timeout);
        if now >= self.status_at {
            self.send_status(now);
        }
    }

    /// The doorbell of some group's [`Shared`](crate::checkpoint::Shared) rang: transactions wait, or marks are many.
    pub fn handle_doorbell(&mut self, now: Time) {
        self.groups
            .values_mut()
            .for_each(|group| group.handle_doorbell(now));
    }

    /// A client answered a notification.
    ///
    /// # Errors
    /// When no such notification is open: it timed out, or the state was left meanwhile.
    pub fn handle_client_answer(
        &mut self,
        group: GroupId,
        token: NotificationToken,
        answer: Answer,
        now: Time,
    ) -> Result<(), CommandError> {
        self.with_group(group, now, |group, ctx| {
            group.handle_answer(token, answer, ctx)
        })??;
        Ok(())
    }

    /// Gives the active role of a group to the standby (Cisco: `redundancy switch-activity`).
    ///
    /// # Errors
    /// On the standby; while the peer is not STANDBY HOT, unless forced; see
    /// [`SwitchoverRefusal`].
    pub fn switchover(
        &mut self,
        group: GroupId,
        force: bool,
        now: Time,
    ) -> Result<(), CommandError> {
        self.with_group(group, now, |group, ctx| group.switchover(force, ctx))??;
        Ok(())
    }

    /// Puts a group into or out of maintenance mode: it takes over only by command.
    ///
    /// # Errors
    /// When there is no such group.
    pub fn set_maintenance(
        &mut self,
        group: GroupId,
        on: bool,
        now: Time,
    ) -> Result<(), CommandError> {
        self.with_group(group, now, |group, ctx| group.set_maintenance(on, ctx))
    }

    /// Tells an active unit that the other one is fenced: a fencing agent switched its power off, its
    /// lease ran out with the process that held it, or an administrator looked. Limits that hold
    /// while that one might be active are lifted, such as the autonomy budget of sequence numbers,
    /// until a unit comes as standby; it then begins from nothing. What it may have done before it
    /// ended still counts.
    ///
    /// Say it only of a process that has ended: one that merely stands still, or cannot be reached,
    /// may use what it holds.
    ///
    /// # Errors
    /// While the peer is connected, and on a unit that is not active; see [`FencingRefusal`].
    pub fn peer_fenced(&mut self, group: GroupId, now: Time) -> Result<(), CommandError> {
        self.with_group(group, now, Group::peer_fenced)??;
        Ok(())
    }

    /// Sets the role of a group whose scheme takes commands ([`crate::scheme::Static`]).
    ///
    /// # Errors
    /// When there is no such group.
    pub fn set_role(
        &mut self,
        group: GroupId,
        role: SchemeRole,
        now: Time,
    ) -> Result<(), CommandError> {
        self.with_group(group, now, |group, ctx| group.set_role(role, ctx))
    }

    /// On a standby: drops nothing, but has the active send a client's entries again in full
    /// (Cisco: `clear crypto … standby`). `None` for all clients.
    ///
    /// # Errors
    /// When there is no such group or client, or on a unit that is not standby.
    pub fn resync(
        &mut self,
        group: GroupId,
        client: Option<ClientId>,
        now: Time,
    ) -> Result<(), CommandError> {
        self.with_group(group, now, |group, ctx| {
            group.resync_by_command(client, ctx)
        })?
    }

    /// Ends the node in order: the peer is told, so that it takes over at once. Drain afterwards.
    pub fn stop(&mut self, text: &str) {
        if core::mem::replace(&mut self.stopped, true) {
            return;
        }
        let text = shortened(text);
        for link in self.peer.links().to_vec() {
            self.send(link, Body::Goodbye(pb::Goodbye { text: text.clone() }));
            self.out.push_back(Output::CloseLink {
                link,
                reason: CloseReason::Leaving,
            });
        }
        self.groups.values_mut().for_each(Group::stop);
    }

    /// What to do next; [`Output::Timeout`] when there is nothing until then.
    pub fn poll_output(&mut self, now: Time) -> Output {
        loop {
            if let Some((link, reason)) = self.refused.pop() {
                self.refuse(link, reason, now);
            }
            if let Some(output) = self.out.pop_front() {
                return output;
            }
            if self.stopped {
                return Output::Timeout(Time::from_nanos(u64::MAX));
            }
            if core::mem::take(&mut self.status_due) {
                self.send_status(now);
                continue;
            }
            let next = self.groups.values_mut().find_map(|group| group.poll(now));
            match next {
                Some((link, body)) => self.send(link, body),
                None => {
                    self.each_group(now, Group::continue_handover);
                    if self.out.is_empty() {
                        return Output::Timeout(self.poll_timeout());
                    }
                }
            }
        }
    }

    fn handle_body(&mut self, link: LinkId, body: Body, now: Time) {
        if let Body::Hello(hello) = body {
            return self.handle_hello(link, hello, now);
        }
        match body {
            Body::Reject(reject) => {
                self.close(link, CloseReason::Refused(reject.text));
                self.each_group(now, |group, ctx| group.handle_link_down(link, ctx));
            }
            _ if !self.peer.is_ready(link) => self.refuse(link, CloseReason::NoHello, now),
            Body::Goodbye(goodbye) => self.handle_goodbye(goodbye.text, now),
            body => {
                self.monitor.heard();
                self.handle_group_message(link, body, now);
            }
        }
    }

    fn handle_group_message(&mut self, link: LinkId, body: Body, now: Time) {
        let number = match &body {
            Body::Status(_) => return self.handle_status(link, body, now),
            Body::SyncRequest(message) => message.group,
            Body::SyncBegin(message) => message.group,
            Body::Batch(message) => message.group,
            Body::Ack(message) => message.group,
            Body::BulkChunk(message) => message.group,
            Body::BulkAck(message) => message.group,
            Body::Resign(message) => message.group,
            Body::Hello(_) | Body::Goodbye(_) | Body::Reject(_) => return,
        };
        // A group that only the peer hosts was reported when the link opened.
        let _ = self.with_group(GroupId::new(number), now, |group, ctx| match body {
            Body::SyncRequest(request) => group.handle_request(&request, link, ctx),
            Body::SyncBegin(begin) => group.handle_begin(&begin, link, ctx),
            Body::Batch(batch) => group.handle_batch(batch, link, ctx),
            Body::Ack(ack) => group.handle_ack(&ack, ctx),
            Body::BulkChunk(chunk) => group.handle_chunk(chunk, link, ctx),
            Body::BulkAck(ack) => group.handle_bulk_ack(&ack),
            Body::Resign(resign) => group.handle_resign(&resign, ctx),
            _ => {}
        });
    }

    fn handle_status(&mut self, link: LinkId, body: Body, now: Time) {
        let Body::Status(status) = body else { return };
        let fresh = self.peer.heard_status(link, &status);
        for group in status.groups {
            let id = GroupId::new(group.group);
            let _ = self.with_group(id, now, |here, ctx| here.handle_status(group, fresh, ctx));
        }
    }

    fn handle_hello(&mut self, link: LinkId, hello: pb::Hello, now: Time) {
        let restarted = match self.peer.hello(link, &hello) {
            Ok(restarted) => restarted,
            Err(reason) => return self.refuse(link, reason, now),
        };
        if restarted {
            self.each_group(now, |group, ctx| {
                group.handle_peer_lost(&SchemeInput::PeerRestarted, ctx);
            });
            self.peer.adopt(link, &hello);
        }
        if !self.monitor.is_running() || restarted {
            self.monitor.start(now);
        }
        self.monitor.heard();
        let unit = UnitId::new(hello.unit);
        let (incarnation, software) = (hello.incarnation, hello.software.clone());
        self.out.push_back(Output::Event(Event::PeerUp {
            link,
            unit,
            incarnation,
            software,
        }));
        self.each_group(now, |group, ctx| {
            let theirs = hello
                .groups
                .iter()
                .find(|theirs| theirs.group == group.id.value());
            group.handle_hello(theirs, ctx);
        });
        self.status_due = true;
    }

    fn handle_goodbye(&mut self, text: String, now: Time) {
        let unit = self.config.peer;
        self.out.push_back(Output::Event(Event::PeerLeft {
            unit,
            text: text.clone(),
        }));
        self.drop_peer(CloseReason::PeerLeaves(text), &SchemeInput::PeerLeft, now);
    }

    fn handle_keepalive(&mut self, event: KeepaliveEvent, now: Time) {
        match event {
            KeepaliveEvent::PeerLost if self.peer.incarnation().is_some() => {
                let unit = self.config.peer;
                self.out.push_back(Output::Event(Event::PeerLost { unit }));
                let silence = self.config.keepalive.detection_time();
                self.drop_peer(CloseReason::Silent(silence), &SchemeInput::PeerLost, now);
            }
            KeepaliveEvent::PeerLost => {}
            KeepaliveEvent::Paused { late } => {
                self.out
                    .push_back(Output::Event(Event::Paused { duration: late }));
                // The peer's last message from here may be an interval older than the pause, and it
                // may be a little faster.
                let keepalive = self.config.keepalive;
                if late >= keepalive.detection_time() - 3 * keepalive.interval() {
                    self.peer.handle_pause();
                    self.each_group(now, Group::handle_pause);
                    self.status_due = true;
                }
            }
        }
    }

    fn drop_peer(&mut self, reason: CloseReason, input: &SchemeInput, now: Time) {
        self.monitor.stop();
        for link in self.peer.lose() {
            self.out.push_back(Output::CloseLink {
                link,
                reason: reason.clone(),
            });
        }
        self.each_group(now, |group, ctx| group.handle_peer_lost(input, ctx));
    }

    /// Tells the peer why, and closes the link.
    fn refuse(&mut self, link: LinkId, reason: CloseReason, now: Time) {
        let text = shortened(&reason.to_string());
        self.send(
            link,
            Body::Reject(pb::Reject {
                code: reason.code(),
                text,
            }),
        );
        self.close(link, reason);
        self.each_group(now, |group, ctx| group.handle_link_down(link, ctx));
    }

    fn close(&mut self, link: LinkId, reason: CloseReason) {
        self.peer.link_down(link);
        self.out.push_back(Output::CloseLink { link, reason });
    }

    fn send(&mut self, link: LinkId, body: Body) {
        let (lane, message) = encode(body);
        self.out.push_back(Output::Send {
            link,
            lane,
            message,
        });
    }

    fn send_status(&mut self, now: Time) {
        self.status_at = now + self.config.keepalive.interval();
        let groups: Vec<_> = self.groups.values().map(Group::status).collect();
        for link in self.peer.links().to_vec() {
            let (number, heard) = self.peer.next_status(link);
            self.send(
                link,
                Body::Status(pb::Status {
                    number,
                    groups: groups.clone(),
                    heard,
                }),
            );
        }
    }

    fn hello(&self) -> pb::Hello {
        let interval = self.config.keepalive.interval().as_millis();
        pb::Hello {
            protocol_min: PROTOCOL,
            protocol_max: PROTOCOL,
            unit: self.config.unit.value(),
            incarnation: self.config.incarnation,
            software: self.config.software.clone(),
            groups: self.groups.values().map(Group::hello).collect(),
            keepalive_interval_ms: u32::try_from(interval).unwrap_or(u32::MAX),
        }
    }

    fn poll_timeout(&self) -> Time {
        let groups = self.groups.values().map(Group::poll_timeout);
        let own = self
            .monitor
            .poll_timeout()
            .into_iter()
            .chain([self.status_at]);
        own.chain(self.peer.poll_timeout())
            .chain(groups)
            .min()
            .unwrap_or(self.status_at)
    }

    fn each_group(&mut self, now: Time, mut f: impl FnMut(&mut Group, &mut Context<'_>)) {
        let mut ctx = Context {
            now,
            out: &mut self.out,
            links: self.peer.links(),
            refused: &mut self.refused,
            peer_incarnation: self.peer.incarnation(),
            status_due: &mut self.status_due,
        };
        self.groups
            .values_mut()
            .for_each(|group| f(group, &mut ctx));
    }

    fn with_group<T>(
        &mut self,
        id: GroupId,
        now: Time,
        f: impl FnOnce(&mut Group, &mut Context<'_>) -> T,
    ) -> Result<T, CommandError> {
        let group = self
            .groups
            .get_mut(&id)
            .ok_or(CommandError::NoGroup { group: id })?;
        let mut ctx = Context {
            now,
            out: &mut self.out,
            links: self.peer.links(),
            refused: &mut self.refused,
            peer_incarnation: self.peer.incarnation(),
            status_due: &mut self.status_due,
        };
        Ok(f(group, &mut ctx))
    }
}

/// As much of a text as a message may carry.
fn shortened(text: &str) -> String {
    text.chars().take(limits::MAX_TEXT_BYTES / 4).collect()
}

/// The version of the protocol that this release speaks.
pub(crate) const PROTOCOL: u32 = 1;

impl CloseReason {
    /// The number that stands for the reason on the wire.
    pub const fn code(&self) -> u32 {
        match self {
            Self::Wire(WireError::Limit(_)) => 1,
            Self::Wire(_) => 2,
            Self::NoHello => 3,
            Self::SameUnit { .. } => 4,
            Self::UnexpectedUnit { .. } => 5,
            Self::SecondPeer { .. } => 6,
            Self::Protocol { .. } => 7,
            Self::Refused(_) => 8,
            Self::PeerLeaves(_) => 9,
            Self::Leaving => 10,
            Self::Silent(_) => 11,
            Self::Stuck(_) => 12,
        }
    }
}
