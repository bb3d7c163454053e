//! Which state follows which, once all clients are done with one.

use super::state::RfState;

/// What must be so before a standby leaves a state. The owner of the facility finds out and opens
/// the gate; the facility never gets past a closed one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Gate {
    /// Leaves NEGOTIATION: the peer is active, in reach and speaks a common version.
    PeerCompatible,
    /// Leaves STANDBY COLD-CONFIG: both units are configured alike.
    ConfigEqual,
    /// Leaves STANDBY COLD-BULK: this unit holds the active unit's state, digests compared.
    Synced,
}

impl Gate {
    /// Every gate, in the order in which a standby passes them.
    pub const ALL: [Self; 3] = [Self::PeerCompatible, Self::ConfigEqual, Self::Synced];

    /// The state that is left through this gate.
    pub const fn state(self) -> RfState {
        match self {
            Self::PeerCompatible => RfState::Negotiation,
            Self::ConfigEqual => RfState::StandbyColdConfig,
            Self::Synced => RfState::StandbyColdBulk,
        }
    }
}

/// Which gates are open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Gates([bool; Gate::ALL.len()]);

impl Gates {
    pub(super) fn is_open(self, gate: Gate) -> bool {
        self.0[gate as usize]
    }

    pub(super) fn set(&mut self, gate: Gate, open: bool) {
        self.0[gate as usize] = open;
    }

    /// The first closed gate that a standby in `state` has already passed.
    pub(super) fn breached(self, state: RfState) -> Option<Gate> {
        let passed = |gate: &Gate| state.is_standby() && gate.state() < state;
        Gate::ALL
            .into_iter()
            .filter(passed)
            .find(|gate| !self.is_open(*gate))
    }
}

/// The role that the owner wants.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Wanted {
    Nothing,
    Standby,
    Active,
}

/// The state after `state`, if the unit may go on.
pub(super) fn next(state: RfState, wanted: Wanted, gates: Gates) -> Option<RfState> {
    let standby = |gate, to| (wanted == Wanted::Standby && gates.is_open(gate)).then_some(to);
    match state {
        RfState::Initialization => Some(RfState::Negotiation),
        RfState::Negotiation => standby(Gate::PeerCompatible, RfState::StandbyCold),
        RfState::StandbyCold => Some(RfState::StandbyColdConfig),
        RfState::StandbyColdConfig => standby(Gate::ConfigEqual, RfState::StandbyColdFilesys),
        RfState::StandbyColdFilesys => Some(RfState::StandbyColdBulk),
        RfState::StandbyColdBulk => standby(Gate::Synced, RfState::StandbyHot),
        RfState::ActiveFast => Some(RfState::ActiveDrain),
        RfState::ActiveDrain => Some(RfState::ActivePreconfig),
        RfState::ActivePreconfig => Some(RfState::ActivePostconfig),
        RfState::ActivePostconfig => Some(RfState::Active),
        RfState::NotKnown
        | RfState::Disabled
        | RfState::StandbyHot
        | RfState::Active
        | RfState::ActiveExtraload
        | RfState::ActiveHandback
        | RfState::StandbyWarm => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every state, role and set of gates against a table written down independently.
    #[test]
    fn transition_table() {
        for state in RfState::ALL {
            for wanted in [Wanted::Nothing, Wanted::Standby, Wanted::Active] {
                for open in 0..8_u8 {
                    let gates = Gates([open & 1 != 0, open & 2 != 0, open & 4 != 0]);
                    let expected = expected(state.number(), wanted == Wanted::Standby, open);
                    let found = next(state, wanted, gates).map(RfState::number);
                    assert_eq!(found, expected, "{state} {wanted:?} {open:03b}");
                }
            }
        }
    }

    fn expected(number: u8, standby: bool, open: u8) -> Option<u8> {
        let needs = match number {
            3 => 1,
            5 => 2,
            7 => 4,
            2 | 4 | 6 | 9..=12 => return Some(number + 1),
            _ => return None,
        };
        (standby && open & needs != 0).then_some(number + 1)
    }

    #[test]
    fn a_closed_gate_is_breached_by_the_states_behind_it() {
        let mut gates = Gates([true; 3]);
        assert_eq!(gates.breached(RfState::StandbyHot), None);
        gates.set(Gate::ConfigEqual, false);
        assert_eq!(gates.breached(RfState::StandbyHot), Some(Gate::ConfigEqual));
        assert_eq!(
            gates.breached(RfState::StandbyColdFilesys),
            Some(Gate::ConfigEqual)
        );
        assert_eq!(gates.breached(RfState::StandbyColdConfig), None);
        assert_eq!(gates.breached(RfState::Active), None);
    }
}
