//! Messages in a line each, for people.

use bytes::Bytes;

use crate::wire::{Body, Lane, decode, pb, term_of};

/// What a message says, in short.
pub(crate) fn summary(lane: Lane, bytes: &Bytes) -> String {
    let Ok(body) = decode(lane, bytes.clone()) else {
        return "something undecodable".to_owned();
    };
    match body {
        Body::Hello(_) => "Hello".to_owned(),
        Body::Status(status) => status.groups.iter().map(status_text).collect(),
        Body::Resign(resign) => format!("Resign of term {}", term_of(resign.term)),
        Body::Goodbye(goodbye) => format!("Goodbye: {}", goodbye.text),
        Body::Reject(reject) => format!("Reject: {}", reject.text),
        Body::SyncRequest(request) => format!(
            "SyncRequest {} of term {}: stands at batch {}, chunk {} of bulk {}; in full: {:?}",
            request.sync,
            term_of(request.term),
            request.applied,
            request.bulk_chunk,
            request.bulk,
            request.resync_clients
        ),
        Body::SyncBegin(begin) => format!(
            "SyncBegin {}: {:?} after batch {}, bulk {}",
            begin.sync,
            begin.mode(),
            begin.base,
            begin.bulk
        ),
        Body::Batch(batch) => batch_text(&batch),
        Body::Ack(ack) => format!("Ack of sync {}: up to batch {}", ack.sync, ack.applied),
        Body::BulkChunk(chunk) => format!(
            "BulkChunk {} of bulk {}: client {} slots {}..{}, {} entries, after batch {}",
            chunk.number,
            chunk.bulk,
            chunk.client,
            chunk.from,
            chunk.to,
            entries(chunk.entries.as_ref()),
            chunk.after
        ),
        Body::BulkAck(ack) => format!("BulkAck of bulk {}: up to chunk {}", ack.bulk, ack.next),
    }
}

fn status_text(group: &pb::GroupStatus) -> String {
    let role = if group.active { " (active)" } else { "" };
    let (term, holds) = (term_of(group.term), term_of(group.holds));
    format!(
        "Status: state {}{role} in term {term}, holds {holds}",
        group.state
    )
}

fn batch_text(batch: &pb::Batch) -> String {
    let mut text = format!("Batch {} of sync {}", batch.number, batch.sync);
    if batch.more || batch.part > 0 {
        text += &format!(" part {}", batch.part);
    }
    for section in &batch.sections {
        text += &format!(
            "; client {}: {} removed, {} put, {} updated",
            section.client,
            section.removed_gap.len(),
            entries(section.puts.as_ref()),
            entries(section.updates.as_ref())
        );
    }
    if batch.complete {
        text += "; complete";
    }
    text
}

fn entries(columns: Option<&pb::Columns>) -> usize {
    columns.map_or(0, |columns| columns.slot_gap.len())
}
