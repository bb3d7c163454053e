//! What the loopback device itself can do: the ceiling for every other figure.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::latency::Samples;
use crate::report::{Aim, Report, Unit};
use crate::suite::{BenchError, Context, Suite};

/// Row: the time that the bytes of a full resync take over plain TCP.
pub const BULK: &str = "loopback: bytes of a full resync, plain TCP";
/// Row: the rate of that.
pub const RATE: &str = "loopback: plain TCP";

/// Plain TCP on loopback: the bytes of a full resync, and a small message there and back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loopback;

impl Suite for Loopback {
    fn name(&self) -> &'static str {
        "loopback"
    }

    fn run(&mut self, context: &mut Context, report: &mut Report) -> Result<(), BenchError> {
        let bytes = context.bulk_bytes();
        let mut best = Duration::MAX;
        for _ in 0..context.repeats {
            best = best.min(transfer(bytes)?);
        }
        let seconds = best.as_secs_f64();
        report.row(BULK, seconds, Unit::Seconds, Aim::None);
        let rate = bytes as f64 / seconds / 1e6;
        report.row(RATE, rate, Unit::MegabytesPerSecond, Aim::None);

        let mut samples = round_trips(context.round_trips)?;
        for (percentile, us) in samples.summary_us() {
            let name = format!("loopback: 64 B there and back, {percentile}");
            report.row(name, us, Unit::Micros, Aim::None);
        }
        Ok(())
    }
}

/// Moves `bytes` in writes of 64 KiB; from the first write until the receiver has all.
fn transfer(bytes: u64) -> Result<Duration, BenchError> {
    let (mut sender, mut receiver) = pair()?;
    let start = Instant::now();
    let writer = thread::spawn(move || send(&mut sender, bytes));
    receive(&mut receiver, bytes)?;
    let took = start.elapsed();
    join(writer, "sending")?;
    Ok(took)
}

fn send(stream: &mut TcpStream, bytes: u64) -> Result<(), BenchError> {
    let block = vec![0x5a; WRITE_BYTES];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(WRITE_BYTES as u64);
        stream
            .write_all(&block[..now as usize])
            .map_err(BenchError::io("sending"))?;
        left -= now;
    }
    Ok(())
}

fn receive(stream: &mut TcpStream, bytes: u64) -> Result<(), BenchError> {
    let mut block = vec![0; 4 * WRITE_BYTES];
    let mut left = bytes;
    while left > 0 {
        let got = stream
            .read(&mut block)
            .map_err(BenchError::io("receiving"))?;
        if got == 0 {
            return Err(BenchError::io("receiving")(
                std::io::ErrorKind::UnexpectedEof.into(),
            ));
        }
        left -= (got as u64).min(left);
    }
    Ok(())
}

/// Times `count` messages of 64 bytes to an echoing thread and back, after a short warm-up.
fn round_trips(count: u32) -> Result<Samples, BenchError> {
    let (mut near, mut far) = pair()?;
    let total = count + WARM_UP;
    let echo = thread::spawn(move || {
        let mut message = [0; MESSAGE_BYTES];
        for _ in 0..total {
            far.read_exact(&mut message)
                .map_err(BenchError::io("echoing"))?;
            far.write_all(&message).map_err(BenchError::io("echoing"))?;
        }
        Ok(())
    });
    let mut samples = Samples::with_capacity(count as usize);
    let mut message = [0; MESSAGE_BYTES];
    for number in 0..total {
        let start = Instant::now();
        near.write_all(&message)
            .map_err(BenchError::io("sending"))?;
        near.read_exact(&mut message)
            .map_err(BenchError::io("receiving"))?;
        if number >= WARM_UP {
            samples.record(start.elapsed());
        }
    }
    join(echo, "echoing")?;
    Ok(samples)
}

fn pair() -> Result<(TcpStream, TcpStream), BenchError> {
    let connect = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let near = TcpStream::connect(listener.local_addr()?)?;
        let (far, _) = listener.accept()?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        Ok((near, far))
    };
    connect().map_err(BenchError::io("connecting over loopback"))
}

fn join(
    thread: thread::JoinHandle<Result<(), BenchError>>,
    what: &'static str,
) -> Result<(), BenchError> {
    thread.join().map_err(|_| BenchError::Thread { what })?
}

const WRITE_BYTES: usize = 64 * 1024;
const MESSAGE_BYTES: usize = 64;
const WARM_UP: u32 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_all_bytes_and_times_each_round_trip() {
        // Not a multiple of the block: the last write is short.
        assert!(transfer(3 * WRITE_BYTES as u64 + 1).unwrap() > Duration::ZERO);
        let mut samples = round_trips(20).unwrap();
        assert_eq!(samples.len(), 20);
        assert!(samples.percentile(50.0) > Duration::ZERO);
    }
}
