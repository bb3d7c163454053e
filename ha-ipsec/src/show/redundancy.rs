//! `show redundancy …`: ha-core's figures as values.
//!
//! The text is ha-core's own, so that there is one of it.

use core::fmt;

use ha_core::checkpoint::ClientDescriptor;
use ha_core::redundancy::{
    Communications, History, LogEntry, LogRow, ManualSwitchover, RedundancyStates, RfState,
    SwitchoverHistory, SwitchoverRow,
};
use serde::{Serialize, Serializer};

use super::text::{OrNone, Safe};

/// `show redundancy states`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedundancyStatesView(pub RedundancyStates);

impl fmt::Display for RedundancyStatesView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for RedundancyStatesView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        StatesValue::of(&self.0).serialize(serializer)
    }
}

/// A state by the number and the name that IOS prints.
#[derive(Serialize)]
struct StateValue {
    number: u8,
    name: &'static str,
}

impl From<RfState> for StateValue {
    fn from(state: RfState) -> Self {
        Self {
            number: state.number(),
            name: state.name(),
        }
    }
}

#[derive(Serialize)]
struct StatesValue {
    state: StateValue,
    peer_state: StateValue,
    mode: &'static str,
    unit_id: u32,
    split_mode: bool,
    maintenance_mode: bool,
    manual_switchover: bool,
    manual_switchover_refusal: Option<String>,
    communications_up: bool,
    communications_reason: Option<String>,
    client_count: usize,
    client_notification_ms: u128,
    keepalive_interval_ms: u128,
    keepalive_count: u32,
    keepalive_threshold: u32,
    debug_mask: u32,
}

impl StatesValue {
    fn of(states: &RedundancyStates) -> Self {
        let refusal = match &states.manual {
            ManualSwitchover::Enabled => None,
            ManualSwitchover::Disabled(refusal) => Some(refusal.to_string()),
        };
        let reason = match &states.communications {
            Communications::Up => None,
            Communications::Down { reason } => Some(reason.clone()),
        };
        Self {
            state: states.state.into(),
            peer_state: states.peer_state.into(),
            mode: if states.duplex { "Duplex" } else { "Simplex" },
            unit_id: states.unit.value(),
            split_mode: states.split,
            maintenance_mode: states.maintenance,
            manual_switchover: refusal.is_none(),
            manual_switchover_refusal: refusal,
            communications_up: reason.is_none(),
            communications_reason: reason,
            client_count: states.client_count,
            client_notification_ms: states.notification_timer.as_millis(),
            keepalive_interval_ms: states.keepalive_interval.as_millis(),
            keepalive_count: states.keepalive_count,
            keepalive_threshold: states.keepalive_threshold,
            debug_mask: states.debug_mask,
        }
    }
}

/// `show redundancy history`: the event log.
#[derive(Clone, Debug)]
pub struct RedundancyHistoryView(pub History);

impl fmt::Display for RedundancyHistoryView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for RedundancyHistoryView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let history = HistoryValue {
            dropped: self.0.dropped(),
            rows: self.0.log().map(LogValue::of).collect(),
        };
        history.serialize(serializer)
    }
}

#[derive(Serialize)]
struct HistoryValue {
    dropped: u64,
    rows: Vec<LogValue>,
}

#[derive(Serialize)]
struct LogValue {
    at_ms: u64,
    #[serde(flatten)]
    entry: EntryValue,
    text: String,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum EntryValue {
    ClientAdded {
        client: u16,
        name: String,
        sequence: u16,
    },
    States {
        state: StateValue,
        peer_state: StateValue,
        changed: &'static str,
    },
    Event {
        code: u16,
        name: &'static str,
        client: Option<u16>,
        op: u32,
        rc: Option<u8>,
    },
    /// A note, and what a newer ha-core may log: the text says it all.
    Note {},
}

impl LogValue {
    fn of(row: &LogRow) -> Self {
        Self {
            at_ms: row.at.as_millis(),
            entry: EntryValue::of(&row.entry),
            text: row.entry.to_string(),
        }
    }
}

impl EntryValue {
    fn of(entry: &LogEntry) -> Self {
        match entry {
            LogEntry::ClientAdded { id, name, sequence } => Self::ClientAdded {
                client: id.value(),
                name: name.to_string(),
                sequence: *sequence,
            },
            LogEntry::States {
                mine,
                mine_changed,
                peer,
                peer_changed,
            } => Self::States {
                state: (*mine).into(),
                peer_state: (*peer).into(),
                changed: changed(*mine_changed, *peer_changed),
            },
            LogEntry::Event {
                event,
                client,
                op,
                rc,
            } => Self::Event {
                code: event.code(),
                name: event.name(),
                client: client.as_ref().map(|(id, _)| id.value()),
                op: *op,
                rc: *rc,
            },
            _ => Self::Note {},
        }
    }
}

const fn changed(mine: bool, peer: bool) -> &'static str {
    match (mine, peer) {
        (true, true) => "both",
        (true, false) => "mine",
        (false, true) => "peer",
        (false, false) => "neither",
    }
}

