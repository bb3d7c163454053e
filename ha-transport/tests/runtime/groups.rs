//! Several groups in one process, each with a role of its own.

use ha_core::id::{GroupId, UnitId};
use ha_core::redundancy::RfState;
use ha_core::scheme::{Role, Static};
use ha_core::sync::Committed;
use ha_transport::Node;

use crate::harness::{LIMIT, Table, bounded, path, table};

const EAST: GroupId = GroupId::new(1);
const WEST: GroupId = GroupId::new(2);

async fn unit(id: u32, link: ha_transport::memory::Memory, tables: &[Table; 2]) -> Node {
    let role = |active| if active { Role::Active } else { Role::Standby };
    Node::builder(UnitId::new(id))
        .link(link)
        .group(EAST)
        .client(&tables[0])
        .scheme(Static::new(role(id == 0)))
        .group(WEST)
        .client(&tables[1])
        .scheme(Static::new(role(id == 1)))
        .start()
        .await
        .unwrap()
}

async fn wait(node: &Node, group: GroupId, state: RfState) {
    let there = |view: &ha_transport::runtime::View| {
        view.groups
            .get(&group)
            .is_some_and(|group| group.state == state)
    };
    node.wait_for(LIMIT, there).await.unwrap();
}

/// Load sharing: each unit is active for one group and stands by for the other.
#[tokio::test]
async fn two_groups_have_opposite_roles() {
    let (near, far) = path();
    let tables = [[table(), table()], [table(), table()]];
    let nodes = [
        unit(0, near, &tables[0]).await,
        unit(1, far, &tables[1]).await,
    ];
    for (group, active) in [(EAST, 0), (WEST, 1)] {
        wait(&nodes[active], group, RfState::Active).await;
        wait(&nodes[1 - active], group, RfState::StandbyHot).await;
    }
    for (place, active) in [(0, 0), (1, 1)] {
        let commit = tables[active][place].transaction(|t| t.insert(place as u32, vec![7]));
        assert_eq!(bounded(commit.unwrap()).await, Ok(Committed::Replicated));
        assert!(tables[1 - active][place].contains(&(place as u32)));
        assert!(tables[1 - active][place].insert(9, vec![]).is_err());
    }
    // One group moves, the other stays.
    bounded(nodes[0].switchover_of(EAST, false)).await.unwrap();
    wait(&nodes[1], EAST, RfState::Active).await;
    wait(&nodes[0], EAST, RfState::StandbyHot).await;
    assert_eq!(nodes[1].view().groups[&WEST].state, RfState::Active);
    assert_eq!(nodes[0].view().groups[&WEST].state, RfState::StandbyHot);
    assert!(tables[1][0].contains(&0) && tables[0][1].contains(&1));
}
