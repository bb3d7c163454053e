//! Clients that do not do their part.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ha_core::checkpoint::{
    ApplyError, Changes, CheckpointClient, ClientDescriptor, EntrySink, Shared, Staged,
};
use ha_core::id::{ClientId, Slot, UnitId};
use ha_core::node::Event;
use ha_core::redundancy::RfState;
use ha_core::scheme::{Role, Static};
use ha_core::sync::{Committed, DirtySet};
use ha_transport::Node;
use ha_transport::runtime::{Notification, Responder};
use parking_lot::Mutex;

use crate::harness::{NAT, Table, Unit, bounded, event, fixed, path, table};

fn notified() -> Table {
    Table::builder(NAT, "nat").notified(true).build().unwrap()
}

/// Takes notifications of `state` and does not answer them while `hangs`.
fn hang(
    state: RfState,
    hangs: &Arc<AtomicBool>,
    kept: &Arc<Mutex<Vec<Responder>>>,
) -> impl FnMut(&Notification, Responder) + Send + 'static {
    let (hangs, kept) = (Arc::clone(hangs), Arc::clone(kept));
    move |notification, responder| {
        if notification.state == state && hangs.load(Ordering::Relaxed) {
            kept.lock().push(responder);
        } else {
            responder.done();
        }
    }
}

fn missed(event: Event) -> Option<(ClientId, String, RfState)> {
    match event {
        Event::ClientMissed {
            client,
            name,
            state,
            ..
        } => Some((client, name.to_string(), state)),
        _ => None,
    }
}

const TIMER: Duration = Duration::from_millis(100);

/// It keeps the standby below STANDBY HOT, is named each time, and is asked again.
#[tokio::test]
async fn a_client_on_the_standby_that_never_answers() {
    let (near, far) = path();
    let tables = [table(), notified()];
    let (hangs, kept) = (Arc::new(true.into()), Arc::default());
    let active = fixed(0, &tables[0], Role::Active).link(near);
    let active = active.start().await.unwrap();
    let standby = fixed(1, &tables[1], Role::Standby)
        .notification_timer(TIMER)
        .on_notification(hang(RfState::StandbyCold, &hangs, &kept))
        .link(far);
    let standby = standby.start().await.unwrap();
    let mut events = standby.events();
    for _ in 0..2 {
        let named = event(&mut events, missed).await;
        assert_eq!(named, (NAT, "nat".to_owned(), RfState::StandbyCold));
    }
    let [active, standby] = [(active, 0), (standby, 1)].map(|(node, id)| Unit {
        node,
        table: tables[id].clone(),
    });
    assert_eq!(active.commit(1).await, Committed::Degraded);
    assert_ne!(standby.state(), RfState::StandbyHot);
    hangs.store(false, Ordering::Relaxed);
    // Answers that come too late are harmless, from any thread.
    let late = std::mem::take(&mut *kept.lock());
    let answer = || late.into_iter().for_each(Responder::done);
    std::thread::scope(|scope| scope.spawn(answer).join()).unwrap();
    standby.wait(RfState::StandbyHot).await;
    assert_eq!(active.commit(2).await, Committed::Replicated);
}

/// A takeover does not stop because one client hangs.
#[tokio::test]
async fn a_client_on_the_active_that_never_answers() {
    let table = notified();
    let (hangs, kept) = (Arc::new(true.into()), Arc::default());
    let node = fixed(0, &table, Role::Active)
        .notification_timer(TIMER)
        .on_notification(hang(RfState::ActiveDrain, &hangs, &kept));
    // Subscribed by the time that the node runs: on this one thread it cannot have run yet.
    let node = node.start().await.unwrap();
    let mut events = node.events();
    let named = event(&mut events, missed).await;
    assert_eq!(named, (NAT, "nat".to_owned(), RfState::ActiveDrain));
    Unit { node, table }.wait(RfState::Active).await;
}

