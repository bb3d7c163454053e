//! Any sequence of operations on a pair: writes, lost and spoilt messages, lost links, crashes,
//! switchovers. Nothing panics, each node comes to rest after each step and keeps its credit; and
//! once everything works again, one unit is ACTIVE, the other STANDBY HOT, and both hold the same.

use core::time::Duration;

use bytes::Bytes;
use ha_core::checkpoint::WriteBatch;
use ha_core::id::ClientId;
use ha_core::wire::Lane;

use super::input::Input;
use super::pair::{CLIENTS, GROUP, Pair};

/// Inputs are cut here: a longer one finds nothing that a shorter one would not.
const STEPS: usize = 400;

/// One input.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut pair = Pair::new();
    pair.connect();
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        step(&mut pair, &mut input);
        pair.sweep();
    }
    pair.settle();
}

fn step(pair: &mut Pair, input: &mut Input<'_>) {
    let now = pair.now;
    match input.byte() % 20 {
        0..=2 => write(pair, input),
        3 => transaction(pair, input),
        4..=6 => pair.pass(Duration::from_millis(1 << (input.byte() % 12))),
        7..=9 => pair.deliver_all(),
        10 | 11 => {
            let (link, unit, lane, count) = address(pair, input);
            for _ in 0..count {
                pair.deliver(link, unit, lane, |message| message);
            }
        }
        12 => {
            let (link, unit, lane, _) = address(pair, input);
            let (at, mask) = (input.byte(), input.byte());
            pair.deliver(link, unit, lane, |message| spoil(&message, at, mask));
        }
        13 => pair.connect(),
        14 => {
            let link = input.below(pair.links());
            pair.cut(link);
        }
        15 => pair.boot(input.below(2)),
        16 => {
            let force = input.byte() % 2 == 1;
            command(pair, |node| drop(node.switchover(GROUP, force, now)), input);
        }
        17 => {
            let client = CLIENTS.get(input.below(3)).copied().map(ClientId::new);
            command(pair, |node| drop(node.resync(GROUP, client, now)), input);
        }
        18 => {
            let on = input.byte() % 2 == 1;
            command(
                pair,
                |node| drop(node.set_maintenance(GROUP, on, now)),
                input,
            );
        }
        _ => command(pair, |node| node.stop("bye"), input),
    }
}

fn command(pair: &mut Pair, command: impl FnOnce(&mut ha_core::node::Node), input: &mut Input<'_>) {
    let place = input.below(2);
    if let Some(unit) = pair.unit(place) {
        command(&mut unit.node);
    }
    pair.run(place);
}

fn write(pair: &mut Pair, input: &mut Input<'_>) {
    let (table, key, len) = (input.below(2), input.byte(), input.byte());
    let place = input.below(2);
    let Some(unit) = pair.unit(place) else {
        return;
    };
    // A standby refuses, a full table too.
    if len == 0 {
        let _ = unit.tables[table].remove(&key);
    } else {
        let factor = if len == u8::MAX { 100 } else { 1 };
        let value = vec![key; usize::from(len) * factor];
        let _ = unit.tables[table].insert(key, value);
    }
}

fn transaction(pair: &mut Pair, input: &mut Input<'_>) {
    let (place, count) = (input.below(2), input.below(6));
    let writes: Vec<_> = (0..count)
        .map(|_| (input.below(2), input.byte(), input.byte()))
        .collect();
    let Some(unit) = pair.unit(place) else {
        return;
    };
    let mut batch = WriteBatch::new();
    for (table, key, len) in writes {
        let staging = batch.on(&unit.tables[table]);
        if len == 0 {
            staging.remove(key);
        } else {
            staging.insert(key, vec![len; usize::from(len)]);
        }
    }
    let _ = batch.commit();
}

fn address(pair: &Pair, input: &mut Input<'_>) -> (usize, usize, Lane, usize) {
    let (byte, link) = (usize::from(input.byte()), input.below(pair.links()));
    (link, byte & 1, Lane::ALL[(byte >> 1) % 3], 1 + (byte >> 5))
}

/// Cut short, or with one byte changed.
fn spoil(message: &Bytes, at: u8, mask: u8) -> Bytes {
    let mut bytes = message.to_vec();
    let at = usize::from(at) % bytes.len().max(1);
    if mask == 0 {
        bytes.truncate(at);
    } else if let Some(byte) = bytes.get_mut(at) {
        *byte ^= mask;
    }
    bytes.into()
}

/// A few ordinary courses of events.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    // Time passes and everything is delivered: enough for a pair to settle.
    let settle = [4, 6, 7].repeat(24);
    let writes: Vec<u8> = (0..20).flat_map(|key| [0, key, key, 1 + key, 0]).collect();
    let removals: Vec<u8> = (0..9).flat_map(|key| [0, 0, key * 2, 0, 0]).collect();
    let with = |parts: &[&[u8]]| [&settle[..], &parts.concat(), &settle[..]].concat();
    vec![
        ("writes", with(&[&writes, &removals])),
        ("delta", with(&[&writes, &[14, 0], &removals, &[13]])),
        ("crash", with(&[&writes, &settle, &[15, 0], &[13]])),
        ("switchover", with(&[&writes, &settle, &[16, 0, 0]])),
        ("resync", with(&[&writes, &settle, &[17, 2, 1]])),
        ("spoilt", with(&[&writes, &[4, 5], &[12, 3, 0, 9, 255]])),
        (
            "transactions",
            with(&[&[3, 0, 3, 0, 1, 9, 1, 1, 9, 0, 2, 0], &[14, 0], &[13]]),
        ),
    ]
}