/// `show redundancy switchover history`.
#[derive(Clone, Debug)]
pub struct SwitchoverHistoryView(pub History);

impl fmt::Display for SwitchoverHistoryView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SwitchoverHistory(&self.0).fmt(f)
    }
}

impl Serialize for SwitchoverHistoryView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.switchovers().map(SwitchoverValue::of))
    }
}

#[derive(Serialize)]
struct SwitchoverValue {
    index: u32,
    previous_active: u32,
    current_active: u32,
    reason: &'static str,
    reason_number: u8,
    at_ms: u64,
    term: String,
}

impl SwitchoverValue {
    fn of(row: &SwitchoverRow) -> Self {
        Self {
            index: row.index,
            previous_active: row.previous.value(),
            current_active: row.current.value(),
            reason: row.reason.text(),
            reason_number: row.reason.number(),
            at_ms: row.at.as_millis(),
            term: row.term.to_string(),
        }
    }
}

/// `show redundancy clients`: who is told of the states, in which order; and, as in the older
/// `show ssp client`, the versions of what each sends.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct RedundancyClientsView {
    /// The clients, in the order of notification.
    pub clients: Vec<RedundancyClientView>,
}

/// A client of the redundancy and checkpoint facilities.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RedundancyClientView {
    /// The client's id.
    pub id: u16,
    /// Its place in the order of notifications.
    pub sequence: u16,
    /// Its name.
    pub name: String,
    /// The oldest version of its entries that this unit speaks.
    pub oldest_version: u16,
    /// The newest.
    pub newest_version: u16,
}

impl RedundancyClientsView {
    /// From what the clients say of themselves.
    pub fn new<'a>(clients: impl IntoIterator<Item = &'a ClientDescriptor>) -> Self {
        let clients = clients.into_iter().map(RedundancyClientView::from);
        let mut clients: Vec<RedundancyClientView> = clients.collect();
        clients.sort_by_key(|client| (client.sequence, client.id));
        Self { clients }
    }
}

impl From<&ClientDescriptor> for RedundancyClientView {
    fn from(client: &ClientDescriptor) -> Self {
        Self {
            id: client.id.value(),
            sequence: client.sequence,
            name: client.name.clone(),
            oldest_version: *client.versions.start(),
            newest_version: *client.versions.end(),
        }
    }
}

impl fmt::Display for RedundancyClientsView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for client in &self.clients {
            let RedundancyClientView { id, sequence, .. } = client;
            write!(f, "clientID = {id:<8} clientSeq = {sequence:<8} ")?;
            let (oldest, newest) = (client.oldest_version, client.newest_version);
            writeln!(f, "{} versions={oldest}-{newest}", Safe(&client.name))?;
        }
        Ok(())
    }
}

/// `show redundancy inter-device`: the pair as a whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct InterDeviceView {
    /// This unit's state.
    #[serde(serialize_with = "state_name")]
    pub state: RfState,
    /// What decides the role: `Standby` (HSRP), `PeerHealth`, `Static`.
    pub scheme: String,
    /// The scheme's group.
    pub group: String,
    /// The group's state as the scheme names it: `Active`, `Standby`, `Init`.
    pub group_state: String,
    /// Whether the units talk.
    pub peer_present: bool,
    /// What secures the link; `None` for an insecure one.
    pub security: Option<String>,
}

impl fmt::Display for InterDeviceView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            state if state.is_active() => "RF_INTERDEV_STATE_ACT",
            state if state.is_standby() => "RF_INTERDEV_STATE_STDBY",
            _ => "RF_INTERDEV_STATE_INIT",
        };
        writeln!(f, "Redundancy inter-device state: {state}")?;
        writeln!(f, "  Scheme: {}", Safe(&self.scheme))?;
        let (group, group_state) = (Safe(&self.group), Safe(&self.group_state));
        writeln!(f, "      Groupname: {group} Group State: {group_state}")?;
        let peer = if self.peer_present {
            "RF_INTERDEV_PEER_COMM"
        } else {
            "RF_INTERDEV_PEER_NO_COMM"
        };
        writeln!(f, "  Peer present: {peer}")?;
        match self.security.as_deref() {
            Some(_) => writeln!(f, "  Security: {}", OrNone(self.security.as_deref())),
            None => writeln!(f, "  Security: Not configured"),
        }
    }
}

fn state_name<S: Serializer>(state: &RfState, serializer: S) -> Result<S::Ok, S::Error> {
    StateValue::from(*state).serialize(serializer)
}
