//! Dead peer detection across a takeover: RFC 3706 for IKEv1, liveness checks (RFC 7296 §2.4) for
//! IKEv2.
//!
//! A takeover takes time, and the new active has heard of no peer. [`Dpd::resume`] counts every peer
//! as heard at that moment, and gives each a first probe of its own moment, so that neither are ten
//! thousand peers declared dead at once nor probed at once.

mod config;
mod state;

pub use config::{Backoff, DpdConfig, DpdConfigError, DpdMode};
pub use state::{DpdState, RUThere};

use core::time::Duration;

use ha_core::time::Time;

use crate::lifetime::SpreadKey;

/// Watches one peer.
///
/// ```text
///                 silent for `interval` (on demand: and something was sent)
///   watching ──────────────────────────────────▶ probing ──┐ no answer, retries left
///      ▲                                          │  ▲     │
///      └────────── anything heard ────────────────┤  └─────┘
///                                                 └─▶ dead: no answer, none left
/// ```
///
/// RFC 7296 §2.4: "Receipt of a fresh cryptographically protected message on an IKE SA or any of its
/// Child SAs ensures liveness of the IKE SA and all of its Child SAs": report that with
/// [`handle_heard`](Self::handle_heard), traffic to the peer with
/// [`handle_sent`](Self::handle_sent); once per tick is enough, with the tick's time.
#[derive(Clone, Debug)]
pub struct Dpd {
    config: DpdConfig,
    protocol: DpdProtocol,
    state: DpdState,
    /// The sequence number of the last `R-U-THERE` sent.
    sent: u32,
    heard: Time,
    not_before: Time,
    phase: Phase,
    transmit: Option<Probe>,
}

/// How a peer is probed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DpdProtocol {
    /// `R-U-THERE` notifies with sequence numbers.
    Ikev1,
    /// Empty `INFORMATIONAL` requests.
    Ikev2,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// `due` is `None` while nothing was sent to which an answer could be missing.
    Watching {
        due: Option<Time>,
    },
    Probing {
        retries: u8,
        deadline: Time,
        pardoned: bool,
    },
    Dead,
}

/// What to send.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Probe {
    /// IKEv1: a notify `R-U-THERE` (36136) with this number. RFC 3706 §6.2 has numbers grow by one
    /// with each message, so a retry has a number of its own.
    RUThere {
        /// The sequence number.
        sequence: u32,
    },
    /// IKEv2: an empty `INFORMATIONAL` request, in its own exchange.
    Liveness,
    /// IKEv2: the same request again, "bitwise identical to the original request" (RFC 7296 §2.1).
    LivenessAgain,
}

/// The peer did not answer: RFC 7296 §2.4: "the IKE SA and all Child SAs set up through that IKE SA are
/// deleted".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PeerDead {
    /// How long nothing was heard.
    pub silent: Duration,
}

impl Dpd {
    /// Watches the peer of a new IKE SA. `first_sequence` is random; its highest bit is cleared, as
    /// RFC 3706 §6.2 recommends.
    pub fn new(config: DpdConfig, protocol: DpdProtocol, first_sequence: u32, now: Time) -> Self {
        let state = DpdState::new(first_sequence);
        Self::watch(config, protocol, state, now, now)
    }

    /// Watches the peer of an IKE SA that this unit takes over: it counts as heard now, and is not
    /// probed before `grace` and a part of the interval that is its own have passed.
    ///
    /// An `R-U-THERE` takes up the numbers after the last one *answered*. If the former active had
    /// sent more, the peer (which may insist on the very next number) ignores the first few, and
    /// retries reach the number it expects; numbers skipped ahead would be ignored for ever.
    pub fn resume(
        config: DpdConfig,
        protocol: DpdProtocol,
        state: DpdState,
        (grace, key): (Duration, SpreadKey),
        now: Time,
    ) -> Self {
        let spread = key.purpose(PROBE).within(config.interval());
        let not_before = now + grace + spread;
        Self::watch(config, protocol, state, now, not_before)
    }

