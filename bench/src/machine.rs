//! What the figures were measured on.

use std::fs;

use serde::Serialize;

/// The machine and the state of the tree.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's own name.
    pub cpu: String,
    /// How many hardware threads this process may use.
    pub cores: usize,
    /// Main memory, in MiB.
    pub memory_mib: u64,
    /// The kernel's release.
    pub kernel: String,
    /// Processes that were runnable in the last minute, on average: above 0.5 others were busy.
    pub load_before: f64,
    /// The commit that was measured, if `HA_BENCH_COMMIT` tells it.
    pub commit: Option<String>,
}

impl Machine {
    /// Reads it from `/proc`; what is not there becomes "unknown" or 0.
    #[must_use]
    pub fn read() -> Self {
        Self {
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: memory_mib(&read("/proc/meminfo")),
            kernel: first_word(&read("/proc/sys/kernel/osrelease")).unwrap_or_else(unknown),
            load_before: load(&read("/proc/loadavg")),
            commit: std::env::var("HA_BENCH_COMMIT")
                .ok()
                .filter(|text| !text.is_empty()),
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn unknown() -> String {
    "unknown".into()
}

/// The value of the first line `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn first_word(text: &str) -> Option<String> {
    text.split_whitespace().next().map(str::to_owned)
}

fn memory_mib(meminfo: &str) -> u64 {
    let total = field(meminfo, "MemTotal").and_then(|value| first_word(&value));
    total.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn load(loadavg: &str) -> f64 {
    first_word(loadavg)
        .and_then(|word| word.parse().ok())
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_formats() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 2.0GHz\n";
        assert_eq!(field(cpuinfo, "model name").unwrap(), "Some CPU @ 2.0GHz");
        assert_eq!(
            memory_mib("MemTotal:       24689912 kB\nMemFree: 1 kB\n"),
            24_111
        );
        assert_eq!((memory_mib(""), memory_mib("MemTotal: much")), (0, 0));
        assert!((load("1.25 0.5 0.1 1/80 99\n") - 1.25).abs() < 1e-9);
        assert_eq!(load("").to_bits(), 0.0_f64.to_bits());
    }
}
