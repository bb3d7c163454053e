//! A replicated port-mapping table: how to make a program's own state survive a takeover.
//!
//! - `table.rs`: what is replicated, the two types and their codec
//! - `unit.rs`: the node and its link; `serve.rs`, `command.rs`, `lease.rs`: the service around it
//! - `demo/`: starts two units, kills them in turn, and checks from outside that nothing is lost
#![forbid(unsafe_code)]

mod args;
mod command;
mod demo;
mod lease;
mod log;
mod serve;
mod table;
mod unit;

use std::process::ExitCode;

use args::{Args, Error};
use ha_transport::Identity;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::new(std::env::args().skip(1))).await {
        Ok(code) => code,
        Err(error) => {
            // Not `eprintln`, which panics when standard error is closed.
            let text = format!("custom-client: {error}\n");
            let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
            ExitCode::FAILURE
        }
    }
}

async fn run(mut args: Args) -> Result<ExitCode, Error> {
    match args.word("a command")?.as_str() {
        "demo" => demo::run(demo::Options::parse(args)?).await,
        "unit" => unit::run(unit::Options::parse(args)?)
            .await
            .map(|()| ExitCode::SUCCESS),
        "identity" => identity(args).map(|()| ExitCode::SUCCESS),
        "help" => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        other => Err(Error::Surplus(other.to_owned())),
    }
}

/// Makes an identity, or shows the one that is there.
fn identity(mut args: Args) -> Result<(), Error> {
    let directory = args.word("a directory")?;
    args.finish()?;
    let identity = if std::path::Path::new(&directory).join("key.pem").exists() {
        Identity::load(&directory).map_err(Error::other)?
    } else {
        let identity = Identity::generate("port-mapping-unit").map_err(Error::other)?;
        identity.save(&directory).map_err(Error::other)?;
        identity
    };
    println!("{}", identity.fingerprint());
    Ok(())
}

const HELP: &str = "\
A port-mapping table that two processes replicate.

custom-client demo [--mappings N] [--seconds S] [--transport tcp|quic] [--fast]
    Starts both units, writes, kills them in turn, and checks that nothing is lost.

custom-client identity DIR
    Makes the identity of a unit (or shows it) and prints the fingerprint to pin on the other.

custom-client unit --id 0|1 --listen ADDR:PORT --peer ADDR:PORT --identity DIR
                   --pin FINGERPRINT --socket PATH
                   [--peer-socket PATH] [--transport tcp|quic] [--fast]
                   [--log off|error|warn|info|debug] [--with-stdin]
    Runs one unit. Clients talk to it over the Unix socket; send it a line such as `LIST`.
    --peer-socket  named to clients that want to write on the standby
    --fast         finds a failure within 160 ms instead of 800 ms
    --with-stdin   ends when standard input does
";
