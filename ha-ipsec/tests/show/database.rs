//! Show and clear on the databases of two units.

use std::net::IpAddr;

use ha_core::node::Node;
use ha_ipsec::clear::{Clear, ClearError, Cleared, Removed};
use ha_ipsec::id::SaId;
use ha_ipsec::lifetime::Limits;
use ha_ipsec::sad::Sad;
use ha_ipsec::show::build::{Platform, SaPackets};
use ha_ipsec::show::{
    CheckpointStatisticsView, DirectionView, HaStatus, IpsecSaView, RedundancyClientsView,
    RedundancyStatesView, Show, StatusFilter,
};

#[allow(dead_code, reason = "the tests of the database use the rest")]
#[path = "../pair/harness.rs"]
mod harness;

use harness::{GROUP, Pair, ike, ike_id, inbound, inbound_id, outbound, outbound_id};

const UNIX_S: u64 = 1_000_100;

fn peer() -> IpAddr {
    outbound_id(1).destination
}

/// Two IKE SAs, each with a pair of IPsec SAs, and one pair without.
fn fill(pair: &mut Pair) {
    let active = pair.active();
    let sad = pair.sad(active);
    let mut change = sad.change();
    for number in 1..4 {
        if number < 3 {
            change.insert_ike(ike(number.into()));
        }
        for mut sa in [inbound(number), outbound(number)] {
            sa.ike = (number < 3).then(|| ike_id(number.into()));
            sa.created_unix_s = 1_000_000;
            sa.crypto_map = "map".into();
            sa.lifetime.hard = Limits {
                seconds: Some(3600),
                bytes: Some(1024 * 1000),
                packets: None,
            };
            change.insert(sa);
        }
    }
    let commit = change.commit().unwrap();
    pair.run_until_committed(&commit);
}

fn send(sad: &Sad, id: &SaId, packets: u32) {
    let sa = sad.outbound(id).unwrap();
    for _ in 0..packets {
        sa.next().unwrap();
        sa.charge(1500);
    }
}

fn sa_of(sad: &Sad, id: &SaId) -> IpsecSaView {
    let table = Show::new(sad, UNIX_S).ipsec_sa(StatusFilter::Any);
    let flows = table
        .interfaces
        .into_iter()
        .flat_map(|interface| interface.flows);
    let mut sas = flows.flat_map(|flow| flow.sas);
    sas.find(|sa| sa.spi == id.spi).unwrap()
}

#[test]
fn both_units_show_the_same_sas_each_with_its_status() {
    let mut pair = Pair::settled();
    fill(&mut pair);
    let (active, standby) = (pair.sad(0), pair.sad(1));
    for (sad, status, mine, theirs) in [
        (
            &active,
            HaStatus::Active,
            StatusFilter::Active,
            StatusFilter::Standby,
        ),
        (
            &standby,
            HaStatus::Standby,
            StatusFilter::Standby,
            StatusFilter::Active,
        ),
    ] {
        let show = Show::new(sad, UNIX_S);
        let table = show.ikev2_sa(mine);
        assert_eq!(table.sas.len(), 2);
        assert!(table.sas.iter().all(|sa| sa.status == status));
        assert!(show.ikev2_sa(theirs).sas.is_empty());
        assert!(show.isakmp_sa(StatusFilter::Any).sas.is_empty());
        assert!(show.session(theirs).sessions.is_empty());
        assert!(show.ipsec_sa(theirs).interfaces.is_empty());
        assert_eq!(sa_of(sad, &outbound_id(1)).status, status);
        let one = show.peer(ike(1).remote.ip()).ikev2_sa(StatusFilter::Any);
        assert_eq!(one.sas.len(), 1);
    }
    let ha = |sad| Show::new(sad, UNIX_S).crypto_ha();
    assert_eq!(ha(&active), ha(&standby));
    assert_eq!(ha(&active).ipsec, [inbound_id(1).destination]);
}

#[test]
fn the_active_unit_shows_what_moved_and_the_standby_what_it_was_told() {
    let mut pair = Pair::settled();
    fill(&mut pair);
    let (active, standby) = (pair.sad(0), pair.sad(1));
    let id = outbound_id(1);
    send(&active, &id, 100);
    pair.run_for(1000);
    send(&active, &id, 10);
    let shown = sa_of(&active, &id);
    assert_eq!(shown.direction, DirectionView::Outbound);
    assert_eq!(shown.sequence.highest, 110);
    assert!(shown.sequence.acknowledged.unwrap() >= 110);
    assert_eq!(
        shown.lifetime.kilobytes,
        Some(1000 - (110 * 1500_u64).div_ceil(1024))
    );
    assert_eq!(shown.lifetime.seconds, Some(3500));
    let told = shown.lifetime.ha_last_sent_kilobytes.unwrap();
    let told_to = sa_of(&standby, &id).lifetime;
    assert_eq!(told_to.ha_last_sent_kilobytes, Some(told));
    assert_eq!(
        told_to.kilobytes,
        Some(told),
        "a standby knows no more than it was told"
    );
    assert!(told >= shown.lifetime.kilobytes.unwrap());
}

#[test]
fn showing_brings_no_sa_into_use() {
    let mut pair = Pair::settled();
    fill(&mut pair);
    let sad = pair.sad(0);
    let before = sad.stats().used;
    let show = Show::new(&sad, UNIX_S);
    let text = format!(
        "{}{}",
        show.ipsec_sa(StatusFilter::Any),
        show.session(StatusFilter::Any)
    );
    assert!(text.contains("crypto map: map"), "{text}");
    assert_eq!(sad.stats().used, before);
}

