//! The states of a unit, with Cisco's names and numbers.

use core::fmt;

/// Where a unit of a group stands.
///
/// Numbered as IOS prints it (`my state = 13 -ACTIVE`), which is the value of CISCO-RF-MIB less 1.
///
/// ```text
/// DISABLED → INITIALIZATION → NEGOTIATION → STANDBY COLD → COLD-CONFIG → COLD-FILESYS
///                                  ↑          → COLD-BULK → STANDBY HOT
///                                  │ demotion                    │ takeover (from any of them)
///   ACTIVE-HANDBACK ← ACTIVE ──────┘                             ↓
///                        ↑── POSTCONFIG ← PRECONFIG ← DRAIN ← ACTIVE-FAST
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum RfState {
    /// 0: nothing was heard of the unit.
    NotKnown = 0,
    /// 1: redundancy is off, or the peer does not answer.
    Disabled = 1,
    /// 2: clients set themselves up.
    Initialization = 2,
    /// 3: the units find out about each other; no role yet.
    Negotiation = 3,
    /// 4: the peer is active and compatible.
    StandbyCold = 4,
    /// 5: the configurations are compared.
    StandbyColdConfig = 5,
    /// 6: files are compared; passed through, as nothing here lives in files.
    StandbyColdFilesys = 6,
    /// 7: the active unit's state is being copied.
    StandbyColdBulk = 7,
    /// 8: the unit holds the active unit's state and follows it.
    StandbyHot = 8,
    /// 9: takeover began.
    ActiveFast = 9,
    /// 10: what the old active unit left behind is worked off.
    ActiveDrain = 10,
    /// 11: before the configuration is in effect.
    ActivePreconfig = 11,
    /// 12: after the configuration is in effect.
    ActivePostconfig = 12,
    /// 13: the unit serves.
    Active = 13,
    /// 14: the unit serves and carries the peer's load too.
    ActiveExtraload = 14,
    /// 15: the unit is about to hand the role to the peer.
    ActiveHandback = 15,
    /// 16: standby that holds a part of the state only.
    StandbyWarm = 16,
}

impl RfState {
    /// Every state, by its number.
    pub const ALL: [Self; 17] = [
        Self::NotKnown,
        Self::Disabled,
        Self::Initialization,
        Self::Negotiation,
        Self::StandbyCold,
        Self::StandbyColdConfig,
        Self::StandbyColdFilesys,
        Self::StandbyColdBulk,
        Self::StandbyHot,
        Self::ActiveFast,
        Self::ActiveDrain,
        Self::ActivePreconfig,
        Self::ActivePostconfig,
        Self::Active,
        Self::ActiveExtraload,
        Self::ActiveHandback,
        Self::StandbyWarm,
    ];

    /// The number that IOS prints.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The value of CISCO-RF-MIB (`RFState`).
    pub const fn mib_value(self) -> u8 {
        self as u8 + 1
    }

    /// The state with this IOS number.
    ///
    /// # Errors
    /// When no state has it. A newer peer may know states that this release does not: treat such
    /// a peer as [`RfState::NotKnown`], not as broken.
    pub fn from_number(number: u32) -> Result<Self, UnknownState> {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        Self::ALL.get(index).copied().ok_or(UnknownState { number })
    }

    /// Whether a unit in this state holds the active role (9 to 15).
    pub const fn is_active(self) -> bool {
        matches!(self.number(), 9..=15)
    }

    /// Whether a unit in this state is a standby of any temperature (4 to 8, 16).
    pub const fn is_standby(self) -> bool {
        matches!(self.number(), 4..=8 | 16)
    }

    /// The name that IOS prints.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotKnown => "UNKNOWN",
            Self::Disabled => "DISABLED",
            Self::Initialization => "INITIALIZATION",
            Self::Negotiation => "NEGOTIATION",
            Self::StandbyCold => "STANDBY COLD",
            Self::StandbyColdConfig => "STANDBY COLD-CONFIG",
            Self::StandbyColdFilesys => "STANDBY COLD-FILESYS",
            Self::StandbyColdBulk => "STANDBY COLD-BULK",
            Self::StandbyHot => "STANDBY HOT",
            Self::ActiveFast => "ACTIVE-FAST",
            Self::ActiveDrain => "ACTIVE-DRAIN",
            Self::ActivePreconfig => "ACTIVE-PRECONFIG",
            Self::ActivePostconfig => "ACTIVE-POSTCONFIG",
            Self::Active => "ACTIVE",
            Self::ActiveExtraload => "ACTIVE-EXTRALOAD",
            Self::ActiveHandback => "ACTIVE-HANDBACK",
            Self::StandbyWarm => "STANDBY WARM",
        }
    }
}

impl fmt::Display for RfState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A number that names no state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no redundancy state has number {number} (does the peer run a newer release?)")]
pub struct UnknownState {
    /// The number.
    pub number: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_states_map_one_to_one() {
        for (number, state) in RfState::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(state.number()), number);
            assert_eq!(RfState::from_number(number as u32), Ok(state));
            assert_eq!(state.mib_value(), state.number() + 1);
        }
        for number in [17, 255, u32::MAX] {
            assert_eq!(RfState::from_number(number), Err(UnknownState { number }));
        }
    }

    #[test]
    fn roles_cover_the_states_once() {
        for state in RfState::ALL {
            assert!(!(state.is_active() && state.is_standby()), "{state}");
            let neither = matches!(state.number(), 0..=3);
            assert_eq!(
                neither,
                !state.is_active() && !state.is_standby(),
                "{state}"
            );
        }
    }

    #[test]
    fn names_are_those_of_ios() {
        assert_eq!(RfState::StandbyHot.to_string(), "STANDBY HOT");
        assert_eq!(RfState::StandbyColdBulk.to_string(), "STANDBY COLD-BULK");
        assert_eq!(RfState::ActiveFast.to_string(), "ACTIVE-FAST");
        assert_eq!(format!("{:<12}|", RfState::Active), "ACTIVE      |");
    }
}
