//! The command line: `--name value` and `--flag`, in any order.

use core::fmt::{self, Display};
use core::str::FromStr;
use std::path::PathBuf;

use serde::Serialize;
use thiserror::Error;

use crate::observer::FaultKind;
use crate::wire::plan::{MAX_PEERS, MAX_SAS};

/// How the program shall run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Options {
    /// SA pairs.
    pub sas: u32,
    /// Peers that they are spread over.
    pub peers: u32,
    /// Packets per second in each direction, over all SAs in turn.
    pub pps: u32,
    /// How the units talk to each other.
    pub transport: TransportKind,
    /// How often the active unit fails.
    pub failures: u32,
    /// How it fails.
    pub fault: FaultChoice,
    /// What the gateways do with packets that the other unit may have accepted.
    pub inbound: Inbound,
    /// Whether the SAs have extended sequence numbers.
    pub esn: bool,
    /// Seed of keys, of the attacker and of the order of mixed faults.
    pub seed: u64,
    /// Where to write the report as JSON.
    pub json: Option<PathBuf>,
    /// Where to write the plot.
    pub plot: Option<PathBuf>,
    /// Whether it is a short run.
    pub quick: bool,
}

/// How the units talk to each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportKind {
    /// Within one process: both units are threads, and no process can be killed.
    Memory,
    /// TLS over TCP.
    Tcp,
    /// QUIC.
    Quic,
}

/// Which faults are injected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultChoice {
    /// All kinds in turn, the order drawn from the seed.
    Mixed,
    /// Always the same.
    #[serde(untagged)]
    Always(FaultKind),
}

/// What a gateway that takes over does with packets that the other may have accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Inbound {
    /// It refuses them all: no replay is accepted.
    Strict,
    /// It goes on with the window as last synchronized: none is lost, and replays of what the
    /// other accepted since are possible.
    Resume,
}

/// Why a command line was refused.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionsError {
    /// An option without its value.
    #[error("{0} needs a value; --help shows which")]
    Missing(&'static str),
    /// A value that is none of the option's.
    #[error("`{text}` is no value for {name}: {cause}")]
    Invalid {
        /// The option.
        name: &'static str,
        /// What was given.
        text: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A number that is too small or too large.
    #[error("{name} {value} is not within {min} and {max}")]
    Range {
        /// The option.
        name: &'static str,
        /// What was given.
        value: u32,
        /// The least.
        min: u32,
        /// The most.
        max: u32,
    },
    /// Faults that act on processes, without processes.
    #[error(
        "--fault {0} acts on a process, and with --transport memory the units are threads of this one; use tcp or quic"
    )]
    NeedsProcesses(FaultChoice),
    /// Words that are no option.
    #[error("`{0}` is not understood; --help shows what is")]
    Surplus(String),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sas: 10_000,
            peers: 100,
            pps: 20_000,
            transport: TransportKind::Tcp,
            failures: 5,
            fault: FaultChoice::Mixed,
            inbound: Inbound::Strict,
            esn: false,
            seed: 1,
            json: None,
            plot: None,
            quick: false,
        }
    }
}

