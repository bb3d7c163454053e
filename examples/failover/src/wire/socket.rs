//! UDP, several packets per system call.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Opens a UDP socket with large buffers, as its two halves.
///
/// # Errors
/// What the system says, for instance that the address is in use. Outside of a tokio runtime it
/// panics.
pub fn open(address: SocketAddr) -> io::Result<(Receiver, Sender)> {
    adopt(std::net::UdpSocket::bind(address)?)
}

/// Like [`open`], with a socket that is bound already.
///
/// # Errors
/// What the system says. Outside of a tokio runtime it panics.
pub fn adopt(socket: std::net::UdpSocket) -> io::Result<(Receiver, Sender)> {
    let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
    // The kernel may grant less; then more is lost when a reader is late.
    let _ = state.set_recv_buffer_size(UdpSockRef::from(&socket), BUFFER_BYTES);
    let _ = state.set_send_buffer_size(UdpSockRef::from(&socket), BUFFER_BYTES);
    let io = Arc::new(Io {
        socket: UdpSocket::from_std(socket)?,
        state,
    });
    let receiver = Receiver {
        io: Arc::clone(&io),
        inbox: vec![0; BATCH * SLOT_BYTES].into_boxed_slice(),
        metas: [RecvMeta::default(); BATCH],
    };
    let sender = Sender {
        io,
        to: None,
        stride: 0,
        packets: Vec::with_capacity(SEND_BYTES),
        unsent: 0,
    };
    Ok((receiver, sender))
}

/// How many packets the kernel has dropped because the socket bound to `address` was full. `None`
/// where the kernel does not tell (it does on Linux, for IPv4).
pub fn dropped(address: SocketAddr) -> Option<u64> {
    dropped_in(
        &std::fs::read_to_string("/proc/self/net/udp").ok()?,
        address,
    )
}

fn dropped_in(table: &str, address: SocketAddr) -> Option<u64> {
    let SocketAddr::V4(address) = address else {
        return None;
    };
    let ip = u32::from_ne_bytes(address.ip().octets());
    let name = format!("{ip:08X}:{:04X}", address.port());
    let mut rows = table.lines().map(|row| row.split_whitespace());
    let mut row = rows.find(|row| row.clone().nth(1) == Some(&name))?;
    row.next_back()?.parse().ok()
}

struct Io {
    socket: UdpSocket,
    state: UdpSocketState,
}

/// The reading half.
pub struct Receiver {
    io: Arc<Io>,
    inbox: Box<[u8]>,
    metas: [RecvMeta; BATCH],
}

/// The writing half. It joins packets of one length to one destination.
pub struct Sender {
    io: Arc<Io>,
    to: Option<SocketAddr>,
    /// Length of each joined packet.
    stride: usize,
    packets: Vec<u8>,
    unsent: u64,
}

impl Receiver {
    /// The address of the socket.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.socket.local_addr()
    }

    /// Waits until there is something to read.
    ///
    /// # Errors
    /// What the system says.
    pub async fn readable(&self) -> io::Result<()> {
        self.io.socket.readable().await
    }

    /// Gives each packet of one batch to `handle`, with its sender's address. Returns how many
    /// there were; 0 if none is waiting.
    ///
    /// # Errors
    /// What the system says.
    pub fn receive(&mut self, mut handle: impl FnMut(SocketAddr, &mut [u8])) -> io::Result<usize> {
        let Self { io, inbox, metas } = self;
        let mut slots = inbox.chunks_exact_mut(SLOT_BYTES);
        let mut slots: [_; BATCH] =
            core::array::from_fn(|_| IoSliceMut::new(slots.next().unwrap_or_default()));
        let received = io.socket.try_io(Interest::READABLE, || {
            io.state
                .recv(UdpSockRef::from(&io.socket), &mut slots, metas)
        });
        let buffers = match received {
            Ok(buffers) => buffers,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        };
        let mut packets = 0;
        for (slot, meta) in slots.iter_mut().zip(&*metas).take(buffers) {
            for packet in slot[..meta.len].chunks_mut(meta.stride.max(1)) {
                handle(meta.addr, packet);
                packets += 1;
            }
        }
        Ok(packets)
    }
}

impl Sender {
    /// Queues a packet. It leaves when one comes that cannot be joined to it, or with
    /// [`Sender::flush`].
    pub fn send(&mut self, to: SocketAddr, packet: &[u8]) {
        let segments = self.packets.len() / self.stride.max(1);
        let joins = self.to == Some(to)
            && self.stride == packet.len()
            && self.packets.len() + packet.len() <= SEND_BYTES
            && segments < self.io.state.max_gso_segments();
        if !joins {
            self.flush();
            self.to = Some(to);
            self.stride = packet.len();
        }
        self.packets.extend_from_slice(packet);
    }

    /// Sends what is queued. What the kernel does not take is lost, as on any network, and
    /// counted.
    pub fn flush(&mut self) {
        let Some(destination) = self.to.take() else {
            return;
        };
        let transmit = Transmit {
            destination,
            ecn: None,
            contents: &self.packets,
            segment_size: (self.packets.len() > self.stride).then_some(self.stride),
            src_ip: None,
        };
        let socket = UdpSockRef::from(&self.io.socket);
        if self.io.state.try_send(socket, &transmit).is_err() {
            self.unsent += (self.packets.len() / self.stride.max(1)) as u64;
        }
        self.packets.clear();
    }

    /// Packets that the kernel did not take so far.
    pub fn unsent(&self) -> u64 {
        self.unsent
    }
}

/// Buffers read at once; each holds up to 64 joined packets.
const BATCH: usize = 8;
const SLOT_BYTES: usize = 65_536;
/// Below the largest UDP payload, 65 507 bytes.
const SEND_BYTES: usize = 60_000;
/// Asked of the kernel for each direction.
const BUFFER_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_of_sockets_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when \
                     retrnsmt   uid  timeout inode ref pointer drops\n \
                     12: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 \
                     00000000  1000  0 5 2 0000000000000000 17\n";
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        if cfg!(target_endian = "little") {
            assert_eq!(dropped_in(table, at(8080)), Some(17));
        }
        assert_eq!(dropped_in(table, at(8081)), None);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn packets_that_a_full_socket_dropped_are_counted() {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let from = std::net::UdpSocket::bind(local).unwrap();
        let (to, _sender) = open(local).unwrap();
        let address = to.local_addr().unwrap();
        assert_eq!(dropped(address), Some(0));
        for _ in 0..40_000 {
            from.send_to(&[0; 1000], address).unwrap();
        }
        assert!(dropped(address).unwrap() > 0);
    }

    #[tokio::test]
    async fn packets_arrive_whole_and_in_order() {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let (sender, mut from) = open(local).unwrap();
        let (mut to, _) = open(local).unwrap();
        let address = to.local_addr().unwrap();
        let origin = sender.local_addr().unwrap();
        let packet = |index: u32| {
            // Mostly of one length, so that they can be joined, but not always.
            let mut packet = vec![0; if index % 70 == 69 { 40 } else { 100 }];
            packet[..4].copy_from_slice(&index.to_be_bytes());
            packet
        };
        for index in 0..500 {
            from.send(address, &packet(index));
        }
        from.flush();
        assert_eq!(from.unsent(), 0);
        let mut seen = 0;
        while seen < 500 {
            to.readable().await.unwrap();
            to.receive(|sender, bytes| {
                assert_eq!(sender, origin);
                assert_eq!(bytes, packet(seen));
                seen += 1;
            })
            .unwrap();
        }
        assert_eq!(to.receive(|_, _| panic!("one too many")).unwrap(), 0);
    }
}
