//! Two VPN gateways under load, one of which fails again and again: a demonstration.
//!
//! - `lab.rs`: starts everything, breaks one thing after the other
//! - `unit/`: the gateways, each a process of its own that runs this same program
//! - `control.rs`: what the two say to each other
//! - the library of this package: the world around the gateways, which measures and judges
#![forbid(unsafe_code)]

mod control;
mod lab;
mod unit;

use core::fmt::Display;
use core::str::FromStr;
use std::io::{self, BufReader, Write};
use std::process::ExitCode;

use failover::options::{HELP, Options};
use failover::report::Report;
use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::signal::unix::{SignalKind, signal};

use self::lab::Extra;

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == unit::ARGUMENT) {
        return be_unit();
    }
    let extra = match extra(&mut words) {
        Ok(extra) => extra,
        Err(error) => return fail(error),
    };
    match Options::parse(words.into_iter()) {
        Ok(Some(options)) => be_laboratory(&options, &extra),
        Ok(None) => {
            say(&format!("{HELP}{UNIT_HELP}"));
            ExitCode::SUCCESS
        }
        Err(error) => fail(error),
    }
}

/// This process is one of the gateways.
fn be_unit() -> ExitCode {
    // The laboratory ends its units, but it may be killed while one of them is stopped by a signal.
    // Then the kernel does it.
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return fail(error);
    }
    tracing_subscriber::fmt()
        .with_max_level(tracing::level_filters::LevelFilter::INFO)
        .with_ansi(false)
        .with_writer(io::stderr)
        // A full disk must not stop a gateway.
        .log_internal_errors(false)
        .init();
    match unit::run(BufReader::new(io::stdin()), io::stdout(), None) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error),
    }
}

/// 0 if every promise held, 1 if one was broken, 2 if the run could not be finished.
fn be_laboratory(options: &Options, extra: &Extra) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(error),
    };
    // On this thread, which lives as long as the process: the units end with it.
    let report = runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
        // On a signal the laboratory is dropped, and its processes and files with it.
        tokio::select! {
            report = lab::run(options, extra) => report.map_err(|error| error.to_string()),
            _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
            _ = terminated.recv() => Err("terminated".to_owned()),
        }
    });
    match report {
        Ok(report) => conclude(options, &report),
        Err(error) => fail(error),
    }
}

/// Shows the report and writes the files that were asked for.
fn conclude(options: &Options, report: &Report) -> ExitCode {
    say(&format!("\n{report}"));
    let json = options.json.as_deref().map(|path| report.write_json(path));
    let plot = options.plot.as_deref().map(|path| report.write_plot(path));
    for written in [json, plot].into_iter().flatten() {
        if let Err(error) = written {
            return fail(error);
        }
    }
    if report.passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Takes out the options that concern the units and not the world around them; see the README.
fn extra(words: &mut Vec<String>) -> Result<Extra, String> {
    let plant = value(words, "--plant")?;
    let keepalive: Option<String> = value(words, "--keepalive")?;
    let default_keepalives = match keepalive.as_deref() {
        None | Some("fast") => false,
        Some("default") => true,
        Some(other) => {
            return Err(format!(
                "`{other}` is no value for --keepalive: use fast or default"
            ));
        }
    };
    Ok(Extra {
        logs: value(words, "--logs")?,
        default_keepalives,
        plant,
    })
}

fn value<T: FromStr<Err: Display>>(
    words: &mut Vec<String>,
    name: &str,
) -> Result<Option<T>, String> {
    let Some(place) = words.iter().position(|word| word == name) else {
        return Ok(None);
    };
    words.remove(place);
    if place == words.len() {
        return Err(format!("{name} needs a value"));
    }
    let text = words.remove(place);
    let parsed = text.parse();
    parsed
        .map(Some)
        .map_err(|cause| format!("`{text}` is no value for {name}: {cause}"))
}

const UNIT_HELP: &str = "
Of the units:
    --keepalive K   fast: a failure is found within 160 ms, default: 800 ms
    --logs FOLDER   keeps what they log
    --plant P       reuse or no-window: lets them break a promise, to show that it is found
";

fn fail(error: impl Display) -> ExitCode {
    // Not `eprintln`, which panics when standard error is closed.
    let _ = io::stderr().write_all(format!("failover: {error}\n").as_bytes());
    ExitCode::from(2)
}

fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}
