//! A unit of the pair: its tables and its node, in this process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ha_core::checkpoint::{Shared, StreamStats};
use ha_core::id::{GroupId, UnitId};
use ha_core::node::{Event, GroupStats};
use ha_core::redundancy::{KeepaliveConfig, RfState};
use ha_core::scheme::{PeerHealth, PeerHealthConfig};
use ha_transport::runtime::View;
use ha_transport::{BlockingNode, Identity, LinkLimits, Node, PeerTrust, Quic, Tcp};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

use crate::held::{Held, TableSpec, replicated};
use crate::suite::{BenchError, block_on};

/// How the units reach each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum LinkKind {
    /// TCP with TLS 1.3.
    Tcp,
    /// QUIC.
    Quic,
}

impl LinkKind {
    /// Its name in a row.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Tcp => "TCP + TLS",
            Self::Quic => "QUIC",
        }
    }
}

/// How failures are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Keepalive {
    /// [`KeepaliveConfig::default`].
    #[default]
    Default,
    /// [`KeepaliveConfig::fast`].
    Fast,
}

/// What a unit is made from; passed to its process as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UnitSpec {
    /// 0 or 1.
    pub unit: u32,
    /// The addresses of units 0 and 1.
    pub addresses: [SocketAddr; 2],
    /// Holds the identities, in `unit-0` and `unit-1`.
    pub folder: PathBuf,
    /// The path to the peer.
    pub link: LinkKind,
    /// Failure detection.
    pub keepalive: Keepalive,
    /// The tables.
    pub tables: Vec<TableSpec>,
}

/// A unit in this process.
pub struct Unit {
    spec: UnitSpec,
    tables: Vec<Arc<dyn Held>>,
    node: Option<BlockingNode>,
}

impl Unit {
    /// A unit with empty tables whose node was not started.
    ///
    /// # Errors
    /// If the library refuses a table.
    pub fn new(spec: UnitSpec) -> Result<Self, BenchError> {
        let tables = (0..).zip(&spec.tables).map(|(n, table)| table.build(n));
        Ok(Self {
            tables: tables.collect::<Result<_, _>>()?,
            spec,
            node: None,
        })
    }

    /// Fills all tables.
    ///
    /// # Errors
    /// If a table refuses.
    pub fn fill(&self) -> Result<(), BenchError> {
        let mut tables = self.tables.iter().zip(&self.spec.tables);
        tables.try_for_each(|(table, spec)| table.fill(spec.entries))
    }

    /// Starts the node on a thread of its own.
    ///
    /// # Errors
    /// If the library refuses.
    pub fn start(&mut self) -> Result<(), BenchError> {
        let keepalive = match self.spec.keepalive {
            Keepalive::Default => KeepaliveConfig::default(),
            Keepalive::Fast => KeepaliveConfig::fast(),
        };
        let scheme = PeerHealth::new(PeerHealthConfig::for_keepalive(keepalive));
        let mut builder = Node::builder(UnitId::new(self.spec.unit)).keepalive(keepalive);
        for client in self.tables.iter().flat_map(|table| table.clients()) {
            builder = builder.client(&client);
        }
        builder = builder.scheme(scheme);
        let [own, peer] = [self.spec.unit, 1 - self.spec.unit];
        let identity = self.identity(own)?;
        let pin = self.identity(peer)?.fingerprint();
        let trust = PeerTrust::keys([pin]).map_err(BenchError::failed("trust"))?;
        let [own, peer] = [own, peer].map(|unit| self.spec.addresses[unit as usize]);
        let limits = LinkLimits::default();
        builder = match self.spec.link {
            LinkKind::Tcp => builder.link(
                Tcp::new(own, peer, &identity, trust, limits).map_err(BenchError::failed("tcp"))?,
            ),
            LinkKind::Quic => builder.link(
                Quic::new(own, peer, &identity, trust, limits)
                    .map_err(BenchError::failed("quic"))?,
            ),
        };
        let node = builder.start_thread();
        self.node = Some(node.map_err(BenchError::failed("starting a node"))?);
        Ok(())
    }

    fn identity(&self, unit: u32) -> Result<Identity, BenchError> {
        let folder = self.spec.folder.join(format!("unit-{unit}"));
        Identity::load(folder).map_err(BenchError::failed("an identity"))
    }

    /// Starts the node of a standby; from there until it is STANDBY HOT with all entries. Also the
    /// part of it that the stream of state took, as the node tells it.
    ///
    /// # Errors
    /// If it does not come to that.
    pub fn sync(&mut self) -> Result<(Duration, Option<Duration>), BenchError> {
        let start = Instant::now();
        self.start()?;
        let mut events = self.node()?.handle().events();
        self.await_state(RfState::StandbyHot)?;
        self.expect_full()?;
        let took = start.elapsed();
        let mut stream = None;
        while let Some(event) = next_event(&mut events)? {
            if let Event::SyncCompleted { took, .. } = event {
                stream = Some(took);
            }
        }
        Ok((took, stream))
    }

