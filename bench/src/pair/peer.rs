//! A child as its parent sees it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::Instant;

use super::child::{Answer, COMMAND, Order};
use crate::suite::BenchError;
use crate::unit::{BOUND, Unit, UnitSpec};

/// A unit in a process of its own; killed when dropped.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    orders: ChildStdin,
    answers: Receiver<Answer>,
}

impl Peer {
    pub(super) fn spawn(spec: &UnitSpec) -> Result<Self, BenchError> {
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

fn success(answer: Answer) -> Result<Answer, BenchError> {
    match answer {
        Answer::Failed(cause) => Err(BenchError::failed("the other unit")(cause)),
        answer => Ok(answer),
    }
}

fn unexpected(answer: &Answer) -> BenchError {
    BenchError::failed("a unit")(format!("unexpected answer {answer:?}"))
}
