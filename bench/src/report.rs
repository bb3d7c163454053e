//! The rows of a run, as a table for people and as JSON for programs.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::machine::Machine;
use crate::suite::BenchError;

/// What a value counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Unit {
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millis,
    /// Microseconds.
    #[serde(rename = "us")]
    Micros,
    /// Nanoseconds.
    #[serde(rename = "ns")]
    Nanos,
    /// Operations per second.
    #[serde(rename = "1/s")]
    PerSecond,
    /// Bytes.
    #[serde(rename = "B")]
    Bytes,
    /// 10^6 bytes per second.
    #[serde(rename = "MB/s")]
    MegabytesPerSecond,
}

impl Unit {
    /// The unit's symbol, as in the JSON.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Millis => "ms",
            Self::Micros => "us",
            Self::Nanos => "ns",
            Self::PerSecond => "1/s",
            Self::Bytes => "B",
            Self::MegabytesPerSecond => "MB/s",
        }
    }
}

/// What a value should be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Aim {
    /// A yardstick, or a figure that nothing was promised about.
    None,
    /// At most this much, in the row's unit.
    AtMost(f64),
    /// At least this much, in the row's unit.
    AtLeast(f64),
    /// A time: the named row takes at least this many times as long.
    Faster {
        /// The row that it is compared with.
        than: &'static str,
        /// How many times.
        times: f64,
    },
    /// A rate: at least this many times that of the named row.
    More {
        /// The row that it is compared with.
        than: &'static str,
        /// How many times.
        times: f64,
    },
    /// No aim, but the value as a multiple of the named row is of interest.
    Beside(&'static str),
}

/// Whether the aim was reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Verdict {
    /// It was.
    #[serde(rename = "met")]
    Met,
    /// It was not.
    #[serde(rename = "missed")]
    Missed,
    /// There is none.
    #[serde(rename = "no aim")]
    NoAim,
    /// There is one, but the row that it refers to was not measured in this run.
    #[serde(rename = "no yardstick")]
    NoYardstick,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Met => "met",
            Self::Missed => "MISSED",
            Self::NoAim => "",
            Self::NoYardstick => "no yardstick",
        })
    }
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured: "suite: measure, circumstances".
    pub name: String,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: Unit,
    /// The aim in words.
    pub aim: String,
    /// For a comparison with another row, how many times better (or for [`Aim::Beside`] larger)
    /// the value is; for a fixed aim, how many times better than the aim.
    pub ratio: Option<f64>,
    /// Whether the aim was reached.
    pub verdict: Verdict,
}

/// All rows of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    area: &'static str,
    quick: bool,
    machine: Machine,
    rows: Vec<Row>,
}

impl Report {
    /// An empty report on `area`.
    #[must_use]
    pub fn new(area: &'static str, quick: bool, machine: Machine) -> Self {
        Self {
            area,
            quick,
            machine,
            rows: Vec::new(),
        }
    }

    /// Adds a row and judges it against `aim`. Says it on stderr at once: runs take minutes.
    pub fn row(&mut self, name: impl Into<String>, value: f64, unit: Unit, aim: Aim) {
        let name = name.into();
        eprintln!("   {name}: {} {}", number(value), unit.symbol());
        let (ratio, verdict) = self.judge(value, aim);
        self.rows.push(Row {
            name,
            value,
            unit,
            aim: describe(aim, unit),
            ratio,
            verdict,
        });
    }

    /// The rows so far.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The value of the row called `name`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<f64> {
        self.rows
            .iter()
            .find(|row| row.name == name)
            .map(|row| row.value)
    }

    /// Writes the report as JSON, making the folder if needed.
    ///
    /// # Errors
    /// [`BenchError::Io`] if the file cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<(), BenchError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(BenchError::io(folder.to_string_lossy()))?;
        }
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|error| BenchError::io("encoding the report")(error.into()))?;
        text.push('\n');
        std::fs::write(path, text).map_err(BenchError::io(path.to_string_lossy()))
    }

    fn judge(&self, value: f64, aim: Aim) -> (Option<f64>, Verdict) {
        let fixed = |ratio: f64| (Some(ratio), verdict(ratio >= 1.0));
        match aim {
            Aim::None => (None, Verdict::NoAim),
            Aim::AtMost(most) => fixed(most / value),
            Aim::AtLeast(least) => fixed(value / least),
            Aim::Faster { than, times } => self.compare(than, times, |other| other / value),
            Aim::More { than, times } => self.compare(than, times, |other| value / other),
            Aim::Beside(than) => (self.value(than).map(|other| value / other), Verdict::NoAim),
        }
    }

    fn compare(
        &self,
        than: &str,
        times: f64,
        ratio: impl Fn(f64) -> f64,
    ) -> (Option<f64>, Verdict) {
        match self.value(than).map(ratio) {
            Some(ratio) => (Some(ratio), verdict(ratio >= times)),
            None => (None, Verdict::NoYardstick),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine {
            cpu,
            cores,
            memory_mib,
            kernel,
            load_before,
            ..
        } = &self.machine;
        writeln!(
            f,
            "{cpu}, {cores} cores, {memory_mib} MiB, Linux {kernel}, load {load_before}"
        )?;
        if self.quick {
            writeln!(f, "quick run: a tenth of the entries, figures are rough")?;
        }
        let name = self
            .rows
            .iter()
            .map(|row| row.name.len())
            .max()
            .unwrap_or(0)
            .max(7);
        let aim = self
            .rows
            .iter()
            .map(|row| row.aim.len())
            .max()
            .unwrap_or(0)
            .max(3);
        writeln!(
            f,
            "\n{:name$}  {:>12} {:4}  {:aim$}  {:>8}",
            "measure", "value", "", "aim", "ratio"
        )?;
        for row in &self.rows {
            let (value, unit) = (number(row.value), row.unit.symbol());
            let ratio = row
                .ratio
                .map(|ratio| format!("{} x", number(ratio)))
                .unwrap_or_default();
            let line = format!(
                "{:name$}  {value:>12} {unit:4}  {:aim$}  {ratio:>8}  {}",
                row.name, row.aim, row.verdict
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn verdict(met: bool) -> Verdict {
    if met { Verdict::Met } else { Verdict::Missed }
}

fn describe(aim: Aim, unit: Unit) -> String {
    let unit = unit.symbol();
    match aim {
        Aim::None => String::new(),
        Aim::AtMost(most) => format!("at most {} {unit}", number(most)),
        Aim::AtLeast(least) => format!("at least {} {unit}", number(least)),
        Aim::Faster { than, times } => format!("{times} x faster than {than}"),
        Aim::More { than, times } => format!("{times} x {than}"),
        Aim::Beside(than) => format!("(beside {than})"),
    }
}

/// Three significant digits, thousands apart: 12 345 678, 123, 1.23, 0.0123.
fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    if value.abs() < 100.0 {
        let decimals = (2 - value.abs().log10().floor() as i32).clamp(0, 9) as usize;
        return format!("{value:.decimals$}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
