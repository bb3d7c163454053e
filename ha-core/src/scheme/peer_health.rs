//! The scheme in which the units watch each other.

use core::cmp::Reverse;
use core::time::Duration;

use super::{Decision, LocalView, PeerView, Reason, Role, Scheme, SchemeInput};
use crate::id::Term;
use crate::redundancy::{KeepaliveConfig, RfState, Verdict};
use crate::time::Time;

/// The units elect an active one at start; the standby takes over when it is lost.
///
/// | role \ peer | never heard | gone | undecided | standby | active |
/// |---|---|---|---|---|---|
/// | **undecided** | active after `boot_wait` ¹ | active after `boot_wait` ¹ | election ² | standby ⁷ | standby |
/// | **standby** | – | active ³ | by rank ⁴ | by rank ⁴ | – |
/// | **active** | – | – | – | – ⁵ | by claim ⁶ |
///
/// A dash means that the role stays.
/// 1. If `start_alone`, and not in maintenance mode.
/// 2. A unit in maintenance mode loses (two of them stay undecided); then the higher priority wins,
///    then the lower unit id.
/// 3. If not in maintenance mode, and this unit holds a complete state or `takeover_incomplete` is
///    set. *Gone* is a peer that was lost, left in order, or restarted and was not heard since.
/// 4. When it has been so for `hold`, and this unit does not carry the role any more: a unit in
///    maintenance mode loses, then a complete state wins, then the state of the higher term, then
///    the lower unit id. With both units in reach `takeover_incomplete` is not asked: there is
///    nothing better to wait for.
/// 5. With `preempt`: hands over to a peer that is STANDBY HOT, of higher priority and not in
///    maintenance mode, when it has been so for `hold`.
/// 6. [`Claim::against`](crate::redundancy::Claim::against).
/// 7. Unless the standby has never seen an active unit: then as among undecided units, for it has
///    decided on this unit's first status, before its own arrived here.
///
/// An active unit whose peer has seen a higher term raises its own ([`Decision::raise_term`]).
///
/// A peer that resigned makes a standby active at once, unless it is in maintenance mode; what it
/// holds is not asked, since the peer has closed its data path. An active unit in maintenance mode
/// stays active.
#[derive(Clone, Debug)]
pub struct PeerHealth {
    config: PeerHealthConfig,
    decision: Decision,
    peer: Peer,
    /// The term that the peer gave up last: what claims it still is an old status.
    resigned: Option<Term>,
    boot: Wait,
    hold: Wait,
}

impl PeerHealth {
    /// A scheme that has not been booted.
    pub const fn new(config: PeerHealthConfig) -> Self {
        Self {
            config,
            decision: Decision::new(Role::Undecided, Reason::Booting),
            peer: Peer::Unknown,
            resigned: None,
            boot: Wait::Idle,
            hold: Wait::Idle,
        }
    }

    /// The configuration.
    pub const fn config(&self) -> &PeerHealthConfig {
        &self.config
    }

    /// Takes in what an input says of the peer, and what it says of this unit's role directly.
    fn note(&mut self, input: &SchemeInput, local: &LocalView, now: Time) {
        match input {
            SchemeInput::Boot => self.boot = Wait::Until(now + self.config.boot_wait),
            SchemeInput::PeerSeen(view) => self.peer = Peer::Seen(self.without_old_claim(*view)),
            SchemeInput::PeerLost => self.peer_gone(Reason::PeerLost),
            SchemeInput::PeerRestarted => self.peer_gone(Reason::PeerRestarted),
            SchemeInput::PeerLeft => self.peer_gone(Reason::PeerLeft),
            SchemeInput::PeerResigned { term } => self.peer_resigned(*term, local),
            SchemeInput::Resigned if self.decision.role == Role::Active => {
                self.decide(Role::Standby, Reason::Resigned);
            }
            SchemeInput::SetRole(role) => self.command(*role),
            SchemeInput::Resigned | SchemeInput::Timer | SchemeInput::Maintenance => {}
        }
    }

