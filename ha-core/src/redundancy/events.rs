//! Events, actions and reasons, with Cisco's names and numbers.

use core::fmt;

use super::state::RfState;

/// What clients are told and what the event log records.
///
/// Numbered as `show redundancy history` prints them; where releases of IOS differ by one (the
/// 5xx events do), the older numbers are used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
#[repr(u16)]
pub enum RfEvent {
    /// Progression: set yourself up.
    ProgInitialization = 100,
    /// Progression: the unit is STANDBY COLD.
    ProgStandbyCold = 101,
    /// Progression: configurations are compared.
    ProgStandbyConfig = 102,
    /// Progression: files are compared.
    ProgStandbyFilesys = 103,
    /// Progression: bulk sync runs.
    ProgStandbyBulk = 104,
    /// Progression: the unit is STANDBY HOT.
    ProgStandbyHot = 105,
    /// Progression: takeover began.
    ProgActiveFast = 200,
    /// Progression: work off what the old active unit left behind.
    ProgActiveDrain = 201,
    /// Progression: before the configuration is in effect.
    ProgActivePreconfig = 202,
    /// Progression: after the configuration is in effect.
    ProgActivePostconfig = 203,
    /// Progression: serve.
    ProgActive = 204,
    /// The platforms' own data is synchronised.
    ProgPlatformSync = 300,
    /// Progression: carry the peer's load too.
    ProgExtraload = 301,
    /// Progression: stop serving, the role is about to be handed over.
    ProgHandback = 302,
    /// The peer came or went.
    StatusPeerPresence = 400,
    /// Communication with the peer was established or lost.
    StatusPeerComm = 401,
    /// The mode changed between simplex and duplex.
    StatusRedundancyModeChange = 405,
    /// A client answered late, failed or missed its notification timer.
    EventClientProgression = 503,
    /// The unit was told to become active.
    EventGoActive = 511,
    /// The unit was told to become standby.
    EventGoStandby = 512,
    /// The unit has no role: it starts, or gave one up.
    EventNegotiate = 517,
}

impl RfEvent {
    /// The event's number.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// What clients are told when a unit enters `state`; nothing for the states without clients.
    pub const fn of_state(state: RfState) -> Option<Self> {
        Some(match state {
            RfState::NotKnown | RfState::Disabled | RfState::StandbyWarm => return None,
            RfState::Initialization => Self::ProgInitialization,
            RfState::Negotiation => Self::EventNegotiate,
            RfState::StandbyCold => Self::ProgStandbyCold,
            RfState::StandbyColdConfig => Self::ProgStandbyConfig,
            RfState::StandbyColdFilesys => Self::ProgStandbyFilesys,
            RfState::StandbyColdBulk => Self::ProgStandbyBulk,
            RfState::StandbyHot => Self::ProgStandbyHot,
            RfState::ActiveFast => Self::ProgActiveFast,
            RfState::ActiveDrain => Self::ProgActiveDrain,
            RfState::ActivePreconfig => Self::ProgActivePreconfig,
            RfState::ActivePostconfig => Self::ProgActivePostconfig,
            RfState::Active => Self::ProgActive,
            RfState::ActiveExtraload => Self::ProgExtraload,
            RfState::ActiveHandback => Self::ProgHandback,
        })
    }

    /// The name that IOS prints.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProgInitialization => "RF_PROG_INITIALIZATION",
            Self::ProgStandbyCold => "RF_PROG_STANDBY_COLD",
            Self::ProgStandbyConfig => "RF_PROG_STANDBY_CONFIG",
            Self::ProgStandbyFilesys => "RF_PROG_STANDBY_FILESYS",
            Self::ProgStandbyBulk => "RF_PROG_STANDBY_BULK",
            Self::ProgStandbyHot => "RF_PROG_STANDBY_HOT",
            Self::ProgActiveFast => "RF_PROG_ACTIVE_FAST",
            Self::ProgActiveDrain => "RF_PROG_ACTIVE_DRAIN",
            Self::ProgActivePreconfig => "RF_PROG_ACTIVE_PRECONFIG",
            Self::ProgActivePostconfig => "RF_PROG_ACTIVE_POSTCONFIG",
            Self::ProgActive => "RF_PROG_ACTIVE",
            Self::ProgPlatformSync => "RF_PROG_PLATFORM_SYNC",
            Self::ProgExtraload => "RF_PROG_EXTRALOAD",
            Self::ProgHandback => "RF_PROG_HANDBACK",
            Self::StatusPeerPresence => "RF_STATUS_PEER_PRESENCE",
            Self::StatusPeerComm => "RF_STATUS_PEER_COMM",
            Self::StatusRedundancyModeChange => "RF_STATUS_REDUNDANCY_MODE_CHANGE",
            Self::EventClientProgression => "RF_EVENT_CLIENT_PROGRESSION",
            Self::EventGoActive => "RF_EVENT_GO_ACTIVE",
            Self::EventGoStandby => "RF_EVENT_GO_STANDBY",
            Self::EventNegotiate => "RF_EVENT_NEGOTIATE",
        }
    }
}

