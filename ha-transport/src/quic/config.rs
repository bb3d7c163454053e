//! How QUIC is configured.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    AckFrequencyConfig, ClientConfig, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig,
    ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::LinkError;
use crate::limits::LinkLimits;

pub(super) fn server(
    tls: rustls::ServerConfig,
    limits: &LinkLimits,
) -> Result<ServerConfig, LinkError> {
    let crypto = QuicServerConfig::try_from(tls).map_err(config_error)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    // A unit does not change its address in mid-connection; nobody else shall do it for it.
    config
        .migration(false)
        .max_incoming(limits.max_handshakes)
        .transport_config(transport(0, limits)?);
    Ok(config)
}

pub(super) fn client(
    tls: rustls::ClientConfig,
    limits: &LinkLimits,
) -> Result<ClientConfig, LinkError> {
    let crypto = QuicClientConfig::try_from(tls).map_err(config_error)?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport(LANES, limits)?);
    Ok(config)
}

/// An endpoint at `address`, and where it is.
pub(super) fn endpoint(
    address: SocketAddr,
    server: Option<ServerConfig>,
) -> Result<(Endpoint, SocketAddr), LinkError> {
    let open = || {
        let socket = socket(address)?;
        let mut config = EndpointConfig::default();
        config
            .max_udp_payload_size(MAX_UDP_PAYLOAD_BYTES)
            .map_err(io::Error::other)?;
        let endpoint = Endpoint::new(config, server, socket, Arc::new(TokioRuntime))?;
        let address = endpoint.local_addr()?;
        Ok((endpoint, address))
    };
    open().map_err(|error: io::Error| LinkError::Bind {
        address,
        source: Arc::new(error),
    })
}

fn socket(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    // The system may grant less; then bulk is slower.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn transport(streams_of_peer: u8, limits: &LinkLimits) -> Result<Arc<TransportConfig>, LinkError> {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(MAX_UDP_PAYLOAD_BYTES);
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(ACK_EVERY_PACKETS));
    let idle_timeout = IdleTimeout::try_from(limits.idle_timeout);
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(streams_of_peer.into())
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(idle_timeout.map_err(config_error)?))
        .keep_alive_interval(Some(limits.idle_timeout / KEEP_ALIVES))
        .initial_rtt(INITIAL_RTT)
        .mtu_discovery_config(Some(discovery))
        .ack_frequency_config(Some(acks))
        // Each stream has a window of its own, and together they stay below that of the
        // connection: a full bulk stream leaves room for the others.
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES * u32::from(LANES)))
        .send_window(u64::from(STREAM_WINDOW_BYTES) * u64::from(LANES))
        // Without fairness quinn finishes what is queued of a stream before it looks at streams of
        // higher priority: commits would wait for bulk.
        .send_fairness(true);
    Ok(Arc::new(config))
}

fn config_error(error: impl ToString) -> LinkError {
    LinkError::Config {
        detail: error.to_string(),
    }
}

const LANES: u8 = 3;
/// Largest UDP payload that path MTU discovery looks for. quinn hands ten packets to the kernel in
/// one call, and all ten are lost, silently, if together they exceed the 65507 bytes that UDP
/// carries.
const MAX_UDP_PAYLOAD_BYTES: u16 = 6500;
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Most bytes of a lane on their way. More would help on long paths; on short ones it would be a
/// queue in which commits and keepalives wait.
const STREAM_WINDOW_BYTES: u32 = 512 * 1024;
const ACK_EVERY_PACKETS: u32 = 10;
/// The pair usually shares a LAN.
const INITIAL_RTT: Duration = Duration::from_millis(20);
/// Keepalives within the idle timeout.
const KEEP_ALIVES: u32 = 4;
