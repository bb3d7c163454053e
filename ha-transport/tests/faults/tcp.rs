//! Faults on TCP.

use std::net::SocketAddr;
use std::sync::Arc;

use ha_transport::frame::{HEADER_BYTES, MAX_PART_BYTES};
use ha_transport::{Lane, Link, Side, Tcp, Transport};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::support::{self, ANY, Unit, until};
use super::*;

/// A listening unit and its right peer.
struct Rig {
    near: Tcp,
    far: Tcp,
    address: SocketAddr,
}

impl Rig {
    fn new(limits: LinkLimits) -> Self {
        let (a, b) = (Unit::new("unit-0"), Unit::new("unit-1"));
        let near = Tcp::new(ANY, ANY, &a.identity, b.trust(), limits).unwrap();
        let address = near.listen().unwrap();
        let far = Tcp::new(ANY, address, &b.identity, a.trust(), limits).unwrap();
        Self { near, far, address }
    }

    fn plaintext() -> Self {
        let near = Tcp::insecure_plaintext(ANY, ANY, hasty());
        let address = near.listen().unwrap();
        let far = Tcp::insecure_plaintext(ANY, address, hasty());
        Self { near, far, address }
    }

    async fn stranger(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn failed(&self, count: u64) {
        until(|| self.near.stats().failed >= count).await;
    }

    /// The right peer gets its link.
    async fn works(&self) {
        support::works(&self.near, &self.far).await;
    }
}

/// The first bytes of a TLS client.
fn client_hello() -> Vec<u8> {
    let mut connection = rustls::ClientConnection::new(
        Arc::new(tls_client(b"ha/1")),
        ServerName::try_from("peer").unwrap(),
    )
    .unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn tls_client(alpn: &[u8]) -> rustls::ClientConfig {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

#[tokio::test]
async fn garbage_before_the_handshake() {
    let rig = Rig::new(LinkLimits::default());
    for (count, garbage) in [
        &b"GET / HTTP/1.1\r\nHost: unit\r\n\r\n"[..],
        &[0; 4096],
        &[0xff; 4096],
    ]
    .into_iter()
    .enumerate()
    {
        let mut stranger = rig.stranger().await;
        stranger.write_all(garbage).await.unwrap();
        rig.failed(count as u64 + 1).await;
    }
    rig.works().await;
}

#[tokio::test]
async fn garbage_inside_the_handshake() {
    let rig = Rig::new(LinkLimits::default());
    let mut stranger = rig.stranger().await;
    stranger.write_all(&client_hello()).await.unwrap();
    stranger.write_all(&[0x17, 3, 3, 0, 32]).await.unwrap();
    stranger.write_all(&[0xa5; 32]).await.unwrap();
    rig.failed(1).await;
    rig.works().await;
}

#[tokio::test]
async fn a_connection_closed_inside_the_handshake() {
    let rig = Rig::new(LinkLimits::default());
    let mut stranger = rig.stranger().await;
    let hello = client_hello();
    stranger.write_all(&hello[..hello.len() / 2]).await.unwrap();
    drop(stranger);
    rig.failed(1).await;
    rig.works().await;
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up() {
    let rig = Rig::new(hasty());
    let silent = rig.stranger().await;
    let mut half = rig.stranger().await;
    half.write_all(&client_hello()[..100]).await.unwrap();
    until(|| rig.near.stats().in_handshake == 2).await;
    rig.works().await;
    rig.failed(2).await;
    drop((silent, half));
}

#[tokio::test]
async fn one_byte_now_and_then_does_not_prolong_a_handshake() {
    let rig = Rig::new(hasty());
    let mut stranger = rig.stranger().await;
    let trickle = tokio::spawn(async move {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        for byte in client_hello() {
            pause.tick().await;
            if stranger.write_all(&[byte]).await.is_err() {
                return;
            }
        }
    });
    until(|| rig.near.stats().in_handshake == 1).await;
    rig.works().await;
    rig.failed(1).await;
    trickle.abort();
}

#[tokio::test]
async fn the_dialling_end_gives_up_a_silent_listener() {
    let silent = TcpListener::bind(ANY).await.unwrap();
    let unit = Unit::new("unit-1");
    let address = silent.local_addr().unwrap();
    let far = Tcp::new(ANY, address, &unit.identity, unit.trust(), hasty()).unwrap();
    let error = bounded(far.establish(Side::Dial)).await.unwrap_err();
    assert!(
        matches!(error, LinkError::HandshakeTimeout { .. }),
        "{error}"
    );
    drop(silent);
    let error = bounded(far.establish(Side::Dial)).await.unwrap_err();
    assert!(matches!(error, LinkError::Connect { .. }), "{error}");
    assert_eq!(far.stats().failed, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_do_not_keep_the_peer_out() {
    // Both ends of the thousand are in this process.
    rlimit::increase_nofile_limit(4096).unwrap();
    let rig = Rig::new(LinkLimits::default());
    let mut strangers = Vec::new();
    for _ in 0..1000 {
        strangers.push(rig.stranger().await);
    }
    let limit = LinkLimits::default().max_handshakes as u64;
    until(|| rig.near.stats().dropped == 1000 - limit).await;
    assert!(rig.near.stats().in_handshake <= limit);
    // All the places are taken by connections that say nothing, and none has timed out.
    rig.works().await;
    assert_eq!(rig.near.stats().failed, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_peer_gets_in_while_a_thousand_connections_come() {
    rlimit::increase_nofile_limit(4096).unwrap();
    let rig = Rig::new(LinkLimits::default());
    let address = rig.address;
    let flood = tokio::spawn(async move {
        let mut strangers = Vec::new();
        for _ in 0..1000 {
            strangers.push(TcpStream::connect(address).await);
        }
        strangers
    });
    rig.works().await;
    drop(bounded(flood).await.unwrap());
}

#[tokio::test]
async fn another_protocol_above_tls_is_refused_by_either_end() {
    let rig = Rig::new(LinkLimits::default());
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls_client(b"http/1.1")));
    let name = ServerName::try_from("peer").unwrap();
    let refused = connector
        .connect(name, rig.stranger().await)
        .await
        .unwrap_err();
    let alert = rustls::AlertDescription::NoApplicationProtocol;
    let refused = refused
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>())
        .cloned();
    assert_eq!(refused, Some(rustls::Error::AlertReceived(alert)));
    rig.failed(1).await;
    rig.works().await;

    let (address, server) = another_service().await;
    let unit = Unit::new("unit-1");
    let far = Tcp::new(ANY, address, &unit.identity, unit.trust(), hasty()).unwrap();
    let error = bounded(far.establish(Side::Dial)).await.unwrap_err();
    assert!(matches!(error, LinkError::WrongProtocol { .. }), "{error}");
    server.abort();
}

/// A TLS server that is no unit.
async fn another_service() -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["peer".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let listener = TcpListener::bind(ANY).await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = acceptor.accept(stream).await;
        std::future::pending::<()>().await;
    });
    (address, task)
}

#[tokio::test]
async fn a_stranger_to_a_plaintext_link_is_told_apart() {
    let rig = Rig::plaintext();
    let mut stranger = rig.stranger().await;
    stranger.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    rig.failed(1).await;
    rig.works().await;
}

/// The bytes of a peer that is authenticated and faulty: what the unit says of them.
async fn verdict(bytes: &[u8], then_close: bool) -> LinkError {
    let rig = Rig::plaintext();
    let mut peer = rig.stranger().await;
    let mut hello = [0; 8];
    peer.read_exact(&mut hello).await.unwrap();
    peer.write_all(&hello).await.unwrap();
    let Link {
        mut receiver,
        sender,
        ..
    } = bounded(rig.near.establish(Side::Accept)).await.unwrap();
    peer.write_all(bytes).await.unwrap();
    let peer = (!then_close).then_some(peer);
    let error = bounded(async {
        loop {
            if let Err(error) = receiver.recv().await {
                return error;
            }
        }
    })
    .await;
    assert!(
        sender.send(Lane::Control, "x".into()).is_err(),
        "the link is closed"
    );
    drop(peer);
    rig.works().await;
    error
}

#[tokio::test]
async fn faulty_frames_close_the_link_and_are_named() {
    let unknown = verdict(&[0x85, 0, 0, 0], false).await;
    assert!(
        matches!(unknown, LinkError::UnknownLane { number: 5 }),
        "{unknown}"
    );
    let long = verdict(&[0x80, 0xff, 0xff, 0xff], false).await;
    assert!(matches!(long, LinkError::BadFrame { .. }), "{long}");
    let short = verdict(&[0x00, 0, 0, 1, b'x'], false).await;
    assert!(matches!(short, LinkError::BadFrame { .. }), "{short}");
    let close = verdict(&[0xc0, 0, 0, 0], false).await;
    assert!(matches!(close, LinkError::BadFrame { .. }), "{close}");
}

#[tokio::test]
async fn a_message_beyond_the_limit_closes_the_link() {
    let limit = hasty().control.message_bytes;
    let mut bytes = Vec::new();
    while bytes.len() <= limit + 2 * MAX_PART_BYTES {
        bytes.extend_from_slice(&(MAX_PART_BYTES as u32).to_be_bytes());
        bytes.resize(bytes.len() + MAX_PART_BYTES, 0);
    }
    let error = verdict(&bytes, false).await;
    assert!(
        matches!(
            error,
            LinkError::PeerTooLarge {
                lane: Lane::Control,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn an_end_inside_a_message_is_told_apart_from_a_close() {
    let header = |length: u8| [0x80, 0, 0, length];
    let inside_header = verdict(&header(10)[..HEADER_BYTES - 1], true).await;
    assert!(
        matches!(inside_header, LinkError::Truncated),
        "{inside_header}"
    );
    let inside_part = verdict(&[&header(10)[..], b"only"].concat(), true).await;
    assert!(matches!(inside_part, LinkError::Truncated), "{inside_part}");
    let mut first = (MAX_PART_BYTES as u32).to_be_bytes().to_vec();
    first.resize(HEADER_BYTES + MAX_PART_BYTES, 0);
    let between_parts = verdict(&first, true).await;
    assert!(
        matches!(between_parts, LinkError::Truncated),
        "{between_parts}"
    );
    let between_messages = verdict(&[&header(2)[..], b"ok"].concat(), true).await;
    assert!(
        matches!(between_messages, LinkError::Lost { .. }),
        "{between_messages}"
    );
    let orderly = verdict(&[0x40, 0, 0, 0], true).await;
    assert!(matches!(orderly, LinkError::ClosedByPeer), "{orderly}");
}

/// Nothing that is sent over TLS can be read on the way, and a cut is a lost link.
#[tokio::test]
async fn the_wire_shows_no_plaintext_and_a_cut_is_noticed() {
    let rig = Rig::new(LinkLimits::default());
    let relay = TcpListener::bind(ANY).await.unwrap();
    let through = relay.local_addr().unwrap();
    let (a, b) = (Unit::new("unit-0"), Unit::new("unit-1"));
    let near = Tcp::new(ANY, ANY, &a.identity, b.trust(), LinkLimits::default()).unwrap();
    let target = near.listen().unwrap();
    let far = Tcp::new(ANY, through, &b.identity, a.trust(), LinkLimits::default()).unwrap();
    let (seen_sender, seen) = std::sync::mpsc::channel();
    let relaying = tokio::spawn(async move {
        let (mut client, _) = relay.accept().await.unwrap();
        let mut server = TcpStream::connect(target).await.unwrap();
        let (mut client_read, mut client_write) = client.split();
        let (mut server_read, mut server_write) = server.split();
        let up = async {
            let mut buffer = vec![0; 65536];
            while let Ok(count @ 1..) = client_read.read(&mut buffer).await {
                seen_sender.send(buffer[..count].to_vec()).unwrap();
                server_write.write_all(&buffer[..count]).await.unwrap();
            }
        };
        tokio::join!(up, tokio::io::copy(&mut server_read, &mut client_write)).0;
    });
    let (mut x, y) = bounded(async {
        tokio::try_join!(near.establish(Side::Accept), far.establish(Side::Dial)).unwrap()
    })
    .await;
    let secret = b"a key that nobody on the way may see";
    y.sender.send(Lane::Changes, secret[..].into()).unwrap();
    assert_eq!(bounded(x.receiver.recv()).await.unwrap().1, secret[..]);
    relaying.abort();
    let _ = relaying.await;
    for link in [x, y] {
        let end = bounded(link.sender.ended()).await;
        assert!(!end.is_orderly(), "{end}");
    }
    let wire: Vec<u8> = seen.iter().flatten().collect();
    assert!(wire.len() > secret.len());
    assert!(!wire.windows(16).any(|window| window == &secret[..16]));
    rig.works().await;
}
