//! Sender and receiver against each other.

mod rig;

use proptest::prelude::*;

use self::rig::Rig;
use super::CommitPolicy;
use crate::wire::Lane;

#[test]
fn a_standby_follows_the_active() {
    let mut rig = Rig::new(CommitPolicy::Strict, 100);
    (0..500).for_each(|key| rig.insert(key, 300));
    rig.transaction(&[(1, Some(20)), (2, Some(20))], &[3]);
    rig.settle();
    rig.assert_equal();
    (0..500).step_by(3).for_each(|key| rig.remove(key));
    (0..500).step_by(7).for_each(|key| rig.insert(key, 30));
    rig.transaction(&[(1, None), (3, Some(20))], &[]);
    rig.settle();
    rig.assert_equal();
    assert_eq!(rig.resolved["replicated"], 2);
    assert_eq!(rig.stats().full_syncs, 1);
}

/// What a strict commit waits for may be in the bulk sync, and nowhere else.
#[test]
fn a_commit_waits_for_the_bulk_sync_that_carries_it() {
    let mut rig = Rig::new(CommitPolicy::Strict, 100);
    (0..2000).for_each(|key| rig.insert(key, 300));
    rig.transaction(&[(1, Some(20))], &[5]);
    rig.barrier();
    rig.lose_peer();
    rig.connect();
    rig.deliver_back(Lane::Changes, 1);
    rig.tick(20);
    rig.send();
    rig.tick(20);
    assert_eq!(rig.commits.len(), 2, "nothing was delivered yet");
    rig.barrier();
    rig.settle();
    rig.assert_equal();
    assert_eq!(rig.resolved["replicated"], 3);
}

/// A barrier may be noted with a later batch than the one that carries its writes.
#[test]
fn a_commit_waits_for_every_lost_batch() {
    let mut rig = Rig::new(CommitPolicy::Strict, 100);
    rig.settle();
    rig.insert(1, 20);
    rig.tick(20);
    rig.send();
    rig.transaction(&[(1, Some(20))], &[]);
    rig.send();
    rig.barrier();
    rig.send();
    rig.lose_link();
    rig.transaction(&[(2, Some(20))], &[]);
    rig.connect();
    rig.deliver_back(Lane::Changes, 1);
    rig.send();
    rig.deliver(Lane::Changes, 2);
    rig.deliver_back(Lane::Changes, 2);
    rig.settle();
    rig.assert_equal();
    assert_eq!(rig.stats().full_syncs, 1);
    assert_eq!(rig.stats().delta_syncs, 1);
}

#[test]
fn batches_lost_with_the_peer_are_no_reason_to_send_everything() {
    let mut rig = Rig::new(CommitPolicy::Degrade, 100);
    (0..100).for_each(|key| rig.insert(key, 20));
    rig.settle();
    rig.insert(1, 20);
    rig.tick(20);
    assert!(rig.send() > 0);
    rig.lose_peer();
    rig.remove(2);
    rig.settle();
    rig.assert_equal();
    assert_eq!(rig.stats().full_syncs, 1);
    assert_eq!(rig.stats().delta_syncs, 1);
}

/// While no standby is there nobody remembers what belonged together.
#[test]
fn a_standby_that_catches_up_in_pieces_is_not_whole() {
    let mut rig = Rig::new(CommitPolicy::Degrade, 10_000);
    (0..2000).for_each(|key| rig.insert(key, 20));
    rig.transaction(&[(1, Some(20))], &[]);
    rig.settle();
    rig.lose_peer();
    (0..2000).for_each(|key| rig.insert(key, 3000));
    rig.transaction(&[(1, Some(20))], &[]);
    rig.tick(20);
    rig.connect();
    rig.deliver_back(Lane::Changes, 1);
    rig.send();
    rig.deliver(Lane::Changes, 1);
    assert!(!rig.receiver.holds().complete);
    rig.settle();
    rig.assert_equal();
    assert_eq!(rig.resolved["degraded"], 1);
    assert_eq!(rig.stats().full_syncs, 1);
    rig.lose_link();
    rig.connect();
    rig.deliver_back(Lane::Changes, 1);
    rig.deliver(Lane::Changes, 1);
    assert!(rig.receiver.holds().complete, "nothing was forgotten");
}

