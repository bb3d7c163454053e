use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::checkpoint::columns::{
    Changes, CheckedColumns, EntrySink, Purpose, SectionBuilder, slots_of,
};
use crate::checkpoint::ledger::Ledger;
use crate::checkpoint::{ApplyError, CommitPolicy, DecodeError, FlushPolicy};
use crate::sync::Committed;
use crate::wire::pb;

const NAT: ClientId = ClientId::new(40);

fn table() -> StateTable<u16, Vec<u8>> {
    StateTable::builder(NAT, "nat").build().unwrap()
}

fn active<K: TableKey, V: TableValue>(table: &StateTable<K, V>) -> Arc<Shared> {
    let shared = Shared::new(CommitPolicy::default());
    shared.set_writable(true);
    table.client().attach(&shared);
    shared
}

/// The way from an active table to a standby's.
#[derive(Default)]
struct Wire {
    ledger: Ledger,
    out: SectionBuilder,
    keep_bytes: bool,
}

impl Wire {
    fn sink(&mut self, purpose: Purpose, entries: usize) -> EntrySink<'_> {
        EntrySink {
            version: 1,
            purpose,
            ledger: &mut self.ledger,
            out: &mut self.out,
            budget_bytes: usize::MAX,
            budget_entries: entries,
        }
    }

    /// Collects up to `max` marks in batches of `entries`. Returns whether the pass is complete.
    fn collect<K: TableKey, V: TableValue>(
        &mut self,
        from: &StateTable<K, V>,
        to: &StateTable<K, V>,
        cursor: &mut u32,
        (max, entries): (usize, usize),
    ) -> bool {
        let mut slots = Vec::new();
        let done = from.inner.dirty.collect(cursor, &mut slots, max);
        let mut rest = &slots[..];
        while !rest.is_empty() {
            let written = from
                .inner
                .encode(rest, &mut self.sink(Purpose::Changes, entries));
            assert!(
                written > 0,
                "room for {entries} entries, and none was written"
            );
            rest = &rest[written..];
            self.deliver(to).unwrap();
        }
        done
    }

    fn sync<K: TableKey, V: TableValue>(&mut self, from: &StateTable<K, V>, to: &StateTable<K, V>) {
        let mut cursor = 0;
        while !self.collect(from, to, &mut cursor, (usize::MAX, 1000)) {}
    }

    fn bulk<K: TableKey, V: TableValue>(
        &mut self,
        from: &StateTable<K, V>,
        to: &StateTable<K, V>,
        entries: usize,
    ) {
        let (mut at, bound) = (0, from.inner.slot_bound());
        while at < bound {
            at = from
                .inner
                .encode_range(at, bound, &mut self.sink(Purpose::Bulk, entries));
            self.deliver(to).unwrap();
        }
        self.ledger.announce_range(0, bound);
    }

    fn deliver<K: TableKey, V: TableValue>(
        &mut self,
        to: &StateTable<K, V>,
    ) -> Result<(), ApplyError> {
        let section = self.out.take(40);
        apply(to, section, self.keep_bytes)
    }
}

fn apply<K: TableKey, V: TableValue>(
    to: &StateTable<K, V>,
    section: pb::Section,
    keep_bytes: bool,
) -> Result<(), ApplyError> {
    let removed = slots_of(&section.removed_gap).unwrap();
    let puts = section
        .puts
        .map(|columns| CheckedColumns::new(columns, true).unwrap());
    let updates = section
        .updates
        .map(|columns| CheckedColumns::new(columns, false).unwrap());
    let changes = Changes {
        version: 1,
        keep_bytes,
        removed: &removed,
        puts: puts.as_ref(),
        updates: updates.as_ref(),
    };
    let staged = to.inner.stage(&changes)?;
    to.inner.apply(staged);
    Ok(())
}

fn contents<K: TableKey + Ord, V: TableValue>(table: &StateTable<K, V>) -> BTreeMap<K, V> {
    let contents: BTreeMap<K, V> = table.snapshot().collect();
    assert_eq!(contents.len(), table.len(), "each key once");
    contents
}

