//! Commits: what they wait for, and what they say.

use std::time::Duration;

use ha_core::checkpoint::{CommitPolicy, WriteError};
use ha_core::redundancy::RfState;
use ha_core::scheme::Role;
use ha_core::sync::{CommitError, Committed};

use crate::harness::{GROUP, Pair, Unit, bounded, eventually, fixed, path, table};

#[tokio::test]
async fn a_transaction_arrives_whole() {
    let pair = Pair::over_memory().await;
    pair.active.commit(0).await;
    let commit = pair.active.table.transaction(|t| {
        t.insert(1, b"new".to_vec());
        t.remove(0);
    });
    assert_eq!(bounded(commit.unwrap()).await, Ok(Committed::Replicated));
    assert_eq!(pair.standby.table.get(&0), None);
    assert_eq!(pair.standby.table.get(&1).as_deref(), Some(&b"new"[..]));
}

#[tokio::test]
async fn a_barrier_waits_for_plain_writes() {
    let pair = Pair::over_memory().await;
    for key in 0..5000 {
        pair.active
            .table
            .insert(key, key.to_string().into_bytes())
            .unwrap();
    }
    let barrier = pair.active.table.barrier().unwrap();
    assert_eq!(bounded(barrier).await, Ok(Committed::Replicated));
    assert!(pair.standby.holds(5000));
}

#[tokio::test]
async fn without_a_standby_a_commit_is_degraded() {
    let table = table();
    let node = fixed(0, &table, Role::Active).start().await.unwrap();
    let unit = Unit { node, table };
    unit.wait(RfState::Active).await;
    assert_eq!(unit.commit(1).await, Committed::Degraded);
}

#[tokio::test]
async fn a_strict_commit_waits_until_there_is_a_standby() {
    let (near, far) = path();
    let tables = [table(), table()];
    let active = fixed(0, &tables[0], Role::Active).commit_policy(CommitPolicy::Strict);
    let active = active.link(near).start().await.unwrap();
    let unit = Unit {
        node: active,
        table: tables[0].clone(),
    };
    unit.wait(RfState::Active).await;
    let commit = unit
        .table
        .transaction(|t| t.insert(0, b"0".to_vec()))
        .unwrap();
    tokio::pin!(commit);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut commit).await;
    assert!(early.is_err(), "{early:?}");
    let standby = fixed(1, &tables[1], Role::Standby)
        .link(far)
        .start()
        .await
        .unwrap();
    assert_eq!(bounded(commit).await, Ok(Committed::Replicated));
    assert!(tables[1].contains(&0));
    drop(standby);
}

#[tokio::test]
async fn a_node_that_stops_ends_its_commits() {
    let table = table();
    let node = fixed(0, &table, Role::Active).commit_policy(CommitPolicy::Strict);
    let node = node.start().await.unwrap();
    let unit = Unit { node, table };
    unit.wait(RfState::Active).await;
    let commit = unit.table.transaction(|t| t.insert(1, vec![])).unwrap();
    bounded(unit.node.stop()).await;
    let end = bounded(commit).await.unwrap_err();
    assert!(
        matches!(end, CommitError::Stopped | CommitError::RoleLost),
        "{end}"
    );
    let refused = unit.table.transaction(|t| t.insert(1, vec![])).err();
    assert_eq!(refused, Some(WriteError::NotActive));
}

/// A slow link must not make the standby miss anything, nor send every version of an entry.
#[tokio::test]
async fn the_latest_values_arrive_however_often_they_change() {
    let pair = Pair::over_memory().await;
    for round in 0..200_u32 {
        for key in 0..100 {
            pair.active
                .table
                .insert(key, round.to_be_bytes().to_vec())
                .unwrap();
        }
    }
    bounded(pair.active.table.barrier().unwrap()).await.unwrap();
    let last = 199_u32.to_be_bytes().to_vec();
    eventually(|| (0..100).all(|key| pair.standby.table.get(&key).as_ref() == Some(&last))).await;
    let (_, stream) = pair.active.node.stats(GROUP).await.unwrap();
    assert!(
        stream.unwrap().entries < 20_000,
        "updates coalesce: {stream:?}"
    );
}