impl fmt::Display for RfEvent {
    /// As in the event log: `RF_PROG_ACTIVE(204)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.code())
    }
}

/// What an operator may ask of a unit (CISCO-RF-MIB, `RFAction`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Action {
    /// Nothing.
    NoAction = 0,
    /// Restart the peer.
    ReloadPeer = 1,
    /// Restart both units.
    ReloadShelf = 2,
    /// Switch over if the peer is STANDBY HOT.
    SwitchActivity = 3,
    /// Switch over whatever the peer holds.
    ForceSwitchActivity = 4,
}

impl Action {
    /// The value in CISCO-RF-MIB.
    pub const fn mib_value(self) -> u8 {
        self as u8
    }
}

/// Why the active role moved (CISCO-RF-MIB, `RFSwactReasonType`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum SwitchoverReason {
    /// Reasons are not supported by the unit that reports.
    Unsupported = 1,
    /// No switchover took place.
    None = 2,
    /// The reason is not known.
    NotKnown = 3,
    /// An operator asked for it while the standby was ready.
    UserInitiated = 4,
    /// An operator forced it.
    UserForced = 5,
    /// The active unit stopped answering.
    ActiveUnitFailed = 6,
    /// The active unit left in order.
    ActiveUnitRemoved = 7,
    /// The active unit lost its gateway.
    ActiveGatewayDown = 8,
    /// The active unit lost its redundancy management interface.
    ActiveManagementPortDown = 9,
}

impl SwitchoverReason {
    /// Every reason, by its number.
    pub const ALL: [Self; 9] = [
        Self::Unsupported,
        Self::None,
        Self::NotKnown,
        Self::UserInitiated,
        Self::UserForced,
        Self::ActiveUnitFailed,
        Self::ActiveUnitRemoved,
        Self::ActiveGatewayDown,
        Self::ActiveManagementPortDown,
    ];

    /// The value in CISCO-RF-MIB, which is also the one on the wire.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The reason with this number; one that this release does not know is
    /// [`SwitchoverReason::NotKnown`], since a reason is for people only.
    pub fn from_number(number: u32) -> Self {
        let known = Self::ALL
            .into_iter()
            .find(|reason| u32::from(reason.number()) == number);
        known.unwrap_or(Self::NotKnown)
    }

    /// The text that operators see.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Unsupported => "unsupported",
            Self::None => "none",
            Self::NotKnown => "not known",
            Self::UserInitiated => "user initiated",
            Self::UserForced => "user forced",
            Self::ActiveUnitFailed => "active unit failed",
            Self::ActiveUnitRemoved => "active unit removed",
            Self::ActiveGatewayDown => "active unit's gateway down",
            Self::ActiveManagementPortDown => "active unit's management port down",
        }
    }
}

impl fmt::Display for SwitchoverReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_survive_the_wire() {
        for (index, reason) in SwitchoverReason::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(reason.number()), index + 1);
            assert_eq!(
                SwitchoverReason::from_number(u32::from(reason.number())),
                reason
            );
        }
        assert_eq!(SwitchoverReason::from_number(0), SwitchoverReason::NotKnown);
        assert_eq!(
            SwitchoverReason::from_number(10),
            SwitchoverReason::NotKnown
        );
    }

    #[test]
    fn progression_events_carry_the_numbers_of_ios() {
        let standby = [101, 102, 103, 104, 105];
        let active = [200, 201, 202, 203, 204];
        for (state, code) in RfState::ALL[4..=8].iter().zip(standby) {
            assert_eq!(
                RfEvent::of_state(*state).map(RfEvent::code),
                Some(code),
                "{state}"
            );
        }
        for (state, code) in RfState::ALL[9..=13].iter().zip(active) {
            assert_eq!(
                RfEvent::of_state(*state).map(RfEvent::code),
                Some(code),
                "{state}"
            );
        }
        assert_eq!(RfEvent::ProgActive.to_string(), "RF_PROG_ACTIVE(204)");
        assert_eq!(RfEvent::of_state(RfState::Disabled), None);
    }

    #[test]
    fn actions_carry_the_numbers_of_the_mib() {
        assert_eq!(Action::NoAction.mib_value(), 0);
        assert_eq!(Action::ForceSwitchActivity.mib_value(), 4);
    }
}
