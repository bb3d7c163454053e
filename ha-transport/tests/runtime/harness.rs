//! What the tests of the runtime share: tables, pairs of nodes, and waiting with a bound.

use std::time::Duration;

use ha_core::checkpoint::StateTable;
use ha_core::id::{ClientId, GroupId, UnitId};
use ha_core::node::Event;
use ha_core::redundancy::{KeepaliveConfig, RfState};
use ha_core::scheme::{PeerHealth, Role, Static};
use ha_transport::memory::{self, Memory};
use ha_transport::{LinkLimits, Node, NodeBuilder};
use tokio::sync::broadcast::Receiver;

/// Far longer than anything takes, on a loaded machine too.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// The group of a node with one group.
pub(crate) const GROUP: GroupId = GroupId::new(0);
/// The client of most tests.
pub(crate) const NAT: ClientId = ClientId::new(40);

pub(crate) type Table = StateTable<u32, Vec<u8>>;

/// A table named `nat`.
pub(crate) fn table() -> Table {
    Table::builder(NAT, "nat").build().unwrap()
}

/// A unit whose role the units find out.
pub(crate) fn unit(id: u32, table: &Table) -> NodeBuilder {
    Node::builder(UnitId::new(id))
        .client(table)
        .scheme(PeerHealth::default())
}

/// A unit whose role is given: it does not wait for a peer.
pub(crate) fn fixed(id: u32, table: &Table, role: Role) -> NodeBuilder {
    Node::builder(UnitId::new(id))
        .client(table)
        .scheme(Static::new(role))
}

/// Failures are found after most of an hour: what happens sooner happens for another reason.
pub(crate) fn patient() -> KeepaliveConfig {
    KeepaliveConfig::new(
        KeepaliveConfig::MAX_INTERVAL,
        KeepaliveConfig::MAX_THRESHOLD,
    )
    .unwrap()
}

/// A path in memory.
pub(crate) fn path() -> (Memory, Memory) {
    memory::pair(LinkLimits::default())
}

/// A running unit.
pub(crate) struct Unit {
    pub(crate) node: Node,
    pub(crate) table: Table,
}

/// Two units by their roles.
pub(crate) struct Pair {
    pub(crate) active: Unit,
    pub(crate) standby: Unit,
}

impl Pair {
    /// Two units over one path in memory, ACTIVE and STANDBY HOT.
    pub(crate) async fn over_memory() -> Self {
        let (near, far) = path();
        Self::start(|unit| unit.link(near), |unit| unit.link(far)).await
    }

    /// Two units, ACTIVE and STANDBY HOT.
    pub(crate) async fn start(
        first: impl FnOnce(NodeBuilder) -> NodeBuilder,
        second: impl FnOnce(NodeBuilder) -> NodeBuilder,
    ) -> Self {
        let tables = [table(), table()];
        let first = first(unit(0, &tables[0])).start().await.unwrap();
        let second = second(unit(1, &tables[1])).start().await.unwrap();
        let [first_table, second_table] = tables;
        let first = Unit {
            node: first,
            table: first_table,
        };
        let second = Unit {
            node: second,
            table: second_table,
        };
        Self::settle(first, second).await
    }

    /// Waits until one unit is ACTIVE and the other STANDBY HOT.
    pub(crate) async fn settle(first: Unit, second: Unit) -> Self {
        let settled = |state| matches!(state, RfState::Active | RfState::StandbyHot);
        for unit in [&first, &second] {
            let view = |view: &ha_transport::runtime::View| {
                let group = view.groups.values().next();
                group.is_some_and(|g| settled(g.state) && g.peer_state.is_some_and(settled))
            };
            unit.node.wait_for(LIMIT, view).await.unwrap();
        }
        let active = first.node.group_view().unwrap().active;
        let (active, standby) = if active {
            (first, second)
        } else {
            (second, first)
        };
        active.wait(RfState::Active).await;
        standby.wait(RfState::StandbyHot).await;
        Self { active, standby }
    }
}

impl Unit {
    pub(crate) async fn wait(&self, state: RfState) {
        self.node.wait_for_state(state, LIMIT).await.unwrap();
    }

    pub(crate) fn state(&self) -> RfState {
        self.node.group_view().unwrap().state
    }

    /// Writes an entry and waits until the standby has it.
    pub(crate) async fn commit(&self, key: u32) -> ha_core::sync::Committed {
        let commit = self
            .table
            .transaction(|t| t.insert(key, key.to_string().into_bytes()));
        bounded(commit.unwrap()).await.unwrap()
    }

    /// Whether all of the first `count` entries are as [`commit`](Self::commit) wrote them.
    pub(crate) fn holds(&self, count: u32) -> bool {
        (0..count).all(|key| self.table.get(&key).as_deref() == Some(key.to_string().as_bytes()))
    }
}

/// The first event that `pick` picks.
pub(crate) async fn event<T>(
    events: &mut Receiver<Event>,
    mut pick: impl FnMut(Event) -> Option<T>,
) -> T {
    bounded(async {
        loop {
            if let Some(picked) = pick(events.recv().await.unwrap()) {
                return picked;
            }
        }
    })
    .await
}

/// Waits, but not for ever.
pub(crate) async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .expect("it did not happen in time")
}

/// Waits until a condition that nothing announces is true.
pub(crate) async fn eventually(mut condition: impl FnMut() -> bool) {
    bounded(async {
        let mut look = tokio::time::interval(Duration::from_millis(2));
        while !condition() {
            look.tick().await;
        }
    })
    .await;
}
