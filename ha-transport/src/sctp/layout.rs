//! The kernel's structures as bytes (`include/uapi/linux/sctp.h`), in the byte order of the
//! machine. Written and read field by field, so that no padding and no pointer is involved.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

// Options of level IPPROTO_SCTP.
pub(super) const RTOINFO: i32 = 0;
pub(super) const ASSOCINFO: i32 = 1;
pub(super) const INITMSG: i32 = 2;
pub(super) const NODELAY: i32 = 3;
pub(super) const PEER_ADDR_PARAMS: i32 = 9;
pub(super) const PEER_ADDR_INFO: i32 = 15;
pub(super) const RECVRCVINFO: i32 = 32;
pub(super) const BINDX_ADD: i32 = 100;
pub(super) const CONNECTX: i32 = 110;
pub(super) const STREAM_SCHEDULER: i32 = 123;
pub(super) const STREAM_SCHEDULER_VALUE: i32 = 124;
pub(super) const EVENT: i32 = 127;

/// `SCTP_SS_PRIO`: the stream with the lowest value that has something goes first.
pub(super) const SCHEDULE_BY_PRIORITY: u32 = 1;

// Kinds of notifications, from SCTP_SN_TYPE_BASE on.
pub(super) const ASSOC_CHANGE: u16 = 0x8001;
pub(super) const PEER_ADDR_CHANGE: u16 = 0x8002;
pub(super) const SHUTDOWN_EVENT: u16 = 0x8005;
pub(super) const PARTIAL_DELIVERY_EVENT: u16 = 0x8006;

/// Room for the control messages of one received message.
pub(super) const CONTROL_BYTES: usize = 256;

/// `struct sctp_rtoinfo`, for associations to come.
pub(super) fn rto_info(initial: Duration, least: Duration, most: Duration) -> [u8; 16] {
    let mut to = Writer::new();
    to.u32(0).u32(ms(initial)).u32(ms(most)).u32(ms(least));
    to.done()
}

/// `struct sctp_assocparams`: the peer's windows and the life of the cookie stay as they are.
pub(super) fn assoc_params(retransmissions: u16) -> [u8; 20] {
    let mut to = Writer::new();
    to.u32(0).u16(retransmissions).u16(0).u32(0).u32(0).u32(0);
    to.done()
}

/// `struct sctp_initmsg`.
pub(super) fn init_message(streams: u16) -> [u8; 8] {
    let mut to = Writer::new();
    to.u16(streams).u16(streams).u16(0).u16(0);
    to.done()
}

/// `struct sctp_paddrparams`, of all addresses of associations to come.
pub(super) fn path_params(heartbeat: Duration, retransmissions: u16) -> [u8; 156] {
    let mut to = Writer::new();
    to.u32(0).zeros(ADDRESS_BYTES);
    to.u32(ms(heartbeat)).u16(retransmissions).u32(0).u32(0);
    to.u32(HEARTBEAT_ENABLE).u32(0);
    to.done()
}

/// `struct sctp_event`: one kind of notification is wanted.
pub(super) fn event(kind: u16) -> [u8; 8] {
    let mut to = Writer::new();
    to.u32(0).u16(kind).u8(1);
    to.done()
}

/// `struct sctp_assoc_value`.
pub(super) fn assoc_value(value: u32) -> [u8; 8] {
    let mut to = Writer::new();
    to.u32(0).u32(value);
    to.done()
}

/// `struct sctp_stream_value`.
pub(super) fn stream_value(stream: u16, value: u16) -> [u8; 8] {
    let mut to = Writer::new();
    to.u32(0).u16(stream).u16(value);
    to.done()
}

/// A control message with a `struct sctp_sndinfo`.
pub(super) fn send_info(stream: u16) -> [u8; CONTROL_HEADER_BYTES + 16] {
    let mut to = Writer::new();
    to.control_header(16, SNDINFO);
    to.u16(stream).u16(0).u32(0).u32(0).u32(0);
    to.done()
}

/// `struct sctp_paddrinfo` that asks about an address.
pub(super) fn path_info(address: SocketAddr) -> [u8; 152] {
    let mut to = Writer::new();
    to.u32(0).put(&addresses(&[address]));
    to.done()
}

/// `spinfo_state` of the kernel's answer, an `enum sctp_spinfo_state`.
pub(super) fn path_info_state(info: &[u8; 152]) -> Option<u32> {
    Reader(info.get(4 + ADDRESS_BYTES..)?).u32()
}

/// Addresses one after the other, each as long as its family makes it.
pub(super) fn addresses(addresses: &[SocketAddr]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for address in addresses {
        let mut put = |part: &[u8]| bytes.extend_from_slice(part);
        match address {
            SocketAddr::V4(v4) => {
                put(&(libc::AF_INET as u16).to_ne_bytes());
                put(&v4.port().to_be_bytes());
                put(&v4.ip().octets());
                put(&[0; 8]);
            }
            SocketAddr::V6(v6) => {
                put(&(libc::AF_INET6 as u16).to_ne_bytes());
                put(&v6.port().to_be_bytes());
                put(&v6.flowinfo().to_ne_bytes());
                put(&v6.ip().octets());
                put(&v6.scope_id().to_ne_bytes());
            }
        }
    }
    bytes
}

