//! Follows the kernel of the active unit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ha_core::time::Time;

use super::apply::{Placed, advanced};
use super::kernel::{Command, KernelEvent, KernelSa, Refusal, SaRef, Usage, count_refused};
use super::pace::{Pace, PaceConfig, SaPace};
use super::plan::is_same;
use super::rekey::Rekeys;
use super::target::standby_position;
use super::{Clocks, MirrorConfig, MirrorError, Parts, policies};
use crate::id::SaId;
use crate::linux::replay::ReplayState;
use crate::record::{Direction, IpsecSa};
use crate::replay::InboundPolicy;
use crate::sad::{Begin, Change, Observed, Sad, SadEvent};

/// What is known of the kernel's SAs on the active unit.
#[derive(Debug)]
pub(super) struct Follower {
    config: Arc<MirrorConfig>,
    sas: HashMap<SaRef, Followed>,
    pace: Pace,
    /// SAs to be read.
    changed: HashSet<SaRef>,
    /// All SAs are to be read.
    resync: bool,
    /// All policies are to be read.
    policies: bool,
    commands: Vec<Command>,
    rekeys: Rekeys,
    /// Replicated SAs that are not in the kernel are given up then: an IKE daemon may need a while
    /// to install them.
    awaited_until: Time,
}

#[derive(Debug)]
struct Followed {
    direction: Direction,
    pace: SaPace,
}

/// SAs that enter or leave the database together.
struct Entering {
    change: Change,
    /// Those that will be followed once the change is made.
    followed: Vec<(SaRef, Followed)>,
    names: HashSet<SaId>,
}

