//! Incremental updates: how many reach the replica per second.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use super::resp::{Connection, encode};
use super::server::Server;
use super::{POLL, UPDATES, field, key};
use crate::random::Random;
use crate::report::{Aim, Report, Unit};
use crate::suite::{BenchError, Context, wait_until};

/// Tries several numbers of connections, with and without answers; the best counts.
pub(super) fn measure(
    master: &Server,
    replica: &Server,
    context: &Context,
    report: &mut Report,
) -> Result<(), BenchError> {
    let mut best = 0.0_f64;
    let mut stream_bytes = 0.0;
    for connections in [1, 2, 4] {
        for answers in [Answers::Read, Answers::Off] {
            let run = Run {
                connections,
                answers,
                context,
            };
            let outcome = run.measure(master, replica)?;
            let name = format!("redis: SET, {connections} x connection, {}", answers.text());
            report.row(name, outcome.per_second, Unit::PerSecond, Aim::None);
            best = best.max(outcome.per_second);
            stream_bytes = outcome.stream_bytes;
        }
    }
    report.row(UPDATES, best, Unit::PerSecond, Aim::None);
    report.row(
        "redis: replication stream per SET",
        stream_bytes,
        Unit::Bytes,
        Aim::None,
    );
    Ok(())
}

/// What becomes of the answers to SET.
#[derive(Clone, Copy)]
enum Answers {
    /// A second thread reads them, so that neither side waits.
    Read,
    /// `CLIENT REPLY OFF`: the server does not even write them.
    Off,
}

impl Answers {
    fn text(self) -> &'static str {
        match self {
            Self::Read => "answers read",
            Self::Off => "answers off",
        }
    }
}

struct Run<'a> {
    connections: u32,
    answers: Answers,
    context: &'a Context,
}

struct Outcome {
    per_second: f64,
    stream_bytes: f64,
}

impl Run<'_> {
    /// From the first byte sent until the replica has applied what the master replicated.
    fn measure(&self, master: &Server, replica: &Server) -> Result<Outcome, BenchError> {
        let each = self.context.updates / self.connections;
        let total = f64::from(each * self.connections);
        // Encoded before the clock starts: the client shares the processors with the servers.
        let mut jobs = Vec::new();
        for number in 0..self.connections {
            jobs.push((master.connect()?, self.requests(number, each)));
        }
        let (mut master, mut replica) = (master.connect()?, replica.connect()?);
        let before = offset(&mut master, "master_repl_offset")?;
        let start = Instant::now();
        self.send_all(jobs, each)?;
        let target = offset(&mut master, "master_repl_offset")?;
        wait_until("the replica catches up", POLL, CATCH_UP_BOUND, || {
            Ok(offset(&mut replica, "slave_repl_offset")? >= target)
        })?;
        let seconds = start.elapsed().as_secs_f64();
        let stream_bytes = (target - before) as f64 / total;
        Ok(Outcome {
            per_second: total / seconds,
            stream_bytes,
        })
    }

    fn requests(&self, connection: u32, count: u32) -> Vec<u8> {
        let mut random = Random::new(u64::from(connection) + 2);
        let mut value = vec![0; self.context.update_bytes];
        let mut requests = Vec::new();
        for _ in 0..count {
            random.fill(&mut value);
            let key = key(random.below(self.context.entries));
            encode(
                &mut requests,
                [&b"SET"[..], key.as_bytes(), &value].into_iter(),
            );
        }
        requests
    }

    fn send_all(&self, jobs: Vec<(Connection, Vec<u8>)>, each: u32) -> Result<(), BenchError> {
        let answers = self.answers;
        let send = |(connection, requests)| move || answers.exchange(connection, requests, each);
        let threads: Vec<_> = jobs
            .into_iter()
            .map(|job| thread::spawn(send(job)))
            .collect();
        for thread in threads {
            thread.join().map_err(|_| BenchError::Thread {
                what: "sending to redis",
            })??;
        }
        Ok(())
    }
}

impl Answers {
    /// Sends `requests`, `count` of them; returns once the master has executed them all.
    fn exchange(
        self,
        mut connection: Connection,
        requests: Vec<u8>,
        count: u32,
    ) -> Result<(), BenchError> {
        match self {
            Self::Read => {
                let mut writer = connection.writer()?;
                let sender = thread::spawn(move || writer.write_all(&requests));
                connection.expect_ok(count)?;
                let sent = sender
                    .join()
                    .map_err(|_| BenchError::Thread { what: "sending" })?;
                sent.map_err(BenchError::io("writing to redis"))
            }
            Self::Off => {
                connection.send_command(&["CLIENT", "REPLY", "OFF"])?;
                connection.send(&requests)?;
                // Answered after everything before it was executed.
                connection.send_command(&["CLIENT", "REPLY", "ON"])?;
                connection.expect_ok(1)
            }
        }
    }
}

fn offset(client: &mut Connection, name: &str) -> Result<u64, BenchError> {
    let info = client.command(&["INFO", "replication"])?;
    let offset = field(&info, name).and_then(|text| text.parse().ok());
    offset.ok_or_else(|| BenchError::Reply {
        command: format!("INFO ({name})"),
        reply: info,
    })
}

const CATCH_UP_BOUND: Duration = Duration::from_secs(120);
