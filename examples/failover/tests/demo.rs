//! Runs the program as a user does: real processes, real signals, real packets.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Far more than a run takes on a loaded machine.
const LIMIT: Duration = Duration::from_secs(240);
const PAUSE: Duration = Duration::from_millis(10);

/// One run at a time: each keeps two cores busy, and measures time.
static MACHINE: Mutex<()> = Mutex::new(());

fn program(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_failover"));
    command.args(arguments.split_whitespace());
    command
}

/// A child process that never outlives its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// Waits for the end, within the limit.
    fn output(mut self) -> Output {
        let stdout = read(self.0.stdout.take().unwrap());
        let stderr = read(self.0.stderr.take().unwrap());
        Output {
            stdout: stdout.recv_timeout(LIMIT).expect("it did not end in time"),
            stderr: stderr.recv_timeout(LIMIT).expect("it did not end in time"),
            status: self.0.wait().unwrap(),
        }
    }
}

fn read(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (done, bytes) = mpsc::channel();
    std::thread::spawn(move || {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all);
        let _ = done.send(all);
    });
    bytes
}

/// A small run; returns its exit code, its figures, and what it said.
fn run(arguments: &str) -> (Option<i32>, Value, String) {
    let _alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("report.json");
    let mut command = program("--sas 300 --peers 10 --pps 1500 --keepalive default");
    command.args(arguments.split_whitespace());
    command.arg("--json").arg(&json);
    let output = Running::start(&mut command).output();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let figures = std::fs::read(json).unwrap_or_default();
    let figures = serde_json::from_slice(&figures).unwrap_or_default();
    (output.status.code(), figures, said.into_owned())
}

/// Two failures of one kind, one in each direction: nothing is lost, reused or replayed.
fn holds(arguments: &str) {
    let (code, figures, said) = run(&format!("{arguments} --failures 2"));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(figures["passed"], true, "{said}");
    let failures = figures["failures"].as_array().unwrap();
    let failed: Vec<_> = failures.iter().map(|f| &f["failed_unit"]).collect();
    assert_eq!(failed.len(), 2);
    assert_ne!(failed[0], failed[1], "both directions");
    for failure in failures {
        assert_eq!(failure["sas_before"], 300, "{said}");
        assert_eq!(failure["sas_after"], 300, "{said}");
        assert_eq!(failure["sequence_numbers_reused"], 0, "{said}");
        assert!(failure["replays_injected"].as_u64().unwrap() > 100);
    }
}

#[test]
fn a_killed_unit_is_replaced() {
    holds("--fault crash");
}

#[test]
fn a_stopped_unit_is_replaced_and_does_no_harm_when_it_goes_on() {
    holds("--fault hang");
}

#[test]
fn two_active_units_do_no_harm_and_become_one() {
    holds("--fault partition");
}

#[test]
fn the_role_is_handed_over_by_command() {
    holds("--fault switchover");
}

#[test]
fn crashes_over_quic_and_extended_numbers() {
    holds("--fault crash --transport quic --esn");
}

/// What a stale unit sends lies behind the remote site's window, which with extended numbers is not
/// told by the number but by the integrity check.
#[test]
fn stale_units_with_extended_numbers() {
    holds("--fault hang --esn");
}

#[test]
fn partitions_within_one_process() {
    holds("--fault partition --transport memory");
}

#[test]
fn a_number_used_twice_is_found() {
    let (code, figures, said) = run("--fault switchover --failures 1 --plant reuse");
    assert_eq!(code, Some(1), "{said}");
    let reused = &figures["failures"][0]["sequence_numbers_reused"];
    assert!(reused.as_u64().unwrap() > 0, "{said}");
    assert!(said.contains("BROKEN"), "{said}");
}

#[test]
fn an_accepted_replay_is_found() {
    let (code, figures, said) = run("--fault switchover --failures 1 --plant no-window");
    assert_eq!(code, Some(1), "{said}");
    let accepted = &figures["failures"][0]["replays_accepted"];
    assert!(accepted.as_u64().unwrap() > 0, "{said}");
    assert!(said.contains("BROKEN"), "{said}");
}

#[test]
fn wrong_options_are_explained() {
    for (arguments, text) in [
        ("--fault crash --transport memory", "use tcp or quic"),
        ("--plant nothing", "use reuse or no-window"),
        ("--keepalive slow", "use fast or default"),
        ("--json", "--json"),
        ("unit", "started by the laboratory"),
    ] {
        let mut command = program(arguments);
        let output = Running::start(command.stdin(Stdio::null())).output();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {error}");
        assert!(error.contains(text), "{arguments}: {error}");
    }
}

/// The units end with the program, also when it has no chance to see to it.
#[test]
fn no_unit_is_left_behind() {
    let _alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    for signal in [Signal::TERM, Signal::KILL] {
        let mut running = Running::start(&mut program("--quick"));
        let mut out = BufReader::new(running.0.stdout.take().unwrap());
        out.read_line(&mut String::new()).unwrap();
        let units = children(running.0.id());
        assert_eq!(units.len(), 2);
        // One of them cannot hear anything but the kernel.
        let stopped = Pid::from_raw(units[0].cast_signed()).unwrap();
        kill_process(stopped, Signal::STOP).unwrap();
        kill_process(Pid::from_child(&running.0), signal).unwrap();
        running.0.wait().unwrap();
        let gone = units.iter().all(|unit| within_limit(|| is_gone(*unit)));
        assert!(gone, "after {signal:?}");
    }
}

fn children(of: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap();
    list.split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

/// Ended; perhaps nobody has asked yet how.
fn is_gone(pid: u32) -> bool {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(Path::new(&path)).unwrap_or_default();
    // The state comes after the name, which is in parentheses.
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    matches!(state, None | Some('Z' | 'X'))
}

fn within_limit(mut condition: impl FnMut() -> bool) -> bool {
    let (_nobody, pause) = mpsc::channel::<()>();
    for _ in 0..LIMIT.as_millis() / PAUSE.as_millis() {
        if condition() {
            return true;
        }
        let _ = pause.recv_timeout(PAUSE);
    }
    false
}