    fn without_old_claim(&self, mut view: PeerView) -> PeerView {
        view.claim = view.claim.filter(|claim| Some(claim.term) > self.resigned);
        view
    }

    const fn peer_gone(&mut self, why: Reason) {
        // A unit that was never heard is not gone: it may be about to say that it is active.
        if matches!(self.peer, Peer::Seen(_)) {
            self.peer = Peer::Gone(why);
        }
    }

    fn peer_resigned(&mut self, term: Term, local: &LocalView) {
        self.resigned = self.resigned.max(Some(term));
        if let Peer::Seen(view) = self.peer {
            self.peer = Peer::Seen(self.without_old_claim(view));
        }
        if self.decision.role == Role::Standby && !local.maintenance {
            self.decide(Role::Active, Reason::PeerResigned);
        }
    }

    fn command(&mut self, role: Role) {
        match (role, self.decision.role, self.peer.class()) {
            (Role::Active, Role::Undecided | Role::Standby, class) if class != Class::Active => {
                self.decide(Role::Active, Reason::Commanded);
            }
            (Role::Standby, Role::Active, Class::Standby) => {
                self.decide(Role::Standby, Reason::Commanded);
            }
            (
                Role::Undecided | Role::Standby | Role::Active,
                Role::Undecided | Role::Standby | Role::Active,
                _,
            ) => {}
        }
    }

    fn evaluate(&mut self, local: &LocalView, now: Time) {
        let class = self.peer.class();
        self.boot.expire(now);
        self.hold
            .run_while(self.holds_still(class, local), now, self.config.hold);
        match (self.decision.role, class) {
            (Role::Undecided, Class::Unknown | Class::Gone) => self.start_alone(local),
            (Role::Undecided, Class::Undecided) => self.elect(local),
            // It decided a moment earlier, on this unit's first status: nobody has state to wait for.
            (Role::Undecided, Class::Standby) if self.peer_is_blank() => self.elect(local),
            (Role::Undecided, Class::Standby) => self.decide(Role::Standby, Reason::PeerWaiting),
            (Role::Undecided, Class::Active) => self.decide(Role::Standby, Reason::PeerActive),
            (Role::Standby, Class::Gone) => self.take_over(local),
            (Role::Standby, Class::Undecided | Class::Standby) => self.take_over_by_rank(local),
            (Role::Active, Class::Standby) => {
                self.outdated(local);
                self.hand_over();
            }
            (Role::Active, Class::Active) => self.contest(local),
            (Role::Active, Class::Undecided) => self.outdated(local),
            (Role::Standby, Class::Unknown | Class::Active)
            | (Role::Active, Class::Unknown | Class::Gone) => {}
        }
        // A role that changed just now may have ended what the hold time ran for.
        let still = self.holds_still(class, local);
        self.hold.run_while(still, now, self.config.hold);
    }

    /// Whether the situation that the hold time is for is at hand.
    fn holds_still(&self, class: Class, local: &LocalView) -> bool {
        match (self.decision.role, class) {
            (Role::Standby, Class::Undecided | Class::Standby) => local.claim.is_none(),
            (Role::Active, Class::Standby) => self.prefers_peer(),
            (Role::Undecided, _)
            | (Role::Standby, Class::Unknown | Class::Gone | Class::Active)
            | (Role::Active, Class::Unknown | Class::Gone | Class::Undecided | Class::Active) => {
                false
            }
        }
    }

    fn start_alone(&mut self, local: &LocalView) {
        if self.boot == Wait::Over && self.config.start_alone && !local.maintenance {
            self.decide(Role::Active, Reason::Alone);
        }
    }

    /// Whether the peer has never seen an active unit, and so holds no state of one.
    fn peer_is_blank(&self) -> bool {
        matches!(&self.peer, Peer::Seen(peer) if peer.seen.max(peer.holds) == Term::ZERO)
    }

