//! `xfrm-mirror`: keeps the kernel's IPsec SAs of a gateway on a second one too, and takes over.
//!
//! - [`config`]: the TOML file
//! - [`daemon`]: the running unit: the node, its links, signals
//! - [`plane`]: the kernel's SAs and the virtual addresses, as the role wants them
//! - [`status`]: the status socket and what is shown over it
//! - [`hooks`]: commands that are run when the role changes
#![forbid(unsafe_code)]

mod args;
mod config;
mod daemon;
mod hooks;
mod link;
mod lock;
mod plane;
mod status;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Args, Command, Shown};
use config::Settings;
use status::Request;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match (args.command, args.config) {
        (Some(Command::Status { config, json }), _) => ask(&config, &Request::Status { json }),
        (Some(Command::Show { config, what }), _) => ask(
            &config,
            &match what {
                Shown::States => Request::States,
                Shown::Sa => Request::Sa,
            },
        ),
        (Some(Command::Switchover { config }), _) => ask(&config, &Request::Switchover),
        (None, Some(config)) if args.check => check(&config),
        (None, Some(config)) => Settings::load(&config)
            .map_err(|error| error.to_string())
            .and_then(|settings| daemon::run(settings).map_err(|error| error.to_string())),
        (None, None) => Err(format!(
            "--config FILE is needed\n\n{}",
            Args::command().render_usage()
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xfrm-mirror: {why}");
            ExitCode::FAILURE
        }
    }
}

fn ask(config: &std::path::Path, request: &Request) -> Result<(), String> {
    // Only the socket is needed: the identity may be readable to the daemon alone.
    let socket = Settings::socket_of(config).map_err(|error| error.to_string())?;
    let answer = status::ask(&socket, request)?;
    say(answer.trim_end())
}

fn check(config: &std::path::Path) -> Result<(), String> {
    let settings = Settings::load(config).map_err(|error| error.to_string())?;
    say(&settings.summary())
}

/// Who reads it may have seen enough: `status | head`.
fn say(text: &str) -> Result<(), String> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.to_string()),
        _ => Ok(()),
    }
}
