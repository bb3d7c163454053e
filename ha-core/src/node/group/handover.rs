//! How an active group gives its role to the standby.
//!
//! ```text
//!  PREPARING ──────────────▶ DRAINING ──────────────▶ RESIGNED
//!  data path runs on         data path stands still   the standby takes over
//!  clients make exact        only what moved since    what is here is kept until
//!  what the standby holds    then is left to send     the other unit is active
//! ```
//!
//! What peers notice is the second phase alone, so the first one does as much of the work as it can.

use super::{Context, Group, Role};
use crate::checkpoint::{Notice, Sender};
use crate::node::output::Event;
use crate::redundancy::{RfState, SwitchoverReason, SwitchoverRefusal, SwitchoverView};
use crate::scheme::SchemeInput;
use crate::time::Time;
use crate::wire::{Body, pb};

/// A manual switchover under way.
pub(crate) struct Handover {
    reason: SwitchoverReason,
    phase: Phase,
    /// When it fails.
    deadline: Time,
}

enum Phase {
    Preparing(Preparation),
    Draining,
    /// From now on this unit is no longer active, but keeps its state until the other one is.
    Resigned,
}

struct Preparation {
    pass: Pass,
    /// Then the data path stops in any case.
    limit: Time,
}

/// Sending all that is marked, while more is being marked.
enum Pass {
    /// Clients are given time to mark what they can.
    Due(Time),
    Running,
    /// All of it is in batches up to this one.
    Sent(u64),
}

impl Handover {
    /// When something is to be done; once the role was given up the scheme decides.
    pub(super) fn deadline(&self) -> Option<Time> {
        match &self.phase {
            Phase::Preparing(preparation) => Some(match preparation.pass {
                Pass::Due(at) => at.min(preparation.limit),
                Pass::Running | Pass::Sent(_) => preparation.limit,
            }),
            Phase::Draining => Some(self.deadline),
            Phase::Resigned => None,
        }
    }

    /// Whether the data path may run.
    pub(super) fn is_serving(&self) -> bool {
        matches!(self.phase, Phase::Preparing(_))
    }

    pub(super) fn is_resigned(&self) -> bool {
        matches!(self.phase, Phase::Resigned)
    }
}

impl Preparation {
    /// Whether the standby holds all that was marked when the pass began.
    fn is_done(&mut self, sender: &Sender, now: Time) -> bool {
        if let (Pass::Running, Some(last)) = (&self.pass, sender.passed()) {
            self.pass = Pass::Sent(last);
        }
        let held = match self.pass {
            Pass::Sent(last) => sender.is_complete() && sender.is_acknowledged(last),
            Pass::Due(_) | Pass::Running => false,
        };
        held || now >= self.limit
    }
}

impl Group {
    /// Gives the active role to the standby.
    pub(crate) fn switchover(
        &mut self,
        force: bool,
        ctx: &mut Context<'_>,
    ) -> Result<(), SwitchoverRefusal> {
        if self.handover.is_some() {
            return Err(SwitchoverRefusal::InProgress);
        }
        let reason = self
            .switchover_view(ctx.peer_incarnation.is_some())
            .judge(force)?;
        self.give_up(reason, ctx);
        Ok(())
    }

    /// Why a manual switchover would be refused now.
    pub(crate) fn switchover_refusal(&self, peer_there: bool) -> Option<SwitchoverRefusal> {
        if self.handover.is_some() {
            return Some(SwitchoverRefusal::InProgress);
        }
        self.switchover_view(peer_there).judge(false).err()
    }

    fn switchover_view(&self, peer_there: bool) -> SwitchoverView {
        let peer_maintenance = self.peer.as_ref().is_some_and(|peer| peer.maintenance);
        SwitchoverView {
            state: self.facility.state(),
            peer: if peer_there { self.peer_state() } else { None },
            maintenance: self.maintenance || peer_maintenance,
        }
    }

    /// Whether the role can be given up in order.
    pub(super) fn is_successor_ready(&self) -> bool {
        self.peer_state() == Some(RfState::StandbyHot)
            && matches!(
                self.facility.state(),
                RfState::Active | RfState::ActiveExtraload
            )
    }

