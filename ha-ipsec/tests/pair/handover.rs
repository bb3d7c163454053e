//! Manual switchovers, prepared while packets flow.

use std::sync::Arc;

use ha_core::node::{CommandError, Event};
use ha_core::redundancy::{RfState, SwitchoverRefusal};
use ha_ipsec::replay::Accept;
use ha_ipsec::sad::InboundSa;

use super::harness::{GROUP, Pair, inbound, inbound_id};

/// More than would be closed without preparation.
const SAS: u32 = 300;

/// A pair whose inbound SAs have all just received a packet.
fn busy() -> (Pair, Vec<Arc<InboundSa>>) {
    let mut pair = Pair::settled();
    let mut change = pair.sad(0).change();
    for number in 1..=SAS {
        change.insert(inbound(number));
    }
    let commit = change.commit().unwrap();
    pair.run_until_committed(&commit);
    let find = |number| pair.sad(0).inbound(&inbound_id(number)).unwrap();
    let sas: Vec<_> = (1..=SAS).map(find).collect();
    for _ in 0..10 {
        for sa in &sas {
            receive(sa);
        }
        pair.run_for(10);
    }
    assert!(sas.iter().all(|sa| receive(sa)));
    (pair, sas)
}

fn receive(sa: &InboundSa) -> bool {
    matches!(sa.accept(sa.top() + 1), Accept::Deliver { .. })
}

fn order(pair: &mut Pair) -> Result<(), CommandError> {
    let now = pair.now;
    pair.unit(0).node.switchover(GROUP, false, now)
}

fn applied(pair: &mut Pair) -> u64 {
    pair.unit(1).node.stats(GROUP).unwrap().entries_applied
}

/// Silent SAs are made exact on the standby first: only the one that goes on is left for the time in
/// which packets stand still.
#[test]
fn silent_sas_are_closed_before_the_data_path() {
    let (mut pair, sas) = busy();
    order(&mut pair).unwrap();
    let refused = order(&mut pair).unwrap_err();
    let expected = CommandError::Refused(SwitchoverRefusal::InProgress);
    assert_eq!(refused, expected);
    let (mut served, mut before) = (0, 0);
    while pair.state(1) != Some(RfState::Active) {
        if receive(&sas[0]) {
            (served, before) = (served + 1, applied(&mut pair));
        }
        assert!(served < 1000, "no switchover");
        pair.step();
    }
    assert!(served >= 30, "packets flowed for {served} ms only");
    let rest = applied(&mut pair) - before;
    assert!((1..=4).contains(&rest), "{rest} entries were left");
    pair.run_until_whole();
    for (number, sa) in (1..).zip(&sas) {
        let theirs = pair.sad(1).inbound(&inbound_id(number)).unwrap();
        assert_eq!(theirs.top(), sa.top(), "SA {number}");
        assert!(receive(&theirs));
    }
}

/// The standby is lost meanwhile: the data path never stops, and ceilings are as far ahead as ever.
#[test]
fn a_standby_that_is_lost_meanwhile_calls_it_off() {
    let (mut pair, sas) = busy();
    order(&mut pair).unwrap();
    pair.run_for(5);
    pair.crash(1);
    let failed = |pair: &Pair| {
        let events = pair.units[0].as_ref().map(|unit| &unit.events);
        events.is_some_and(|events| {
            let failed = |event: &Event| matches!(event, Event::SwitchoverFailed { .. });
            events.iter().any(failed)
        })
    };
    pair.run_until("it fails", failed);
    assert_eq!(pair.state(0), Some(RfState::Active));
    pair.join(1);
    pair.run_until_whole();
    let mut delivered = 0;
    for _ in 0..100 {
        // Closed after 20 ms of silence, each packet would have to wait.
        pair.run_for(30);
        delivered += u32::from(receive(&sas[0]));
    }
    assert!(delivered > 95, "{delivered}");
    pair.switchover();
}
