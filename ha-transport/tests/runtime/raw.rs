//! A peer that the test plays itself, message by message.

use bytes::Bytes;
use ha_core::wire::pb::{self, envelope::Body};
use ha_transport::memory::Memory;
use ha_transport::{Lane, Link, LinkError, Side, Transport};
use prost::Message;

use crate::harness::{NAT, bounded};

/// The far end of a link.
pub(crate) struct Raw {
    pub(crate) link: Link,
    numbers: u64,
}

impl Raw {
    /// Dials; says nothing.
    pub(crate) async fn dial(path: &Memory) -> Self {
        let link = path.establish(Side::Dial).await.unwrap();
        Self { link, numbers: 0 }
    }

    /// Dials and introduces itself as the process `incarnation` of a unit.
    pub(crate) async fn hello(path: &Memory, unit: u32, incarnation: u64) -> Self {
        let raw = Self::dial(path).await;
        raw.send(Lane::Control, Body::Hello(hello(unit, incarnation)));
        raw
    }

    pub(crate) fn send(&self, lane: Lane, body: Body) {
        let bytes = pb::Envelope { body: Some(body) }.encode_to_vec();
        self.link.sender.send(lane, bytes.into()).unwrap();
    }

    pub(crate) fn send_bytes(&self, lane: Lane, bytes: impl Into<Bytes>) {
        // The node may have closed the link already.
        let _ = self.link.sender.send(lane, bytes.into());
    }

    /// Says where the group stands; unset fields as for a unit that holds nothing.
    pub(crate) fn status(&mut self, status: pb::GroupStatus) {
        self.numbers += 1;
        let body = pb::Status {
            number: self.numbers,
            groups: vec![status],
            heard: 0,
        };
        self.send(Lane::Control, Body::Status(body));
    }

    /// The next message, or why the link ended.
    pub(crate) async fn recv(&mut self) -> Result<Body, LinkError> {
        let (_, bytes) = bounded(self.link.receiver.recv()).await?;
        Ok(pb::Envelope::decode(bytes).unwrap().body.unwrap())
    }

    /// The first message that `pick` picks.
    pub(crate) async fn expect<T>(&mut self, mut pick: impl FnMut(Body) -> Option<T>) -> T {
        loop {
            if let Some(picked) = pick(self.recv().await.unwrap()) {
                return picked;
            }
        }
    }

    /// The refusal, after which the node must close the link.
    pub(crate) async fn expect_refusal(mut self) -> pb::Reject {
        let reject = self
            .expect(|body| match body {
                Body::Reject(reject) => Some(reject),
                _ => None,
            })
            .await;
        while self.recv().await.is_ok() {}
        assert!(matches!(
            self.link.sender.end_reason(),
            Some(LinkError::ClosedByPeer)
        ));
        reject
    }
}

/// What a unit with the tests' table says first.
pub(crate) fn hello(unit: u32, incarnation: u64) -> pb::Hello {
    let client = pb::ClientHello {
        id: NAT.value().into(),
        name: "nat".to_owned(),
        version_min: 1,
        version_max: 1,
        ..pb::ClientHello::default()
    };
    pb::Hello {
        protocol_min: 1,
        protocol_max: 1,
        unit,
        incarnation,
        software: "a test".to_owned(),
        groups: vec![pb::GroupHello {
            group: 0,
            clients: vec![client],
        }],
        keepalive_interval_ms: 100,
    }
}

pub(crate) fn term(counter: u64, unit: u32) -> Option<pb::Term> {
    Some(pb::Term { counter, unit })
}
