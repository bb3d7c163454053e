//! Writes what was replicated into a kernel: on the standby now and then, and at a takeover.

use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ha_core::time::Time;

use super::kernel::{Command, KernelEvent, KernelSa, SaRef, count_refused};
use super::plan::{Brought, Known, Plan, Source, Target};
use super::target::active_target;
use super::{Clocks, MirrorConfig, MirrorError, Mode, Parts, Takeover};
use crate::record::{Direction, IpsecSa};
use crate::replay::InboundPolicy;
use crate::sad::Sad;

/// Brings the kernel to what was replicated.
///
/// A standby's kernel does not move by itself. So what it was last brought to is remembered, and only
/// SAs of which something else was replicated since are written again: a takeover costs as much as has
/// moved since the last time. SAs are read only if the kernel told about them, or they are new here.
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

/// What is to be done about a replicated SA.
enum Todo {
    Nothing,
    /// The kernel's is known, and behind.
    Write(Forward),
    Read,
}

/// An SA to be set forward from where it is known to be.
struct Forward {
    record: Arc<IpsecSa>,
    target: Target,
    before: Brought,
}

/// An inbound SA whose window a takeover put at its ceiling.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) record: Arc<IpsecSa>,
    pub(super) top: u64,
    /// Packets that it had refused by then.
    pub(super) refused: u64,
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
        let (mut others, mut forward) = (self.touched.clone(), Vec::new());
        if !self.unknown {
            others.extend(self.gone(&plan.records));
            for record in core::mem::take(&mut plan.records) {
                match self.todo(&record, plan.target(&record)) {
                    Todo::Nothing => {}
                    Todo::Write(it) => forward.push(it),
                    Todo::Read => plan.records.push(record),
                }
            }
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
            for it in forward {
                // Nothing is known of it if it is refused.
                self.known.remove(&SaRef::of(&it.record));
                plan.forward(&it.record, it.target, it.before);
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

    fn todo(&self, record: &Arc<IpsecSa>, target: Option<Target>) -> Todo {
        let sa = SaRef::of(record);
        let (Some(target), Some(before)) = (target, self.known.get(&sa)) else {
            return Todo::Read;
        };
        let (known, wanted) = (before.known, Known::of(record, &target.replay));
        if self.touched.contains(&sa) || known.instance != wanted.instance {
            return Todo::Read;
        }
        if known == wanted {
            return Todo::Nothing;
        }
        // What the kernel sent and has not told of yet: packets that were routed here by mistake.
        let is_sure = record.direction == Direction::Inbound
            || wanted.outbound >= known.outbound.saturating_add(UNHEARD);
        if !is_sure {
            return Todo::Read;
        }
        Todo::Write(Forward {
            record: Arc::clone(record),
            target,
            before: *before,
        })
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

/// Longer than an SA has to be without packets until its ceiling closes, and that is replicated.
const QUIET: Duration = Duration::from_secs(5);
/// More packets than a standby's kernel sends through an SA before it tells of one
/// (net.core.xfrm_aevent_rseqth, 2 by default).
const UNHEARD: u64 = 256;
/// So many SAs are read one by one, whatever their share.
const ONE_BY_ONE: usize = 64;
