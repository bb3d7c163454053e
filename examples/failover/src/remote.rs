//! The remote site: all peers of the gateways, with the far ends of their SAs.
//!
//! It is an ordinary, strict implementation: it seals with numbers that grow by one, checks
//! replays with a window of its own ([`Window`]), and never rekeys or renegotiates. So whatever
//! goes wrong at a takeover shows here as it would at a stock peer.

mod window;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::esp::{Cipher, HEADROOM, Header, KeyError, TAILROOM};
use crate::site::{Pacer, Site, Switches, ticks};
use crate::tap::{Event, Tap, What};
use crate::wire::inner::{INNER_LEN, Inner};
use crate::wire::plan::{Plan, SaPair};
use crate::wire::socket::{self, Receiver, Sender};
use crate::wire::{Direction, Gateway};

pub use window::Window;

/// What the remote site needs.
#[derive(Debug)]
pub struct RemoteConfig {
    /// The SAs.
    pub plan: Plan,
    /// Packets per second, over all SAs in turn.
    pub pps: u32,
    /// The virtual address of the gateways.
    pub gateway: SocketAddr,
    /// The socket of the site.
    pub socket: std::net::UdpSocket,
    /// Where to write down what arrives.
    pub tap: Tap,
}

/// Starts the remote site in a thread.
///
/// # Errors
/// If the system gives no thread; if a key of the plan is refused.
pub fn spawn(config: RemoteConfig, switches: &Arc<Switches>) -> io::Result<Site> {
    let pairs = config.plan.pairs();
    let sas = pairs.map(|pair| RemoteSa::new(&config.plan, &pair));
    let sas: Vec<_> = sas.collect::<Result<_, _>>().map_err(io::Error::other)?;
    let looked_at = Arc::clone(switches);
    Site::spawn("remote site", switches, move || run(config, sas, looked_at))
}

/// The far end of one SA pair.
struct RemoteSa {
    pair: SaPair,
    to_gateway: Cipher,
    from_gateway: Cipher,
    /// Last number sent.
    sent: u64,
    window: Window,
}

impl RemoteSa {
    fn new(plan: &Plan, pair: &SaPair) -> Result<Self, KeyError> {
        let cipher = |spi, direction| {
            let keying_material = plan.keying_material(pair.index, direction);
            Cipher::new(spi, &keying_material, plan.esn)
        };
        Ok(Self {
            to_gateway: cipher(pair.inbound_spi, Direction::Inbound)?,
            from_gateway: cipher(pair.outbound_spi, Direction::Outbound)?,
            pair: pair.clone(),
            sent: 0,
            window: Window::new(),
        })
    }

    /// Seals the next packet into `buffer`; returns its length.
    fn seal(&mut self, buffer: &mut [u8; PACKET_BYTES], sent_ns: u64) -> Option<usize> {
        self.sent += 1;
        let inner = Inner {
            direction: Direction::Inbound,
            flow: self.pair.index,
            counter: self.sent,
            sent_ns,
        };
        let place = buffer[HEADROOM..].first_chunk_mut::<INNER_LEN>()?;
        inner.encode(self.pair.remote_host, self.pair.lan_host, place);
        self.to_gateway.seal(self.sent, buffer, INNER_LEN).ok()
    }

    /// Opens a packet of the gateway: what happened to it, and its number within the flow.
    fn open(&mut self, low: u32, packet: &mut [u8], esn: bool) -> (What, u64) {
        let number = if esn {
            self.window.infer(low)
        } else {
            u64::from(low)
        };
        if !self.window.check(number) {
            return (What::RemoteReplay, number);
        }
        let inner = match self.from_gateway.open(number, packet) {
            Ok(inner) => Inner::decode(inner),
            Err(_) => return (What::RemoteRefused, number),
        };
        // RFC 4303 §3.4.3: the window moves only after the integrity check.
        self.window.accept(number);
        match inner {
            Some(inner)
                if inner.flow == self.pair.index && inner.direction == Direction::Outbound =>
            {
                (What::Delivered(Direction::Outbound), inner.counter)
            }
            _ => (What::RemoteRefused, number),
        }
    }
}

async fn run(
    config: RemoteConfig,
    mut sas: Vec<RemoteSa>,
    switches: Arc<Switches>,
) -> io::Result<()> {
    let (mut receiver, mut sender) = socket::adopt(config.socket)?;
    let (plan, mut tap) = (config.plan, config.tap);
    let mut traffic = Traffic {
        pacer: Pacer::new(config.pps),
        turn: 0,
        gateway: config.gateway,
    };
    let mut ticks = ticks();
    while !switches.is_stopped() {
        tokio::select! {
            _ = ticks.tick() => {
                if switches.has_traffic() {
                    traffic.send(&mut sas, &mut sender, tap.now_ns());
                } else {
                    traffic.pacer.pause();
                }
            }
            readable = receiver.readable() => {
                readable?;
                receive(&mut receiver, &plan, &mut sas, &mut tap)?;
            }
        }
    }
    Ok(())
}

