//! Bad input and faults on real sockets. Each: a typed error that says the likely cause, a counter,
//! and the right peer gets its link afterwards.
#![cfg(any(feature = "tcp", feature = "quic"))]
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

mod support;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ha_transport::{Fingerprint, Identity, LinkError, LinkLimits, PeerTrust};
use support::bounded;

/// Handshakes that are given up soon.
fn hasty() -> LinkLimits {
    LinkLimits {
        handshake_timeout: Duration::from_millis(300),
        ..LinkLimits::default()
    }
}

/// An identity whose certificate was valid for one day in 1970.
fn expired(name: &str) -> Identity {
    let day = Duration::from_secs(86_400);
    Identity::generate_valid(name, UNIX_EPOCH, UNIX_EPOCH + day).unwrap()
}

fn certificates_of(identity: &Identity) -> PeerTrust {
    PeerTrust::certificates([identity.fingerprint()]).unwrap()
}

fn keys_of(identity: &Identity) -> PeerTrust {
    PeerTrust::keys([identity.fingerprint()]).unwrap()
}

/// Far enough in the future for any run of this test.
fn not_yet_valid(name: &str) -> Identity {
    let start: SystemTime = UNIX_EPOCH + Duration::from_secs(250_000_000_000);
    Identity::generate_valid(name, start, start + Duration::from_secs(86_400)).unwrap()
}

/// An authority, and a way to have it issue identities.
struct Authority {
    pem: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: rcgen::Issuer::new(params, key),
        }
    }

    fn issue(&self, name: &str, usages: &[rcgen::ExtendedKeyUsagePurpose]) -> Identity {
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = usages.to_vec();
        let key = rcgen::KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity::from_pem(key.serialize_pem().into(), chain).unwrap()
    }

    fn unit(&self, name: &str) -> Identity {
        use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        self.issue(name, &[ServerAuth, ClientAuth])
    }

    fn trust(&self, name: &str) -> PeerTrust {
        PeerTrust::authority(&self.pem, name).unwrap()
    }
}

