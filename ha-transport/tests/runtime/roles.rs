//! Roles: how they are found, handed over and taken over.

use std::net::SocketAddr;
use std::time::Duration;

use ha_core::redundancy::RfState;
use ha_core::scheme::PeerHealth;
use ha_core::sync::Committed;
use ha_transport::{Identity, LinkLimits, Node, NodeBuilder, PeerTrust, Quic, Tcp, Transport};

use crate::harness::{GROUP, LIMIT, Pair, Unit, bounded, eventually, path, patient, table, unit};

const ANY: &str = "127.0.0.1:0";

fn any() -> SocketAddr {
    ANY.parse().unwrap()
}

/// Two identities that trust each other.
fn identities() -> [(Identity, PeerTrust); 2] {
    let [a, b] = ["unit-0", "unit-1"].map(|name| Identity::generate(name).unwrap());
    let trust = |of: &Identity| PeerTrust::keys([of.fingerprint()]).unwrap();
    let (trust_a, trust_b) = (trust(&a), trust(&b));
    [(a, trust_b), (b, trust_a)]
}

fn tcp(local: SocketAddr, remote: SocketAddr, (identity, trust): &(Identity, PeerTrust)) -> Tcp {
    Tcp::new(
        local,
        remote,
        identity,
        trust.clone(),
        LinkLimits::default(),
    )
    .unwrap()
}

#[tokio::test]
async fn units_over_tcp_become_active_and_standby_hot() {
    let ids = identities();
    let near = tcp(any(), any(), &ids[0]);
    let far = tcp(any(), near.listen().unwrap(), &ids[1]);
    settles_and_replicates(near, far).await;
}

#[tokio::test]
async fn units_over_quic_become_active_and_standby_hot() {
    let [(a, trust_b), (b, trust_a)] = identities();
    let limits = LinkLimits::default();
    let near = Quic::new(any(), any(), &a, trust_b, limits).unwrap();
    let far = Quic::new(any(), near.listen().unwrap(), &b, trust_a, limits).unwrap();
    settles_and_replicates(near, far).await;
}

async fn settles_and_replicates(near: impl Transport, far: impl Transport) {
    let pair = Pair::start(|unit| unit.link(near), |unit| unit.link(far)).await;
    for key in 0..100 {
        assert_eq!(pair.active.commit(key).await, Committed::Replicated);
    }
    assert!(pair.standby.holds(100));
    pair.active.table.insert(7, b"plain".to_vec()).unwrap();
    eventually(|| pair.standby.table.get(&7).as_deref() == Some(b"plain")).await;
    let states = pair
        .active
        .node
        .show_redundancy_states(GROUP)
        .await
        .unwrap();
    assert!(
        states.starts_with("my state = 13 -ACTIVE\npeer state = 8 -STANDBY HOT\nMode = Duplex\n"),
        "{states}"
    );
}

/// A unit on a runtime of its own, which can be torn down like a process that is killed.
struct Process {
    runtime: Option<tokio::runtime::Runtime>,
    unit: Unit,
}

impl Process {
    fn start(id: u32, make: impl FnOnce() -> Tcp) -> (Self, Option<SocketAddr>) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let table = table();
        let entered = runtime.enter();
        let link = make();
        let address = (id == 0).then(|| link.listen().unwrap());
        drop(entered);
        let node = runtime
            .block_on(unit(id, &table).link(link).start())
            .unwrap();
        let unit = Unit { node, table };
        let runtime = Some(runtime);
        (Self { runtime, unit }, address)
    }

    /// Ends everything at once; nobody says goodbye.
    fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn a_killed_unit_is_replaced_and_comes_back_as_standby() {
    let ids = identities();
    let (mut first, address) = Process::start(0, || tcp(any(), any(), &ids[0]));
    let address = address.unwrap();
    let (second, _) = Process::start(1, || tcp(any(), address, &ids[1]));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        first.unit.wait(RfState::Active).await;
        second.unit.wait(RfState::StandbyHot).await;
        for key in 0..500 {
            assert_eq!(first.unit.commit(key).await, Committed::Replicated);
        }
        first.kill();
        second.unit.wait(RfState::Active).await;
        assert!(second.unit.holds(500));
        assert_eq!(second.unit.commit(500).await, Committed::Degraded);
    });
    let (first, _) = Process::start(0, || tcp(address, any(), &ids[0]));
    runtime.block_on(async {
        first.unit.wait(RfState::StandbyHot).await;
        assert!(first.unit.holds(501));
        assert_eq!(second.unit.commit(501).await, Committed::Replicated);
    });
}

