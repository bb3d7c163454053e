//! What SCTP alone promises: paths, and who is refused.

use std::net::SocketAddr;

use ha_transport::sctp::{self, PathState, SctpConfig};
use ha_transport::{Lane, LinkError, LinkLimits, PeerTrust, Sctp, Side, Transport};

use super::support::{ANY, Unit, bounded, can_run, until, works};

fn make(ends: [&[SocketAddr]; 2], unit: &Unit, trust: PeerTrust) -> Sctp {
    let (config, limits) = (SctpConfig::default(), LinkLimits::default());
    Sctp::new(ends[0], ends[1], &unit.identity, trust, config, limits).unwrap()
}

#[tokio::test]
async fn without_a_kernel_that_has_it_the_error_says_so() {
    if sctp::is_supported() {
        return;
    }
    let near = make([&[ANY], &[ANY]], &Unit::new("a"), Unit::new("b").trust());
    let error = near.establish(Side::Accept).await.unwrap_err();
    assert!(matches!(error, LinkError::Config { .. }), "{error}");
    assert!(error.to_string().contains("modprobe sctp"), "{error}");
}

#[tokio::test]
async fn two_addresses_make_two_paths() {
    if !can_run("sctp") {
        return;
    }
    let ends =
        |port| ["127.0.0.1", "127.0.0.2"].map(|ip| SocketAddr::new(ip.parse().unwrap(), port));
    let (a, b) = (Unit::new("unit-0"), Unit::new("unit-1"));
    let near = make([&ends(0), &ends(1)], &a, b.trust());
    let port = near.listen().unwrap().port();
    let far = make([&ends(0), &ends(port)], &b, a.trust());
    let states = || {
        far.paths()
            .iter()
            .map(|path| path.state)
            .collect::<Vec<_>>()
    };
    assert_eq!(states(), [PathState::Unknown; 2]);
    let (accepted, dialled) = bounded(async {
        tokio::try_join!(near.establish(Side::Accept), far.establish(Side::Dial)).unwrap()
    })
    .await;
    assert_eq!(accepted.peer.fingerprint, Some(b.identity.fingerprint()));
    assert_eq!(dialled.peer.fingerprint, Some(a.identity.fingerprint()));
    // The second one is confirmed by its first heartbeat.
    until(|| states() == [PathState::Available; 2]).await;
    until(|| {
        near.paths()
            .iter()
            .all(|path| path.state == PathState::Available)
    })
    .await;
    dialled.sender.send(Lane::Control, "x".into()).unwrap();
    dialled.sender.close().await;
    until(|| states() == [PathState::Unknown; 2]).await;
}

#[tokio::test]
async fn a_stranger_is_refused_and_told_so() {
    if !can_run("sctp") {
        return;
    }
    let (a, b, stranger) = (Unit::new("unit-0"), Unit::new("unit-1"), Unit::new("x"));
    let near = make([&[ANY], &[ANY]], &a, b.trust());
    let there = near.listen().unwrap();
    let wrong = make([&[ANY], &[there]], &stranger, a.trust());
    let told = refusal(&near, &wrong).await;
    assert!(
        matches!(told, LinkError::RefusedByPeer { .. }) && told.to_string().contains("not pinned"),
        "{told}"
    );
    let mistrustful = make([&[ANY], &[there]], &b, stranger.trust());
    let told = refusal(&near, &mistrustful).await;
    assert!(matches!(told, LinkError::PeerNotPinned { .. }), "{told}");
    works(&near, &make([&[ANY], &[there]], &b, a.trust())).await;
}

#[tokio::test]
async fn only_the_link_of_the_peer_decides_on_the_states_of_paths() {
    if !can_run("sctp") {
        return;
    }
    let (a, b, stranger) = (Unit::new("unit-0"), Unit::new("unit-1"), Unit::new("x"));
    let near = make([&[ANY], &[ANY]], &a, b.trust());
    let there = near.listen().unwrap();
    let far = make([&[ANY], &[there]], &b, a.trust());
    let join = || async {
        let both =
            async { tokio::try_join!(near.establish(Side::Accept), far.establish(Side::Dial)) };
        bounded(both).await.unwrap()
    };
    let available = || {
        let paths = [near.paths(), far.paths()].concat();
        paths.iter().all(|path| path.state == PathState::Available)
    };
    let old = join().await;
    until(available).await;
    refusal(&near, &make([&[ANY], &[there]], &stranger, a.trust())).await;
    assert!(available(), "a stranger came and went");
    let new = join().await;
    old.0.sender.abort();
    bounded(async { (old.0.sender.ended().await, old.1.sender.ended().await) }).await;
    assert!(available(), "an old link ended");
    drop(new);
    until(|| !available()).await;
}

#[tokio::test]
async fn plaintext_does_not_reach_a_link_with_tls() {
    if !can_run("sctp") {
        return;
    }
    let (a, b) = (Unit::new("unit-0"), Unit::new("unit-1"));
    let near = make([&[ANY], &[ANY]], &a, b.trust());
    let there = near.listen().unwrap();
    let limits = LinkLimits {
        handshake_timeout: std::time::Duration::from_millis(500),
        ..LinkLimits::default()
    };
    let plain = Sctp::insecure_plaintext(&[ANY], &[there], SctpConfig::default(), limits).unwrap();
    refusal(&near, &plain).await;
    works(&near, &make([&[ANY], &[there]], &b, a.trust())).await;
}

#[tokio::test]
async fn nobody_there_is_a_typed_error() {
    if !can_run("sctp") {
        return;
    }
    let (a, b) = (Unit::new("unit-0"), Unit::new("unit-1"));
    let nobody = SocketAddr::new(ANY.ip(), 9);
    let far = make([&[ANY], &[nobody]], &a, b.trust());
    let error = bounded(far.establish(Side::Dial)).await.unwrap_err();
    assert!(matches!(error, LinkError::Connect { .. }), "{error}");
}

/// What the dialling end is told; the accepting end must count a failure and go on.
async fn refusal(near: &Sctp, far: &Sctp) -> LinkError {
    let before = near.stats();
    let mut accepting = near.establish(Side::Accept);
    let dialled = bounded(async {
        tokio::select! {
            _ = &mut accepting => panic!("accepted"),
            dialled = far.establish(Side::Dial) => dialled,
        }
    })
    .await;
    until(|| near.stats().failed == before.failed + 1).await;
    assert_eq!(near.stats().established, before.established);
    dialled.unwrap_err()
}
