//! Setting up a node with its links.

use core::time::Duration;
use std::sync::Arc;

use ha_core::checkpoint::{
    CheckpointClient, CommitPolicy, Shared, StateTable, TableKey, TableValue,
};
use ha_core::id::{GroupId, UnitId};
use ha_core::node::{ConfigError, GroupConfig, Node as Core, NodeConfig};
use ha_core::redundancy::KeepaliveConfig;
use ha_core::scheme::Scheme;
use tokio::sync::{broadcast, mpsc, watch};
use tracing::Instrument;

use super::clock::Clock;
use super::driver::Driver;
use super::handle::Node;
use super::notify::{Handler, Notification, Notifier, Responder};
use super::paths;
use super::report::unit_span;
use super::view::View;
use crate::transport::{Side, Transport};

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting is out of range.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// No group has a scheme.
    #[error("{group} has no scheme: say who decides the role, for example PeerHealth")]
    NoScheme {
        /// The group.
        group: GroupId,
    },
    /// The thread of a node without async could not start.
    #[error("the node's thread could not start: {0}")]
    Thread(#[from] std::io::Error),
    /// The operating system gave no random numbers.
    #[error("the operating system gave no random numbers: {0}")]
    Random(String),
}

/// Collects what a node needs; see [`Node::builder`].
#[must_use = "a builder does nothing until it is started"]
pub struct NodeBuilder {
    unit: UnitId,
    peer: Option<UnitId>,
    keepalive: KeepaliveConfig,
    software: Option<String>,
    windows: Option<(usize, usize)>,
    digest_interval: Option<Duration>,
    groups: Vec<Group>,
    transports: Vec<Arc<dyn Transport>>,
    side: Option<Side>,
    handler: Option<Handler>,
}

/// One group of the node under construction.
struct Group {
    id: GroupId,
    clients: Vec<Arc<dyn CheckpointClient>>,
    scheme: Option<Box<dyn Scheme>>,
    policy: CommitPolicy,
    notification_timer: Duration,
}

impl NodeBuilder {
    pub(crate) fn new(unit: UnitId) -> Self {
        Self {
            unit,
            peer: None,
            keepalive: KeepaliveConfig::default(),
            software: None,
            windows: None,
            digest_interval: None,
            groups: vec![Group::new(GroupId::new(0))],
            transports: Vec::new(),
            side: None,
            handler: None,
        }
    }

    /// The other unit; by default 1 for unit 0, and 0 for any other.
    pub fn peer(mut self, peer: UnitId) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Begins another group: the clients, scheme and policy named from here on are its own.
    pub fn group(mut self, id: GroupId) -> Self {
        match self.groups.last_mut() {
            Some(group) if group.is_new() => group.id = id,
            _ => self.groups.push(Group::new(id)),
        }
        self
    }

    /// Registers a client with the current group.
    pub fn client(mut self, client: &(impl AsClient + ?Sized)) -> Self {
        self.current().clients.push(client.as_client());
        self
    }

    /// Who decides the role of the current group.
    pub fn scheme(mut self, scheme: impl Scheme + 'static) -> Self {
        self.current().scheme = Some(Box::new(scheme));
        self
    }

    /// What commits of the current group do while there is no standby.
    pub fn commit_policy(mut self, policy: CommitPolicy) -> Self {
        self.current().policy = policy;
        self
    }

    /// How long a client of the current group may take to answer a notification; 30 s by default.
    pub fn notification_timer(mut self, limit: Duration) -> Self {
        self.current().notification_timer = limit;
        self
    }

    /// Adds a path to the peer. Several paths are used at once: the loss of one is not the loss of
    /// the peer.
    pub fn link(mut self, transport: impl Transport) -> Self {
        self.transports.push(Arc::new(transport));
        self
    }

    /// Which end of its connections this unit is; the other unit has to be the other end. By default the
    /// unit with the lower id accepts. Units that were given one id by mistake never meet then: decided
    /// by something that is certain to differ, such as their
    /// [fingerprints](crate::Fingerprint), they do, and say so
    /// ([`View::same_unit`](super::View::same_unit)).
    pub fn side(mut self, side: Side) -> Self {
        self.side = Some(side);
        self
    }

    /// Failure detection.
    pub fn keepalive(mut self, keepalive: KeepaliveConfig) -> Self {
        self.keepalive = keepalive;
        self
    }

    /// What this program is, for the peer's log.
    pub fn software(mut self, software: impl Into<String>) -> Self {
        self.software = Some(software.into());
        self
    }

    /// How many bytes of changes and of bulk sync the peer may have in flight to this unit.
    pub fn windows(mut self, changes_bytes: usize, bulk_bytes: usize) -> Self {
        self.windows = Some((changes_bytes, bulk_bytes));
        self
    }

    /// How often digests are compared when nothing changes; 5 s by default.
    pub fn digest_interval(mut self, interval: Duration) -> Self {
        self.digest_interval = Some(interval);
        self
    }

    /// What answers redundancy notifications of clients that asked for them. It is called on the
    /// node's task: it must not block, but may keep the [`Responder`] and answer later.
    pub fn on_notification(
        mut self,
        handler: impl FnMut(&Notification, Responder) + Send + 'static,
    ) -> Self {
        self.handler = Some(Box::new(handler));
        self
    }