/// Failures would be found after most of an hour, so what is seen is the goodbye.
#[tokio::test]
async fn a_unit_that_stops_in_order_is_replaced_at_once() {
    let pair = patient_pair().await;
    pair.active.commit(0).await;
    bounded(pair.active.node.stop()).await;
    pair.standby.wait(RfState::Active).await;
    assert!(pair.standby.holds(1));
    assert!(pair.active.table.insert(1, vec![]).is_err());
}

#[tokio::test]
async fn a_unit_whose_handles_are_dropped_stops_in_order() {
    let Pair { active, standby } = patient_pair().await;
    drop(active);
    standby.wait(RfState::Active).await;
}

/// Once `stop` has returned, the goodbye has left: the program may end.
#[test]
fn the_goodbye_has_left_when_stop_returns() {
    let ids = identities();
    let start = |id: u32, link: Tcp, table| patient_unit(unit(id, table)).link(link).start();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let mine = tokio::runtime::Runtime::new().unwrap();
    let tables = [table(), table()];
    let other = tokio::runtime::Runtime::new().unwrap();
    let (node, address) = mine.block_on(async {
        let link = tcp(any(), any(), &ids[0]);
        let address = link.listen().unwrap();
        (start(0, link, &tables[0]).await.unwrap(), address)
    });
    let peer = other.block_on(async { start(1, tcp(any(), address, &ids[1]), &tables[1]).await });
    let peer = peer.unwrap();
    runtime().block_on(async {
        peer.wait_for_state(RfState::StandbyHot, LIMIT)
            .await
            .unwrap();
        bounded(node.stop()).await;
    });
    mine.shutdown_background();
    runtime()
        .block_on(peer.wait_for_state(RfState::Active, LIMIT))
        .unwrap();
    other.shutdown_background();
}

async fn patient_pair() -> Pair {
    let (near, far) = path();
    Pair::start(
        |unit| patient_unit(unit).link(near),
        |unit| patient_unit(unit).link(far),
    )
    .await
}

fn patient_unit(unit: NodeBuilder) -> NodeBuilder {
    unit.keepalive(patient()).scheme(PeerHealth::default())
}

#[tokio::test]
async fn a_switchover_moves_the_role_there_and_back() {
    let pair = Pair::over_memory().await;
    for key in 0..100 {
        pair.active.commit(key).await;
    }
    let (from, to) = (&pair.active, &pair.standby);
    for (from, to) in [(from, to), (to, from)] {
        bounded(from.node.switchover()).await.unwrap();
        to.wait(RfState::Active).await;
        from.wait(RfState::StandbyHot).await;
        assert!(to.holds(100) && from.holds(100));
        assert!(
            from.table.insert(0, vec![]).is_err(),
            "a standby takes no writes"
        );
        assert_eq!(to.commit(0).await, Committed::Replicated);
    }
}

/// Writers at work lose no acknowledged write to a switchover.
#[tokio::test]
async fn a_switchover_loses_nothing_that_was_committed() {
    let pair = Pair::over_memory().await;
    let table = pair.active.table.clone();
    let writer = tokio::spawn(async move {
        let mut committed = Vec::new();
        for key in 0_u32.. {
            let Ok(commit) = table.transaction(|t| t.insert(key, key.to_string().into_bytes()))
            else {
                break;
            };
            if commit.await == Ok(Committed::Replicated) {
                committed.push(key);
            }
        }
        committed
    });
    eventually(|| pair.standby.table.len() > 100).await;
    bounded(pair.active.node.switchover()).await.unwrap();
    pair.standby.wait(RfState::Active).await;
    let committed = bounded(writer).await.unwrap();
    assert!(committed.len() > 100);
    assert!(committed.iter().all(|key| pair.standby.table.contains(key)));
}

#[tokio::test]
async fn switchovers_are_refused_with_the_reason() {
    let pair = Pair::over_memory().await;
    let refusal = |error: ha_transport::runtime::NodeError| error.to_string();
    let standby = pair.standby.node.switchover().await.unwrap_err();
    assert!(refusal(standby).contains("ask the active unit"));
    bounded(pair.standby.node.stop()).await;
    let peer_gone = |view: &ha_transport::runtime::View| !view.peer_up;
    pair.active.node.wait_for(LIMIT, peer_gone).await.unwrap();
    let alone = pair.active.node.switchover().await.unwrap_err();
    assert!(refusal(alone).contains("no peer unit"));
}

#[tokio::test]
async fn waiting_has_a_bound_and_a_stopped_node_says_so() {
    let pair = Pair::over_memory().await;
    let limit = Duration::from_millis(1);
    let late = pair
        .active
        .node
        .wait_for_state(RfState::StandbyHot, limit)
        .await
        .unwrap_err();
    assert_eq!(late.to_string(), "it did not happen within 1 ms");
    let node: Node = pair.active.node.clone();
    bounded(node.stop()).await;
    assert_eq!(
        node.switchover().await.unwrap_err().to_string(),
        "the node has stopped"
    );
}