    /// First most of the state is sent, then the data plane closes, then the rest is sent, then the
    /// role goes. By force there is no preparation: the standby may not even be able to follow.
    pub(super) fn give_up(&mut self, reason: SwitchoverReason, ctx: &mut Context<'_>) {
        let forced = reason == SwitchoverReason::UserForced;
        let preparation = Preparation {
            pass: Pass::Due(ctx.now + self.members.preparation()),
            limit: ctx.now + self.switchover_limit / 4,
        };
        self.handover = Some(Handover {
            reason,
            phase: Phase::Preparing(preparation),
            deadline: ctx.now + self.switchover_limit,
        });
        if forced {
            self.stop_serving(ctx);
        } else {
            self.members.notice(Notice::HandoverAhead);
            self.begin_pass(ctx.now);
        }
    }

    /// Begins to send what is marked, when clients had their time.
    fn begin_pass(&mut self, now: Time) {
        if let (Some(handover), Some(sender)) = (&mut self.handover, &mut self.sender)
            && let Phase::Preparing(preparation) = &mut handover.phase
            && let Pass::Due(at) = preparation.pass
            && now >= at
        {
            preparation.pass = Pass::Running;
            sender.begin_drain();
        }
    }

    /// Goes on as far as the standby has come.
    pub(crate) fn continue_handover(&mut self, ctx: &mut Context<'_>) {
        let (Some(handover), Some(sender)) = (&mut self.handover, &self.sender) else {
            return;
        };
        match &mut handover.phase {
            Phase::Preparing(preparation) => {
                if preparation.is_done(sender, ctx.now) {
                    self.end_preparation(ctx);
                }
            }
            Phase::Draining => self.resign(ctx),
            Phase::Resigned => {}
        }
    }

    fn end_preparation(&mut self, ctx: &mut Context<'_>) {
        if self.is_successor_ready() {
            self.stop_serving(ctx);
        } else {
            self.reclaim("the standby is not ready any more", ctx);
        }
    }

    /// The data plane closes.
    fn stop_serving(&mut self, ctx: &mut Context<'_>) {
        let Some(handover) = &mut self.handover else {
            return;
        };
        handover.phase = Phase::Draining;
        let reason = handover.reason;
        self.set_writable(false);
        if let Some(sender) = &mut self.sender {
            sender.begin_drain();
        }
        self.facility.hand_back(reason, ctx.now);
        self.run_facility(ctx);
    }

    /// Resigns as soon as the standby holds everything; by force at once.
    fn resign(&mut self, ctx: &mut Context<'_>) {
        let (Some(handover), Some(sender)) = (&mut self.handover, &self.sender) else {
            return;
        };
        let forced = handover.reason == SwitchoverReason::UserForced;
        let drained = sender.is_complete() && sender.is_drained(&self.members);
        if !self.facility.is_complete() || !(drained || forced) {
            return;
        }
        let Some(link) = sender.link().or_else(|| ctx.links.first().copied()) else {
            return;
        };
        handover.phase = Phase::Resigned;
        let resign = pb::Resign {
            group: self.id.value(),
            term: Some(self.term.into()),
            reason: u32::from(handover.reason.number()),
        };
        ctx.send(link, Body::Resign(resign));
        *ctx.status_due = true;
        self.scheme_input(&SchemeInput::Resigned, ctx);
    }

    pub(super) fn handover_timeout(&mut self, ctx: &mut Context<'_>) {
        self.begin_pass(ctx.now);
        self.continue_handover(ctx);
        let late = self.handover.as_ref().is_some_and(|handover| {
            matches!(handover.phase, Phase::Draining) && ctx.now >= handover.deadline
        });
        if late {
            self.reclaim("the standby did not catch up in time", ctx);
        }
    }

    /// The handover failed: nobody else took the role, so this unit takes it again.
    pub(super) fn reclaim(&mut self, why: &'static str, ctx: &mut Context<'_>) {
        let Some(handover) = self.handover.take() else {
            return;
        };
        ctx.event(Event::SwitchoverFailed {
            group: self.id,
            why,
        });
        if self.role != Role::Active {
            return;
        }
        match handover.phase {
            Phase::Preparing(_) => self.members.notice(Notice::HandoverOff),
            Phase::Draining => {
                self.facility.keep_role(why, ctx.now);
                // A process that stood still meanwhile must first hear that it is still active.
                self.set_writable(!self.suspect);
                self.run_facility(ctx);
            }
            Phase::Resigned => self.activate(SwitchoverReason::ActiveUnitFailed, ctx),
        }
    }
}