#[test]
fn an_interrupted_bulk_sync_goes_on_where_it_was() {
    let mut rig = Rig::new(CommitPolicy::Strict, 100);
    (0..2000).for_each(|key| rig.insert(key, 300));
    rig.connect();
    rig.deliver_back(Lane::Changes, 1);
    rig.deliver(Lane::Changes, 1);
    for _ in 0..4 {
        rig.deliver_back(Lane::Bulk, 1);
        rig.send();
        rig.deliver(Lane::Bulk, 1);
    }
    let before = rig.stats();
    rig.lose_link();
    rig.insert(1, 20);
    rig.remove(2);
    rig.settle();
    rig.assert_equal();
    let after = rig.stats();
    assert_eq!((after.full_syncs, after.resumed_bulks), (1, 1));
    assert!(after.bulk_entries < 2000 + before.bulk_entries);
}

#[test]
fn a_damaged_client_is_sent_again() {
    let mut rig = Rig::new(CommitPolicy::Strict, 100);
    (0..1000).for_each(|key| rig.insert(key, 30));
    rig.transaction(&[(1, Some(20))], &[]);
    rig.settle();
    rig.damage(&[0]);
    rig.check_in();
    rig.settle();
    rig.assert_equal();
    assert_eq!(rig.mismatches, 1);
    assert_eq!(rig.stats().full_syncs, 1);
}

#[test]
fn removals_beyond_memory_lead_to_a_bulk_sync_of_the_client() {
    let mut rig = Rig::new(CommitPolicy::Strict, 5);
    (0..1000).for_each(|key| rig.insert(key, 30));
    rig.settle();
    (0..500).for_each(|key| rig.remove(key));
    (2000..2300).for_each(|key| rig.insert(key, 30));
    rig.settle();
    rig.assert_equal();
    assert_eq!(rig.stats().full_syncs, 1);
    assert_eq!(rig.mismatches, 0);
}

#[test]
fn an_earlier_request_does_not_replace_a_later_one() {
    let mut rig = Rig::new(CommitPolicy::Strict, 100);
    rig.settle();
    let early = rig.receiver.request(1, rig.sender.term(), &[]);
    let late = rig.receiver.request(1, rig.sender.term(), &[]);
    rig.start(&late).expect("the newest request is answered");
    assert_eq!(rig.start(&early), None);
    assert_eq!(rig.start(&late), None);
}

/// What the active never sent, and therefore never removes, goes with the sweep.
#[test]
fn entries_that_nobody_sent_are_swept() {
    let mut rig = Rig::new(CommitPolicy::Strict, 100);
    (0..1000).for_each(|key| rig.insert(key, 30));
    rig.settle();
    rig.haunt(0, &[3, 700, 5000]);
    rig.check_in();
    rig.settle();
    rig.assert_equal();
    assert_eq!(rig.mismatches, 1);
}

/// Larger than a part, so that it would be cut if its entries were merely marked again.
#[test]
fn a_lost_transaction_is_sent_again_whole() {
    let mut rig = Rig::new(CommitPolicy::Strict, 1000);
    let pairs: Vec<_> = (0..180).map(|key| (key, Some(300))).collect();
    rig.transaction(&pairs, &[]);
    rig.settle();
    rig.transaction(&pairs, &[]);
    assert!(rig.send() > 0);
    rig.lose_link();
    rig.connect();
    rig.deliver_back(Lane::Changes, 1);
    for _ in 0..20 {
        rig.tick(20);
        rig.send();
        // Looks at all pairs after each message.
        rig.deliver(Lane::Changes, 1);
        assert!(rig.receiver.holds().complete);
        rig.deliver_back(Lane::Changes, 1);
    }
    rig.settle();
    rig.assert_equal();
    assert_eq!(rig.stats().full_syncs, 1);
}

