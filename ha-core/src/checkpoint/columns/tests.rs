#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic with the place is what is wanted"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn columns(
    slot_gap: &[u32],
    key_len: &[u32],
    keys: &[u8],
    value_len: &[u32],
    values: &[u8],
) -> pb::Columns {
    pb::Columns {
        slot_gap: slot_gap.to_vec(),
        key_len: key_len.to_vec(),
        keys: Bytes::copy_from_slice(keys),
        value_len: value_len.to_vec(),
        values: Bytes::copy_from_slice(values),
    }
}

fn error(columns: pb::Columns, with_keys: bool) -> (&'static str, usize, usize) {
    let error = CheckedColumns::new(columns, with_keys).unwrap_err();
    (error.what, error.got, error.allowed)
}

#[test]
fn lengths_must_add_up() {
    let good = columns(&[0, 0], &[1, 2], b"abc", &[3], b"xxxyyy");
    let checked = CheckedColumns::new(good, true).unwrap();
    assert_eq!(checked.at(0), (Slot::new(0), &b"a"[..], &b"xxx"[..]));
    assert_eq!(checked.at(1), (Slot::new(1), &b"bc"[..], &b"yyy"[..]));

    let short = columns(&[0, 0], &[1, 1], b"abc", &[3], b"xxxyyy");
    assert_eq!(error(short, true), ("key_len", 2, 3));
    let long = columns(&[0, 0], &[1, 2], b"abc", &[3], b"xxxyy");
    assert_eq!(error(long, true), ("value_len", 6, 5));
    let few = columns(&[0, 0, 0], &[1, 2], b"abc", &[2], b"xxxyyy");
    assert_eq!(error(few, true), ("key_len", 2, 3));
    let many = columns(&[0], &[1, 2], b"abc", &[6], b"xxxyyy");
    assert_eq!(error(many, true), ("key_len", 2, 1));
    let wrapping = columns(&[0, 0], &[1], b"ab", &[u32::MAX, 1], b"");
    assert_eq!(error(wrapping, true).0, "value_len");
    let none = columns(&[], &[], b"", &[7], b"xxxyyyz");
    assert_eq!(error(none, true), ("value_len", 0, 7));
}

#[test]
fn keys_and_values_have_limits() {
    let key = |len: usize| columns(&[0], &[len as u32], &vec![1; len], &[0], b"");
    assert!(CheckedColumns::new(key(limits::MAX_KEY_BYTES), true).is_ok());
    let too_long = limits::MAX_KEY_BYTES + 1;
    assert_eq!(
        error(key(too_long), true),
        ("key_len", too_long, limits::MAX_KEY_BYTES)
    );
    let value = |len: usize| columns(&[0], &[], b"", &[len as u32], &vec![1; len]);
    assert!(CheckedColumns::new(value(limits::MAX_VALUE_BYTES), false).is_ok());
    let too_long = limits::MAX_VALUE_BYTES + 1;
    assert_eq!(
        error(value(too_long), false),
        ("value_len", too_long, limits::MAX_VALUE_BYTES)
    );
}

#[test]
fn updates_have_no_keys() {
    let with = columns(&[0], &[1], b"a", &[1], b"x");
    assert_eq!(error(with, false), ("updates.keys", 1, 0));
    let lengths_only = columns(&[0], &[0], b"", &[1], b"x");
    assert_eq!(error(lengths_only, false).0, "updates.keys");
}

#[test]
fn slots_are_below_their_limit_and_gaps_wrap() {
    let last = Slot::LIMIT - 1;
    assert_eq!(slots_of(&[last]).unwrap(), [Slot::new(last)]);
    assert!(slots_of(&[Slot::LIMIT]).is_err());
    assert!(slots_of(&[last, 0]).is_err());
    assert!(slots_of(&[u32::MAX]).is_err());
    // Back from 9 to 3: the distance minus 1, modulo 2^32.
    let back = 3u32.wrapping_sub(10);
    assert_eq!(slots_of(&[9, back]).unwrap(), [Slot::new(9), Slot::new(3)]);
    assert_eq!(slots_of(&[0, u32::MAX]).unwrap(), [Slot::new(0); 2]);
}

#[test]
fn what_is_kept_is_unchanged() {
    let mut checked = CheckedColumns::new(
        columns(&[0, 0, 0], &[1, 0, 2], b"acc", &[2], b"xxyyzz"),
        true,
    )
    .unwrap();
    checked.retain(|_| true);
    assert_eq!(checked.len(), 3);
    checked.retain(|slot| slot.index() != 1);
    assert_eq!(checked.len(), 2);
    assert_eq!(checked.at(1), (Slot::new(2), &b"cc"[..], &b"zz"[..]));
    checked.retain(|_| false);
    assert_eq!(checked.len(), 0);
}