#[test]
fn reads_what_was_written() {
    let nat = table();
    assert_eq!(nat.insert(1, b"a".to_vec()), Ok(None));
    assert_eq!(nat.insert(1, b"b".to_vec()), Ok(Some(b"a".to_vec())));
    assert_eq!(nat.update(&1, |v| v.push(b'c')), Ok(Some(())));
    assert_eq!(nat.update(&2, |v| v.push(b'c')), Ok(None));
    assert_eq!(nat.get(&1).unwrap(), b"bc");
    assert_eq!(nat.with(&1, Vec::len), Some(2));
    assert!(nat.contains(&1) && !nat.contains(&2));
    assert_eq!(nat.remove(&1), Ok(Some(b"bc".to_vec())));
    assert_eq!(nat.remove(&1), Ok(None));
    assert!(nat.is_empty());
}

#[test]
fn visits_every_entry_across_chunks() {
    let nat = table();
    (0..1300).for_each(|key| assert_eq!(nat.insert(key, vec![]), Ok(None)));
    let mut keys = Vec::new();
    nat.for_each(|key, _| keys.push(*key));
    assert_eq!(keys, (0..1300).collect::<Vec<u16>>());
    assert_eq!(nat.snapshot().count(), 1300);
}

#[test]
fn written_on_the_active_unit_only() {
    let nat = table();
    nat.insert(1, vec![]).unwrap();
    let shared = active(&nat);
    nat.insert(2, vec![]).unwrap();
    shared.set_writable(false);
    assert_eq!(nat.insert(3, vec![]), Err(WriteError::NotActive));
    assert_eq!(nat.update(&1, |_| ()), Err(WriteError::NotActive));
    assert_eq!(nat.remove(&1), Err(WriteError::NotActive));
    assert_eq!(
        nat.transaction(|t| t.remove(1)).err(),
        Some(WriteError::NotActive)
    );
    assert_eq!(nat.barrier().err(), Some(WriteError::NotActive));
    assert_eq!(nat.len(), 2);
}

#[test]
fn limits_hold_and_one_below_is_fine() {
    let nat = StateTable::<Vec<u8>, Vec<u8>>::builder(NAT, "nat")
        .max_entries(2)
        .build()
        .unwrap();
    let (key, value) = (
        vec![0; limits::MAX_KEY_BYTES],
        vec![0; limits::MAX_VALUE_BYTES],
    );
    nat.insert(key.clone(), value.clone()).unwrap();
    let long = [key.clone(), vec![0]].concat();
    let refused = WriteError::KeyTooLarge {
        len: long.len(),
        limit: limits::MAX_KEY_BYTES,
    };
    assert_eq!(nat.insert(long, vec![]), Err(refused));
    let len = limits::MAX_VALUE_BYTES + 1;
    let refused = WriteError::ValueTooLarge {
        len,
        limit: limits::MAX_VALUE_BYTES,
    };
    assert_eq!(nat.insert(vec![], vec![0; len]), Err(refused.clone()));
    assert_eq!(nat.update(&key, |v| v.push(0)), Err(refused));
    assert_eq!(nat.get(&key).unwrap(), value, "unchanged");
    nat.insert(vec![1], vec![]).unwrap();
    assert_eq!(
        nat.insert(vec![2], vec![]),
        Err(WriteError::Full { limit: 2 })
    );
    nat.insert(vec![1], vec![1]).unwrap();
}

