//! An active unit that sends what it should not: a defect, an older or newer release, an attacker
//! who got hold of its identity. The other unit takes none of it, says what is wrong, and does what
//! is safe with what is incomplete.

use ha_core::checkpoint::{CheckpointClient, Record, StateTable};
use ha_core::id::ClientId;
use ha_core::node::Event;
use ha_core::redundancy::RfState;
use ha_ipsec::record::{IpsecSa, Transform};
use ha_ipsec::sad::{LookupError, Sad, SadConfig, SadEvent, Which};

use super::harness::{Pair, UNIX_S, ike_id, inbound, inbound_id, outbound, outbound_id};

/// The tables of the active unit with bytes of our choice in the places of SAs and counters.
struct Forged {
    sas: StateTable<Vec<u8>, Vec<u8>>,
    counters: StateTable<Vec<u8>, Vec<u8>>,
}

impl Forged {
    /// A pair whose active unit is forged; the standby has not joined yet.
    fn pair() -> (Self, Pair) {
        let mut pair = Pair::alone(SadConfig::default());
        pair.crash(0);
        let sad = Sad::new(SadConfig::default()).unwrap();
        let mut clients = sad.clients();
        let named = |client: &dyn CheckpointClient| {
            let of = client.descriptor();
            let mut table = StateTable::builder(of.id, of.name.clone()).sequence(of.sequence);
            for (name, value) in &of.config {
                table = table.config(name.clone(), value.clone());
            }
            table.build().unwrap()
        };
        assert_eq!(clients[3].descriptor().id, ClientId::new(103));
        let forged = Self {
            sas: named(&*clients[2]),
            counters: named(&*clients[3]),
        };
        (clients[2], clients[3]) = (forged.sas.client(), forged.counters.client());
        pair.boot_with(0, sad, clients);
        pair.run_until("active", |pair| pair.state(0) == Some(RfState::Active));
        (forged, pair)
    }

    fn sa(&self, sa: &IpsecSa) {
        self.sas.insert(bytes(&sa.id), bytes(sa)).unwrap();
    }
}

fn bytes(record: &impl Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(1, &mut bytes);
    bytes
}

/// The key of an outbound counter with a budget of 1000.
fn key(instance: u64) -> Vec<u8> {
    [&instance.to_be_bytes()[..], &[0, 0xe8, 7]].concat()
}

/// The key of a strict inbound counter with a window of 64.
fn inbound_key(instance: u64) -> Vec<u8> {
    [&instance.to_be_bytes()[..], &[1, 64]].concat()
}

/// Why the standby refused the stream.
fn refusal(pair: &mut Pair) -> String {
    pair.run_until("refused", |pair| {
        let events = &pair.units[1].as_ref().unwrap().events;
        events
            .iter()
            .any(|event| matches!(event, Event::SyncFailed { .. }))
    });
    let failed = pair.unit(1).events.drain(..).find_map(|event| match event {
        Event::SyncFailed { error, .. } => Some(error.to_string()),
        _ => None,
    });
    failed.unwrap()
}

#[test]
fn bad_counters_are_refused_with_the_reason() {
    let cases: [(Vec<u8>, &[u8], &str); 11] = [
        (
            [&key(1)[..], &[0]].concat(),
            &[10, 5, 0],
            "more than is known",
        ),
        (
            [&[0; 8][..], &[4, 1]].concat(),
            &[10, 5, 0],
            "more than is known",
        ),
        (vec![1, 2, 3], &[10, 5, 0], "less than 10 bytes"),
        (key(1)[..9].to_vec(), &[10, 5, 0], "without a parameter"),
        ([&[0; 8][..], &[0, 0]].concat(), &[10, 5, 0], "budget of 0"),
        ([&[0; 8][..], &[1, 31]].concat(), &[0, 5], "31"),
        (
            [&[0; 8][..], &[13, 64]].concat(),
            &[0, 5],
            "two inbound policies",
        ),
        (key(1), &[], "cut off"),
        (key(1), &[10, 0x80], "cut off"),
        (key(1), &[10, 11, 0], "ahead of the reservation"),
        (
            key(1),
            &[0xff, 0xff, 0xff, 0xff, 0x7f, 1, 0],
            "beyond the last number",
        ),
    ];
    for (key, value, expected) in cases {
        let (forged, mut pair) = Forged::pair();
        forged.counters.insert(key, value.to_vec()).unwrap();
        pair.join(1);
        let refusal = refusal(&mut pair);
        assert!(refusal.contains(expected), "{expected}: {refusal}");
        assert!(
            refusal.contains("ipsec-counters") || refusal.contains("client 103"),
            "{refusal}"
        );
        assert_ne!(pair.state(1), Some(RfState::StandbyHot));
    }
}

