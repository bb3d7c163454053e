//! `ha-bench core|ipsec`: runs every suite of an area, prints the table and writes it as JSON.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use ha_bench::bulk::Bulk;
use ha_bench::commit_under_bulk::CommitUnderBulk;
use ha_bench::commits::Commits;
use ha_bench::loopback::Loopback;
use ha_bench::machine::Machine;
use ha_bench::marks::Marks;
use ha_bench::memory::Memory;
use ha_bench::redis::Redis;
use ha_bench::takeover::Takeover;
use ha_bench::updates::Updates;
use ha_bench::{BenchError, Context, Report, Suite, ipsec, pair};

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Area {
    Core,
    Ipsec,
}

impl Area {
    fn parse(text: &str) -> Option<Self> {
        [Self::Core, Self::Ipsec]
            .into_iter()
            .find(|area| area.name() == text)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Ipsec => "ipsec",
        }
    }

    fn suites(self) -> Vec<Box<dyn Suite>> {
        match self {
            Self::Core => core_suites(),
            Self::Ipsec => ipsec::suites(),
        }
    }
}

/// The suites of `core`, in the order in which they run: yardsticks first.
fn core_suites() -> Vec<Box<dyn Suite>> {
    vec![
        Box::new(Loopback),
        Box::new(Redis),
        Box::new(Bulk),
        Box::new(Updates),
        Box::new(Commits),
        Box::new(CommitUnderBulk),
        Box::new(Takeover),
        Box::new(Marks),
        Box::new(Memory),
    ]
}

fn main() -> ExitCode {
    if let Some(result) = pair::serve(std::env::args().skip(1)) {
        return exit(result);
    }
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(text) => {
            eprintln!("{text}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if options.help {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    exit(run(&options))
}

fn exit(result: Result<(), BenchError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ha-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), BenchError> {
    let mut context = if options.quick {
        Context::quick()
    } else {
        Context::full()
    };
    let mut report = Report::new(options.area.name(), options.quick, Machine::read());
    let mut failed = None;
    for mut suite in options.area.suites() {
        if options
            .only
            .as_deref()
            .is_some_and(|only| only != suite.name())
        {
            continue;
        }
        eprintln!("== {}", suite.name());
        if let Err(source) = suite.run(&mut context, &mut report) {
            // What was measured so far is worth having.
            failed = Some(BenchError::Suite {
                name: suite.name(),
                source: Box::new(source),
            });
            break;
        }
    }
    println!("{report}");
    if let Some(path) = &options.out {
        report.write_json(path)?;
        println!("written to {}", path.display());
    }
    failed.map_or(Ok(()), Err)
}

/// What the command line asks for.
struct Options {
    area: Area,
    help: bool,
    quick: bool,
    only: Option<String>,
    out: Option<PathBuf>,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            area: Area::Core,
            help: false,
            quick: false,
            only: None,
            out: None,
        };
        let mut area = None;
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} needs a value"));
            match arg.as_str() {
                "--help" | "-h" => options.help = true,
                "--quick" => options.quick = true,
                "--only" => options.only = Some(value()?),
                "--out" => options.out = Some(value()?.into()),
                name if area.is_none() && Area::parse(name).is_some() => area = Area::parse(name),
                _ => return Err(format!("unknown argument {arg:?}")),
            }
        }
        match area {
            Some(area) => options.area = area,
            None if options.help => return Ok(options),
            None => return Err("what to measure is missing: core or ipsec".into()),
        }
        options.check_suite()?;
        Ok(options)
    }

    fn check_suite(&self) -> Result<(), String> {
        let Some(only) = &self.only else {
            return Ok(());
        };
        let suites = self.area.suites();
        let names: Vec<_> = suites.iter().map(|suite| suite.name()).collect();
        if names.contains(&only.as_str()) {
            return Ok(());
        }
        Err(format!(
            "no suite {only:?}; there are: {}",
            names.join(", ")
        ))
    }
}

const USAGE: &str = "usage: ha-bench core|ipsec [--quick] [--only SUITE] [--out FILE]

  core          the replication core and its links
  ipsec         the tables and the packet path of a gateway
  --quick       100 000 entries instead of 1 000 000; figures are rough
  --only SUITE  run one suite; rows compared with another suite's get no verdict
  --out FILE    write the rows as JSON";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn command_line() {
        let options = parse("core --quick --only redis --out x.json").unwrap();
        assert!(options.quick && !options.help);
        assert_eq!(options.only.as_deref(), Some("redis"));
        assert_eq!(options.out, Some("x.json".into()));
        assert!(parse("--help").unwrap().help);
        let ipsec = parse("--only lookup ipsec").unwrap();
        assert_eq!((ipsec.area, ipsec.quick), (Area::Ipsec, false));
        assert!(parse("ipsec --only redis").is_err(), "a suite of core");
        for bad in [
            "",
            "core core",
            "core ipsec",
            "core --only",
            "core --only nobody",
            "core --fast",
        ] {
            assert!(parse(bad).is_err(), "{bad:?} must be refused");
        }
    }
}