#[test]
fn descriptions_are_checked() {
    type Builder = StateTableBuilder<u16, ()>;
    let name = |id, name: &str| Builder::new(ClientId::new(id), name);
    let error = |builder: Builder| builder.build().err().unwrap();
    assert_eq!(
        error(name(0, "x")),
        BuildError::ReservedId(ClientId::new(0))
    );
    assert_eq!(
        error(name(65000, "x")),
        BuildError::ReservedId(ClientId::new(65000))
    );
    assert_eq!(error(name(1, "")), BuildError::Name { len: 0, limit: 64 });
    assert_eq!(
        error(name(1, &"x".repeat(65))),
        BuildError::Name { len: 65, limit: 64 }
    );
    #[expect(clippy::reversed_empty_ranges, reason = "the point of the test")]
    let reversed = 2..=1;
    assert_eq!(
        error(name(1, "x").versions(reversed)),
        BuildError::Versions { from: 2, to: 1 }
    );
    assert_eq!(
        error(name(1, "x").versions(0..=1)),
        BuildError::Versions { from: 0, to: 1 }
    );
    assert!(matches!(
        error(name(1, "x").max_entries(0)),
        BuildError::MaxEntries { .. }
    ));
    assert!(matches!(
        error(name(1, "x").max_entries(1 << 26)),
        BuildError::MaxEntries { .. }
    ));
    assert!(matches!(
        error(name(1, "x").max_removals(1 << 26)),
        BuildError::MaxRemovals { .. }
    ));
    assert!(matches!(
        error(name(1, "x").config("", "v")),
        BuildError::ConfigText { .. }
    ));
    let long = "v".repeat(ClientDescriptor::CONFIG_TEXT_LIMIT + 1);
    assert!(matches!(
        error(name(1, "x").config("n", long)),
        BuildError::ConfigText { .. }
    ));
    let many = (0..=ClientDescriptor::CONFIG_LIMIT).fold(name(1, "x"), |b, _| b.config("n", "v"));
    assert!(matches!(error(many), BuildError::ConfigCount { .. }));
    let never = FlushPolicy {
        max_entries: 0,
        ..FlushPolicy::default()
    };
    assert_eq!(error(name(1, "x").flush(never)), BuildError::Flush);
    let built = name(7, "x")
        .config("n", "v")
        .sequence(3)
        .notified(true)
        .build()
        .unwrap();
    let client = built.client();
    let descriptor = client.descriptor();
    assert_eq!((descriptor.sequence, descriptor.notified), (3, true));
}

#[test]
fn a_transaction_is_whole() {
    let (nat, standby, mut wire) = (table(), table(), Wire::default());
    nat.insert(9, b"old".to_vec()).unwrap();
    assert_eq!(nat.transaction(|_| ()).err(), Some(WriteError::NotAttached));
    let shared = active(&nat);
    let commit = nat.transaction(|t| {
        t.insert(1, b"new".to_vec());
        t.remove(9);
    });
    let commit = commit.unwrap().committed();
    let mut gate = shared.collect();
    let slots: Vec<Slot> = gate
        .take_slots()
        .into_iter()
        .map(|(_, slot)| slot)
        .collect();
    assert_eq!(slots.len(), 2);
    assert_eq!(
        nat.inner
            .encode(&slots, &mut wire.sink(Purpose::Changes, 100)),
        2
    );
    wire.deliver(&standby).unwrap();
    gate.take_commits()
        .into_iter()
        .for_each(|sender| sender.resolve(Ok(Committed::Replicated)));
    assert_eq!(commit.wait(Duration::ZERO), Ok(Committed::Replicated));
    assert_eq!(contents(&standby), BTreeMap::from([(1, b"new".to_vec())]));
}

#[test]
fn a_refused_transaction_changes_nothing() {
    let nat = StateTable::<u16, Vec<u8>>::builder(NAT, "nat")
        .max_entries(2)
        .build()
        .unwrap();
    let shared = active(&nat);
    nat.insert(1, vec![]).unwrap();
    let full = nat.transaction(|t| {
        t.remove(1);
        [2, 3, 4].into_iter().for_each(|key| t.insert(key, vec![]));
    });
    assert_eq!(full.err(), Some(WriteError::Full { limit: 2 }));
    let large = nat.transaction(|t| {
        t.remove(1);
        t.insert(2, vec![0; limits::MAX_VALUE_BYTES + 1]);
    });
    assert!(matches!(large, Err(WriteError::ValueTooLarge { .. })));
    let gave_up = nat.try_transaction(|t| {
        t.remove(1);
        Err(WriteError::NotAttached)
    });
    assert!(gave_up.is_err());
    assert_eq!(contents(&nat), BTreeMap::from([(1, vec![])]));
    assert!(shared.collect().is_empty());
    // At the limit, counted at the end of the transaction, keys once.
    let fits = nat.transaction(|t| {
        [2, 3, 2, 3]
            .into_iter()
            .for_each(|key| t.insert(key, vec![]));
        t.remove(1);
    });
    assert!(fits.is_ok());
    assert_eq!(nat.len(), 2);
}

