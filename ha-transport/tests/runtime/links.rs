//! Several links to one peer, and links that come and go.

use ha_core::node::Event;
use ha_core::redundancy::RfState;
use ha_core::sync::Committed;

use crate::harness::{LIMIT, Pair, bounded, event, path};

#[tokio::test]
async fn the_loss_of_one_link_is_not_the_loss_of_the_peer() {
    let [(near, far), (near_2, far_2)] = [path(), path()];
    let cut = std::sync::Arc::new(near);
    let paths = Cuttable(std::sync::Arc::clone(&cut));
    let pair = Pair::start(
        |unit| unit.link(paths).link(near_2),
        |unit| unit.link(far).link(far_2),
    )
    .await;
    let mut events = [pair.active.node.events(), pair.standby.node.events()];
    pair.active.commit(0).await;
    for round in 1..=20 {
        cut.cut();
        assert_eq!(pair.active.commit(round).await, Committed::Replicated);
        cut.heal();
        assert_eq!(pair.active.commit(round + 20).await, Committed::Replicated);
    }
    assert_eq!(pair.active.state(), RfState::Active);
    assert_eq!(pair.standby.state(), RfState::StandbyHot);
    for events in &mut events {
        while let Ok(event) = events.try_recv() {
            let calm = !matches!(event, Event::State { .. } | Event::PeerLost { .. });
            assert!(calm, "{event:?}");
        }
    }
}

#[tokio::test]
async fn a_short_loss_of_all_links_costs_no_role() {
    let (near, far) = path();
    let cut = std::sync::Arc::new(near);
    let path = Cuttable(std::sync::Arc::clone(&cut));
    let pair = Pair::start(|unit| unit.link(path), |unit| unit.link(far)).await;
    let mut events = pair.standby.node.events();
    cut.cut();
    cut.heal();
    event(&mut events, |event| {
        matches!(event, Event::PeerUp { .. }).then_some(())
    })
    .await;
    assert_eq!(pair.active.commit(0).await, Committed::Replicated);
    assert_eq!(pair.active.state(), RfState::Active);
    pair.standby.wait(RfState::StandbyHot).await;
}

/// A partition: both units are active. When it heals, one keeps the role, the other demotes in
/// place, drops what it wrote meanwhile and becomes STANDBY HOT again.
#[tokio::test]
async fn after_a_partition_one_unit_keeps_the_role() {
    let (near, far) = path();
    let cut = std::sync::Arc::new(near);
    let path = Cuttable(std::sync::Arc::clone(&cut));
    let pair = Pair::start(|unit| unit.link(path), |unit| unit.link(far)).await;
    pair.active.commit(0).await;
    cut.cut();
    pair.standby.wait(RfState::Active).await;
    let both = [&pair.active, &pair.standby];
    let is_alone = |view: &ha_transport::runtime::View| !view.peer_up;
    pair.active.node.wait_for(LIMIT, is_alone).await.unwrap();
    for (key, unit) in (100..).zip(both) {
        assert_eq!(unit.commit(key).await, Committed::Degraded);
    }
    cut.heal();
    let Pair { active, standby } = Pair::settle_again(pair).await;
    assert!(active.holds(1) && standby.holds(1));
    let [a, b] = [100, 101].map(|key| active.table.contains(&key));
    assert!(a != b, "exactly one unit's own writes remain");
    let keys = |table: &crate::harness::Table| {
        let mut keys: Vec<_> = table.snapshot().map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(keys(&active.table), keys(&standby.table));
    assert_eq!(bounded(active.commit(1)).await, Committed::Replicated);
}

impl Pair {
    async fn settle_again(self) -> Self {
        Self::settle(self.active, self.standby).await
    }
}

/// A path that the test can cut while a node uses it.
struct Cuttable(std::sync::Arc<ha_transport::memory::Memory>);

impl ha_transport::Transport for Cuttable {
    fn describe(&self) -> String {
        self.0.describe()
    }

    fn establish(
        &self,
        side: ha_transport::Side,
    ) -> ha_transport::BoxFuture<'_, Result<ha_transport::Link, ha_transport::LinkError>> {
        self.0.establish(side)
    }
}