#[test]
fn packets_are_those_of_the_data_path() {
    struct DataPath;
    impl Platform for DataPath {
        fn packets(&self, id: &SaId) -> Option<SaPackets> {
            (*id == outbound_id(1)).then_some(SaPackets {
                passed: 41,
                dropped: 2,
            })
        }
    }
    let mut pair = Pair::settled();
    fill(&mut pair);
    let sad = pair.sad(0);
    let table = Show::new(&sad, UNIX_S)
        .platform(&DataPath)
        .session(StatusFilter::Any);
    let flows = table.sessions.iter().flat_map(|session| &session.flows);
    let counted = flows.map(|flow| (flow.outbound.packets, flow.outbound.dropped));
    assert!(counted.into_iter().any(|counted| counted == (41, 2)));
}

fn removed(cleared: Result<Cleared, ClearError>) -> Removed {
    match cleared.unwrap() {
        Cleared::Removed(removed) => removed,
        other => panic!("{other:?}"),
    }
}

fn counts(sad: &Sad) -> (usize, usize) {
    let stats = sad.stats();
    (stats.ike_sas, stats.ipsec_sas)
}

#[test]
fn clear_on_the_active_unit_removes_on_both() {
    for (clear, found, left) in [
        (Clear::isakmp(), (2, 4), (0, 2)),
        (Clear::sa(), (0, 6), (2, 0)),
        (Clear::session(), (2, 6), (0, 0)),
        (
            Clear::session().status(StatusFilter::Active),
            (2, 6),
            (0, 0),
        ),
    ] {
        let mut pair = Pair::settled();
        fill(&mut pair);
        let removed = removed(clear.run(&pair.sad(0)));
        assert_eq!((removed.ike_sas, removed.ipsec_sas), found, "{clear:?}");
        assert_eq!(counts(&pair.sad(0)), left, "{clear:?}");
        pair.run_until_committed(&removed.commit.unwrap());
        assert_eq!(counts(&pair.sad(1)), left, "{clear:?}");
    }
}

#[test]
fn clear_keeps_to_its_peer() {
    let mut pair = Pair::settled();
    fill(&mut pair);
    let sad = pair.sad(0);
    let other = ike(2).remote.ip();
    assert_ne!(other, peer());
    let one = removed(Clear::isakmp().peer(other).run(&sad));
    assert_eq!((one.ike_sas, one.ipsec_sas), (1, 2));
    assert!(sad.ike(&ike_id(1)).is_some() && sad.ike(&ike_id(2)).is_none());
    let none = removed(
        Clear::session()
            .peer("203.0.113.9".parse().unwrap())
            .run(&sad),
    );
    assert_eq!((none.ike_sas, none.ipsec_sas), (0, 0));
    assert!(none.commit.is_none());
    let rest = removed(Clear::sa().peer(peer()).run(&sad));
    assert_eq!((rest.ike_sas, rest.ipsec_sas), (0, 4));
}

#[test]
fn clear_on_the_standby_resynchronizes() {
    let mut pair = Pair::settled();
    fill(&mut pair);
    let sad = pair.sad(1);
    assert!(matches!(
        Clear::sa().status(StatusFilter::Active).run(&sad),
        Ok(Cleared::Nothing)
    ));
    let cleared = Clear::sa().status(StatusFilter::Standby).run(&sad).unwrap();
    assert!(matches!(cleared, Cleared::Resynchronize));
    assert_eq!(counts(&sad), (2, 6), "what is held stays");
    let now = pair.now;
    let before = statistics(&pair.unit(0).node).bulk_entries;
    pair.unit(1).node.resync(GROUP, None, now).unwrap();
    pair.run_for(2);
    pair.run_until_whole();
    let again = statistics(&pair.unit(0).node).bulk_entries - before;
    assert_eq!(
        again,
        2 + 2 + 6 + 6 + 1,
        "IKE SAs, their progress, IPsec SAs, their counters, the clock"
    );
    assert_eq!(counts(&sad), (2, 6));
    assert!(matches!(
        Clear::sa().status(StatusFilter::Standby).run(&pair.sad(0)),
        Ok(Cleared::Nothing)
    ));
}

fn statistics(node: &Node) -> CheckpointStatisticsView {
    let (stream, group) = (node.stream_stats(GROUP), node.stats(GROUP).unwrap());
    CheckpointStatisticsView::new(stream.as_ref(), &group)
}

#[test]
fn a_unit_shows_its_part() {
    let mut pair = Pair::settled();
    fill(&mut pair);
    let clients = pair.sad(0).clients();
    let clients = RedundancyClientsView::new(clients.iter().map(|client| client.descriptor()));
    assert_eq!(clients.clients.len(), 5);
    let states = [0, 1].map(|unit| {
        let states = pair.unit(unit).node.redundancy_states(GROUP).unwrap();
        RedundancyStatesView(states).to_string()
    });
    assert!(states[0].starts_with("my state = 13 -ACTIVE\npeer state = 8 -STANDBY HOT\n"));
    assert!(states[1].starts_with("my state = 8 -STANDBY HOT\npeer state = 13 -ACTIVE\n"));
    assert_eq!(statistics(&pair.unit(0).node).status, HaStatus::Active);
    let standby = statistics(&pair.unit(1).node);
    assert_eq!(standby.status, HaStatus::Standby);
    assert!(standby.entries_applied >= 8, "{standby}");
}

/// A unit that lost the role while it cleared says how far it got.
#[test]
fn a_refused_change_is_reported() {
    let error = ClearError::Interrupted {
        ike_sas: 64,
        ipsec_sas: 128,
        source: ha_ipsec::sad::ChangeError::NotFound("it".into()),
    };
    let text = error.to_string();
    assert!(
        text.starts_with("cleared 64 IKE SAs and 128 IPsec SAs, then: "),
        "{text}"
    );
}