type Entries = BTreeMap<u32, (Vec<u8>, Vec<u8>)>;

fn entries() -> impl Strategy<Value = Entries> {
    let bytes = |max| proptest::collection::vec(any::<u8>(), 0..max);
    let varied = proptest::collection::btree_map(0..3000u32, (bytes(9), bytes(40)), 0..40);
    let alike = proptest::collection::btree_map(
        0..100u32,
        (
            proptest::collection::vec(any::<u8>(), 4),
            proptest::collection::vec(any::<u8>(), 16),
        ),
        0..40,
    );
    prop_oneof![varied, alike]
}

/// Writes entries as a client does; those in `known` go without their key.
fn write(entries: &Entries, known: &Entries, removed: &[u32]) -> pb::Section {
    let (mut ledger, mut builder) = (Ledger::default(), SectionBuilder::default());
    for (slot, (key, value)) in known {
        ledger.sent(Slot::new(*slot), Some(key), value);
    }
    for slot in removed {
        ledger.sent(Slot::new(*slot), Some(b"gone"), b"");
    }
    let mut sink = EntrySink {
        version: 1,
        purpose: Purpose::Changes,
        ledger: &mut ledger,
        out: &mut builder,
        budget_bytes: usize::MAX,
        budget_entries: usize::MAX,
    };
    removed
        .iter()
        .for_each(|slot| sink.vacant(Slot::new(*slot)));
    for (slot, (key, value)) in entries {
        let mut entry = sink.entry(Slot::new(*slot));
        assert_eq!(entry.wants_key(), !known.contains_key(slot));
        if entry.wants_key() {
            entry.key().extend_from_slice(key);
        }
        entry.value().extend_from_slice(value);
        entry.finish();
    }
    builder.take(7)
}

proptest! {
    #[test]
    fn puts_survive_the_way(entries in entries()) {
        let section = write(&entries, &Entries::new(), &[]);
        prop_assert!(section.updates.is_none());
        let mut read = Entries::new();
        if let Some(puts) = section.puts {
            let puts = CheckedColumns::new(puts, true).unwrap();
            for i in 0..puts.len() {
                let (slot, key, value) = puts.at(i);
                read.insert(slot.index(), (key.to_vec(), value.to_vec()));
            }
        }
        prop_assert_eq!(read, entries);
    }

    #[test]
    fn updates_and_removals_survive_the_way(
        entries in entries(),
        removed in proptest::collection::btree_set(0..3000u32, 0..20),
    ) {
        let removed: Vec<u32> =
            removed.into_iter().filter(|slot| !entries.contains_key(slot)).collect();
        let section = write(&entries, &entries, &removed);
        prop_assert!(section.puts.is_none());
        let slots = slots_of(&section.removed_gap).unwrap();
        prop_assert_eq!(slots.iter().map(|slot| slot.index()).collect::<Vec<_>>(), removed);
        let read: BTreeMap<u32, Vec<u8>> = section.updates.map_or_else(BTreeMap::new, |updates| {
            let updates = CheckedColumns::new(updates, false).unwrap();
            (0..updates.len())
                .map(|i| (updates.at(i).0.index(), updates.at(i).2.to_vec()))
                .collect()
        });
        let values: BTreeMap<u32, Vec<u8>> =
            entries.into_iter().map(|(slot, (_, value))| (slot, value)).collect();
        prop_assert_eq!(read, values);
    }

    /// Whatever passes the check can be read in full.
    #[test]
    fn malformed_columns_never_panic(
        slot_gap in proptest::collection::vec(prop_oneof![0..4u32, any::<u32>()], 0..6),
        key_len in proptest::collection::vec(prop_oneof![0..4u32, any::<u32>()], 0..6),
        keys in proptest::collection::vec(any::<u8>(), 0..12),
        value_len in proptest::collection::vec(prop_oneof![0..4u32, any::<u32>()], 0..6),
        values in proptest::collection::vec(any::<u8>(), 0..12),
        with_keys: bool,
    ) {
        let columns = columns(&slot_gap, &key_len, &keys, &value_len, &values);
        if let Ok(mut checked) = CheckedColumns::new(columns, with_keys) {
            let bytes: usize = (0..checked.len()).map(|i| checked.at(i).1.len() + checked.at(i).2.len()).sum();
            prop_assert_eq!(bytes, keys.len() + values.len());
            checked.retain(|slot| slot.index() % 2 == 0);
            (0..checked.len()).for_each(|i| assert_eq!(checked.at(i).0.index() % 2, 0));
        }
    }
}
