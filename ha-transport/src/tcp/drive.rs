//! The task that serves a link over a byte stream.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::error::LinkError;
use crate::frame::{self, FrameDecoder, FrameEncoder, Incoming};
use crate::limits::LinkLimits;
use crate::link::shared::{Shared, Work};
use crate::tls::{ended, lost};

/// A TCP connection, with or without TLS.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> ByteStream for S {}

/// Carries messages both ways until the link ends.
///
/// One task, so that a link stays on one core; neither direction waits for the other.
pub(super) async fn drive(stream: impl ByteStream, shared: Arc<Shared>, limits: LinkLimits) {
    let (reader, writer) = tokio::io::split(stream);
    let close_sent = AtomicBool::new(false);
    let mut reader = pin!(receive(reader, &shared, limits));
    let mut writer = pin!(send(writer, &shared, &close_sent));
    let reason = tokio::select! {
        reason = shared.wait_ended() => reason,
        reason = &mut reader => reason,
        reason = &mut writer => {
            // A peer that refuses us says why before it closes.
            explain(reason, reader).await
        }
    };
    let closed = close_sent.load(Ordering::Relaxed);
    shared.end(if closed { LinkError::Closed } else { reason });
}

async fn send(
    mut writer: impl AsyncWrite + Unpin,
    shared: &Shared,
    close_sent: &AtomicBool,
) -> LinkError {
    if let Err(error) = send_all(&mut writer, shared).await {
        return lost(&error);
    }
    close_sent.store(true, Ordering::Relaxed);
    // The peer closes its end once it has read everything; that ends the link.
    std::future::pending().await
}

/// Sends until the link is closed, and then the orderly end.
async fn send_all(writer: &mut (impl AsyncWrite + Unpin), shared: &Shared) -> io::Result<()> {
    let mut encoder = FrameEncoder::default();
    let mut buffer = BytesMut::with_capacity(BATCH_BYTES);
    let mut fairness = Fairness::default();
    loop {
        encoder.fill(&mut buffer, BATCH_BYTES, |lane| shared.take_outbound(lane));
        if buffer.is_empty() {
            match shared.outbound_work().await {
                Work::Messages => continue,
                Work::Close => break,
            }
        }
        // Flushed each time: the next batch is filled, highest lane first, only when this one is
        // in the hands of the operating system.
        writer.write_all(&buffer).await?;
        writer.flush().await?;
        fairness.moved(buffer.len()).await;
        buffer.clear();
    }
    frame::put_close(&mut buffer);
    writer.write_all(&buffer).await?;
    writer.shutdown().await
}

async fn receive(
    mut reader: impl AsyncRead + Unpin,
    shared: &Shared,
    limits: LinkLimits,
) -> LinkError {
    let mut decoder = FrameDecoder::new(limits);
    let mut buffer = BytesMut::new();
    let mut fairness = Fairness::default();
    loop {
        match receive_some(&mut reader, &mut decoder, &mut buffer, shared).await {
            Ok(count) => fairness.moved(count).await,
            Err(reason) => return reason,
        }
    }
}

/// Reads once and delivers every message that is complete then.
async fn receive_some(
    reader: &mut (impl AsyncRead + Unpin),
    decoder: &mut FrameDecoder,
    buffer: &mut BytesMut,
    shared: &Shared,
) -> Result<usize, LinkError> {
    if buffer.capacity() - buffer.len() < frame::MAX_FRAME_BYTES {
        buffer.reserve(BLOCK_BYTES);
    }
    let count = reader
        .read_buf(buffer)
        .await
        .map_err(|error| lost(&error))?;
    if count == 0 {
        return Err(ended(!buffer.is_empty() || decoder.has_parts()));
    }
    while let Some(incoming) = decoder.next(buffer)? {
        match incoming {
            Incoming::Message(lane, message) => shared.deliver(lane, message).await?,
            Incoming::Close => return Err(LinkError::ClosedByPeer),
        }
    }
    Ok(count)
}

/// The write failed: what the peer may have said meanwhile is the better reason.
async fn explain(
    reason: LinkError,
    reader: std::pin::Pin<&mut impl Future<Output = LinkError>>,
) -> LinkError {
    tokio::select! {
        biased;
        said = reader => said,
        () = tokio::task::yield_now() => reason,
    }
}

/// Lets other tasks of the thread run now and then, however much there is to move.
#[derive(Default)]
struct Fairness {
    moved: usize,
}

impl Fairness {
    async fn moved(&mut self, bytes: usize) {
        self.moved += bytes;
        if self.moved >= TURN_BYTES {
            self.moved = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// Most bytes handed to TLS at once, and so the most that a message of a higher lane waits for.
const BATCH_BYTES: usize = 64 * 1024;
/// Memory taken at once for what is read.
const BLOCK_BYTES: usize = 256 * 1024;
/// Bytes moved in one direction before other tasks get their turn.
const TURN_BYTES: usize = 256 * 1024;
