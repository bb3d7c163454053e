//! A promise that the standby holds what was written.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Arc;

use super::shim::{AtomicU8, Condvar, Mutex, Ordering, wait_while_for};

/// Resolves when the standby has applied what was written: output commit.
///
/// Await it, in any runtime, or [`wait`](Self::wait) in a thread, before the outside world sees the
/// new state. Dropping it loses nothing but the answer. One allocation each.
#[derive(Debug)]
#[must_use = "until it resolves, the standby may not hold what was written"]
pub struct Commit {
    state: Arc<State>,
}

/// The other half of a [`Commit`]. Dropped without an answer it resolves to
/// [`CommitError::Stopped`].
#[derive(Debug)]
#[must_use = "dropping it tells the waiter that the node stopped"]
pub struct CommitSender {
    state: Arc<State>,
}

/// How a commit ended well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Committed {
    /// The standby has applied the writes: they survive the loss of this unit.
    Replicated,
    /// There is no standby to hold the writes, and the group's policy is to go on without: they
    /// survive only if this unit does.
    Degraded,
}

/// Why a commit did not end well.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// This unit lost the active role while it waited. Whether the new active unit holds the writes
    /// is unknown: ask it, do not assume that they are absent.
    #[error(
        "the active role was lost before the standby acknowledged; the write may or may not have \
         survived: look it up on the unit that is active now"
    )]
    RoleLost,
    /// The node stopped, or was never started.
    #[error("the node stopped before the standby acknowledged the write")]
    Stopped,
    /// The time given to [`Commit::wait`] is over. The writes may still be replicated later.
    #[error(
        "the standby did not acknowledge in time (is the link congested?); the outcome is open"
    )]
    TimedOut,
}

impl Commit {
    /// A commit and the half that resolves it.
    pub fn new() -> (CommitSender, Self) {
        let state = Arc::new(State {
            outcome: AtomicU8::new(PENDING),
            waiter: Mutex::new(Waiter::Nobody),
            changed: Condvar::new(),
        });
        (
            CommitSender {
                state: state.clone(),
            },
            Self { state },
        )
    }

    /// The commit itself, to be awaited: reads well at the end of a call chain.
    pub fn committed(self) -> Self {
        self
    }

    /// Whether it has resolved.
    pub fn is_done(&self) -> bool {
        self.state.outcome().is_some()
    }

    /// Blocks this thread until the commit resolves, at most for `timeout`.
    ///
    /// # Errors
    /// As for awaiting it, and [`CommitError::TimedOut`].
    pub fn wait(self, timeout: Duration) -> Result<Committed, CommitError> {
        if let Some(outcome) = self.state.outcome() {
            return outcome;
        }
        let mut waiter = self.state.waiter.lock();
        *waiter = Waiter::Thread;
        wait_while_for(
            &self.state.changed,
            &mut waiter,
            |_| self.state.outcome().is_none(),
            timeout,
        );
        self.state.outcome().unwrap_or(Err(CommitError::TimedOut))
    }
}

impl Future for Commit {
    type Output = Result<Committed, CommitError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(outcome) = self.state.outcome() {
            return Poll::Ready(outcome);
        }
        self.state.listen(cx.waker());
        // It may have resolved between the look above and here, and woken nobody.
        self.state.outcome().map_or(Poll::Pending, Poll::Ready)
    }
}

impl CommitSender {
    /// Resolves the commit and wakes who waits for it.
    pub fn resolve(self, outcome: Result<Committed, CommitError>) {
        self.state.resolve(encode(outcome));
    }
}

impl Drop for CommitSender {
    fn drop(&mut self) {
        self.state.resolve(STOPPED);
    }
}

#[derive(Debug)]
struct State {
    outcome: AtomicU8,
    waiter: Mutex<Waiter>,
    changed: Condvar,
}

#[derive(Debug)]
enum Waiter {
    Nobody,
    Task(Waker),
    Thread,
}

impl State {
    fn outcome(&self) -> Option<Result<Committed, CommitError>> {
        decode(self.outcome.load(Ordering::Acquire))
    }

    fn listen(&self, waker: &Waker) {
        let mut waiter = self.waiter.lock();
        if !matches!(&*waiter, Waiter::Task(old) if old.will_wake(waker)) {
            *waiter = Waiter::Task(waker.clone());
        }
    }

    fn resolve(&self, outcome: u8) {
        let order = (Ordering::Release, Ordering::Relaxed);
        if self
            .outcome
            .compare_exchange(PENDING, outcome, order.0, order.1)
            .is_err()
        {
            return;
        }
        // Under the lock, or after it, a waiter sees the outcome; before it, it is woken here.
        let waiter = core::mem::replace(&mut *self.waiter.lock(), Waiter::Nobody);
        match waiter {
            Waiter::Nobody => {}
            Waiter::Task(waker) => waker.wake(),
            Waiter::Thread => {
                self.changed.notify_all();
            }
        }
    }
}

