//! Writes the seed corpora from valid messages: `cargo run --example seeds` in this folder.
//!
//! File names say what is inside; files that a fuzzer found are named by their hash and stay.

use std::path::Path;

#[allow(dead_code, reason = "the target runs it")]
#[path = "src/frame.rs"]
mod frame;

#[allow(dead_code, reason = "the targets run them")]
#[path = "src/ipsec/mod.rs"]
mod ipsec;

use ha_core::wire::pb::envelope::Body;
use ha_core::wire::pb::{
    Ack, Batch, BulkAck, BulkChunk, ClientHello, ClientSize, Columns, ConfigItem, Digest, Envelope,
    Goodbye, GroupHello, GroupStatus, Hello, Reject, Resign, Section, Status, SyncBegin, SyncMode,
    SyncRequest, Term,
};
use prost::Message;

fn main() -> std::io::Result<()> {
    let envelopes = bodies().into_iter().map(|(name, body)| {
        let envelope = Envelope { body: Some(body) };
        (name, envelope.encode_to_vec())
    });
    write("envelope", envelopes.collect())?;
    write("frame", frame::seeds())?;
    write("message", ha_fuzz::message::seeds())?;
    #[cfg(all(feature = "linux", target_os = "linux"))]
    write("netlink", ipsec::netlink::seeds())?;
    write("operations", ha_fuzz::operations::seeds())?;
    write("reservation", ipsec::reservation::seeds())?;
    write("rfc6311", ipsec::rfc6311::seeds())?;
    write("sa_record", ipsec::sa_record::seeds())?;
    write("sad", ipsec::sad::seeds())?;
    write("section", ha_fuzz::section::seeds())?;
    write("window", ipsec::window::seeds())
}

fn write(target: &str, seeds: Vec<(&str, Vec<u8>)>) -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    std::fs::create_dir_all(&folder)?;
    for (name, bytes) in seeds {
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

fn bodies() -> Vec<(&'static str, Body)> {
    let mut all = link_bodies();
    all.extend(sync_bodies());
    all
}

fn link_bodies() -> Vec<(&'static str, Body)> {
    vec![
        ("hello", Body::Hello(hello())),
        (
            "status",
            Body::Status(Status {
                number: 7,
                groups: vec![group_status()],
                heard: 6,
            }),
        ),
        (
            "resign",
            Body::Resign(Resign {
                group: 1,
                term: Some(TERM),
                reason: 6,
            }),
        ),
        (
            "goodbye",
            Body::Goodbye(Goodbye {
                text: "stopped by the administrator".into(),
            }),
        ),
        (
            "reject",
            Body::Reject(Reject {
                code: 3,
                text: "both units have id 0".into(),
            }),
        ),
    ]
}

fn sync_bodies() -> Vec<(&'static str, Body)> {
    vec![
        ("sync_request", Body::SyncRequest(sync_request())),
        ("sync_begin", Body::SyncBegin(sync_begin())),
        ("batch", Body::Batch(batch(false))),
        ("batch_part", Body::Batch(batch(true))),
        (
            "ack",
            Body::Ack(Ack {
                group: 1,
                sync: 2,
                applied: 90,
            }),
        ),
        ("bulk_chunk", Body::BulkChunk(bulk_chunk())),
        (
            "bulk_ack",
            Body::BulkAck(BulkAck {
                group: 1,
                sync: 2,
                next: 12,
                bulk: 1,
            }),
        ),
    ]
}

fn hello() -> Hello {
    Hello {
        protocol_min: 1,
        protocol_max: 1,
        unit: 1,
        incarnation: 0x0123_4567_89ab_cdef,
        software: "ha-core 0.1.0".into(),
        groups: vec![GroupHello {
            group: 1,
            clients: vec![client_hello()],
        }],
        keepalive_interval_ms: 100,
    }
}

fn client_hello() -> ClientHello {
    ClientHello {
        id: 40,
        name: "nat".into(),
        version_min: 1,
        version_max: 2,
        sequence: 400,
        config: vec![ConfigItem {
            name: "pool".into(),
            value: "198.51.100.0/24".into(),
        }],
    }
}

fn group_status() -> GroupStatus {
    GroupStatus {
        group: 1,
        state: 8,
        term: Some(TERM),
        active: false,
        complete: true,
        active_for_ms: 0,
        maintenance: false,
        lineage: 0xfeed,
        holds: Some(TERM),
        holds_complete: true,
        priority: 100,
        decided: true,
    }
}

fn sync_request() -> SyncRequest {
    SyncRequest {
        group: 1,
        sync: 2,
        term: Some(TERM),
        incarnation: 0xfeed_beef,
        applied: 88,
        bulk_chunk: 11,
        bulk: 1,
        resync_clients: vec![40, 41],
        changes_window_bytes: 1 << 20,
        bulk_window_bytes: 4 << 20,
    }
}

fn sync_begin() -> SyncBegin {
    SyncBegin {
        group: 1,
        sync: 2,
        term: Some(TERM),
        incarnation: 0xfeed_beef,
        mode: SyncMode::Delta as i32,
        bulk: 1,
        base: 88,
        lineage: 0xfeed,
        scattered: true,
        sizes: vec![ClientSize {
            client: 40,
            entries: 2,
            slots: 7,
        }],
    }
}

fn batch(more: bool) -> Batch {
    let section = Section {
        client: 40,
        removed_gap: vec![2, 0],
        puts: Some(columns(b"k0k1")),
        updates: Some(columns(b"")),
    };
    let digest = Digest {
        client: 40,
        sum: 0xdead_beef,
        entries: 2,
    };
    Batch {
        group: 1,
        sync: 2,
        term: Some(TERM),
        number: 89,
        part: u32::from(!more),
        more,
        sections: vec![section],
        digests: if more { Vec::new() } else { vec![digest] },
        complete: !more,
    }
}

fn bulk_chunk() -> BulkChunk {
    BulkChunk {
        group: 1,
        sync: 2,
        term: Some(TERM),
        number: 11,
        client: 40,
        from: 0,
        to: 64,
        entries: Some(columns(b"k0k1")),
        after: 88,
        bulk: 1,
    }
}

/// Two entries with values of different length; `keys` is empty or holds two keys of two bytes.
fn columns(keys: &'static [u8]) -> Columns {
    Columns {
        slot_gap: vec![5, 0],
        key_len: if keys.is_empty() { Vec::new() } else { vec![2] },
        keys: keys.into(),
        value_len: vec![3, 5],
        values: b"onethree"[..].into(),
    }
}

const TERM: Term = Term {
    counter: 3,
    unit: 1,
};
