//! A node for programs without async.

use ha_core::redundancy::RfState;
use ha_core::sync::Committed;
use ha_transport::BlockingNode;

use crate::harness::{GROUP, LIMIT, path, table, unit};

#[test]
fn a_pair_of_blocking_nodes_serves_plain_threads() {
    let (near, far) = path();
    let tables = [table(), table()];
    let nodes: [BlockingNode; 2] = [
        unit(0, &tables[0]).link(near).start_thread().unwrap(),
        unit(1, &tables[1]).link(far).start_thread().unwrap(),
    ];
    nodes[0].wait_for_state(RfState::Active, LIMIT).unwrap();
    nodes[1].wait_for_state(RfState::StandbyHot, LIMIT).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let table = &tables[0];
            scope.spawn(move || {
                for key in 0..100 {
                    let commit = table.transaction(|t| t.insert(thread * 100 + key, vec![1]));
                    assert_eq!(commit.unwrap().wait(LIMIT), Ok(Committed::Replicated));
                }
            });
        }
    });
    assert_eq!(tables[1].len(), 400);
    nodes[0].switchover().unwrap();
    nodes[1].wait_for_state(RfState::Active, LIMIT).unwrap();
    let states = nodes[1].show_redundancy_states(GROUP).unwrap();
    assert!(states.starts_with("my state = 13 -ACTIVE"), "{states}");
    nodes[0].wait_for_state(RfState::StandbyHot, LIMIT).unwrap();
    let [first, second] = nodes;
    second.stop();
    first.wait_for_state(RfState::Active, LIMIT).unwrap();
    assert_eq!(tables[0].len(), 400);
}
