//! Peers that are authenticated and wrong: each is refused with a typed reason, the link is closed,
//! and the node serves on.

use ha_core::node::Event;
use ha_core::redundancy::RfState;
use ha_core::scheme::Role;
use ha_core::sync::Committed;
use ha_core::wire::pb::{self, envelope::Body};
use ha_transport::Lane;
use ha_transport::memory::Memory;

use crate::harness::{GROUP, Unit, event, fixed, path, table};
use crate::raw::{Raw, hello, term};

/// An active unit 0, and the path to it.
async fn active() -> (Unit, Memory) {
    let (near, far) = path();
    let table = table();
    let node = fixed(0, &table, Role::Active)
        .link(near)
        .start()
        .await
        .unwrap();
    let unit = Unit { node, table };
    unit.wait(RfState::Active).await;
    (unit, far)
}

/// The unit serves, and a peer that behaves is welcome.
async fn serves_on(unit: &Unit, path: &Memory) {
    assert_eq!(unit.commit(1).await, Committed::Degraded);
    let mut events = unit.node.events();
    let raw = Raw::hello(path, 1, 77).await;
    let incarnation = event(&mut events, |event| match event {
        Event::PeerUp { incarnation, .. } => Some(incarnation),
        _ => None,
    });
    assert_eq!(incarnation.await, 77);
    assert_eq!(unit.state(), RfState::Active);
    drop(raw);
}

#[tokio::test]
async fn a_peer_with_this_units_id() {
    let (unit, path) = active().await;
    let reject = Raw::hello(&path, 0, 5).await.expect_refusal().await;
    assert_eq!(
        (reject.code, reject.text.as_str()),
        (
            4,
            "the peer claims to be unit 0, as this unit does; give the units different ids"
        )
    );
    serves_on(&unit, &path).await;
}

#[tokio::test]
async fn a_unit_that_is_not_the_peer() {
    let (unit, path) = active().await;
    let reject = Raw::hello(&path, 9, 5).await.expect_refusal().await;
    assert_eq!(
        (reject.code, reject.text.as_str()),
        (5, "the peer is unit 9, configured is unit 1")
    );
    serves_on(&unit, &path).await;
}

#[tokio::test]
async fn a_second_process_that_claims_to_be_the_peer() {
    let (unit, path) = active().await;
    let mut events = unit.node.events();
    let mut first = Raw::hello(&path, 1, 5).await;
    event(&mut events, |event| {
        matches!(event, Event::PeerUp { .. }).then_some(())
    })
    .await;
    let reject = Raw::hello(&path, 1, 6).await.expect_refusal().await;
    assert_eq!(reject.code, 6);
    assert!(
        reject.text.contains("a second process claims to be unit 1"),
        "{}",
        reject.text
    );
    // The first is still the peer.
    assert!(unit.node.view().peer_up);
    first
        .expect(|body| matches!(body, Body::Status(_)).then_some(()))
        .await;
}

#[tokio::test]
async fn a_peer_of_another_protocol() {
    let (unit, path) = active().await;
    let raw = Raw::dial(&path).await;
    let newer = pb::Hello {
        protocol_min: 7,
        protocol_max: 9,
        ..hello(1, 5)
    };
    raw.send(Lane::Control, Body::Hello(newer));
    let reject = raw.expect_refusal().await;
    assert_eq!(reject.code, 7);
    assert!(
        reject.text.contains("versions 7 to 9, this unit 1"),
        "{}",
        reject.text
    );
    serves_on(&unit, &path).await;
}

#[tokio::test]
async fn a_message_before_hello() {
    let (unit, path) = active().await;
    let mut raw = Raw::dial(&path).await;
    raw.status(pb::GroupStatus {
        term: term(9, 1),
        holds: term(0, 0),
        ..Default::default()
    });
    let reject = raw.expect_refusal().await;
    assert_eq!(reject.code, 3);
    assert!(
        reject.text.contains("no Hello as the first message"),
        "{}",
        reject.text
    );
    serves_on(&unit, &path).await;
}

#[tokio::test]
async fn garbage_before_and_after_hello() {
    let (unit, path) = active().await;
    for introduced in [false, true] {
        for (lane, garbage) in [
            (Lane::Control, &b"\xff\xff\xff\xff"[..]),
            (Lane::Changes, &b""[..]),
            (Lane::Bulk, &b"GET / HTTP/1.1\r\n\r\n"[..]),
        ] {
            let raw = if introduced {
                Raw::hello(&path, 1, 5).await
            } else {
                Raw::dial(&path).await
            };
            raw.send_bytes(lane, garbage);
            let reject = raw.expect_refusal().await;
            assert_eq!(reject.code, 2, "{}", reject.text);
            assert!(reject.text.contains(&format!("{lane}")), "{}", reject.text);
        }
    }
    serves_on(&unit, &path).await;
}

