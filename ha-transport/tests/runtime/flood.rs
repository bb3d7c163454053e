//! A peer that sends without a pause must not keep the node from its timers and its commands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ha_core::node::Event;
use ha_core::redundancy::RfState;
use ha_core::scheme::Role;
use ha_core::sync::Committed;
use ha_core::wire::pb::{self, envelope::Body};
use ha_transport::{Lane, LinkError};
use prost::Message;

use crate::harness::{GROUP, Unit, bounded, event, fixed, path, table};
use crate::raw::{Raw, term};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_floods_the_node() {
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
    let mut raw = Raw::hello(&far, 1, 5).await;
    event(&mut events, |event| {
        matches!(event, Event::PeerUp { .. }).then_some(())
    })
    .await;

    let stop = Arc::new(AtomicBool::new(false));
    let flood = tokio::spawn(flood(raw.link.sender.clone(), Arc::clone(&stop)));
    let mut statuses = 0;
    while statuses < 10 {
        // The node's keepalives go out on time, and everything else is done between.
        raw.expect(|body| matches!(body, Body::Status(_)).then_some(()))
            .await;
        bounded(unit.node.stats(GROUP)).await.unwrap();
        assert_eq!(unit.commit(statuses).await, Committed::Degraded);
        statuses += 1;
    }
    stop.store(true, Ordering::Relaxed);
    let sent = bounded(flood).await.unwrap();
    assert!(sent > 1000, "it was a flood: {sent}");
    assert!(unit.node.view().peer_up);
}

/// Sends statuses as fast as the queue takes them.
async fn flood(sender: ha_transport::LinkSender, stop: Arc<AtomicBool>) -> u64 {
    let status = pb::GroupStatus {
        state: 3,
        term: term(0, 0),
        holds: term(0, 0),
        ..Default::default()
    };
    // Many groups that the node does not host: it has more to do with each than it takes to send.
    let unknown = (1..60).map(|group| pb::GroupStatus { group, ..status });
    let groups = unknown.chain([status]).collect();
    let body = Body::Status(pb::Status {
        number: 1,
        groups,
        heard: 0,
    });
    let message = bytes::Bytes::from(pb::Envelope { body: Some(body) }.encode_to_vec());
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        match sender.send(Lane::Control, message.clone()) {
            Ok(()) => sent += 1,
            Err(LinkError::QueueFull { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("after {sent} messages: {error}"),
        }
    }
    sent
}
