//! Writes what was replicated into a kernel: on the standby now and then, and at a takeover.

use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ha_core::time::Time;

use super::kernel::{Command, Kernel, KernelError, KernelEvent, KernelSa, Refusal, SaRef, Usage};
use super::policies::{PolicyKey, PolicyTable};
use super::target::{active_target, standby_target};
use super::{Clocks, MirrorConfig, MirrorError, MirrorStats, Mode, Parts, Takeover};
use crate::id::SaId;
use crate::linux::replay::ReplayState;
use crate::record::{Direction, IpsecSa};
use crate::replay::InboundPolicy;
use crate::sad::Sad;

/// Where counters come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// From what the active unit sent last.
    Standby,
    /// From this unit's own counters, which begin where no other unit was.
    Active,
}

/// Brings the kernel to what was replicated.
///
/// A standby's kernel does not move by itself. So what it was last brought to is remembered, and only
/// SAs of which something else was replicated since, or that the kernel tells about, are looked at again:
/// a takeover costs as much as has moved since the last time.
#[derive(Debug)]
pub(super) struct Applier {
    config: Arc<MirrorConfig>,
    due: Time,
    /// What the kernel has at least.
    known: HashMap<SaRef, Brought>,
    /// SAs that the kernel told about since.
    touched: HashSet<SaRef>,
    /// SAs that were installed, and that the kernel has yet to tell about.
    installed: HashSet<SaRef>,
    /// Nothing is known: everything is to be read.
    unknown: bool,
}

/// An inbound SA whose window a takeover put at its ceiling.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) record: Arc<IpsecSa>,
    pub(super) top: u64,
    /// Packets that it had refused by then.
    pub(super) refused: u64,
}

/// What an SA was brought to, and when.
#[derive(Clone, Copy, Debug)]
struct Brought {
    known: Known,
    since: Time,
    /// Packets that it had refused by then.
    refused: u64,
}

/// What an SA was brought to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Known {
    instance: u64,
    outbound: u64,
    inbound: u64,
}

impl Applier {
    pub(super) fn new(config: Arc<MirrorConfig>) -> Self {
        Self {
            config,
            due: Time::ZERO,
            known: HashMap::new(),
            touched: HashSet::new(),
            installed: HashSet::new(),
            unknown: true,
        }
    }

    pub(super) fn is_due(&self, now: Time) -> bool {
        now >= self.due
    }

    /// Something happened in the kernel.
    pub(super) fn hear(&mut self, event: &KernelEvent) {
        match event {
            KernelEvent::Sa(sa) => {
                if !self.installed.remove(sa) {
                    self.touched.insert(*sa);
                }
            }
            KernelEvent::Counters { sa, replay, .. } => {
                let is_ours = |it: &Brought| {
                    (it.known.outbound, it.known.inbound) == (replay.outbound, replay.inbound)
                };
                if !self.known.get(sa).is_some_and(is_ours) {
                    self.touched.insert(*sa);
                }
            }
            KernelEvent::SasFlushed | KernelEvent::Lost => self.unknown = true,
            KernelEvent::Policies => {}
        }
    }

    /// Compares with what the kernel has, and writes what is missing or behind.
    pub(super) fn apply(
        &mut self,
        source: Source,
        parts: Parts<'_>,
        clocks: Clocks,
    ) -> Result<Takeover, MirrorError> {
        self.due = clocks.now + self.config.apply_interval;
        let sad = parts.sad;
        let mut plan = Plan::new(&self.config, source, sad, clocks);
        sad.for_each_sa(|_, record| plan.records.push(Arc::clone(record)));
        plan.takeover.sas = plan.records.len();
        let all = plan.records.len();
        let mut others = self.touched.clone();
        if !self.unknown {
            others.extend(self.gone(&plan.records));
            let mut records = core::mem::take(&mut plan.records);
            records.retain(|record| self.is_to_do(record, &plan.target(record)));
            plan.records = records;
            // Reading all of them costs less than reading many one by one.
            self.unknown = plan.records.len() + others.len() > ONE_BY_ONE.max(all / 4);
        }
        if core::mem::take(&mut self.unknown) {
            // Nothing is known if this fails.
            self.unknown = true;
            plan.before = core::mem::take(&mut self.known);
            plan.records.clear();
            sad.for_each_sa(|_, record| plan.records.push(Arc::clone(record)));
            let held = parts.kernel.sas()?;
            parts.stats.dumps += 1;
            let held = held.into_iter().map(|sa| (SaRef::of(&sa.record), sa));
            plan.held = held.collect();
            self.unknown = false;
        } else {
            others.extend(plan.records.iter().map(|record| SaRef::of(record)));
            for sa in others {
                plan.before.extend(self.known.remove_entry(&sa));
                if let Some(held) = parts.kernel.sa(&sa)? {
                    plan.held.insert(sa, held);
                }
            }
        }
        self.touched.clear();
        plan.make();
        if plan.full && source == Source::Active {
            plan.policies(parts.policies, &parts.kernel.policies()?);
        }
        let (takeover, reached) = plan.carry_out(parts.kernel, parts.stats)?;
        for reached in reached {
            self.known.insert(reached.sa, reached.brought);
            if reached.installed {
                self.installed.insert(reached.sa);
            }
        }
        Ok(takeover)
    }

