//! The task that serves a link over QUIC.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use quinn::{Connection, RecvStream, SendStream};

use super::Streams;
use super::error::{self, ABORTED, CLOSED, FAULT};
use super::framing::{self, Decoder};
use crate::error::LinkError;
use crate::lane::Lane;
use crate::limits::LinkLimits;
use crate::link::shared::{Shared, Work};

/// Carries messages both ways until the link ends.
///
/// An orderly close finishes all streams; the peer closes the connection once it has read them to
/// their ends, and so says that it has everything.
pub(super) async fn drive(
    connection: Connection,
    streams: Streams,
    shared: Arc<Shared>,
    limits: LinkLimits,
) {
    let (mut senders, mut receivers) = streams.split();
    let close_sent = AtomicBool::new(false);
    let reason = tokio::select! {
        reason = shared.wait_ended() => reason,
        reason = send_all(&mut senders, &shared, &close_sent) => reason,
        reason = receive_all(&mut receivers, &shared, limits) => reason,
    };
    let closed = close_sent.load(Ordering::Relaxed);
    // Before the streams are dropped: that would finish them as an orderly close does.
    connection.close(code(&reason).into(), reason.cause().as_bytes());
    shared.end(if closed { LinkError::Closed } else { reason });
}

/// How the peer is told. An orderly close is confirmed by the one who has read everything.
fn code(reason: &LinkError) -> u32 {
    match reason {
        LinkError::ClosedByPeer => CLOSED,
        LinkError::Closed | LinkError::Aborted => ABORTED,
        _ => FAULT,
    }
}

async fn send_all(
    [control, changes, bulk]: &mut [SendStream; 3],
    shared: &Shared,
    close_sent: &AtomicBool,
) -> LinkError {
    let sent = tokio::try_join!(
        send(Lane::Control, control, shared),
        send(Lane::Changes, changes, shared),
        send(Lane::Bulk, bulk, shared),
    );
    if let Err(reason) = sent {
        return reason;
    }
    close_sent.store(true, Ordering::Relaxed);
    std::future::pending().await
}

/// Sends a lane until the link is closed, and then the end of the stream.
async fn send(lane: Lane, stream: &mut SendStream, shared: &Shared) -> Result<(), LinkError> {
    let mut chunks = Vec::new();
    loop {
        framing::encode(|| shared.take_outbound(lane), &mut chunks);
        if chunks.is_empty() {
            match shared.outbound_work_on(lane).await {
                Work::Messages => continue,
                Work::Close => break,
            }
        }
        let written = stream.write_all_chunks(&mut chunks).await;
        written.map_err(|error| error::write_error(&error))?;
        chunks.clear();
        tokio::task::consume_budget().await;
    }
    stream.finish().map_err(LinkError::lost)
}

async fn receive_all(
    [control, changes, bulk]: &mut [RecvStream; 3],
    shared: &Shared,
    limits: LinkLimits,
) -> LinkError {
    let received = tokio::try_join!(
        receive(Lane::Control, control, shared, limits),
        receive(Lane::Changes, changes, shared, limits),
        receive(Lane::Bulk, bulk, shared, limits),
    );
    received.err().unwrap_or(LinkError::ClosedByPeer)
}

/// Receives a lane to the end of its stream.
async fn receive(
    lane: Lane,
    stream: &mut RecvStream,
    shared: &Shared,
    limits: LinkLimits,
) -> Result<(), LinkError> {
    let mut decoder = Decoder::new(lane, limits.lane(lane).message_bytes);
    let mut chunks: [Bytes; CHUNKS] = Default::default();
    loop {
        let read = stream.read_chunks(&mut chunks).await;
        let Some(count) = read.map_err(|error| error::read_error(&error))? else {
            break;
        };
        for chunk in &mut chunks[..count] {
            decoder.add(std::mem::take(chunk));
        }
        while let Some(message) = decoder.next()? {
            shared.deliver(lane, message).await?;
        }
        tokio::task::consume_budget().await;
    }
    if decoder.has_parts() {
        Err(LinkError::Truncated)
    } else {
        Ok(())
    }
}

/// Most chunks taken from a stream at once.
const CHUNKS: usize = 32;
