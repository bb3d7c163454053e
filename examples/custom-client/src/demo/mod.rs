//! Starts two units, kills them in turn while clients write, and checks that nothing that was
//! committed is lost.
//!
//! Every figure is observed from outside, through the units' sockets.

mod client;
mod ledger;
mod process;
mod report;
mod writers;

use core::time::Duration;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

use self::client::Client;
use self::ledger::{Comparison, PROBE, read_list};
use self::process::Pair;
use self::report::{Report, Row};
use self::writers::{Progress, Writer, Writers};
use crate::args::{Args, Error};
use crate::unit::TransportKind;

/// How the demonstration is to run.
pub(crate) struct Options {
    /// How many mappings are written.
    mappings: usize,
    /// How long clients write, in all.
    seconds: u64,
    transport: TransportKind,
    /// Whether failures are detected in 160 ms rather than 800 ms.
    fast: bool,
}

impl Options {
    /// Reads the command line.
    pub(crate) fn parse(mut args: Args) -> Result<Self, Error> {
        let options = Self {
            mappings: args.value("--mappings")?.unwrap_or(10_000),
            seconds: args.value("--seconds")?.unwrap_or(9),
            transport: args.value("--transport")?.unwrap_or(TransportKind::Tcp),
            fast: args.flag("--fast"),
        };
        args.finish()?;
        if !(1..=MAX_MAPPINGS).contains(&options.mappings) {
            return Err(Error::other(format!(
                "--mappings must be 1 to {MAX_MAPPINGS}"
            )));
        }
        Ok(options)
    }
}

const MAX_MAPPINGS: usize = 100_000;
/// Longest time for the other unit to serve.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(20);
/// How often it is tried.
const PROBE_INTERVAL: Duration = Duration::from_millis(1);
/// Longest time for all mappings to be written once.
const FILL_LIMIT: Duration = Duration::from_secs(60);
/// How often progress is shown.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Runs the demonstration; fails if anything committed was lost.
pub(crate) async fn run(options: Options) -> Result<ExitCode, Error> {
    let mut terminated = signal(SignalKind::terminate()).map_err(Error::other)?;
    // On a signal the demonstration is dropped, and its processes and files with it.
    tokio::select! {
        outcome = demonstrate(&options) => outcome,
        _ = tokio::signal::ctrl_c() => Err(Error::other("interrupted")),
        _ = terminated.recv() => Err(Error::other("terminated")),
    }
}

