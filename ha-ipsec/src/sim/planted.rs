//! Protections to leave out, to prove that the simulator finds that.

use crate::{replay, sequence};

/// Protections left out. Not for use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Planted {
    /// Of the counters of outbound SAs.
    pub outbound: sequence::Planted,
    /// Of the windows of inbound SAs.
    pub inbound: replay::Planted,
    /// A unit that loses the role keeps its counters.
    pub no_flush: bool,
    /// A unit that keeps the role is not told that another one may have had it too.
    pub contests_unheard: bool,
}

impl Planted {
    /// Each fault by its name.
    pub fn all() -> Vec<(&'static str, Self)> {
        let outbound = |outbound| Self {
            outbound,
            ..Self::default()
        };
        let inbound = |inbound| Self {
            inbound,
            ..Self::default()
        };
        let sequence = sequence::Planted::default;
        let replay = replay::Planted::default;
        vec![
            (
                "jump_without_budget",
                outbound(sequence::Planted {
                    jump_without_budget: true,
                    ..sequence()
                }),
            ),
            (
                "use_before_acknowledged",
                outbound(sequence::Planted {
                    use_before_acknowledged: true,
                    ..sequence()
                }),
            ),
            (
                "never_bounded",
                outbound(sequence::Planted {
                    never_bounded: true,
                    ..sequence()
                }),
            ),
            (
                "contests_ignored",
                outbound(sequence::Planted {
                    contests_ignored: true,
                    ..sequence()
                }),
            ),
            (
                "ceiling_ignored",
                inbound(replay::Planted {
                    ceiling_ignored: true,
                    ..replay()
                }),
            ),
            (
                "window_without_older_blocks",
                inbound(replay::Planted {
                    window_without_older_blocks: true,
                    ..replay()
                }),
            ),
            (
                "no_flush",
                Self {
                    no_flush: true,
                    ..Self::default()
                },
            ),
            (
                "contests_unheard",
                Self {
                    contests_unheard: true,
                    ..Self::default()
                },
            ),
        ]
    }

    /// Those that the counters themselves leave out.
    pub(super) fn counters(self) -> crate::sad::Planted {
        crate::sad::Planted {
            outbound: self.outbound,
            inbound: self.inbound,
        }
    }

    /// The fault of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all()
            .into_iter()
            .find(|(known, _)| *known == name)
            .map(|(_, planted)| planted)
    }
}
