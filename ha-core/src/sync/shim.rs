//! Atomics and locks: the real ones, or loom's while a model runs.

#[cfg(not(loom))]
pub(crate) use self::real::*;

#[cfg(loom)]
pub(crate) use self::model::*;

#[cfg(not(loom))]
mod real {
    use core::time::Duration;

    pub(crate) use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};

    /// Waits until `condition` is false, at most for `timeout`. Returns whether it timed out.
    pub(crate) fn wait_while_for<T>(
        condvar: &Condvar,
        guard: &mut MutexGuard<'_, T>,
        condition: impl Fn(&T) -> bool,
        timeout: Duration,
    ) -> bool {
        condvar
            .wait_while_for(guard, |value| condition(value), timeout)
            .timed_out()
    }
}

#[cfg(loom)]
mod model {
    use core::ops::{Deref, DerefMut};
    use core::time::Duration;
    use std::sync::PoisonError;

    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

    /// loom's mutex in the manner of parking_lot's.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
        }
    }

    /// The option is empty only while the guard's thread waits.
    #[derive(Debug)]
    pub(crate) struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.0.as_ref().expect("held")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().expect("held")
        }
    }

    /// loom's condition variable.
    #[derive(Debug)]
    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(loom::sync::Condvar::new())
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    /// loom has no time: this one never times out.
    pub(crate) fn wait_while_for<T>(
        condvar: &Condvar,
        guard: &mut MutexGuard<'_, T>,
        condition: impl Fn(&T) -> bool,
        _timeout: Duration,
    ) -> bool {
        while condition(guard) {
            if let Some(held) = guard.0.take() {
                guard.0 = Some(condvar.0.wait(held).unwrap_or_else(PoisonError::into_inner));
            }
        }
        false
    }
}

/// Explores a model with up to three preemptions, in which nearly all faults show.
#[cfg(all(test, loom))]
pub(crate) fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

/// Counts how often it is woken.
#[cfg(all(test, loom))]
#[derive(Default)]
pub(crate) struct CountWakes(core::sync::atomic::AtomicUsize);

#[cfg(all(test, loom))]
impl CountWakes {
    pub(crate) fn count(&self) -> usize {
        self.0.load(core::sync::atomic::Ordering::SeqCst)
    }
}

#[cfg(all(test, loom))]
impl std::task::Wake for CountWakes {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, core::sync::atomic::Ordering::SeqCst);
    }
}
