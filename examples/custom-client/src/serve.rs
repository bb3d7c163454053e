//! The local socket: reads commands, answers them.

use core::time::Duration;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ha_core::checkpoint::WriteError;
use ha_core::id::GroupId;
use ha_core::sync::{Commit, Committed};
use ha_transport::runtime::Node;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::command::{Command, LINE_LIMIT};
use crate::lease::Leases;
use crate::table::{Mapping, Mappings, PortKey};

/// What connections work on.
pub(crate) struct Service {
    pub(crate) node: Node,
    pub(crate) table: Mappings,
    pub(crate) leases: Leases,
    /// Where the other unit serves, for clients that came to the wrong one.
    pub(crate) peer_socket: Option<PathBuf>,
}

/// Most connections at once; one more waits in the system's backlog.
const MAX_CONNECTIONS: usize = 64;
/// A client that neither sends nor reads for so long is cut off.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// How often expired mappings are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

impl Service {
    /// Serves connections for ever.
    pub(crate) async fn run(self: Arc<Self>, listener: UnixListener) {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        loop {
            let accept = async {
                let slot = Arc::clone(&slots).acquire_owned().await;
                (slot, listener.accept().await)
            };
            tokio::select! {
                (slot, Ok((stream, _))) = accept => {
                    let service = Arc::clone(&self);
                    tokio::spawn(async move {
                        let _slot = slot;
                        // A client that went away is its own business.
                        let _ = service.converse(stream).await;
                    });
                }
                // Also what keeps the loop from spinning when no connection can be accepted.
                now = sweep.tick() => self.sweep(now),
            }
        }
    }

    fn sweep(&self, now: Instant) {
        let active = self.node.group_view().is_some_and(|view| view.active);
        let expired = self.leases.sweep(&self.table, active, now);
        if expired > 0 {
            tracing::info!(expired, "mappings expired");
        }
    }

    async fn converse(&self, stream: UnixStream) -> io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::with_capacity(LINE_LIMIT + 1, read);
        loop {
            let line = match within_limit(read_line(&mut read)).await? {
                Line::Text(line) => line,
                Line::End => return Ok(()),
                Line::TooLong => {
                    let text = format!("ERR a line has at most {LINE_LIMIT} bytes\n");
                    return within_limit(write.write_all(text.as_bytes())).await;
                }
            };
            let command = line.parse();
            let mut answer = match &command {
                Ok(command) => self.answer(command).await,
                Err(error) => format!("ERR {error}"),
            };
            tracing::debug!(command = line, answer = answer.lines().next(), "served");
            answer.push('\n');
            within_limit(write.write_all(answer.as_bytes())).await?;
            if command == Ok(Command::Quit) {
                return Ok(());
            }
        }
    }

    async fn answer(&self, command: &Command) -> String {
        match command {
            Command::Add(key, mapping) => self.add(*key, mapping.clone()).await,
            Command::Del(key) => self.delete(*key).await,
            Command::Get(key) => self.table.get(key).map_or_else(
                || format!("ERR {key} is not mapped"),
                |mapping| format!("OK {mapping}"),
            ),
            Command::List => self.list(),
            Command::States => text(self.node.show_redundancy_states(GROUP).await),
            Command::History => text(self.node.show_redundancy_history(GROUP).await),
            Command::Switchover => match self.node.switchover().await {
                Ok(()) => "OK the other unit is active".to_owned(),
                Err(error) => format!("ERR {error}"),
            },
            Command::Quit => "OK bye".to_owned(),
        }
    }

    /// Answers when the standby has the mapping: output commit.
    async fn add(&self, key: PortKey, mapping: Mapping) -> String {
        self.leases.begin(key, mapping.lifetime_s, Instant::now());
        let commit = self.table.transaction(|t| t.insert(key, mapping));
        self.committed(commit).await
    }

    async fn delete(&self, key: PortKey) -> String {
        if !self.table.contains(&key) && self.is_active() {
            return format!("ERR {key} is not mapped");
        }
        let commit = self.table.transaction(|t| t.remove(key));
        self.committed(commit).await
    }

    async fn committed(&self, commit: Result<Commit, WriteError>) -> String {
        let commit = match commit {
            Ok(commit) => commit,
            Err(WriteError::NotActive) => return self.elsewhere(),
            Err(error) => return format!("ERR {error}"),
        };
        match commit.committed().await {
            Ok(Committed::Replicated) => "OK replicated".to_owned(),
            Ok(Committed::Degraded) => "OK degraded".to_owned(),
            // Not a refusal: the write may have survived.
            Err(error) => format!("ERR unknown outcome: {error}"),
        }
    }

    /// Says where writes are taken.
    fn elsewhere(&self) -> String {
        let view = self.node.group_view();
        let state = view.map_or_else(|| "starting".to_owned(), |view| view.state.to_string());
        let peer_active = view
            .and_then(|view| view.peer_state)
            .is_some_and(|s| s.is_active());
        match (&self.peer_socket, peer_active) {
            (Some(path), true) => {
                format!(
                    "ERR not active: this unit is {state}; write at {}",
                    path.display()
                )
            }
            (None, true) => format!("ERR not active: this unit is {state}; write at the other one"),
            (_, false) => {
                format!("ERR not active: this unit is {state}, nor is the other one; try again")
            }
        }
    }

    fn list(&self) -> String {
        let mut rows: Vec<_> = self.table.snapshot().collect();
        rows.sort_unstable_by_key(|(key, _)| *key);
        let rows: Vec<_> = rows
            .iter()
            .map(|(key, mapping)| format!("{key} {mapping}"))
            .collect();
        lines(&rows)
    }

    fn is_active(&self) -> bool {
        self.node.group_view().is_some_and(|view| view.active)
    }
}

/// A program with one group need not name it; this is its id.
const GROUP: GroupId = GroupId::new(0);

/// Takes the place of a socket that an earlier process left, but not of a living one.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        result => result,
    }
}

/// What a client sent.
enum Line {
    Text(String),
    TooLong,
    End,
}

async fn read_line(read: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Line> {
    let mut line = Vec::new();
    let limit = LINE_LIMIT as u64 + 1;
    read.take(limit).read_until(b'\n', &mut line).await?;
    Ok(match line.pop() {
        Some(b'\n') => Line::Text(String::from_utf8_lossy(&line).into_owned()),
        Some(_) if line.len() == LINE_LIMIT => Line::TooLong,
        // What the client did not finish is not a command.
        _ => Line::End,
    })
}

async fn within_limit<T>(io: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(IDLE_LIMIT, io)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn text<E: std::fmt::Display>(result: Result<String, E>) -> String {
    match result {
        Ok(text) => lines(&text.lines().map(str::to_owned).collect::<Vec<_>>()),
        Err(error) => format!("ERR {error}"),
    }
}

fn lines(rows: &[String]) -> String {
    let mut answer = format!("OK {} lines", rows.len());
    for row in rows {
        answer.push('\n');
        answer.push_str(row);
    }
    answer
}
