//! Explores seeds of the simulator, or replays one with a trace.
//!
//! ```text
//! cargo run --release -p ha-core --features sim --example simulate -- --seeds 10000
//! cargo run --release -p ha-core --features sim --example simulate -- --seed 4711
//! ```

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ha_core::node::Planted;
use ha_core::sim::{Coverage, Failure, Registers, SimConfig, Simulation};

const USAGE: &str = "\
usage: simulate [--seeds N] [--start N] [--jobs N] [--plant FAULT]   explore seeds
       simulate --seed N [--plant FAULT]                             replay one with a trace
FAULT is a protection to leave out: no_digest, no_fencing, no_tombstones or no_credit";

/// What the command line asks for.
struct Options {
    seed: Option<u64>,
    start: u64,
    seeds: u64,
    jobs: usize,
    plant: Option<String>,
    planted: Planted,
}

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match options.seed {
        Some(seed) => replay(seed, &options),
        None => explore(&options),
    }
}

fn simulation(seed: u64, planted: Planted) -> Simulation {
    let mut config = SimConfig::from_seed(seed);
    config.planted = planted;
    Simulation::new(config, Box::new(Registers::from_seed(seed)))
}

fn replay(seed: u64, options: &Options) -> ExitCode {
    let config = SimConfig::from_seed(seed);
    println!("{config:#?}");
    let trace = Box::new(|at: ha_core::time::Time, unit: Option<usize>, text: &str| {
        let unit = unit.map_or_else(|| "  world".to_owned(), |unit| format!(" unit {unit}"));
        println!(
            "{:>9}.{:03} ms {unit}  {text}",
            at.as_millis(),
            at.as_nanos() / 1000 % 1000
        );
    });
    match simulation(seed, options.planted).traced(trace).run() {
        Ok(coverage) => {
            print!("{coverage}");
            println!("seed {seed} keeps all promises");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// What the threads share.
struct Progress {
    next: AtomicU64,
    done: AtomicU64,
    /// Coverage, and the failure of the lowest seed.
    found: Mutex<(Coverage, Vec<Failure>)>,
}

fn explore(options: &Options) -> ExitCode {
    let progress = Progress {
        next: AtomicU64::new(options.start),
        done: AtomicU64::new(0),
        found: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| work(options, &progress));
        }
        scope.spawn(|| show(options, &progress));
    });
    let (coverage, mut failures) = progress
        .found
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    print!("{coverage}");
    failures.sort_by_key(|failure| failure.seed);
    report(options, &coverage, &failures)
}

fn work(options: &Options, progress: &Progress) {
    loop {
        let seed = progress.next.fetch_add(1, Ordering::Relaxed);
        if seed >= options.start + options.seeds {
            return;
        }
        let result = simulation(seed, options.planted).run();
        let mut found = progress
            .found
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(coverage) => found.0.add(&coverage),
            Err(failure) => found.1.push(failure),
        }
        progress.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Shows how far it is, until all is done.
fn show(options: &Options, progress: &Progress) {
    loop {
        let done = progress.done.load(Ordering::Relaxed);
        let failed = progress
            .found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .len();
        if std::io::stderr().is_terminal() {
            eprint!("\r{done} of {} seeds, {failed} failed", options.seeds);
            let _ = std::io::stderr().flush();
        }
        if done >= options.seeds {
            eprintln!("\r{done} of {} seeds, {failed} failed", options.seeds);
            return;
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

fn report(options: &Options, coverage: &Coverage, failures: &[Failure]) -> ExitCode {
    for failure in failures.iter().take(10) {
        let plant = options
            .plant
            .as_ref()
            .map_or_else(String::new, |p| format!(" --plant {p}"));
        println!("\n{failure}");
        println!(
            "  replay: cargo run --release -p ha-core --features sim --example simulate -- \
             --seed {}{plant}",
            failure.seed
        );
    }
    let missing = coverage.missing();
    if !failures.is_empty() {
        println!("\n{} of {} seeds failed", failures.len(), options.seeds);
        return ExitCode::FAILURE;
    }
    if !missing.is_empty() {
        println!(
            "\nnever exercised, so not shown to work: {}",
            missing.join(", ")
        );
        return ExitCode::FAILURE;
    }
    println!("{} seeds keep all promises", options.seeds);
    ExitCode::SUCCESS
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let planted = Planted::default();
        let mut options = Self {
            seed: None,
            start: 1,
            seeds: 1000,
            jobs,
            plant: None,
            planted,
        };
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            let number = value
                .parse()
                .map_err(|_| format!("{name} {value}: not a number"));
            match name.as_str() {
                "--seed" => options.seed = Some(number?),
                "--start" => options.start = number?,
                "--seeds" => options.seeds = number?,
                "--jobs" => options.jobs = usize::try_from(number?).map_or(1, |jobs| jobs.max(1)),
                "--plant" => options.plant(value)?,
                _ => return Err(format!("{name} is unknown")),
            }
        }
        Ok(options)
    }

    fn plant(&mut self, fault: String) -> Result<(), String> {
        let place = match fault.as_str() {
            "no_digest" => &mut self.planted.no_digest,
            "no_fencing" => &mut self.planted.no_fencing,
            "no_tombstones" => &mut self.planted.no_tombstones,
            "no_credit" => &mut self.planted.no_credit,
            _ => return Err(format!("--plant {fault}: no such protection")),
        };
        *place = true;
        self.plant = Some(fault);
        Ok(())
    }
}
