//! One unit, as the laboratory holds it: a child process, or a thread for the memory transport.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::process::{Child, Command as Program, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

use super::cable::MemoryEnd;
use crate::control::{self, Command, Event, Setup};
use crate::unit;

/// A unit that runs. When dropped it is ended at once, and never left behind.
pub(super) struct Unit {
    body: Body,
    commands: Box<dyn Write + Send>,
    said: watch::Receiver<Said>,
}

enum Body {
    Process(Child),
    Thread(Option<JoinHandle<()>>),
}

/// What a unit has said of itself so far.
#[derive(Clone, Default, Debug)]
pub(super) struct Said {
    /// Its state, such as `STANDBY HOT`.
    pub(super) state: String,
    /// The state in which it believes its peer.
    pub(super) peer: String,
    /// SA pairs that both units hold.
    pub(super) installed: u32,
    /// Switchovers that it finished.
    pub(super) switchovers: u32,
    /// The first command that failed, or why it ended.
    pub(super) failure: Option<String>,
}

impl Unit {
    /// Starts this program as a unit.
    ///
    /// To be called on a thread that lives as long as the unit may: the kernel ends the child when
    /// that thread ends, in whatever way.
    pub(super) fn spawn(setup: Setup, log: Stdio) -> io::Result<Self> {
        let mut child = Program::new(std::env::current_exe()?)
            .arg(unit::ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let (Some(commands), Some(events)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the unit has no pipes"));
        };
        Self::begin(Body::Process(child), Box::new(commands), events, setup)
    }

    /// Starts a unit as a thread of this process.
    pub(super) fn thread(setup: Setup, link: MemoryEnd) -> io::Result<Self> {
        let (from, commands) = io::pipe()?;
        let (events, to) = io::pipe()?;
        let body = std::thread::Builder::new()
            .name(format!("unit-{}", setup.unit))
            .spawn(move || {
                // It has said why, as its last event.
                let _ = unit::run(BufReader::new(from), to, Some(link));
            })?;
        Self::begin(Body::Thread(Some(body)), Box::new(commands), events, setup)
    }

    fn begin(
        body: Body,
        commands: Box<dyn Write + Send>,
        events: impl Read + Send + 'static,
        setup: Setup,
    ) -> io::Result<Self> {
        let (hears, said) = watch::channel(Said::default());
        let mut unit = Self {
            body,
            commands: Box::new(BufWriter::new(commands)),
            said,
        };
        std::thread::Builder::new()
            .name(format!("events-{}", setup.unit))
            .spawn(move || listen(events, &hears))?;
        unit.tell(&Command::Start(Box::new(setup)))?;
        Ok(unit)
    }

    pub(super) fn tell(&mut self, command: &Command) -> io::Result<()> {
        control::send(&mut self.commands, command)
    }

    /// What it says of itself.
    pub(super) fn said(&self) -> watch::Receiver<Said> {
        self.said.clone()
    }

    /// SIGKILL. The process is gone when this returns.
    pub(super) fn kill(mut self) -> io::Result<()> {
        self.end()
    }

    /// SIGSTOP: it does nothing from now on, and does not know.
    pub(super) fn stop(&self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT: it goes on, as if nothing had happened.
    pub(super) fn go_on(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let Body::Process(child) = &self.body else {
            return Err(io::Error::other("a thread cannot be stopped by a signal"));
        };
        // Not reaped yet, so that the id is still its own.
        Ok(kill_process(Pid::from_child(child), signal)?)
    }

    fn end(&mut self) -> io::Result<()> {
        match &mut self.body {
            // A stopped process dies of it too.
            Body::Process(child) => {
                let killed = child.kill();
                child.wait()?;
                killed
            }
            Body::Thread(thread) => {
                let Some(thread) = thread.take() else {
                    return Ok(());
                };
                // It ends by itself when its commands do.
                self.commands = Box::new(io::sink());
                thread
                    .join()
                    .map_err(|_| io::Error::other("a unit panicked"))
            }
        }
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        let _ = self.end();
    }
}

/// Takes down what a unit says, until it ends.
fn listen(events: impl Read, said: &watch::Sender<Said>) {
    let mut events = BufReader::new(events);
    let end = loop {
        match control::receive(&mut events) {
            Ok(Some(event)) => said.send_modify(|said| said.note(event)),
            Ok(None) => break "it ended".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    said.send_modify(|said| said.note(Event::Failed { why: end }));
}

impl Said {
    fn note(&mut self, event: Event) {
        match event {
            Event::State { mine, peer } => {
                (self.state, self.peer) = (mine, peer.unwrap_or_default());
            }
            Event::Installed { pairs } => self.installed = pairs,
            Event::SwitchedOver => self.switchovers += 1,
            Event::Failed { why } => drop(self.failure.get_or_insert(why)),
        }
    }
}
