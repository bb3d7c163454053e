//! The scheme in which the role is configured.

use super::{Decision, LocalView, PeerView, Reason, Role, Scheme, SchemeInput};
use crate::redundancy::Verdict;
use crate::time::Time;

/// The role is configured, and changed by command: [`SchemeInput::SetRole`], or a switchover on
/// either unit. A lost peer changes nothing. When both units are active, by configuration or after
/// a partition, the [claims](crate::redundancy::claim) decide which of them becomes standby
/// (promise P5); the next command overrules that.
///
/// | input | role active | role standby |
/// |---|---|---|
/// | `SetRole(Active)` | active | active |
/// | `SetRole(Standby)` | standby | standby |
/// | `Resigned` (switchover by command on this unit) | standby | standby |
/// | `PeerResigned` (switchover by command on the peer) | active | active |
/// | `PeerSeen`, both active | as the claims say | standby |
/// | any other | active | standby |
#[derive(Clone, Debug)]
pub struct Static {
    role: Role,
    decision: Decision,
}

impl Static {
    /// A unit that starts in `role`; `Undecided` waits for a command.
    pub const fn new(role: Role) -> Self {
        Self {
            role,
            decision: Decision::new(Role::Undecided, Reason::Booting),
        }
    }

    fn contest(&mut self, peer: &PeerView, local: &LocalView) {
        let outdated = peer.outdates(local.claim);
        let verdict = local
            .claim
            .zip(peer.claim)
            .map(|(mine, theirs)| mine.against(&theirs));
        match verdict {
            None => self.decision.raise_term = outdated,
            Some(Verdict::Keep { raise_term }) => self.decision.raise_term = raise_term || outdated,
            Some(Verdict::Yield) => self.decision = Decision::new(Role::Standby, Reason::Claims),
            Some(Verdict::Wait) => {}
        }
    }
}

impl Scheme for Static {
    fn name(&self) -> &'static str {
        "static"
    }

    fn priority(&self) -> u32 {
        0
    }

    fn handle(&mut self, input: &SchemeInput, local: &LocalView, _now: Time) {
        self.decision.raise_term = false;
        match (input, self.decision.role) {
            (SchemeInput::Boot, _) => self.decision = Decision::new(self.role, Reason::Configured),
            (SchemeInput::SetRole(Role::Undecided), _) => {}
            (SchemeInput::SetRole(role @ (Role::Standby | Role::Active)), _) => {
                self.decision = Decision::new(*role, Reason::Commanded);
            }
            (SchemeInput::Resigned, Role::Active) => {
                self.decision = Decision::new(Role::Standby, Reason::Resigned);
            }
            (SchemeInput::PeerResigned { .. }, Role::Standby) => {
                self.decision = Decision::new(Role::Active, Reason::PeerResigned);
            }
            (SchemeInput::PeerSeen(peer), Role::Active) => self.contest(peer, local),
            (
                SchemeInput::PeerSeen(_)
                | SchemeInput::PeerResigned { .. }
                | SchemeInput::Resigned
                | SchemeInput::PeerLost
                | SchemeInput::PeerRestarted
                | SchemeInput::PeerLeft
                | SchemeInput::Timer
                | SchemeInput::Maintenance,
                Role::Undecided | Role::Standby | Role::Active,
            ) => {}
        }
    }

    fn decision(&self) -> Decision {
        self.decision
    }

    fn poll_timeout(&self) -> Option<Time> {
        None
    }
}

#[cfg(test)]
mod tests;
