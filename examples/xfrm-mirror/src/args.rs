//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Mirrors the kernel's IPsec SAs to a second gateway, and takes over when the first one dies.
///
/// Without a command it runs in the foreground until SIGTERM, which hands the active role over first.
/// SIGHUP reads the file again, SIGUSR1 writes the status to the log.
#[derive(Parser, Debug)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    /// The TOML file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Only reads the file, checks it and the identity, and says what would be done.
    #[arg(long, requires = "config")]
    pub(crate) check: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Where the running daemon stands.
    Status {
        /// The TOML file: it names the status socket.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// As JSON, on one line.
        #[arg(long)]
        json: bool,
    },
    /// What the running daemon knows of the redundancy facility, as Cisco shows it.
    Show {
        /// The TOML file: it names the status socket.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// What to show.
        #[arg(value_enum)]
        what: Shown,
    },
    /// Gives the active role to the other unit.
    Switchover {
        /// The TOML file: it names the status socket.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

/// What `show` shows.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shown {
    /// `show redundancy states`.
    States,
    /// `show crypto ipsec sa`.
    Sa,
}
