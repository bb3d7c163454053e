//! What the demonstration shows.

use core::time::Duration;
use std::io::{self, IsTerminal, Write};

use super::ledger::Comparison;

/// The outcome of one failure.
pub(super) struct Row {
    pub(super) what: String,
    /// From the failure until the other unit had accepted a write.
    pub(super) takeover: Duration,
    /// Writes answered since the failure before.
    pub(super) writes: u64,
    pub(super) comparison: Comparison,
}

/// All outcomes, and the line that shows progress.
#[derive(Default)]
pub(super) struct Report {
    rows: Vec<Row>,
    /// A progress line is on the terminal and not ended.
    open: bool,
}

impl Report {
    /// Shows a step.
    pub(super) fn line(&mut self, text: &str) {
        self.end_line();
        show(&format!("{text}\n"));
    }

    /// Shows how many writes were answered, if somebody is watching.
    pub(super) fn progress(&mut self, written: u64) {
        if io::stdout().is_terminal() {
            self.open = true;
            show(&format!("\r  {written} writes answered "));
        }
    }

    /// Ends the progress line.
    pub(super) fn end_line(&mut self) {
        if core::mem::take(&mut self.open) {
            show("\n");
        }
    }

    /// Takes an outcome.
    pub(super) fn row(&mut self, row: Row) {
        let millis = row.takeover.as_secs_f64() * 1e3;
        let Comparison {
            committed, found, ..
        } = row.comparison;
        self.line(&format!(
            "{}: the other unit serves after {millis:.1} ms and has {found} of {committed}",
            row.what
        ));
        self.rows.push(row);
    }

    /// Shows the table of all outcomes.
    pub(super) fn print(&mut self) {
        self.end_line();
        show(&self.table());
    }

    fn table(&self) -> String {
        let mut table = format!(
            "\n{:<27} {:>11} {:>8} {:>10} {:>8} {:>6} {:>7} {:>6}\n",
            "failure", "takeover ms", "writes", "committed", "found", "lost", "differ", "open"
        );
        for Row {
            what,
            takeover,
            writes,
            comparison: c,
        } in &self.rows
        {
            let millis = takeover.as_secs_f64() * 1e3;
            table.push_str(&format!(
                "{what:<27} {millis:>11.1} {writes:>8} {:>10} {:>8} {:>6} {:>7} {:>6}\n",
                c.committed, c.found, c.lost, c.differ, c.open
            ));
        }
        table.push_str(if self.is_good() { GOOD } else { BAD });
        table
    }

    /// Whether everything that was committed was found as it was written.
    pub(super) fn is_good(&self) -> bool {
        self.rows
            .iter()
            .all(|row| row.comparison.lost == 0 && row.comparison.differ == 0)
    }
}

const GOOD: &str = "\
takeover: from the failure until the other unit had accepted a write, seen from outside.
writes: answered since the failure before; committed: mappings that they left.
open: writes that the failure left without an answer; they may be there or not.
Nothing that was committed was lost.
";
const BAD: &str = "\
FAILED: a mapping whose commit was answered is missing or different.
";

/// Standard output may be closed; that is no reason to end.
fn show(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lost: usize, differ: usize) -> Report {
        let comparison = Comparison {
            committed: 7,
            found: 7,
            lost,
            differ,
            open: 1,
        };
        let takeover = Duration::from_micros(812_340);
        let row = Row {
            what: "unit 0 killed".to_owned(),
            takeover,
            writes: 9,
            comparison,
        };
        Report {
            rows: vec![row],
            open: false,
        }
    }

    #[test]
    fn a_lost_or_different_mapping_is_a_failure() {
        assert!(report(0, 0).is_good());
        assert!(
            report(0, 0)
                .table()
                .contains("Nothing that was committed was lost")
        );
        for bad in [report(1, 0), report(0, 1)] {
            assert!(!bad.is_good());
            assert!(bad.table().contains("FAILED"));
        }
    }

    #[test]
    fn the_table_shows_what_was_measured() {
        let table = report(0, 0).table();
        assert!(
            table
                .lines()
                .any(|line| line.starts_with("unit 0 killed") && line.contains("812.3"))
        );
    }
}
