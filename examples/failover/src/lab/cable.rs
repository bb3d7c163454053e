//! The link between the units, which can be cut.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::Arc;

use ha_transport::{BoxFuture, Link, LinkError, LinkLimits, Side, Transport, memory};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A link that leads to unit 0, with a switch in it.
///
/// A cut one is silent, as a broken cable is: what was under way is lost, nobody is told, and new
/// connections are not answered.
#[derive(Debug)]
pub(super) enum Cable {
    /// Between processes: unit 1 dials `near`.
    Wire {
        near: SocketAddr,
        cut: watch::Sender<bool>,
        _carrier: Carrier,
    },
    /// Between threads.
    Memory([MemoryEnd; 2]),
}

/// One end of a link within the process; clones are the same end.
#[derive(Clone, Debug)]
pub(crate) struct MemoryEnd(Arc<memory::Memory>);

impl Cable {
    /// A TCP connection at a time, or several, to `far`.
    pub(super) fn tcp(far: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(LOOPBACK)?;
        listener.set_nonblocking(true)?;
        let near = listener.local_addr()?;
        let (cut, is_cut) = watch::channel(false);
        let carrier = Carrier::start(async move {
            carry_connections(TcpListener::from_std(listener)?, far, is_cut).await;
            Ok(())
        })?;
        Ok(Self::Wire {
            near,
            cut,
            _carrier: carrier,
        })
    }

    /// Datagrams to `far` and back.
    pub(super) fn udp(far: SocketAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(LOOPBACK)?;
        socket.set_nonblocking(true)?;
        let near = socket.local_addr()?;
        let (cut, is_cut) = watch::channel(false);
        let carrier = Carrier::start(async move {
            carry_datagrams(Arc::new(UdpSocket::from_std(socket)?), far, is_cut).await;
            Ok(())
        })?;
        Ok(Self::Wire {
            near,
            cut,
            _carrier: carrier,
        })
    }

    pub(super) fn memory() -> Self {
        let (a, b) = memory::pair(LinkLimits::default());
        Self::Memory([a, b].map(|end| MemoryEnd(Arc::new(end))))
    }

    pub(super) fn set_cut(&self, on: bool) {
        match (self, on) {
            (Self::Wire { cut, .. }, _) => drop(cut.send_replace(on)),
            (Self::Memory([end, _]), true) => end.0.cut(),
            (Self::Memory([end, _]), false) => end.0.heal(),
        }
    }
}

impl Transport for MemoryEnd {
    fn describe(&self) -> String {
        self.0.describe()
    }

    fn establish(&self, side: Side) -> BoxFuture<'_, Result<Link, LinkError>> {
        self.0.establish(side)
    }
}

/// The thread that carries the bytes; ends with the cable.
#[derive(Debug)]
pub(super) struct Carrier(Option<Runtime>);

impl Carrier {
    fn start(work: impl Future<Output = io::Result<()>> + Send + 'static) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("cable")
            .enable_all()
            .build()?;
        runtime.spawn(work);
        Ok(Self(Some(runtime)))
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Without waiting: the cable may be dropped by an async task.
            runtime.shutdown_background();
        }
    }
}

