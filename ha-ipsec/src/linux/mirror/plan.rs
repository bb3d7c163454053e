//! What is to be written into a kernel, SA by SA.

use std::collections::HashMap;
use std::sync::Arc;

use ha_core::time::Time;

use super::kernel::{Command, Kernel, KernelError, KernelSa, SaRef, Usage, count_refused};
use super::policies::{PolicyKey, PolicyTable};
use super::target::{active_target, standby_target};
use super::{Clocks, MirrorConfig, MirrorStats, Mode, Takeover};
use crate::linux::replay::ReplayState;
use crate::record::{Direction, IpsecSa};
use crate::sad::Sad;

/// Where counters come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// From what the active unit sent last.
    Standby,
    /// From this unit's own counters, which begin where no other unit was.
    Active,
}

/// What an SA was brought to, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Brought {
    pub(super) known: Known,
    pub(super) since: Time,
    /// Packets that it had refused by then.
    pub(super) refused: u64,
}

/// What an SA was brought to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Known {
    pub(super) instance: u64,
    pub(super) outbound: u64,
    pub(super) inbound: u64,
}

/// Where an SA may go on.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) replay: ReplayState,
    usage: Usage,
}

impl Known {
    pub(super) const fn of(record: &IpsecSa, replay: &ReplayState) -> Self {
        Self {
            instance: record.instance,
            outbound: replay.outbound,
            inbound: replay.inbound,
        }
    }
}

/// What the kernel was brought to.
pub(super) struct Reached {
    pub(super) sa: SaRef,
    pub(super) brought: Brought,
    pub(super) installed: bool,
}

/// What is to be written.
pub(super) struct Plan<'a> {
    /// What SAs were brought to before.
    pub(super) before: HashMap<SaRef, Brought>,
    /// What each SA will have reached, by the command that does it; none if it has already.
    reached: Vec<(SaRef, Brought, Option<usize>)>,
    pub(super) full: bool,
    budget: u64,
    source: Source,
    sad: &'a Sad,
    clocks: Clocks,
    pub(super) records: Vec<Arc<IpsecSa>>,
    pub(super) held: HashMap<SaRef, KernelSa>,
    commands: Vec<Command>,
    pub(super) takeover: Takeover,
    ahead: u64,
    other_keys: usize,
    removed: u64,
}

impl<'a> Plan<'a> {
    pub(super) fn new(config: &MirrorConfig, source: Source, sad: &'a Sad, clocks: Clocks) -> Self {
        Self {
            before: HashMap::new(),
            reached: Vec::new(),
            full: config.mode == Mode::Full,
            budget: config.budget,
            source,
            sad,
            clocks,
            records: Vec::new(),
            held: HashMap::new(),
            commands: Vec::new(),
            takeover: Takeover::default(),
            ahead: 0,
            other_keys: 0,
            removed: 0,
        }
    }

    pub(super) fn make(&mut self) {
        for record in core::mem::take(&mut self.records) {
            let sa = SaRef::of(&record);
            match self.held.remove(&sa) {
                Some(held) if is_same(&held.record, &record) => self.advance(sa, &record, &held),
                Some(_) if self.full => {
                    self.commands.push(Command::Remove(sa));
                    self.removed += 1;
                    self.install(&record);
                }
                Some(_) => self.other_keys += 1,
                None if self.full => self.install(&record),
                None => self.takeover.missing += 1,
            }
        }
        if !self.full && self.source == Source::Active && self.takeover.sas > 0 {
            self.jump_unknown();
        }
        // What is left passes the filter, and the active unit does not have it (any more).
        if self.full && self.source == Source::Standby {
            let left = core::mem::take(&mut self.held);
            self.removed += left.len() as u64;
            self.commands.extend(left.into_keys().map(Command::Remove));
        }
    }

    /// SAs that an IKE daemon installed here for the other unit, which died before it could tell of their
    /// counters: it may have used them. One that was used here already is this unit's own.
    fn jump_unknown(&mut self) {
        let outbound = |held: &&KernelSa| {
            held.record.direction == Direction::Outbound && held.replay.outbound == 0
        };
        for held in self.held.values().filter(outbound) {
            self.takeover.written += 1;
            self.commands.push(Command::SetCounters {
                sa: SaRef::of(&held.record),
                replay: ReplayState {
                    outbound: self.budget,
                    ..held.replay.clone()
                },
                usage: held.usage,
            });
        }
    }

    /// Counters of an SA that the kernel has, unless it is as far already.
    fn advance(&mut self, sa: SaRef, record: &IpsecSa, held: &KernelSa) {
        let Some(Target { replay, usage }) = self.target(record) else {
            tracing::debug!(sa = %record.id, "no counters");
            return;
        };
        tracing::debug!(
            sa = %record.id,
            outbound = replay.outbound,
            inbound = replay.inbound,
            held_outbound = held.replay.outbound,
            held_inbound = held.replay.inbound,
            "counters"
        );
        let brought = self.brought(sa, Known::of(record, &replay), held.refused);
        // A window that stands where this put it has accepted nothing since, and follows what was
        // replicated last: also down, when the active unit closed its ceiling on the exact top.
        let is_ours = self.before.get(&sa).is_some_and(|before| {
            before.known.instance == record.instance && before.known.inbound == held.replay.inbound
        });
        let written = if is_ours {
            ReplayState {
                outbound: replay.outbound.max(held.replay.outbound),
                ..replay.clone()
            }
        } else {
            // The guard: nothing goes back, whatever was replicated.
            replay.merge(&held.replay)
        };
        if held.replay.outbound >= written.outbound && held.replay.is_window_of(&written) {
            self.ahead += u64::from(held.replay != replay);
            self.reached.push((sa, brought, None));
            return;
        }
        let usage = Usage {
            bytes: usage.bytes.max(held.usage.bytes),
            packets: usage.packets.max(held.usage.packets),
            ..usage
        };
        self.set(sa, brought, written, usage);
    }