    fn expect_full(&self) -> Result<(), BenchError> {
        let held: Vec<_> = self.tables.iter().map(|table| table.len()).collect();
        let due = self.spec.tables.iter().map(|spec| spec.entries as usize);
        if due.eq(held.iter().copied()) {
            return Ok(());
        }
        Err(BenchError::failed("STANDBY HOT")(format!(
            "but the tables hold {held:?} entries"
        )))
    }

    /// The node.
    ///
    /// # Errors
    /// If it was not started.
    pub fn node(&self) -> Result<&BlockingNode, BenchError> {
        let node = self.node.as_ref();
        node.ok_or_else(|| BenchError::failed("the node")("was not started"))
    }

    /// The first table.
    #[must_use]
    pub fn table(&self) -> &Arc<dyn Held> {
        &self.tables[0]
    }

    /// The last table.
    #[must_use]
    pub fn last_table(&self) -> &Arc<dyn Held> {
        &self.tables[self.tables.len() - 1]
    }

    /// Waits until the unit is in `state`.
    ///
    /// # Errors
    /// If it does not get there.
    pub fn await_state(&self, state: RfState) -> Result<(), BenchError> {
        let reached = self.node()?.wait_for_state(state, BOUND);
        reached.map_err(BenchError::failed(format!("getting to {state}")))
    }

    /// Waits until the view satisfies a condition.
    ///
    /// # Errors
    /// If it does not.
    pub fn await_view(
        &self,
        what: &str,
        condition: impl FnMut(&View) -> bool,
    ) -> Result<(), BenchError> {
        let reached = self.node()?.wait_for(BOUND, condition);
        reached.map(|_| ()).map_err(BenchError::failed(what))
    }

    /// On the active unit: waits until it knows that its peer is STANDBY HOT.
    ///
    /// # Errors
    /// If that does not come.
    pub fn await_standby(&self) -> Result<(), BenchError> {
        self.await_view("the peer is STANDBY HOT", |view| {
            let mut groups = view.groups.values();
            groups.all(|group| group.peer_state == Some(RfState::StandbyHot))
        })
    }

    /// Waits until the standby holds all that was written so far.
    ///
    /// # Errors
    /// If it does not come to that.
    pub fn barrier(&self) -> Result<(), BenchError> {
        let barrier = self.shared()?.barrier();
        replicated(barrier.map_err(BenchError::failed("a barrier"))?)
    }

    fn shared(&self) -> Result<&Arc<Shared>, BenchError> {
        let shared = self.node()?.handle().shared(GROUP);
        shared.ok_or_else(|| BenchError::failed("the group")("is missing"))
    }

    /// What the node counts, and when.
    ///
    /// # Errors
    /// If the node has stopped.
    pub fn stats(&self) -> Result<(GroupStats, StreamStats), BenchError> {
        let stats = block_on(self.node()?.handle().stats(GROUP))?;
        let (group, stream) = stats.map_err(BenchError::failed("statistics"))?;
        Ok((group.unwrap_or_default(), stream.unwrap_or_default()))
    }

    /// A sum over all tables.
    #[must_use]
    pub fn checksum(&self) -> u64 {
        let tables = self.tables.iter().zip(&self.spec.tables);
        let sums = tables.map(|(table, spec)| table.checksum(spec.entries));
        sums.fold(0, |all: u64, sum| all.rotate_left(1) ^ sum)
    }

    /// Changes each entry of the first table once; how many could be changed.
    #[must_use]
    pub fn write_all(&self) -> u64 {
        let entries = self.spec.tables.first().map_or(0, |spec| spec.entries);
        let written = (0..entries).filter(|key| self.table().write(*key, u64::from(*key)));
        written.count() as u64
    }

    /// Gives the active role to the peer.
    ///
    /// # Errors
    /// If that is refused or fails.
    pub fn switchover(&self) -> Result<(), BenchError> {
        let done = self.node()?.switchover();
        done.map_err(BenchError::failed("a manual switchover"))
    }

    /// Stops the node in order; the peer is told.
    pub fn stop(&mut self) {
        if let Some(node) = self.node.take() {
            node.stop();
        }
    }
}

/// The next event that is there, if any; what a slow listener missed is passed over.
///
/// # Errors
/// If the node has stopped.
pub fn next_event(events: &mut Receiver<Event>) -> Result<Option<Event>, BenchError> {
    loop {
        match events.try_recv() {
            Ok(event) => return Ok(Some(event)),
            Err(TryRecvError::Empty) => return Ok(None),
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Closed) => {
                return Err(BenchError::failed("events")("the node stopped"));
            }
        }
    }
}

/// The group of all tables.
pub const GROUP: GroupId = GroupId::new(0);
/// For whatever should happen.
pub(crate) const BOUND: Duration = Duration::from_secs(120);