async fn demonstrate(options: &Options) -> Result<ExitCode, Error> {
    let directory = tempfile::tempdir().map_err(Error::other)?;
    let pair = Pair::start(options, directory.path())?;
    let mut demo = Demo {
        pair,
        writers: Writer::all(options.mappings),
        progress: Arc::default(),
        report: Report::default(),
        phase: Duration::from_secs(options.seconds) / 3,
        mappings: options.mappings as u64,
    };
    if let Err(error) = demo.run(options).await {
        demo.report.end_line();
        return Err(Error::other(format!("{error}\n{}", demo.pair.log_tails())));
    }
    demo.report.print();
    Ok(if demo.report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The state of the demonstration.
struct Demo {
    pair: Pair,
    /// While they do not write.
    writers: Vec<Writer>,
    progress: Arc<Progress>,
    report: Report,
    /// How long clients write before each failure.
    phase: Duration,
    mappings: u64,
}

/// How the active unit loses its role.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failure {
    Kill,
    Switchover,
}

impl Demo {
    async fn run(&mut self, options: &Options) -> Result<(), Error> {
        let link = options.transport.name();
        self.report
            .line(&format!("two units start, linked over {link} with TLS 1.3"));
        let (mut active, _) = self.pair.wait_until_redundant().await?;
        for failure in [Failure::Kill, Failure::Kill, Failure::Switchover] {
            active = self.round(active, failure).await?;
        }
        Ok(())
    }

    /// Clients write, the other unit becomes STANDBY HOT, the active one fails while they write,
    /// and the other is checked. Returns that.
    async fn round(&mut self, active: usize, failure: Failure) -> Result<usize, Error> {
        let standby = 1 - active;
        let written = self.progress.written.load(Ordering::Relaxed);
        let socket = self.pair.units[active].socket.clone();
        let writing = Writers::start(core::mem::take(&mut self.writers), &socket, &self.progress);
        self.pair.units[standby].ensure_running()?;
        let (still_active, redundant_since) = self.pair.wait_until_redundant().await?;
        if still_active != active {
            return Err(Error::other(format!(
                "unit {active} lost the role by itself"
            )));
        }
        self.report.line(&format!(
            "unit {active} is ACTIVE, unit {standby} is STANDBY HOT"
        ));
        self.write_on().await?;
        let takeover = self.fail(active, failure).await?;
        self.writers = writing.finish().await?;
        let comparison = self.compare(standby, redundant_since).await?;
        let what = match failure {
            Failure::Kill => format!("unit {active} killed with SIGKILL"),
            Failure::Switchover => format!("switchover {active} to {standby}"),
        };
        let writes = self.progress.written.load(Ordering::Relaxed) - written;
        self.report.row(Row {
            what,
            takeover,
            writes,
            comparison,
        });
        Ok(standby)
    }

    /// Lets the clients write for a phase, and at least until each mapping was written once.
    async fn write_on(&mut self) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            let passed = begun.elapsed();
            let written = self.progress.written.load(Ordering::Relaxed);
            self.report.progress(written);
            if passed >= self.phase && written >= self.mappings {
                return Ok(());
            }
            if passed >= self.phase + FILL_LIMIT {
                return Err(Error::other(format!(
                    "only {written} writes were answered in time"
                )));
            }
            sleep(PROGRESS_INTERVAL).await;
        }
    }

    /// Takes the role from the active unit; returns how long it took until the other one had
    /// accepted a write.
    async fn fail(&mut self, active: usize, failure: Failure) -> Result<Duration, Error> {
        let mut probe = Client::connect(&self.pair.units[1 - active].socket)
            .await
            .map_err(Error::other)?;
        let mut command = Client::connect(&self.pair.units[active].socket)
            .await
            .map_err(Error::other)?;
        let begun = Instant::now();
        let switchover = async {
            if failure == Failure::Switchover {
                let answer = command.ask("SWITCHOVER").await.map_err(Error::other)?;
                if !answer.starts_with("OK") {
                    return Err(Error::other(format!("SWITCHOVER: {answer}")));
                }
            }
            Ok(())
        };
        if failure == Failure::Kill {
            self.pair.units[active].kill().map_err(Error::other)?;
        }
        let (takeover, switched) = tokio::join!(served(&mut probe, begun), switchover);
        switched?;
        takeover
    }

    /// Reads back everything from a unit and compares it with what the clients wrote.
    async fn compare(
        &mut self,
        unit: usize,
        redundant_since: Instant,
    ) -> Result<Comparison, Error> {
        let socket = &self.pair.units[unit].socket;
        let mut client = Client::connect(socket).await.map_err(Error::other)?;
        let lines = client.ask_lines("LIST").await.map_err(Error::other)?;
        let unreadable = || Error::other("LIST gave something that is no mapping");
        let mut held = read_list(&lines).ok_or_else(unreadable)?;
        held.remove(&PROBE);
        let mut sum = Comparison::default();
        for writer in &mut self.writers {
            sum += writer.ledger.compare(&mut held, redundant_since);
        }
        // What nobody wrote.
        sum.differ += held.len();
        Ok(sum)
    }
}

/// Writes until the unit accepts it.
async fn served(probe: &mut Client, begun: Instant) -> Result<Duration, Error> {
    let write = format!("ADD {PROBE} 10.0.0.1:1 probe");
    let accepted = async {
        loop {
            let answer = probe.ask(&write).await.map_err(Error::other)?;
            if answer.starts_with("OK") {
                return Ok(begun.elapsed());
            }
            sleep(PROBE_INTERVAL).await;
        }
    };
    let late = |_| Error::other(format!("no takeover within {} s", TAKEOVER_LIMIT.as_secs()));
    timeout(TAKEOVER_LIMIT, accepted).await.map_err(late)?
}
