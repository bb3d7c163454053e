//! Units that do not fit together: the standby says why and does not become STANDBY HOT.

use ha_core::checkpoint::StateTableBuilder;
use ha_core::id::{ClientId, UnitId};
use ha_core::node::Event;
use ha_core::redundancy::RfState;
use ha_core::scheme::{Role, Static};
use ha_core::sync::Committed;
use ha_transport::{Node, NodeBuilder};

use crate::harness::{LIMIT, NAT, Table, Unit, event, fixed, path, table};

type Builder = StateTableBuilder<u32, Vec<u8>>;

fn nat() -> Builder {
    Table::builder(NAT, "nat")
}

/// An active and a standby unit, each with its own idea of the table.
async fn pair(active: Builder, standby: Builder) -> (Unit, Unit, EventReceiver) {
    let tables = [active.build().unwrap(), standby.build().unwrap()];
    let [active, standby] = [(0, Role::Active), (1, Role::Standby)];
    let node = |(id, role): (u32, Role)| fixed(id, &tables[id as usize], role);
    start(node(active), node(standby), tables).await
}

type EventReceiver = tokio::sync::broadcast::Receiver<Event>;

async fn start(
    active: NodeBuilder,
    standby: NodeBuilder,
    [first, second]: [Table; 2],
) -> (Unit, Unit, EventReceiver) {
    let (near, far) = path();
    let standby = standby.link(far).start().await.unwrap();
    let events = standby.events();
    let active = active.link(near).start().await.unwrap();
    let active = Unit {
        node: active,
        table: first,
    };
    let standby = Unit {
        node: standby,
        table: second,
    };
    active.wait(RfState::Active).await;
    (active, standby, events)
}

async fn incompatible(events: &mut EventReceiver) -> String {
    event(events, |event| match event {
        Event::Incompatible { disagreements, .. } => Some(disagreements[0].to_string()),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn versions_without_one_in_common() {
    let (active, standby, mut events) = pair(nat().versions(3..=4), nat().versions(1..=2)).await;
    assert_eq!(
        incompatible(&mut events).await,
        "client 40 (nat) speaks versions 1 to 2 here, 3 to 4 on the peer: upgrade the older unit"
    );
    // The active goes on alone, and says so.
    assert_eq!(active.commit(1).await, Committed::Degraded);
    assert!(
        standby.state() < RfState::StandbyColdConfig,
        "{}",
        standby.state()
    );
    assert!(standby.table.is_empty());
}

#[tokio::test]
async fn versions_that_overlap_are_no_obstacle() {
    let (active, standby, _) = pair(nat().versions(2..=4), nat().versions(1..=2)).await;
    standby.wait(RfState::StandbyHot).await;
    assert_eq!(active.commit(1).await, Committed::Replicated);
}

#[tokio::test]
async fn a_client_that_only_one_unit_has() {
    let tables = [table(), table()];
    let extra = Table::builder(ClientId::new(41), "dhcp").build().unwrap();
    let active = fixed(0, &tables[0], Role::Active);
    let standby = fixed(1, &tables[1], Role::Standby).client(&extra);
    let (_active, standby, mut events) = start(active, standby, tables).await;
    assert_eq!(
        incompatible(&mut events).await,
        "client 41 (dhcp) is registered here but not on the peer"
    );
    assert!(
        standby.state() < RfState::StandbyColdConfig,
        "{}",
        standby.state()
    );
}

#[tokio::test]
async fn a_group_that_only_one_unit_hosts() {
    let tables = [table(), table()];
    let active = fixed(0, &tables[0], Role::Active);
    let standby = Node::builder(UnitId::new(1))
        .group(ha_core::id::GroupId::new(9))
        .client(&tables[1])
        .scheme(Static::new(Role::Standby));
    let (active, _standby, mut events) = start(active, standby, tables).await;
    assert_eq!(
        incompatible(&mut events).await,
        "the peer does not host this group"
    );
    assert_eq!(active.commit(1).await, Committed::Degraded);
}

#[tokio::test]
async fn different_configurations() {
    let (active, standby, mut events) =
        pair(nat().config("mtu", "1400"), nat().config("mtu", "1500")).await;
    let difference = event(&mut events, |event| match event {
        Event::ConfigDiffers { differences, .. } => Some(differences[0].to_string()),
        _ => None,
    });
    assert_eq!(
        difference.await,
        r#"client 40 (nat): mtu is "1500" here, "1400" on the peer"#
    );
    standby
        .node
        .wait_for_state(RfState::StandbyColdConfig, LIMIT)
        .await
        .unwrap();
    assert_eq!(active.commit(1).await, Committed::Degraded);
    assert_eq!(standby.state(), RfState::StandbyColdConfig);
}