#[test]
fn a_batch_spans_tables_of_one_group() {
    let (ike, esp) = (
        table(),
        StateTable::<u32, u64>::builder(ClientId::new(41), "esp"),
    );
    let esp = esp.max_entries(1).build().unwrap();
    let shared = active(&ike);
    esp.client().attach(&shared);
    let fill = |second| {
        let mut batch = WriteBatch::new();
        batch.on(&ike).insert(1, vec![]);
        batch.on(&esp).insert(1, 1);
        batch.on(&esp).insert(second, 2);
        batch.on(&ike).insert(2, vec![]);
        batch.commit()
    };
    assert_eq!(fill(2).err(), Some(WriteError::Full { limit: 1 }));
    assert!(ike.is_empty() && esp.is_empty());
    let _commit = fill(1).unwrap();
    assert_eq!((ike.len(), esp.get(&1)), (2, Some(2)));
    assert_eq!(shared.collect().take_slots().len(), 3);
    let other = table();
    active(&other);
    let mut batch = WriteBatch::new();
    batch.on(&ike).remove(1);
    batch.on(&other).insert(1, vec![]);
    assert_eq!(batch.commit().err(), Some(WriteError::DifferentGroups));
    assert_eq!(
        WriteBatch::new().commit().err(),
        Some(WriteError::NotAttached)
    );
}

#[test]
fn a_removed_key_keeps_its_slot_until_collected() {
    let nat = table();
    nat.inner.track_removals(true);
    let mut wire = Wire::default();
    let standby = table();
    nat.insert(1, vec![1]).unwrap();
    wire.sync(&nat, &standby);
    nat.remove(&1).unwrap();
    assert!(nat.is_empty() && !nat.contains(&1));
    nat.insert(2, vec![2]).unwrap();
    assert_eq!(nat.inner.slot_bound(), 2, "slot 0 is not free yet");
    nat.insert(1, vec![3]).unwrap();
    assert_eq!(nat.inner.slot_bound(), 2, "revived in place");
    nat.remove(&1).unwrap();
    wire.sync(&nat, &standby);
    assert_eq!(contents(&standby), BTreeMap::from([(2, vec![2])]));
    nat.insert(3, vec![3]).unwrap();
    assert_eq!(nat.inner.slot_bound(), 2, "slot 0 is free");
    assert!(!nat.inner.take_removals_overflow());
}

#[test]
fn removals_are_bounded_and_overflow_is_told() {
    let nat = StateTable::<u16, Vec<u8>>::builder(NAT, "nat")
        .max_removals(10)
        .build()
        .unwrap();
    let (standby, mut wire) = (table(), Wire::default());
    nat.inner.track_removals(true);
    (0..100).for_each(|key| assert_eq!(nat.insert(key, vec![0]), Ok(None)));
    wire.sync(&nat, &standby);
    (0..10).for_each(|key| assert!(nat.remove(&key).unwrap().is_some()));
    assert!(!nat.inner.take_removals_overflow());
    nat.remove(&10).unwrap();
    assert!(nat.inner.take_removals_overflow());
    assert!(!nat.inner.take_removals_overflow());
    // Slots change hands unknown to the standby: entries go out with their keys.
    (200..205).for_each(|key| assert_eq!(nat.insert(key, vec![1]), Ok(None)));
    assert_eq!(nat.inner.slot_bound(), 100);
    wire.sync(&nat, &standby);
    assert_eq!(contents(&standby), contents(&nat));
}

#[test]
fn removals_are_not_remembered_for_nobody() {
    let nat = table();
    nat.insert(1, vec![]).unwrap();
    nat.remove(&1).unwrap();
    nat.insert(2, vec![]).unwrap();
    nat.inner.track_removals(true);
    nat.remove(&2).unwrap();
    nat.inner.track_removals(false);
    nat.insert(3, vec![]).unwrap();
    assert_eq!(nat.inner.slot_bound(), 1);
    assert!(!nat.inner.take_removals_overflow());
}

