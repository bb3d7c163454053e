//! An adversarial network: two paths between two units.
//!
//! Each path carries one connection after the other, dialled by unit 1. A connection behaves as a
//! multiplexed TCP connection does: three lanes, each in order, none waiting for another; nothing
//! is lost while it lasts, and everything in flight may be lost when it breaks, at different
//! moments for its two ends. A path can be cut, in one direction or both: what is under way then
//! stalls until the path heals or an end gives up, and an end whose counterpart is gone learns of
//! it late.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;

use super::agenda::{Agenda, Due};
use super::rng::Rng;
use crate::id::LinkId;
use crate::time::Time;
use crate::wire::Lane;

/// How many paths there are between the units.
pub(crate) const PATHS: usize = 2;

pub(crate) struct Network {
    connections: Vec<Connection>,
    /// Where live connections begin: older ones are closed at both ends.
    oldest: usize,
    /// For each path and sending unit: until when nothing gets through.
    cut: [[Option<Time>; 2]; PATHS],
    delay_us: (u64, u64),
    duplicates: u64,
    rng: Rng,
    pub(crate) duplicated: u64,
}

struct Connection {
    path: usize,
    ends: [End; 2],
    /// By sender and lane.
    lanes: [[VecDeque<Packet>; 3]; 2],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Opening,
    Open,
    Closed,
}

struct Packet {
    due: Time,
    bytes: Bytes,
}

/// What became of a message that was due.
pub(crate) enum Delivery {
    /// Nothing arrives now.
    Nothing,
    /// It arrives.
    Message(Bytes),
    /// The end that it is for does not exist any more.
    Refused,
}

impl Network {
    pub(crate) fn new(delay_us: (u64, u64), duplicates: u64, rng: Rng) -> Self {
        Self {
            connections: Vec::new(),
            oldest: 0,
            cut: [[None; 2]; PATHS],
            delay_us,
            duplicates,
            rng,
            duplicated: 0,
        }
    }

    /// The name of a connection's end within its unit.
    pub(crate) fn link(conn: usize) -> LinkId {
        LinkId::new(conn as u64)
    }

    /// The connection that a unit knows by this name.
    pub(crate) fn connection(link: LinkId) -> usize {
        usize::try_from(link.value()).unwrap_or(usize::MAX)
    }

    pub(crate) fn delay(&mut self) -> Duration {
        self.rng
            .micros(self.delay_us.0..=self.delay_us.0 + self.delay_us.1)
    }

    /// Dials, if the path is free and open both ways.
    pub(crate) fn connect(&mut self, path: usize, now: Time, agenda: &mut Agenda) -> bool {
        let busy = self.live().any(|conn| {
            let conn = &self.connections[conn];
            conn.path == path && conn.ends[1] != End::Closed
        });
        if busy || self.is_cut(path, 0, now) || self.is_cut(path, 1, now) {
            return false;
        }
        let conn = self.connections.len();
        self.connections.push(Connection {
            path,
            ends: [End::Opening; 2],
            lanes: Default::default(),
        });
        for end in 0..2 {
            let at = now + self.delay();
            agenda.add(at, Due::Up { conn, end });
        }
        true
    }

    /// An end opens; returns whether it does.
    pub(crate) fn up(&mut self, conn: usize, end: usize, now: Time, agenda: &mut Agenda) -> bool {
        if self.connections[conn].ends[end] != End::Opening {
            return false;
        }
        self.connections[conn].ends[end] = End::Open;
        self.retry(conn, 1 - end, now, agenda);
        true
    }

    /// Whether an end exists.
    pub(crate) fn is_open(&self, conn: usize, end: usize) -> bool {
        self.connections
            .get(conn)
            .is_some_and(|conn| conn.ends[end] == End::Open)
    }

    /// Connections whose end at `unit` is open.
    pub(crate) fn open_at(&self, unit: usize) -> Vec<usize> {
        self.live()
            .filter(|conn| self.is_open(*conn, unit))
            .collect()
    }

