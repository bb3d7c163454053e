//! `xfrm-mirror`: keeps the kernel's IPsec SAs of a gateway on a second one too, and takes over.
//!
//! - [`config`]: the TOML file
//! - [`daemon`]: the running unit: the node, its links, signals
//! - [`plane`]: the kernel's SAs and the virtual addresses, as the role wants them
//! - [`status`]: the status socket and what is shown over it
//! - [`orders`]: what an operator asks of the node
//! - [`hooks`]: commands that are run when the role changes
#![forbid(unsafe_code)]

mod args;
mod config;
mod daemon;
mod hooks;
mod link;
mod lock;
mod orders;
mod plane;
mod status;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Args, Command, OnOff, Role, Shown};
use config::Settings;
use status::{Order, Request};

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match (args.command, args.config) {
        (Some(command), _) => {
            let (config, request) = request(command);
            ask(&config, &request)
        }
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

fn request(command: Command) -> (PathBuf, Request) {
    match command {
        Command::Status { config, json } => (config, Request::Status { json }),
        Command::Show { config, what } => {
            let request = match what {
                Shown::States => Request::Order(Order::States),
                Shown::History => Request::Order(Order::History),
                Shown::Sa => Request::Sa,
            };
            (config, request)
        }
        Command::Switchover { config } => (config, Request::Switchover),
        Command::Resync { config } => (config, Request::Order(Order::Resync)),
        Command::Maintenance { config, mode } => {
            let on = mode == OnOff::On;
            (config, Request::Order(Order::Maintenance { on }))
        }
        Command::SetRole { config, role } => {
            let active = role == Role::Active;
            (config, Request::Order(Order::SetRole { active }))
        }
        Command::PeerFenced { config } => (config, Request::PeerFenced),
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
