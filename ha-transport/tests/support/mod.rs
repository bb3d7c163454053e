//! What the tests of transports share.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
#[cfg(feature = "tls")]
use ha_transport::{Identity, PeerTrust};
use ha_transport::{Lane, Link, LinkError, LinkLimits, LinkSender, Side, Transport, memory};

/// The two ends of a path: `near` accepts, `far` dials. Made within a runtime.
pub(crate) struct Pair {
    pub(crate) near: Arc<dyn Transport>,
    pub(crate) far: Arc<dyn Transport>,
}

impl Pair {
    pub(crate) async fn link(&self) -> (Link, Link) {
        let accepting = self.near.establish(Side::Accept);
        let dialling = self.far.establish(Side::Dial);
        tokio::try_join!(accepting, dialling).unwrap()
    }
}

pub(crate) fn memory(limits: LinkLimits) -> Pair {
    let (near, far) = memory::pair(limits);
    Pair {
        near: Arc::new(near),
        far: Arc::new(far),
    }
}

#[cfg(feature = "tls")]
pub(crate) const ANY: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

#[cfg(feature = "tls")]
pub(crate) struct Unit {
    pub(crate) identity: Identity,
}

#[cfg(feature = "tls")]
impl Unit {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            identity: Identity::generate(name).unwrap(),
        }
    }

    pub(crate) fn trust(&self) -> PeerTrust {
        PeerTrust::keys([self.identity.fingerprint()]).unwrap()
    }
}

#[cfg(feature = "tcp")]
pub(crate) fn tcp(limits: LinkLimits) -> Pair {
    use ha_transport::Tcp;
    let (a, b) = (Unit::new("unit-0"), Unit::new("unit-1"));
    let near = Tcp::new(ANY, ANY, &a.identity, b.trust(), limits).unwrap();
    let address = near.listen().unwrap();
    let far = Tcp::new(ANY, address, &b.identity, a.trust(), limits).unwrap();
    Pair {
        near: Arc::new(near),
        far: Arc::new(far),
    }
}

#[cfg(feature = "tcp")]
pub(crate) fn tcp_plaintext(limits: LinkLimits) -> Pair {
    use ha_transport::Tcp;
    let near = Tcp::insecure_plaintext(ANY, ANY, limits);
    let address = near.listen().unwrap();
    let far = Tcp::insecure_plaintext(ANY, address, limits);
    Pair {
        near: Arc::new(near),
        far: Arc::new(far),
    }
}

#[cfg(feature = "quic")]
pub(crate) fn quic(limits: LinkLimits) -> Pair {
    use ha_transport::Quic;
    let (a, b) = (Unit::new("unit-0"), Unit::new("unit-1"));
    let near = Quic::new(ANY, ANY, &a.identity, b.trust(), limits).unwrap();
    let address = near.listen().unwrap();
    let far = Quic::new(ANY, address, &b.identity, a.trust(), limits).unwrap();
    Pair {
        near: Arc::new(near),
        far: Arc::new(far),
    }
}

#[cfg(all(feature = "sctp", target_os = "linux"))]
pub(crate) fn sctp(limits: LinkLimits) -> Pair {
    use ha_transport::{Sctp, sctp::SctpConfig};
    let (a, b) = (Unit::new("unit-0"), Unit::new("unit-1"));
    let make = |remote, own: &Unit, peer: &Unit| {
        let config = SctpConfig::default();
        Sctp::new(
            &[ANY],
            &[remote],
            &own.identity,
            peer.trust(),
            config,
            limits,
        )
        .unwrap()
    };
    let near = make(ANY, &a, &b);
    let far = make(near.listen().unwrap(), &b, &a);
    Pair {
        near: Arc::new(near),
        far: Arc::new(far),
    }
}

#[cfg(all(feature = "sctp", target_os = "linux"))]
pub(crate) fn sctp_plaintext(limits: LinkLimits) -> Pair {
    use ha_transport::{Sctp, sctp::SctpConfig};
    let make = |remote| {
        Sctp::insecure_plaintext(&[ANY], &[remote], SctpConfig::default(), limits).unwrap()
    };
    let near = make(ANY);
    let far = make(near.listen().unwrap());
    Pair {
        near: Arc::new(near),
        far: Arc::new(far),
    }
}

/// False, with a line that says so, if the kernel lacks what the transport needs; a failure if
/// `HA_REQUIRE_SCTP` is set.
pub(crate) fn can_run(transport: &str) -> bool {
    #[cfg(all(feature = "sctp", target_os = "linux"))]
    if transport.starts_with("sctp") && !ha_transport::sctp::is_supported() {
        assert!(
            std::env::var("HA_REQUIRE_SCTP").as_deref() != Ok("1"),
            "this kernel has no SCTP, and HA_REQUIRE_SCTP asks for it"
        );
        // Not by `eprintln!`, which the harness hides while a test passes.
        static SAID: std::sync::Once = std::sync::Once::new();
        SAID.call_once(|| {
            let text = b"NOTHING WAS TESTED over SCTP: this kernel has none\n";
            let _ = std::io::Write::write_all(&mut std::io::stderr(), text);
        });
        return false;
    }
    let _ = transport;
    true
}

/// Fails instead of hanging.
pub(crate) async fn bounded<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), test)
        .await
        .expect("the test hangs")
}

/// A message that shows where it is damaged.
pub(crate) fn message(seed: usize, length: usize) -> Bytes {
    (0..length).map(|i| ((i + seed) * 31 % 251) as u8).collect()
}

/// Sends, waiting while the queue is full.
pub(crate) async fn send(sender: &LinkSender, lane: Lane, message: Bytes) -> Result<(), LinkError> {
    loop {
        match sender.send(lane, message.clone()) {
            Err(LinkError::QueueFull { .. }) => tokio::task::yield_now().await,
            other => return other,
        }
    }
}

/// Waits for a condition.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    bounded(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// The right peer gets a link. On a machine under load an attempt may take longer than its limit;
/// as in real life the peer tries again.
pub(crate) async fn works(near: &dyn Transport, far: &dyn Transport) {
    let accepting = async {
        loop {
            let mut link = near.establish(Side::Accept).await.unwrap();
            if let Ok((_, message)) = link.receiver.recv().await {
                return message;
            }
        }
    };
    let dialling = async {
        loop {
            if let Ok(link) = far.establish(Side::Dial).await {
                let _ = link.sender.send(Lane::Control, "alive".into());
                link.sender.ended().await;
            }
        }
    };
    let both = async {
        tokio::select! {
            message = accepting => assert_eq!(message, "alive"),
            () = dialling => {}
        }
    };
    bounded(both).await;
}
