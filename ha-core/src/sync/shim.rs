//! Atomics and locks: the real ones, or loom's while a model runs.
//!
//! For this workspace's crates alone: what is here can change in any release.

#[cfg(not(loom))]
pub use self::real::*;

#[cfg(loom)]
pub use self::model::*;

#[cfg(not(loom))]
mod real {
    use core::time::Duration;

    pub use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
    pub use parking_lot::{Condvar, Mutex, MutexGuard};

    /// Waits until `condition` is false, at most for `timeout`. Returns whether it timed out.
    pub fn wait_while_for<T>(
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

    pub use loom::sync::atomic::Ordering;

    /// loom's atomics, each beside a second one that every access touches.
    ///
    /// loom 0.7 reorders an access only against the last one to the same place. After "load, then
    /// maybe write" by one thread that is its own load, and a load by another thread before is never
    /// tried after the write: of some models it explores a single execution. Relaxed
    /// read-modify-writes on the second place order nothing, but conflict each with each.
    macro_rules! atomics {
        ($($name:ident, $value:ty;)*) => {$(
            #[derive(Debug)]
            pub struct $name {
                inner: loom::sync::atomic::$name,
                turn: loom::sync::atomic::AtomicUsize,
            }

            #[allow(dead_code, reason = "not each type needs each operation")]
            impl $name {
                pub fn new(value: $value) -> Self {
                    let turn = loom::sync::atomic::AtomicUsize::new(0);
                    Self { inner: loom::sync::atomic::$name::new(value), turn }
                }

                fn turn(&self) -> &loom::sync::atomic::$name {
                    self.turn.fetch_add(1, Ordering::Relaxed);
                    &self.inner
                }

                pub fn load(&self, order: Ordering) -> $value {
                    self.turn().load(order)
                }

                pub fn store(&self, value: $value, order: Ordering) {
                    self.turn().store(value, order);
                }

                pub fn swap(&self, value: $value, order: Ordering) -> $value {
                    self.turn().swap(value, order)
                }

                pub fn compare_exchange(
                    &self,
                    current: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.turn().compare_exchange(current, new, success, failure)
                }

                pub fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                    self.turn().fetch_or(value, order)
                }

                pub fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                    self.turn().fetch_and(value, order)
                }

                pub fn compare_exchange_weak(
                    &self,
                    current: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.turn().compare_exchange(current, new, success, failure)
                }
            }
        )*};
    }

    atomics! {
        AtomicBool, bool;
        AtomicU8, u8;
        AtomicU32, u32;
        AtomicU64, u64;
    }

    /// What only numbers can do.
    macro_rules! numbers {
        ($($name:ident, $value:ty;)*) => {$(
            #[allow(dead_code, reason = "not each type needs each operation")]
            impl $name {
                pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                    self.turn().fetch_add(value, order)
                }

                pub fn fetch_max(&self, value: $value, order: Ordering) -> $value {
                    self.turn().fetch_max(value, order)
                }
            }
        )*};
    }

    numbers! {
        AtomicU8, u8;
        AtomicU32, u32;
        AtomicU64, u64;
    }

    /// loom's mutex in the manner of parking_lot's.
    #[derive(Debug)]
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
        }
    }

    /// The option is empty only while the guard's thread waits.
    #[derive(Debug)]
    pub struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

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
    pub struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub fn new() -> Self {
            Self(loom::sync::Condvar::new())
        }

        pub fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    /// loom has no time: this one never times out.
    pub fn wait_while_for<T>(
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

/// Explores a model with up to two preemptions, in which nearly all faults show.
#[cfg(loom)]
pub fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(run);
}

/// Counts how often it is woken.
#[cfg(test)]
#[cfg(loom)]
#[derive(Default)]
pub struct CountWakes(core::sync::atomic::AtomicUsize);

#[cfg(test)]
#[cfg(loom)]
impl CountWakes {
    pub fn count(&self) -> usize {
        self.0.load(core::sync::atomic::Ordering::SeqCst)
    }
}

#[cfg(test)]
#[cfg(loom)]
impl std::task::Wake for CountWakes {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, core::sync::atomic::Ordering::SeqCst);
    }
}
