//! Makes and shows the identity of a unit.

use std::path::Path;
use std::process::ExitCode;

use ha_transport::{Identity, IdentityError};

const USAGE: &str = "\
Makes and shows the identity of a unit: its key pair and certificate.

usage:
  ha-identity new DIRECTORY --name NAME   make key.pem and cert.pem in DIRECTORY
  ha-identity show DIRECTORY              show the identity in DIRECTORY

NAME is a DNS name such as unit-0. Nothing is overwritten. The fingerprint that is printed is what
the other unit pins; key.pem never leaves this unit.";

enum Command {
    Help,
    New { directory: String, name: String },
    Show { directory: String },
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = match parse(&arguments) {
        Ok(command) => command,
        Err(problem) => {
            eprintln!("ha-identity: {problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ha-identity: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Result<Command, String> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["help" | "-h" | "--help", ..] => Ok(Command::Help),
        ["new", directory, "--name", name] | ["new", "--name", name, directory] => {
            Ok(Command::New {
                directory: directory.to_owned(),
                name: name.to_owned(),
            })
        }
        ["show", directory] => Ok(Command::Show {
            directory: directory.to_owned(),
        }),
        ["new", ..] => Err("`new` needs a directory and `--name NAME`".to_owned()),
        ["show", ..] => Err("`show` needs a directory and nothing else".to_owned()),
        [] => Err("say what to do".to_owned()),
        [other, ..] => Err(format!("unknown command `{other}`")),
    }
}

fn run(command: Command) -> Result<(), IdentityError> {
    match command {
        Command::Help => println!("{USAGE}"),
        Command::New { directory, name } => {
            let identity = Identity::generate(&name)?;
            identity.save(&directory)?;
            print(&identity, &directory);
        }
        Command::Show { directory } => print(&Identity::load(&directory)?, &directory),
    }
    Ok(())
}

fn print(identity: &Identity, directory: &str) {
    println!("directory    {}", Path::new(directory).display());
    println!(
        "name         {}",
        identity.name().as_deref().unwrap_or("(none)")
    );
    println!("fingerprint  {}", identity.fingerprint());
    println!("\nPin the fingerprint on the other unit, and that of the other unit here.");
}
