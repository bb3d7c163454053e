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
    assert!(stats.chunks > 40, "{stats:?}");
    assert!(stats.entries < 100, "bulk, not changes: {stats:?}");
}

#[test]
fn a_transaction_larger_than_a_part_is_applied_whole() {
    let mut pair = Pair::settled();
    let commit = pair.unit(0).table.transaction(|t| {
        for n in 0..10_000 {
            t.insert(n, vec![9; 300]);
        }
    });
    pair.run_for(Duration::from_millis(5));
    assert_eq!(commit.unwrap().wait(LIMIT), Ok(Committed::Replicated));
    assert_eq!(pair.unit(1).table.len(), 10_000);
    assert_eq!(
        pair.unit(0).node.stream_stats(GROUP).unwrap().batches,
        2,
        "complete, and this"
    );
}

#[test]
fn more_removals_than_can_be_remembered_cost_a_bulk_of_the_client() {
    let mut pair = Pair::settled();
    for n in 0..20_000 {
        pair.unit(0).table.insert(n, vec![1; 100]).unwrap();
    }
    pair.run_for(Duration::from_millis(100));
    assert_eq!(pair.unit(1).table.len(), 20_000);
    for n in 0..20_000 {
        pair.unit(0).table.remove(&n).unwrap();
    }
    pair.unit(0).table.insert(70_000, vec![2; 100]).unwrap();
    pair.run_for(Duration::from_millis(30));
    pair.run_until("hot", |pair| pair.state(1) == Some(RfState::StandbyHot));
    pair.run_for(Duration::from_millis(30));
    assert_eq!(pair.unit(1).table.len(), 1);
    assert_eq!(pair.unit(1).node.stats(GROUP).unwrap().digest_mismatches, 0);
}

#[test]
fn the_loss_of_one_of_two_links_is_not_the_loss_of_the_peer() {
    let mut pair = Pair::settled();
    pair.connect();
    pair.run_for(Duration::from_millis(10));
    pair.cut_one();
    let commit = pair
        .unit(0)
        .table
        .transaction(|t| t.insert(1, vec![1]))
        .unwrap();
    pair.run_for(Duration::from_millis(5));
    assert_eq!(commit.wait(LIMIT), Ok(Committed::Replicated));
    assert_eq!(pair.state(1), Some(RfState::StandbyHot));
    let stats = pair.unit(0).node.stream_stats(GROUP).unwrap();
    assert_eq!((stats.full_syncs, stats.delta_syncs), (1, 1));
}

#[test]
fn a_unit_that_leaves_in_order_is_replaced_at_once() {
    let mut pair = Pair::settled();
    pair.unit(0).table.insert(1, vec![1]).unwrap();
    pair.run_for(Duration::from_millis(20));
    pair.unit(0).node.stop("test");
    pair.run_for(Duration::from_millis(1));
    assert_eq!(pair.state(1), Some(RfState::Active));
    assert_eq!(pair.unit(1).table.len(), 1);
}

#[test]
fn a_resync_by_command_ends_hot_with_equal_tables() {
    let mut pair = Pair::settled();
    for n in 0..5_000 {
        pair.unit(0).table.insert(n, vec![3; 50]).unwrap();
    }
    pair.run_for(Duration::from_millis(50));
    let now = pair.now;
    pair.unit(1).node.resync(GROUP, None, now).unwrap();
    assert_eq!(pair.state(1), Some(RfState::StandbyColdBulk));
    pair.run_until("hot", |pair| pair.state(1) == Some(RfState::StandbyHot));
    assert_eq!(pair.unit(1).table.len(), 5_000);
    assert!(
        pair.unit(0).node.resync(GROUP, None, now).is_err(),
        "not on the active"
    );
}

#[test]
fn an_interrupted_bulk_sync_goes_on_where_it_was() {
    let mut pair = Pair::new();
    pair.crash(1);
    pair.run_until("alone", |pair| pair.state(0) == Some(RfState::Active));
    for n in 0..50_000 {
        pair.unit(0).table.insert(n, vec![7; 300]).unwrap();
    }
    pair.boot(1);
    pair.stop_after_bulk_chunks(40);
    pair.connect();
    pair.run_for(Duration::from_millis(300));
    assert_eq!(pair.state(1), Some(RfState::StandbyColdBulk));
    pair.cut();
    pair.connect();
    pair.run_until("hot", |pair| pair.state(1) == Some(RfState::StandbyHot));
    assert_eq!(pair.unit(1).table.len(), 50_000);
    let stats = pair.unit(0).node.stream_stats(GROUP).unwrap();
    // The first full sync was with the unit that crashed.
    assert_eq!(
        (stats.full_syncs, stats.delta_syncs, stats.resumed_bulks),
        (2, 1, 1)
    );
    assert!(stats.bulk_entries < 60_000, "{stats:?}");
}

#[test]
fn a_barrier_waits_for_plain_writes() {
    let mut pair = Pair::settled();
    for n in 0..3_000 {
        pair.unit(0).table.insert(n, vec![1; 100]).unwrap();
    }
    let barrier = pair.unit(0).table.barrier().unwrap();
    pair.run_for(Duration::from_millis(2));
    assert_eq!(barrier.wait(LIMIT), Ok(Committed::Replicated));
    assert_eq!(pair.unit(1).table.len(), 3_000);
}

#[test]
fn commits_do_not_wait_for_a_standby_that_acknowledges_nothing() {
    let mut pair = Pair::settled();
    pair.mute = true;
    let commit = pair
        .unit(0)
        .table
        .transaction(|t| t.insert(1, vec![1]))
        .unwrap();
    pair.run_for(Duration::from_secs(4));
    assert!(!commit.is_done());
    pair.run_until("the link is given up", Pair::is_cut);
    assert_eq!(commit.wait(LIMIT), Ok(Committed::Degraded));
    pair.mute = false;
    pair.cut();
    pair.connect();
    pair.run_until("hot again", |pair| {
        pair.state(1) == Some(RfState::StandbyHot) && pair.state(0) == Some(RfState::Active)
    });
    assert_eq!(pair.unit(1).table.get(&1), Some(vec![1]));
}
