//! Measures links on loopback: bulk throughput, and the round trip of a small message, alone and
//! beside bulk. Each end has a thread and a runtime of its own.
//!
//! `cargo run --release -p ha-transport --example link_throughput [-- MEBIBYTES]`

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::Bytes;
use ha_transport::{
    Fingerprint, Identity, Lane, Link, LinkError, LinkLimits, PeerTrust, Quic, Side, Tcp, Transport,
};
use tokio::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let mebibytes = std::env::args()
        .nth(1)
        .map_or(Ok(1024), |text| text.parse())?;
    println!(
        "{:<14}{:>10}{:>10}{:>10}{:>14}{:>14}",
        "", "MB/s", "p50 us", "p99 us", "p50 +bulk us", "p99 +bulk us"
    );
    for kind in ["tcp-insecure", "tcp", "quic"] {
        measure(kind, mebibytes)?;
    }
    Ok(())
}

fn measure(kind: &'static str, mebibytes: usize) -> Result<(), Box<dyn Error>> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let (near, far) = (Identity::generate("unit-0")?, Identity::generate("unit-1")?);
    let (near_pin, far_pin) = (near.fingerprint(), far.fingerprint());
    let (address_sender, address) = channel();
    let accepting = std::thread::spawn(move || {
        runtime().block_on(async move {
            let made = make(kind, any, any, &near, far_pin);
            let (transport, address) = made.map_err(|error| error.to_string())?;
            address_sender
                .send(address)
                .map_err(|error| error.to_string())?;
            let link = transport
                .establish(Side::Accept)
                .await
                .map_err(|e| e.to_string())?;
            match serve(link).await {
                Err(LinkError::ClosedByPeer) => Ok(()),
                other => other.map_err(|error| error.to_string()),
            }
        })
    });
    let address = address.recv()?;
    let (rate, idle, loaded) = runtime().block_on(async {
        let (transport, _) = make(kind, any, address, &far, near_pin)?;
        let mut link = transport.establish(Side::Dial).await?;
        let idle = round_trips(&mut link, 20_000, false).await?;
        let rate = bulk(&mut link, mebibytes * 1024 * 1024).await?;
        let loaded = round_trips(&mut link, 2_000, true).await?;
        link.sender.close().await;
        Ok::<_, Box<dyn Error>>((rate, idle, loaded))
    })?;
    accepting
        .join()
        .map_err(|_| "the accepting thread panicked")??;
    println!(
        "{kind:<14}{rate:>10.0}{:>10.1}{:>10.1}{:>14.1}{:>14.1}",
        idle.0, idle.1, loaded.0, loaded.1
    );
    Ok(())
}

/// Echoes control messages and acknowledges bulk, a credit window at a time.
async fn serve(mut link: Link) -> Result<(), LinkError> {
    loop {
        match link.receiver.recv().await? {
            (Lane::Control, message) => link.sender.send(Lane::Control, message)?,
            (Lane::Bulk, message) => {
                let count = Bytes::copy_from_slice(&message.len().to_be_bytes());
                link.sender.send(Lane::Changes, count)?;
            }
            (Lane::Changes, _) => {}
        }
    }
}

/// Sends bulk with at most a window in flight; MB per second.
async fn bulk(link: &mut Link, total: usize) -> Result<f64, LinkError> {
    let message = Bytes::from(vec![7; MESSAGE_BYTES]);
    let start = Instant::now();
    let (mut sent, mut acknowledged) = (0, 0);
    while acknowledged < total {
        while sent < total && sent - acknowledged < WINDOW_BYTES {
            link.sender.send(Lane::Bulk, message.clone())?;
            sent += MESSAGE_BYTES;
        }
        link.receiver.recv().await?;
        acknowledged += MESSAGE_BYTES;
    }
    Ok(total as f64 / start.elapsed().as_secs_f64() / 1e6)
}

/// Median and 99th percentile of the round trip of a small message, in microseconds.
async fn round_trips(link: &mut Link, count: usize, loaded: bool) -> Result<(f64, f64), LinkError> {
    let filler = Bytes::from(vec![7; MESSAGE_BYTES]);
    let ping = Bytes::from_static(&[7; 32]);
    let mut in_flight = 0;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        while loaded && in_flight < WINDOW_BYTES {
            link.sender.send(Lane::Bulk, filler.clone())?;
            in_flight += MESSAGE_BYTES;
        }
        let start = Instant::now();
        link.sender.send(Lane::Control, ping.clone())?;
        while link.receiver.recv().await?.0 != Lane::Control {
            in_flight -= MESSAGE_BYTES;
        }
        times.push(start.elapsed());
    }
    while in_flight > 0 {
        link.receiver.recv().await?;
        in_flight -= MESSAGE_BYTES;
    }
    times.sort_unstable();
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    Ok((micros(times[count / 2]), micros(times[count * 99 / 100])))
}

fn make(
    kind: &str,
    local: SocketAddr,
    remote: SocketAddr,
    identity: &Identity,
    pin: Fingerprint,
) -> Result<(Arc<dyn Transport>, SocketAddr), Box<dyn Error>> {
    let limits = LinkLimits::default();
    let trust = PeerTrust::keys([pin])?;
    match kind {
        "quic" => {
            let quic = Quic::new(local, remote, identity, trust, limits)?;
            let address = quic.listen()?;
            Ok((Arc::new(quic), address))
        }
        "tcp" => listening(Tcp::new(local, remote, identity, trust, limits)?),
        _ => listening(Tcp::insecure_plaintext(local, remote, limits)),
    }
}

fn listening(tcp: Tcp) -> Result<(Arc<dyn Transport>, SocketAddr), Box<dyn Error>> {
    let address = tcp.listen()?;
    Ok((Arc::new(tcp), address))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

const MESSAGE_BYTES: usize = 256 * 1024;
const WINDOW_BYTES: usize = 4 * 1024 * 1024;
