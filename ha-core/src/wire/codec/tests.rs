#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic with the place is what is wanted"
)]

use super::*;

const TERM: pb::Term = pb::Term {
    counter: 3,
    unit: 1,
};

/// One valid message of each kind, with the lane that it belongs to.
fn bodies() -> Vec<(Lane, Body)> {
    let status = pb::GroupStatus {
        term: Some(TERM),
        holds: Some(TERM),
        ..pb::GroupStatus::default()
    };
    let term = Some(TERM);
    vec![
        (Lane::Control, Body::Hello(pb::Hello::default())),
        (
            Lane::Control,
            Body::Status(pb::Status {
                number: 1,
                groups: vec![status],
                heard: 0,
            }),
        ),
        (
            Lane::Control,
            Body::Resign(pb::Resign {
                term,
                ..pb::Resign::default()
            }),
        ),
        (Lane::Control, Body::Goodbye(pb::Goodbye::default())),
        (Lane::Control, Body::Reject(pb::Reject::default())),
        (
            Lane::Changes,
            Body::SyncRequest(pb::SyncRequest {
                term,
                ..pb::SyncRequest::default()
            }),
        ),
        (
            Lane::Changes,
            Body::SyncBegin(pb::SyncBegin {
                term,
                ..pb::SyncBegin::default()
            }),
        ),
        (
            Lane::Changes,
            Body::Batch(pb::Batch {
                term,
                ..pb::Batch::default()
            }),
        ),
        (Lane::Changes, Body::Ack(pb::Ack::default())),
        (
            Lane::Bulk,
            Body::BulkChunk(pb::BulkChunk {
                term,
                ..pb::BulkChunk::default()
            }),
        ),
        (Lane::Bulk, Body::BulkAck(pb::BulkAck::default())),
    ]
}

fn through(body: Body) -> Result<Body, WireError> {
    let (lane, bytes) = encode(body);
    decode(lane, bytes)
}

/// Exactly the limit passes, one more does not.
fn at_limit(what: &str, limit: usize, body: impl Fn(usize) -> Body) {
    assert!(through(body(limit)).is_ok(), "{what} at its limit");
    let error = through(body(limit + 1)).unwrap_err();
    let WireError::Limit(error) = error else {
        panic!("{what}: {error}");
    };
    assert_eq!(
        (error.what, error.got, error.allowed),
        (what, limit + 1, limit)
    );
}

#[test]
fn each_kind_passes_on_its_lane_and_on_no_other() {
    for (home, body) in bodies() {
        let (lane, bytes) = encode(body.clone());
        assert_eq!(lane, home);
        for lane in Lane::ALL {
            let result = decode(lane, bytes.clone());
            if lane == home {
                assert_eq!(result, Ok(body.clone()));
            } else {
                let (kind, _) = kind_of(&body);
                assert_eq!(result, Err(WireError::WrongLane { kind, lane }));
            }
        }
    }
}

#[test]
fn lanes_have_numbers() {
    for lane in Lane::ALL {
        assert_eq!(Lane::from_number(lane as u8), Some(lane));
    }
    assert_eq!(Lane::from_number(3), None);
}

#[test]
fn a_missing_term_is_refused() {
    for (lane, body) in bodies() {
        let without = match body {
            Body::Resign(m) => Body::Resign(pb::Resign { term: None, ..m }),
            Body::SyncRequest(m) => Body::SyncRequest(pb::SyncRequest { term: None, ..m }),
            Body::SyncBegin(m) => Body::SyncBegin(pb::SyncBegin { term: None, ..m }),
            Body::Batch(m) => Body::Batch(pb::Batch { term: None, ..m }),
            Body::BulkChunk(m) => Body::BulkChunk(pb::BulkChunk { term: None, ..m }),
            Body::Status(mut m) => {
                m.groups[0].holds = None;
                Body::Status(m)
            }
            Body::Hello(_)
            | Body::Goodbye(_)
            | Body::Reject(_)
            | Body::Ack(_)
            | Body::BulkAck(_) => continue,
        };
        let (kind, _) = kind_of(&without);
        let error = decode(lane, encode(without).1).unwrap_err();
        assert!(
            matches!(error, WireError::Missing { kind: k, .. } if k == kind),
            "{error}"
        );
    }
}

#[test]
fn what_is_no_message_is_refused() {
    let garbage = Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n");
    let error = decode(Lane::Control, garbage).unwrap_err();
    assert!(matches!(error, WireError::Undecodable { .. }), "{error}");
    for empty in [&b""[..], b"\xfa\x01\x00"] {
        let error = decode(Lane::Bulk, Bytes::from_static(empty)).unwrap_err();
        assert_eq!(error, WireError::UnknownKind { lane: Lane::Bulk });
    }
}

