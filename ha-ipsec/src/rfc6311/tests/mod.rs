//! Codecs and rules; `exchange` has both sides over a hostile channel.

mod codec;
mod delta;
mod exchange;
mod responder;
mod synchronizer;

use super::*;
use crate::message_id::{Lag, MessageIds};

const NONCE: [u8; 4] = [1, 2, 3, 4];

fn sync(next_request: u32, expected_request: u32) -> MessageIdSync {
    MessageIdSync {
        nonce: NONCE,
        next_request,
        expected_request,
    }
}

fn request(next_request: u32, expected_request: u32) -> SyncRequest {
    SyncRequest {
        message_id: 0,
        ids: Some(sync(next_request, expected_request)),
        replay: None,
    }
}

fn response(next_request: u32, expected_request: u32) -> SyncResponse {
    SyncResponse {
        message_id: 0,
        ids: Some(sync(next_request, expected_request)),
    }
}

fn plan(failover: u64) -> SyncPlan {
    SyncPlan {
        failover,
        support: SyncSupport::ALL,
        message_ids: true,
        replay: None,
        lag: Lag::None,
        nonce: NONCE,
    }
}

fn values(ids: &MessageIds) -> (u32, u32) {
    (ids.next_request(), ids.expected_request())
}
