//! What a run says in the end: a table, JSON, a plot, and whether the promises held.
//!
//! Every figure is taken from the world around the units; none from what they say.

mod plot;
mod table;

use std::io;
use std::path::Path;

use serde::Serialize;

use crate::observer::{FaultKind, Timeline};
use crate::options::Options;
use crate::oracle::Reuse;
use crate::tap::{Event, What};
use crate::wire::Gateway;

pub use plot::plot;

/// What one failure did. Times count from just before the fault was injected. "Packets" are those
/// of hosts, in both directions together unless said otherwise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FailureReport {
    /// What was done to the active unit.
    pub kind: FaultKind,
    /// Which unit that was.
    #[serde(serialize_with = "as_text")]
    pub failed_unit: Gateway,
    /// When, in seconds from the beginning of the run.
    pub at_s: f64,
    /// Until the other unit sent its first packet or claim of the virtual address. `None`: never.
    pub detect_ms: Option<f64>,
    /// Until traffic was back in both directions: from then on, for 20 ms (or the time of 40
    /// packets, if longer), at least nine in ten of the packets sent reached the other unit and
    /// were delivered. Counted by when packets were sent. `None`: never.
    pub takeover_ms: Option<f64>,
    /// The same, from the remote site to the LAN alone.
    pub inbound_ms: Option<f64>,
    /// The same, from the LAN to the remote site alone.
    pub outbound_ms: Option<f64>,
    /// How often the virtual address moved since the fault. More than once: there were further
    /// takeovers, as when an overloaded machine lets keepalives come late.
    pub address_moves: u32,
    /// SA pairs that, of the packets sent in the last [`window`] before the fault, delivered at
    /// least one in each direction.
    ///
    /// [`window`]: crate::observer::Observer::window_ns
    pub sas_before: u32,
    /// The same, of the packets sent from the takeover to the end of what was observed.
    pub sas_after: u32,
    /// SA pairs counted in `sas_before` and not in `sas_after`.
    pub sas_lost: u32,
    /// Packets sent since the previous failure was observed to its end.
    pub packets_sent: u64,
    /// Not delivered, and forwarded to the failed unit or to none: it was dead or no longer active,
    /// or failed with them in its sockets (sent before the fault, but after the last packet of
    /// their direction that it delivered).
    pub packets_lost_in_outage: u64,
    /// `dropped_by_gateway` + `dropped_by_remote`.
    pub packets_dropped_by_replay_check: u64,
    /// Packets of the remote site that reached the unit that took over, and were not delivered
    /// though a later one of the same SA was. That is an upper bound: what that unit dropped for
    /// other reasons is in it.
    pub dropped_by_gateway: u64,
    /// Packets that the remote site's own replay window refused, without those of the failed unit:
    /// a stale active that wakes up, or the other side of a partition, is to be refused.
    pub dropped_by_remote: u64,
    /// The largest number of them for one SA of one direction.
    pub most_dropped_of_one_sa: u32,
    /// Not delivered for any other reason: an overloaded machine, no reservation.
    pub packets_lost_otherwise: u64,
    /// Packets of the gateways that failed the remote site's integrity check.
    pub packets_refused_by_remote: u64,
    /// Packets that reached the remote site in two ESP packets, as they do in a partition, when the
    /// LAN forwards them to both units.
    pub packets_duplicated: u64,
    /// Copies of packets that the attacker brought to the gateways: of packets that had been
    /// delivered, and of the gateways' own. One that goes to both units counts once.
    pub replays_injected: u64,
    /// Packets delivered to the LAN a second time, or reflected into it.
    pub replays_accepted: u64,
    /// The part of them in which one of the two deliveries was by the failed unit, after its fault,
    /// and the other by the other unit. In a partition that is the announced exposure: a unit
    /// that goes on alone cannot know what the other accepts.
    pub replays_exposed: u64,
    /// ESP packets of either unit with an SPI and sequence number that had been on the wire.
    pub sequence_numbers_reused: u64,
}