    fn elect(&mut self, local: &LocalView) {
        let Peer::Seen(peer) = self.peer else { return };
        let mine = (
            !local.maintenance,
            self.config.priority,
            Reverse(local.unit),
        );
        let theirs = (!peer.maintenance, peer.priority, Reverse(peer.unit));
        match (local.maintenance && peer.maintenance, mine > theirs) {
            (true, _) => {}
            (false, true) => self.decide(Role::Active, Reason::Elected),
            (false, false) => self.decide(Role::Standby, Reason::Elected),
        }
    }

    fn take_over(&mut self, local: &LocalView) {
        let Peer::Gone(why) = self.peer else { return };
        if !local.maintenance && (local.holds_complete || self.config.takeover_incomplete) {
            self.decide(Role::Active, why);
        }
    }

    fn take_over_by_rank(&mut self, local: &LocalView) {
        let Peer::Seen(peer) = self.peer else { return };
        let mine = (
            !local.maintenance,
            local.holds_complete,
            local.holds,
            Reverse(local.unit),
        );
        let theirs = (
            !peer.maintenance,
            peer.holds_complete,
            peer.holds,
            Reverse(peer.unit),
        );
        if self.hold == Wait::Over && !local.maintenance && mine > theirs {
            self.decide(Role::Active, Reason::NobodyActive);
        }
    }

    fn hand_over(&mut self) {
        if self.hold == Wait::Over && self.prefers_peer() {
            self.decide(Role::Standby, Reason::PeerPreferred);
        }
    }

    fn prefers_peer(&self) -> bool {
        let Peer::Seen(peer) = self.peer else {
            return false;
        };
        let eager = peer.priority > self.config.priority && !peer.maintenance;
        self.config.preempt && eager && peer.state == RfState::StandbyHot
    }

    fn contest(&mut self, local: &LocalView) {
        let Peer::Seen(PeerView {
            claim: Some(theirs),
            ..
        }) = self.peer
        else {
            return;
        };
        // Decided but not active yet: the peer was first.
        let Some(mine) = local.claim else {
            return self.decide(Role::Standby, Reason::PeerActive);
        };
        match mine.against(&theirs) {
            Verdict::Keep { raise_term } => {
                self.outdated(local);
                self.decision.raise_term |= raise_term;
            }
            Verdict::Yield => self.decide(Role::Standby, Reason::Claims),
            Verdict::Wait => {}
        }
    }

    /// The peer's term may be the higher one without a contest: it was active meanwhile.
    fn outdated(&mut self, local: &LocalView) {
        let Peer::Seen(peer) = self.peer else { return };
        self.decision.raise_term = peer.outdates(local.claim);
    }

    const fn decide(&mut self, role: Role, reason: Reason) {
        self.decision = Decision::new(role, reason);
    }
}

impl Default for PeerHealth {
    fn default() -> Self {
        Self::new(PeerHealthConfig::default())
    }
}

impl Scheme for PeerHealth {
    fn name(&self) -> &'static str {
        "peer-health"
    }

    fn priority(&self) -> u32 {
        self.config.priority
    }

    fn handle(&mut self, input: &SchemeInput, local: &LocalView, now: Time) {
        self.decision.raise_term = false;
        self.note(input, local, now);
        self.evaluate(local, now);
    }

    fn decision(&self) -> Decision {
        self.decision
    }

    fn poll_timeout(&self) -> Option<Time> {
        let booting = self.decision.role == Role::Undecided && self.config.start_alone;
        let boot = self.boot.deadline().filter(|_| booting);
        boot.into_iter().chain(self.hold.deadline()).min()
    }
}