/// The stream that a `struct sctp_rcvinfo` among the control messages names.
pub(super) fn received_stream(mut control: &[u8]) -> Option<u16> {
    while control.len() >= CONTROL_HEADER_BYTES {
        let mut from = Reader(control);
        let length = usize::from_ne_bytes(from.take()?);
        let (level, kind) = (from.u32()? as i32, from.u32()?);
        if length < CONTROL_HEADER_BYTES || length > control.len() {
            return None;
        }
        if level == libc::IPPROTO_SCTP && kind == RCVINFO {
            return Reader(&control[CONTROL_HEADER_BYTES..length]).u16();
        }
        control = control.get(length.next_multiple_of(size_of::<usize>())..)?;
    }
    None
}

/// Reads fields one after the other; `None` once there are too few bytes.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*front)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_ne_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_ne_bytes)
    }

    /// A `struct sockaddr_storage` that holds an internet address.
    pub(super) fn address(&mut self) -> Option<IpAddr> {
        let storage: [u8; ADDRESS_BYTES] = self.take()?;
        let mut from = Reader(&storage);
        let family = i32::from(from.u16()?);
        from.u16()?;
        match family {
            libc::AF_INET => Some(IpAddr::from(from.take::<4>()?)),
            libc::AF_INET6 => {
                from.u32()?;
                Some(IpAddr::from(from.take::<16>()?).to_canonical())
            }
            _ => None,
        }
    }
}

/// Puts fields one after the other into a structure of `N` bytes; what is left stays zero.
struct Writer<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Writer<N> {
    const fn new() -> Self {
        Self {
            bytes: [0; N],
            at: 0,
        }
    }

    fn put(&mut self, part: &[u8]) -> &mut Self {
        let end = self.at + part.len();
        if let Some(room) = self.bytes.get_mut(self.at..end) {
            room.copy_from_slice(part);
        }
        self.at = end;
        self
    }

    fn u8(&mut self, value: u8) -> &mut Self {
        self.put(&[value])
    }

    fn u16(&mut self, value: u16) -> &mut Self {
        self.put(&value.to_ne_bytes())
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.put(&value.to_ne_bytes())
    }

    fn zeros(&mut self, count: usize) -> &mut Self {
        self.at += count;
        self
    }

    fn control_header(&mut self, length: usize, kind: u32) -> &mut Self {
        self.put(&(CONTROL_HEADER_BYTES + length).to_ne_bytes());
        self.u32(libc::IPPROTO_SCTP as u32).u32(kind)
    }

    fn done(self) -> [u8; N] {
        debug_assert!(self.at <= N, "a field beyond the structure");
        self.bytes
    }
}

/// Whole milliseconds.
fn ms(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// `sizeof(struct sockaddr_storage)`.
pub(super) const ADDRESS_BYTES: usize = 128;
const _: () = assert!(size_of::<libc::sockaddr_storage>() == ADDRESS_BYTES);
const _: () = assert!(size_of::<libc::sockaddr_in>() == 16);
const _: () = assert!(size_of::<libc::sockaddr_in6>() == 28);
/// `struct cmsghdr`: a length of the size of a pointer, level, type.
const CONTROL_HEADER_BYTES: usize = size_of::<libc::cmsghdr>();
const _: () = assert!(CONTROL_HEADER_BYTES == size_of::<usize>() + 8);
/// `SPP_HB_ENABLE`.
const HEARTBEAT_ENABLE: u32 = 1;
const SNDINFO: u32 = 2;
const RCVINFO: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_the_kernel_has_them() {
        let params = path_params(Duration::from_millis(1000), 4);
        assert_eq!(params[132..136], 1000_u32.to_ne_bytes(), "spp_hbinterval");
        assert_eq!(params[136..138], 4_u16.to_ne_bytes(), "spp_pathmaxrxt");
        assert_eq!(params[146..150], 1_u32.to_ne_bytes(), "spp_flags");
        let second = Duration::from_secs(1);
        let rto = rto_info(second, second / 2, second * 2);
        assert_eq!(rto[4..8], 1000_u32.to_ne_bytes(), "srto_initial");
        assert_eq!(rto[8..12], 2000_u32.to_ne_bytes(), "srto_max");
        assert_eq!(rto[12..16], 500_u32.to_ne_bytes(), "srto_min");
    }

    #[test]
    fn addresses_are_as_long_as_their_family_makes_them() {
        let four: SocketAddr = "10.0.0.1:3249".parse().unwrap();
        let six: SocketAddr = "[fd00::1]:3249".parse().unwrap();
        let bytes = addresses(&[four, six]);
        assert_eq!(bytes.len(), 16 + 28);
        assert_eq!(bytes[2..8], [0x0c, 0xb1, 10, 0, 0, 1]);
        assert_eq!(bytes[18..20], [0x0c, 0xb1]);
        assert_eq!(bytes[24..26], [0xfd, 0]);
    }

    #[test]
    fn the_stream_is_found_among_control_messages() {
        let mut other = Writer::<{ CONTROL_HEADER_BYTES + 8 }>::new();
        other.control_header(5, 99).u32(7);
        let mut info = Writer::<{ CONTROL_HEADER_BYTES + 28 }>::new();
        info.control_header(28, RCVINFO).u16(2);
        let (other, info) = (other.done(), info.done());
        assert_eq!(received_stream(&info), Some(2));
        assert_eq!(received_stream(&[&other[..], &info].concat()), Some(2));
        assert_eq!(received_stream(&other), None);
        assert_eq!(received_stream(&info[..info.len() - 1]), None);
        assert_eq!(received_stream(&[0; CONTROL_BYTES]), None);
    }
}
