use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Model = BTreeMap<u32, (Vec<u8>, Vec<u8>)>;

/// A ledger that was told of exactly these entries.
fn ledger_of(model: &Model) -> Ledger {
    let mut ledger = Ledger::default();
    for (slot, (key, value)) in model {
        ledger.sent(Slot::new(*slot), Some(key), value);
    }
    ledger
}

#[test]
fn equal_contents_have_equal_sums_and_different_ones_do_not() {
    let entry = |slot, key: &[u8], value: &[u8]| {
        let mut ledger = Ledger::default();
        ledger.sent(Slot::new(slot), Some(key), value);
        ledger.sum()
    };
    let sum = entry(1, b"k", b"v");
    assert_eq!(sum, entry(1, b"k", b"v"));
    assert_ne!(sum, entry(2, b"k", b"v"));
    assert_ne!(sum, entry(1, b"l", b"v"));
    assert_ne!(sum, entry(1, b"k", b"w"));
    assert_ne!(entry(1, b"", b""), 0, "an empty entry counts");
}

#[test]
fn a_key_is_due_until_its_chunk_is_acknowledged() {
    let mut ledger = Ledger::default();
    let slot = Slot::new(4);
    ledger.begin_chunk(0);
    ledger.sent_in_bulk(slot, b"k", b"v");
    ledger.end_chunk(10);
    assert!(!ledger.is_announced(slot));
    ledger.announce_range(0, 4);
    assert!(!ledger.is_announced(slot));
    ledger.announce_range(4, 10);
    assert!(ledger.is_announced(slot));
    ledger.lost(slot);
    assert!(!ledger.is_announced(slot));
    assert!(ledger.forget(slot), "the standby may hold it");
    assert!(!ledger.forget(slot));
}

#[test]
fn a_bulk_read_forgets_what_is_not_there_but_still_tells_of_removals() {
    let entry = |n: u8| (vec![n], vec![n]);
    let model: Model = (0..6).map(|n| (u32::from(n), entry(n))).collect();
    let mut ledger = ledger_of(&model);
    ledger.doubt();
    assert!(!ledger.is_announced(Slot::new(0)));
    ledger.begin_chunk(1);
    ledger.sent_in_bulk(Slot::new(3), &[3], &[3]);
    ledger.end_chunk(5);
    let left: Model = [0, 3, 5].map(|n| (u32::from(n), entry(n))).into();
    assert_eq!(ledger.sum(), ledger_of(&left).sum());
    assert_eq!(ledger.entries(), 3);
    assert!(
        ledger.forget(Slot::new(2)),
        "the chunk may not have arrived"
    );
    ledger.announce_range(1, 5);
    assert!(ledger.is_announced(Slot::new(3)));
    assert!(
        !ledger.is_announced(Slot::new(4)),
        "an entry there needs its key"
    );
    assert!(!ledger.forget(Slot::new(4)), "the standby dropped it");
}

#[test]
fn the_standby_notes_which_batch_changed_a_slot() {
    let mut ledger = Ledger::default();
    ledger.applied_put(Slot::new(2), b"k", b"v", 7);
    ledger.applied_update(Slot::new(2), b"w", 8);
    ledger.applied_removal(Slot::new(9), 9);
    assert_eq!(ledger.stamp_of(Slot::new(2)), 8);
    assert_eq!(
        ledger.stamp_of(Slot::new(9)),
        9,
        "also of what it never held"
    );
    assert_eq!(ledger.stamp_of(Slot::new(100)), 0);
    assert!(ledger.is_live(Slot::new(2)) && !ledger.is_live(Slot::new(9)));
    assert_eq!(
        ledger.live_in(0, u32::MAX).collect::<Vec<_>>(),
        [Slot::new(2)]
    );
    assert_eq!(ledger.live_in(3, 2).count(), 0);
    ledger.clear();
    assert_eq!(
        (
            ledger.sum(),
            ledger.entries(),
            ledger.stamp_of(Slot::new(2))
        ),
        (0, 0, 0)
    );
}