#[test]
fn a_reservation_that_goes_back_is_refused_until_it_is_right_again() {
    let (forged, mut pair) = Forged::pair();
    forged.counters.insert(key(1), vec![100, 50, 0]).unwrap();
    pair.join(1);
    pair.run_until_whole();
    forged.counters.insert(key(1), vec![99, 50, 0]).unwrap();
    let refusal = refusal(&mut pair);
    assert!(refusal.contains("goes back from 100 to 99"), "{refusal}");
    assert_ne!(pair.state(1), Some(RfState::StandbyHot));
    forged.counters.insert(key(1), vec![101, 50, 0]).unwrap();
    pair.run_until_whole();
}

#[test]
fn a_record_that_is_no_record_is_refused() {
    let (forged, mut pair) = Forged::pair();
    forged
        .sas
        .insert(bytes(&outbound_id(1)), vec![0xff; 20])
        .unwrap();
    pair.join(1);
    let refusal = refusal(&mut pair);
    assert!(refusal.contains("cannot decode the value"), "{refusal}");
}

#[test]
fn what_came_without_its_other_half_is_not_used() {
    let (forged, mut pair) = Forged::pair();
    let mut alone = outbound(1);
    (alone.instance, alone.ike) = (7, Some(ike_id(7)));
    forged.sa(&alone);
    forged.counters.insert(key(9), vec![100, 50, 0]).unwrap();
    // The counters of an earlier SA with the same SPI: its numbers say nothing of these keys.
    let mut mismatched = outbound(2);
    mismatched.instance = 10;
    forged.sa(&mismatched);
    pair.join(1);
    pair.run_until_whole();
    pair.fail_over_from(0);
    pair.run_for(5);
    let sad = pair.sad(1);
    for number in [1, 2] {
        let id = outbound_id(number);
        assert_eq!(
            sad.outbound(&id).unwrap_err(),
            LookupError::NoCounters { id }
        );
    }
    let mut events: Vec<_> = std::iter::from_fn(|| sad.poll_event()).collect();
    events.sort_by_key(|event| format!("{event:?}"));
    let (id, ike) = (outbound_id(1), ike_id(7));
    let other = outbound_id(2);
    assert_eq!(
        events,
        [
            SadEvent::NoCounters { id },
            SadEvent::NoCounters { id: other },
            SadEvent::Orphan { id, ike }
        ]
    );
}

#[test]
fn expired_sas_that_arrive_in_bulk_are_not_used() {
    let (forged, mut pair) = Forged::pair();
    let mut old = outbound(1);
    (old.instance, old.created_unix_s) = (7, UNIX_S - 500);
    old.lifetime.hard.seconds = Some(400);
    forged.sa(&old);
    forged.counters.insert(key(7), vec![100, 50, 0]).unwrap();
    pair.join(1);
    pair.run_until_whole();
    pair.fail_over_from(0);
    pair.run_for(5);
    let (sad, id) = (pair.sad(1), outbound_id(1));
    assert_eq!(
        sad.poll_event(),
        Some(SadEvent::HardLifetime {
            id,
            which: Which::Time
        })
    );
    assert!(sad.outbound(&id).unwrap().next().is_err());
}

#[test]
fn unknown_algorithms_are_kept_and_never_used() {
    let (forged, mut pair) = Forged::pair();
    let mut odd = inbound(1);
    (odd.instance, odd.encryption) = (7, Some(Transform::encryption(4711, 128)));
    forged.sa(&odd);
    forged
        .counters
        .insert(inbound_key(7), vec![0, 0, 5])
        .unwrap();
    pair.join(1);
    pair.run_until_whole();
    pair.fail_over_from(0);
    let (sad, id) = (pair.sad(1), inbound_id(1));
    assert_eq!(
        sad.record(&id).unwrap().encryption,
        Some(Transform::encryption(4711, 128))
    );
    let error = sad.inbound(&id).unwrap_err();
    assert!(matches!(error, LookupError::Unusable { .. }), "{error}");
    assert!(error.to_string().contains("4711"), "{error}");
}
