//! What no active unit would send.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic with the place is what is wanted"
)]

use super::*;
use crate::checkpoint::StateTable;
use crate::id::UnitId;

const TERM: Term = Term {
    counter: 4,
    unit: UnitId::new(0),
};
const CLIENT: u32 = 40;

struct Standby {
    receiver: Receiver,
    members: Members,
    table: StateTable<u8, Vec<u8>>,
}

impl Standby {
    /// Asked for the stream; the active begins it after batch `base`.
    fn after(base: u64, bulk: u64) -> Self {
        let table = StateTable::builder(ClientId::new(40), "table").build();
        let table: StateTable<u8, Vec<u8>> = table.unwrap();
        let mut members = Members::new(vec![table.client()]);
        let mut receiver = Receiver::new();
        let request = receiver.request(1, TERM, &[]);
        let begin = pb::SyncBegin {
            sync: request.sync,
            term: Some(TERM.into()),
            mode: pb::SyncMode::Full.into(),
            base,
            bulk,
            ..pb::SyncBegin::default()
        };
        receiver.begin(&begin, &mut members).unwrap();
        Self {
            receiver,
            members,
            table,
        }
    }

    fn batch(&mut self, batch: pb::Batch) -> Result<Applied, StreamError> {
        self.receiver.batch(batch, &mut self.members)
    }

    fn chunk(&mut self, chunk: pb::BulkChunk) -> Result<Applied, StreamError> {
        self.receiver.chunk(chunk, &mut self.members)
    }
}

fn put(slot: u32, key: u8) -> pb::Section {
    pb::Section {
        client: CLIENT,
        puts: Some(columns(slot, key)),
        ..pb::Section::default()
    }
}

fn columns(slot: u32, key: u8) -> pb::Columns {
    pb::Columns {
        slot_gap: vec![slot],
        key_len: vec![1],
        keys: vec![key].into(),
        value_len: vec![0],
        ..pb::Columns::default()
    }
}

fn batch(number: u64, part: u32, more: bool, sections: Vec<pb::Section>) -> pb::Batch {
    pb::Batch {
        number,
        part,
        more,
        sections,
        ..pb::Batch::default()
    }
}

fn chunk(number: u64, after: u64) -> pb::BulkChunk {
    pb::BulkChunk {
        number,
        after,
        client: CLIENT,
        to: 100,
        bulk: 1,
        entries: Some(columns(5, 5)),
        ..pb::BulkChunk::default()
    }
}

#[test]
fn batches_come_without_gaps() {
    let mut standby = Standby::after(7, 0);
    for got in [0, 7, 9, u64::MAX] {
        let error = standby.batch(batch(got, 0, false, vec![])).unwrap_err();
        assert_eq!(error, StreamError::Order { expected: 8, got });
    }
    assert!(standby.batch(batch(8, 0, false, vec![])).unwrap().batches);
    assert_eq!(standby.receiver.ack(1).applied, 8);
}

#[test]
fn parts_come_in_order_and_show_together() {
    let mut standby = Standby::after(0, 0);
    let first = batch(1, 0, true, vec![put(0, 1)]);
    assert_eq!(standby.batch(first.clone()), Ok(Applied::default()));
    assert!(standby.table.is_empty(), "the rest is not there");
    let (expected, got) = (1, 0);
    assert_eq!(
        standby.batch(first),
        Err(StreamError::PartOrder { expected, got })
    );
    let last = batch(1, 1, false, vec![put(1, 2)]);
    assert_eq!(standby.batch(last).unwrap().entries, 2);
    assert_eq!(standby.table.len(), 2);
    let (expected, got) = (0, 1);
    assert_eq!(
        standby.batch(batch(2, 1, false, vec![])),
        Err(StreamError::PartOrder { expected, got })
    );
}

#[test]
fn a_batch_that_one_client_refuses_changes_nothing() {
    let mut standby = Standby::after(0, 0);
    let mut undecodable = put(1, 2);
    undecodable.puts.as_mut().unwrap().key_len = vec![0];
    undecodable.puts.as_mut().unwrap().keys = Default::default();
    let result = standby.batch(batch(1, 0, false, vec![put(0, 1), undecodable]));
    assert!(
        matches!(result, Err(StreamError::Apply { .. })),
        "{result:?}"
    );
    assert!(standby.table.is_empty());
    assert_eq!(standby.receiver.ack(1).applied, 0);
}

