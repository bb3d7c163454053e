//! Units of neighbouring releases work together (promise P8): messages with more fields and with
//! fewer, and values whose fields one unit does not know.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic with the place is what is wanted"
)]

use bytes::Bytes;
use ha_core::wire::pb;
use prost::Message;

/// The schema of a later release: each message has fields that this release does not know.
mod newer {
    use bytes::Bytes;

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Envelope {
        #[prost(oneof = "Body", tags = "1, 2, 5, 7, 99")]
        pub(crate) body: Option<Body>,
        /// Who sent it, say.
        #[prost(string, tag = "100")]
        pub(crate) trace: String,
    }

    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(crate) enum Body {
        #[prost(message, tag = "1")]
        Hello(Hello),
        #[prost(message, tag = "2")]
        Status(Status),
        #[prost(message, tag = "5")]
        Batch(Batch),
        #[prost(message, tag = "7")]
        BulkChunk(BulkChunk),
        /// A kind of message that does not exist yet.
        #[prost(message, tag = "99")]
        Novelty(ha_core::wire::pb::Term),
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Hello {
        #[prost(uint32, tag = "1")]
        pub(crate) protocol_min: u32,
        #[prost(uint32, tag = "2")]
        pub(crate) protocol_max: u32,
        #[prost(uint32, tag = "3")]
        pub(crate) unit: u32,
        #[prost(fixed64, tag = "4")]
        pub(crate) incarnation: u64,
        #[prost(message, repeated, tag = "6")]
        pub(crate) groups: Vec<GroupHello>,
        #[prost(string, repeated, tag = "50")]
        pub(crate) features: Vec<String>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct GroupHello {
        #[prost(uint32, tag = "1")]
        pub(crate) group: u32,
        #[prost(message, repeated, tag = "2")]
        pub(crate) clients: Vec<ha_core::wire::pb::ClientHello>,
        #[prost(fixed32, tag = "50")]
        pub(crate) colour: u32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Status {
        #[prost(uint64, tag = "1")]
        pub(crate) number: u64,
        #[prost(message, repeated, tag = "2")]
        pub(crate) groups: Vec<ha_core::wire::pb::GroupStatus>,
        #[prost(double, tag = "50")]
        pub(crate) load: f64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Batch {
        #[prost(uint32, tag = "1")]
        pub(crate) group: u32,
        #[prost(uint64, tag = "2")]
        pub(crate) sync: u64,
        #[prost(message, optional, tag = "3")]
        pub(crate) term: Option<ha_core::wire::pb::Term>,
        #[prost(uint64, tag = "4")]
        pub(crate) number: u64,
        #[prost(message, repeated, tag = "7")]
        pub(crate) sections: Vec<Section>,
        #[prost(bool, tag = "9")]
        pub(crate) complete: bool,
        #[prost(sint64, tag = "50")]
        pub(crate) skew: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Section {
        #[prost(uint32, tag = "1")]
        pub(crate) client: u32,
        #[prost(uint32, repeated, tag = "2")]
        pub(crate) removed_gap: Vec<u32>,
        #[prost(message, optional, tag = "3")]
        pub(crate) puts: Option<Columns>,
        #[prost(bytes = "bytes", tag = "50")]
        pub(crate) hint: Bytes,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Columns {
        #[prost(uint32, repeated, tag = "1")]
        pub(crate) slot_gap: Vec<u32>,
        #[prost(uint32, repeated, tag = "2")]
        pub(crate) key_len: Vec<u32>,
        #[prost(bytes = "bytes", tag = "3")]
        pub(crate) keys: Bytes,
        #[prost(uint32, repeated, tag = "4")]
        pub(crate) value_len: Vec<u32>,
        #[prost(bytes = "bytes", tag = "5")]
        pub(crate) values: Bytes,
        #[prost(uint64, repeated, tag = "50")]
        pub(crate) expires: Vec<u64>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct BulkChunk {
        #[prost(uint64, tag = "4")]
        pub(crate) number: u64,
        #[prost(message, optional, tag = "8")]
        pub(crate) entries: Option<Columns>,
        #[prost(uint32, tag = "50")]
        pub(crate) compression: u32,
    }
}

/// The schema of an earlier release, which lacks what came since.
mod older {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Envelope {
        #[prost(oneof = "Body", tags = "2, 4")]
        pub(crate) body: Option<Body>,
    }

    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(crate) enum Body {
        #[prost(message, tag = "2")]
        Status(Status),
        #[prost(message, tag = "4")]
        SyncBegin(SyncBegin),
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Status {
        #[prost(message, repeated, tag = "2")]
        pub(crate) groups: Vec<GroupStatus>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct GroupStatus {
        #[prost(uint32, tag = "1")]
        pub(crate) group: u32,
        #[prost(uint32, tag = "2")]
        pub(crate) state: u32,
        #[prost(bool, tag = "4")]
        pub(crate) active: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct SyncBegin {
        #[prost(uint32, tag = "1")]
        pub(crate) group: u32,
        #[prost(uint64, tag = "2")]
        pub(crate) sync: u64,
        #[prost(int32, tag = "5")]
        pub(crate) mode: i32,
        #[prost(uint64, tag = "7")]
        pub(crate) base: u64,
    }
}

const TERM: pb::Term = pb::Term {
    counter: 3,
    unit: 1,
};

fn now(bytes: &[u8]) -> pb::envelope::Body {
    let envelope = pb::Envelope::decode(bytes).expect("unknown fields are skipped");
    envelope.body.expect("the kind is known")
}

fn from_newer(body: newer::Body) -> pb::envelope::Body {
    let envelope = newer::Envelope {
        body: Some(body),
        trace: "a later release".into(),
    };
    now(&envelope.encode_to_vec())
}

fn newer_columns() -> newer::Columns {
    newer::Columns {
        slot_gap: vec![3, 0],
        key_len: vec![2],
        keys: Bytes::from_static(b"k1k2"),
        value_len: vec![1, 2],
        values: Bytes::from_static(b"abc"),
        expires: vec![1, u64::MAX],
    }
}

fn columns() -> pb::Columns {
    pb::Columns {
        slot_gap: vec![3, 0],
        key_len: vec![2],
        keys: Bytes::from_static(b"k1k2"),
        value_len: vec![1, 2],
        values: Bytes::from_static(b"abc"),
    }
}

#[test]
fn fields_of_a_later_release_are_skipped() {
    let batch = newer::Batch {
        group: 1,
        sync: 2,
        term: Some(TERM),
        number: 9,
        sections: vec![newer::Section {
            client: 40,
            removed_gap: vec![7],
            puts: Some(newer_columns()),
            hint: Bytes::from_static(b"hint"),
        }],
        complete: true,
        skew: -5,
    };
    let expected = pb::Batch {
        group: 1,
        sync: 2,
        term: Some(TERM),
        number: 9,
        sections: vec![pb::Section {
            client: 40,
            removed_gap: vec![7],
            puts: Some(columns()),
            updates: None,
        }],
        complete: true,
        ..pb::Batch::default()
    };
    assert_eq!(
        from_newer(newer::Body::Batch(batch)),
        pb::envelope::Body::Batch(expected)
    );
    let chunk = newer::BulkChunk {
        number: 4,
        entries: Some(newer_columns()),
        compression: 1,
    };
    let expected = pb::BulkChunk {
        number: 4,
        entries: Some(columns()),
        ..pb::BulkChunk::default()
    };
    assert_eq!(
        from_newer(newer::Body::BulkChunk(chunk)),
        pb::envelope::Body::BulkChunk(expected)
    );
}

#[test]
fn what_a_later_release_reads_of_this_one_is_whole() {
    let batch = pb::Batch {
        number: 9,
        sections: vec![pb::Section {
            client: 40,
            puts: Some(columns()),
            ..pb::Section::default()
        }],
        ..pb::Batch::default()
    };
    let envelope = pb::Envelope {
        body: Some(pb::envelope::Body::Batch(batch)),
    };
    let read = newer::Envelope::decode(envelope.encode_to_vec().as_slice()).unwrap();
    let Some(newer::Body::Batch(batch)) = read.body else {
        panic!("{read:?}");
    };
    let puts = batch.sections[0].puts.clone().unwrap();
    assert_eq!(
        puts,
        newer::Columns {
            expires: Vec::new(),
            ..newer_columns()
        }
    );
    assert_eq!((batch.number, batch.skew), (9, 0));
}

#[test]
fn an_earlier_release_and_this_one_read_each_other() {
    let status = pb::GroupStatus {
        group: 1,
        state: 13,
        term: Some(TERM),
        active: true,
        lineage: u64::MAX,
        holds: Some(TERM),
        ..pb::GroupStatus::default()
    };
    let envelope = pb::Envelope {
        body: Some(pb::envelope::Body::Status(pb::Status {
            number: 77,
            groups: vec![status],
            heard: 76,
        })),
    };
    let read = older::Envelope::decode(envelope.encode_to_vec().as_slice()).unwrap();
    let group = older::GroupStatus {
        group: 1,
        state: 13,
        active: true,
    };
    let body = older::Body::Status(older::Status {
        groups: vec![group],
    });
    assert_eq!(read.body, Some(body));

    let begin = older::SyncBegin {
        group: 1,
        sync: 2,
        mode: 1,
        base: 5,
    };
    let envelope = older::Envelope {
        body: Some(older::Body::SyncBegin(begin)),
    };
    let expected = pb::SyncBegin {
        group: 1,
        sync: 2,
        mode: pb::SyncMode::Full.into(),
        base: 5,
        ..pb::SyncBegin::default()
    };
    assert_eq!(
        now(&envelope.encode_to_vec()),
        pb::envelope::Body::SyncBegin(expected)
    );
}

mod units {
    //! Whole units of different releases.

    use core::time::Duration;

    use bytes::Bytes;
    use ha_core::checkpoint::{
        CommitPolicy, DecodeError, Record, Shared, StateTable, StateTableBuilder,
    };
    use ha_core::id::{ClientId, GroupId, LinkId, UnitId};
    use ha_core::node::{CloseReason, GroupConfig, Node, NodeConfig, Output};
    use ha_core::redundancy::RfState;
    use ha_core::scheme::{PeerHealth, PeerHealthConfig};
    use ha_core::time::Time;
    use ha_core::wire::{Lane, WireError, pb};
    use prost::Message;

    use super::{TERM, newer};

    const GROUP: GroupId = GroupId::new(1);

    /// The entry of the earlier release: a number, and whatever follows it is skipped.
    #[derive(Clone, PartialEq, Debug)]
    struct Old(u8);

    /// The entry of the later release: the number and a text.
    #[derive(Clone, PartialEq, Debug)]
    struct New(u8, String);

    impl Record for Old {
        fn encode(&self, _version: u16, out: &mut Vec<u8>) {
            out.push(self.0);
        }

        fn decode(_version: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
            let first = bytes.first().copied().map(Self);
            first.ok_or_else(|| DecodeError::Invalid("empty".into()))
        }

        fn encode_onto(&self, _version: u16, kept: &[u8], out: &mut Vec<u8>) {
            out.push(self.0);
            out.extend_from_slice(kept.get(1..).unwrap_or_default());
        }
    }

    impl Record for New {
        fn encode(&self, _version: u16, out: &mut Vec<u8>) {
            out.push(self.0);
            out.extend_from_slice(self.1.as_bytes());
        }

        fn decode(_version: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
            let (first, rest) = bytes
                .split_first()
                .ok_or_else(|| DecodeError::Invalid("empty".into()))?;
            Ok(Self(*first, core::str::from_utf8(rest)?.to_owned()))
        }
    }

    fn builder<V: Record + Clone>() -> StateTableBuilder<u8, V> {
        StateTable::builder(ClientId::new(40), "nat")
    }

    fn node<V: Record + Clone>(unit: u32, incarnation: u64, table: &StateTable<u8, V>) -> Node {
        let scheme = Box::new(PeerHealth::new(PeerHealthConfig::default()));
        let mut group = GroupConfig::new(GROUP, scheme, Shared::new(CommitPolicy::Degrade));
        group.clients = vec![table.client()];
        let config = NodeConfig::new(UnitId::new(unit), incarnation);
        Node::new(config, vec![group], Time::ZERO).unwrap()
    }

    /// Runs two units for a while; the links are new if `link` is.
    fn run(units: [&mut Node; 2], now: &mut Time, link: u64, time: Duration) {
        let link = LinkId::new(link);
        let [a, b] = units;
        a.handle_link_up(link, *now);
        b.handle_link_up(link, *now);
        let end = *now + time;
        while *now < end {
            *now = *now + Duration::from_millis(5);
            a.handle_timeout(*now);
            b.handle_timeout(*now);
            while hand_over(a, b, *now) | hand_over(b, a, *now) {}
        }
    }

    fn hand_over(from: &mut Node, to: &mut Node, now: Time) -> bool {
        let mut moved = false;
        loop {
            match from.poll_output(now) {
                Output::Timeout(_) => return moved,
                Output::Send {
                    link,
                    lane,
                    message,
                } => to.handle_message(link, lane, message, now),
                Output::CloseLink { reason, .. } => panic!("{reason}"),
                _ => {}
            }
            moved = true;
        }
    }

    fn states(units: [&Node; 2]) -> [Option<RfState>; 2] {
        units.map(|unit| unit.state(GROUP))
    }

    const SETTLED: [Option<RfState>; 2] = [Some(RfState::Active), Some(RfState::StandbyHot)];

    /// The later release writes, the earlier one takes over, changes one entry and hands all back:
    /// no field is lost on the way.
    #[test]
    fn fields_unknown_to_the_earlier_unit_survive_it() {
        let entry = |n: u8| New(n, format!("text {n}"));
        let later = builder::<New>().versions(1..=2).build().unwrap();
        let earlier = builder::<Old>().versions(1..=1).build().unwrap();
        let (mut a, mut b) = (node(0, 1, &later), node(1, 2, &earlier));
        let mut now = Time::ZERO;
        run([&mut a, &mut b], &mut now, 1, Duration::from_secs(10));
        assert_eq!(states([&a, &b]), SETTLED);
        for n in 0..3 {
            later.insert(n, entry(n)).unwrap();
        }
        a.handle_doorbell(now);
        run([&mut a, &mut b], &mut now, 2, Duration::from_millis(200));
        assert_eq!(earlier.get(&2), Some(Old(2)));
        drop(a);

        let later = builder::<New>().versions(1..=2).build().unwrap();
        let mut a = node(0, 3, &later);
        b.handle_link_down(LinkId::new(1), now);
        b.handle_link_down(LinkId::new(2), now);
        run([&mut b, &mut a], &mut now, 3, Duration::from_secs(10));
        assert_eq!(states([&b, &a]), SETTLED);
        assert_eq!(later.get(&1), Some(entry(1)), "as it came");
        earlier.update(&1, |value| value.0 = 9).unwrap();
        run([&mut b, &mut a], &mut now, 4, Duration::from_millis(200));
        assert_eq!(later.get(&1), Some(New(9, "text 1".into())), "changed");
        assert_eq!(later.get(&2), Some(entry(2)));
    }

    /// A later release that speaks several protocol versions, and says more than we understand.
    #[test]
    fn a_later_release_is_welcome_and_its_news_are_not() {
        let table = builder::<Old>().build().unwrap();
        let mut unit = node(0, 1, &table);
        let link = LinkId::new(1);
        unit.handle_link_up(link, Time::ZERO);
        let hello = newer::Hello {
            protocol_min: 1,
            protocol_max: 7,
            unit: 1,
            incarnation: 5,
            groups: vec![newer::GroupHello {
                group: 1,
                clients: vec![pb::ClientHello {
                    id: 40,
                    name: "nat".into(),
                    version_min: 1,
                    version_max: 9,
                    ..pb::ClientHello::default()
                }],
                colour: 0xff_00ff,
            }],
            features: vec!["teleport".into()],
        };
        let status = newer::Status {
            number: 1,
            groups: vec![pb::GroupStatus {
                group: 1,
                state: 13,
                term: Some(TERM),
                active: true,
                holds: Some(TERM),
                ..pb::GroupStatus::default()
            }],
            load: 0.5,
        };
        for body in [newer::Body::Hello(hello), newer::Body::Status(status)] {
            say(&mut unit, body);
        }
        assert!(unit.peer_is_up());
        let sees = unit.peer_state(GROUP);
        assert_eq!(sees, Some(RfState::Active));
        assert_eq!(close_reason(&mut unit), None);
        say(&mut unit, newer::Body::Novelty(TERM));
        let reason = close_reason(&mut unit).expect("it must wait for a protocol that has it");
        let unknown = WireError::UnknownKind {
            lane: Lane::Control,
        };
        assert_eq!(reason, CloseReason::Wire(unknown));
    }

    fn say(unit: &mut Node, body: newer::Body) {
        let envelope = newer::Envelope {
            body: Some(body),
            trace: "a later release".into(),
        };
        let message = Bytes::from(envelope.encode_to_vec());
        unit.handle_message(LinkId::new(1), Lane::Control, message, Time::ZERO);
    }

    fn close_reason(unit: &mut Node) -> Option<CloseReason> {
        loop {
            match unit.poll_output(Time::ZERO) {
                Output::Timeout(_) => return None,
                Output::CloseLink { reason, .. } => return Some(reason),
                _ => {}
            }
        }
    }
}