#[test]
fn memory_for_removals_stays_bounded_when_keys_come_and_go() {
    let nat = table();
    nat.inner.track_removals(true);
    for _ in 0..20_000 {
        nat.insert(1, vec![]).unwrap();
        nat.remove(&1).unwrap();
    }
    assert_eq!(nat.inner.rows.read().rows.removals(), 1);
    assert_eq!(nat.inner.slot_bound(), 1);
}

#[test]
fn a_put_displaces_what_is_in_its_way() {
    let standby = table();
    let put = |slot, key: u16, value: &[u8]| {
        let mut wire = Wire::default();
        let mut sink = wire.sink(Purpose::Changes, 10);
        let mut entry = sink.entry(Slot::new(slot));
        key.encode(1, entry.key());
        entry.value().extend_from_slice(value);
        entry.finish();
        wire.deliver(&standby).unwrap();
    };
    put(5, 1, b"a");
    put(7, 2, b"b");
    put(7, 1, b"c");
    assert_eq!(contents(&standby), BTreeMap::from([(1, b"c".to_vec())]));
    assert!(!standby.inner.rows.read().rows.is_live(5));
    // Taking over, the lowest free slots are used first.
    standby.insert(9, vec![]).unwrap();
    assert!(standby.inner.rows.read().rows.is_live(0));
}

#[test]
fn what_cannot_be_applied_changes_nothing() {
    let (nat, mut wire) = (table(), Wire::default());
    let small = StateTable::<u16, Vec<u8>>::builder(NAT, "nat")
        .max_entries(1)
        .build()
        .unwrap();
    nat.insert(1, vec![]).unwrap();
    wire.sync(&nat, &small);
    nat.insert(1, vec![1]).unwrap();
    nat.insert(2, vec![]).unwrap();
    nat.inner.encode(
        &[Slot::new(0), Slot::new(1)],
        &mut wire.sink(Purpose::Changes, 10),
    );
    assert_eq!(wire.deliver(&small), Err(ApplyError::Full { limit: 1 }));
    assert_eq!(small.get(&1).unwrap(), b"");
    nat.inner
        .encode(&[Slot::new(1)], &mut wire.sink(Purpose::Changes, 10));
    assert_eq!(
        wire.deliver(&small),
        Err(ApplyError::UnknownSlot { slot: Slot::new(1) }),
        "an update of what was never put"
    );
    let other = StateTable::<u32, Vec<u8>>::builder(NAT, "nat")
        .build()
        .unwrap();
    let mut wire = Wire::default();
    nat.inner
        .encode(&[Slot::new(0)], &mut wire.sink(Purpose::Changes, 10));
    let refused = wire.deliver(&other).unwrap_err();
    assert!(matches!(refused, ApplyError::Decode { part: "key", .. }));
    assert!(other.is_empty());
}

#[test]
fn a_flush_leaves_nothing() {
    let nat = table();
    nat.inner.track_removals(true);
    (0..10).for_each(|key| assert_eq!(nat.insert(key, vec![]), Ok(None)));
    nat.remove(&1).unwrap();
    nat.inner.flush();
    assert!(nat.is_empty() && nat.inner.dirty.is_empty());
    assert_eq!(nat.inner.slot_bound(), 0);
}

/// A value of version 1, of which a newer peer knows more: the first byte is all we read.
#[derive(Clone, Debug, PartialEq)]
struct First(u8);

impl Record for First {
    fn encode(&self, _version: u16, out: &mut Vec<u8>) {
        out.push(self.0);
    }

    fn decode(_version: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
        let expected = DecodeError::Length {
            expected: 1,
            got: 0,
        };
        bytes.first().map(|byte| Self(*byte)).ok_or(expected)
    }

    fn encode_onto(&self, _version: u16, kept: &[u8], out: &mut Vec<u8>) {
        out.push(self.0);
        out.extend_from_slice(&kept[1..]);
    }
}