#[test]
fn numbers_at_their_end_do_not_overflow() {
    let mut standby = Standby::after(u64::MAX, u64::MAX);
    let _ = standby.batch(batch(u64::MAX, 0, false, vec![put(0, 1)]));
    let _ = standby.batch(batch(0, 0, false, vec![put(0, 1)]));
    let mut far = chunk(0, u64::MAX);
    (far.bulk, far.from, far.to) = (u64::MAX, u32::MAX, 0);
    assert!(standby.chunk(far).unwrap().chunks);
}

#[test]
fn chunks_belong_to_a_bulk_sync_and_come_in_order() {
    let mut standby = Standby::after(0, 0);
    let stray = pb::BulkChunk {
        bulk: 0,
        ..chunk(0, 0)
    };
    assert_eq!(standby.chunk(stray), Ok(Applied::default()));
    assert!(standby.table.is_empty(), "no bulk sync runs");
    let mut standby = Standby::after(0, 1);
    let (expected, got) = (0, 1);
    assert_eq!(
        standby.chunk(chunk(1, 0)),
        Err(StreamError::ChunkOrder { expected, got })
    );
    assert!(standby.chunk(chunk(0, 0)).unwrap().chunks);
    assert_eq!(standby.receiver.bulk_ack(1).next, 1);
}

#[test]
fn a_chunk_waits_for_the_batches_before_it_and_yields_to_those_after() {
    let mut standby = Standby::after(0, 1);
    assert!(!standby.chunk(chunk(0, 1)).unwrap().chunks);
    assert!(standby.table.is_empty());
    let applied = standby.batch(batch(1, 0, false, vec![put(6, 6)])).unwrap();
    assert!(applied.batches && applied.chunks);
    assert_eq!(standby.table.len(), 1, "slot 6 was not in the chunk");
    standby
        .batch(batch(2, 0, false, vec![put(5, 7), put(8, 8)]))
        .unwrap();
    assert!(standby.chunk(chunk(1, 1)).unwrap().chunks);
    assert!(standby.table.contains(&7) && standby.table.contains(&8));
    assert!(!standby.table.contains(&5), "batch 2 is later");
}

#[test]
fn what_waits_is_bounded_even_if_it_is_empty() {
    let mut standby = Standby::after(0, 1);
    let section = pb::Section {
        client: CLIENT,
        ..pb::Section::default()
    };
    let sections = vec![section; limits::MAX_CLIENTS];
    let error = (0..).find_map(|part| standby.batch(batch(1, part, true, sections.clone())).err());
    assert!(
        matches!(error, Some(StreamError::Limit(e)) if e.what == "staged batch"),
        "{error:?}"
    );
    let error = (0..).find_map(|number| {
        let empty = pb::BulkChunk {
            entries: None,
            ..chunk(number, 9)
        };
        standby.chunk(empty).err()
    });
    assert!(matches!(error, Some(StreamError::Limit(_))), "{error:?}");
}

#[test]
fn entries_are_counted() {
    let columns = |count: usize| pb::Columns {
        slot_gap: vec![0; count],
        key_len: vec![1],
        keys: vec![1; count].into(),
        value_len: vec![0],
        ..pb::Columns::default()
    };
    let limit = limits::MAX_ENTRIES;
    let error = StreamError::from(LimitError::new("entries", limit + 1, limit));
    let with = |count| {
        let mut standby = Standby::after(0, 1);
        let section = pb::Section {
            client: CLIENT,
            puts: Some(columns(count)),
            ..pb::Section::default()
        };
        let entries = Some(columns(count));
        let in_batch = standby.batch(batch(1, 0, false, vec![section]));
        let in_chunk = standby.chunk(pb::BulkChunk {
            entries,
            ..chunk(0, 0)
        });
        (in_batch.err(), in_chunk.err())
    };
    assert_eq!(with(limit), (None, None));
    assert_eq!(with(limit + 1), (Some(error.clone()), Some(error)));
}

#[test]
fn strangers_are_named() {
    let mut standby = Standby::after(0, 1);
    let mut section = put(0, 1);
    section.client = 41;
    let error = StreamError::UnknownClient { client: 41 };
    let result = standby.batch(batch(1, 0, false, vec![section]));
    assert_eq!(result, Err(error.clone()));
    let stranger = pb::BulkChunk {
        client: 41,
        ..chunk(0, 0)
    };
    assert_eq!(standby.chunk(stranger), Err(error));
}
