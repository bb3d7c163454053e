//! What a suite is, what it is given and how it fails.

use std::io;
use std::time::Duration;

use crate::report::Report;

/// A group of measures that belong together.
pub trait Suite {
    /// A short name for `--only` and progress lines.
    fn name(&self) -> &'static str;

    /// Measures and adds a row for each figure to `report`.
    ///
    /// # Errors
    /// If a measure could not be taken. The run ends there; earlier rows are still reported.
    fn run(&mut self, context: &mut Context, report: &mut Report) -> Result<(), BenchError>;
}

/// The sizes that all suites share, so that their figures can be compared.
#[derive(Clone, Debug)]
pub struct Context {
    /// How many entries are replicated in full.
    pub entries: u32,
    /// Length of each value in a full resync, in bytes.
    pub value_bytes: usize,
    /// How many incremental updates are sent.
    pub updates: u32,
    /// Length of each value in an incremental update, in bytes.
    pub update_bytes: usize,
    /// How many round trips are timed for a percentile.
    pub round_trips: u32,
    /// How often a measure is repeated; the best counts, since noise only ever slows down.
    pub repeats: u32,
}

impl Context {
    /// The sizes that the aims are stated for.
    #[must_use]
    pub fn full() -> Self {
        Self {
            entries: 1_000_000,
            value_bytes: 300,
            updates: 2_000_000,
            update_bytes: 16,
            round_trips: 50_000,
            repeats: 3,
        }
    }

    /// A tenth of [`full`](Self::full), for a first look.
    #[must_use]
    pub fn quick() -> Self {
        Self {
            entries: 100_000,
            updates: 200_000,
            round_trips: 5_000,
            ..Self::full()
        }
    }

    /// Bytes of all values of a full resync.
    #[must_use]
    pub fn bulk_bytes(&self) -> u64 {
        u64::from(self.entries) * self.value_bytes as u64
    }
}

/// Why a measure could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// A suite failed.
    #[error("suite {name}: {source}")]
    Suite {
        /// The suite.
        name: &'static str,
        /// What failed in it.
        source: Box<BenchError>,
    },
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A program that the measure needs could not be started.
    #[error("{program} cannot be started ({source}); scripts/bench.sh installs it")]
    Missing {
        /// The program.
        program: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A program ended when it should have gone on.
    #[error("{program} ended early ({status}); another process may have taken its port: run again")]
    Exited {
        /// The program.
        program: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// A process did not get where it should within the bound.
    #[error("{what} did not happen within {} s", bound.as_secs())]
    TimedOut {
        /// What was waited for.
        what: String,
        /// For how long.
        bound: Duration,
    },
    /// Redis answered something unexpected.
    #[error("redis answered {reply:?} to {command}")]
    Reply {
        /// What was sent.
        command: String,
        /// The first line of the answer.
        reply: String,
    },
    /// The library, or a unit of the pair, refused or failed.
    #[error("{what}: {cause}")]
    Failed {
        /// What was tried.
        what: String,
        /// Why it failed.
        cause: String,
    },
    /// A thread of the measure panicked.
    #[error("a thread of the measure panicked: {what}")]
    Thread {
        /// What the thread did.
        what: &'static str,
    },
}

impl BenchError {
    /// For `map_err`: an I/O error while doing `what`.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// For `map_err`: an error of the library while doing `what`.
    pub fn failed<E: std::fmt::Display>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |cause| Self::Failed {
            what,
            cause: cause.to_string(),
        }
    }
}

/// Checks `done` each `interval` until it holds or `bound` has passed.
///
/// # Errors
/// [`BenchError::TimedOut`], or what `done` failed with.
pub fn wait_until(
    what: &str,
    interval: Duration,
    bound: Duration,
    mut done: impl FnMut() -> Result<bool, BenchError>,
) -> Result<(), BenchError> {
    let end = std::time::Instant::now() + bound;
    while !done()? {
        if std::time::Instant::now() >= end {
            return Err(BenchError::TimedOut {
                what: what.into(),
                bound,
            });
        }
        std::thread::sleep(interval);
    }
    Ok(())
}

/// Runs a future on this thread.
///
/// # Errors
/// If the system gives no runtime.
pub fn block_on<F: Future>(future: F) -> Result<F::Output, BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(BenchError::io("a runtime"))?;
    Ok(runtime.block_on(future))
}
