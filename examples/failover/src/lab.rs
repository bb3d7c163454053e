//! The laboratory: starts the units and the world around them, and breaks one thing after the
//! other.
//!
//! - [`pair`]: the units and the link between them; [`process`]: one unit; [`cable`]: the link
//! - [`screen`]: what is shown while it works
//!
//! What the units say of themselves is used for one thing only: to know when the pair is whole
//! again, so that the next failure meets a pair and not half of one.

mod cable;
mod pair;
mod process;
mod screen;

use core::time::Duration;
use std::path::PathBuf;

use failover::observer::FaultKind;
use failover::options::{Inbound, Options};
use failover::report::{FailureReport, Report};
use failover::wire::Gateway;
use failover::world::{World, WorldError};

use self::pair::{Common, Pair};
use self::screen::Screen;
use crate::control::{Install, Plant};

pub(crate) use cable::MemoryEnd;

/// What a run can be told beside its [`Options`].
#[derive(Clone, Default, Debug)]
pub(crate) struct Extra {
    /// Where the units' logs are kept, beyond the run.
    pub(crate) logs: Option<PathBuf>,
    /// Failures are found within 800 ms, as by default in the library, rather than 160 ms.
    pub(crate) default_keepalives: bool,
    /// A protection that the units leave out, to show that the checks find it.
    pub(crate) plant: Option<Plant>,
}

/// Why a run could not be finished. That a promise was broken is no error here but a result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LabError {
    #[error("{what}: {source}")]
    System {
        what: &'static str,
        source: std::io::Error,
    },
    #[error("the key pair of a unit: {0}")]
    Identity(String),
    #[error("unit {unit} failed: {why}")]
    UnitFailed { unit: Gateway, why: String },
    #[error("{what} did not come about in time; the units are {states}")]
    Late { what: &'static str, states: String },
    #[error("{0}")]
    World(#[from] WorldError),
    #[error("{cause}\n{logs}")]
    WithLogs { cause: Box<LabError>, logs: String },
}

impl LabError {
    fn system(what: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

/// Does a whole run. What it starts ends with it, also when it is dropped half way.
///
/// # Errors
/// When it could not be finished, for another reason than a broken promise.
pub(crate) async fn run(options: &Options, extra: &Extra) -> Result<Report, LabError> {
    let directory = tempfile::tempdir().map_err(LabError::system("a folder for keys and logs"))?;
    let world = World::start(options)?;
    let common = Common {
        transport: options.transport,
        fast_keepalives: !extra.default_keepalives,
        outside: world.outside(),
        inside: world.inside(),
        sas: options.sas,
        peers: options.peers,
        plant: extra.plant,
    };
    let mut lab = Lab {
        pair: Pair::start(
            &common,
            directory.path(),
            extra.logs.as_deref().unwrap_or(directory.path()),
        )?,
        world,
        screen: Screen::new(),
    };
    match lab.demonstrate(options).await {
        Ok(()) => Ok(lab.world.finish(options).await?),
        Err(cause) => Err(LabError::WithLogs {
            cause: Box::new(cause),
            logs: lab.pair.log_tails(),
        }),
    }
}

struct Lab {
    // Dropped in this order: no unit outlives the world.
    pair: Pair,
    world: World,
    screen: Screen,
}

impl Lab {
    async fn demonstrate(&mut self, options: &Options) -> Result<(), LabError> {
        self.set_up(options).await?;
        let faults = options.faults();
        for (index, kind) in faults.iter().enumerate() {
            let number = format!("{}/{}", index + 1, faults.len());
            let report = self.fail(*kind, &number).await?;
            self.screen.line(&format!("{number} {}", summary(&report)));
        }
        Ok(())
    }

    /// Two units, all SAs on both, and traffic on each SA.
    async fn set_up(&mut self, options: &Options) -> Result<(), LabError> {
        let link = options.transport.name();
        let whole = self.pair.whole("a redundant pair");
        let text = format!("two units start, linked over {link}");
        let active = self.screen.watch(&text, whole).await?;
        let install = Install {
            seed: options.seed,
            esn: options.esn,
            resume: options.inbound == Inbound::Resume,
        };
        let sas = options.sas;
        let text = format!("{sas} SA pairs with {} peers are set up", options.peers);
        let installed = self.pair.install(active, install);
        self.screen.watch(&text, installed).await?;
        self.screen.line(&format!(
            "unit {active} is ACTIVE, unit {} STANDBY HOT, {sas} SA pairs on both",
            active.other()
        ));
        self.world.set_traffic(true);
        Ok(())
    }

    /// One failure: from a pair that is whole, under load, to one that is so again.
    async fn fail(&mut self, kind: FaultKind, number: &str) -> Result<FailureReport, LabError> {
        let text = format!("{number} traffic");
        self.screen.watch(&text, self.world.until_steady()).await?;
        let active = self.pair.whole("a redundant pair").await?;
        self.world.begin(kind, active)?;
        let text = format!("{number} {kind} of unit {active}: takeover");
        self.damage(kind, active).await?;
        let recovered = self.world.until_recovered(TAKEOVER_LIMIT);
        // Whether it did is in the report.
        self.screen.watch(&text, recovered).await?;
        self.repair(kind, active)?;
        let text = format!("{number} {kind} of unit {active}: resync");
        let whole = self.pair.whole("a pair that is redundant again");
        self.screen.watch(&text, whole).await?;
        let text = format!("{number} {kind} of unit {active}: replays, and what they did");
        Ok(self.screen.watch(&text, self.world.conclude()).await?)
    }

    async fn damage(&mut self, kind: FaultKind, active: Gateway) -> Result<(), LabError> {
        match kind {
            FaultKind::Crash => self.pair.kill(active),
            FaultKind::Hang => self.pair.stop(active),
            FaultKind::Partition => {
                self.pair.set_cut(true);
                Ok(())
            }
            FaultKind::Switchover => self.pair.switch_over(active).await,
        }
    }

    fn repair(&mut self, kind: FaultKind, failed: Gateway) -> Result<(), LabError> {
        match kind {
            FaultKind::Crash => self.pair.restart(failed),
            FaultKind::Hang => self.pair.go_on(failed),
            FaultKind::Partition => {
                self.pair.set_cut(false);
                Ok(())
            }
            FaultKind::Switchover => Ok(()),
        }
    }
}

fn summary(report: &FailureReport) -> String {
    let FailureReport {
        kind,
        failed_unit,
        packets_lost_in_outage: lost,
        replays_accepted: accepted,
        replays_injected: injected,
        sequence_numbers_reused: reused,
        sas_before,
        sas_after,
        ..
    } = report;
    let back = report.takeover_ms.map_or_else(
        || "traffic did not come back".to_owned(),
        |ms| format!("traffic back after {ms:.1} ms"),
    );
    format!(
        "{kind} of unit {failed_unit}: {back}, {lost} packets lost, {sas_after} of {sas_before} SA \
         pairs, {accepted} of {injected} replays accepted, {reused} numbers reused"
    )
}

/// Longest time for traffic to come back: far more than any detection takes.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(10);