#[test]
fn bytes_of_a_newer_peer_survive() {
    let first = StateTable::<u16, First>::builder(NAT, "nat")
        .build()
        .unwrap();
    let newer = table();
    let mut wire = Wire {
        keep_bytes: true,
        ..Wire::default()
    };
    newer.insert(1, b"abc".to_vec()).unwrap();
    newer.insert(2, b"def".to_vec()).unwrap();
    newer.inner.encode(
        &[Slot::new(0), Slot::new(1)],
        &mut wire.sink(Purpose::Changes, 9),
    );
    wire.deliver(&first).unwrap();
    assert_eq!(first.get(&1), Some(First(b'a')));
    first.update(&2, |value| value.0 = b'X').unwrap();
    let back = table();
    let mut wire = Wire::default();
    first
        .inner
        .encode_range(0, 2, &mut wire.sink(Purpose::Bulk, 9));
    wire.deliver(&back).unwrap();
    assert_eq!(back.get(&1).unwrap(), b"abc", "as it came");
    assert_eq!(back.get(&2).unwrap(), b"Xef", "changed on top");
    // Gone and inserted anew it is another entry.
    first.remove(&1).unwrap();
    first.insert(1, First(b'n')).unwrap();
    let (back, mut wire) = (table(), Wire::default());
    first
        .inner
        .encode_range(0, 2, &mut wire.sink(Purpose::Bulk, 9));
    wire.deliver(&back).unwrap();
    assert_eq!(back.get(&1).unwrap(), b"n");
}

/// Threads write while the standby follows; at the end both agree.
#[test]
fn a_standby_follows_writing_threads() {
    let (nat, standby, mut wire) = (table(), table(), Wire::default());
    nat.inner.track_removals(true);
    let writers: Vec<_> = (0..2u32)
        .map(|seed| {
            let nat = nat.clone();
            std::thread::spawn(move || {
                for i in 0..20_000u32 {
                    let key = (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 7) as u16 % 500;
                    if i % 3 == 0 {
                        nat.remove(&key).unwrap();
                    } else {
                        nat.insert(key, i.to_be_bytes().to_vec()).unwrap();
                    }
                }
            })
        })
        .collect();
    while !writers.iter().all(|writer| writer.is_finished()) {
        wire.sync(&nat, &standby);
    }
    writers
        .into_iter()
        .for_each(|writer| writer.join().unwrap());
    wire.sync(&nat, &standby);
    assert_eq!(contents(&standby), contents(&nat));
}

