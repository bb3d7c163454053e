//! Two gateways, either of which may be a cluster that fails over, and a channel between them that
//! loses, delays, doubles and replays everything that was ever sent.
//!
//! Each of these, left out, makes it fail: the lag in M1; the check that M1 is fresh; the nonce check;
//! dropping requests while a lagging unit synchronizes; P2 above our own ids; the note in the record
//! that a synchronization is under way; repeating a lost response.

use std::collections::{BTreeMap, BTreeSet};

use ha_core::time::Time;
use proptest::prelude::*;

use super::*;
use crate::message_id::{Request, Response, Takeover};

#[derive(Clone, Copy, Debug)]
enum Message {
    Request { id: u32, body: u32 },
    Response { id: u32, body: u32 },
    SyncRequest(SyncRequest),
    SyncResponse(SyncResponse),
}

/// A gateway. What a failover destroys is in `unit`.
struct Gateway {
    unit: Unit,
    lag: Lag,
    late: LateSync,
    failovers: u64,
    /// The records since the last one whose acknowledgement was awaited, that one first.
    records: Vec<MessageIds>,
    /// Omniscient: what each request id was used for, what was processed, which M1 was answered.
    used: BTreeMap<u32, u32>,
    processed: BTreeSet<u32>,
    highest_sync: Option<u32>,
    torn_down: bool,
}

struct Unit {
    ids: MessageIds,
    sync: Synchronizer,
    responder: SyncResponder,
    outstanding: BTreeMap<u32, u32>,
    responses: BTreeMap<u32, u32>,
}

impl Gateway {
    fn new(own_window: u32, peer_window: u32, lag: Lag, late: LateSync) -> Self {
        let mut ids = MessageIds::default();
        ids.grow_own_window(own_window);
        ids.grow_peer_window(peer_window);
        Self {
            unit: Unit::new(ids, late),
            lag,
            late,
            failovers: 0,
            records: vec![ids],
            used: BTreeMap::new(),
            processed: BTreeSet::new(),
            highest_sync: None,
            torn_down: false,
        }
    }

    /// An exchange has moved the ids: the record follows, at once or in time.
    fn record(&mut self) {
        self.records.push(self.unit.ids);
        let kept = self.lag.requests() as usize + 1;
        let surplus = self.records.len().saturating_sub(kept);
        self.records.drain(..surplus);
    }

    /// A synchronization has moved them: its record is always awaited.
    fn commit(&mut self) {
        self.records = vec![self.unit.ids];
    }

    fn request(&mut self, body: u32) -> Option<Message> {
        if self.torn_down || self.unit.sync.is_pending() {
            return None;
        }
        let id = self.unit.ids.begin_request().ok()?;
        assert_eq!(self.used.insert(id, body), None, "request id {id} reused");
        self.unit.outstanding.insert(id, body);
        self.record();
        Some(Message::Request { id, body })
    }

    fn retransmit(&self) -> Vec<Message> {
        let waiting = |(&id, &body)| {
            let waits = self.unit.ids.is_outstanding(id);
            waits.then_some(Message::Request { id, body })
        };
        self.unit.outstanding.iter().filter_map(waiting).collect()
    }

    fn fail_over(&mut self, record: usize, nonce: [u8; 4]) -> Vec<Message> {
        if self.torn_down {
            return vec![];
        }
        self.failovers += 1;
        let record = self.records[record % self.records.len()];
        let mut bytes = vec![];
        record.encode(&mut bytes);
        self.unit = Unit::new(MessageIds::decode(&bytes).unwrap(), self.late);
        match self.unit.ids.take_over(self.lag, SyncSupport::ALL) {
            Takeover::Continue => {
                self.commit();
                vec![]
            }
            Takeover::Synchronize => self.synchronize(nonce),
            Takeover::Stalled { .. } => panic!("the peer supports it"),
        }
    }

    fn synchronize(&mut self, nonce: [u8; 4]) -> Vec<Message> {
        let plan = SyncPlan {
            lag: self.lag,
            nonce,
            ..plan(self.failovers)
        };
        let unit = &mut self.unit;
        if unit.sync.begin(plan, &mut unit.ids, Time::ZERO).is_err() {
            return vec![]; // done in this failover
        }
        self.commit();
        let request = self.unit.sync.poll_transmit();
        request.map(Message::SyncRequest).into_iter().collect()
    }

    fn time_out(&mut self) -> Option<Message> {
        let due = self.unit.sync.poll_timeout()?;
        if let Some(outcome) = self.unit.sync.handle_timeout(due) {
            self.finish(outcome);
        }
        self.unit.sync.poll_transmit().map(Message::SyncRequest)
    }