#[tokio::test]
async fn a_message_on_the_wrong_lane_and_one_beyond_its_limits() {
    let (unit, path) = active().await;
    let raw = Raw::hello(&path, 1, 5).await;
    raw.send(
        Lane::Bulk,
        Body::Goodbye(pb::Goodbye {
            text: "bye".to_owned(),
        }),
    );
    let reject = raw.expect_refusal().await;
    assert!(
        reject.text.contains("Goodbye on the bulk lane"),
        "{}",
        reject.text
    );
    let raw = Raw::hello(&path, 1, 6).await;
    raw.send(
        Lane::Control,
        Body::Goodbye(pb::Goodbye {
            text: "b".repeat(5000),
        }),
    );
    let reject = raw.expect_refusal().await;
    assert_eq!(reject.code, 1);
    assert!(
        reject.text.contains("text is 5000, allowed is 1024"),
        "{}",
        reject.text
    );
    serves_on(&unit, &path).await;
}

/// An active unit hears of an active role whose term is over.
#[tokio::test]
async fn an_active_role_of_a_lower_term() {
    let (unit, path) = active().await;
    let mut events = unit.node.events();
    let mut raw = Raw::hello(&path, 1, 5).await;
    raw.status(pb::GroupStatus {
        state: 13,
        term: term(0, 1),
        active: true,
        holds: term(0, 1),
        decided: true,
        ..Default::default()
    });
    let fenced = event(&mut events, |event| match event {
        Event::Fenced {
            what, got, highest, ..
        } => Some((what, got.counter, highest.counter)),
        _ => None,
    });
    assert_eq!(fenced.await, ("an active role", 0, 1));
    let (stats, _) = unit.node.stats(GROUP).await.unwrap();
    assert_eq!(stats.unwrap().fenced, 1);
    assert_eq!(unit.state(), RfState::Active);
}

/// A standby follows term 5; a stream of term 4 must not change its table.
#[tokio::test]
async fn a_stream_of_a_lower_term() {
    let (near, far) = path();
    let table = table();
    let node = fixed(0, &table, Role::Standby)
        .link(near)
        .start()
        .await
        .unwrap();
    let mut events = node.events();
    let mut raw = Raw::hello(&far, 1, 5).await;
    raw.status(pb::GroupStatus {
        state: 13,
        term: term(5, 1),
        active: true,
        complete: true,
        lineage: 3,
        holds: term(5, 1),
        holds_complete: true,
        decided: true,
        ..Default::default()
    });
    let request = raw
        .expect(|body| match body {
            Body::SyncRequest(request) => Some(request),
            _ => None,
        })
        .await;
    assert_eq!(request.term, term(5, 1));
    raw.send(
        Lane::Changes,
        Body::SyncBegin(pb::SyncBegin {
            sync: request.sync,
            term: term(5, 1),
            incarnation: 5,
            mode: pb::SyncMode::Full.into(),
            lineage: 3,
            ..Default::default()
        }),
    );
    for (counter, key) in [(5, 1_u32), (4, 2)] {
        raw.send(
            Lane::Changes,
            Body::Batch(batch(request.sync, counter, key)),
        );
    }
    let fenced = event(&mut events, |event| match event {
        Event::Fenced {
            what, got, highest, ..
        } => Some((what, got.counter, highest.counter)),
        _ => None,
    });
    assert_eq!(fenced.await, ("Batch", 4, 5));
    assert!(table.contains(&1), "of the right term");
    assert!(!table.contains(&2), "of the lower term");
}

/// The batch that puts one entry, the second of them into another slot.
fn batch(sync: u64, counter: u64, key: u32) -> pb::Batch {
    let columns = pb::Columns {
        slot_gap: vec![key - 1],
        key_len: vec![4],
        keys: key.to_be_bytes().to_vec().into(),
        value_len: vec![1],
        values: vec![7].into(),
    };
    let section = pb::Section {
        client: 40,
        puts: Some(columns),
        ..Default::default()
    };
    pb::Batch {
        sync,
        term: term(counter, 1),
        number: key.into(),
        sections: vec![section],
        ..Default::default()
    }
}
