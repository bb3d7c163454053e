//! A standby that stops reading: it costs the active a bounded amount, and no commit for ever.

use ha_core::node::Event;
use ha_core::redundancy::RfState;
use ha_core::scheme::Role;
use ha_core::sync::Committed;
use ha_core::wire::pb::{self, envelope::Body};
use ha_transport::Lane;
use prost::Message;

use crate::harness::{GROUP, Unit, bounded, event, fixed, path, table};
use crate::raw::{Raw, term};

/// What the standby grants for batches.
const WINDOW: u64 = 64 * 1024;
/// Several thousand times as much is written.
const WRITES: u32 = 200_000;
const ENTRIES: u32 = 1000;

/// Introduces itself as a standby that asks for the stream.
async fn standby(path: &ha_transport::memory::Memory) -> Raw {
    let mut raw = Raw::hello(path, 1, 5).await;
    raw.expect(|body| matches!(body, Body::Status(_)).then_some(()))
        .await;
    raw.status(pb::GroupStatus {
        state: 7,
        term: term(1, 0),
        holds: term(0, 0),
        decided: true,
        ..Default::default()
    });
    raw.send(
        Lane::Changes,
        Body::SyncRequest(pb::SyncRequest {
            sync: 1,
            term: term(1, 0),
            changes_window_bytes: WINDOW,
            bulk_window_bytes: WINDOW,
            ..Default::default()
        }),
    );
    raw.expect(|body| matches!(body, Body::SyncBegin(_)).then_some(()))
        .await;
    raw
}

#[tokio::test]
async fn a_standby_that_stops_reading() {
    let (near, far) = path();
    let table = table();
    let node = fixed(0, &table, Role::Active)
        .link(near)
        .start()
        .await
        .unwrap();
    let unit = Unit { node, table };
    unit.wait(RfState::Active).await;
    let mut events = unit.node.events();
    let mut raw = standby(&far).await;

    // From here on it neither reads nor acknowledges nor sends.
    for write in 0..WRITES {
        unit.table.insert(write % ENTRIES, vec![7; 64]).unwrap();
        if write % ENTRIES == 0 {
            tokio::task::yield_now().await;
        }
    }
    let commit = unit.table.barrier().unwrap();
    event(&mut events, |event| {
        matches!(event, Event::PeerLost { .. }).then_some(())
    })
    .await;
    assert_eq!(bounded(commit).await, Ok(Committed::Degraded));
    assert_eq!(unit.commit(0).await, Committed::Degraded);

    // What had been sent to it keeps to the window that it granted.
    let mut bytes = 0;
    while let Ok(body) = raw.recv().await {
        if let Body::Batch(batch) = body {
            bytes += batch.encoded_len() as u64;
        }
    }
    assert!(bytes > 0, "something was sent");
    assert!(
        bytes <= 2 * WINDOW,
        "{bytes} bytes were in flight, {WINDOW} were granted"
    );
    let (_, stream) = unit.node.stats(GROUP).await.unwrap();
    assert!(stream.is_some());
}