/// Sums over all failures; of times and of `most_dropped_of_one_sa` the worst.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Number of failures.
    pub failures: usize,
    /// The longest.
    pub detect_ms: Option<f64>,
    /// The longest; `None` also if one takeover never came.
    pub takeover_ms: Option<f64>,
    /// The one in the middle.
    pub takeover_ms_median: Option<f64>,
    /// The fewest.
    pub sas_before: u32,
    /// The fewest.
    pub sas_after: u32,
    #[allow(missing_docs, reason = "as in FailureReport")]
    pub sas_lost: u32,
    #[allow(missing_docs, reason = "as in FailureReport")]
    pub packets_sent: u64,
    #[allow(missing_docs, reason = "as in FailureReport")]
    pub packets_lost_in_outage: u64,
    #[allow(missing_docs, reason = "as in FailureReport")]
    pub packets_dropped_by_replay_check: u64,
    #[allow(missing_docs, reason = "as in FailureReport")]
    pub most_dropped_of_one_sa: u32,
    #[allow(missing_docs, reason = "as in FailureReport")]
    pub packets_lost_otherwise: u64,
    #[allow(missing_docs, reason = "as in FailureReport")]
    pub replays_injected: u64,
    #[allow(missing_docs, reason = "as in FailureReport")]
    pub replays_accepted: u64,
    #[allow(missing_docs, reason = "as in FailureReport")]
    pub sequence_numbers_reused: u64,
}

/// All of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether every promise held.
    pub passed: bool,
    /// What broke, in words.
    pub broken: Vec<String>,
    /// What limits the worth of the figures, in words.
    pub notes: Vec<String>,
    /// How the program was called.
    pub options: Options,
    /// One after the other.
    pub failures: Vec<FailureReport>,
    /// All together.
    pub totals: Totals,
    /// The first few numbers used twice.
    pub reused: Vec<String>,
    /// The first few replays accepted.
    pub replayed: Vec<String>,
    #[serde(skip)]
    timeline: Timeline,
}

/// What the world knows beside the failures.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The failures that were observed to their end.
    pub failures: Vec<FailureReport>,
    /// The first few numbers used twice.
    pub reused: Vec<Reuse>,
    /// The first few replays accepted.
    pub replayed: Vec<Event>,
    /// Traffic over time.
    pub timeline: Timeline,
    /// Events that could not be judged for lack of room.
    pub overflowed: u64,
    /// Packets that this process's own sockets dropped, so that the taps missed them.
    pub missed: u64,
}

impl Report {
    /// Judges a run.
    pub fn new(options: Options, outcome: Outcome) -> Self {
        let totals = Totals::of(&outcome.failures);
        let mut report = Self {
            passed: false,
            broken: Vec::new(),
            notes: Vec::new(),
            options,
            totals,
            reused: outcome.reused.iter().map(describe_reuse).collect(),
            replayed: outcome.replayed.iter().map(describe_replay).collect(),
            failures: outcome.failures,
            timeline: outcome.timeline,
        };
        report.judge(outcome.overflowed, outcome.missed);
        report.passed = report.broken.is_empty();
        report
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_json(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        write(path, &text)
    }

    /// Writes the plot of the traffic as SVG.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_plot(&self, path: &Path) -> io::Result<()> {
        write(path, &plot(&self.timeline, &self.failures))
    }

    fn judge(&mut self, overflowed: u64, missed: u64) {
        for index in 0..self.failures.len() {
            let found = self.broken_by(&self.failures[index]);
            let name = format!("failure {} ({})", index + 1, self.failures[index].kind);
            let named = found.into_iter().map(|text| format!("{name}: {text}"));
            self.broken.extend(named);
        }
        let asked = self.options.failures as usize;
        if self.failures.len() < asked {
            let seen = self.failures.len();
            self.broken
                .push(format!("only {seen} of {asked} failures came to their end"));
        }
        for (index, failure) in self.failures.iter().enumerate() {
            if failure.address_moves > 1 {
                self.notes.push(format!(
                    "in failure {} ({}) the virtual address moved {} times",
                    index + 1,
                    failure.kind,
                    failure.address_moves
                ));
            }
        }
        let partitions = self.failures.iter();
        let exposed: u64 = partitions
            .filter(|failure| failure.kind == FaultKind::Partition)
            .map(|failure| failure.replays_exposed)
            .sum();
        if exposed > 0 {
            self.notes.push(format!(
                "in partitions {exposed} replays were accepted of packets that the isolated unit \
                 had accepted on its own, as announced"
            ));
        }
        if overflowed > 0 {
            let text = "packets could not be checked: the observer ran out of room";
            self.broken.push(format!("{overflowed} {text}"));
        }
        if missed > 0 {
            self.notes.push(format!(
                "the observer's sockets dropped {missed} packets: the machine is too busy for \
                 this rate (try a smaller --pps)"
            ));
        }
        let Totals {
            packets_lost_otherwise: lost,
            packets_sent: sent,
            ..
        } = self.totals;
        if lost > 0 {
            self.notes.push(format!(
                "{lost} of {sent} packets were lost outside of the outages and not by a replay \
                 check, as on a busy machine"
            ));
        }
    }