#[derive(Clone, Debug)]
enum Step {
    Put(u32, Vec<u8>, Vec<u8>),
    Update(u32, Vec<u8>),
    Remove(u32),
    /// A bulk chunk over a range, with the entries that the table holds in it.
    Chunk(u32, u32),
    Announce(u32, u32),
    Lost(u32),
    Doubt,
}

fn step() -> impl Strategy<Value = Step> {
    let slot = 0..24u32;
    let bytes = proptest::collection::vec(any::<u8>(), 0..6);
    prop_oneof![
        (slot.clone(), bytes.clone(), bytes.clone()).prop_map(|(s, k, v)| Step::Put(s, k, v)),
        (slot.clone(), bytes).prop_map(|(s, v)| Step::Update(s, v)),
        slot.clone().prop_map(Step::Remove),
        (slot.clone(), slot.clone()).prop_map(|(a, b)| Step::Chunk(a, b)),
        (slot.clone(), slot.clone()).prop_map(|(a, b)| Step::Announce(a, b)),
        slot.prop_map(Step::Lost),
        Just(Step::Doubt),
    ]
}

fn carry_out(ledger: &mut Ledger, model: &mut Model, step: Step) {
    match step {
        Step::Put(slot, key, value) => {
            ledger.sent(Slot::new(slot), Some(&key), &value);
            model.insert(slot, (key, value));
        }
        Step::Update(slot, value) => {
            // Only of entries whose key is known.
            if let Some(entry) = model.get_mut(&slot) {
                ledger.sent(Slot::new(slot), None, &value);
                entry.1 = value;
            }
        }
        Step::Remove(slot) => {
            let held = model.remove(&slot).is_some();
            assert!(
                ledger.forget(Slot::new(slot)) || !held,
                "a removal was not told"
            );
        }
        Step::Chunk(from, to) => {
            ledger.begin_chunk(from);
            for (slot, (key, value)) in model.range(from..to.max(from)) {
                ledger.sent_in_bulk(Slot::new(*slot), key, value);
            }
            ledger.end_chunk(to);
        }
        Step::Announce(from, to) => ledger.announce_range(from, to),
        Step::Lost(slot) => ledger.lost(Slot::new(slot)),
        Step::Doubt => ledger.doubt(),
    }
}

proptest! {
    #[test]
    fn behaves_like_a_map(steps in proptest::collection::vec(step(), 0..80)) {
        let (mut ledger, mut model) = (Ledger::default(), Model::new());
        for step in steps {
            carry_out(&mut ledger, &mut model, step);
            prop_assert_eq!(ledger.entries() as usize, model.len());
            prop_assert_eq!(ledger.sum(), ledger_of(&model).sum());
            let live: Vec<u32> = ledger.live_in(0, u32::MAX).map(Slot::index).collect();
            prop_assert_eq!(live, model.keys().copied().collect::<Vec<_>>());
            for slot in 0..25 {
                let vacant = !model.contains_key(&slot);
                prop_assert!(!(vacant && ledger.is_announced(Slot::new(slot))));
            }
        }
    }

    #[test]
    fn an_audit_finds_exactly_what_differs(
        noted in model(), held in model(), from in 0..24u32, len in 0..24u32,
    ) {
        let mut ledger = ledger_of(&noted);
        let to = from + len;
        ledger.begin_audit(from);
        for (slot, (key, value)) in held.range(from..to) {
            ledger.audit(Slot::new(*slot), key, value);
        }
        let found: Vec<u32> = ledger.end_audit(to).into_iter().map(Slot::index).collect();
        let differing: Vec<u32> =
            (from..to).filter(|slot| noted.get(slot) != held.get(slot)).collect();
        prop_assert_eq!(found, differing);
    }
}

fn model() -> impl Strategy<Value = Model> {
    let bytes = || proptest::collection::vec(0..2u8, 0..2);
    proptest::collection::btree_map(0..24u32, (bytes(), bytes()), 0..24)
}
