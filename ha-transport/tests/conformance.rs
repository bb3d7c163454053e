//! What every transport promises.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

#[cfg(all(feature = "sctp", target_os = "linux"))]
#[path = "support/sctp.rs"]
mod sctp_alone;
mod support;

use std::time::Duration;

use bytes::Bytes;
use ha_transport::{Lane, LaneLimits, Link, LinkError, LinkLimits, Side, Transport};
use support::{Pair, bounded, message, send};

/// Runs every test over one transport.
macro_rules! conformance {
    ($name:ident: $($test:ident),+ $(,)?) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $test() {
                    if super::support::can_run(stringify!($name)) {
                        super::bounded(super::$test(super::support::$name)).await;
                    }
                }
            )+
        }
    };
}

macro_rules! over {
    ($($(#[$gate:meta])? $name:ident),+) => {
        $(
            $(#[$gate])?
            conformance!(
                $name: keeps_the_order_within_each_lane, carries_every_size, higher_lanes_overtake,
                control_passes_bulk_under_way, a_slow_receiver_loses_nothing,
                a_stuck_receiver_costs_bounded_memory, close_delivers_everything,
                both_may_close_at_once, abort_is_not_a_close, dropping_the_sender_aborts,
                dropping_the_receiver_discards, links_follow_each_other, many_links_at_once,
                recv_is_cancel_safe,
            );
        )+
    };
}

over!(
    memory,
    #[cfg(feature = "tcp")]
    tcp,
    #[cfg(feature = "tcp")]
    tcp_plaintext,
    #[cfg(feature = "quic")]
    quic,
    #[cfg(all(feature = "sctp", target_os = "linux"))]
    sctp,
    #[cfg(all(feature = "sctp", target_os = "linux"))]
    sctp_plaintext
);

type Make = fn(LinkLimits) -> Pair;

async fn keeps_the_order_within_each_lane(make: Make) {
    let (near, mut far) = make(LinkLimits::default()).link().await;
    let sizes = [0, 7, 100, 1500, 20_000, 70_000];
    let count = 300;
    let sending = async {
        for i in 0..count {
            for lane in Lane::ALL {
                send(&near.sender, lane, message(i, sizes[i % sizes.len()]))
                    .await
                    .unwrap();
            }
        }
    };
    let receiving = async {
        let mut next = [0; 3];
        for _ in 0..count * 3 {
            let (lane, seen) = far.receiver.recv().await.unwrap();
            let i = next[lane as usize];
            assert!(seen == message(i, sizes[i % sizes.len()]), "{lane} {i}");
            next[lane as usize] += 1;
        }
        assert_eq!(next, [count; 3]);
    };
    tokio::join!(sending, receiving);
}

async fn carries_every_size(make: Make) {
    let limits = LinkLimits::default();
    let (mut near, far) = make(limits).link().await;
    for lane in Lane::ALL {
        let limit = limits.lane(lane).message_bytes;
        for length in [0, 1, 16_379, 16_380, 16_381, 65_536, limit - 1, limit] {
            far.sender.send(lane, message(3, length)).unwrap();
            let seen = near.receiver.recv().await.unwrap();
            assert!(seen == (lane, message(3, length)), "{lane} {length}");
        }
        let refused = far.sender.send(lane, message(3, limit + 1));
        assert!(matches!(refused, Err(LinkError::TooLarge { bytes, .. }) if bytes == limit + 1));
        far.sender.send(lane, message(4, 9)).unwrap();
        assert_eq!(near.receiver.recv().await.unwrap(), (lane, message(4, 9)));
    }
}

async fn higher_lanes_overtake(make: Make) {
    let (near, mut far) = make(LinkLimits::default()).link().await;
    // Nothing runs between these sends: the whole bulk is queued when the others come.
    for i in 0..40 {
        near.sender
            .send(Lane::Bulk, message(i, 256 * 1024))
            .unwrap();
    }
    near.sender.send(Lane::Changes, message(0, 40_000)).unwrap();
    near.sender.send(Lane::Control, message(0, 40)).unwrap();
    let mut order = Vec::new();
    for _ in 0..42 {
        order.push(far.receiver.recv().await.unwrap().0);
    }
    let place = |lane| order.iter().position(|&seen| seen == lane).unwrap();
    assert!(
        place(Lane::Control) < 2 && place(Lane::Changes) < 2,
        "{order:?}"
    );
}

async fn control_passes_bulk_under_way(make: Make) {
    let (near, mut far) = make(LinkLimits::default()).link().await;
    let total = 60;
    for i in 0..total {
        near.sender
            .send(Lane::Bulk, message(i, 256 * 1024))
            .unwrap();
    }
    far.receiver.recv().await.unwrap();
    near.sender.send(Lane::Control, message(0, 40)).unwrap();
    let mut bulk = 1;
    while far.receiver.recv().await.unwrap().0 == Lane::Bulk {
        bulk += 1;
        // What has arrived can be taken without a pause; let the link work meanwhile.
        tokio::task::yield_now().await;
    }
    assert!(
        bulk <= total * 3 / 4,
        "control came after {bulk} of {total} bulk messages"
    );
}

/// Queues of a few messages.
fn narrow(stall_timeout: Duration) -> LinkLimits {
    let lane = LaneLimits {
        message_bytes: 64 * 1024,
        queue_bytes: 64 * 1024,
    };
    LinkLimits {
        control: lane,
        changes: lane,
        bulk: lane,
        stall_timeout,
        ..Default::default()
    }
}

async fn a_slow_receiver_loses_nothing(make: Make) {
    let (near, mut far) = make(narrow(Duration::from_secs(30))).link().await;
    let count = 1000;
    let sending = async {
        for i in 0..count {
            send(&near.sender, Lane::Bulk, message(i, 16 * 1024))
                .await
                .unwrap();
        }
    };
    let receiving = async {
        for i in 0..count {
            assert!(far.receiver.recv().await.unwrap() == (Lane::Bulk, message(i, 16 * 1024)));
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(sending, receiving);
}

async fn a_stuck_receiver_costs_bounded_memory(make: Make) {
    let (near, mut far) = make(narrow(Duration::from_millis(200))).link().await;
    let mut accepted = 0;
    let end = loop {
        match near.sender.send(Lane::Bulk, message(0, 16 * 1024)) {
            Ok(()) => accepted += 16 * 1024,
            Err(LinkError::QueueFull { queued, limit, .. }) => {
                assert!(queued <= limit);
                tokio::task::yield_now().await;
            }
            Err(end) => break end,
        }
    };
    assert!(!end.is_orderly(), "{end}");
    // The queues of both ends and those of the operating system.
    assert!(accepted < 32 * 1024 * 1024, "{accepted} bytes accepted");
    let mut taken = 0;
    let reason = loop {
        match far.receiver.recv().await {
            Ok((_, message)) => taken += message.len(),
            Err(reason) => break reason,
        }
    };
    assert!(taken <= 64 * 1024, "{taken} bytes queued at the receiver");
    assert!(
        matches!(
            reason,
            LinkError::ReceiverStalled {
                lane: Lane::Bulk,
                ..
            }
        ),
        "{reason}"
    );
}

async fn close_delivers_everything(make: Make) {
    let (near, mut far) = make(LinkLimits::default()).link().await;
    let Link {
        sender,
        mut receiver,
        ..
    } = near;
    for i in 0..30 {
        sender.send(Lane::Bulk, message(i, 100_000)).unwrap();
    }
    let other = sender.clone();
    let receiving = async {
        for i in 0..30 {
            assert!(far.receiver.recv().await.unwrap() == (Lane::Bulk, message(i, 100_000)));
        }
        let end = far.receiver.recv().await.unwrap_err();
        assert!(matches!(end, LinkError::ClosedByPeer), "{end}");
        let refused = far.sender.send(Lane::Control, Bytes::new());
        assert!(matches!(refused, Err(LinkError::ClosedByPeer)));
    };
    tokio::join!(sender.close(), receiving);
    assert!(matches!(
        other.send(Lane::Control, Bytes::new()),
        Err(LinkError::Closed)
    ));
    assert!(matches!(receiver.recv().await, Err(LinkError::Closed)));
    assert!(
        matches!(receiver.recv().await, Err(LinkError::Closed)),
        "says so again"
    );
}

async fn both_may_close_at_once(make: Make) {
    let (mut near, mut far) = make(LinkLimits::default()).link().await;
    tokio::join!(near.sender.close(), far.sender.close());
    for receiver in [&mut near.receiver, &mut far.receiver] {
        let end = receiver.recv().await.unwrap_err();
        assert!(end.is_orderly(), "{end}");
    }
}

async fn abort_is_not_a_close(make: Make) {
    let (mut near, mut far) = make(LinkLimits::default()).link().await;
    near.sender.send(Lane::Bulk, message(0, 1_000_000)).unwrap();
    near.sender.abort();
    assert!(matches!(
        near.receiver.recv().await,
        Err(LinkError::Aborted)
    ));
    assert!(matches!(near.sender.ended().await, LinkError::Aborted));
    assert_eq!(near.sender.queued_bytes(Lane::Bulk), 0);
    let end = far.sender.ended().await;
    assert!(!end.is_orderly(), "{end}");
    while far.receiver.recv().await.is_ok() {}
}

async fn dropping_the_sender_aborts(make: Make) {
    let (near, far) = make(LinkLimits::default()).link().await;
    let clone = near.sender.clone();
    drop(near.sender);
    assert!(clone.end_reason().is_none(), "a clone keeps the link");
    drop(clone);
    let end = far.sender.ended().await;
    assert!(!end.is_orderly(), "{end}");
}

async fn dropping_the_receiver_discards(make: Make) {
    let limits = narrow(Duration::from_secs(30));
    let (near, mut far) = make(limits).link().await;
    drop(near.receiver);
    for i in 0..1000 {
        send(&far.sender, Lane::Bulk, message(i, 16 * 1024))
            .await
            .unwrap();
    }
    near.sender.send(Lane::Control, message(1, 5)).unwrap();
    assert_eq!(
        far.receiver.recv().await.unwrap(),
        (Lane::Control, message(1, 5))
    );
}

async fn links_follow_each_other(make: Make) {
    let pair = make(LinkLimits::default());
    for round in 0..5 {
        let (near, mut far) = pair.link().await;
        near.sender.send(Lane::Changes, message(round, 50)).unwrap();
        assert_eq!(
            far.receiver.recv().await.unwrap(),
            (Lane::Changes, message(round, 50))
        );
        near.sender.abort();
    }
}

async fn many_links_at_once(make: Make) {
    let pair = make(LinkLimits::default());
    let mut links = Vec::new();
    for _ in 0..12 {
        links.push(pair.link().await);
    }
    for (i, (near, far)) in links.iter().enumerate() {
        near.sender.send(Lane::Changes, message(i, 50)).unwrap();
        far.sender.send(Lane::Bulk, message(i, 100_000)).unwrap();
    }
    for (i, (near, far)) in links.iter_mut().enumerate() {
        assert!(far.receiver.recv().await.unwrap() == (Lane::Changes, message(i, 50)));
        assert!(near.receiver.recv().await.unwrap() == (Lane::Bulk, message(i, 100_000)));
    }
}

async fn recv_is_cancel_safe(make: Make) {
    let (near, mut far) = make(LinkLimits::default()).link().await;
    let sending = async {
        for i in 0..500 {
            send(&near.sender, Lane::Changes, message(i, 100))
                .await
                .unwrap();
            tokio::task::yield_now().await;
        }
    };
    let receiving = async {
        let mut next = 0;
        while next < 500 {
            tokio::select! {
                biased;
                seen = far.receiver.recv() => {
                    assert_eq!(seen.unwrap(), (Lane::Changes, message(next, 100)));
                    next += 1;
                }
                () = tokio::task::yield_now() => {}
            }
        }
    };
    tokio::join!(sending, receiving);
}

#[tokio::test]
async fn a_cut_path_loses_its_links_and_can_be_healed() {
    let (near, far) = ha_transport::memory::pair(LinkLimits::default());
    let establish =
        async || tokio::try_join!(near.establish(Side::Accept), far.establish(Side::Dial));
    let (mut a, mut b) = establish().await.unwrap();
    near.cut();
    assert!(matches!(
        a.receiver.recv().await,
        Err(LinkError::Lost { .. })
    ));
    assert!(matches!(
        b.receiver.recv().await,
        Err(LinkError::Lost { .. })
    ));
    assert!(matches!(
        far.establish(Side::Dial).await,
        Err(LinkError::Lost { .. })
    ));
    near.heal();
    let (mut a, b) = establish().await.unwrap();
    b.sender.send(Lane::Control, "again".into()).unwrap();
    assert_eq!(
        a.receiver.recv().await.unwrap(),
        (Lane::Control, "again".into())
    );
}

/// A unit that dies says nothing; the other must find out.
#[cfg(feature = "tls")]
mod crash {
    use super::*;

    async fn the_death_of_a_unit_is_noticed(make: Make) {
        let limits = LinkLimits {
            idle_timeout: Duration::from_millis(400),
            ..LinkLimits::default()
        };
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let pair = make(limits);
        let far = pair.far;
        // A runtime of its own, which is taken away together with its sockets.
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(async move {
            let link = far.establish(Side::Dial).await.unwrap();
            sender.send(()).unwrap();
            std::future::pending::<()>().await;
            drop(link);
        });
        let near = pair.near.establish(Side::Accept).await.unwrap();
        receiver.await.unwrap();
        assert!(near.sender.end_reason().is_none());
        runtime.shutdown_background();
        let end = near.sender.ended().await;
        assert!(!end.is_orderly(), "{end}");
    }

    #[cfg(feature = "tcp")]
    #[tokio::test]
    async fn tcp() {
        bounded(the_death_of_a_unit_is_noticed(support::tcp)).await;
    }

    #[cfg(feature = "quic")]
    #[tokio::test]
    async fn quic() {
        bounded(the_death_of_a_unit_is_noticed(support::quic)).await;
    }

    #[cfg(all(feature = "sctp", target_os = "linux"))]
    #[tokio::test]
    async fn sctp() {
        if support::can_run("sctp") {
            bounded(the_death_of_a_unit_is_noticed(support::sctp)).await;
        }
    }
}