    /// SAs that were brought here and are not replicated any more.
    fn gone(&self, records: &[Arc<IpsecSa>]) -> Vec<SaRef> {
        let there: HashSet<SaRef> = records.iter().map(|record| SaRef::of(record)).collect();
        let known = self.known.keys().copied();
        known.filter(|sa| !there.contains(sa)).collect()
    }

    fn is_to_do(&self, record: &IpsecSa, target: &Option<(ReplayState, Usage)>) -> bool {
        let sa = SaRef::of(record);
        let wanted = target.as_ref().map(|(replay, _)| Known::of(record, replay));
        let known = self.known.get(&sa).map(|it| it.known);
        self.touched.contains(&sa) || wanted.is_none() || known != wanted
    }

    /// After a takeover: the SAs that may refuse their peer's next packets. The ceiling of one that
    /// was quiet closed on its exact top, so only those count that were in use until just now.
    pub(super) fn placed(&self, sad: &Sad, now: Time) -> Vec<Placed> {
        if !self.config.rekey_held {
            return Vec::new();
        }
        let recent = self.config.apply_interval * 2 + QUIET;
        let busy = self
            .known
            .iter()
            .filter(|(_, it)| it.known.inbound > 0 && now.since(it.since) <= recent);
        busy.filter_map(|(sa, it)| {
            let record = sad.record(&sa.id)?;
            let is_strict = record.policy == InboundPolicy::Strict;
            (is_strict && record.instance == it.known.instance).then_some(Placed {
                record,
                top: it.known.inbound,
                refused: it.refused,
            })
        })
        .collect()
    }

    /// In full mode, removes SAs and policies of a former life.
    pub(super) fn clear(&self, parts: Parts<'_>) -> Result<(), MirrorError> {
        let Parts { kernel, stats, .. } = parts;
        if self.config.mode != Mode::Full {
            return Ok(());
        }
        // Policies first: without them nothing is sent.
        let policies = kernel.policies()?;
        let policies = policies.into_iter().map(Box::new);
        let mut commands: Vec<_> = policies.map(Command::RemovePolicy).collect();
        let sas = kernel.sas()?;
        stats.removed += sas.len() as u64;
        let sas = sas.iter().map(|sa| Command::Remove(SaRef::of(&sa.record)));
        commands.extend(sas);
        let answers = kernel.apply(&commands)?;
        stats.refused += count_refused(&answers) as u64;
        Ok(())
    }
}

impl Known {
    const fn of(record: &IpsecSa, replay: &ReplayState) -> Self {
        Self {
            instance: record.instance,
            outbound: replay.outbound,
            inbound: replay.inbound,
        }
    }
}

/// What the kernel was brought to.
struct Reached {
    sa: SaRef,
    brought: Brought,
    installed: bool,
}

/// What is to be written.
struct Plan<'a> {
    /// What SAs were brought to before.
    before: HashMap<SaRef, Brought>,
    /// What each SA will have reached, by the command that does it; none if it has already.
    reached: Vec<(SaRef, Brought, Option<usize>)>,
    full: bool,
    budget: u64,
    source: Source,
    sad: &'a Sad,
    clocks: Clocks,
    records: Vec<Arc<IpsecSa>>,
    held: HashMap<SaRef, KernelSa>,
    commands: Vec<Command>,
    takeover: Takeover,
    ahead: u64,
    other_keys: usize,
    removed: u64,
}

