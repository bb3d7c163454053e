//! Addresses of interfaces, over rtnetlink.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{
    AddressAttribute, AddressHeaderFlags, AddressMessage, AddressProtocol,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::net::netdevice::name_to_index;
use socket2::SockRef;

use super::{VipError, VirtualAddress};

/// IFA_PROTO of our addresses: far from those of the kernel (1 to 3).
const MARK: AddressProtocol = AddressProtocol::Other(0xf2);

/// Whether an address was added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Added {
    Now,
    /// It was there, by us.
    Before,
}

/// The interfaces of this network namespace.
pub(super) struct Interfaces {
    socket: Socket,
    sequence: u32,
}

/// Where an address was found.
struct Found {
    index: u32,
    prefix_bits: u8,
    ours: bool,
}

impl Interfaces {
    pub(super) fn open() -> Result<Self, VipError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            SockRef::from(&socket).set_read_timeout(Some(ANSWER_LIMIT))?;
            Ok(socket)
        };
        let socket = open().map_err(|error| VipError::io("opening a netlink socket", error))?;
        let sequence = 0;
        Ok(Self { socket, sequence })
    }

    pub(super) fn add(&mut self, wanted: &VirtualAddress) -> Result<Added, VipError> {
        let index = index_of(&wanted.interface)?;
        let what = "adding a virtual address";
        let message = RouteNetlinkMessage::NewAddress(message(wanted, index));
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        match self.request(what, message, flags) {
            Ok(_) => Ok(Added::Now),
            Err(VipError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                match self.find(wanted)? {
                    Some(found) if found.ours && found.index == index => Ok(Added::Before),
                    found => Err(in_use(wanted, found.map_or(index, |found| found.index))),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Removes an address of ours, wherever it is. An error if it is there and not ours.
    pub(super) fn remove_marked(&mut self, wanted: &VirtualAddress) -> Result<bool, VipError> {
        let Some(found) = self.find(wanted)? else {
            return Ok(false);
        };
        if !found.ours {
            return Err(in_use(wanted, found.index));
        }
        let there = VirtualAddress {
            prefix_bits: found.prefix_bits,
            ..wanted.clone()
        };
        let message = RouteNetlinkMessage::DelAddress(message(&there, found.index));
        self.request("removing a virtual address", message, NLM_F_ACK)?;
        Ok(true)
    }

    fn find(&mut self, wanted: &VirtualAddress) -> Result<Option<Found>, VipError> {
        let mut all = AddressMessage::default();
        all.header.family = family(wanted.address);
        let request = RouteNetlinkMessage::GetAddress(all);
        let answers = self.request("reading the addresses", request, NLM_F_DUMP)?;
        Ok(answers.into_iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewAddress(held) => found(&held, wanted.address),
            _ => None,
        }))
    }

    /// Sends a request and collects what comes until it is acknowledged.
    fn request(
        &mut self,
        what: &'static str,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, VipError> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        let io = |error| VipError::io(what, error);
        self.socket
            .send_to(&bytes, &SocketAddr::new(0, 0), 0)
            .map_err(io)?;
        let mut answers = Vec::new();
        loop {
            let (datagram, sender) = self.socket.recv_from_full().map_err(io)?;
            if sender.port_number() == 0 && self.take(what, &datagram, &mut answers)? {
                return Ok(answers);
            }
        }
    }

    /// Whether the answer is complete.
    fn take(
        &self,
        what: &'static str,
        mut rest: &[u8],
        answers: &mut Vec<RouteNetlinkMessage>,
    ) -> Result<bool, VipError> {
        while !rest.is_empty() {
            let packet = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest);
            let packet = packet.map_err(|error| VipError::Answer {
                what,
                cause: error.to_string(),
            })?;
            let length = (packet.header.length as usize).next_multiple_of(4);
            rest = rest.get(length.max(1)..).unwrap_or_default();
            if packet.header.sequence_number != self.sequence {
                continue;
            }
            match packet.payload {
                NetlinkPayload::Done(_) => return Ok(true),
                NetlinkPayload::Error(error) => {
                    return match error.code {
                        None => Ok(true),
                        Some(code) => {
                            let errno = code.get().saturating_neg();
                            Err(VipError::io(what, io::Error::from_raw_os_error(errno)))
                        }
                    };
                }
                NetlinkPayload::InnerMessage(message) => answers.push(message),
                _ => {}
            }
            if answers.len() > MAX_ANSWERS {
                return Err(VipError::Answer {
                    what,
                    cause: format!("more than {MAX_ANSWERS} addresses"),
                });
            }
        }
        Ok(false)
    }
}

/// The interface's number.
pub(super) fn index_of(interface: &str) -> Result<u32, VipError> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None);
    let socket = socket.map_err(|error| VipError::io("opening a socket", error))?;
    name_to_index(&socket, interface).map_err(|_| VipError::NoInterface(interface.to_owned()))
}

fn in_use(wanted: &VirtualAddress, index: u32) -> VipError {
    VipError::InUse {
        address: wanted.clone(),
        interface: format!("interface {index}"),
    }
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn message(address: &VirtualAddress, index: u32) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address.address);
    message.header.prefix_len = address.prefix_bits;
    message.header.index = index;
    if address.address.is_ipv6() {
        // It must be usable at once: see the module's documentation.
        message.header.flags = AddressHeaderFlags::Nodad;
    }
    message.attributes = vec![
        AddressAttribute::Local(address.address),
        AddressAttribute::Address(address.address),
        AddressAttribute::Protocol(MARK),
    ];
    message
}

fn found(held: &AddressMessage, wanted: IpAddr) -> Option<Found> {
    let local = held.attributes.iter().find_map(|it| match it {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    // IPv6 has one only on links that are not point-to-point.
    let address = local.or_else(|| {
        held.attributes.iter().find_map(|it| match it {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    });
    (address == Some(wanted)).then(|| Found {
        index: held.header.index,
        prefix_bits: held.header.prefix_len,
        ours: held.attributes.contains(&AddressAttribute::Protocol(MARK)),
    })
}

/// The kernel answers at once.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
const MAX_ANSWERS: usize = 1 << 20;
