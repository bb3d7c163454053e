//! Two units in two processes: this one, and children that run this very program.
//!
//! A child is told what to do by lines on its standard input and answers each with a line of JSON.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::Instant;

use ha_core::redundancy::RfState;
use ha_transport::Identity;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::held::TableSpec;
use crate::suite::BenchError;
use crate::unit::{BOUND, Keepalive, LinkKind, Unit, UnitSpec, resident_bytes};

/// Where a pair lives: addresses and identities.
#[derive(Debug)]
pub struct Site {
    spec: UnitSpec,
    _folder: TempDir,
}

impl Site {
    /// Two free addresses on loopback, and two fresh identities.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn new(
        link: LinkKind,
        keepalive: Keepalive,
        tables: Vec<TableSpec>,
    ) -> Result<Self, BenchError> {
        let folder = tempfile::tempdir().map_err(BenchError::io("making a folder"))?;
        for name in ["unit-0", "unit-1"] {
            let identity = Identity::generate(name).map_err(BenchError::failed("an identity"))?;
            let saved = identity.save(folder.path().join(name));
            saved.map_err(BenchError::failed("an identity"))?;
        }
        let spec = UnitSpec {
            unit: 0,
            addresses: [free_address()?, free_address()?],
            folder: folder.path().into(),
            link,
            keepalive,
            tables,
        };
        Ok(Self {
            spec,
            _folder: folder,
        })
    }

    /// Unit 0, filled, active and in this process. Then the standby can come.
    ///
    /// # Errors
    /// If it does not get there.
    pub fn active(&self) -> Result<Unit, BenchError> {
        let mut unit = self.here(0)?;
        unit.fill()?;
        unit.start()?;
        unit.await_state(RfState::Active)?;
        Ok(unit)
    }

    /// A unit in this process, not started.
    ///
    /// # Errors
    /// If the library refuses a table.
    pub fn here(&self, unit: u32) -> Result<Unit, BenchError> {
        Unit::new(self.spec(unit))
    }

    /// A unit in a process of its own, not started.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn child(&self, unit: u32) -> Result<Peer, BenchError> {
        Peer::spawn(&self.spec(unit))
    }

    fn spec(&self, unit: u32) -> UnitSpec {
        UnitSpec {
            unit,
            ..self.spec.clone()
        }
    }
}

/// A unit in a process of its own; killed when dropped.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    orders: ChildStdin,
    answers: Receiver<Answer>,
}

/// What a child is told, each as a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Order {
    /// Fill the tables.
    Fill,
    /// Start the node and become active.
    Activate,
    /// Start the node and become STANDBY HOT.
    Sync,
    /// Wait until the peer is known to be STANDBY HOT.
    AwaitStandby,
    /// Tell what the node counts.
    Stats,
    /// Tell the sum over all tables.
    Checksum,
    /// Tell how much memory is used.
    Memory,
    /// Give the active role to the peer.
    Switchover,
    /// Stop the node in order.
    Stop,
}

/// What a child answers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// It is done.
    Done,
    /// The unit is STANDBY HOT with all entries.
    Synced {
        /// From the start of the node on.
        seconds: f64,
        /// The part of it that the stream took.
        stream_seconds: Option<f64>,
    },
    /// The counters.
    Stats {
        /// Seconds since the process began.
        at: f64,
        /// Entries applied, all together.
        applied: u64,
    },
    /// A number that was asked for.
    Number(u64),
    /// It did not work.
    Failed(String),
}

