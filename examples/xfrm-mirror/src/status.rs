//! The status socket: one line is asked, the rest is the answer.

use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

use crate::plane::Activation;

/// What can be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "request")]
pub(crate) enum Request {
    Status { json: bool },
    Sa,
    Switchover,
    PeerFenced,
    Order(Order),
}

/// What the node is asked, and the data plane has no part in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "order")]
pub(crate) enum Order {
    States,
    History,
    Resync,
    Maintenance { on: bool },
    SetRole { active: bool },
}

/// A request, and where its answer goes.
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) answer: oneshot::Sender<Result<String, String>>,
}

/// Where the daemon stands.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) unit: u32,
    pub(crate) group: u32,
    /// `active`, `standby` or `unknown`: what the data plane of this machine is.
    pub(crate) role: &'static str,
    pub(crate) state: String,
    pub(crate) peer_state: Option<String>,
    pub(crate) peer_up: bool,
    pub(crate) term: u64,
    pub(crate) mode: &'static str,
    pub(crate) addresses_here: bool,
    pub(crate) sas: usize,
    pub(crate) isolated: bool,
    pub(crate) exposed_packets: u64,
    pub(crate) mirror: MirrorStatus,
    pub(crate) last_takeover: Option<TakeoverStatus>,
    pub(crate) last_error: Option<String>,
}

/// Figures of the mirror, by their names in the library.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct MirrorStatus {
    pub(crate) followed: usize,
    pub(crate) events: u64,
    pub(crate) lost: u64,
    pub(crate) dumps: u64,
    pub(crate) overrun: u64,
    pub(crate) beyond_budget: u64,
    pub(crate) written: u64,
    pub(crate) ahead: u64,
    pub(crate) installed: u64,
    pub(crate) removed: u64,
    pub(crate) refused: u64,
    pub(crate) missing: usize,
    pub(crate) other_keys: usize,
    pub(crate) unusable: u64,
    pub(crate) rekeys_asked: u64,
    pub(crate) held_out: u64,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct TakeoverStatus {
    pub(crate) sas: usize,
    pub(crate) written: usize,
    pub(crate) installed: usize,
    pub(crate) missing: usize,
    pub(crate) refused: usize,
    /// From the decision until the kernel had the last number.
    pub(crate) counters_ms: f64,
    /// From the decision until the addresses and routes were here.
    pub(crate) took_ms: f64,
}

impl From<Activation> for TakeoverStatus {
    fn from(it: Activation) -> Self {
        Self {
            sas: it.takeover.sas,
            written: it.takeover.written,
            installed: it.takeover.installed,
            missing: it.takeover.missing,
            refused: it.takeover.refused,
            counters_ms: milliseconds(it.counters),
            took_ms: milliseconds(it.took),
        }
    }
}

fn milliseconds(it: Duration) -> f64 {
    it.as_secs_f64() * 1000.0
}

impl core::fmt::Display for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let peer =
            self.peer_state
                .as_deref()
                .unwrap_or(if self.peer_up { "up" } else { "not there" });
        let m = &self.mirror;
        writeln!(
            f,
            "unit {} of group {}: {} ({}), term {}",
            self.unit, self.group, self.state, self.role, self.term
        )?;
        writeln!(f, "peer: {peer}")?;
        writeln!(
            f,
            "mode {}, virtual addresses {}",
            self.mode,
            if self.addresses_here {
                "here"
            } else {
                "not here"
            }
        )?;
        writeln!(
            f,
            "{} SAs replicated, {} followed, {} missing in the kernel, {} with other keys",
            self.sas, m.followed, m.missing, m.other_keys
        )?;
        writeln!(
            f,
            "{} events, lost {} times; {} counters written, {} SAs installed, {} refused",
            m.events, m.lost, m.written, m.installed, m.refused
        )?;
        writeln!(
            f,
            "beyond the reservation: {} packets at most, beyond the budget {} times; {} packets exposed",
            m.overrun, m.beyond_budget, self.exposed_packets
        )?;
        writeln!(
            f,
            "{} rekeys requested; {} SAs refused their peer after a takeover",
            m.rekeys_asked, m.held_out
        )?;
        if let Some(t) = &self.last_takeover {
            writeln!(
                f,
                "last takeover: {} SAs in {:.1} ms, {} counters written, {} installed, {} missing",
                t.sas, t.took_ms, t.written, t.installed, t.missing
            )?;
        }
        match &self.last_error {
            Some(error) => writeln!(f, "last error: {error}"),
            None => Ok(()),
        }
    }
}

