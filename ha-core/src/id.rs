//! The names of things: units, groups, clients, slots, links and terms.

use core::fmt;

/// Identifies one of the two units of a pair (Cisco: `Unit ID`). The units of a pair must differ.
///
/// The lower id wins ties; by default it accepts connections, and the higher one dials.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UnitId(u32);

impl UnitId {
    /// Makes a unit id.
    pub const fn new(id: u32) -> Self {
        Self(id)
    }

    /// The number itself.
    pub const fn value(self) -> u32 {
        self.0
    }
}

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unit {}", self.0)
    }
}

/// Identifies a redundancy group. Each group of a process has a role of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct GroupId(u32);

impl GroupId {
    /// Makes a group id.
    pub const fn new(id: u32) -> Self {
        Self(id)
    }

    /// The number itself.
    pub const fn value(self) -> u32 {
        self.0
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {}", self.0)
    }
}

/// Identifies a client of the redundancy and checkpoint facilities (Cisco: `clientID`).
///
/// Both units must give a client the same id. 0 and 65000 are reserved by Cisco's facility for
/// `RF_INTERNAL_MSG` and `RF_LAST_CLIENT` and are refused at registration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(u16);

impl ClientId {
    /// Makes a client id.
    pub const fn new(id: u16) -> Self {
        Self(id)
    }

    /// The number itself.
    pub const fn value(self) -> u16 {
        self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}", self.0)
    }
}

/// The place of an entry in its client's table, the same number on both units.
///
/// The active unit assigns slots, densely from 0; the standby installs entries where it is told.
/// After the first send of an entry its key stays off the wire: a slot and a value are enough.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(u32);

impl Slot {
    /// Slots are below this number (64 Mi entries per client).
    pub const LIMIT: u32 = 1 << 26;

    /// Makes a slot number.
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// The number itself.
    pub const fn index(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {}", self.0)
    }
}

/// Identifies a link to the peer within this process; never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(u64);

impl LinkId {
    /// Makes a link id.
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The number itself.
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", self.0)
    }
}

/// The fencing token of an activation: every activation carries a higher term than any before it,
/// and whatever carries a lower term is refused (promise P5).
///
/// Ordered by `counter`, then by `unit`, so that two units which activate at once, each unaware of
/// the other, still hold different terms.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Term {
    /// Grows with each activation.
    pub counter: u64,
    /// The unit that activated.
    pub unit: UnitId,
}

impl Term {
    /// The term below every activation: nobody was active yet.
    pub const ZERO: Self = Self {
        counter: 0,
        unit: UnitId::new(0),
    };

    /// The term of an activation by `unit` after everything up to `self` was seen.
    pub const fn next(self, unit: UnitId) -> Self {
        Self {
            counter: self.counter.saturating_add(1),
            unit,
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.counter, self.unit.value())
    }
}