/// How [`PeerHealth`] behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerHealthConfig {
    /// Larger is preferred when neither unit has a role. Default 100.
    pub priority: u32,
    /// How long a unit that starts listens for its peer before it is active alone. Default: three
    /// times the detection time.
    pub boot_wait: Duration,
    /// How long nobody may be active, with both units in reach, before one takes over; also how
    /// long a preferred peer must have been ready. Default: twice the detection time.
    pub hold: Duration,
    /// Whether a unit that hears no peer after it started becomes active (simplex). Default yes.
    pub start_alone: bool,
    /// Whether a standby without the complete state takes over when the peer is gone: service with
    /// a part of the state rather than none. Default yes.
    pub takeover_incomplete: bool,
    /// Whether an active unit hands over to a ready peer of higher priority. Default no.
    pub preempt: bool,
}

impl PeerHealthConfig {
    /// The longest `boot_wait` and `hold`.
    pub const MAX_WAIT: Duration = Duration::from_secs(3600);

    /// The defaults for these keepalives.
    pub fn for_keepalive(keepalive: KeepaliveConfig) -> Self {
        let detection = keepalive.detection_time();
        Self {
            priority: 100,
            boot_wait: (detection * 3).min(Self::MAX_WAIT),
            hold: (detection * 2).min(Self::MAX_WAIT),
            start_alone: true,
            takeover_incomplete: true,
            preempt: false,
        }
    }

    /// Checks the configuration against the keepalives that it runs with.
    ///
    /// # Errors
    /// When a wait is shorter than the detection time, so that a unit would act before it can know
    /// of its peer, or longer than [`PeerHealthConfig::MAX_WAIT`].
    pub fn validate(&self, keepalive: KeepaliveConfig) -> Result<(), PeerHealthConfigError> {
        let least = keepalive.detection_time().min(Self::MAX_WAIT);
        for (what, wait) in [("boot wait", self.boot_wait), ("hold time", self.hold)] {
            if !(least..=Self::MAX_WAIT).contains(&wait) {
                return Err(PeerHealthConfigError::Wait { what, wait, least });
            }
        }
        Ok(())
    }
}

impl Default for PeerHealthConfig {
    fn default() -> Self {
        Self::for_keepalive(KeepaliveConfig::default())
    }
}

/// Why a configuration of [`PeerHealth`] is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerHealthConfigError {
    /// A wait is out of range.
    #[error("{what} of {wait:?} is out of range: from the detection time, {least:?}, to 1 hour")]
    Wait {
        /// Which.
        what: &'static str,
        /// What was asked for.
        wait: Duration,
        /// The shortest.
        least: Duration,
    },
}

/// What is known of the peer.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Peer {
    Unknown,
    Gone(Reason),
    Seen(PeerView),
}

impl Peer {
    const fn class(&self) -> Class {
        match self {
            Self::Unknown => Class::Unknown,
            Self::Gone(_) => Class::Gone,
            Self::Seen(PeerView { claim: Some(_), .. }) => Class::Active,
            Self::Seen(PeerView { decided: true, .. }) => Class::Standby,
            Self::Seen(_) => Class::Undecided,
        }
    }
}

/// The columns of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    Unknown,
    Gone,
    Undecided,
    Standby,
    Active,
}

/// A span of time that something must have lasted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wait {
    Idle,
    Until(Time),
    Over,
}

impl Wait {
    fn expire(&mut self, now: Time) {
        if self.deadline().is_some_and(|until| until <= now) {
            *self = Self::Over;
        }
    }

    fn run_while(&mut self, lasts: bool, now: Time, span: Duration) {
        match (lasts, *self) {
            (false, _) => *self = Self::Idle,
            (true, Self::Idle) => *self = Self::Until(now + span),
            (true, Self::Until(_)) => self.expire(now),
            (true, Self::Over) => {}
        }
    }

    const fn deadline(self) -> Option<Time> {
        match self {
            Self::Until(until) => Some(until),
            Self::Idle | Self::Over => None,
        }
    }
}

#[cfg(test)]
mod tests;
