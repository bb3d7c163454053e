//! Messages of any bytes, before and after Hello, to a standby and to an active unit: the node never
//! panics, comes to rest after each, and keeps the credit that it was granted.

use core::time::Duration;

use bytes::Bytes;
use ha_core::id::LinkId;
use ha_core::wire::Lane;

use super::input::{Input, block};
use super::pair::Pair;

/// One input: a scene, then messages: lane, length in two bytes, bytes.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (mut pair, unit, link) = scene(input.byte());
    while !input.is_empty() {
        let Some(lane) = Lane::from_number(input.byte() % 4) else {
            pair.pass(Duration::from_millis(10));
            continue;
        };
        let message = Bytes::copy_from_slice(input.block());
        pair.inject(unit, link, lane, message);
    }
    pair.pass(Duration::from_secs(6));
    pair.pass(Duration::from_secs(60));
}

/// The pair, and which unit over which link is to be told lies.
fn scene(number: u8) -> (Pair, usize, LinkId) {
    let mut pair = Pair::new();
    pair.connect();
    let unit = usize::from(number & 1);
    if number & 2 != 0 {
        settle(&mut pair);
    }
    let link = pair.link_id(0, unit).unwrap_or(LinkId::new(0));
    (pair, unit, link)
}

/// Unit 0 is ACTIVE, unit 1 STANDBY HOT, with a few entries.
pub(crate) fn settle(pair: &mut Pair) {
    for _ in 0..2000 {
        pair.deliver_all();
        pair.pass(Duration::from_millis(10));
        if pair.is_settled() {
            break;
        }
    }
    let active = pair.active().expect("one unit is active");
    for key in 0..8 {
        active.tables[0]
            .insert(key, vec![key; 8])
            .expect("the active is written");
    }
    for _ in 0..4 {
        pair.pass(Duration::from_millis(10));
        pair.deliver_all();
    }
}

/// What a unit really is told, as inputs: the seeds.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let as_input = |scene: u8, messages: &[(Lane, Bytes)]| {
        let mut bytes = vec![scene];
        for (lane, message) in messages {
            bytes.push(*lane as u8);
            bytes.extend(block(message));
        }
        bytes
    };
    let mut pair = Pair::new();
    pair.recorded = Some(Vec::new());
    pair.connect();
    settle(&mut pair);
    let all = pair.recorded.take().unwrap_or_default();
    let later = all.split_at(all.len() / 2).1;
    vec![
        ("standby_from_the_start", as_input(1, &all)),
        ("active_from_the_start", as_input(0, &all)),
        ("hot_standby", as_input(3, later)),
        ("active", as_input(2, &all)),
    ]
}
