//! Links as such, over the memory transport.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

mod support;

use bytes::Bytes;
use ha_transport::{Lane, LinkError, LinkLimits, MESSAGE_OVERHEAD_BYTES};
use support::{bounded, memory};

#[tokio::test]
async fn empty_messages_do_not_fill_the_memory() {
    let limits = LinkLimits::default();
    let (near, _far) = memory(limits).link().await;
    let mut accepted = 0;
    let error = loop {
        match near.sender.send(Lane::Control, Bytes::new()) {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(
        accepted,
        limits.control.queue_bytes / MESSAGE_OVERHEAD_BYTES
    );
    assert!(
        matches!(
            error,
            LinkError::QueueFull {
                lane: Lane::Control,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(
        near.sender.queued_bytes(Lane::Control),
        limits.control.queue_bytes
    );
    near.sender.send(Lane::Changes, Bytes::new()).unwrap();
}

#[tokio::test]
async fn try_recv_takes_what_is_there() {
    let (mut near, far) = memory(LinkLimits::default()).link().await;
    assert_eq!(near.receiver.try_recv(), None);
    far.sender.send(Lane::Bulk, "b".into()).unwrap();
    far.sender.send(Lane::Changes, "c".into()).unwrap();
    let first = bounded(near.receiver.recv()).await.unwrap();
    assert_eq!(first, (Lane::Changes, "c".into()));
    assert_eq!(near.receiver.try_recv(), Some((Lane::Bulk, "b".into())));
    assert_eq!(near.receiver.try_recv(), None);
}

#[tokio::test]
async fn what_arrived_before_the_close_is_still_there_after_it() {
    let (mut near, far) = memory(LinkLimits::default()).link().await;
    for i in 0..100_u8 {
        far.sender.send(Lane::Changes, vec![i].into()).unwrap();
    }
    far.sender.close().await;
    for i in 0..100_u8 {
        assert_eq!(near.receiver.recv().await.unwrap().1[..], [i]);
    }
    assert!(matches!(
        near.receiver.recv().await,
        Err(LinkError::ClosedByPeer)
    ));
}
