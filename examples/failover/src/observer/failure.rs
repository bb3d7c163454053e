//! Judging one failure.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::{Observer, SECOND_NS, Sent, count};
use crate::report::FailureReport;
use crate::wire::{Direction, Gateway};

/// What is done to the active unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultKind {
    /// Its process is killed.
    Crash,
    /// Its process is stopped, and continued after the takeover: it wakes up as a stale active.
    Hang,
    /// The units lose sight of each other while both live; later the partition heals.
    Partition,
    /// It is told to hand over.
    Switchover,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Crash, Self::Hang, Self::Partition, Self::Switchover];

    /// The name, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Partition => "partition",
            Self::Switchover => "switchover",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for FaultKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = |kind: &Self| kind.name() == text;
        Self::ALL
            .into_iter()
            .find(named)
            .ok_or_else(|| "crash, hang, partition or switchover is expected".to_owned())
    }
}

/// A fault that was injected.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// What was done.
    pub kind: FaultKind,
    /// To which unit: the one that was active.
    pub failed: Gateway,
    /// When, in nanoseconds of the run's clock; just before it was done.
    pub at_ns: u64,
}

/// The beginning of the first span after the fault in which, for each direction, at least nine in
/// ten of the packets sent reached the other unit and were delivered; the later of the two
/// directions. Considers packets sent before `until_ns`.
pub(super) fn recovered_ns(observer: &Observer, fault: &Fault, until_ns: u64) -> Option<u64> {
    let per_direction = recovered_by_direction(observer, fault, until_ns);
    Some(per_direction[0]?.max(per_direction[1]?))
}

fn recovered_by_direction(observer: &Observer, fault: &Fault, until_ns: u64) -> [Option<u64>; 2] {
    let span = span_ns(observer.config.pps);
    Direction::BOTH.map(|direction| {
        let sent = observer.sent[direction.index()].iter();
        let after = sent.filter(|sent| (fault.at_ns..until_ns).contains(&sent.at_ns));
        let arrivals: Vec<(u64, bool)> = after
            .map(|sent| (sent.at_ns, arrived(observer, direction, fault, sent)))
            .collect();
        first_good_span(&arrivals, span, until_ns)
    })
}

fn arrived(observer: &Observer, direction: Direction, fault: &Fault, sent: &Sent) -> bool {
    sent.unit == Some(fault.failed.other())
        && observer.was_delivered(direction, sent.sa, sent.number)
}

/// 20 ms, or longer where that is too short for 40 packets.
fn span_ns(pps: u32) -> u64 {
    (40 * SECOND_NS / u64::from(pps.max(1))).max(20_000_000)
}

/// The time of the first packet that arrived and with which a span of `span_ns` begins that is
/// over by `until_ns` and in which nine in ten packets arrived. Packets are in order of time.
fn first_good_span(packets: &[(u64, bool)], span_ns: u64, until_ns: u64) -> Option<u64> {
    let (mut end, mut good) = (0, 0_usize);
    for (begin, (at_ns, arrived)) in packets.iter().enumerate() {
        if at_ns + span_ns > until_ns {
            return None;
        }
        while let Some((_, arrived)) = packets.get(end).filter(|(at, _)| at - at_ns < span_ns) {
            good += usize::from(*arrived);
            end += 1;
        }
        if *arrived && good * 10 >= (end - begin) * 9 {
            return Some(*at_ns);
        }
        good -= usize::from(*arrived);
    }
    None
}

/// How packets of one direction were lost.
#[derive(Clone, Default, Debug)]
struct Losses {
    outage: u64,
    otherwise: u64,
    /// Dropped by the unit that took over, by SA.
    dropped: Vec<u32>,
}

