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
    /// Has the active unit send everything again; to be asked of the standby (Cisco: `clear crypto …
    /// standby`).
    Resync {
        /// The TOML file: it names the status socket.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Enters or leaves maintenance mode: the unit takes the active role by command alone.
    Maintenance {
        /// The TOML file: it names the status socket.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Whether it is in maintenance.
        #[arg(value_enum)]
        mode: OnOff,
    },
    /// Takes the active role, or gives it up, when `switchover` cannot: the other unit is not there, or
    /// the roles are static.
    SetRole {
        /// The TOML file: it names the status socket.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The role.
        #[arg(value_enum)]
        role: Role,
    },
    /// Tells the active unit that the other one is certainly off: its power was cut, or its lease ended
    /// with its process. Numbers that were set apart for it may be used then.
    ///
    /// For fencing agents. Never say it of a unit that merely cannot be reached: it may be active.
    PeerFenced {
        /// The TOML file: it names the status socket.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
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
    /// `show redundancy history`.
    History,
    /// `show crypto ipsec sa`.
    Sa,
}

/// A mode's two states.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OnOff {
    On,
    Off,
}

/// What a unit can be told to be.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Active,
    Standby,
}