async fn carry_connections(listener: TcpListener, far: SocketAddr, cut: watch::Receiver<bool>) {
    loop {
        match listener.accept().await {
            Ok((near, _)) => drop(tokio::spawn(carry_connection(near, far, cut.clone()))),
            // Of the moment: the peer gave up, or no descriptor is left.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn carry_connection(mut near: TcpStream, far: SocketAddr, mut cut: watch::Receiver<bool>) {
    let carried = async {
        let mut far = TcpStream::connect(far).await?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        tokio::io::copy_bidirectional(&mut near, &mut far).await?;
        io::Result::Ok(())
    };
    let mut waiting = cut.clone();
    tokio::pin!(carried);
    tokio::select! {
        biased;
        () = until(&mut waiting, true) => {
            // Both ends stay open and hear nothing. What was read and not passed on is lost, so
            // the connection ends when the cable is mended.
            until(&mut cut, false).await;
        }
        // Either end closed the connection or died: so does this.
        _ = &mut carried => {}
    }
}

async fn until(cut: &mut watch::Receiver<bool>, on: bool) {
    // The sender is gone when the cable is, and its carrier with it.
    let _ = cut.wait_for(|cut| *cut == on).await;
}

async fn carry_datagrams(near: Arc<UdpSocket>, far: SocketAddr, cut: watch::Receiver<bool>) {
    let mut buffer = vec![0; DATAGRAM_LIMIT];
    // Each process that dials has a socket of its own, and so does each that it is shown as.
    let mut ways: HashMap<SocketAddr, Way> = HashMap::new();
    loop {
        let Ok((len, from)) = near.recv_from(&mut buffer).await else {
            continue;
        };
        if *cut.borrow() {
            continue;
        }
        if ways.len() >= WAYS && !ways.contains_key(&from) {
            // Those that are gone go with those that are not, which begin again.
            ways.clear();
        }
        let way = match ways.entry(from) {
            Entry::Occupied(way) => way.into_mut(),
            Entry::Vacant(place) => match Way::open(&near, from, far, cut.clone()).await {
                Ok(way) => place.insert(way),
                Err(_) => continue,
            },
        };
        // As on any network, a datagram may be lost.
        let _ = way.socket.send(&buffer[..len]).await;
    }
}

/// What one dialling socket is shown as, and what carries the answers to it.
struct Way {
    socket: Arc<UdpSocket>,
    answers: JoinHandle<()>,
}

impl Way {
    async fn open(
        near: &Arc<UdpSocket>,
        from: SocketAddr,
        far: SocketAddr,
        cut: watch::Receiver<bool>,
    ) -> io::Result<Self> {
        let socket = Arc::new(UdpSocket::bind(LOOPBACK).await?);
        socket.connect(far).await?;
        let (near, way) = (Arc::clone(near), Arc::clone(&socket));
        let answers = tokio::spawn(async move {
            let mut buffer = vec![0; DATAGRAM_LIMIT];
            loop {
                // An error says that nobody listens there now: the unit is dead.
                match way.recv(&mut buffer).await {
                    Ok(len) if !*cut.borrow() => drop(near.send_to(&buffer[..len], from).await),
                    Ok(_) | Err(_) => tokio::task::yield_now().await,
                }
            }
        });
        Ok(Self { socket, answers })
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.answers.abort();
    }
}

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const PAUSE: Duration = Duration::from_millis(10);
const DATAGRAM_LIMIT: usize = 65_536;
/// Sockets that dial unit 0, over time.
const WAYS: usize = 64;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    const SILENCE: Duration = Duration::from_millis(50);
    const LIMIT: Duration = Duration::from_secs(20);

    fn near(cable: &Cable) -> SocketAddr {
        match cable {
            Cable::Wire { near, .. } => *near,
            Cable::Memory(_) => unreachable!(),
        }
    }

    #[test]
    fn a_cut_connection_is_silent_and_ends_when_mended() {
        let far = std::net::TcpListener::bind(LOOPBACK).unwrap();
        let cable = Cable::tcp(far.local_addr().unwrap()).unwrap();
        let mut dialled = std::net::TcpStream::connect(near(&cable)).unwrap();
        let (mut accepted, _) = far.accept().unwrap();
        let mut byte = [0];
        dialled.write_all(b"a").unwrap();
        accepted.read_exact(&mut byte).unwrap();
        cable.set_cut(true);
        dialled.write_all(b"b").unwrap();
        accepted.set_read_timeout(Some(SILENCE)).unwrap();
        assert!(accepted.read(&mut byte).is_err(), "neither data nor an end");
        accepted.set_read_timeout(Some(LIMIT)).unwrap();
        cable.set_cut(false);
        assert!(!matches!(accepted.read(&mut byte), Ok(1)), "it is lost");
        let mut again = std::net::TcpStream::connect(near(&cable)).unwrap();
        let (mut accepted, _) = far.accept().unwrap();
        again.write_all(b"c").unwrap();
        accepted.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"c");
    }

    #[test]
    fn datagrams_pass_both_ways_until_it_is_cut() {
        let far = std::net::UdpSocket::bind(LOOPBACK).unwrap();
        let cable = Cable::udp(far.local_addr().unwrap()).unwrap();
        let dialler = std::net::UdpSocket::bind(LOOPBACK).unwrap();
        for socket in [&far, &dialler] {
            socket.set_read_timeout(Some(LIMIT)).unwrap();
        }
        let mut buffer = [0; 8];
        dialler.send_to(b"there", near(&cable)).unwrap();
        let (len, from) = far.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"there");
        far.send_to(b"back", from).unwrap();
        assert_eq!(dialler.recv_from(&mut buffer).unwrap().0, 4);
        cable.set_cut(true);
        dialler.send_to(b"lost", near(&cable)).unwrap();
        far.set_read_timeout(Some(SILENCE)).unwrap();
        assert!(far.recv_from(&mut buffer).is_err());
        far.set_read_timeout(Some(LIMIT)).unwrap();
        cable.set_cut(false);
        dialler.send_to(b"again", near(&cable)).unwrap();
        let (len, _) = far.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"again");
    }
}