pub(super) fn judge(observer: &mut Observer, fault: &Fault, until_ns: u64) -> FailureReport {
    let window = observer.window_ns();
    let by_direction = recovered_by_direction(observer, fault, until_ns);
    let recovered = recovered_ns(observer, fault, until_ns);
    let before = observer.passing_between(fault.at_ns.saturating_sub(window), fault.at_ns);
    let after = match recovered {
        Some(recovered) => observer.passing_between(recovered, until_ns),
        None => vec![false; before.len()],
    };
    let gone = before.iter().zip(&after).filter(|(b, a)| **b && !**a);
    let sas_lost = gone.count() as u32;
    let (sas_before, sas_after) = (count(&before), count(&after));
    let losses = Direction::BOTH.map(|direction| account(observer, direction, fault, until_ns));
    let unjudged: usize = observer.sent.iter().map(VecDeque::len).sum();
    let unjudged = unjudged as u64;
    let counts = &observer.counts;
    let detected = counts.first_seen_ns[fault.failed.other().index()];
    let ms = |at_ns: u64| at_ns.saturating_sub(fault.at_ns) as f64 / 1e6;
    let by_gateway: u64 = sum(&losses[0].dropped);
    let remote_replays = remote_replays(observer);
    let by_remote: u64 = sum(&remote_replays);
    // What the LAN sent to the new active and did not arrive was dropped by the remote site's
    // check, or for another reason.
    let outbound_otherwise = sum(&losses[1].dropped).saturating_sub(by_remote);
    let worst = losses[0].dropped.iter().zip(&remote_replays);
    FailureReport {
        kind: fault.kind,
        failed_unit: fault.failed,
        at_s: fault.at_ns as f64 / 1e9,
        detect_ms: detected.map(ms),
        takeover_ms: recovered.map(ms),
        inbound_ms: by_direction[0].map(ms),
        outbound_ms: by_direction[1].map(ms),
        address_moves: counts.address_moves,
        sas_before,
        sas_after,
        sas_lost,
        packets_sent: counts.sent.iter().sum::<u64>() - unjudged,
        packets_lost_in_outage: losses.iter().map(|losses| losses.outage).sum(),
        packets_dropped_by_replay_check: by_gateway + by_remote,
        dropped_by_gateway: by_gateway,
        dropped_by_remote: by_remote,
        most_dropped_of_one_sa: worst.map(|(a, b)| *a.max(b)).max().unwrap_or(0),
        packets_lost_otherwise: counts.lost_before
            + losses.iter().map(|losses| losses.otherwise).sum::<u64>()
            + outbound_otherwise,
        packets_refused_by_remote: refused_by_remote(observer),
        packets_duplicated: counts.duplicates,
        replays_injected: counts.injected,
        replays_accepted: counts.replays_accepted,
        replays_exposed: counts.replays_exposed,
        sequence_numbers_reused: observer.oracle.reused() - counts.reused_before,
    }
}

/// How many packets the remote site's replay check refused, by SA, without those that a stale unit
/// sent: what they carried was forwarded to the failed unit, and is accounted for there.
fn remote_replays(observer: &Observer) -> Vec<u32> {
    let mut counts = vec![0; observer.config.sas as usize];
    let refused = observer.counts.remote_replays.iter();
    for (sa, _) in refused.filter(|packet| !observer.counts.stale.contains(packet)) {
        counts[*sa as usize] += 1;
    }
    counts
}

/// How many packets failed the remote site's integrity check, without those of a stale unit that
/// lie behind the window. With extended numbers a receiver takes such a packet for one of the next
/// 2^32 (RFC 4303 appendix A2.2), and it is the integrity check that refuses it.
fn refused_by_remote(observer: &Observer) -> u64 {
    let counts = &observer.counts;
    let is_behind = |sa: u32, number: u64| {
        let low = number & u64::from(u32::MAX);
        number > low && counts.stale.contains(&(sa, low))
    };
    let refused = counts.remote_refused.iter();
    refused
        .filter(|(sa, number)| !is_behind(*sa, *number))
        .count() as u64
}

fn sum(counts: &[u32]) -> u64 {
    counts.iter().map(|count| u64::from(*count)).sum()
}

/// Accounts for each packet of a direction that was sent before `until_ns`, and forgets it.
fn account(observer: &mut Observer, direction: Direction, fault: &Fault, until_ns: u64) -> Losses {
    let mut losses = Losses {
        dropped: vec![0; observer.config.sas as usize],
        ..Losses::default()
    };
    let sent = core::mem::take(&mut observer.sent[direction.index()]);
    let cut = sent.partition_point(|sent| sent.at_ns < until_ns);
    // Whether a packet of the SA that was sent later did arrive.
    let mut later = vec![false; observer.config.sas as usize];
    // Whether all packets sent from here to the fault were lost: those in the failed unit's queue.
    let mut in_queue = true;
    for sent in sent.range(..cut).rev() {
        if observer.was_delivered(direction, sent.sa, sent.number) {
            later[sent.sa as usize] = true;
            in_queue &= sent.at_ns >= fault.at_ns;
        } else if sent.unit == Some(fault.failed.other()) && sent.at_ns >= fault.at_ns {
            if later[sent.sa as usize] {
                losses.dropped[sent.sa as usize] += 1;
            } else {
                losses.otherwise += 1;
            }
        } else if in_queue {
            losses.outage += 1;
        } else {
            losses.otherwise += 1;
        }
    }
    observer.sent[direction.index()] = sent.range(cut..).copied().collect();
    losses
}