#[tokio::test]
async fn a_client_that_says_it_failed_is_named_with_its_words() {
    let table = notified();
    let node = fixed(0, &table, Role::Active).on_notification(|notification, responder| {
        if notification.state == RfState::ActiveDrain {
            responder.failed("the kernel refused 3 policies");
        } else {
            responder.done();
        }
    });
    // Subscribed by the time that the node runs: on this one thread it cannot have run yet.
    let node = node.start().await.unwrap();
    let mut events = node.events();
    let failed = event(&mut events, |event| match event {
        Event::ClientFailed {
            name, state, cause, ..
        } => Some((name.to_string(), state, cause.to_string())),
        _ => None,
    });
    let words = "the kernel refused 3 policies".to_owned();
    assert_eq!(
        failed.await,
        ("nat".to_owned(), RfState::ActiveDrain, words)
    );
    node.wait_for_state(RfState::Active, crate::harness::LIMIT)
        .await
        .unwrap();
}

/// A table that cannot take entries while it is told to fail.
struct Failing {
    inner: Arc<dyn CheckpointClient>,
    fails: AtomicBool,
}

impl CheckpointClient for Failing {
    fn descriptor(&self) -> &ClientDescriptor {
        self.inner.descriptor()
    }

    fn dirty(&self) -> &DirtySet {
        self.inner.dirty()
    }

    fn slot_bound(&self) -> u32 {
        self.inner.slot_bound()
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn encode(&self, slots: &[Slot], sink: &mut EntrySink<'_>) -> usize {
        self.inner.encode(slots, sink)
    }

    fn encode_range(&self, from: u32, to: u32, sink: &mut EntrySink<'_>) -> u32 {
        self.inner.encode_range(from, to, sink)
    }

    fn stage(&self, changes: &Changes<'_>) -> Result<Staged, ApplyError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(ApplyError::Client("the data plane is full".to_owned()));
        }
        self.inner.stage(changes)
    }

    fn apply(&self, staged: Staged) {
        self.inner.apply(staged);
    }

    fn flush(&self) {
        self.inner.flush();
    }

    fn track_removals(&self, on: bool) {
        self.inner.track_removals(on);
    }

    fn take_removals_overflow(&self) -> bool {
        self.inner.take_removals_overflow()
    }

    fn attach(&self, shared: &Arc<Shared>) {
        self.inner.attach(shared);
    }
}

#[tokio::test]
async fn a_client_that_fails_to_apply_keeps_the_unit_from_hot_until_it_recovers() {
    let (near, far) = path();
    let tables = [table(), table()];
    let active = fixed(0, &tables[0], Role::Active)
        .link(near)
        .start()
        .await
        .unwrap();
    let active = Unit {
        node: active,
        table: tables[0].clone(),
    };
    active.wait(RfState::Active).await;
    active.commit(0).await;
    let failing = Arc::new(Failing {
        inner: tables[1].client(),
        fails: true.into(),
    });
    let standby = Node::builder(UnitId::new(1))
        .client(&failing)
        .scheme(Static::new(Role::Standby))
        .link(far)
        .start()
        .await
        .unwrap();
    let mut events = standby.events();
    for _ in 0..2 {
        let error = event(&mut events, |event| match event {
            Event::SyncFailed { error, .. } => Some(error.to_string()),
            _ => None,
        });
        let error = error.await;
        assert!(
            error.contains("nat") && error.contains("the data plane is full"),
            "{error}"
        );
    }
    let standby = Unit {
        node: standby,
        table: tables[1].clone(),
    };
    assert_ne!(standby.state(), RfState::StandbyHot);
    failing.fails.store(false, Ordering::Relaxed);
    standby.wait(RfState::StandbyHot).await;
    assert!(standby.holds(1));

    // The same for a unit that was HOT already: it falls back and recovers.
    failing.fails.store(true, Ordering::Relaxed);
    active.table.insert(1, b"1".to_vec()).unwrap();
    event(&mut events, |event| {
        matches!(event, Event::SyncFailed { .. }).then_some(())
    })
    .await;
    failing.fails.store(false, Ordering::Relaxed);
    standby.wait(RfState::StandbyHot).await;
    bounded(active.table.barrier().unwrap()).await.unwrap();
    assert!(standby.holds(2));
}