fn encode(outcome: Result<Committed, CommitError>) -> u8 {
    match outcome {
        Ok(Committed::Replicated) => REPLICATED,
        Ok(Committed::Degraded) => DEGRADED,
        Err(CommitError::RoleLost) => ROLE_LOST,
        Err(CommitError::Stopped) => STOPPED,
        Err(CommitError::TimedOut) => TIMED_OUT,
    }
}

fn decode(outcome: u8) -> Option<Result<Committed, CommitError>> {
    match outcome {
        PENDING => None,
        REPLICATED => Some(Ok(Committed::Replicated)),
        DEGRADED => Some(Ok(Committed::Degraded)),
        ROLE_LOST => Some(Err(CommitError::RoleLost)),
        TIMED_OUT => Some(Err(CommitError::TimedOut)),
        _ => Some(Err(CommitError::Stopped)),
    }
}

const PENDING: u8 = 0;
const REPLICATED: u8 = 1;
const DEGRADED: u8 = 2;
const ROLE_LOST: u8 = 3;
const STOPPED: u8 = 4;
const TIMED_OUT: u8 = 5;

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};
    use core::time::Duration;

    use super::{Commit, CommitError, Committed};

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn resolves_a_future() {
        for outcome in [
            Ok(Committed::Replicated),
            Ok(Committed::Degraded),
            Err(CommitError::RoleLost),
            Err(CommitError::Stopped),
            Err(CommitError::TimedOut),
        ] {
            let (sender, commit) = Commit::new();
            let mut commit = pin!(commit.committed());
            let mut cx = Context::from_waker(Waker::noop());
            assert_eq!(commit.as_mut().poll(&mut cx), Poll::Pending);
            assert!(!commit.is_done());
            sender.resolve(outcome);
            assert!(commit.is_done());
            assert_eq!(commit.as_mut().poll(&mut cx), Poll::Ready(outcome));
        }
    }

    #[test]
    fn resolves_a_thread() {
        let (sender, commit) = Commit::new();
        let waiter = std::thread::spawn(move || commit.wait(LONG));
        sender.resolve(Ok(Committed::Replicated));
        assert_eq!(waiter.join().unwrap(), Ok(Committed::Replicated));
    }

    #[test]
    fn a_dropped_sender_means_stopped() {
        let (sender, commit) = Commit::new();
        drop(sender);
        assert_eq!(commit.wait(LONG), Err(CommitError::Stopped));
    }

    #[test]
    fn a_wait_is_bounded() {
        let (_sender, commit) = Commit::new();
        assert_eq!(commit.wait(Duration::ZERO), Err(CommitError::TimedOut));
    }

    #[test]
    fn a_dropped_commit_does_not_disturb_the_sender() {
        let (sender, commit) = Commit::new();
        drop(commit);
        sender.resolve(Ok(Committed::Replicated));
    }
}

#[cfg(test)]
#[cfg(loom)]
mod models {
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};
    use core::time::Duration;
    use std::sync::Arc;

    use loom::sync::atomic::{AtomicU64, Ordering};
    use loom::thread;

    use super::{Commit, Committed};
    use crate::sync::shim::{CountWakes, model};

    const DONE: Result<Committed, super::CommitError> = Ok(Committed::Replicated);

    /// A task that was told to wait is woken, and an outcome carries what was written before it.
    /// Fails if `poll` does not look again after it left its waker, and if the compare-exchange in
    /// `resolve` is relaxed.
    #[test]
    fn loom_a_waiting_task_is_woken() {
        model(|| {
            let (sender, commit) = Commit::new();
            let (wakes, data) = (Arc::new(CountWakes::default()), Arc::new(AtomicU64::new(0)));
            let resolver = thread::spawn({
                let data = data.clone();
                move || {
                    data.store(1, Ordering::Relaxed);
                    sender.resolve(DONE);
                }
            });
            let (mut commit, waker) = (pin!(commit), Waker::from(wakes.clone()));
            let mut cx = Context::from_waker(&waker);
            let first = commit.as_mut().poll(&mut cx);
            if first.is_ready() {
                assert_eq!(data.load(Ordering::Relaxed), 1);
            }
            resolver.join().unwrap();
            assert!(first.is_ready() || wakes.count() > 0);
            assert_eq!(commit.as_mut().poll(&mut cx), Poll::Ready(DONE));
        });
    }

    /// A thread that waits goes on: loom reports a deadlock otherwise. Fails if `wait` does not
    /// look at the outcome under the lock before it sleeps.
    #[test]
    fn loom_a_waiting_thread_is_woken() {
        model(|| {
            let (sender, commit) = Commit::new();
            let resolver = thread::spawn(move || sender.resolve(DONE));
            assert_eq!(commit.wait(Duration::MAX), DONE);
            resolver.join().unwrap();
        });
    }
}
