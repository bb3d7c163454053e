//! The streams of an association as byte streams, one for each lane.
//!
//! Pieces of messages are passed on as they come, so that no message is ever put together here:
//! what is held is bounded by the queues, whatever the peer sends.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

use super::association::{Association, MAX_MESSAGE_BYTES};
use super::notification::Notification;
use super::paths::{PathState, Reporter};
use super::socket::Piece;
use crate::lane::Lane;

/// One stream. All streams of an association, and its [`Pump`], must be used by the same task.
#[derive(Debug)]
pub(super) struct LaneStream {
    lane: Lane,
    association: Arc<Association>,
    pieces: mpsc::Receiver<Bytes>,
    piece: Bytes,
    end: End,
}

/// Why there will be no more pieces; `None` for an orderly end.
type End = Arc<Mutex<Option<String>>>;

/// Hands what arrives to the streams.
pub(super) struct Pump {
    association: Arc<Association>,
    /// `None` once the association has ended.
    lanes: Option<[mpsc::Sender<Bytes>; 3]>,
    /// What was read and found no room yet.
    waiting: Option<(usize, Bytes)>,
    buffer: BytesMut,
    paths: Reporter,
    end: End,
}

impl Pump {
    /// The streams of an association in the order of the lanes, and what feeds them.
    pub(super) fn new(association: Association, paths: Reporter) -> ([LaneStream; 3], Self) {
        let association = Arc::new(association);
        let end = End::default();
        let channels = Lane::ALL.map(|_| mpsc::channel(QUEUED_PIECES));
        let mut lanes = Vec::new();
        let streams = {
            let mut order = Lane::ALL.into_iter();
            channels.map(|(sender, pieces)| {
                lanes.push(sender);
                LaneStream {
                    lane: order.next().unwrap_or(Lane::Control),
                    association: Arc::clone(&association),
                    pieces,
                    piece: Bytes::new(),
                    end: Arc::clone(&end),
                }
            })
        };
        let pump = Self {
            association,
            lanes: lanes.try_into().ok(),
            waiting: None,
            buffer: BytesMut::new(),
            paths,
            end,
        };
        (streams, pump)
    }

    pub(super) fn association(&self) -> &Association {
        &self.association
    }

    /// The peer was authenticated: from now on the paths are those of this association. `remote` is
    /// the peer's addresses with its port.
    pub(super) fn begin(&mut self, remote: &[SocketAddr]) {
        let association = &self.association;
        // The path on which the association began is not reported, and what was reported during the
        // handshake did not count.
        self.paths.begin(|address| {
            let end = remote.iter().find(|end| end.ip() == address);
            let state = end.and_then(|end| association.path(*end));
            state.unwrap_or(PathState::Unknown)
        });
    }

    /// Works until the association ends; the streams say why. Cancel safe.
    pub(super) async fn run(&mut self) {
        while self.lanes.is_some() {
            if let Err(error) = self.step().await {
                *self.end.lock() = error;
                self.lanes = None;
                self.paths.forget();
            }
        }
    }

    /// Moves one piece.
    async fn step(&mut self) -> Result<(), Option<String>> {
        self.pass_on().await;
        if self.buffer.capacity() - self.buffer.len() < MAX_MESSAGE_BYTES {
            self.buffer.reserve(BLOCK_BYTES);
        }
        let received = self.association.receive(&mut self.buffer).await;
        match received.map_err(|error| Some(error.to_string()))? {
            None => Err(None),
            Some(piece) => self.take(piece),
        }
    }

    async fn pass_on(&mut self) {
        let (Some((lane, _)), Some(lanes)) = (&self.waiting, &self.lanes) else {
            return;
        };
        let room = lanes[*lane].reserve().await;
        let piece = self.waiting.take();
        // Nobody reads the lane any more: the link is about to end.
        if let (Ok(room), Some((_, piece))) = (room, piece) {
            room.send(piece);
        }
    }

    fn take(&mut self, piece: Piece) -> Result<(), Option<String>> {
        let bytes = self.buffer.split_to(piece.length.min(self.buffer.len()));
        if piece.is_notification {
            // A notification is never longer than the buffer, except for what is not asked for.
            return if piece.is_last {
                self.heed(Notification::parse(&bytes))
            } else {
                Ok(())
            };
        }
        let lane = piece.stream.map(usize::from);
        match lane.filter(|&lane| lane < Lane::ALL.len()) {
            Some(lane) => self.waiting = Some((lane, bytes.freeze())),
            None => return Err(Some("a message on a stream that is no lane".to_owned())),
        }
        Ok(())
    }

    fn heed(&self, notification: Notification) -> Result<(), Option<String>> {
        match notification {
            Notification::Path { address, state } => self.paths.set(address, state),
            Notification::Lost { error } => {
                return Err(Some(match error {
                    0 => "no path of the association answers any more".to_owned(),
                    USER_INITIATED_ABORT => "the peer aborted the association".to_owned(),
                    _ => format!("the association was lost (SCTP error cause {error})"),
                }));
            }
            Notification::Restart => return Err(Some("the peer began anew".to_owned())),
            Notification::Incomplete => {
                return Err(Some("a message was not completed".to_owned()));
            }
            // The end follows.
            Notification::Shutdown | Notification::Other => {}
        }
        Ok(())
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        if self.lanes.is_some() {
            self.paths.forget();
        }
    }
}

impl AsyncRead for LaneStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.piece.is_empty() {
            match ready!(self.pieces.poll_recv(context)) {
                Some(piece) => self.piece = piece,
                None => {
                    let end = self.end.lock().clone();
                    return Poll::Ready(end.map_or(Ok(()), |text| Err(io::Error::other(text))));
                }
            }
        }
        let count = self.piece.len().min(buffer.remaining());
        buffer.put_slice(&self.piece[..count]);
        self.piece.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LaneStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // SCTP has no empty messages (RFC 9260, section 3.3.1).
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let part = &bytes[..bytes.len().min(MAX_MESSAGE_BYTES)];
        let stream = self.lane.index() as u16;
        self.association.poll_send(context, stream, part)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// SCTP cannot end one stream; the frame that closes a lane does.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// RFC 9260, section 3.3.10.12.
const USER_INITIATED_ABORT: u16 = 12;
/// Most pieces held for a lane that is not read; then nothing is taken from the kernel.
const QUEUED_PIECES: usize = 16;
/// Memory taken at once for what is read.
const BLOCK_BYTES: usize = 128 * 1024;
