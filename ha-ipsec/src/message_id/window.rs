//! The two windows of an IKE SA: requests of our own, and requests of the peer.

use super::codec::{CodecError, Reader, put};
use super::{HIGHEST_ID, MAX_WINDOW};

/// Requests of our own.
///
/// ```text
///   oldest            next
///     v                 v
///   | ? | A | ? | ? | A |   ? outstanding, A answered (`answered`, bit 0 is `oldest`)
///     <-- at most `size` ->
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct SendWindow {
    pub(super) oldest: u32,
    pub(super) next: u32,
    answered: u64,
    pub(super) size: u8,
    /// Ids were skipped and the peer has not agreed yet: it would not accept `next`.
    pub(super) synchronizing: bool,
}

impl SendWindow {
    pub(super) const fn new(next: u32) -> Self {
        Self {
            oldest: next,
            next,
            answered: 0,
            size: 1,
            synchronizing: false,
        }
    }

    const fn span(&self) -> u32 {
        self.next - self.oldest
    }

    pub(super) const fn outstanding(&self) -> u32 {
        self.span() - self.answered.count_ones()
    }

    pub(super) fn is_outstanding(&self, id: u32) -> bool {
        (self.oldest..self.next).contains(&id) && self.answered & bit(id - self.oldest) == 0
    }

    /// RFC 7296 §2.3: "An IKE endpoint MUST NOT exceed the peer's stated window size [...] when the
    /// initiator needs to make a request X, it MUST wait until it has received responses to all
    /// requests up through request X-N".
    pub(super) fn is_full(&self) -> bool {
        self.span() >= u32::from(self.size)
    }

    pub(super) fn answer(&mut self, id: u32) -> bool {
        let fresh = self.is_outstanding(id);
        if fresh {
            self.answered |= bit(id - self.oldest);
            let settled = self.answered.trailing_ones();
            self.oldest += settled;
            self.answered = self.answered.checked_shr(settled).unwrap_or(0);
        }
        fresh
    }

    /// Nothing below `id` is waited for any more, and nothing below it will be sent.
    pub(super) fn skip_to(&mut self, id: u32) {
        if id <= self.oldest {
            return;
        }
        self.answered = self.answered.checked_shr(id - self.oldest).unwrap_or(0);
        self.oldest = id;
        self.next = self.next.max(id);
        let settled = self.answered.trailing_ones();
        self.oldest += settled;
        self.answered = self.answered.checked_shr(settled).unwrap_or(0);
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.oldest.into());
        put(out, self.span().into());
        put(out, self.answered);
        // One byte: sizes are 1 to 64.
        let flag = u64::from(self.synchronizing) << 6;
        put(out, u64::from(self.size - 1) | flag);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let oldest = reader.u32("oldest outstanding request")?;
        let span = reader.u32("requests outstanding")?;
        let answered = reader.u64("requests answered")?;
        let window = reader.u8("window of the peer")?;
        let synchronizing = window & 1 << 6 != 0;
        let size = window_size(window & !(1 << 6), "window of the peer")?;
        // A window only grows, so it bounds the span.
        let next = oldest.checked_add(span).filter(|_| span <= size.into());
        let next = next.ok_or(CodecError::Contradiction {
            field: "requests outstanding",
        })?;
        // The oldest would have been passed, were it answered.
        if answered & (!mask(span) | 1) != 0 {
            return Err(CodecError::Contradiction {
                field: "requests answered",
            });
        }
        Ok(Self {
            oldest,
            next,
            answered,
            size,
            synchronizing,
        })
    }
}

/// Requests of the peer.
///
/// ```text
///   base              top
///     v                v
///   | R | R | - | r |      R answered, r received but not answered, - not received
///     <- at most size ->   bit 0 of both bitmaps is `base`
/// ```
/// Below `base` all is settled: answered and forgotten, or given up in a synchronization. As the
/// peer may not send `X` before `X - size` was answered, a gap never falls out of the window.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct ReceiveWindow {
    base: u32,
    pub(super) top: u32,
    received: u64,
    answered: u64,
    pub(super) size: u8,
}

/// Where an id lies in the receive window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Settled,
    Answered,
    Received,
    Open,
    Beyond,
}

impl ReceiveWindow {
    pub(super) const fn new(top: u32) -> Self {
        Self {
            base: top,
            top,
            received: 0,
            answered: 0,
            size: 1,
        }
    }

    pub(super) fn place(&self, id: u32) -> Place {
        if id < self.base {
            return Place::Settled;
        }
        if id >= self.top {
            let in_window = id - self.lowest_open() < u32::from(self.size) && id <= HIGHEST_ID;
            return if in_window {
                Place::Open
            } else {
                Place::Beyond
            };
        }
        let bit = bit(id - self.base);
        match (self.received & bit != 0, self.answered & bit != 0) {
            (false, _) => Place::Open,
            (true, false) => Place::Received,
            (true, true) => Place::Answered,
        }
    }

    /// The lowest id that was neither received nor given up.
    const fn lowest_open(&self) -> u32 {
        self.base + self.received.trailing_ones()
    }

    /// Marks an id received whose place is [`Place::Open`].
    pub(super) fn receive(&mut self, id: u32) {
        if id >= self.top {
            self.top = id + 1;
            let base = self.top.saturating_sub(self.size.into());
            self.slide(base);
        }
        self.received |= bit(id - self.base);
    }

    pub(super) fn answer(&mut self, id: u32) -> bool {
        let received = self.place(id) == Place::Received;
        if received {
            self.answered |= bit(id - self.base);
        }
        received
    }

    /// What was received but not answered counts as not received.
    pub(super) const fn forget_unanswered(&mut self) {
        self.received &= self.answered;
    }

    /// Nothing below `id` is expected any more.
    pub(super) fn skip_to(&mut self, id: u32) {
        self.slide(id);
        self.top = self.top.max(id);
    }

    fn slide(&mut self, base: u32) {
        let Some(gone) = base.checked_sub(self.base) else {
            return;
        };
        self.received = self.received.checked_shr(gone).unwrap_or(0);
        self.answered = self.answered.checked_shr(gone).unwrap_or(0);
        self.base = base;
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.base.into());
        put(out, (self.top - self.base).into());
        put(out, self.received);
        put(out, self.answered);
        put(out, (self.size - 1).into());
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        const RECEIVED: CodecError = CodecError::Contradiction {
            field: "requests received",
        };
        let base = reader.u32("window base")?;
        let span = reader.u32("window span")?;
        let received = reader.u64("requests received")?;
        let answered = reader.u64("requests answered")?;
        let size = window_size(reader.u8("own window")?, "own window")?;
        let top = base.checked_add(span).filter(|_| span <= size.into());
        let top = top.ok_or(RECEIVED)?;
        if received & !mask(span) != 0 || answered & !received != 0 {
            return Err(RECEIVED);
        }
        Ok(Self {
            base,
            top,
            received,
            answered,
            size,
        })
    }
}

/// The size whose predecessor was written.
const fn window_size(less_one: u8, field: &'static str) -> Result<u8, CodecError> {
    if less_one < MAX_WINDOW {
        Ok(less_one + 1)
    } else {
        Err(CodecError::Contradiction { field })
    }
}

const fn bit(index: u32) -> u64 {
    1 << index
}

/// The lowest `span` bits, `span` at most 64.
const fn mask(span: u32) -> u64 {
    if span >= 64 { u64::MAX } else { bit(span) - 1 }
}
