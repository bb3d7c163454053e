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

/// An address on an interface.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Placed {
    pub(super) index: u32,
    pub(super) address: IpAddr,
    pub(super) prefix_bits: u8,
}

/// Where an address was found.
pub(super) struct Found {
    pub(super) placed: Placed,
    /// It carries our mark.
    pub(super) ours: bool,
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

    pub(super) fn add(&mut self, wanted: &VirtualAddress) -> Result<(Placed, Added), VipError> {
        let placed = Placed {
            index: self.index_of(&wanted.interface)?,
            address: wanted.address,
            prefix_bits: wanted.prefix_bits,
        };
        let what = "adding a virtual address";
        let message = RouteNetlinkMessage::NewAddress(message(&placed));
        match self.request(what, message, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL) {
            Ok(_) => Ok((placed, Added::Now)),
            Err(VipError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                let there = self.find(wanted)?;
                match there
                    .iter()
                    .find(|found| found.placed.index == placed.index)
                {
                    // IPv6 has one of each address, whatever its prefix.
                    Some(found) if found.ours => Ok((found.placed.clone(), Added::Before)),
                    _ => Err(in_use(wanted, placed.index)),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Removes an address. One that is gone already, with its interface or without, is gone.
    pub(super) fn remove(&mut self, placed: &Placed) -> Result<(), VipError> {
        let before = self.neighbours(placed)?;
        let message = RouteNetlinkMessage::DelAddress(message(placed));
        match self.request("removing a virtual address", message, NLM_F_ACK) {
            Ok(_) => self.put_back(placed, before),
            Err(VipError::Io { source, .. })
                if matches!(source.raw_os_error(), Some(ENODEV | EADDRNOTAVAIL)) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Wherever an address is.
    pub(super) fn find(&mut self, wanted: &VirtualAddress) -> Result<Vec<Found>, VipError> {
        let all = self.addresses(family(wanted.address))?;
        // The same link-local address on another link is another one.
        let local = match wanted.address {
            IpAddr::V6(address) if address.is_unicast_link_local() => {
                Some(self.index_of(&wanted.interface)?)
            }
            _ => None,
        };
        Ok(all
            .iter()
            .filter(|held| local.is_none_or(|index| held.header.index == index))
            .filter_map(|held| found(held, wanted.address))
            .collect())
    }

    /// The kernel deletes secondary addresses with the primary one of their subnet, unless the interface
    /// promotes them (promote_secondaries): these are the ones in danger.
    fn neighbours(&mut self, placed: &Placed) -> Result<Vec<AddressMessage>, VipError> {
        if placed.address.is_ipv6() {
            return Ok(Vec::new());
        }
        let mut all = self.addresses(AddressFamily::Inet)?;
        all.retain(|held| {
            held.header.index == placed.index && found(held, placed.address).is_none()
        });
        Ok(all)
    }

    fn put_back(&mut self, placed: &Placed, before: Vec<AddressMessage>) -> Result<(), VipError> {
        if before.is_empty() {
            return Ok(());
        }
        let after = self.neighbours(placed)?;
        let local = |held: &AddressMessage| {
            held.attributes
                .iter()
                .find(|it| matches!(it, AddressAttribute::Local(_)))
                .cloned()
        };
        for mut lost in before {
            if after.iter().any(|held| local(held) == local(&lost)) {
                continue;
            }
            // Whether it is a secondary one is for the kernel to say.
            lost.header.flags = AddressHeaderFlags::empty();
            lost.attributes
                .retain(|it| !matches!(it, AddressAttribute::Flags(_)));
            let message = RouteNetlinkMessage::NewAddress(lost);
            self.request("putting back an address", message, NLM_F_ACK | NLM_F_CREATE)?;
        }
        Ok(())
    }

    fn addresses(&mut self, family: AddressFamily) -> Result<Vec<AddressMessage>, VipError> {
        let mut all = AddressMessage::default();
        all.header.family = family;
        let request = RouteNetlinkMessage::GetAddress(all);
        let answers = self.request("reading the addresses", request, NLM_F_DUMP)?;
        let held = answers.into_iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewAddress(held) => Some(held),
            _ => None,
        });
        Ok(held.collect())
    }

    /// The interface's number.
    fn index_of(&self, interface: &str) -> Result<u32, VipError> {
        name_to_index(&self.socket, interface)
            .map_err(|_| VipError::NoInterface(interface.to_owned()))
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

pub(super) fn in_use(wanted: &VirtualAddress, index: u32) -> VipError {
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

fn message(address: &Placed) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address.address);
    message.header.prefix_len = address.prefix_bits;
    message.header.index = address.index;
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
        placed: Placed {
            index: held.header.index,
            address: wanted,
            prefix_bits: held.header.prefix_len,
        },
        ours: held.attributes.contains(&AddressAttribute::Protocol(MARK)),
    })
}

/// The kernel answers at once.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
const MAX_ANSWERS: usize = 1 << 20;
const ENODEV: i32 = 19;
const EADDRNOTAVAIL: i32 = 99;