    fn watch(
        config: DpdConfig,
        protocol: DpdProtocol,
        state: DpdState,
        heard: Time,
        not_before: Time,
    ) -> Self {
        let mut dpd = Self {
            config,
            protocol,
            state,
            sent: state.answered,
            heard,
            not_before,
            phase: Phase::Dead,
            transmit: None,
        };
        dpd.phase = dpd.watching();
        dpd
    }

    fn watching(&self) -> Phase {
        Phase::Watching {
            due: match self.config.mode {
                DpdMode::Periodic => Some(self.due()),
                DpdMode::OnDemand => None,
            },
        }
    }

    fn due(&self) -> Time {
        (self.heard + self.config.interval()).max(self.not_before)
    }

    /// A fresh, protected message came from the peer, on the IKE SA or a child SA.
    pub fn handle_heard(&mut self, now: Time) {
        if self.phase != Phase::Dead {
            self.heard = self.heard.max(now);
            self.phase = self.watching();
            self.transmit = None;
        }
    }

    /// Something was sent to the peer. Matters [on demand](DpdMode::OnDemand).
    pub fn handle_sent(&mut self, now: Time) {
        if self.phase == (Phase::Watching { due: None }) {
            let due = self.due().max(now);
            self.phase = Phase::Watching { due: Some(due) };
        }
    }

    /// An `R-U-THERE-ACK` came: whether its number is one that waits for an answer. RFC 3706 §6.1
    /// has others rejected.
    pub fn handle_ack(&mut self, sequence: u32, now: Time) -> bool {
        let waiting = self.state.acknowledge(sequence, self.sent);
        if waiting {
            self.handle_heard(now);
        }
        waiting
    }

    /// An `R-U-THERE` of the peer came: whether to answer it.
    pub fn handle_r_u_there(&mut self, sequence: u32, now: Time) -> RUThere {
        let verdict = self.state.receive(sequence);
        if verdict == RUThere::Answer {
            self.handle_heard(now);
        }
        verdict
    }

    /// What to send now, if anything.
    pub fn poll_transmit(&mut self) -> Option<Probe> {
        self.transmit.take()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub const fn poll_timeout(&self) -> Option<Time> {
        match self.phase {
            Phase::Watching { due } => due,
            Phase::Probing { deadline, .. } => Some(deadline),
            Phase::Dead => None,
        }
    }

    /// Probes, or gives the peer up. Before its time it does nothing.
    ///
    /// When this process was stopped, the peer's answer may still be unread: a last deadline that
    /// comes a whole wait late is followed by one more probe, once.
    pub fn handle_timeout(&mut self, now: Time) -> Option<PeerDead> {
        let deadline = self.poll_timeout().filter(|deadline| now >= *deadline)?;
        let Phase::Probing {
            retries, pardoned, ..
        } = self.phase
        else {
            self.probe(0, false, now);
            return None;
        };
        if retries < self.config.retries {
            self.probe(retries + 1, pardoned, now);
            return None;
        }
        if !pardoned && now.since(deadline) >= self.config.wait(retries) {
            self.probe(retries, true, now);
            return None;
        }
        self.phase = Phase::Dead;
        Some(PeerDead {
            silent: now.since(self.heard),
        })
    }

    fn probe(&mut self, retries: u8, pardoned: bool, now: Time) {
        self.transmit = Some(match self.protocol {
            DpdProtocol::Ikev1 => {
                self.sent = self.sent.wrapping_add(1);
                Probe::RUThere {
                    sequence: self.sent,
                }
            }
            DpdProtocol::Ikev2 if retries == 0 => Probe::Liveness,
            DpdProtocol::Ikev2 => Probe::LivenessAgain,
        });
        self.phase = Phase::Probing {
            retries,
            deadline: now + self.config.wait(retries),
            pardoned,
        };
    }

    /// What to replicate. It changes with each answer and with each `R-U-THERE` of the peer.
    pub const fn state(&self) -> DpdState {
        self.state
    }

    /// Whether the peer was declared dead.
    pub fn is_dead(&self) -> bool {
        self.phase == Phase::Dead
    }

    /// Whether an answer is awaited.
    pub const fn is_probing(&self) -> bool {
        matches!(self.phase, Phase::Probing { .. })
    }
}

const PROBE: u64 = 0x6470_6401;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
