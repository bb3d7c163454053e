//! The yardstick: what a Redis master and its replica do with the same entries.
//!
//! Real `redis-server` processes on loopback, set up for speed (see [`server`]), without TLS,
//! which makes it easier for Redis than for us.

pub mod resp;
pub mod server;
mod updates;

use std::time::{Duration, Instant};

use self::resp::{Connection, encode};
use self::server::Server;
use crate::random::Random;
use crate::report::{Aim, Report, Unit};
use crate::suite::{BenchError, Context, Suite, wait_until};

/// Row: a full resync, from REPLICAOF until the replica is in step.
pub const RESYNC: &str = "redis: full resync";
/// Row: incremental updates until the replica has them all.
pub const UPDATES: &str = "redis: pipelined SET with a replica";

/// A Redis master with one replica.
#[derive(Clone, Copy, Debug, Default)]
pub struct Redis;

impl Suite for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn run(&mut self, context: &mut Context, report: &mut Report) -> Result<(), BenchError> {
        let master = Server::start()?;
        let empty = used_memory(&master)?;
        fill(&master, context)?;
        let per_entry = (used_memory(&master)? - empty) / f64::from(context.entries);

        let (replica, took) = best_resync(&master, context)?;
        let seconds = took.as_secs_f64();
        report.row(RESYNC, seconds, Unit::Seconds, Aim::None);
        let rate = f64::from(context.entries) / seconds;
        report.row(
            "redis: entries in a full resync",
            rate,
            Unit::PerSecond,
            Aim::None,
        );
        report.row(
            "redis: memory per entry on the master",
            per_entry,
            Unit::Bytes,
            Aim::None,
        );
        updates::measure(&master, &replica, context, report)
    }
}

/// Key number `index`, as the bench writes it.
fn key(index: u32) -> String {
    format!("sa:{index:08x}")
}

fn fill(master: &Server, context: &Context) -> Result<(), BenchError> {
    let mut client = master.connect()?;
    let mut random = Random::new(1);
    let mut value = vec![0; context.value_bytes];
    let mut request = Vec::new();
    let indices: Vec<u32> = (0..context.entries).collect();
    for chunk in indices.chunks(FILL_CHUNK) {
        request.clear();
        for &index in chunk {
            random.fill(&mut value);
            let key = key(index);
            encode(
                &mut request,
                [&b"SET"[..], key.as_bytes(), &value].into_iter(),
            );
        }
        client.send(&request)?;
        client.expect_ok(u32::try_from(chunk.len()).unwrap_or(u32::MAX))?;
    }
    expect_size(&mut client, context.entries)
}

fn expect_size(client: &mut Connection, entries: u32) -> Result<(), BenchError> {
    let reply = client.command(&["DBSIZE"])?;
    if reply == entries.to_string() {
        return Ok(());
    }
    Err(BenchError::Reply {
        command: format!("DBSIZE (expected {entries})"),
        reply,
    })
}

/// Attaches one fresh replica after the other; the last stays.
fn best_resync(master: &Server, context: &Context) -> Result<(Server, Duration), BenchError> {
    let (mut replica, mut best) = resync(master, context)?;
    for _ in 1..context.repeats {
        drop(replica);
        await_no_replica(master)?;
        let (fresh, took) = resync(master, context)?;
        replica = fresh;
        best = best.min(took);
    }
    Ok((replica, best))
}

fn resync(master: &Server, context: &Context) -> Result<(Server, Duration), BenchError> {
    let replica = Server::start()?;
    let mut client = replica.connect()?;
    let (host, port) = (
        master.address().ip().to_string(),
        master.address().port().to_string(),
    );
    let start = Instant::now();
    client.command(&["REPLICAOF", &host, &port])?;
    wait_until("the full resync", POLL, RESYNC_BOUND, || {
        let info = client.command(&["INFO", "replication"])?;
        Ok(field(&info, "master_link_status") == Some("up")
            && field(&info, "master_sync_in_progress") == Some("0"))
    })?;
    let took = start.elapsed();
    expect_size(&mut client, context.entries)?;
    Ok((replica, took))
}

fn await_no_replica(master: &Server) -> Result<(), BenchError> {
    let mut client = master.connect()?;
    wait_until(
        "the master notices that its replica is gone",
        POLL,
        RESYNC_BOUND,
        || {
            let info = client.command(&["INFO", "replication"])?;
            Ok(field(&info, "connected_slaves") == Some("0"))
        },
    )
}

fn used_memory(server: &Server) -> Result<f64, BenchError> {
    let info = server.connect()?.command(&["INFO", "memory"])?;
    let used = field(&info, "used_memory").and_then(|text| text.parse().ok());
    used.ok_or_else(|| BenchError::Reply {
        command: "INFO memory".into(),
        reply: info,
    })
}

/// The value of `name` in an INFO answer.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

const FILL_CHUNK: usize = 10_000;
const POLL: Duration = Duration::from_millis(1);
const RESYNC_BOUND: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_fields() {
        let info = "# Replication\r\nrole:slave\r\nmaster_link_status:up\r\nmaster_link:x\r\n";
        assert_eq!(field(info, "master_link_status"), Some("up"));
        assert_eq!(
            field(info, "master_link"),
            Some("x"),
            "a longer name is another field"
        );
        assert_eq!(field(info, "link"), None);
    }

    #[test]
    fn keys_have_one_length() {
        assert_eq!(
            (key(0).as_str(), key(0xdead_beef).as_str()),
            ("sa:00000000", "sa:deadbeef")
        );
    }
}
