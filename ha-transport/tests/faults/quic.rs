//! Faults on QUIC.

use std::net::SocketAddr;
use std::sync::Arc;

use ha_transport::{Quic, Side, Transport};
use tokio::net::UdpSocket;

use super::support::{self, ANY, Unit, until};
use super::*;

/// A listening unit, its right peer, and a way to dial it through another address.
struct Rig {
    near: Quic,
    far: Quic,
    address: SocketAddr,
    units: (Unit, Unit),
}

impl Rig {
    fn new(limits: LinkLimits) -> Self {
        let units = (Unit::new("unit-0"), Unit::new("unit-1"));
        let near = Quic::new(ANY, ANY, &units.0.identity, units.1.trust(), limits).unwrap();
        let address = near.listen().unwrap();
        let far = Quic::new(ANY, address, &units.1.identity, units.0.trust(), limits).unwrap();
        Self {
            near,
            far,
            address,
            units,
        }
    }

    fn through(&self, address: SocketAddr) -> Quic {
        let limits = LinkLimits {
            connect_timeout: Duration::from_millis(300),
            ..hasty()
        };
        let (a, b) = &self.units;
        Quic::new(ANY, address, &b.identity, a.trust(), limits).unwrap()
    }

    async fn works(&self) {
        support::works(&self.near, &self.far).await;
    }
}

#[tokio::test]
async fn garbage_datagrams_are_ignored() {
    let rig = Rig::new(LinkLimits::default());
    let stranger = UdpSocket::bind(ANY).await.unwrap();
    for i in 0..1000_usize {
        let garbage: Vec<u8> = (0..i % 1400).map(|k| (i * 31 + k * 7) as u8).collect();
        stranger.send_to(&garbage, rig.address).await.unwrap();
    }
    rig.works().await;
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up() {
    let rig = Rig::new(hasty());
    let relay = UdpSocket::bind(ANY).await.unwrap();
    let far = rig.through(relay.local_addr().unwrap());
    let target = rig.address;
    // Passes on what the client says, and nothing of what the server answers.
    let relaying = tokio::spawn(async move {
        let mut buffer = vec![0; 65536];
        loop {
            let (count, from) = relay.recv_from(&mut buffer).await.unwrap();
            if from != target {
                relay.send_to(&buffer[..count], target).await.unwrap();
            }
        }
    });
    let error = bounded(far.establish(Side::Dial)).await.unwrap_err();
    assert!(matches!(error, LinkError::ConnectTimeout { .. }), "{error}");
    until(|| rig.near.stats().failed >= 1).await;
    relaying.abort();
    rig.works().await;
}

#[tokio::test]
async fn another_protocol_is_refused() {
    let rig = Rig::new(LinkLimits::default());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let endpoint = quinn::Endpoint::client(ANY).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let refused = endpoint
        .connect_with(config, rig.address, "peer")
        .unwrap()
        .await
        .unwrap_err();
    // RFC 7301 §3.2: no_application_protocol(120).
    let code = quinn::TransportErrorCode::crypto(120);
    assert!(
        matches!(&refused, quinn::ConnectionError::ConnectionClosed(c) if c.error_code == code),
        "{refused}"
    );
    until(|| rig.near.stats().failed >= 1).await;
    rig.works().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_peer_gets_in_beside_hundreds_of_half_open_connections() {
    let rig = Rig::new(LinkLimits::default());
    let relay = UdpSocket::bind(ANY).await.unwrap();
    let through = relay.local_addr().unwrap();
    let target = rig.address;
    let relaying = tokio::spawn(async move {
        let mut buffer = vec![0; 65536];
        loop {
            let (count, from) = relay.recv_from(&mut buffer).await.unwrap();
            if from != target {
                let _ = relay.send_to(&buffer[..count], target).await;
            }
        }
    });
    let far = Arc::new(rig.through(through));
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let far = Arc::clone(&far);
        flood.spawn(async move { far.establish(Side::Dial).await.is_err() });
    }
    until(|| rig.near.stats().in_handshake > 0).await;
    rig.works().await;
    assert!(rig.near.stats().in_handshake <= LinkLimits::default().max_handshakes as u64);
    assert!(
        bounded(flood.join_all())
            .await
            .into_iter()
            .all(|failed| failed)
    );
    relaying.abort();
}
