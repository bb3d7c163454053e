//! A client of a unit's local socket: all that the demonstration knows comes through it.

use core::time::Duration;
use std::io;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// A connection.
pub(super) struct Client(BufReader<UnixStream>);

/// Longest time for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

impl Client {
    pub(super) async fn connect(socket: &Path) -> io::Result<Self> {
        Ok(Self(BufReader::new(UnixStream::connect(socket).await?)))
    }

    /// Sends a command; returns the first line of the answer.
    pub(super) async fn ask(&mut self, command: &str) -> io::Result<String> {
        let exchange = async {
            self.0.write_all(format!("{command}\n").as_bytes()).await?;
            self.line().await
        };
        timeout(ANSWER_LIMIT, exchange).await?
    }

    /// Sends a command whose answer has more lines.
    pub(super) async fn ask_lines(&mut self, command: &str) -> io::Result<Vec<String>> {
        let head = self.ask(command).await?;
        let count = head
            .strip_prefix("OK ")
            .and_then(|rest| rest.strip_suffix(" lines"));
        let Some(count) = count.and_then(|count| count.parse().ok()) else {
            return Err(io::Error::other(head));
        };
        let mut lines = Vec::new();
        for _ in 0..count {
            lines.push(timeout(ANSWER_LIMIT, self.line()).await??);
        }
        Ok(lines)
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        match line.pop() {
            Some('\n') => Ok(line),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
