use super::*;

const A: LinkId = LinkId::new(1);
const B: LinkId = LinkId::new(2);

fn peer() -> Peer {
    Peer::new(UnitId::new(0), UnitId::new(1))
}

fn hello(incarnation: u64) -> pb::Hello {
    pb::Hello {
        protocol_min: PROTOCOL,
        protocol_max: PROTOCOL,
        unit: 1,
        incarnation,
        ..pb::Hello::default()
    }
}

#[test]
fn a_link_is_ready_after_hello() {
    let mut peer = peer();
    assert!(!peer.knows(A));
    peer.link_up(A, Time::ZERO);
    assert!(peer.knows(A) && !peer.is_ready(A));
    assert_eq!(peer.incarnation(), None);
    assert_eq!(peer.hello(A, &hello(7)), Ok(false));
    assert!(peer.is_ready(A));
    assert_eq!((peer.links(), peer.incarnation()), (&[A][..], Some(7)));
    assert_eq!(peer.hello(A, &hello(7)), Ok(false), "again is harmless");
    assert_eq!(peer.links(), [A]);
}

#[test]
fn hello_must_come_in_time() {
    let mut peer = peer();
    peer.link_up(A, Time::ZERO);
    peer.link_up(B, Time::from_millis(1));
    let due = Time::ZERO + HELLO_LIMIT;
    assert_eq!(peer.poll_timeout(), Some(due));
    assert_eq!(peer.overdue(Time::from_millis(4_999)), []);
    assert_eq!(peer.overdue(due), [A]);
    assert_eq!(peer.hello(B, &hello(7)), Ok(false));
    assert!(!peer.link_down(A), "it was never ready");
    assert_eq!(peer.poll_timeout(), None);
}

#[test]
fn statuses_are_counted_on_each_link() {
    let mut peer = peer();
    for link in [A, B] {
        peer.link_up(link, Time::ZERO);
        assert_eq!(peer.hello(link, &hello(7)), Ok(false));
    }
    assert_eq!(
        [
            peer.next_status(A).0,
            peer.next_status(A).0,
            peer.next_status(B).0
        ],
        [1, 2, 1]
    );
    assert!(peer.link_down(A));
    assert_eq!(peer.next_status(B).0, 2);
    assert_eq!(peer.next_status(A).0, 0, "gone");
    assert_eq!(
        peer.incarnation(),
        Some(7),
        "a lost link is not a lost peer"
    );
}

#[test]
fn strangers_are_refused() {
    let mut peer = peer();
    peer.link_up(A, Time::ZERO);
    let mut refused = |change: fn(&mut pb::Hello)| {
        let mut hello = hello(7);
        change(&mut hello);
        let reason = peer.hello(A, &hello).unwrap_err();
        assert!(!peer.is_ready(A));
        reason
    };
    let [unit, got, expected] = [0, 2, 1].map(UnitId::new);
    assert_eq!(refused(|h| h.unit = 0), CloseReason::SameUnit { unit });
    assert_eq!(
        refused(|h| h.unit = 2),
        CloseReason::UnexpectedUnit { got, expected }
    );
    let reason = refused(|h| (h.protocol_min, h.protocol_max) = (PROTOCOL + 1, u32::MAX));
    assert!(matches!(reason, CloseReason::Protocol { .. }));
    let reason = refused(|h| (h.protocol_min, h.protocol_max) = (u32::MAX, 0));
    assert!(matches!(reason, CloseReason::Protocol { .. }));
}

#[test]
fn a_second_process_waits_until_the_first_is_gone() {
    let mut peer = peer();
    for link in [A, B] {
        peer.link_up(link, Time::ZERO);
    }
    assert_eq!(peer.hello(A, &hello(7)), Ok(false));
    let unit = UnitId::new(1);
    assert_eq!(
        peer.hello(B, &hello(8)),
        Err(CloseReason::SecondPeer { unit })
    );
    assert!(peer.link_down(A));
    assert_eq!(peer.hello(B, &hello(8)), Ok(true), "another process");
    assert_eq!(peer.incarnation(), None);
    peer.adopt(B, &hello(8));
    assert_eq!((peer.links(), peer.incarnation()), (&[B][..], Some(8)));
}

#[test]
fn a_lost_peer_takes_its_links_along() {
    let mut peer = peer();
    for link in [A, B] {
        peer.link_up(link, Time::ZERO);
    }
    assert_eq!(peer.hello(A, &hello(7)), Ok(false));
    assert_eq!(peer.lose(), [A]);
    assert_eq!((peer.incarnation(), peer.links()), (None, &[][..]));
    assert!(
        peer.knows(B),
        "who has not said Hello yet may be somebody else"
    );
    assert_eq!(peer.hello(B, &hello(9)), Ok(false));
}

#[test]
fn only_what_answers_is_fresh_after_a_pause() {
    let mut peer = peer();
    let status = |number, heard| pb::Status {
        number,
        heard,
        ..pb::Status::default()
    };
    peer.link_up(A, Time::ZERO);
    peer.hello(A, &hello(7)).unwrap();
    assert_eq!(peer.next_status(A), (1, 0));
    assert!(!peer.heard_status(A, &status(1, 0)));
    assert_eq!(peer.next_status(A), (2, 1));
    assert!(peer.heard_status(A, &status(2, 1)));
    peer.handle_pause();
    // What waited on the link meanwhile.
    assert!(!peer.heard_status(A, &status(3, 2)));
    assert_eq!(peer.next_status(A), (3, 3));
    assert!(!peer.heard_status(A, &status(4, 2)));
    assert!(peer.heard_status(A, &status(5, 3)));
    assert!(!peer.heard_status(B, &status(1, 9)), "no such link");
}