impl Peer {
    fn spawn(spec: &UnitSpec) -> Result<Self, BenchError> {
        let program = std::env::current_exe().map_err(BenchError::io("finding this program"))?;
        let spec = serde_json::to_string(spec).map_err(BenchError::failed("encoding a unit"))?;
        let mut child = Command::new(program)
            .args([COMMAND, &spec])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(BenchError::io("starting a unit"))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (orders, output) =
            pipes.ok_or_else(|| BenchError::failed("starting a unit")("without pipes"))?;
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let answer = serde_json::from_str(&line);
                let answer = answer.unwrap_or_else(|error| Answer::Failed(error.to_string()));
                if sender.send(answer).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            child,
            orders,
            answers,
        })
    }

    /// Tells the unit to do something; returns when the order is written.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn order(&mut self, order: Order) -> Result<(), BenchError> {
        let line = serde_json::to_string(&order).map_err(BenchError::failed("an order"))?;
        writeln!(self.orders, "{line}").map_err(BenchError::io("telling a unit"))
    }

    /// Waits for the answer to the oldest open order.
    ///
    /// # Errors
    /// If the unit failed, is gone or does not answer.
    pub fn answer(&mut self) -> Result<Answer, BenchError> {
        match self.answers.recv_timeout(BOUND) {
            Ok(answer) => success(answer),
            Err(RecvTimeoutError::Timeout) => Err(BenchError::TimedOut {
                what: "the answer of a unit".into(),
                bound: BOUND,
            }),
            Err(RecvTimeoutError::Disconnected) => Err(self.gone()),
        }
    }

    /// The answer to the oldest open order, if it is there.
    ///
    /// # Errors
    /// If the unit failed or is gone.
    pub fn try_answer(&mut self) -> Result<Option<Answer>, BenchError> {
        match self.answers.try_recv() {
            Ok(answer) => success(answer).map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(self.gone()),
        }
    }

    /// Gives an order and waits for the answer.
    ///
    /// # Errors
    /// As for [`answer`](Self::answer).
    pub fn ask(&mut self, order: Order) -> Result<Answer, BenchError> {
        self.order(order)?;
        self.answer()
    }

    /// Has the unit start and become STANDBY HOT; the seconds from start to end, and of the stream.
    ///
    /// # Errors
    /// If it does not get there.
    pub fn sync(&mut self) -> Result<(f64, Option<f64>), BenchError> {
        match self.ask(Order::Sync)? {
            Answer::Synced {
                seconds,
                stream_seconds,
            } => Ok((seconds, stream_seconds)),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks for a number.
    ///
    /// # Errors
    /// If it does not come.
    pub fn number(&mut self, order: Order) -> Result<u64, BenchError> {
        match self.ask(order)? {
            Answer::Number(number) => Ok(number),
            other => Err(unexpected(&other)),
        }
    }

    /// When, by the unit's clock, it had applied how many entries.
    ///
    /// # Errors
    /// If it does not tell.
    pub fn applied(&mut self) -> Result<(f64, u64), BenchError> {
        match self.ask(Order::Stats)? {
            Answer::Stats { at, applied } => Ok((at, applied)),
            other => Err(unexpected(&other)),
        }
    }

    /// Insists that the unit holds what `active` holds.
    ///
    /// # Errors
    /// If it does not.
    pub fn expect_equal(&mut self, active: &Unit) -> Result<(), BenchError> {
        if self.number(Order::Checksum)? == active.checksum() {
            return Ok(());
        }
        Err(BenchError::failed("the standby")("holds other values"))
    }

    /// Ends the process as a crash would, and returns when it was.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn kill(&mut self) -> Result<Instant, BenchError> {
        let at = Instant::now();
        self.child
            .kill()
            .map_err(BenchError::io("killing a unit"))?;
        Ok(at)
    }

    fn gone(&mut self) -> BenchError {
        match self.child.wait() {
            Ok(status) => BenchError::Exited {
                program: "a unit",
                status,
            },
            Err(source) => BenchError::io("waiting for a unit")(source),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Acts as a child if the arguments say so, until the parent is gone or has no more orders.
pub fn serve(mut args: impl Iterator<Item = String>) -> Option<Result<(), BenchError>> {
    (args.next()? == COMMAND).then(|| serve_unit(&args.next().unwrap_or_default()))
}

fn serve_unit(spec: &str) -> Result<(), BenchError> {
    let began = Instant::now();
    let spec = serde_json::from_str(spec).map_err(BenchError::failed("reading a unit"))?;
    let mut unit = Unit::new(spec)?;
    for line in std::io::stdin().lines() {
        let line = line.map_err(BenchError::io("reading an order"))?;
        let order = serde_json::from_str(&line).map_err(BenchError::failed("an order"))?;
        let answer = obey(&mut unit, order, began);
        let answer = answer.unwrap_or_else(|error| Answer::Failed(error.to_string()));
        let line = serde_json::to_string(&answer).map_err(BenchError::failed("an answer"))?;
        println!("{line}");
    }
    Ok(())
}

fn obey(unit: &mut Unit, order: Order, began: Instant) -> Result<Answer, BenchError> {
    match order {
        Order::Fill => unit.fill()?,
        Order::Activate => {
            unit.start()?;
            unit.await_state(RfState::Active)?;
        }
        Order::Sync => {
            let (took, stream) = unit.sync()?;
            return Ok(Answer::Synced {
                seconds: took.as_secs_f64(),
                stream_seconds: stream.map(|took| took.as_secs_f64()),
            });
        }
        Order::AwaitStandby => unit.await_standby()?,
        Order::Stats => {
            let applied = unit.stats()?.0.entries_applied;
            let at = began.elapsed().as_secs_f64();
            return Ok(Answer::Stats { at, applied });
        }
        Order::Checksum => return Ok(Answer::Number(unit.checksum())),
        Order::Memory => return Ok(Answer::Number(resident_bytes()?)),
        Order::Switchover => unit.switchover()?,
        Order::Stop => unit.stop(),
    }
    Ok(Answer::Done)
}

fn success(answer: Answer) -> Result<Answer, BenchError> {
    match answer {
        Answer::Failed(cause) => Err(BenchError::failed("the other unit")(cause)),
        answer => Ok(answer),
    }
}

fn unexpected(answer: &Answer) -> BenchError {
    BenchError::failed("a unit")(format!("unexpected answer {answer:?}"))
}

/// Free for TCP and for UDP. Another process could take it before the unit does; then the unit
/// says so.
fn free_address() -> Result<SocketAddr, BenchError> {
    for _ in 0..100 {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let tcp = tcp.map_err(BenchError::io("finding a free port"))?;
        let address = tcp
            .local_addr()
            .map_err(BenchError::io("finding a free port"))?;
        if UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(BenchError::failed("finding a free port")("none is"))
}

/// The hidden command of a child.
const COMMAND: &str = "unit";