/// The tests of authentication, the same for each transport.
macro_rules! authentication {
    ($name:ident, $transport:ident) => {
        mod $name {
            use ha_transport::{Side, Transport, $transport};

            use super::support::{ANY, until, works};
            use super::*;

            type End<'a> = (&'a Identity, PeerTrust);

            fn pair(near: End<'_>, far: End<'_>) -> ($transport, $transport) {
                let limits = LinkLimits::default();
                let near = $transport::new(ANY, ANY, near.0, near.1, limits).unwrap();
                let address = near.listen().unwrap();
                let far = $transport::new(ANY, address, far.0, far.1, limits).unwrap();
                (near, far)
            }

            /// What the dialling end is told; the accepting end must count a failure and go on.
            async fn refusal(near: &$transport, far: &$transport) -> LinkError {
                let before = near.stats();
                let mut accepting = near.establish(Side::Accept);
                let dialled = tokio::select! {
                    _ = &mut accepting => panic!("accepted"),
                    dialled = far.establish(Side::Dial) => dialled,
                };
                until(|| near.stats().failed == before.failed + 1).await;
                assert_eq!(near.stats().established, before.established);
                assert_eq!(far.stats().failed, 1);
                dialled.unwrap_err()
            }

            #[tokio::test]
            async fn a_dialling_unit_that_is_not_pinned_is_refused() {
                let [near, far, wrong] = ["unit-0", "unit-1", "unit-x"].map(|n| Identity::generate(n).unwrap());
                let (a, b) = pair((&near, keys_of(&far)), (&wrong, keys_of(&near)));
                let error = bounded(refusal(&a, &b)).await;
                assert!(matches!(error, LinkError::RefusedByPeer { .. }), "{error}");
                assert!(error.to_string().contains("not pinned there"), "{error}");
                let address = a.listen_addr().unwrap();
                let right = $transport::new(ANY, address, &far, keys_of(&near), LinkLimits::default());
                works(&a, &right.unwrap()).await;
            }

            #[tokio::test]
            async fn an_accepting_unit_that_is_not_pinned_is_refused() {
                let [near, far, other] = ["unit-0", "unit-1", "unit-x"].map(|n| Identity::generate(n).unwrap());
                let (a, b) = pair((&near, keys_of(&far)), (&far, keys_of(&other)));
                let error = bounded(refusal(&a, &b)).await;
                let LinkError::PeerNotPinned { seen, expected } = &error else { panic!("{error}") };
                assert_eq!(*seen, near.fingerprint());
                assert_eq!(*expected, [other.fingerprint()]);
                assert!(error.to_string().contains(&near.fingerprint().to_string()));
                assert!(error.to_string().contains("ha-identity show"));
            }

            #[tokio::test]
            async fn any_of_several_pins_will_do_and_the_peer_is_named() {
                let [near, far] = ["unit-0", "unit-1"].map(|n| Identity::generate(n).unwrap());
                let old = Fingerprint::new([1; 32]);
                let trust = PeerTrust::keys([old, far.fingerprint()]).unwrap();
                let (a, b) = pair((&near, trust), (&far, keys_of(&near)));
                let (x, y) = bounded(async {
                    tokio::try_join!(a.establish(Side::Accept), b.establish(Side::Dial)).unwrap()
                })
                .await;
                assert_eq!(x.peer.fingerprint, Some(far.fingerprint()));
                assert_eq!(y.peer.fingerprint, Some(near.fingerprint()));
            }

            #[tokio::test]
            async fn an_expired_certificate_is_refused_by_either_end() {
                let [near, far] = ["unit-0", "unit-1"].map(|n| Identity::generate(n).unwrap());
                let (old_near, old_far) = (expired("unit-0"), expired("unit-1"));

                let (a, b) = pair((&near, certificates_of(&far)), (&far, certificates_of(&near)));
                works(&a, &b).await;

                let (a, b) =
                    pair((&near, certificates_of(&old_far)), (&old_far, certificates_of(&near)));
                let error = bounded(refusal(&a, &b)).await;
                assert!(matches!(error, LinkError::RefusedByPeer { .. }), "{error}");
                assert!(error.to_string().contains("clocks"), "{error}");

                let (a, b) =
                    pair((&old_near, certificates_of(&far)), (&far, certificates_of(&old_near)));
                let error = bounded(refusal(&a, &b)).await;
                assert!(matches!(error, LinkError::CertificateExpired { .. }), "{error}");

                let early = not_yet_valid("unit-0");
                let (a, b) = pair((&early, certificates_of(&far)), (&far, certificates_of(&early)));
                let error = bounded(refusal(&a, &b)).await;
                assert!(matches!(error, LinkError::CertificateNotYetValid { .. }), "{error}");
            }

            #[tokio::test]
            async fn the_pin_counts_for_certificates_as_well() {
                let [near, far, wrong] = ["unit-0", "unit-1", "unit-1"].map(|n| Identity::generate(n).unwrap());
                let (a, b) = pair((&near, certificates_of(&far)), (&wrong, certificates_of(&near)));
                let error = bounded(refusal(&a, &b)).await;
                assert!(matches!(error, LinkError::RefusedByPeer { .. }), "{error}");
                let (a, b) = pair((&near, certificates_of(&far)), (&far, certificates_of(&wrong)));
                let error = bounded(refusal(&a, &b)).await;
                assert!(matches!(error, LinkError::PeerNotPinned { .. }), "{error}");
            }

            #[tokio::test]
            async fn raw_keys_and_certificates_do_not_mix() {
                let [near, far] = ["unit-0", "unit-1"].map(|n| Identity::generate(n).unwrap());
                let (a, b) = pair((&near, keys_of(&far)), (&far, certificates_of(&near)));
                let error = bounded(refusal(&a, &b)).await;
                assert!(error.to_string().contains("one unit pins raw keys"), "{error}");
                let (a, b) = pair((&near, certificates_of(&far)), (&far, keys_of(&near)));
                let error = bounded(refusal(&a, &b)).await;
                assert!(error.to_string().contains("one unit pins raw keys"), "{error}");
            }

            #[tokio::test]
            async fn an_authority_vouches_for_names() {
                let (ours, theirs) = (Authority::new(), Authority::new());
                let (near, far) = (ours.unit("unit-0"), ours.unit("unit-1"));
                let (a, b) =
                    pair((&near, ours.trust("unit-1")), (&far, ours.trust("unit-0")));
                works(&a, &b).await;

                let other = ours.unit("unit-2");
                let (a, b) = pair((&near, ours.trust("unit-1")), (&other, ours.trust("unit-0")));
                let error = bounded(refusal(&a, &b)).await;
                assert!(matches!(error, LinkError::RefusedByPeer { .. }), "{error}");
                let (a, b) = pair((&other, ours.trust("unit-1")), (&far, ours.trust("unit-0")));
                let error = bounded(refusal(&a, &b)).await;
                assert!(error.to_string().contains("another name"), "{error}");

                let forged = theirs.unit("unit-0");
                let (a, b) = pair((&forged, ours.trust("unit-1")), (&far, ours.trust("unit-0")));
                let error = bounded(refusal(&a, &b)).await;
                assert!(error.to_string().contains("authority"), "{error}");

                let server_only = [rcgen::ExtendedKeyUsagePurpose::ServerAuth];
                let half = ours.issue("unit-1", &server_only);
                let (a, b) = pair((&near, ours.trust("unit-1")), (&half, ours.trust("unit-0")));
                let error = bounded(refusal(&a, &b)).await;
                assert!(matches!(error, LinkError::RefusedByPeer { .. }), "{error}");
            }

            #[tokio::test]
            async fn an_address_in_use_is_named() {
                let [near, far] = ["unit-0", "unit-1"].map(|n| Identity::generate(n).unwrap());
                let (a, _) = pair((&near, keys_of(&far)), (&far, keys_of(&near)));
                let taken = a.listen_addr().unwrap();
                let b = $transport::new(taken, ANY, &near, keys_of(&far), LinkLimits::default());
                let error = b.unwrap().establish(Side::Accept).await.unwrap_err();
                assert!(matches!(error, LinkError::Bind { address, .. } if address == taken));
            }
        }
    };
}

#[cfg(feature = "quic")]
authentication!(quic_authentication, Quic);
#[cfg(feature = "tcp")]
authentication!(tcp_authentication, Tcp);

#[cfg(feature = "quic")]
#[path = "faults/quic.rs"]
mod quic;
#[cfg(feature = "tcp")]
#[path = "faults/tcp.rs"]
mod tcp;
