//! The task that serves a link over the streams of an association.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use super::streams::Pump;
use crate::error::LinkError;
use crate::frame::{self, FrameDecoder, FrameEncoder, Incoming};
use crate::lane::Lane;
use crate::limits::LinkLimits;
use crate::link::shared::{Shared, Work};
use crate::tls::{ended, lost};

/// A stream of an association, with or without TLS.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> ByteStream for S {}

/// Carries messages both ways until the link ends.
///
/// An orderly close sends the close frame on each stream; the peer ends the association once it
/// has read them all, and so says that it has everything.
pub(super) async fn drive<S: ByteStream>(
    lanes: [S; 3],
    mut pump: Pump,
    shared: Arc<Shared>,
    limits: LinkLimits,
) {
    let [control, changes, bulk] = lanes.map(tokio::io::split);
    let (mut readers, mut writers) = (
        [control.0, changes.0, bulk.0],
        [control.1, changes.1, bulk.1],
    );
    let close_sent = AtomicBool::new(false);
    let reason = tokio::select! {
        biased;
        reason = shared.wait_ended() => reason,
        reason = serve(&mut readers, &mut writers, &shared, &close_sent, limits) => reason,
        () = feed(&mut pump) => LinkError::Aborted,
    };
    if matches!(reason, LinkError::ClosedByPeer) {
        pump.association().end_gracefully();
    }
    // The socket first: whoever learns of the end may at once make a new link.
    drop((readers, writers, pump));
    let closed = close_sent.load(Ordering::Relaxed);
    shared.end(if closed { LinkError::Closed } else { reason });
}

/// The streams say why the association has ended, after all that had arrived.
async fn feed(pump: &mut Pump) {
    pump.run().await;
    std::future::pending::<()>().await;
}

async fn serve<S: ByteStream>(
    readers: &mut [ReadHalf<S>; 3],
    writers: &mut [WriteHalf<S>; 3],
    shared: &Shared,
    close_sent: &AtomicBool,
    limits: LinkLimits,
) -> LinkError {
    let mut receiving = pin!(receive_all(readers, shared, limits));
    let sending = pin!(send_all(writers, shared, close_sent));
    let failed = tokio::select! {
        biased;
        reason = &mut receiving => return reason,
        reason = sending => reason,
    };
    // A peer that refuses us says why before it closes.
    let said = tokio::time::timeout(LAST_WORDS, receiving).await;
    said.unwrap_or(failed)
}

/// The highest lane first whenever the kernel has room.
async fn send_all<S: ByteStream>(
    [control, changes, bulk]: &mut [WriteHalf<S>; 3],
    shared: &Shared,
    close_sent: &AtomicBool,
) -> LinkError {
    let sent = tokio::try_join!(
        biased;
        send(Lane::Control, control, shared),
        send(Lane::Changes, changes, shared),
        send(Lane::Bulk, bulk, shared),
    );
    if let Err(reason) = sent {
        return reason;
    }
    close_sent.store(true, Ordering::Relaxed);
    // The peer ends the association once it has read everything; that ends the link.
    std::future::pending().await
}

/// Sends a lane until the link is closed, and then its close frame.
async fn send(
    lane: Lane,
    writer: &mut (impl AsyncWrite + Unpin),
    shared: &Shared,
) -> Result<(), LinkError> {
    let mut encoder = FrameEncoder::default();
    let mut buffer = BytesMut::new();
    loop {
        encoder.fill(&mut buffer, BATCH_BYTES, |other| {
            (other == lane)
                .then(|| shared.take_outbound(lane))
                .flatten()
        });
        if buffer.is_empty() {
            match shared.outbound_work_on(lane).await {
                Work::Messages => continue,
                Work::Close => break,
            }
        }
        write(writer, &mut buffer).await?;
        tokio::task::consume_budget().await;
    }
    frame::put_close(&mut buffer);
    write(writer, &mut buffer).await
}

async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    buffer: &mut BytesMut,
) -> Result<(), LinkError> {
    let write = async {
        writer.write_all(buffer).await?;
        writer.flush().await
    };
    write.await.map_err(|error| lost(&error))?;
    buffer.clear();
    Ok(())
}

async fn receive_all<S: ByteStream>(
    [control, changes, bulk]: &mut [ReadHalf<S>; 3],
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

/// Receives a lane up to its close frame.
async fn receive(
    lane: Lane,
    reader: &mut (impl AsyncRead + Unpin),
    shared: &Shared,
    limits: LinkLimits,
) -> Result<(), LinkError> {
    let mut decoder = FrameDecoder::new(limits);
    let mut buffer = BytesMut::new();
    loop {
        if buffer.capacity() - buffer.len() < frame::MAX_FRAME_BYTES {
            buffer.reserve(BLOCK_BYTES);
        }
        let count = reader
            .read_buf(&mut buffer)
            .await
            .map_err(|error| lost(&error))?;
        if count == 0 {
            return Err(ended(!buffer.is_empty() || decoder.has_parts()));
        }
        while let Some(incoming) = decoder.next(&mut buffer)? {
            match incoming {
                Incoming::Message(named, message) if named == lane => {
                    shared.deliver(lane, message).await?;
                }
                Incoming::Message(..) => {
                    let detail = "a message on the stream of another lane";
                    return Err(LinkError::BadFrame { detail });
                }
                Incoming::Close => return Ok(()),
            }
        }
        tokio::task::consume_budget().await;
    }
}

/// Most bytes handed to TLS at once.
const BATCH_BYTES: usize = 32 * 1024;
/// Memory taken at once for what is read of a lane.
const BLOCK_BYTES: usize = 64 * 1024;
/// How long the reason is waited for after a failed write.
const LAST_WORDS: Duration = Duration::from_millis(100);