#[test]
fn every_truncation_is_refused_or_a_shorter_message() {
    for (lane, body) in bodies() {
        let bytes = encode(body).1;
        for end in 0..bytes.len() {
            // Never a panic; most are undecodable.
            let _ = decode(lane, bytes.slice(..end));
        }
    }
}

#[test]
fn messages_have_a_longest_length() {
    let chunk = |len| {
        let entries = pb::Columns {
            values: vec![0; len].into(),
            ..pb::Columns::default()
        };
        encode(Body::BulkChunk(pb::BulkChunk {
            term: Some(TERM),
            entries: Some(entries),
            ..pb::BulkChunk::default()
        }))
        .1
    };
    let near = limits::MAX_MESSAGE_BYTES - 100;
    let overhead = chunk(near).len() - near;
    let longest = chunk(limits::MAX_MESSAGE_BYTES - overhead);
    assert_eq!(longest.len(), limits::MAX_MESSAGE_BYTES);
    assert!(decode(Lane::Bulk, longest).is_ok());
    let error = decode(Lane::Bulk, chunk(limits::MAX_MESSAGE_BYTES - overhead + 1)).unwrap_err();
    assert!(matches!(error, WireError::Limit(_)), "{error}");
}

#[test]
fn texts_and_lists_have_limits() {
    let text = |len| "x".repeat(len);
    at_limit("text", limits::MAX_TEXT_BYTES, |len| {
        Body::Goodbye(pb::Goodbye { text: text(len) })
    });
    at_limit("text", limits::MAX_TEXT_BYTES, |len| {
        Body::Reject(pb::Reject {
            code: 1,
            text: text(len),
        })
    });
    at_limit("resync_clients", limits::MAX_CLIENTS, |count| {
        Body::SyncRequest(pb::SyncRequest {
            term: Some(TERM),
            resync_clients: vec![1; count],
            ..pb::SyncRequest::default()
        })
    });
    at_limit("sections", limits::MAX_CLIENTS, |count| {
        Body::Batch(pb::Batch {
            term: Some(TERM),
            sections: vec![pb::Section::default(); count],
            ..pb::Batch::default()
        })
    });
    at_limit("digests", limits::MAX_CLIENTS, |count| {
        Body::Batch(pb::Batch {
            term: Some(TERM),
            digests: vec![pb::Digest::default(); count],
            ..pb::Batch::default()
        })
    });
    at_limit("groups", limits::MAX_GROUPS, |count| {
        let group = pb::GroupStatus {
            term: Some(TERM),
            holds: Some(TERM),
            ..pb::GroupStatus::default()
        };
        Body::Status(pb::Status {
            number: 1,
            groups: vec![group; count],
            heard: 0,
        })
    });
}

#[test]
fn every_list_and_text_of_a_hello_has_a_limit() {
    let text = |len| "x".repeat(len);
    let hello = |groups| {
        Body::Hello(pb::Hello {
            groups,
            ..pb::Hello::default()
        })
    };
    let client = |client| {
        hello(vec![pb::GroupHello {
            group: 1,
            clients: vec![client],
        }])
    };
    let item = |name, value| {
        client(pb::ClientHello {
            config: vec![pb::ConfigItem { name, value }],
            ..pb::ClientHello::default()
        })
    };
    at_limit("software", limits::MAX_TEXT_BYTES, |len| {
        Body::Hello(pb::Hello {
            software: text(len),
            ..pb::Hello::default()
        })
    });
    at_limit("groups", limits::MAX_GROUPS, |count| {
        hello(vec![pb::GroupHello::default(); count])
    });
    at_limit("clients", limits::MAX_CLIENTS, |count| {
        hello(vec![pb::GroupHello {
            group: 1,
            clients: vec![pb::ClientHello::default(); count],
        }])
    });
    at_limit("client name", limits::MAX_TEXT_BYTES, |len| {
        client(pb::ClientHello {
            name: text(len),
            ..pb::ClientHello::default()
        })
    });
    at_limit("config items", limits::MAX_CONFIG_ITEMS, |count| {
        client(pb::ClientHello {
            config: vec![pb::ConfigItem::default(); count],
            ..pb::ClientHello::default()
        })
    });
    at_limit("config name", limits::MAX_TEXT_BYTES, |len| {
        item(text(len), text(1))
    });
    at_limit("config value", limits::MAX_TEXT_BYTES, |len| {
        item(text(1), text(len))
    });
}
