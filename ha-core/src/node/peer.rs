//! The other unit, as seen over all links.

use core::time::Duration;

use super::PROTOCOL;
use super::output::CloseReason;
use crate::id::{LinkId, UnitId};
use crate::time::Time;
use crate::wire::pb;

/// The links to the peer, and which process of it is at their other end.
pub(crate) struct Peer {
    unit: UnitId,
    peer: UnitId,
    /// The peer's process, while it is there.
    incarnation: Option<u64>,
    /// Links over which it said Hello, the oldest first, with the statuses sent on each.
    ready: Vec<LinkId>,
    counts: Vec<Statuses>,
    /// Links without Hello, and until when it must come.
    open: Vec<(LinkId, Time)>,
}

/// Statuses on one link, by number.
#[derive(Clone, Copy, Debug)]
struct Statuses {
    sent: u64,
    heard: u64,
    /// What answers this one, or a later one, was not sent before this process last stood still.
    asked: u64,
}

impl Peer {
    pub(crate) fn new(unit: UnitId, peer: UnitId) -> Self {
        Self {
            unit,
            peer,
            incarnation: None,
            ready: Vec::new(),
            counts: Vec::new(),
            open: Vec::new(),
        }
    }

    /// Its process, if it is there. It stays there for the detection time after the last link is
    /// gone: a lost link is not a lost peer.
    pub(crate) fn incarnation(&self) -> Option<u64> {
        self.incarnation
    }

    /// Links that are ready, the oldest first.
    pub(crate) fn links(&self) -> &[LinkId] {
        &self.ready
    }

    pub(crate) fn knows(&self, link: LinkId) -> bool {
        self.is_ready(link) || self.open.iter().any(|open| open.0 == link)
    }

    pub(crate) fn is_ready(&self, link: LinkId) -> bool {
        self.ready.contains(&link)
    }

    pub(crate) fn link_up(&mut self, link: LinkId, now: Time) {
        self.open.push((link, now + HELLO_LIMIT));
    }

    /// Links whose Hello is overdue.
    pub(crate) fn overdue(&self, now: Time) -> Vec<LinkId> {
        self.open
            .iter()
            .filter(|open| now >= open.1)
            .map(|open| open.0)
            .collect()
    }

    /// When the next Hello is overdue.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.open.iter().map(|open| open.1).min()
    }

    /// Forgets a link; returns whether it was ready.
    pub(crate) fn link_down(&mut self, link: LinkId) -> bool {
        self.open.retain(|open| open.0 != link);
        let Some(place) = self.ready.iter().position(|ready| *ready == link) else {
            return false;
        };
        self.ready.remove(place);
        self.counts.remove(place);
        true
    }

    /// Counts a status on a link. Returns its number, and that of the last one heard.
    pub(crate) fn next_status(&mut self, link: LinkId) -> (u64, u64) {
        self.statuses(link).map_or((0, 0), |statuses| {
            statuses.sent += 1;
            (statuses.sent, statuses.heard)
        })
    }

    /// A status came. Returns whether it was surely sent after this process last stood still.
    pub(crate) fn heard_status(&mut self, link: LinkId, status: &pb::Status) -> bool {
        self.statuses(link).is_some_and(|statuses| {
            statuses.heard = status.number;
            status.heard >= statuses.asked
        })
    }

    /// This process stood still: what it finds on its links may be old.
    pub(crate) fn handle_pause(&mut self) {
        for statuses in &mut self.counts {
            statuses.asked = statuses.sent + 1;
        }
    }

    fn statuses(&mut self, link: LinkId) -> Option<&mut Statuses> {
        let place = self.ready.iter().position(|ready| *ready == link)?;
        self.counts.get_mut(place)
    }

    /// The peer introduces itself on a link. Returns whether it is another process than before:
    /// then nothing of the old one counts any more, and [`adopt`](Self::adopt) must follow.
    pub(crate) fn hello(&mut self, link: LinkId, hello: &pb::Hello) -> Result<bool, CloseReason> {
        let unit = UnitId::new(hello.unit);
        if unit == self.unit {
            return Err(CloseReason::SameUnit { unit });
        }
        if unit != self.peer {
            return Err(CloseReason::UnexpectedUnit {
                got: unit,
                expected: self.peer,
            });
        }
        let (min, max) = (hello.protocol_min, hello.protocol_max);
        if !(min..=max).contains(&PROTOCOL) {
            return Err(CloseReason::Protocol {
                min,
                max,
                ours: PROTOCOL,
            });
        }
        match self.incarnation {
            Some(old) if old != hello.incarnation && !self.ready.is_empty() => {
                Err(CloseReason::SecondPeer { unit })
            }
            Some(old) if old != hello.incarnation => {
                self.incarnation = None;
                Ok(true)
            }
            _ => {
                self.adopt(link, hello);
                Ok(false)
            }
        }
    }

    /// The process at the other end of the link is the peer.
    pub(crate) fn adopt(&mut self, link: LinkId, hello: &pb::Hello) {
        self.incarnation = Some(hello.incarnation);
        self.open.retain(|open| open.0 != link);
        if !self.is_ready(link) {
            self.ready.push(link);
            self.counts.push(Statuses {
                sent: 0,
                heard: 0,
                asked: 1,
            });
        }
    }

    /// The peer is lost: forgets it; returns its links.
    pub(crate) fn lose(&mut self) -> Vec<LinkId> {
        self.incarnation = None;
        self.counts.clear();
        core::mem::take(&mut self.ready)
    }
}

/// How long the peer may take to say Hello on a link.
const HELLO_LIMIT: Duration = Duration::from_secs(5);

#[cfg(all(test, not(loom)))]
mod tests;
