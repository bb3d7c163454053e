//! Threads of the world, and the pace of their traffic.

use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// Switches that all threads of the world look at.
#[derive(Default, Debug)]
pub struct Switches {
    stop: AtomicBool,
    traffic: AtomicBool,
    flood: AtomicBool,
    spread: AtomicBool,
}

impl Switches {
    /// Ends the threads.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether the threads shall end.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Turns the traffic of the remote site and the LAN on or off.
    pub fn set_traffic(&self, on: bool) {
        self.traffic.store(on, Ordering::Relaxed);
    }

    /// Lets the LAN forward packets to both units, as a switch does that has lost track, or hosts
    /// of which some still have the old entry. Then both units of a partition have something to
    /// send under the same keys.
    pub fn set_flood(&self, on: bool) {
        self.flood.store(on, Ordering::Relaxed);
    }

    /// Whether the LAN shall forward packets to both units.
    pub fn has_flood(&self) -> bool {
        self.flood.load(Ordering::Relaxed)
    }

    /// Lets the attacker's packets go to both units, not only to the one that holds the virtual
    /// address.
    pub fn set_spread(&self, on: bool) {
        self.spread.store(on, Ordering::Relaxed);
    }

    /// Whether the attacker's packets go to both units.
    pub fn has_spread(&self) -> bool {
        self.spread.load(Ordering::Relaxed)
    }

    /// Whether the remote site and the LAN shall send.
    pub fn has_traffic(&self) -> bool {
        self.traffic.load(Ordering::Relaxed)
    }
}

/// A thread of the world; ends with its value.
#[derive(Debug)]
pub struct Site {
    name: &'static str,
    switches: Arc<Switches>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Site {
    /// Runs `work` in a thread with a tokio runtime of its own.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn spawn<F, W>(name: &'static str, switches: &Arc<Switches>, work: W) -> io::Result<Self>
    where
        F: Future<Output = io::Result<()>>,
        W: FnOnce() -> F + Send + 'static,
    {
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?
                    .block_on(async move { work().await })
            })?;
        Ok(Self {
            name,
            switches: Arc::clone(switches),
            thread: Some(thread),
        })
    }

    /// The error that ended the thread, if one did.
    ///
    /// # Errors
    /// That error, with the name of the thread.
    pub fn check(&mut self) -> io::Result<()> {
        match self.thread.take_if(|thread| thread.is_finished()) {
            None => Ok(()),
            Some(thread) => {
                let ended = thread
                    .join()
                    .unwrap_or_else(|_| Err(io::Error::other("panic")));
                let error = ended.err().unwrap_or_else(|| io::Error::other("it ended"));
                Err(io::Error::other(format!("the {}: {error}", self.name)))
            }
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.switches.stop();
        if let Some(thread) = self.thread.take() {
            // Its error was shown by `check` or is of no interest any more.
            let _ = thread.join();
        }
    }
}

/// Lets packets leave at a steady rate.
#[derive(Debug)]
pub struct Pacer {
    rate: u64,
    /// Packets × 10^9 that are due.
    credit: u64,
    last_ns: Option<u64>,
}

impl Pacer {
    /// At most this many packets at once: 50 ms of them, at least one.
    const MAX_BURST_NS: u64 = 50_000_000;

    /// A pacer for `rate` packets per second.
    pub fn new(rate: u32) -> Self {
        Self {
            rate: u64::from(rate),
            credit: 0,
            last_ns: None,
        }
    }

    /// How many packets are due. What a late thread could not send is not made up for beyond
    /// 50 ms: bursts are no load that anybody has.
    pub fn due(&mut self, now_ns: u64) -> u64 {
        let last = self.last_ns.replace(now_ns).unwrap_or(now_ns);
        let elapsed = now_ns.saturating_sub(last).min(Self::MAX_BURST_NS);
        self.credit += elapsed * self.rate;
        let due = self.credit / 1_000_000_000;
        self.credit %= 1_000_000_000;
        due
    }

    /// Forgets the time that passed without traffic.
    pub fn pause(&mut self) {
        self.last_ns = None;
    }
}

/// Ticks each millisecond, and does not hurry after a delay.
pub fn ticks() -> Interval {
    let mut ticks = interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_kept_to_the_packet() {
        let mut pacer = Pacer::new(3333);
        let sent: u64 = (0..=10_000).map(|ms| pacer.due(ms * 1_000_000)).sum();
        assert_eq!(sent, 33_330);
    }

    #[test]
    fn a_late_thread_does_not_make_up_for_everything() {
        let mut pacer = Pacer::new(1000);
        assert_eq!(pacer.due(5), 0);
        assert_eq!(pacer.due(5 + 10_000_000_000), 50);
        pacer.pause();
        assert_eq!(pacer.due(30_000_000_000), 0);
        assert_eq!(pacer.due(30_001_000_000), 1);
    }
}
