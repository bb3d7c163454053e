//! Two nodes, the tables between them, and the ways in which a pair changes roles.

mod harness;

use std::time::Duration;

use ha_core::checkpoint::CommitPolicy;
use ha_core::redundancy::RfState;
use ha_core::sync::{CommitError, Committed};
use harness::{GROUP, Pair};

const LIMIT: Duration = Duration::ZERO;

#[test]
fn units_settle_as_active_and_standby_hot() {
    let mut pair = Pair::settled();
    let text = pair
        .unit(0)
        .node
        .redundancy_states(GROUP)
        .unwrap()
        .to_string();
    assert!(
        text.starts_with("my state = 13 -ACTIVE\npeer state = 8 -STANDBY HOT\n"),
        "{text}"
    );
}

#[test]
fn a_plain_write_reaches_the_standby_within_the_flush_interval() {
    let mut pair = Pair::settled();
    pair.unit(0).table.insert(7, b"seven".to_vec()).unwrap();
    pair.run_for(Duration::from_millis(20));
    assert_eq!(pair.unit(1).table.get(&7).as_deref(), Some(&b"seven"[..]));
    pair.unit(0).table.remove(&7).unwrap();
    pair.run_for(Duration::from_millis(20));
    assert_eq!(pair.unit(1).table.get(&7), None);
}

#[test]
fn a_committed_transaction_survives_a_crash() {
    let mut pair = Pair::settled();
    let commit = pair
        .unit(0)
        .table
        .transaction(|t| {
            t.insert(1, b"one".to_vec());
            t.insert(2, b"two".to_vec());
        })
        .unwrap();
    pair.run_for(Duration::from_millis(2));
    assert_eq!(commit.wait(LIMIT), Ok(Committed::Replicated));
    pair.crash(0);
    pair.run_until("takeover", |pair| pair.state(1) == Some(RfState::Active));
    assert_eq!(pair.unit(1).table.get(&2).as_deref(), Some(&b"two"[..]));
    pair.unit(1).table.insert(3, b"three".to_vec()).unwrap();
    pair.boot(0);
    pair.connect();
    pair.run_until("resync", |pair| pair.state(0) == Some(RfState::StandbyHot));
    pair.run_for(Duration::from_millis(20));
    assert_eq!(pair.unit(0).table.len(), 3);
}

#[test]
fn a_switchover_moves_the_role_and_back() {
    let mut pair = Pair::settled();
    for n in 0..1000 {
        pair.unit(0)
            .table
            .insert(n, n.to_le_bytes().to_vec())
            .unwrap();
    }
    for (from, to) in [(0, 1), (1, 0)] {
        let now = pair.now;
        pair.unit(from).node.switchover(GROUP, false, now).unwrap();
        pair.run_until("switched", |pair| {
            pair.state(to) == Some(RfState::Active) && pair.state(from) == Some(RfState::StandbyHot)
        });
        assert_eq!(pair.unit(from).table.len(), 1000);
        assert!(
            pair.unit(from).table.insert(1, Vec::new()).is_err(),
            "the standby is not written"
        );
    }
}

#[test]
fn a_short_outage_costs_a_delta_not_a_bulk() {
    let mut pair = Pair::settled();
    for n in 0..1000 {
        pair.unit(0).table.insert(n, vec![1; 100]).unwrap();
    }
    pair.run_for(Duration::from_millis(50));
    pair.cut();
    pair.unit(0).table.insert(5, vec![2; 100]).unwrap();
    pair.unit(0).table.remove(&6).unwrap();
    pair.connect();
    pair.run_for(Duration::from_millis(50));
    let stats = pair.unit(0).node.stream_stats(GROUP).unwrap();
    assert_eq!((stats.full_syncs, stats.delta_syncs), (1, 1));
    assert_eq!(pair.state(1), Some(RfState::StandbyHot));
    assert_eq!(pair.unit(1).table.get(&5), Some(vec![2; 100]));
    assert_eq!(pair.unit(1).table.get(&6), None);
    assert_eq!(pair.unit(0).node.stats(GROUP).unwrap().digest_mismatches, 0);
}

#[test]
fn after_a_partition_one_unit_keeps_the_role() {
    let mut pair = Pair::settled();
    pair.unit(0).table.insert(1, vec![1]).unwrap();
    pair.run_for(Duration::from_millis(20));
    pair.cut();
    pair.run_until("both active", |pair| {
        [0, 1].map(|unit| pair.state(unit)) == [Some(RfState::Active); 2]
    });
    pair.unit(1).table.insert(2, vec![2]).unwrap();
    pair.connect();
    pair.run_until("healed", |pair| {
        pair.state(1) == Some(RfState::Active) && pair.state(0) == Some(RfState::StandbyHot)
    });
    assert_eq!(pair.unit(0).table.get(&2), Some(vec![2]));
}

#[test]
fn commits_without_a_standby_follow_the_policy() {
    for (policy, expected) in [
        (CommitPolicy::Degrade, Ok(Committed::Degraded)),
        (CommitPolicy::Strict, Err(CommitError::TimedOut)),
    ] {
        let mut pair = Pair::new();
        pair.policy = policy;
        pair.boot(0);
        pair.crash(1);
        pair.run_until("alone", |pair| pair.state(0) == Some(RfState::Active));
        let commit = pair
            .unit(0)
            .table
            .transaction(|t| t.insert(1, vec![1]))
            .unwrap();
        pair.run_for(Duration::from_millis(100));
        assert_eq!(commit.wait(LIMIT), expected, "{policy:?}");
    }
}

#[test]
fn a_strict_commit_waits_for_the_standby_to_come() {
    let mut pair = Pair::new();
    pair.policy = CommitPolicy::Strict;
    pair.crash(1);
    pair.boot(0);
    pair.run_until("alone", |pair| pair.state(0) == Some(RfState::Active));
    let commit = pair
        .unit(0)
        .table
        .transaction(|t| t.insert(1, vec![1]))
        .unwrap();
    pair.run_for(Duration::from_millis(100));
    assert!(!commit.is_done());
    pair.boot(1);
    pair.connect();
    pair.run_until("hot", |pair| pair.state(1) == Some(RfState::StandbyHot));
    assert_eq!(commit.wait(LIMIT), Ok(Committed::Replicated));
}

#[test]
fn a_table_larger_than_the_window_is_sent_in_bulk() {
    let mut pair = Pair::new();
    pair.crash(1);
    pair.run_until("alone", |pair| pair.state(0) == Some(RfState::Active));
    for n in 0..20_000 {
        pair.unit(0).table.insert(n, vec![7; 300]).unwrap();
    }
    pair.boot(1);
    pair.connect();
    pair.run_until("hot", |pair| pair.state(1) == Some(RfState::StandbyHot));
    assert_eq!(pair.unit(1).table.len(), 20_000);
    let stats = pair.unit(0).node.stream_stats(GROUP).unwrap();
    assert!(stats.chunks > 50, "{stats:?}");
    assert!(stats.entries < 100, "bulk, not changes: {stats:?}");
}
