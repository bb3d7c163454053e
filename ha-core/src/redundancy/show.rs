//! What an operator sees: `show redundancy states` and `show redundancy history`.

use core::fmt;
use core::time::Duration;

use super::history::{History, LogEntry, LogRow, SwitchoverRow};
use super::state::RfState;
use super::switchover::SwitchoverRefusal;
use crate::id::UnitId;
use crate::time::Time;

/// The figures of `show redundancy states`; its `Display` is the command's output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedundancyStates {
    /// This unit's state.
    pub state: RfState,
    /// The peer's state; [`RfState::Disabled`] if there is none.
    pub peer_state: RfState,
    /// Whether a peer is present (duplex) or not (simplex).
    pub duplex: bool,
    /// This unit.
    pub unit: UnitId,
    /// Whether both units are active.
    pub split: bool,
    /// Whether this unit is in maintenance mode.
    pub maintenance: bool,
    /// Whether a switchover may be asked for.
    pub manual: ManualSwitchover,
    /// Whether the units talk.
    pub communications: Communications,
    /// How many clients are registered.
    pub client_count: usize,
    /// The client notification timer.
    pub notification_timer: Duration,
    /// The keepalive interval.
    pub keepalive_interval: Duration,
    /// Keepalive intervals without anything heard.
    pub keepalive_count: u32,
    /// How many of those make the peer lost.
    pub keepalive_threshold: u32,
    /// Which debug output is on.
    pub debug_mask: u32,
}

/// Whether a switchover may be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ManualSwitchover {
    /// It may.
    Enabled,
    /// It would be refused.
    Disabled(SwitchoverRefusal),
}

/// Whether the units talk.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Communications {
    /// They do.
    Up,
    /// They do not.
    Down {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for RedundancyStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "my state = {} -{}", self.state.number(), self.state)?;
        writeln!(
            f,
            "peer state = {} -{}",
            self.peer_state.number(),
            self.peer_state
        )?;
        writeln!(
            f,
            "Mode = {}",
            if self.duplex { "Duplex" } else { "Simplex" }
        )?;
        writeln!(f, "Unit ID = {}", self.unit.value())?;
        writeln!(f, "Split Mode = {}", switch(self.split))?;
        // IOS shows one of the two; ours only shows when it is on, to keep to the usual output.
        if self.maintenance {
            writeln!(f, "Maintenance Mode = Enabled")?;
        }
        writeln!(f, "Manual Swact = {}", self.manual)?;
        writeln!(f, "Communications = {}", self.communications)?;
        writeln!(f, "client count = {}", self.client_count)?;
        let millis = self.notification_timer.as_millis();
        writeln!(f, "client_notification_TMR = {millis} milliseconds")?;
        let millis = self.keepalive_interval.as_millis();
        writeln!(f, "keep_alive TMR = {millis} milliseconds")?;
        writeln!(f, "keep_alive count = {}", self.keepalive_count)?;
        writeln!(f, "keep_alive threshold = {}", self.keepalive_threshold)?;
        writeln!(f, "RF debug mask = {:#x}", self.debug_mask)
    }
}

impl fmt::Display for ManualSwitchover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enabled => f.write_str("Enabled"),
            Self::Disabled(refusal) => write!(f, "Disabled  Reason: {refusal}"),
        }
    }
}

impl fmt::Display for Communications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up => f.write_str("Up"),
            Self::Down { reason } => write!(f, "Down  Reason: {reason}"),
        }
    }
}

impl fmt::Display for History {
    /// `show redundancy history`: the event log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Redundancy Facility Event Log:")?;
        if self.dropped() > 0 {
            writeln!(f, "({} older rows were dropped)", self.dropped())?;
        }
        self.log().try_for_each(|row| writeln!(f, "{row}"))
    }
}

impl fmt::Display for LogRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Clock(self.at), self.entry)
    }
}

impl fmt::Display for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientAdded { id, name, sequence } => {
                write!(f, "client added: {name}({}) seq={sequence}", id.value())
            }
            Self::States {
                mine,
                mine_changed,
                peer,
                peer_changed,
            } => {
                let (my_star, peer_star) = (star(*mine_changed), star(*peer_changed));
                write!(f, "{my_star}my state = {mine}({}) ", mine.number())?;
                write!(f, "{peer_star}peer state = {peer}({})", peer.number())
            }
            Self::Event {
                event,
                client,
                op,
                rc,
            } => {
                write!(f, "{event}")?;
                if let Some((id, name)) = client {
                    write!(f, " {name}({})", id.value())?;
                }
                write!(f, " op={op}")?;
                rc.map_or(Ok(()), |rc| write!(f, " rc={rc}"))
            }
            Self::Note(text) => f.write_str(text),
        }
    }
}

/// `show redundancy switchover history`; its `Display` is the command's output.
#[derive(Clone, Copy, Debug)]
pub struct SwitchoverHistory<'a>(pub &'a History);

impl fmt::Display for SwitchoverHistory<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Index  Previous  Current  Switchover                       Switchover  Term"
        )?;
        writeln!(
            f,
            "       active    active   reason                           time"
        )?;
        writeln!(
            f,
            "-----  --------  -------  -------------------------------  ----------  ----"
        )?;
        self.0
            .switchovers()
            .try_for_each(|row| writeln!(f, "{row}"))
    }
}

impl fmt::Display for SwitchoverRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (previous, current) = (self.previous.value(), self.current.value());
        let (reason, at) = (self.reason, Clock(self.at).to_string());
        write!(f, "{:>5}  {previous:>8}  {current:>7}  ", self.index)?;
        write!(f, "{reason:<31}  {at:<10}  {}", self.term)
    }
}

/// Time since the driver's origin as `hh:mm:ss`, hours going on past 99.
struct Clock(Time);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_millis() / 1000;
        write!(
            f,
            "{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        )
    }
}

const fn star(changed: bool) -> &'static str {
    if changed { "*" } else { "" }
}

const fn switch(on: bool) -> &'static str {
    if on { "Enabled" } else { "Disabled" }
}

#[cfg(test)]
mod tests;