impl Options {
    /// The options in the words after the program's name; `None` if help is asked for.
    ///
    /// # Errors
    /// [`OptionsError`], which says what is wrong.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Option<Self>, OptionsError> {
        let mut words = Words(words.collect());
        if words.flag("--help") || words.flag("-h") {
            return Ok(None);
        }
        let quick = words.flag("--quick");
        let from = if quick {
            Self::short()
        } else {
            Self::default()
        };
        let mut options = Self {
            transport: words.value("--transport")?.unwrap_or(from.transport),
            fault: words.value("--fault")?.unwrap_or(from.fault),
            inbound: words.value("--inbound")?.unwrap_or(from.inbound),
            esn: words.flag("--esn"),
            seed: words.value("--seed")?.unwrap_or(from.seed),
            json: words.value("--json")?,
            plot: words.value("--plot")?,
            ..from
        };
        words.number("--sas", &mut options.sas, 1..=MAX_SAS)?;
        options.peers = options.peers.min(options.sas);
        words.number(
            "--peers",
            &mut options.peers,
            1..=MAX_PEERS.min(options.sas),
        )?;
        words.number("--pps", &mut options.pps, 10..=1_000_000)?;
        words.number("--failures", &mut options.failures, 1..=1000)?;
        match words.0.into_iter().next() {
            Some(word) => Err(OptionsError::Surplus(word)),
            None => options.checked().map(Some),
        }
    }

    /// The faults of a run, in order.
    pub fn faults(&self) -> Vec<FaultKind> {
        let kinds = match self.fault {
            FaultChoice::Always(kind) => vec![kind],
            FaultChoice::Mixed if self.transport == TransportKind::Memory => {
                IN_ONE_PROCESS.to_vec()
            }
            FaultChoice::Mixed => FaultKind::ALL.to_vec(),
        };
        let mut random = self.seed;
        let mut faults = Vec::new();
        while faults.len() < self.failures as usize {
            let mut round = kinds.clone();
            while !round.is_empty() {
                random = random.wrapping_mul(MULTIPLIER).wrapping_add(1);
                let place = (random >> 33) as usize % round.len();
                faults.push(round.swap_remove(place));
            }
        }
        faults.truncate(self.failures as usize);
        faults
    }

    fn short() -> Self {
        Self {
            sas: 1000,
            peers: 10,
            pps: 5000,
            failures: 2,
            quick: true,
            ..Self::default()
        }
    }

    fn checked(self) -> Result<Self, OptionsError> {
        let acts_on_process = match self.fault {
            FaultChoice::Always(kind) => !IN_ONE_PROCESS.contains(&kind),
            FaultChoice::Mixed => false,
        };
        if acts_on_process && self.transport == TransportKind::Memory {
            return Err(OptionsError::NeedsProcesses(self.fault));
        }
        Ok(self)
    }
}

impl TransportKind {
    /// The name, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Tcp => "tcp",
            Self::Quic => "quic",
        }
    }
}

impl FromStr for TransportKind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "memory" => Ok(Self::Memory),
            "tcp" => Ok(Self::Tcp),
            "quic" => Ok(Self::Quic),
            _ => Err("memory, tcp or quic is expected"),
        }
    }
}

impl FromStr for FaultChoice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "mixed" {
            return Ok(Self::Mixed);
        }
        let kind = text.parse().map(Self::Always);
        kind.map_err(|_| "crash, hang, partition, switchover or mixed is expected")
    }
}

impl Display for FaultChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always(kind) => kind.fmt(f),
            Self::Mixed => f.pad("mixed"),
        }
    }
}

impl Inbound {
    /// The name, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Resume => "resume",
        }
    }
}

impl FromStr for Inbound {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "strict" => Ok(Self::Strict),
            "resume" => Ok(Self::Resume),
            _ => Err("strict or resume is expected"),
        }
    }
}

/// What was not read yet.
struct Words(Vec<String>);

impl Words {
    fn flag(&mut self, name: &str) -> bool {
        let place = self.0.iter().position(|word| word == name);
        place.map(|place| self.0.remove(place)).is_some()
    }

    fn value<T: FromStr<Err: Display>>(
        &mut self,
        name: &'static str,
    ) -> Result<Option<T>, OptionsError> {
        let Some(place) = self.0.iter().position(|word| word == name) else {
            return Ok(None);
        };
        self.0.remove(place);
        let given = self.0.get(place).filter(|word| !word.starts_with("--"));
        given.ok_or(OptionsError::Missing(name))?;
        let text = self.0.remove(place);
        text.parse()
            .map(Some)
            .map_err(|cause: T::Err| OptionsError::Invalid {
                name,
                cause: cause.to_string(),
                text,
            })
    }

    fn number(
        &mut self,
        name: &'static str,
        number: &mut u32,
        range: core::ops::RangeInclusive<u32>,
    ) -> Result<(), OptionsError> {
        let value = self.value(name)?.unwrap_or(*number);
        if !range.contains(&value) {
            let (min, max) = range.into_inner();
            return Err(OptionsError::Range {
                name,
                value,
                min,
                max,
            });
        }
        *number = value;
        Ok(())
    }
}