impl<'a> Plan<'a> {
    fn new(config: &MirrorConfig, source: Source, sad: &'a Sad, clocks: Clocks) -> Self {
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

    fn make(&mut self) {
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
        let Some((target, usage)) = self.target(record) else {
            tracing::debug!(sa = %record.id, "no counters");
            return;
        };
        tracing::debug!(
            sa = %record.id,
            outbound = target.outbound,
            inbound = target.inbound,
            held_outbound = held.replay.outbound,
            held_inbound = held.replay.inbound,
            "counters"
        );
        let brought = self.brought(sa, Known::of(record, &target), held.refused);
        // A window that stands where this put it has accepted nothing since, and follows what was
        // replicated last: also down, when the active unit closed its ceiling on the exact top.
        let is_ours = self.before.get(&sa).is_some_and(|before| {
            before.known.instance == record.instance && before.known.inbound == held.replay.inbound
        });
        let replay = if is_ours {
            ReplayState {
                outbound: target.outbound.max(held.replay.outbound),
                ..target.clone()
            }
        } else {
            // The guard: nothing goes back, whatever was replicated.
            target.merge(&held.replay)
        };
        if held.replay.outbound >= replay.outbound && held.replay.is_window_of(&replay) {
            self.ahead += u64::from(held.replay != target);
            self.reached.push((sa, brought, None));
            return;
        }
        self.reached.push((sa, brought, Some(self.commands.len())));
        self.takeover.written += 1;
        self.commands.push(Command::SetCounters {
            sa,
            replay,
            usage: Usage {
                bytes: usage.bytes.max(held.usage.bytes),
                packets: usage.packets.max(held.usage.packets),
                ..usage
            },
        });
    }

    fn install(&mut self, record: &Arc<IpsecSa>) {
        // Without counters no number is safe; they come with the next batch, or a rekey helps.
        let Some((replay, usage)) = self.target(record) else {
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
    fn target(&self, record: &IpsecSa) -> Option<(ReplayState, Usage)> {
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
        Some((replay, usage))
    }

    /// Policies that the kernel lacks, and those that it should not have.
    fn policies(&mut self, wanted: &PolicyTable, held: &[crate::linux::xfrm::Policy]) {
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

    fn carry_out(
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

/// The command that sets an SA of the active unit's kernel forward, if it is behind: it was made
/// anew, or somebody set it back.
///
/// How far it got before is not known, only that it was reported about every `unseen` packets, and
/// that numbers are reserved before they are used.
pub(super) fn advanced(
    sad: &Sad,
    record: &IpsecSa,
    held: &KernelSa,
    unseen: u32,
) -> Option<Command> {
    let (mut target, ..) = active_target(sad, record)?;
    let theirs = &held.replay;
    // By its numbers: a window moves while this looks.
    if theirs.outbound >= target.outbound && theirs.inbound >= target.inbound {
        return None;
    }
    if target.outbound > 0 {
        let limit = sad.pin().outbound(&record.id).ok()?.limit();
        target.outbound = target.outbound.max(limit.unwrap_or(0)) + u64::from(unseen);
    }
    Some(Command::SetCounters {
        sa: SaRef::of(record),
        replay: target.merge(theirs),
        usage: held.usage,
    })
}

/// Whether two records are one SA: its keys and what they are used with.
pub(super) fn is_same(a: &IpsecSa, b: &IpsecSa) -> bool {
    a.id == b.id
        && a.direction == b.direction
        && a.esn == b.esn
        && (a.encryption, a.integrity, a.compression) == (b.encryption, b.integrity, b.compression)
        && a.keys == b.keys
}

/// What is gone already is as it should be.
pub(super) fn count_refused(answers: &[Result<(), Refusal>]) -> usize {
    let refused =
        |answer: &&Result<(), Refusal>| matches!(answer, Err(why) if *why != Refusal::NotFound);
    answers.iter().filter(refused).count()
}

/// Longer than an SA has to be without packets until its ceiling closes, and that is replicated.
const QUIET: Duration = Duration::from_secs(5);
/// So many SAs are read one by one, whatever their share.
const ONE_BY_ONE: usize = 64;

impl Command {
    /// For logs.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Install { .. } => "install SA",
            Self::SetCounters { .. } => "set counters",
            Self::SetThreshold { .. } => "set threshold",
            Self::SoftExpire(_) => "soft expire",
            Self::Remove(_) => "remove SA",
            Self::InstallPolicy(_) => "install policy",
            Self::RemovePolicy(_) => "remove policy",
        }
    }

    /// The SA that it is about; a policy has none.
    pub(super) fn target(&self) -> Option<SaId> {
        match self {
            Self::Install { record, .. } | Self::SoftExpire(record) => Some(record.id),
            Self::SetCounters { sa, .. } | Self::SetThreshold { sa, .. } | Self::Remove(sa) => {
                Some(sa.id)
            }
            Self::InstallPolicy(_) | Self::RemovePolicy(_) => None,
        }
    }
}