mod property {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Insert(u16, u8),
        Update(u16, u8),
        Remove(u16),
        Transaction(Vec<(u16, Option<u8>)>),
        /// A part of a pass, in batches.
        Collect(usize, usize),
        /// The standby is lost; another one gets everything.
        Replace {
            chunk: usize,
            tracked: bool,
        },
        /// The standby becomes active; what was active flushes and becomes standby.
        Switchover,
    }

    fn op() -> impl Strategy<Value = Op> {
        let key = || 0..40u16;
        let write = (key(), prop::option::of(any::<u8>()));
        prop_oneof![
            6 => (key(), any::<u8>()).prop_map(|(k, v)| Op::Insert(k, v)),
            3 => (key(), any::<u8>()).prop_map(|(k, v)| Op::Update(k, v)),
            6 => key().prop_map(Op::Remove),
            2 => prop::collection::vec(write, 0..6).prop_map(Op::Transaction),
            5 => (0..12usize, 1..6usize).prop_map(|(max, n)| Op::Collect(max, n)),
            1 => (1..9usize, any::<bool>()).prop_map(|(chunk, tracked)| Op::Replace { chunk, tracked }),
            1 => Just(Op::Switchover),
        ]
    }

    struct Pair {
        tables: [StateTable<u16, Vec<u8>>; 2],
        groups: [Arc<Shared>; 2],
        wire: Wire,
        cursor: u32,
        model: BTreeMap<u16, Vec<u8>>,
    }

    impl Pair {
        fn new(max_removals: Option<usize>) -> Self {
            let make = || {
                let builder = StateTable::builder(NAT, "nat");
                max_removals
                    .map_or(builder.clone(), |n| builder.max_removals(n))
                    .build()
                    .unwrap()
            };
            let tables: [StateTable<u16, Vec<u8>>; 2] = [make(), make()];
            let groups = tables.each_ref().map(active);
            groups[1].set_writable(false);
            tables[0].inner.track_removals(true);
            let (wire, cursor, model) = (Wire::default(), 0, BTreeMap::new());
            Self {
                tables,
                groups,
                wire,
                cursor,
                model,
            }
        }

        fn step(&mut self, op: Op) {
            let active = self.tables[0].clone();
            match op {
                Op::Insert(k, v) => {
                    assert_eq!(
                        active.insert(k, vec![v]).unwrap(),
                        self.model.insert(k, vec![v])
                    );
                }
                Op::Update(k, v) => {
                    let done = active.update(&k, |value| value.push(v)).unwrap().is_some();
                    assert_eq!(
                        done,
                        self.model.get_mut(&k).map(|value| value.push(v)).is_some()
                    );
                }
                Op::Remove(k) => assert_eq!(active.remove(&k).unwrap(), self.model.remove(&k)),
                Op::Transaction(writes) => self.transaction(&active, writes),
                Op::Collect(max, n) => {
                    let [from, to] = &self.tables;
                    if self.wire.collect(from, to, &mut self.cursor, (max, n)) {
                        self.cursor = 0;
                    }
                }
                Op::Replace { chunk, tracked } => self.replace(chunk, tracked),
                Op::Switchover => self.switch_over(),
            }
            assert_eq!(contents(&self.tables[0]), self.model);
        }

        fn transaction(
            &mut self,
            active: &StateTable<u16, Vec<u8>>,
            writes: Vec<(u16, Option<u8>)>,
        ) {
            let commit = active.transaction(|t| {
                for (key, value) in &writes {
                    match value {
                        Some(value) => t.insert(*key, vec![*value]),
                        None => t.remove(*key),
                    }
                }
            });
            drop(commit.unwrap());
            for (key, value) in writes {
                match value {
                    Some(value) => drop(self.model.insert(key, vec![value])),
                    None => drop(self.model.remove(&key)),
                }
            }
            self.groups[0].collect().take_slots();
        }

        fn replace(&mut self, chunk: usize, tracked: bool) {
            let [from, to] = &self.tables;
            from.inner.track_removals(tracked);
            from.inner.track_removals(true);
            to.inner.flush();
            self.wire = Wire::default();
            self.wire.bulk(from, to, chunk);
            assert_eq!(contents(to), self.model);
        }

        /// Planned: all is collected first.
        fn switch_over(&mut self) {
            self.catch_up();
            self.groups[0].set_writable(false);
            self.tables[0].inner.flush();
            self.tables[0].inner.track_removals(false);
            self.tables.swap(0, 1);
            self.groups.swap(0, 1);
            self.groups[0].set_writable(true);
            self.replace(7, true);
        }

        fn catch_up(&mut self) {
            let [from, to] = &self.tables;
            self.wire.sync(from, to);
            self.cursor = 0;
            assert_eq!(contents(to), self.model);
            assert_eq!(self.wire.ledger.entries() as usize, self.model.len());
            // The standby holds each entry at the slot where the active has it.
            let (a, b) = (from.inner.rows.read(), to.inner.rows.read());
            for slot in 0..a.rows.bound().max(b.rows.bound()) {
                let of = |rows: &Rows<u16, Vec<u8>>| match rows.at(slot) {
                    Entry::Live(live) => Some((live.key, live.value.clone())),
                    Entry::Removed(_) | Entry::Vacant => None,
                };
                assert_eq!(of(&a.rows), of(&b.rows), "slot {slot}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_pair_behaves_like_a_map(
            max_removals in prop::option::of(0..6usize),
            ops in prop::collection::vec(op(), 1..150),
        ) {
            let mut pair = Pair::new(max_removals);
            for op in ops {
                pair.step(op);
            }
            pair.catch_up();
        }
    }
}