    /// Counters of an SA that stands where it was brought to `before`.
    pub(super) fn forward(&mut self, record: &IpsecSa, target: Target, before: Brought) {
        let Target { replay, usage } = target;
        let brought = Brought {
            known: Known::of(record, &replay),
            since: self.clocks.now,
            ..before
        };
        self.set(SaRef::of(record), brought, replay, usage);
    }

    fn set(&mut self, sa: SaRef, brought: Brought, replay: ReplayState, usage: Usage) {
        self.reached.push((sa, brought, Some(self.commands.len())));
        self.takeover.written += 1;
        self.commands
            .push(Command::SetCounters { sa, replay, usage });
    }

    fn install(&mut self, record: &Arc<IpsecSa>) {
        // Without counters no number is safe; they come with the next batch, or a rekey helps.
        let Some(Target { replay, usage }) = self.target(record) else {
            self.takeover.missing += 1;
            return;
        };
        self.takeover.installed += 1;
        let sa = SaRef::of(record);
        let brought = self.brought(sa, Known::of(record, &replay), 0);
        self.reached.push((sa, brought, Some(self.commands.len())));
        self.commands.push(Command::Install {
            record: Box::new(IpsecSa::clone(record)),
            replay,
            usage,
        });
    }

    /// An SA that is read anew is where it was since it was brought there.
    fn brought(&self, sa: SaRef, known: Known, refused: u64) -> Brought {
        let before = self.before.get(&sa).filter(|it| it.known == known);
        Brought {
            known,
            since: before.map_or(self.clocks.now, |it| it.since),
            refused,
        }
    }

    /// Where an SA may go on, on this unit.
    pub(super) fn target(&self, record: &IpsecSa) -> Option<Target> {
        let (replay, bytes, packets) = match self.source {
            Source::Standby => standby_target(self.sad, record)?,
            Source::Active => active_target(self.sad, record)?,
        };
        let age = self.sad.unix_s().saturating_sub(record.created_unix_s);
        let added_unix_s = self.clocks.unix_s.saturating_sub(age);
        let usage = Usage {
            bytes,
            packets,
            added_unix_s,
            used_unix_s: if packets > 0 { added_unix_s } else { 0 },
        };
        Some(Target { replay, usage })
    }

    /// Policies that the kernel lacks, and those that it should not have.
    pub(super) fn policies(&mut self, wanted: &PolicyTable, held: &[crate::linux::xfrm::Policy]) {
        let held: HashMap<_, _> = held.iter().map(|it| (PolicyKey::of(it), it)).collect();
        wanted.for_each(|key, record| {
            let there = held.get(key).is_some_and(|held| record.is(held));
            if !there {
                let policy = Box::new(record.policy().clone());
                self.commands.push(Command::InstallPolicy(policy));
            }
        });
        for (key, policy) in held {
            if !wanted.contains(&key) {
                let policy = Box::new(policy.clone());
                self.commands.push(Command::RemovePolicy(policy));
            }
        }
    }

    pub(super) fn carry_out(
        mut self,
        kernel: &mut dyn Kernel,
        stats: &mut MirrorStats,
    ) -> Result<(Takeover, Vec<Reached>), KernelError> {
        let answers = if self.commands.is_empty() {
            Vec::new()
        } else {
            kernel.apply(&self.commands)?
        };
        self.takeover.refused = count_refused(&answers);
        for (command, answer) in self.commands.iter().zip(&answers) {
            if let Err(why) = answer {
                tracing::warn!(command = command.name(), sa = ?command.target(), %why, "refused by the kernel");
            }
        }
        stats.written += self.takeover.written as u64;
        stats.installed += self.takeover.installed as u64;
        stats.removed += self.removed;
        stats.refused += self.takeover.refused as u64;
        stats.ahead += self.ahead;
        (stats.missing, stats.other_keys) = (self.takeover.missing, self.other_keys);
        let reached = self
            .reached
            .into_iter()
            .filter_map(|(sa, brought, command)| match command {
                None => Some(Reached {
                    sa,
                    brought,
                    installed: false,
                }),
                Some(place) => {
                    let installs =
                        matches!(self.commands.get(place), Some(Command::Install { .. }));
                    let done = matches!(answers.get(place), Some(Ok(())));
                    done.then_some(Reached {
                        sa,
                        brought,
                        installed: installs,
                    })
                }
            });
        Ok((self.takeover, reached.collect()))
    }
}

/// Whether two records are one SA: its keys and what they are used with.
pub(super) fn is_same(a: &IpsecSa, b: &IpsecSa) -> bool {
    a.id == b.id
        && a.direction == b.direction
        && a.esn == b.esn
        && (a.encryption, a.integrity, a.compression) == (b.encryption, b.integrity, b.compression)
        && a.keys == b.keys
}
