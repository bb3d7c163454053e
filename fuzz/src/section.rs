//! Any sections and chunks, in batches that are in order otherwise, to a standby: it applies them or
//! refuses them, never panics, and recovers: at the end it holds what the active holds.

use core::time::Duration;

use ha_core::wire::Lane;
use ha_core::wire::pb::envelope::Body;
use ha_core::wire::pb::{Batch, BulkChunk, Columns, Envelope, Section, SyncBegin, Term};
use prost::Message;

use super::input::{Input, block};
use super::message::settle;
use super::pair::{CLIENTS, Pair};

const SLOTS: u32 = 4096;

/// One input: blocks, each a kind and an encoded section or chunk.
pub fn run(bytes: &[u8]) {
    let mut pair = Pair::new();
    pair.recorded = Some(Vec::new());
    pair.connect();
    settle(&mut pair);
    let Some(mut stream) = Stream::of(&pair) else {
        return;
    };
    let mut input = Input::new(bytes);
    while !input.is_empty() {
        let (kind, block) = (input.byte(), input.block());
        if let Some((lane, body)) = stream.message(kind, block) {
            let link = pair.link_id(0, 1).expect("the link is up");
            let bytes = Envelope { body: Some(body) }.encode_to_vec();
            pair.inject(1, link, lane, bytes.into());
        }
    }
    pair.pass(Duration::from_millis(10));
    pair.settle();
}

/// The stream to the standby, continued.
struct Stream {
    begin: SyncBegin,
    number: u64,
    part: u32,
    bulk: u64,
    chunk: u64,
}

impl Stream {
    /// From what the standby was told.
    fn of(pair: &Pair) -> Option<Self> {
        let (mut begin, mut number) = (None, 0);
        for (_, message) in pair.recorded.iter().flatten() {
            match Envelope::decode(message.clone()).ok()?.body? {
                Body::SyncBegin(message) => begin = Some(message),
                Body::Batch(batch) => number = batch.number,
                _ => {}
            }
        }
        let begin = begin?;
        let bulk = begin.bulk;
        Some(Self {
            begin,
            number,
            part: 0,
            bulk,
            chunk: 0,
        })
    }

    fn term(&self) -> Option<Term> {
        self.begin.term
    }

    fn message(&mut self, kind: u8, block: &[u8]) -> Option<(Lane, Body)> {
        match kind % 4 {
            // A batch of one part, or the last one; or one with more to come.
            more @ (0 | 1) => {
                let section = small(Section::decode(block).ok()?)?;
                let body = Body::Batch(Batch {
                    group: 1,
                    sync: self.begin.sync,
                    term: self.term(),
                    number: self.number + 1,
                    part: self.part,
                    more: more == 1,
                    sections: vec![section],
                    ..Batch::default()
                });
                (self.number, self.part) = match more {
                    1 => (self.number, self.part + 1),
                    _ => (self.number + 1, 0),
                };
                Some((Lane::Changes, body))
            }
            2 => {
                (self.bulk, self.chunk) = (self.bulk + 1, 0);
                let begin = SyncBegin {
                    mode: 2,
                    bulk: self.bulk,
                    base: self.number,
                    ..self.begin.clone()
                };
                Some((Lane::Changes, Body::SyncBegin(begin)))
            }
            _ => {
                let chunk = BulkChunk::decode(block).ok()?;
                small_columns(chunk.entries.as_ref())?;
                let number = self.chunk;
                self.chunk += 1;
                let body = Body::BulkChunk(BulkChunk {
                    group: 1,
                    sync: self.begin.sync,
                    term: self.term(),
                    number,
                    bulk: self.bulk,
                    ..chunk
                });
                Some((Lane::Bulk, body))
            }
        }
    }
}

/// Slots that a table has no use for cost memory by their number: that is tested elsewhere.
fn small(section: Section) -> Option<Section> {
    small_slots(&section.removed_gap)?;
    small_columns(section.puts.as_ref())?;
    small_columns(section.updates.as_ref())?;
    Some(section)
}

fn small_columns(columns: Option<&Columns>) -> Option<()> {
    columns.map_or(Some(()), |columns| small_slots(&columns.slot_gap))
}

fn small_slots(gaps: &[u32]) -> Option<()> {
    let mut next = 0u32;
    for gap in gaps {
        let slot = next.wrapping_add(*gap);
        next = slot.wrapping_add(1);
        if (SLOTS..1 << 26).contains(&slot) {
            return None;
        }
    }
    Some(())
}

/// A valid section and chunk, and some that are not.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let columns = |key: &[u32], keys: &'static [u8]| Columns {
        slot_gap: vec![2, 0, 5],
        key_len: key.to_vec(),
        keys: keys.into(),
        value_len: vec![2, 0, 1],
        values: (&b"abc"[..]).into(),
    };
    let section = Section {
        client: CLIENTS[0].into(),
        removed_gap: vec![0, 3],
        puts: Some(columns(&[1], b"xyz")),
        updates: None,
    };
    let updates = Section {
        client: CLIENTS[0].into(),
        updates: Some(columns(&[], b"")),
        ..Section::default()
    };
    let chunk = BulkChunk {
        client: CLIENTS[1].into(),
        to: 100,
        entries: Some(columns(&[1], b"xyz")),
        ..BulkChunk::default()
    };
    let input = |parts: &[(u8, Vec<u8>)]| {
        let part = |(kind, bytes): &(u8, Vec<u8>)| [vec![*kind], block(bytes)].concat();
        parts.iter().flat_map(part).collect::<Vec<u8>>()
    };
    let (section, updates, chunk) = (
        section.encode_to_vec(),
        updates.encode_to_vec(),
        chunk.encode_to_vec(),
    );
    vec![
        (
            "batches",
            input(&[(0, section.clone()), (0, updates.clone())]),
        ),
        (
            "parts",
            input(&[(1, section.clone()), (0, updates.clone())]),
        ),
        (
            "bulk",
            input(&[(2, Vec::new()), (3, chunk.clone()), (0, section)]),
        ),
        ("chunk_without_bulk", input(&[(3, chunk), (0, updates)])),
    ]
}