    pub(crate) fn send(
        &mut self,
        conn: usize,
        from: usize,
        (lane, bytes): (Lane, Bytes),
        now: Time,
        agenda: &mut Agenda,
    ) {
        if !self.is_open(conn, from) {
            return;
        }
        let twice = self.rng.chance(self.duplicates);
        self.duplicated += u64::from(twice);
        for _ in 0..1 + u32::from(twice) {
            let earliest = now + self.delay();
            let queue = &mut self.connections[conn].lanes[from][lane as usize];
            let due = queue.back().map_or(earliest, |last| last.due.max(earliest));
            queue.push_back(Packet {
                due,
                bytes: bytes.clone(),
            });
            agenda.add(due, Due::Deliver { conn, from, lane });
        }
    }

    pub(crate) fn deliver(&mut self, conn: usize, from: usize, lane: Lane, now: Time) -> Delivery {
        let cut = self.is_cut(self.connections[conn].path, from, now);
        let connection = &mut self.connections[conn];
        let queue = &mut connection.lanes[from][lane as usize];
        if cut || queue.front().is_none_or(|packet| packet.due > now) {
            return Delivery::Nothing;
        }
        match connection.ends[1 - from] {
            End::Opening => Delivery::Nothing,
            End::Open => queue
                .pop_front()
                .map_or(Delivery::Nothing, |p| Delivery::Message(p.bytes)),
            End::Closed => {
                queue.clear();
                Delivery::Refused
            }
        }
    }

    /// A unit closes its end. The other one learns of it after what was sent before, or at once
    /// and without that.
    pub(crate) fn close(
        &mut self,
        conn: usize,
        end: usize,
        abort: bool,
        now: Time,
        agenda: &mut Agenda,
    ) {
        if self.connections[conn].ends[end] == End::Closed {
            return;
        }
        self.connections[conn].ends[end] = End::Closed;
        if abort {
            self.lose(conn, end);
        }
        let last = self.connections[conn].lanes[end]
            .iter()
            .filter_map(|lane| lane.back())
            .map(|p| p.due);
        let at = last.max().unwrap_or(now).max(now) + self.delay();
        agenda.add(at, Due::Down { conn, end: 1 - end });
        self.forget();
    }

    /// A unit's process is gone: its ends are closed, and if the machine still runs the other
    /// unit is told.
    pub(crate) fn crash(&mut self, unit: usize, told: bool, now: Time, agenda: &mut Agenda) {
        for conn in self.live().collect::<Vec<_>>() {
            if self.connections[conn].ends[unit] == End::Closed {
                continue;
            }
            if told {
                self.close(conn, unit, true, now, agenda);
            } else {
                self.connections[conn].ends[unit] = End::Closed;
                let at = now + self.rng.millis(1_000..=5_000);
                agenda.add(
                    at,
                    Due::GiveUp {
                        conn,
                        end: 1 - unit,
                    },
                );
            }
        }
        self.forget();
    }

    /// Breaks a connection at both ends, with what is in flight.
    pub(crate) fn reset(&mut self, conn: usize, now: Time, agenda: &mut Agenda) {
        for end in 0..2 {
            self.lose(conn, end);
            let at = now + self.rng.millis(0..=300);
            agenda.add(at, Due::GiveUp { conn, end });
        }
    }

    /// The news that the other end is gone arrives, if it can. Returns whether the end closes.
    pub(crate) fn down(&mut self, conn: usize, end: usize, now: Time, agenda: &mut Agenda) -> bool {
        let connection = &self.connections[conn];
        if connection.ends[end] == End::Closed {
            return false;
        }
        if self.is_cut(connection.path, 1 - end, now) {
            // It will come when the path heals; until then the end is half open.
            let at = now + self.rng.millis(50..=200);
            agenda.add(at, Due::Down { conn, end });
            return false;
        }
        self.give_up(conn, end)
    }

    /// An end closes without asking anybody. Returns whether it was open.
    pub(crate) fn give_up(&mut self, conn: usize, end: usize) -> bool {
        let was = core::mem::replace(&mut self.connections[conn].ends[end], End::Closed);
        self.lose(conn, end);
        self.forget();
        was == End::Open
    }