    fn finish(&mut self, outcome: SyncOutcome) {
        match outcome {
            SyncOutcome::Synchronized { .. } => self.commit(),
            SyncOutcome::TearDown(TearDown::Unanswered { .. }) => self.torn_down = true,
            SyncOutcome::TearDown(reason) => panic!("{reason}"),
        }
    }

    fn receive(&mut self, message: Message) -> Vec<Message> {
        if self.torn_down {
            return vec![];
        }
        match message {
            Message::Request { id, body } if self.unit.sync.accepts_requests() => {
                self.receive_request(id, body)
            }
            Message::Request { .. } => vec![],
            Message::Response { id, body } => {
                if self.unit.ids.handle_response(id) == Response::Fresh {
                    assert_eq!(self.used[&id], body, "the answer to another request {id}");
                    self.record();
                }
                vec![]
            }
            Message::SyncRequest(request) => self.receive_sync(&request),
            Message::SyncResponse(response) => {
                let unit = &mut self.unit;
                if let Ok(outcome) = unit.sync.handle_response(&response, &mut unit.ids) {
                    self.finish(outcome);
                }
                vec![]
            }
        }
    }

    fn receive_request(&mut self, id: u32, body: u32) -> Vec<Message> {
        match self.unit.ids.handle_request(id) {
            Request::New => {
                assert!(self.processed.insert(id), "request {id} processed twice");
                assert!(self.unit.ids.respond(id));
                self.unit.responses.insert(id, body);
                self.record();
                vec![Message::Response { id, body }]
            }
            Request::Retransmission => match self.unit.responses.get(&id) {
                Some(&body) => vec![Message::Response { id, body }],
                // Its bytes died with the former active: the peer would wait for ever.
                None => self.synchronize([0xee, 0, 0, id as u8]),
            },
            Request::InProgress | Request::Old | Request::Beyond => vec![],
        }
    }

    fn receive_sync(&mut self, request: &SyncRequest) -> Vec<Message> {
        let unit = &mut self.unit;
        let answer = unit.responder.handle_request(
            request,
            SyncSupport::ALL,
            ChildNumbers::None,
            &mut unit.ids,
        );
        match answer {
            Answer::Respond { response, .. } => {
                self.check_answered(request.ids.unwrap(), response.ids.unwrap());
                let unit = &mut self.unit;
                unit.sync.answered_peer(&unit.ids, Time::ZERO);
                self.commit();
                vec![Message::SyncResponse(response)]
            }
            Answer::Repeat(response) => vec![Message::SyncResponse(response)],
            Answer::Drop(_) => vec![],
        }
    }

    /// RFC 6311 §5.1, seen from outside.
    fn check_answered(&mut self, request: MessageIdSync, response: MessageIdSync) {
        let m1 = request.next_request;
        assert!(Some(m1) > self.highest_sync, "an old synchronization {m1}");
        self.highest_sync = Some(m1);
        if self.late == LateSync::Drop && self.lag == Lag::None {
            assert!(Some(&m1) > self.processed.last(), "M1 = {m1} was seen");
        }
        let (p2, m2) = (response.next_request, response.expected_request);
        assert!(m2 >= m1 && p2 >= request.expected_request);
        assert_eq!(response.nonce, request.nonce);
        assert!(Some(&p2) > self.used.last_key_value().map(|(id, _)| id));
    }
}

impl Unit {
    fn new(ids: MessageIds, late: LateSync) -> Self {
        Self {
            ids,
            sync: Synchronizer::default(),
            responder: SyncResponder::new(late),
            outstanding: BTreeMap::new(),
            responses: BTreeMap::new(),
        }
    }
}

struct World {
    sides: [Gateway; 2],
    /// Everything ever sent, and to whom.
    wire: Vec<(usize, Message)>,
    bodies: u32,
    timeouts: u32,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Request(bool),
    Retransmit(bool),
    DeliverAny(u16),
    DeliverRecent(u8),
    FailOver(bool, u8),
    TimeOut(bool),
}

impl World {
    fn send(&mut self, from: usize, messages: impl IntoIterator<Item = Message>) {
        let sent = messages.into_iter().map(|message| (1 - from, message));
        self.wire.extend(sent);
    }

    fn deliver(&mut self, at: usize) {
        let (to, message) = self.wire[at];
        let answers = self.sides[to].receive(message);
        self.send(to, answers);
    }