struct Traffic {
    pacer: Pacer,
    turn: usize,
    gateway: SocketAddr,
}

impl Traffic {
    fn send(&mut self, sas: &mut [RemoteSa], sender: &mut Sender, now_ns: u64) {
        let mut buffer = [0; PACKET_BYTES];
        for _ in 0..self.pacer.due(now_ns) {
            let turn = self.turn;
            self.turn = (turn + 1) % sas.len().max(1);
            let len = sas
                .get_mut(turn)
                .and_then(|sa| sa.seal(&mut buffer, now_ns));
            if let Some(len) = len {
                sender.send(self.gateway, &buffer[..len]);
            }
        }
        sender.flush();
    }
}

fn receive(
    receiver: &mut Receiver,
    plan: &Plan,
    sas: &mut [RemoteSa],
    tap: &mut Tap,
) -> io::Result<()> {
    let at_ns = tap.now_ns();
    receiver.receive(|_, packet| {
        let Some((sa, low)) = find(plan, packet) else {
            return;
        };
        let Some(state) = sas.get_mut(sa as usize) else {
            return;
        };
        let (what, number) = state.open(low, packet, plan.esn);
        tap.write(Event {
            at_ns,
            number,
            sa,
            unit: None::<Gateway>,
            what,
        });
    })?;
    tap.flush();
    Ok(())
}

/// The SA pair of a packet that the gateway sent, and the low half of its number.
fn find(plan: &Plan, packet: &[u8]) -> Option<(u32, u32)> {
    let header = Header::parse(packet).ok()?;
    match plan.find(header.spi)? {
        (Direction::Outbound, sa) => Some((sa, header.sequence)),
        (Direction::Inbound, _) => None,
    }
}

const PACKET_BYTES: usize = HEADROOM + INNER_LEN + TAILROOM;

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        seed: 3,
        sas: 2,
        peers: 1,
        esn: true,
    };

    /// The gateway's end of the pair: what the remote site receives with, it sends with.
    fn gateway_packet(number: u64, flow: u32) -> Vec<u8> {
        let pair = PLAN.pair(0);
        let keying_material = PLAN.keying_material(0, Direction::Outbound);
        let cipher = Cipher::new(pair.outbound_spi, &keying_material, true).unwrap();
        let inner = Inner {
            direction: Direction::Outbound,
            flow,
            counter: number + 1000,
            sent_ns: 0,
        };
        let mut buffer = [0; PACKET_BYTES];
        let place = buffer[HEADROOM..].first_chunk_mut().unwrap();
        inner.encode(pair.lan_host, pair.remote_host, place);
        let len = cipher.seal(number, &mut buffer, INNER_LEN).unwrap();
        buffer[..len].to_vec()
    }

    #[test]
    fn a_packet_is_delivered_once() {
        let mut sa = RemoteSa::new(&PLAN, &PLAN.pair(0)).unwrap();
        let delivered = What::Delivered(Direction::Outbound);
        let packet = gateway_packet(5, 0);
        assert_eq!(find(&PLAN, &packet), Some((0, 5)));
        assert_eq!(sa.open(5, &mut packet.clone(), true), (delivered, 1005));
        let again = sa.open(5, &mut packet.clone(), true);
        assert_eq!(again, (What::RemoteReplay, 5));
    }

    #[test]
    fn a_forged_packet_does_not_move_the_window() {
        let mut sa = RemoteSa::new(&PLAN, &PLAN.pair(0)).unwrap();
        let mut forged = gateway_packet(500, 0);
        forged[20] ^= 1;
        assert_eq!(sa.open(500, &mut forged, true).0, What::RemoteRefused);
        let delivered = What::Delivered(Direction::Outbound);
        assert_eq!(sa.open(1, &mut gateway_packet(1, 0), true).0, delivered);
        let other_flow = sa.open(2, &mut gateway_packet(2, 1), true);
        assert_eq!(other_flow.0, What::RemoteRefused);
    }

    #[test]
    fn numbers_grow_by_one() {
        let mut sa = RemoteSa::new(&PLAN, &PLAN.pair(1)).unwrap();
        let mut buffer = [0; PACKET_BYTES];
        for number in 1..4 {
            let len = sa.seal(&mut buffer, 9).unwrap();
            let header = Header::parse(&buffer[..len]).unwrap();
            assert_eq!(header.spi, PLAN.pair(1).inbound_spi);
            assert_eq!(header.sequence, number);
            let keying_material = PLAN.keying_material(1, Direction::Inbound);
            let gateway = Cipher::new(header.spi, &keying_material, true).unwrap();
            let inner = gateway.open(number.into(), &mut buffer[..len]).unwrap();
            let inner = Inner::decode(inner).unwrap();
            assert_eq!((inner.flow, inner.counter), (1, number.into()));
        }
    }
}