    /// The other end of a connection that an end speaks to is closed.
    pub(crate) fn refuse(&mut self, conn: usize, from: usize, now: Time, agenda: &mut Agenda) {
        let at = now + self.delay();
        agenda.add(at, Due::Down { conn, end: from });
    }

    /// Cuts a path for what `from` sends, for a while.
    pub(crate) fn cut(
        &mut self,
        path: usize,
        from: [bool; 2],
        (now, until): (Time, Time),
        agenda: &mut Agenda,
    ) {
        for (cut, _) in self.cut[path]
            .iter_mut()
            .zip(from)
            .filter(|(_, from)| *from)
        {
            *cut = Some(cut.map_or(until, |old| old.max(until)));
        }
        agenda.add(until, Due::Heal { path, from });
        for conn in self
            .live()
            .filter(|conn| self.connections[*conn].path == path)
            .collect::<Vec<_>>()
        {
            for end in 0..2 {
                let at = now + self.rng.millis(300..=4_000);
                if at < until {
                    agenda.add(at, Due::GiveUp { conn, end });
                }
            }
        }
    }

    /// What stalled on a path goes on.
    pub(crate) fn heal(&mut self, path: usize, from: [bool; 2], now: Time, agenda: &mut Agenda) {
        for unit in (0..2).filter(|unit| from[*unit]) {
            if self.cut[path][unit].is_some_and(|until| until <= now) {
                self.cut[path][unit] = None;
            }
        }
        for conn in self
            .live()
            .filter(|conn| self.connections[*conn].path == path)
            .collect::<Vec<_>>()
        {
            self.retry(conn, 0, now, agenda);
            self.retry(conn, 1, now, agenda);
        }
    }

    /// Ends all cuts.
    pub(crate) fn heal_all(&mut self, now: Time, agenda: &mut Agenda) {
        self.cut = [[None; 2]; PATHS];
        self.duplicates = 0;
        (0..PATHS).for_each(|path| self.heal(path, [true; 2], now, agenda));
    }

    /// Bytes that `from` has sent on a lane and that have not arrived.
    pub(crate) fn bytes_under_way(&self, from: usize, lane: Lane) -> usize {
        let queues = self
            .live()
            .map(|conn| &self.connections[conn].lanes[from][lane as usize]);
        queues.flatten().map(|packet| packet.bytes.len()).sum()
    }

    /// Messages that `from` has sent and that have not arrived.
    pub(crate) fn messages_under_way(&self, from: usize) -> usize {
        let lanes = self
            .live()
            .flat_map(|conn| &self.connections[conn].lanes[from]);
        lanes.map(VecDeque::len).sum()
    }

    fn live(&self) -> impl Iterator<Item = usize> + use<> {
        self.oldest..self.connections.len()
    }

    fn is_cut(&self, path: usize, from: usize, now: Time) -> bool {
        self.cut[path][from].is_some_and(|until| now < until)
    }

    /// Messages that could not arrive may be able to now.
    fn retry(&mut self, conn: usize, from: usize, now: Time, agenda: &mut Agenda) {
        let start = now + self.delay();
        for lane in Lane::ALL {
            for packet in &mut self.connections[conn].lanes[from][lane as usize] {
                packet.due = packet.due.max(start);
                agenda.add(packet.due, Due::Deliver { conn, from, lane });
            }
        }
    }

    /// Throws away what `from` has under way, from some point on in each lane.
    fn lose(&mut self, conn: usize, from: usize) {
        for lane in &mut self.connections[conn].lanes[from] {
            let keep = self.rng.index(lane.len() + 1);
            lane.truncate(keep);
        }
    }

    fn forget(&mut self) {
        while self
            .connections
            .get(self.oldest)
            .is_some_and(|conn| conn.ends == [End::Closed; 2])
        {
            self.connections[self.oldest].lanes = Default::default();
            self.oldest += 1;
        }
    }
}