impl Follower {
    /// After a takeover that put SAs at their ceilings.
    pub(super) fn new(config: Arc<MirrorConfig>, placed: &[Placed], now: Time) -> Self {
        let pace = PaceConfig {
            interval: config.event_interval,
            max_packets: config.max_event_packets,
            max_events_per_s: config.max_events_per_s,
        };
        Self {
            rekeys: Rekeys::new(placed, config.max_rekeys_per_s, now),
            config,
            sas: HashMap::new(),
            pace: Pace::new(pace, now),
            changed: HashSet::new(),
            resync: true,
            policies: true,
            commands: Vec::new(),
            awaited_until: now + AWAITED,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sas.len()
    }

    /// Takes in what happened. Returns whether there is more.
    pub(super) fn round(
        &mut self,
        mut parts: Parts<'_>,
        clocks: Clocks,
    ) -> Result<bool, MirrorError> {
        let more = self.read_events(&mut parts, clocks)?;
        self.catch_up(&mut parts, clocks)?;
        self.ask_for_rekeys(&mut parts, clocks.now)?;
        self.flush(&mut parts)?;
        Ok(more)
    }

    /// Reads everything.
    pub(super) fn resync(
        &mut self,
        mut parts: Parts<'_>,
        clocks: Clocks,
    ) -> Result<(), MirrorError> {
        (self.resync, self.policies) = (true, true);
        self.catch_up(&mut parts, clocks)?;
        self.flush(&mut parts)
    }

    fn read_events(&mut self, parts: &mut Parts<'_>, clocks: Clocks) -> Result<bool, MirrorError> {
        for _ in 0..MAX_EVENTS {
            let Some(event) = parts.kernel.next_event()? else {
                return Ok(false);
            };
            parts.stats.events += 1;
            self.pace.heard(clocks.now);
            match event {
                KernelEvent::Sa(sa) => {
                    self.changed.insert(sa);
                }
                KernelEvent::Counters { sa, replay, usage } => {
                    self.observe(sa, &replay, usage, parts, clocks.now);
                }
                KernelEvent::SasFlushed => self.resync = true,
                KernelEvent::Policies => self.policies = true,
                KernelEvent::Lost => {
                    parts.stats.lost += 1;
                    (self.resync, self.policies) = (true, true);
                }
            }
        }
        Ok(true)
    }

    /// Reads what is to be read.
    fn catch_up(&mut self, parts: &mut Parts<'_>, clocks: Clocks) -> Result<(), MirrorError> {
        if clocks.now >= self.awaited_until && self.awaited_until != NEVER {
            // Those that were awaited in vain go with this.
            (self.awaited_until, self.resync) = (NEVER, true);
        }
        if self.resync {
            self.read_all(parts, clocks)?;
            (self.resync, self.changed) = (false, HashSet::new());
        }
        while let Some(sa) = self.changed.iter().next().copied() {
            self.read_changed(parts, clocks)?;
            self.changed.remove(&sa);
        }
        if self.policies && self.config.mode == super::Mode::Full {
            policies::sync(parts.policies, parts.kernel.policies()?)?;
        }
        parts.stats.policy_changes += u64::from(self.policies);
        self.policies = false;
        Ok(())
    }

    fn read_all(&mut self, parts: &mut Parts<'_>, clocks: Clocks) -> Result<(), MirrorError> {
        let held = parts.kernel.sas()?;
        parts.stats.dumps += 1;
        let there: HashSet<SaRef> = held.iter().map(|sa| SaRef::of(&sa.record)).collect();
        let mut gone = Vec::new();
        parts.sad.for_each_sa(|id, record| {
            let sa = SaRef::of(record);
            let awaited = clocks.now < self.awaited_until && !self.sas.contains_key(&sa);
            if !there.contains(&sa) && !awaited {
                gone.push(*id);
            }
        });
        self.sas.retain(|sa, _| there.contains(sa));
        for gone in gone.chunks(CHUNK) {
            let mut change = parts.sad.change();
            for id in gone {
                change.remove(*id);
            }
            drop(change.commit()?);
        }
        let mut held = held.into_iter().peekable();
        while held.peek().is_some() {
            self.enter(held.by_ref().take(CHUNK), parts, clocks)?;
        }
        Ok(())
    }

    /// Reads some of the SAs that changed.
    fn read_changed(&mut self, parts: &mut Parts<'_>, clocks: Clocks) -> Result<(), MirrorError> {
        let some: Vec<SaRef> = self.changed.iter().take(CHUNK).copied().collect();
        let mut held = Vec::new();
        let mut change = parts.sad.change();
        for sa in &some {
            match parts.kernel.sa(sa)? {
                Some(read) => held.push(read),
                // One that was never here since the takeover may yet come.
                None if self.sas.remove(sa).is_some() || clocks.now >= self.awaited_until => {
                    change.remove(sa.id);
                }
                None => {}
            }
        }
        drop(change.commit()?);
        self.enter(held.into_iter(), parts, clocks)?;
        for sa in &some {
            self.changed.remove(sa);
        }
        Ok(())
    }

    /// Enters SAs that the kernel has.
    fn enter(
        &mut self,
        held: impl Iterator<Item = KernelSa>,
        parts: &mut Parts<'_>,
        clocks: Clocks,
    ) -> Result<(), MirrorError> {
        let mut entering = Entering {
            change: parts.sad.change(),
            followed: Vec::new(),
            names: HashSet::new(),
        };
        for sa in held {
            self.enter_one(sa, &mut entering, parts, clocks);
        }
        if entering.names.is_empty() {
            return Ok(());
        }
        // Nobody waits for the standby: the kernel uses these SAs already.
        drop(entering.change.commit()?);
        self.sas.extend(entering.followed);
        Ok(())
    }

    fn enter_one(
        &mut self,
        held: KernelSa,
        entering: &mut Entering,
        parts: &mut Parts<'_>,
        clocks: Clocks,
    ) {
        let sa = SaRef::of(&held.record);
        let old = parts.sad.record(&sa.id);
        // The database knows no marks: of two SAs with one name the first is mirrored.
        let is_other = old.as_ref().is_some_and(|old| old.mark != sa.mark);
        if !entering.names.insert(sa.id) || is_other && self.sas.keys().any(|it| it.id == sa.id) {
            parts.stats.unusable += 1;
            return;
        }
        let mut record = self.prepared(held.record.clone(), &held.usage, parts.sad, clocks);
        if let Err(why) = record.check() {
            parts.stats.unusable += 1;
            entering.names.remove(&sa.id);
            tracing::warn!(sa = %sa.id, %why, "an SA of the kernel cannot be mirrored");
            return;
        }
        let position = position(record.direction, &held.replay);
        let followed = Followed {
            direction: record.direction,
            pace: SaPace::new(position, clocks.now),
        };
        match old {
            Some(old) if is_same(&old, &record) => {
                keep(&mut record, &old);
                if *old != record {
                    entering.change.replace(record);
                }
                self.sas.entry(sa).or_insert(followed);
                // An SA that was taken over and comes late begins at 0: it must not stay there.
                let unseen = self.config.max_event_packets;
                if let Some(command) = advanced(parts.sad, &old, &held, unseen) {
                    self.watch(&command, &old, held.refused, clocks.now);
                    self.commands.push(command);
                }
                // One that nothing has used since the takeover is where it was put.
                let unused = parts.sad.is_dormant(&old)
                    && standby_position(parts.sad, &old) == Some(position);
                if !unused {
                    self.observe(sa, &held.replay, Some(held.usage), parts, clocks.now);
                }
            }
            old => {
                if old.is_some() {
                    entering.change.remove(sa.id);
                }
                self.rekeys.replaced_by(&record);
                let begin = Begin {
                    highest: position,
                    window: held.replay.window,
                    seen: held.replay.seen,
                    bytes: held.usage.bytes,
                };
                entering.change.insert_at(record, begin);
                self.sas.remove(&sa);
                entering.followed.push((sa, followed));
            }
        }
    }

    /// An SA that is set forward may refuse its peer's next packets.
    fn watch(&mut self, command: &Command, record: &Arc<IpsecSa>, refused: u64, now: Time) {
        let Command::SetCounters { replay, .. } = command else {
            return;
        };
        if self.config.rekey_held && replay.inbound > 0 && record.policy == InboundPolicy::Strict {
            let placed = Placed {
                record: Arc::clone(record),
                top: replay.inbound,
                refused,
            };
            self.rekeys.watch(&placed, now);
        }
    }

    /// What the kernel does not say of an SA.
    fn prepared(&self, mut record: IpsecSa, usage: &Usage, sad: &Sad, clocks: Clocks) -> IpsecSa {
        record.policy = self.config.policy;
        record.isolated = self.config.isolated;
        record.budget = self.config.budget;
        // The age counts, whatever the machines' clocks say.
        let age = clocks.unix_s.saturating_sub(usage.added_unix_s);
        record.created_unix_s = sad.unix_s().saturating_sub(age);
        record
    }

    fn observe(
        &mut self,
        sa: SaRef,
        replay: &ReplayState,
        usage: Option<Usage>,
        parts: &mut Parts<'_>,
        now: Time,
    ) {
        let Some(followed) = self.sas.get_mut(&sa) else {
            self.changed.insert(sa);
            return;
        };
        let direction = followed.direction;
        let position = position(direction, replay);
        self.rekeys.moved(&sa, position);
        if let Some(packets) = followed.pace.moved(position, &self.pace, now) {
            self.commands.push(Command::SetThreshold { sa, packets });
        }
        let Some(observed) = observe(parts.sad, &sa.id, direction, replay, usage) else {
            return;
        };
        parts.stats.overrun = parts.stats.overrun.max(observed.overrun);
        if observed.beyond_budget > 0 {
            parts.stats.beyond_budget += 1;
        }
        if observed.behind > 0 {
            // Somebody set it back: it is read, and set forward.
            self.changed.insert(sa);
        }
    }

    fn ask_for_rekeys(&mut self, parts: &mut Parts<'_>, now: Time) -> Result<(), MirrorError> {
        while let Some(event) = parts.sad.poll_event() {
            let (SadEvent::Rekey { id, .. } | SadEvent::SoftLifetime { id, .. }) = event else {
                // Hard lifetimes and idle SAs are the kernel's and the IKE daemon's matter.
                continue;
            };
            let Some(record) = parts.sad.record(&id) else {
                continue;
            };
            match event {
                SadEvent::Rekey { .. } => self.rekeys.numbers_low(&record, now),
                _ => self.rekeys.lifetime_over(&record, now),
            }
        }
        let asking = self.rekeys.round(parts.kernel, parts.stats, now)?;
        self.commands.extend(asking);
        Ok(())
    }

    fn flush(&mut self, parts: &mut Parts<'_>) -> Result<(), MirrorError> {
        if self.commands.is_empty() {
            return Ok(());
        }
        let commands = core::mem::take(&mut self.commands);
        let answers = parts.kernel.apply(&commands)?;
        parts.stats.refused += count_refused(&answers) as u64;
        for (command, answer) in commands.iter().zip(&answers) {
            match (command, answer) {
                (Command::SetCounters { .. }, Ok(())) => parts.stats.written += 1,
                (Command::SetThreshold { sa, .. }, Err(_)) => {
                    if let Some(followed) = self.sas.get_mut(sa) {
                        followed.pace.forget_threshold();
                    }
                }
                (_, Err(why)) if *why != Refusal::NotFound => {
                    tracing::warn!(command = command.name(), sa = ?command.target(), %why, "refused by the kernel");
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What the kernel does not know, or what must not change while an SA lives.
fn keep(record: &mut IpsecSa, old: &IpsecSa) {
    record.instance = old.instance;
    (record.ike, record.pair) = (old.ike, old.pair);
    (record.policy, record.isolated, record.budget) = (old.policy, old.isolated, old.budget);
    record.window = old.window;
    // The seconds of two clocks differ by one now and then.
    record.created_unix_s = old.created_unix_s;
    record.unknown = old.unknown.clone();
}

const fn position(direction: Direction, replay: &ReplayState) -> u64 {
    match direction {
        Direction::Outbound => replay.outbound,
        Direction::Inbound => replay.inbound,
    }
}

fn observe(
    sad: &Sad,
    id: &SaId,
    direction: Direction,
    replay: &ReplayState,
    usage: Option<Usage>,
) -> Option<Observed> {
    let sad = sad.pin();
    match direction {
        Direction::Outbound => {
            let sa = sad.outbound(id).ok()?;
            if let Some(usage) = usage {
                let _ = sa.observe_bytes(usage.bytes);
            }
            Some(sa.observe(replay.outbound))
        }
        Direction::Inbound => {
            let sa = sad.inbound(id).ok()?;
            if let Some(usage) = usage {
                let _ = sa.observe_bytes(usage.bytes);
            }
            Some(sa.observe(replay.inbound, |number| replay.is_seen(number)))
        }
    }
}

/// Events that are read at once.
const MAX_EVENTS: usize = 4096;
/// SAs that enter the database in one transaction.
const CHUNK: usize = 512;
/// How long a replicated SA is awaited that is not in the kernel after a takeover.
const AWAITED: core::time::Duration = core::time::Duration::from_secs(60);
const NEVER: Time = Time::from_nanos(u64::MAX);
