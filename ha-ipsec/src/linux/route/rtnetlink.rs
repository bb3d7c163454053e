//! Routes of the kernel, over rtnetlink.

use core::net::IpAddr;
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::net::netdevice::name_to_index;
use rustix::net::sockopt::{self, Timeout};

use super::{Held, MAX_ROUTES, Prefix, RouteConfig, RouteError};

/// Whether a route was added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Added {
    Now,
    /// Somebody else made one.
    SomebodyElses,
}

pub(super) struct RouteSocket {
    socket: Socket,
    sequence: u32,
}

impl core::fmt::Debug for RouteSocket {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RouteSocket").finish_non_exhaustive()
    }
}

impl RouteSocket {
    pub(super) fn open() -> Result<Self, RouteError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            sockopt::set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_LIMIT))?;
            Ok(socket)
        };
        Ok(Self {
            socket: open().map_err(|error| failed("opening a netlink socket", &error))?,
            sequence: 0,
        })
    }

    /// The routes with our protocol, in whatever table.
    pub(super) fn ours(&mut self, config: &RouteConfig) -> Result<BTreeSet<Held>, RouteError> {
        let mut all = BTreeSet::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut request = RouteMessage::default();
            request.header.address_family = family;
            let request = RouteNetlinkMessage::GetRoute(request);
            let what = "reading the routes";
            let is_ours = |route: &RouteMessage| {
                route.header.protocol == RouteProtocol::from(config.protocol)
            };
            let answers = self
                .request(request, NLM_F_DUMP, is_ours)
                .map_err(|error| failed(what, &error))?;
            all.extend(answers.iter().filter_map(|answer| match answer {
                RouteNetlinkMessage::NewRoute(route) => Some(held(route)),
                _ => None,
            }));
        }
        Ok(all)
    }

    pub(super) fn add(
        &mut self,
        config: &RouteConfig,
        prefix: &Prefix,
    ) -> Result<Added, RouteError> {
        let index = name_to_index(&self.socket, &config.interface)
            .map_err(|_| RouteError::NoInterface(config.interface.clone()))?;
        let route = RouteNetlinkMessage::NewRoute(message(config, prefix, Some(index)));
        match self.request(route, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, |_| true) {
            Ok(_) => Ok(Added::Now),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Added::SomebodyElses),
            Err(error) => Err(failed("adding a route", &error)),
        }
    }

    /// Only ours: the kernel compares the protocol. One that is gone is gone.
    pub(super) fn remove(&mut self, config: &RouteConfig, held: &Held) -> Result<(), RouteError> {
        let found = RouteConfig {
            table: held.table,
            metric: held.metric,
            ..config.clone()
        };
        let route = RouteNetlinkMessage::DelRoute(message(&found, &held.prefix, None));
        match self.request(route, NLM_F_ACK, |_| true) {
            Ok(_) => Ok(()),
            Err(error) if error.raw_os_error() == Some(ESRCH) => Ok(()),
            Err(error) => Err(failed("removing a route", &error)),
        }
    }

    fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        wanted: impl Fn(&RouteMessage) -> bool,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        let mut answers = Vec::new();
        loop {
            let (datagram, sender) = self.socket.recv_from_full()?;
            if sender.port_number() == 0 && self.take(&datagram, &wanted, &mut answers)? {
                return Ok(answers);
            }
        }
    }

    /// Whether the answer is complete.
    fn take(
        &self,
        mut rest: &[u8],
        wanted: &impl Fn(&RouteMessage) -> bool,
        answers: &mut Vec<RouteNetlinkMessage>,
    ) -> io::Result<bool> {
        while !rest.is_empty() {
            let packet = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest);
            let packet = packet.map_err(|error| io::Error::other(error.to_string()))?;
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
                            Err(io::Error::from_raw_os_error(code.get().saturating_neg()))
                        }
                    };
                }
                // A router may have a million of others.
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route))
                    if !wanted(&route) => {}
                NetlinkPayload::InnerMessage(message) => answers.push(message),
                _ => {}
            }
            if answers.len() > 8 * MAX_ROUTES {
                return Err(io::Error::other("too many routes"));
            }
        }
        Ok(false)
    }
}

fn failed(what: &'static str, error: &io::Error) -> RouteError {
    match error.kind() {
        io::ErrorKind::PermissionDenied => RouteError::Permission,
        _ => RouteError::System {
            what,
            cause: error.to_string(),
        },
    }
}

fn message(config: &RouteConfig, prefix: &Prefix, index: Option<u32>) -> RouteMessage {
    let mut message = RouteMessage::default();
    let via = config.via(prefix);
    message.header = RouteHeader {
        address_family: family(prefix.address()),
        destination_prefix_length: prefix.bits(),
        table: u8::try_from(config.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC),
        protocol: RouteProtocol::from(config.protocol),
        // Without a next hop the network is on the link.
        scope: match via {
            _ if index.is_none() => RouteScope::NoWhere,
            Some(_) => RouteScope::Universe,
            None => RouteScope::Link,
        },
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    let attributes = &mut message.attributes;
    attributes.push(RouteAttribute::Table(config.table));
    attributes.push(RouteAttribute::Destination(prefix.address().into()));
    if config.metric > 0 {
        attributes.push(RouteAttribute::Priority(config.metric));
    }
    if let Some(index) = index {
        attributes.extend(via.map(|via| RouteAttribute::Gateway(via.into())));
        attributes.push(RouteAttribute::Oif(index));
    }
    message
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn held(route: &RouteMessage) -> Held {
    let (mut table, mut metric) = (route.header.table.into(), 0);
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Table(found) => table = *found,
            RouteAttribute::Priority(found) => metric = *found,
            _ => {}
        }
    }
    let bits = route.header.destination_prefix_length;
    let destination = route.attributes.iter().find_map(|it| match it {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    });
    let default = match route.header.address_family {
        AddressFamily::Inet => IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED),
        _ => IpAddr::V6(core::net::Ipv6Addr::UNSPECIFIED),
    };
    Held {
        prefix: Prefix::new(destination.unwrap_or(default), bits),
        table,
        metric,
    }
}

/// The kernel answers at once.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
const ESRCH: i32 = 3;
