//! Formats and slots. What the table does between two units is tested in `tests/pair`.

mod twins;

use proptest::prelude::*;

use super::key::{CounterKey, Shape};
use super::live::Core;
use super::raw::Raw;
use super::rows::{Row, Rows, State};
use super::*;
use crate::replay::{InboundPolicy, InboundWindow, Isolated, WindowImage, WindowSize};
use crate::sequence::{MAX_BUDGET, SequenceSpace};
use std::collections::BTreeMap;
use std::sync::Arc;

fn spaces() -> impl Strategy<Value = SequenceSpace> {
    prop_oneof![Just(SequenceSpace::Bits32), Just(SequenceSpace::Esn)]
}

fn shapes() -> impl Strategy<Value = Shape> {
    let outbound = (spaces(), 1..=MAX_BUDGET as u32)
        .prop_map(|(space, budget)| Shape::Outbound { space, budget });
    let policies = prop_oneof![
        Just(InboundPolicy::Strict),
        Just(InboundPolicy::Resume),
        Just(InboundPolicy::PeerSync)
    ];
    let isolated = prop_oneof![Just(Isolated::Freeze), Just(Isolated::Continue)];
    let inbound =
        (spaces(), 32..=4096u32, policies, isolated).prop_map(|(space, size, policy, isolated)| {
            Shape::Inbound {
                space,
                size: WindowSize::new(size).unwrap(),
                policy,
                isolated,
            }
        });
    prop_oneof![outbound, inbound]
}

proptest! {
    #[test]
    fn keys_come_back(instance in any::<u64>(), shape in shapes()) {
        let key = CounterKey { instance, shape };
        let mut bytes = Vec::new();
        key.encode(&mut bytes);
        prop_assert_eq!(CounterKey::decode(&bytes).unwrap(), key);
    }

    #[test]
    fn outbound_values_come_back(
        used in 0..u64::from(u32::MAX),
        ahead in 0..1_000_000u64,
        kib in any::<u64>(),
    ) {
        let shape = Shape::Outbound { space: SequenceSpace::Esn, budget: 1 };
        let value = Value::Outbound { reserved: used + ahead, used, kib };
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        let back = Value::decode(&shape, &bytes).unwrap();
        prop_assert_eq!(format!("{:?}", back), format!("{:?}", value));
        // In a batch: the value, a slot's gap, and next to nothing for its length.
        if kib < 1 << 21 && ahead < 1 << 14 {
            prop_assert!(bytes.len() <= 10);
        }
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(
        shape in shapes(),
        bytes in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let _ = Value::decode(&shape, &bytes);
        let _ = CounterKey::decode(&bytes);
    }

    /// Slots and instances against two maps.
    #[test]
    fn slots_hold_what_was_put(steps in prop::collection::vec((0..8u32, 0..8u64, any::<bool>()), 0..200)) {
        let mut rows = Rows::default();
        let mut model: BTreeMap<u32, u64> = BTreeMap::new();
        let shape = Shape::Outbound { space: SequenceSpace::Bits32, budget: 9 };
        for (slot, instance, put) in steps {
            if put {
                let value = State::Dormant(Raw::new(&[3, 1, 0]));
                rows.put(slot, CounterKey { instance, shape }, value);
                model.retain(|_, held| *held != instance);
                model.insert(slot, instance);
            } else {
                rows.vacate(slot);
                model.remove(&slot);
            }
            prop_assert_eq!(rows.len(), model.len());
            for instance in 0..8 {
                let expected = model.iter().find(|held| *held.1 == instance).map(|held| *held.0);
                prop_assert_eq!(rows.find(instance), expected);
            }
        }
    }
}

/// Of each of these there is one per SA.
#[test]
fn a_slot_is_small() {
    assert_eq!(
        (size_of::<CounterKey>(), size_of::<Option<CounterKey>>()),
        (16, 16)
    );
    assert_eq!((size_of::<State>(), size_of::<Row>()), (24, 40));
}

#[test]
fn what_cannot_be_decoded_is_not_taken_into_use() {
    let mut rows = Rows::default();
    let shape = Shape::Outbound {
        space: SequenceSpace::Bits32,
        budget: 9,
    };
    let key = CounterKey { instance: 1, shape };
    rows.put(0, key, State::Dormant(Raw::new(&[0x80])));
    assert!(rows.wake(0, &Arc::new(Core::new())).is_none());
    assert!(rows.wake(1, &Arc::new(Core::new())).is_none());
}

#[test]
fn a_strict_window_costs_a_few_bytes() {
    let size = WindowSize::new(4096).unwrap();
    let window = InboundWindow::fresh(SequenceSpace::Bits32, size, InboundPolicy::Strict);
    let image = window.propose(1000);
    let value = Value::Inbound {
        image,
        kib: 1 << 20,
    };
    let mut bytes = Vec::new();
    value.encode(&mut bytes);
    assert!(bytes.len() <= 6, "{bytes:?}");
    assert_eq!(WindowImage::decode(&bytes[3..]).unwrap().top(), 1000);
}
