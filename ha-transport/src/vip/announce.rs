//! Tells the neighbours where an address is now.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use pnet_datalink::{Channel, Config, DataLinkSender, NetworkInterface};
use socket2::{Domain, Protocol, Socket, Type};

use super::{VipError, VirtualAddress};

/// A thread that announces, started when there is something: closing a packet socket takes the kernel 10
/// ms, which a takeover must not wait for.
#[derive(Debug, Default)]
pub(super) struct Announcer(Option<SyncSender<Vec<VirtualAddress>>>);

impl Announcer {
    /// Announces these addresses soon. If the thread is far behind, they are not announced: it is busy
    /// with the same ones, and the next repetition comes.
    pub(super) fn announce(&mut self, addresses: Vec<VirtualAddress>) {
        if addresses.is_empty() {
            return;
        }
        let queue = self.0.get_or_insert_with(|| {
            let (queue, rounds) = sync_channel(ROUNDS);
            let thread = std::thread::Builder::new().name("vip-announce".to_owned());
            // It ends with its queue. Without it nothing is announced, and neighbours ask by themselves.
            let _ = thread.spawn(move || announce_all(&rounds));
            queue
        });
        let _ = queue.try_send(addresses);
    }
}

fn announce_all(rounds: &Receiver<Vec<VirtualAddress>>) {
    for addresses in rounds {
        let mut links = HashMap::new();
        let interfaces = pnet_datalink::interfaces();
        for address in &addresses {
            if let Err(error) = announce(address, &interfaces, &mut links) {
                tracing::warn!(%address, %error, "the address could not be announced");
            }
        }
    }
}

/// The packet sockets of a round, by interface.
type Links = HashMap<String, Box<dyn DataLinkSender>>;

/// Announces an address once. Interfaces without hardware addresses have no neighbours to tell.
fn announce(
    address: &VirtualAddress,
    interfaces: &[NetworkInterface],
    links: &mut Links,
) -> Result<(), VipError> {
    let fail = |error| VipError::io("announcing a virtual address", error);
    let name = &address.interface;
    let found = interfaces.iter().find(|interface| interface.name == *name);
    let interface = found.ok_or_else(|| VipError::NoInterface(name.clone()))?;
    let mac = interface.mac.map(|mac| mac.octets());
    let Some(mac) = mac.filter(|mac| *mac != [0; 6] && !interface.is_loopback()) else {
        return Ok(());
    };
    match address.address {
        IpAddr::V4(ip) => {
            let link = match links.entry(name.clone()) {
                Entry::Occupied(link) => link.into_mut(),
                Entry::Vacant(place) => place.insert(open(interface).map_err(fail)?),
            };
            gratuitous_arp(&mut **link, mac, ip).map_err(fail)
        }
        IpAddr::V6(ip) => neighbour_advertisement(interface.index, mac, ip).map_err(fail),
    }
}

fn open(interface: &NetworkInterface) -> io::Result<Box<dyn DataLinkSender>> {
    let config = Config {
        read_buffer_size: SMALL,
        write_buffer_size: SMALL,
        promiscuous: false,
        ..Config::default()
    };
    match pnet_datalink::channel(interface, config)? {
        Channel::Ethernet(sender, _) => Ok(sender),
        _ => Err(io::Error::other("the interface has no Ethernet framing")),
    }
}

/// Both as request and as reply: there are neighbours that heed only one of them.
fn gratuitous_arp(sender: &mut dyn DataLinkSender, mac: Mac, ip: Ipv4Addr) -> io::Result<()> {
    send(sender, &arp(mac, ip, Operation::Request))?;
    send(sender, &arp(mac, ip, Operation::Reply))
}

fn send(sender: &mut dyn DataLinkSender, frame: &[u8]) -> io::Result<()> {
    sender
        .send_to(frame, None)
        .unwrap_or_else(|| Err(io::Error::other("the frame does not fit into the buffer")))
}

#[derive(Clone, Copy)]
enum Operation {
    Request = 1,
    Reply = 2,
}

/// An Ethernet frame with an ARP packet (RFC 826). RFC 5227 §1.1: sender and target address are both
/// the announced one.
fn arp(mac: Mac, ip: Ipv4Addr, operation: Operation) -> Vec<u8> {
    let target = match operation {
        Operation::Request => [0; 6],
        Operation::Reply => [0xff; 6],
    };
    let mut frame = Vec::with_capacity(FRAME_BYTES);
    frame.extend_from_slice(&[0xff; 6]);
    frame.extend_from_slice(&mac);
    frame.extend_from_slice(&[0x08, 0x06]);
    // Ethernet, IPv4, their lengths.
    frame.extend_from_slice(&[0, 1, 8, 0, 6, 4]);
    frame.extend_from_slice(&[0, operation as u8]);
    frame.extend_from_slice(&mac);
    frame.extend_from_slice(&ip.octets());
    frame.extend_from_slice(&target);
    frame.extend_from_slice(&ip.octets());
    frame.resize(FRAME_BYTES, 0);
    frame
}

/// RFC 4861 §7.2.6: to all nodes, with the override flag, and the target's link-layer address.
fn neighbour_advertisement(index: u32, mac: Mac, ip: Ipv6Addr) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.set_multicast_if_v6(index)?;
    // RFC 4861 §7.1.2: others are discarded.
    socket.set_multicast_hops_v6(255)?;
    socket.bind(&SocketAddrV6::new(ip, 0, 0, index).into())?;
    let all_nodes = SocketAddrV6::new(ALL_NODES, 0, 0, index);
    socket.send_to(&advertisement(mac, ip), &all_nodes.into())?;
    Ok(())
}

/// The ICMPv6 message (RFC 4861 §4.4); the kernel puts the checksum in.
fn advertisement(mac: Mac, ip: Ipv6Addr) -> Vec<u8> {
    const ROUTER: u8 = 0x80;
    const OVERRIDE: u8 = 0x20;
    let mut message = vec![136, 0, 0, 0, ROUTER | OVERRIDE, 0, 0, 0];
    message.extend_from_slice(&ip.octets());
    // Target link-layer address, one unit of eight bytes.
    message.extend_from_slice(&[2, 1]);
    message.extend_from_slice(&mac);
    message
}

type Mac = [u8; 6];
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The least that Ethernet has, without its checksum.
const FRAME_BYTES: usize = 60;
const SMALL: usize = 4096;
/// Rounds of announcements that may wait.
const ROUNDS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 7];

    #[test]
    fn gratuitous_arp_names_the_address_twice() {
        let ip = Ipv4Addr::new(192, 0, 2, 1);
        for (operation, number) in [(Operation::Request, 1), (Operation::Reply, 2)] {
            let frame = arp(MAC, ip, operation);
            assert_eq!(frame.len(), 60);
            assert_eq!(
                frame[..14],
                [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 7, 8, 6]
            );
            assert_eq!(frame[20..22], [0, number]);
            assert_eq!(frame[22..28], MAC);
            assert_eq!(frame[28..32], ip.octets());
            assert_eq!(frame[38..42], ip.octets());
        }
    }

    #[test]
    fn the_advertisement_overrides() {
        let ip = "2001:db8::1".parse().unwrap();
        let message = advertisement(MAC, ip);
        assert_eq!(message.len(), 32);
        assert_eq!((message[0], message[4]), (136, 0xa0));
        assert_eq!(message[8..24], ip.octets());
        assert_eq!(message[24..], [2, 1, 2, 0, 0, 0, 0, 7]);
    }
}