/// Faults that need no process of their own.
const IN_ONE_PROCESS: [FaultKind; 2] = [FaultKind::Partition, FaultKind::Switchover];
/// Of Knuth's MMIX.
const MULTIPLIER: u64 = 6_364_136_223_846_793_005;

/// What `--help` shows.
pub const HELP: &str = "\
Two VPN gateways under load, one of which fails again and again, seen from outside.

failover [options]
    --sas N         SA pairs                                     10 000
    --peers N       peers that they are spread over                 100
    --pps N         packets per second, in each direction        20 000
    --transport T   between the units: memory, tcp or quic          tcp
    --failures N    how often the active unit fails                   5
    --fault F       crash, hang, partition, switchover or mixed   mixed
    --inbound P     strict: no replay is ever accepted           strict
                    resume: nothing is lost, some replays may pass
    --esn           extended sequence numbers
    --seed N        of keys, attacker, and order of faults            1
    --json FILE     writes the figures
    --plot FILE     draws the traffic over time (SVG)
    --keepalive K   between the units: fast finds a failure within
                    160 ms, default within 800 ms                  fast
    --quick         1000 SA pairs, 5000 packets/s, 2 failures
    --plant P       leaves out a protection, to show that it is missed: reuse (of sequence
                    numbers) or no-window
    --help          this text

Ends with 0 if every promise held: no sequence number used twice, no replay accepted, no SA lost,
traffic back after each failure, at most 2 packets of an SA dropped by a replay check.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>, OptionsError> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn all_options_are_read_in_any_order() {
        assert_eq!(parse("").unwrap(), Some(Options::default()));
        let options = "--esn --sas 50 --plot p.svg --peers 5 --pps 100 --transport quic \
                       --failures 3 --fault hang --inbound resume --seed 9 --json j";
        let options = parse(options).unwrap().unwrap();
        assert_eq!(
            options,
            Options {
                sas: 50,
                peers: 5,
                pps: 100,
                transport: TransportKind::Quic,
                failures: 3,
                fault: FaultChoice::Always(FaultKind::Hang),
                inbound: Inbound::Resume,
                esn: true,
                seed: 9,
                json: Some("j".into()),
                plot: Some("p.svg".into()),
                quick: false,
            }
        );
        assert_eq!(parse("--sas 9 --help").unwrap(), None);
        let quick = parse("--quick --failures 7").unwrap().unwrap();
        assert_eq!((quick.sas, quick.failures), (1000, 7));
        assert_eq!(parse("--sas 3").unwrap().unwrap().peers, 3);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |line| parse(line).unwrap_err().to_string();
        assert_eq!(error("--sas"), "--sas needs a value; --help shows which");
        assert_eq!(
            error("--sas --esn"),
            "--sas needs a value; --help shows which"
        );
        assert!(error("--pps x").starts_with("`x` is no value for --pps: "));
        assert!(error("--fault x").contains("crash, hang, partition"));
        assert!(error("--inbound x").contains("strict or resume"));
        assert!(error("--transport x").contains("memory, tcp or quic"));
        assert_eq!(error("--sas 0"), "--sas 0 is not within 1 and 1000000");
        assert_eq!(
            error("--sas 5 --peers 6"),
            "--peers 6 is not within 1 and 5"
        );
        assert!(error("--what").starts_with("`--what` is not understood"));
        assert!(error("--transport memory --fault crash").contains("use tcp or quic"));
    }

    #[test]
    fn mixed_faults_are_all_kinds_in_an_order_of_the_seed() {
        let faults = |line: &str| parse(line).unwrap().unwrap().faults();
        let mixed = faults("--failures 8 --seed 3");
        assert_eq!(mixed, faults("--failures 8 --seed 3"));
        for round in mixed.chunks(4) {
            assert!(FaultKind::ALL.iter().all(|kind| round.contains(kind)));
        }
        let other = (0..20).map(|seed| faults(&format!("--failures 8 --seed {seed}")));
        assert!(
            other
                .collect::<Vec<_>>()
                .iter()
                .any(|order| *order != mixed)
        );
        assert_eq!(faults("--fault hang --failures 2"), [FaultKind::Hang; 2]);
        let memory = faults("--transport memory --failures 4");
        assert!(memory.iter().all(|kind| IN_ONE_PROCESS.contains(kind)));
    }
}
