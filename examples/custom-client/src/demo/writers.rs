//! Clients that write all the time, each in a range of keys of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::Client;
use super::ledger::{Answered, Ledger};
use crate::args::Error;
use crate::table::{Mapping, PortKey, Protocol};

/// How many write at once.
pub(super) const WRITERS: usize = 8;
/// One write of this many removes a mapping, once all are written.
const REMOVE_EACH: u64 = 16;

/// All writers, at work. Dropping them ends them.
pub(super) struct Writers {
    tasks: JoinSet<Result<Writer, Error>>,
    progress: Arc<Progress>,
}

/// What all writers count together.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) written: AtomicU64,
    stop: AtomicBool,
}

/// One writer, which remembers what it wrote.
pub(super) struct Writer {
    number: usize,
    keys: usize,
    writes: u64,
    pub(super) ledger: Ledger,
}

impl Writers {
    /// Sets all writers to work on the unit at `socket`.
    pub(super) fn start(writers: Vec<Writer>, socket: &Path, progress: &Arc<Progress>) -> Self {
        progress.stop.store(false, Ordering::Relaxed);
        let mut tasks = JoinSet::new();
        for writer in writers {
            tasks.spawn(writer.run(socket.to_owned(), Arc::clone(progress)));
        }
        Self {
            tasks,
            progress: Arc::clone(progress),
        }
    }

    /// Ends all writers after their present write, if their unit did not end them, and gives them
    /// back.
    pub(super) async fn finish(mut self) -> Result<Vec<Writer>, Error> {
        self.progress.stop.store(true, Ordering::Relaxed);
        let mut writers = Vec::new();
        while let Some(writer) = self.tasks.join_next().await {
            writers.push(writer.map_err(Error::other)??);
        }
        Ok(writers)
    }
}

impl Writer {
    /// Writers that share `mappings` keys.
    pub(super) fn all(mappings: usize) -> Vec<Self> {
        let keys = mappings.div_ceil(WRITERS);
        let writer = |number| Self {
            number,
            keys,
            writes: 0,
            ledger: Ledger::default(),
        };
        (0..WRITERS).map(writer).collect()
    }

    /// Writes until told to stop, or until the unit takes no more writes.
    async fn run(mut self, socket: PathBuf, progress: Arc<Progress>) -> Result<Self, Error> {
        let mut client = Client::connect(&socket).await.map_err(Error::other)?;
        while !progress.stop.load(Ordering::Relaxed) {
            let (key, value) = self.next_write();
            let command = match &value {
                Some(mapping) => format!("ADD {key} {mapping}"),
                None => format!("DEL {key}"),
            };
            let answer = client.ask(&command).await;
            let answered = match answer.as_deref() {
                Ok("OK replicated") => Answered::Replicated,
                Ok("OK degraded") => Answered::Degraded,
                // Refused: nothing was written, and this unit is not the one to ask any more.
                Ok(text) if text.starts_with("ERR not active") => break,
                Ok(text) if !text.starts_with("ERR unknown outcome") => {
                    return Err(Error::other(format!("{command}: {text}")));
                }
                _ => Answered::Open,
            };
            self.ledger.note(key, value, answered, Instant::now());
            if answered == Answered::Open {
                break;
            }
            self.writes += 1;
            progress.written.fetch_add(1, Ordering::Relaxed);
        }
        Ok(self)
    }

    /// First each key once, then again with another value, or its removal.
    fn next_write(&self) -> (PortKey, Option<Mapping>) {
        let place = usize::try_from(self.writes).unwrap_or(0) % self.keys;
        let key = key(place * WRITERS + self.number);
        if self.writes % REMOVE_EACH == REMOVE_EACH - 1 && self.ledger.is_mapped(key) {
            return (key, None);
        }
        let [.., a, b, c] = self.writes.to_be_bytes();
        let mapping = Mapping {
            internal: ([10, a, b, c], key.port).into(),
            owner: format!("writer-{}", self.number),
            lifetime_s: 0,
        };
        (key, Some(mapping))
    }
}

/// The keys in order: all ports of TCP, then those of UDP.
fn key(index: usize) -> PortKey {
    let protocol = if index < PORTS {
        Protocol::Tcp
    } else {
        Protocol::Udp
    };
    PortKey {
        protocol,
        port: u16::try_from(index % PORTS).unwrap_or(0),
    }
}

const PORTS: usize = 65536;