    fn request(&mut self, side: usize) -> bool {
        self.bodies += 1;
        let request = self.sides[side].request(self.bodies);
        self.send(side, request);
        request.is_some()
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Request(side) => {
                self.request(side.into());
            }
            Op::Retransmit(side) => {
                let again = self.sides[usize::from(side)].retransmit();
                self.send(side.into(), again);
            }
            Op::DeliverAny(at) if !self.wire.is_empty() => {
                self.deliver(usize::from(at) % self.wire.len());
            }
            Op::DeliverRecent(back) if !self.wire.is_empty() => {
                let len = self.wire.len();
                self.deliver(len - 1 - usize::from(back) % len.min(4));
            }
            Op::DeliverAny(_) | Op::DeliverRecent(_) => {}
            Op::FailOver(side, record) => {
                let side = usize::from(side);
                let nonce = (self.bodies + 1_000_000 * side as u32).to_be_bytes();
                self.bodies += 1;
                let sent = self.sides[side].fail_over(record.into(), nonce);
                self.send(side, sent);
            }
            Op::TimeOut(side) => {
                self.timeouts += 1;
                let sent = self.sides[usize::from(side)].time_out();
                self.send(side.into(), sent);
            }
        }
    }

    /// Without faults, all that is under way comes to its end.
    fn settle(&mut self) {
        let mut seen = self.wire.len();
        for round in 0..40 {
            for side in [0, 1] {
                let again = self.sides[side].retransmit();
                self.send(side, again);
                let sent = self.sides[side].time_out();
                self.send(side, sent);
            }
            while seen < self.wire.len() {
                self.deliver(seen);
                seen += 1;
            }
            let busy = |it: &Gateway| it.unit.ids.outstanding() > 0 || it.unit.sync.is_pending();
            if round > 1 && !self.sides.iter().any(busy) {
                break;
            }
        }
    }

    fn check_alive(&mut self) {
        self.settle();
        if self.sides.iter().any(|it| it.torn_down) {
            assert!(
                self.timeouts > 6,
                "given up though hardly anything was lost"
            );
            return;
        }
        for side in [0, 1] {
            assert!(self.request(side), "side {side} cannot send");
            self.settle();
            let left = self.sides[side].unit.ids.outstanding();
            assert_eq!(left, 0, "side {side} got no answer");
        }
    }
}

fn op(failovers: u32) -> impl Strategy<Value = Op> {
    let side = any::<bool>;
    prop_oneof![
        6 => side().prop_map(Op::Request),
        2 => side().prop_map(Op::Retransmit),
        6 => any::<u16>().prop_map(Op::DeliverAny),
        12 => any::<u8>().prop_map(Op::DeliverRecent),
        failovers => (side(), any::<u8>()).prop_map(|(side, record)| Op::FailOver(side, record)),
        1 => side().prop_map(Op::TimeOut),
    ]
}

fn lag() -> impl Strategy<Value = Lag> {
    prop_oneof![Just(Lag::None), (1u32..6).prop_map(Lag::Requests)]
}

fn late() -> impl Strategy<Value = LateSync> {
    prop_oneof![3 => Just(LateSync::Drop), 1 => Just(LateSync::Answer)]
}

fn run(windows: [u32; 2], lags: [Lag; 2], late: LateSync, ops: Vec<Op>) -> World {
    let mut world = World {
        sides: [
            Gateway::new(windows[0], windows[1], lags[0], late),
            Gateway::new(windows[1], windows[0], lags[1], late),
        ],
        wire: vec![],
        bodies: 0,
        timeouts: 0,
    };
    for op in ops {
        world.step(op);
    }
    world.check_alive();
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// No request id is used twice, no request is processed twice, no answer is taken for that of
    /// another request, no old synchronization is answered; and once the faults end, both sides get
    /// on.
    #[test]
    fn failovers_on_both_sides_over_a_hostile_channel(
        windows in [1u32..4, 1u32..4],
        lags in [lag(), lag()],
        late in late(),
        ops in prop::collection::vec(op(2), 1..150),
    ) {
        run(windows, lags, late, ops);
    }
}

/// The test above means something: failovers, synchronizations and requests do take place in it.
#[test]
fn a_plain_failover_is_synchronized() {
    let ops = vec![
        Op::Request(false),
        Op::DeliverRecent(0),
        Op::DeliverRecent(0),
        Op::Request(false),
        Op::DeliverRecent(0), // processed, but the answer is lost
        Op::FailOver(false, 0),
    ];
    let world = run([1, 1], [Lag::Requests(2), Lag::None], LateSync::Drop, ops);
    let [cluster, peer] = &world.sides;
    assert!(!cluster.torn_down && cluster.failovers == 1);
    assert!(peer.highest_sync.is_some());
    assert!(peer.processed.len() >= 3);
}
