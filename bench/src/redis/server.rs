//! A Redis process of our own: started on a free port, killed when dropped.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::resp::Connection;
use crate::suite::{BenchError, wait_until};

/// A running `redis-server` with an empty folder of its own.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    // Removed after the process is gone.
    _folder: TempDir,
}

impl Server {
    /// Starts a server with the settings that are fastest for replication, and waits until it
    /// answers.
    ///
    /// # Errors
    /// If the program is missing or does not answer within ten seconds.
    pub fn start() -> Result<Self, BenchError> {
        let folder = tempfile::tempdir().map_err(BenchError::io("making a folder for redis"))?;
        let address = free_address()?;
        let child = Command::new(PROGRAM)
            .args([
                "--port",
                &address.port().to_string(),
                "--bind",
                &address.ip().to_string(),
            ])
            .arg("--dir")
            .arg(folder.path())
            .args(SETTINGS)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|source| BenchError::Missing {
                program: PROGRAM,
                source,
            })?;
        let mut server = Self {
            child,
            address,
            _folder: folder,
        };
        server.await_ready()?;
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new connection to it.
    ///
    /// # Errors
    /// If it does not accept one.
    pub fn connect(&self) -> Result<Connection, BenchError> {
        Connection::open(self.address)
    }

    fn await_ready(&mut self) -> Result<(), BenchError> {
        wait_until("redis-server answers", POLL, READY_BOUND, || {
            let status = self
                .child
                .try_wait()
                .map_err(BenchError::io("asking for redis"))?;
            if let Some(status) = status {
                return Err(BenchError::Exited {
                    program: PROGRAM,
                    status,
                });
            }
            let answer = Connection::open(self.address).and_then(|mut c| c.command(&["PING"]));
            Ok(answer.is_ok_and(|text| text == "PONG"))
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already; either way nothing is left to be saved.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets the kernel choose a port. Another process could take it before Redis does; then Redis
/// ends and the caller gets [`BenchError::Exited`].
fn free_address() -> Result<SocketAddr, BenchError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(BenchError::io("finding a free port"))
}

const PROGRAM: &str = "redis-server";
const POLL: Duration = Duration::from_millis(5);
const READY_BOUND: Duration = Duration::from_secs(10);

/// Fast for Redis, wherever there is a choice: nothing is written to disk; a full resync goes
/// straight from the forked child to the socket and from the socket into the empty replica,
/// at once, uncompressed (random values do not compress) and without checksum; a replica is never
/// cut off for being slow.
const SETTINGS: &[&str] = &[
    "--save",
    "",
    "--appendonly",
    "no",
    "--daemonize",
    "no",
    "--loglevel",
    "warning",
    "--repl-diskless-sync",
    "yes",
    "--repl-diskless-sync-delay",
    "0",
    "--repl-diskless-load",
    "on-empty-db",
    "--rdbcompression",
    "no",
    "--rdbchecksum",
    "no",
    "--repl-disable-tcp-nodelay",
    "no",
    "--client-output-buffer-limit",
    "replica 0 0 0",
];