/// Why there is no status socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    #[error(
        "{} is in use: another xfrm-mirror runs with this file; stop it first, or give each its own \
         status_socket",
        .0.display()
    )]
    InUse(PathBuf),
    #[error("{} is there and is no socket; remove it, or name another status_socket", .0.display())]
    NoSocket(PathBuf),
    #[error("the status socket {}: {source}", path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// Listens; only the owner may ask.
pub(crate) fn listen(path: &Path) -> Result<UnixListener, SocketError> {
    let io = |source| SocketError::Io {
        path: path.to_owned(),
        source,
    };
    remove_dead(path)?;
    let listener = UnixListener::bind(path).map_err(io)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(io)?;
    Ok(listener)
}

/// Removes the socket of a process that is gone, and nothing else.
fn remove_dead(path: &Path) -> Result<(), SocketError> {
    let io = |source| SocketError::Io {
        path: path.to_owned(),
        source,
    };
    let Ok(there) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !there.file_type().is_socket() {
        return Err(SocketError::NoSocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(SocketError::InUse(path.to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(io)
        }
        Err(error) => Err(io(error)),
    }
}

/// Answers until nobody takes the questions any more.
pub(crate) async fn serve(listener: UnixListener, asked: mpsc::Sender<Asked>) {
    while !asked.is_closed() {
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files, as a rule.
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let asked = asked.clone();
        tokio::spawn(tokio::time::timeout(LIMIT, answer(stream, asked)));
    }
}

async fn answer(stream: tokio::net::UnixStream, asked: mpsc::Sender<Asked>) {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(MAX_LINE_BYTES));
    if reader.read_line(&mut line).await.is_err() {
        return;
    }
    let text = match serde_json::from_str(&line) {
        Ok(request) => {
            let (answer, answered) = oneshot::channel();
            let sent = asked.send(Asked { request, answer }).await;
            match (sent, answered.await) {
                (Ok(()), Ok(Ok(text))) => format!("+{text}"),
                (Ok(()), Ok(Err(why))) => format!("-{why}"),
                _ => "-the daemon is ending".to_owned(),
            }
        }
        Err(error) => format!("-not a request: {error}"),
    };
    // Who asked may be gone.
    let _ = writer.write_all(text.as_bytes()).await;
}

/// Asks a running daemon.
pub(crate) fn ask(path: &Path, request: &Request) -> Result<String, String> {
    let mut stream = UnixStream::connect(path).map_err(|error| {
        let path = path.display();
        format!("no daemon answers at {path} ({error}); does it run, and may you read the socket?")
    })?;
    let mut told = || -> std::io::Result<String> {
        stream.set_read_timeout(Some(LIMIT))?;
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        stream.write_all(line.as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    let text = told().map_err(|error| format!("the daemon did not answer: {error}"))?;
    match text.split_at_checked(1) {
        Some(("+", answer)) => Ok(answer.to_owned()),
        Some(("-", why)) => Err(why.to_owned()),
        _ => Err("the daemon ended without an answer".to_owned()),
    }
}

/// Longer than a switchover may take.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);
const MAX_LINE_BYTES: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_of_a_dead_process_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status.sock");
        let listener = listen(&path).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(matches!(listen(&path), Err(SocketError::InUse(_))));
        drop(listener);
        drop(listen(&path).unwrap());
        let file = folder.path().join("file");
        std::fs::write(&file, "precious").unwrap();
        assert!(matches!(listen(&file), Err(SocketError::NoSocket(_))));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    }

    #[tokio::test]
    async fn questions_are_answered_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status.sock");
        let (questions, mut asked) = mpsc::channel(1);
        tokio::spawn(serve(listen(&path).unwrap(), questions));
        let ask_from = path.clone();
        let client = std::thread::spawn(move || {
            let status = ask(&ask_from, &Request::Status { json: true });
            let refused = ask(&ask_from, &Request::Switchover);
            (status, refused)
        });
        let first = asked.recv().await.unwrap();
        assert_eq!(first.request, Request::Status { json: true });
        first.answer.send(Ok("{}".to_owned())).unwrap();
        let second = asked.recv().await.unwrap();
        second.answer.send(Err("not active".to_owned())).unwrap();
        while !client.is_finished() {
            tokio::task::yield_now().await;
        }
        let (status, refused) = client.join().unwrap();
        assert_eq!(status.unwrap(), "{}");
        assert_eq!(refused.unwrap_err(), "not active");
        let nobody = ask(&folder.path().join("none"), &Request::Order(Order::States)).unwrap_err();
        assert!(nobody.contains("no daemon answers"), "{nobody}");
    }
}
