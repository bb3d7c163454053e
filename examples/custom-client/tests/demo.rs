//! Runs the program as a user does.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Far more than a run takes on a loaded machine.
const LIMIT: Duration = Duration::from_secs(150);

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_custom-client"))
}

/// A child process that never outlives its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs to the end, within the limit.
fn output(command: &mut Command) -> Output {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Running(child);
    let read = |mut from: Box<dyn Read + Send>| {
        let (done, text) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = from.read_to_end(&mut bytes);
            let _ = done.send(bytes);
        });
        text
    };
    let stdout = read(Box::new(child.0.stdout.take().unwrap()));
    let stderr = read(Box::new(child.0.stderr.take().unwrap()));
    let stdout = stdout.recv_timeout(LIMIT).expect("it did not end in time");
    let stderr = stderr.recv_timeout(LIMIT).expect("it did not end in time");
    Output {
        status: child.0.wait().unwrap(),
        stdout,
        stderr,
    }
}

fn demo(transport: &str) {
    let mut command = program();
    command.args([
        "demo",
        "--mappings",
        "400",
        "--seconds",
        "1",
        "--transport",
        transport,
    ]);
    let output = output(&mut command);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{err}");
    for expected in [
        "unit 0 killed with SIGKILL  ",
        "unit 1 killed with SIGKILL  ",
        "switchover 0",
    ] {
        assert!(
            out.contains(expected) || out.contains("switchover 1"),
            "{out}"
        );
    }
    assert_eq!(out.matches("and has ").count(), 3, "{out}");
    assert!(
        out.contains("Nothing that was committed was lost."),
        "{out}"
    );
}

#[test]
fn nothing_is_lost_over_tcp() {
    demo("tcp");
}

#[test]
fn nothing_is_lost_over_quic() {
    demo("quic");
}

/// A unit on its own: simplex, with its standard input held by the test.
struct Unit {
    _stdin: ChildStdin,
    process: Running,
    socket: BufReader<UnixStream>,
}

impl Unit {
    fn start(directory: &Path, stderr: Stdio) -> Self {
        let identity = directory.join("identity");
        let made = output(program().arg("identity").arg(&identity));
        let pin = String::from_utf8(made.stdout).unwrap();
        let path = directory.join("unit.sock");
        let mut process = program()
            .args(["unit", "--id", "0", "--log", "debug", "--with-stdin"])
            .args(["--listen", "127.0.0.1:0", "--peer", "127.0.0.1:9"])
            .args(["--pin", pin.trim()])
            .arg("--identity")
            .arg(&identity)
            .arg("--socket")
            .arg(&path)
            .stdin(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let stdin = process.stdin.take().unwrap();
        let mut process = Running(process);
        let socket = BufReader::new(connect(&path, &mut process));
        Self {
            _stdin: stdin,
            process,
            socket,
        }
    }

    fn send(&mut self, text: &str) {
        self.socket.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.socket.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn ask(&mut self, command: &str) -> String {
        self.send(&format!("{command}\n"));
        self.line()
    }

    /// Adds a mapping as soon as the unit is active.
    fn add(&mut self, port: u16) -> String {
        within_limit(|| {
            let answer = self.ask(&format!("ADD tcp {port} 10.0.0.5:80 alice"));
            (!answer.starts_with("ERR not active")).then_some(answer)
        })
    }
}

fn connect(path: &Path, process: &mut Running) -> UnixStream {
    let stream = within_limit(|| {
        assert!(
            process.0.try_wait().unwrap().is_none(),
            "the unit ended by itself"
        );
        UnixStream::connect(path).ok()
    });
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Tries until it succeeds.
fn within_limit<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let (nobody, pause) = mpsc::channel::<()>();
    for _ in 0..LIMIT.as_millis() / PAUSE.as_millis() {
        if let Some(done) = attempt() {
            return done;
        }
        let _ = pause.recv_timeout(PAUSE);
    }
    drop(nobody);
    panic!("it did not happen in time");
}

const PAUSE: Duration = Duration::from_millis(20);

#[test]
fn a_unit_answers_every_command_and_refuses_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let mut unit = Unit::start(directory.path(), Stdio::null());
    assert_eq!(unit.add(8080), "OK degraded");
    assert_eq!(unit.ask("GET tcp 8080"), "OK 10.0.0.5:80 alice 0");
    assert_eq!(unit.ask("GET udp 8080"), "ERR udp 8080 is not mapped");
    assert_eq!(unit.ask("DEL udp 8080"), "ERR udp 8080 is not mapped");
    assert_eq!(unit.ask("LIST"), "OK 1 lines");
    assert_eq!(unit.line(), "tcp 8080 10.0.0.5:80 alice 0");
    assert!(unit.ask("ADD tcp x").contains("`x` is no port; usage: ADD"));
    assert!(unit.ask("\u{1}\u{2}").starts_with("ERR"));
    assert!(
        unit.ask("SWITCHOVER").starts_with("ERR"),
        "there is no peer"
    );
    let states = unit.ask("STATES");
    let count: usize = states.split(' ').nth(1).unwrap().parse().unwrap();
    let states: Vec<_> = (0..count).map(|_| unit.line()).collect();
    assert!(
        states.contains(&"my state = 13 -ACTIVE".to_owned()),
        "{states:?}"
    );
    assert_eq!(unit.ask("DEL tcp 8080"), "OK degraded");
    assert_eq!(unit.ask("QUIT"), "OK bye");
    assert_eq!(unit.line(), "");
}

#[test]
fn a_line_without_end_is_cut_off_and_the_unit_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut unit = Unit::start(directory.path(), Stdio::null());
    unit.send(&"x".repeat(257));
    assert_eq!(unit.line(), "ERR a line has at most 256 bytes");
    assert_eq!(unit.line(), "");
    let path = directory.path().join("unit.sock");
    unit.socket = BufReader::new(connect(&path, &mut unit.process));
    assert_eq!(unit.add(1), "OK degraded");
}

