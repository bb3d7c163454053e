//! Lanes of a link.

use std::fmt;

/// A lane of a link. Messages of one lane arrive in order; between lanes there is no order, and a
/// message of a higher lane overtakes queued messages of a lower one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Lane {
    /// Keepalives and roles. Never delayed by anything else.
    Control = 0,
    /// Batches of changes and their acknowledgements.
    Changes = 1,
    /// Bulk synchronization.
    Bulk = 2,
}

impl Lane {
    /// All lanes, highest priority first.
    pub const ALL: [Self; 3] = [Self::Control, Self::Changes, Self::Bulk];

    /// The lane with this number on the wire, if there is one.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Control),
            1 => Some(Self::Changes),
            2 => Some(Self::Bulk),
            _ => None,
        }
    }

    /// The number on the wire; lower numbers have priority.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name in logs and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Changes => "changes",
            Self::Bulk => "bulk",
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