    /// Starts the node on the current tokio runtime.
    ///
    /// # Errors
    /// When a setting is out of range or missing.
    #[allow(
        clippy::unused_async,
        reason = "must be called within a runtime, and may come to wait"
    )]
    pub async fn start(self) -> Result<Node, StartError> {
        let (node, driver) = self.assemble()?;
        let span = unit_span(node.unit());
        tokio::spawn(driver.run().instrument(span));
        Ok(node)
    }

    /// Starts the node on a thread of its own, for programs without async and for the shortest
    /// commit times.
    ///
    /// # Errors
    /// When a setting is out of range or missing, or no thread can be had.
    pub fn start_thread(self) -> Result<super::BlockingNode, StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (node, driver) = {
            let _entered = runtime.enter();
            self.assemble()?
        };
        let span = unit_span(node.unit());
        let thread = std::thread::Builder::new()
            .name(format!("ha-node-{}", node.unit().value()))
            .spawn(move || runtime.block_on(driver.run().instrument(span)))?;
        Ok(super::BlockingNode::new(node, thread))
    }

    fn current(&mut self) -> &mut Group {
        let last = self.groups.len() - 1;
        &mut self.groups[last]
    }

    fn assemble(mut self) -> Result<(Node, Driver), StartError> {
        let clock = Clock::start();
        let groups = core::mem::take(&mut self.groups);
        let groups = groups
            .into_iter()
            .map(Group::finish)
            .collect::<Result<Vec<_>, _>>()?;
        let shared: Vec<_> = groups
            .iter()
            .map(|g| (g.id, Arc::clone(&g.shared)))
            .collect();
        let config = self.config()?;
        let by_id = if config.unit < config.peer {
            Side::Accept
        } else {
            Side::Dial
        };
        let side = self.side.unwrap_or(by_id);
        let core = Core::new(config, groups, clock.now())?;
        let (commands, commands_in) = mpsc::channel(COMMANDS);
        let (links, established) = mpsc::channel(LINKS);
        let (events, _) = broadcast::channel(EVENTS);
        let (views, view) = watch::channel(View::default());
        for (path, transport) in self.transports.into_iter().enumerate() {
            tokio::spawn(paths::keep(path, transport, side, clock, links.clone()));
        }
        let node = Node::new(
            self.unit,
            shared.clone(),
            commands.clone(),
            view,
            events.clone(),
        );
        let notifier = Notifier {
            handler: self.handler,
            commands: commands.downgrade(),
        };
        let driver = Driver {
            node: core,
            clock,
            established,
            commands: commands_in,
            doorbells: shared
                .iter()
                .map(|(_, shared)| Arc::clone(shared.doorbell()))
                .collect(),
            views,
            events,
            notifier,
            links: Vec::new(),
            next_link: 1,
            busy_turns: 0,
            closing: tokio::task::JoinSet::new(),
        };
        Ok((node, driver))
    }

    fn config(&self) -> Result<NodeConfig, StartError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| StartError::Random(error.to_string()))?;
        let mut config = NodeConfig::new(self.unit, u64::from_le_bytes(random));
        config.keepalive = self.keepalive;
        if let Some(peer) = self.peer {
            config.peer = peer;
        }
        if let Some(software) = &self.software {
            config.software.clone_from(software);
        }
        if let Some((changes, bulk)) = self.windows {
            (config.changes_window_bytes, config.bulk_window_bytes) = (changes, bulk);
        }
        if let Some(interval) = self.digest_interval {
            config.digest_interval = interval;
        }
        Ok(config)
    }
}

/// Commands that may wait for the node.
const COMMANDS: usize = 64;
/// New links that may wait for the node.
const LINKS: usize = 4;
/// Events kept for a slow listener.
const EVENTS: usize = 1024;

impl Group {
    fn new(id: GroupId) -> Self {
        Self {
            id,
            clients: Vec::new(),
            scheme: None,
            policy: CommitPolicy::default(),
            notification_timer: Duration::from_secs(30),
        }
    }

    fn is_new(&self) -> bool {
        self.clients.is_empty() && self.scheme.is_none()
    }

    fn finish(self) -> Result<GroupConfig, StartError> {
        let scheme = self.scheme.ok_or(StartError::NoScheme { group: self.id })?;
        let mut config = GroupConfig::new(self.id, scheme, Shared::new(self.policy));
        config.clients = self.clients;
        config.notification_timer = self.notification_timer;
        Ok(config)
    }
}

/// What can be registered as a client.
pub trait AsClient {
    /// The client itself.
    fn as_client(&self) -> Arc<dyn CheckpointClient>;
}

impl<T: CheckpointClient> AsClient for Arc<T> {
    fn as_client(&self) -> Arc<dyn CheckpointClient> {
        Arc::clone(self) as Arc<dyn CheckpointClient>
    }
}

impl<K: TableKey, V: TableValue> AsClient for StateTable<K, V> {
    fn as_client(&self) -> Arc<dyn CheckpointClient> {
        self.client()
    }
}

impl AsClient for Arc<dyn CheckpointClient> {
    fn as_client(&self) -> Arc<dyn CheckpointClient> {
        Arc::clone(self)
    }
}
