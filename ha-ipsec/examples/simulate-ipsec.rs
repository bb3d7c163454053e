//! Explores seeds of the simulation of gateways (P1 and P2, with P3 to P6), or replays one.
//!
//! ```text
//! cargo run --release -p ha-ipsec --features sim --example simulate-ipsec -- --seeds 10000
//! cargo run --release -p ha-ipsec --features sim --example simulate-ipsec -- --seed 4711
//! ```

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ha_core::sim::{Failure, SimConfig};
use ha_ipsec::sim::{Counts, Planted, run};

const USAGE: &str = "\
usage: simulate-ipsec [--seeds N] [--start N] [--jobs N] [--plant FAULT]   explore seeds
       simulate-ipsec --seed N [--plant FAULT]                             replay one with a trace
FAULT is a protection to leave out:";

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
            let faults = Planted::all().into_iter().map(|(name, _)| name);
            eprintln!("{error}\n{USAGE} {}", faults.collect::<Vec<_>>().join(", "));
            return ExitCode::from(2);
        }
    };
    match options.seed {
        Some(seed) => replay(seed, &options),
        None => explore(&options),
    }
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
    match run(seed, options.planted, Some(trace)) {
        Ok(Counts { pair, packets }) => {
            print!("{pair}{packets}");
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
    found: Mutex<(Counts, Vec<Failure>)>,
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
    let (counts, mut failures) = progress
        .found
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let Counts { pair, packets } = &counts;
    print!("{pair}{packets}");
    failures.sort_by_key(|failure| failure.seed);
    report(options, &counts, &failures)
}

fn work(options: &Options, progress: &Progress) {
    loop {
        let seed = progress.next.fetch_add(1, Ordering::Relaxed);
        if seed >= options.start + options.seeds {
            return;
        }
        let result = run(seed, options.planted, None);
        let mut found = progress
            .found
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(counts) => found.0.add(&counts),
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

fn report(options: &Options, counts: &Counts, failures: &[Failure]) -> ExitCode {
    for failure in failures.iter().take(10) {
        let plant = options
            .plant
            .as_ref()
            .map_or_else(String::new, |p| format!(" --plant {p}"));
        println!("\n{failure}");
        println!(
            "  replay: cargo run --release -p ha-ipsec --features sim --example simulate-ipsec -- \
             --seed {}{plant}",
            failure.seed
        );
    }
    let missing = counts.missing();
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
        self.planted =
            Planted::named(&fault).ok_or_else(|| format!("--plant {fault}: no such protection"))?;
        self.plant = Some(fault);
        Ok(())
    }
}