/// Connections that say nothing neither end those that are served nor add up without bound.
#[test]
fn connections_beyond_the_limit_wait() {
    let directory = tempfile::tempdir().unwrap();
    let mut unit = Unit::start(directory.path(), Stdio::null());
    assert_eq!(unit.add(1), "OK degraded");
    let path = directory.path().join("unit.sock");
    let idle: Vec<_> = (0..100)
        .filter_map(|_| UnixStream::connect(&path).ok())
        .collect();
    assert!(idle.len() >= 64);
    assert_eq!(unit.add(2), "OK degraded");
    drop(idle);
    unit.socket = BufReader::new(connect(&path, &mut unit.process));
    assert_eq!(unit.add(3), "OK degraded");
}

/// The disk on which the logs are is full: each line fails with "no space left on device".
#[test]
fn a_full_disk_for_logs_does_not_harm_the_unit() {
    let directory = tempfile::tempdir().unwrap();
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut unit = Unit::start(directory.path(), full.into());
    for port in 1..=200 {
        assert_eq!(unit.add(port), "OK degraded");
    }
}

/// Whoever should read the logs does not: the pipe fills, and writing to it would wait for ever.
#[test]
fn logs_that_nobody_reads_do_not_harm_the_unit() {
    let directory = tempfile::tempdir().unwrap();
    let mut unit = Unit::start(directory.path(), Stdio::piped());
    // Each command is a line in the log; a pipe holds 64 KiB.
    for port in 1..=2000 {
        assert_eq!(unit.add(port), "OK degraded");
    }
    assert!(unit.process.0.stderr.is_some());
}

#[test]
fn a_unit_ends_with_its_parent() {
    let directory = tempfile::tempdir().unwrap();
    let Unit {
        _stdin: stdin,
        mut process,
        socket,
    } = Unit::start(directory.path(), Stdio::null());
    drop((stdin, socket));
    let status = within_limit(|| process.0.try_wait().unwrap());
    assert!(status.success(), "{status}");
}

#[test]
fn wrong_arguments_are_explained() {
    for (arguments, text) in [
        (vec!["unit"], "--id is missing"),
        (vec!["unit", "--id", "x"], "`x` is no value for --id"),
        (vec!["demo", "--mappings", "0"], "--mappings must be 1 to"),
        (vec!["demo", "--transport", "sctp"], "use tcp or quic"),
        (vec!["serve"], "`serve` is not understood"),
        (vec![], "a command is missing"),
    ] {
        let output = output(program().args(&arguments));
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && err.contains(text),
            "{arguments:?}: {err}"
        );
    }
}
