//! Wakes the one thread that runs a node.

use core::task::{Context, Poll, Waker};

use super::shim::{AtomicBool, Mutex, Ordering};

/// A bell that any thread rings and one thread, or one task, listens to.
///
/// Rings that nobody has heard yet are one ring. A ring is never lost: what a thread wrote before
/// [`ring`](Self::ring) is seen by whoever takes the ring afterwards.
///
/// With several listeners only the last one that polled is woken.
#[derive(Debug)]
pub struct Doorbell {
    rung: AtomicBool,
    listener: Mutex<Option<Waker>>,
}

impl Doorbell {
    /// A bell that has not been rung.
    pub fn new() -> Self {
        Self {
            rung: AtomicBool::new(false),
            listener: Mutex::new(None),
        }
    }

    /// Rings. One atomic operation if a ring is waiting to be heard already; the listener is woken,
    /// which may be a system call, only by the first ring.
    #[inline]
    pub fn ring(&self) {
        // A swap even if it looks rung: with a mere load the ringer's write before it and the
        // listener's read after taking an older ring could pass each other, and the write would
        // be seen only at the next ring.
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        let listener = self.listener.lock().take();
        if let Some(listener) = listener {
            listener.wake();
        }
    }

    /// Hears the ring, if there was one. Returns whether there was.
    pub fn take(&self) -> bool {
        self.rung.swap(false, Ordering::AcqRel)
    }

    /// Hears the ring, or has the task of `cx` woken by the next one.
    pub fn poll_rung(&self, cx: &Context<'_>) -> Poll<()> {
        if self.take() {
            return Poll::Ready(());
        }
        self.listen(cx.waker());
        // A ring between the look above and here found no listener, or an older one.
        if self.take() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn listen(&self, waker: &Waker) {
        let mut listener = self.listener.lock();
        if !listener.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *listener = Some(waker.clone());
        }
    }
}

impl Default for Doorbell {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use core::task::{Context, Poll, Waker};
    use std::sync::Arc;
    use std::task::Wake;

    use super::Doorbell;

    struct Unpark(std::thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    #[test]
    fn rings_coalesce_until_heard() {
        let bell = Doorbell::new();
        assert!(!bell.take());
        bell.ring();
        bell.ring();
        assert!(bell.take());
        assert!(!bell.take());
    }

    #[test]
    fn polling_consumes_the_ring() {
        let bell = Doorbell::new();
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(bell.poll_rung(&cx), Poll::Pending);
        bell.ring();
        assert_eq!(bell.poll_rung(&cx), Poll::Ready(()));
        assert_eq!(bell.poll_rung(&cx), Poll::Pending);
    }

    #[test]
    fn a_parked_listener_hears_every_writer() {
        let bell = Arc::new(Doorbell::new());
        let total = Arc::new(core::sync::atomic::AtomicU64::new(0));
        const EACH: u64 = 10_000;
        let ringers: Vec<_> = (0..3)
            .map(|_| {
                let (bell, total) = (bell.clone(), total.clone());
                std::thread::spawn(move || {
                    for _ in 0..EACH {
                        total.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
                        bell.ring();
                    }
                })
            })
            .collect();
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let cx = Context::from_waker(&waker);
        // Ends only if the last ring is heard; a lost one would park for ever.
        while total.load(core::sync::atomic::Ordering::Relaxed) < 3 * EACH {
            while bell.poll_rung(&cx).is_pending() {
                std::thread::park();
            }
        }
        ringers
            .into_iter()
            .for_each(|ringer| ringer.join().unwrap());
    }
}

#[cfg(test)]
#[cfg(loom)]
mod models {
    use core::task::{Context, Waker};
    use std::sync::Arc;

    use loom::sync::atomic::{AtomicU64, Ordering};
    use loom::thread;

    use super::Doorbell;
    use crate::sync::shim::{CountWakes, model};

    /// A listener that was told to wait is woken. Fails if `poll_rung` looks only once, before it
    /// leaves its waker.
    #[test]
    fn loom_no_ring_is_lost() {
        model(|| {
            let (bell, wakes) = (Arc::new(Doorbell::new()), Arc::new(CountWakes::default()));
            let ringer = thread::spawn({
                let bell = bell.clone();
                move || bell.ring()
            });
            let waker = Waker::from(wakes.clone());
            let heard = bell.poll_rung(&Context::from_waker(&waker)).is_ready();
            ringer.join().unwrap();
            assert!(heard || wakes.count() > 0);
        });
    }

    /// Who takes the last ring sees what was written before it. Fails if `ring` returns early when
    /// a load says that the bell is rung already, and if the swap in `ring` is relaxed.
    #[test]
    fn loom_a_ring_carries_what_was_written() {
        model(|| {
            let (bell, data) = (Arc::new(Doorbell::new()), Arc::new(AtomicU64::new(0)));
            let ringer = thread::spawn({
                let (bell, data) = (bell.clone(), data.clone());
                move || {
                    for value in 1..=2 {
                        data.store(value, Ordering::Relaxed);
                        bell.ring();
                    }
                }
            });
            let mut seen = 0;
            for _ in 0..2 {
                if bell.take() {
                    seen = data.load(Ordering::Relaxed);
                    assert_ne!(seen, 0, "heard, but what was written is not there");
                }
            }
            // The look may have come first: then a ring is still there.
            if seen != 2 {
                let ring_waits = {
                    ringer.join().unwrap();
                    bell.take()
                };
                assert!(ring_waits, "saw {seen}, and nothing rings for the rest");
            }
        });
    }
}
