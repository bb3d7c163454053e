//! The table.

use core::fmt;

use super::{FailureReport, Report, Totals};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = HEAD.map(|head| head.map(str::to_owned)).to_vec();
        for (index, failure) in self.failures.iter().enumerate() {
            rows.push(row(index + 1, failure));
        }
        rows.push(total_row(&self.totals));
        let widths: [usize; COLUMNS] = core::array::from_fn(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        });
        for (index, row) in rows.iter().enumerate() {
            if index == HEAD.len() || index + 1 == rows.len() {
                writeln!(f, "{}", rule(&widths))?;
            }
            writeln!(f, "{}", line(row, &widths))?;
        }
        self.fmt_end(f)
    }
}

impl Report {
    fn fmt_end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        for reuse in &self.reused {
            writeln!(f, "used twice: {reuse}")?;
        }
        // Those that were announced need no list.
        for replay in self.replayed.iter().filter(|_| !self.passed) {
            writeln!(f, "replay accepted: {replay}")?;
        }
        for broken in &self.broken {
            writeln!(f, "BROKEN: {broken}")?;
        }
        if self.passed {
            writeln!(
                f,
                "passed: {} failures, no SA lost, no sequence number used twice, {} of {} replays accepted",
                self.totals.failures, self.totals.replays_accepted, self.totals.replays_injected
            )?;
        }
        Ok(())
    }
}

fn row(number: usize, failure: &FailureReport) -> [String; COLUMNS] {
    [
        number.to_string(),
        format!("{} of {}", failure.kind, failure.failed_unit),
        ms(failure.detect_ms),
        ms(failure.takeover_ms),
        thousands(failure.sas_before.into()),
        thousands(failure.sas_after.into()),
        thousands(failure.packets_sent),
        thousands(failure.packets_lost_in_outage),
        thousands(failure.packets_dropped_by_replay_check),
        thousands(failure.replays_injected),
        thousands(failure.replays_accepted),
        thousands(failure.sequence_numbers_reused),
    ]
}

fn total_row(totals: &Totals) -> [String; COLUMNS] {
    [
        String::new(),
        "sum or worst".to_owned(),
        ms(totals.detect_ms),
        ms(totals.takeover_ms),
        thousands(totals.sas_before.into()),
        thousands(totals.sas_after.into()),
        thousands(totals.packets_sent),
        thousands(totals.packets_lost_in_outage),
        thousands(totals.packets_dropped_by_replay_check),
        thousands(totals.replays_injected),
        thousands(totals.replays_accepted),
        thousands(totals.sequence_numbers_reused),
    ]
}

fn line(cells: &[String; COLUMNS], widths: &[usize; COLUMNS]) -> String {
    let padded = cells
        .iter()
        .zip(widths)
        .enumerate()
        .map(|(column, (cell, width))| {
            if column == KIND {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
    let line: Vec<_> = padded.collect();
    line.join("  ").trim_end().to_owned()
}

fn rule(widths: &[usize; COLUMNS]) -> String {
    let dashes: Vec<_> = widths.iter().map(|width| "-".repeat(*width)).collect();
    dashes.join("  ")
}

fn ms(time: Option<f64>) -> String {
    time.map_or_else(|| "never".to_owned(), |ms| format!("{ms:.1}"))
}

/// 12 345 678.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

const COLUMNS: usize = 12;
/// The one column that is text.
const KIND: usize = 1;
const HEAD: [[&str; COLUMNS]; 2] = [
    [
        "", "", "detect", "takeover", "SAs", "SAs", "packets", "lost in", "dropped", "replays",
        "replays", "numbers",
    ],
    [
        "#",
        "fault",
        "ms",
        "ms",
        "before",
        "after",
        "sent",
        "outage",
        "as replay",
        "injected",
        "accepted",
        "reused",
    ],
];