/// What may happen between two units.
#[derive(Clone, Debug)]
enum Step {
    Insert(u16, u16),
    Remove(u16),
    Transaction(Vec<(u16, Option<u16>)>, Vec<u16>),
    Barrier,
    Tick(u8),
    Send,
    Changes(u8),
    Bulk(u8),
    Acks(u8),
    BulkAcks(u8),
    Connect,
    LoseLink,
    LosePeer,
    RestartStandby,
    Damage(u8),
    CheckIn,
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..40u16;
    let len = prop_oneof![8 => 8..40u16, 1 => 2000..3000u16];
    let pair = (0..6u16, proptest::option::of(8..40u16));
    let pairs = proptest::collection::vec(pair, 0..4);
    prop_oneof![
        12 => (key.clone(), len).prop_map(|(key, len)| Step::Insert(key, len)),
        6 => key.clone().prop_map(Step::Remove),
        5 => (pairs, proptest::collection::vec(key, 0..3))
            .prop_map(|(pairs, keys)| Step::Transaction(pairs, keys)),
        2 => Just(Step::Barrier),
        4 => (1..30u8).prop_map(Step::Tick),
        6 => Just(Step::Send),
        6 => (1..4u8).prop_map(Step::Changes),
        6 => (1..4u8).prop_map(Step::Bulk),
        6 => (1..4u8).prop_map(Step::Acks),
        6 => (1..4u8).prop_map(Step::BulkAcks),
        3 => Just(Step::Connect),
        1 => Just(Step::LoseLink),
        1 => Just(Step::LosePeer),
        1 => Just(Step::RestartStandby),
        1 => (0..3u8).prop_map(Step::Damage),
        1 => Just(Step::CheckIn),
        1 => Just(Step::Settle),
    ]
}

fn carry_out(rig: &mut Rig, step: Step) {
    match step {
        Step::Insert(key, len) => rig.insert(key, len.into()),
        Step::Remove(key) => rig.remove(key),
        Step::Transaction(pairs, keys) => {
            let pairs: Vec<_> = pairs
                .into_iter()
                .map(|(key, len)| (key, len.map(usize::from)))
                .collect();
            rig.transaction(&pairs, &keys);
        }
        Step::Barrier => rig.barrier(),
        Step::Tick(ms) => rig.tick(ms.into()),
        Step::Send => drop(rig.send()),
        Step::Changes(n) => drop(rig.deliver(Lane::Changes, n.into())),
        Step::Bulk(n) => drop(rig.deliver(Lane::Bulk, n.into())),
        Step::Acks(n) => drop(rig.deliver_back(Lane::Changes, n.into())),
        Step::BulkAcks(n) => drop(rig.deliver_back(Lane::Bulk, n.into())),
        Step::Connect => rig.connect(),
        Step::LoseLink => rig.lose_link(),
        Step::LosePeer => rig.lose_peer(),
        Step::RestartStandby => rig.restart_standby(),
        // Commits are no longer true once what was committed is damaged.
        Step::Damage(client) => {
            rig.settle();
            rig.damage(&[client.into()]);
            rig.check_in();
            rig.settle();
        }
        Step::CheckIn => rig.check_in(),
        Step::Settle => rig.settle(),
    }
}

fn run(policy: CommitPolicy, max_removals: usize, steps: Vec<Step>) {
    let mut rig = Rig::new(policy, max_removals);
    let is_damage = |step: &&Step| matches!(step, Step::Damage(_));
    let damages = steps.iter().filter(is_damage).count();
    for step in steps {
        carry_out(&mut rig, step);
    }
    rig.settle();
    rig.assert_equal();
    assert!(
        rig.mismatches <= damages,
        "only damage makes digests differ"
    );
    assert!(
        rig.commits.is_empty(),
        "{} commits are open",
        rig.commits.len()
    );
    if policy == CommitPolicy::Strict {
        assert!(!rig.resolved.contains_key("degraded"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_happens_both_sides_agree(
        strict: bool,
        max_removals in prop_oneof![Just(0usize), Just(3), Just(1000)],
        steps in proptest::collection::vec(step(), 0..150),
    ) {
        let policy = if strict { CommitPolicy::Strict } else { CommitPolicy::Degrade };
        run(policy, max_removals, steps);
    }
}