    fn broken_by(&self, failure: &FailureReport) -> Vec<String> {
        let mut broken = Vec::new();
        let mut demand = |holds: bool, text: String| {
            if !holds {
                broken.push(text);
            }
        };
        let reused = failure.sequence_numbers_reused;
        demand(
            reused == 0,
            format!("{reused} sequence numbers were used twice"),
        );
        let exposed = match failure.kind {
            FaultKind::Partition => failure.replays_exposed,
            _ => 0,
        };
        let accepted = failure.replays_accepted - exposed;
        let strict = self.options.inbound == crate::options::Inbound::Strict;
        demand(
            accepted == 0 || !strict,
            format!("{accepted} replays were accepted"),
        );
        demand(
            failure.takeover_ms.is_some(),
            "traffic never came back in both directions".to_owned(),
        );
        demand(
            failure.sas_lost == 0,
            format!("{} SAs lost", failure.sas_lost),
        );
        demand(
            failure.sas_before > 0,
            "no SA carried traffic before it".to_owned(),
        );
        let (most, limit) = (failure.most_dropped_of_one_sa, self.replay_limit());
        demand(
            most <= limit,
            format!("replay checks dropped {most} packets of one SA, more than {limit}"),
        );
        let refused = failure.packets_refused_by_remote;
        demand(
            refused == 0,
            format!("the remote site could not open {refused} packets"),
        );
        broken
    }

    /// Packets of one SA that a replay check may drop at a takeover: 2, or 20 ms of its traffic.
    fn replay_limit(&self) -> u32 {
        let per_sa = self.options.pps / self.options.sas.max(1);
        (per_sa / 50).max(2)
    }
}

impl Totals {
    /// Adds up.
    pub fn of(failures: &[FailureReport]) -> Self {
        let sum = |of: fn(&FailureReport) -> u64| failures.iter().map(of).sum();
        let times = |of: fn(&FailureReport) -> Option<f64>| {
            let times: Option<Vec<f64>> = failures.iter().map(of).collect();
            let mut times = times.unwrap_or_default();
            times.sort_by(f64::total_cmp);
            times
        };
        let takeovers = times(|failure| failure.takeover_ms);
        Self {
            failures: failures.len(),
            detect_ms: times(|failure| failure.detect_ms).last().copied(),
            takeover_ms: takeovers.last().copied(),
            takeover_ms_median: takeovers.get(takeovers.len() / 2).copied(),
            sas_before: failures.iter().map(|f| f.sas_before).min().unwrap_or(0),
            sas_after: failures.iter().map(|f| f.sas_after).min().unwrap_or(0),
            sas_lost: failures.iter().map(|f| f.sas_lost).sum(),
            packets_sent: sum(|f| f.packets_sent),
            packets_lost_in_outage: sum(|f| f.packets_lost_in_outage),
            packets_dropped_by_replay_check: sum(|f| f.packets_dropped_by_replay_check),
            most_dropped_of_one_sa: failures
                .iter()
                .map(|f| f.most_dropped_of_one_sa)
                .max()
                .unwrap_or(0),
            packets_lost_otherwise: sum(|f| f.packets_lost_otherwise),
            replays_injected: sum(|f| f.replays_injected),
            replays_accepted: sum(|f| f.replays_accepted),
            sequence_numbers_reused: sum(|f| f.sequence_numbers_reused),
        }
    }
}

fn describe_reuse(reuse: &Reuse) -> String {
    describe(reuse.sa, reuse.number, reuse.unit, reuse.at_ns)
}

fn describe_replay(event: &Event) -> String {
    let how = match event.what {
        What::Reflected => " (a reflection)",
        _ => "",
    };
    describe(event.sa, event.number, event.unit, event.at_ns) + how
}

fn describe(sa: u32, number: u64, unit: Option<Gateway>, at_ns: u64) -> String {
    let unit = unit.map_or_else(|| "?".to_owned(), |unit| unit.to_string());
    let at_s = at_ns as f64 / 1e9;
    format!("SA pair {sa}, number {number}, second time by unit {unit} at {at_s:.3} s")
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let named = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("cannot write {}: {error}", path.display()),
        )
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(named)?;
    }
    std::fs::write(path, text).map_err(named)
}

fn as_text<S: serde::Serializer>(unit: &Gateway, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(unit)
}

#[cfg(test)]
mod tests;
