//! Manual switchover: when it is refused, and why.

use super::events::SwitchoverReason;
use super::state::RfState;

/// What a manual switchover is judged by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SwitchoverView {
    /// This unit's state.
    pub state: RfState,
    /// The peer's state, `None` if there is no peer to talk to.
    pub peer: Option<RfState>,
    /// Whether this unit or the peer is in maintenance mode.
    pub maintenance: bool,
}

impl SwitchoverView {
    /// Judges a manual switchover on this unit; `forced` does not wait for the peer to be STANDBY
    /// HOT, and loses what the peer does not hold.
    ///
    /// # Errors
    /// With the first reason that speaks against it.
    pub fn judge(self, forced: bool) -> Result<SwitchoverReason, SwitchoverRefusal> {
        use SwitchoverRefusal as No;
        match (self.state, self.peer, forced) {
            (RfState::ActiveHandback, _, _) => Err(No::InProgress),
            (state, _, _) if state.is_standby() => Err(No::OnStandby),
            (state, _, _) if !state.is_active() => Err(No::NotActive { state }),
            (_, None, _) => Err(No::NoPeer),
            _ if self.maintenance => Err(No::Maintenance),
            (RfState::Active | RfState::ActiveExtraload, Some(RfState::StandbyHot), false) => {
                Ok(SwitchoverReason::UserInitiated)
            }
            (RfState::Active | RfState::ActiveExtraload, Some(peer), false) => {
                Err(No::PeerNotHot { peer })
            }
            (RfState::Active | RfState::ActiveExtraload, Some(peer), true) => {
                let able = peer.is_standby().then_some(SwitchoverReason::UserForced);
                able.ok_or(No::PeerNotStandby { peer })
            }
            (state, Some(_), _) => Err(No::TakingOver { state }),
        }
    }
}

/// Why a manual switchover is refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SwitchoverRefusal {
    /// Asked on the standby.
    #[error("cannot be initiated from this the standby unit; ask the active unit")]
    OnStandby,
    /// The unit has no role.
    #[error("this unit is not active but {state}")]
    NotActive {
        /// Its state.
        state: RfState,
    },
    /// The unit is still taking over.
    #[error("this unit is still taking over ({state}); try again when it is ACTIVE")]
    TakingOver {
        /// Its state.
        state: RfState,
    },
    /// A switchover is under way.
    #[error("a switchover is in progress already")]
    InProgress,
    /// There is no peer.
    #[error("system is simplex (no peer unit); check the links to the peer")]
    NoPeer,
    /// A unit is in maintenance mode.
    #[error("a unit is in maintenance mode; end it first")]
    Maintenance,
    /// The peer does not hold the state yet.
    #[error("peer is {peer}, not STANDBY HOT; wait for it, or force the switchover and lose state")]
    PeerNotHot {
        /// The peer's state.
        peer: RfState,
    },
    /// The peer is no standby at all, so that not even force can make it take over.
    #[error("peer is {peer} and cannot take over, not even by force")]
    PeerNotStandby {
        /// The peer's state.
        peer: RfState,
    },
}

/// Why the word of a fencing authority is refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FencingRefusal {
    /// The peer is heard.
    #[error("the peer is connected, so it is not fenced; power it off or end its process first")]
    PeerThere,
    /// There is nothing to lift.
    #[error("this unit is not active but {state}; ask the active unit")]
    NotActive {
        /// Its state.
        state: RfState,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(
        state: RfState,
        peer: Option<RfState>,
        forced: bool,
    ) -> Result<SwitchoverReason, SwitchoverRefusal> {
        SwitchoverView {
            state,
            peer,
            maintenance: false,
        }
        .judge(forced)
    }

    /// Over all states: allowed exactly on an ACTIVE unit with a STANDBY HOT peer, or by force on
    /// an ACTIVE unit with a standby of any kind.
    #[test]
    fn allowed_exactly_where_it_can_succeed() {
        let peers = RfState::ALL.into_iter().map(Some).chain([None]);
        for (state, peer) in RfState::ALL
            .into_iter()
            .flat_map(|state| peers.clone().map(move |peer| (state, peer)))
        {
            let serving = matches!(state.number(), 13 | 14);
            let ready = peer == Some(RfState::StandbyHot);
            assert_eq!(
                judge(state, peer, false).is_ok(),
                serving && ready,
                "{state} {peer:?}"
            );
            let able = serving && peer.is_some_and(RfState::is_standby);
            assert_eq!(
                judge(state, peer, true).is_ok(),
                able,
                "forced: {state} {peer:?}"
            );
            let view = SwitchoverView {
                state,
                peer,
                maintenance: true,
            };
            assert!(
                view.judge(false).is_err() && view.judge(true).is_err(),
                "{state} {peer:?}"
            );
        }
    }

    #[test]
    fn refusals_name_their_reason() {
        use RfState::{Active, ActiveHandback, StandbyColdBulk, StandbyHot};
        let text = |result: Result<SwitchoverReason, SwitchoverRefusal>| {
            result
                .err()
                .map(|refusal| refusal.to_string())
                .unwrap_or_default()
        };
        assert!(text(judge(StandbyHot, Some(Active), true)).contains("standby unit"));
        assert!(text(judge(Active, None, true)).contains("no peer unit"));
        assert!(text(judge(Active, Some(StandbyColdBulk), false)).contains("STANDBY COLD-BULK"));
        assert!(text(judge(ActiveHandback, Some(StandbyHot), false)).contains("in progress"));
        assert_eq!(
            judge(Active, Some(StandbyHot), false),
            Ok(SwitchoverReason::UserInitiated)
        );
        assert_eq!(
            judge(Active, Some(StandbyColdBulk), true),
            Ok(SwitchoverReason::UserForced)
        );
    }
}
