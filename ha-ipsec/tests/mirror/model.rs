//! A kernel that counts, accepts and tells as Linux does.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use ha_ipsec::id::SaId;
use ha_ipsec::linux::mirror::{
    Answer, Command, Kernel, KernelError, KernelEvent, KernelSa, Refusal, SaRef, Usage,
};
use ha_ipsec::linux::replay::ReplayState;
use ha_ipsec::linux::xfrm;
use ha_ipsec::record::{Direction, IpsecSa};
use parking_lot::Mutex;

/// A handle to a kernel: the test sends packets while the mirror follows.
#[derive(Clone, Default)]
pub(crate) struct Model(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    sas: BTreeMap<SaId, Entry>,
    policies: Vec<xfrm::Policy>,
    events: VecDeque<KernelEvent>,
    lost: bool,
    /// Commands are not carried out.
    broken: bool,
    soft_expired: Vec<SaId>,
    /// How often one SA was read.
    read: usize,
    unix_s: u64,
}

struct Entry {
    sa: KernelSa,
    threshold: u32,
    told: u64,
    /// What its packets had as numbers; of an outbound SA what it sent, of an inbound one what it
    /// accepted.
    numbers: HashSet<u64>,
}

/// Events that fit into the socket's buffer.
const BUFFER: usize = 64;
/// net.core.xfrm_aevent_rseqth.
const THRESHOLD: u32 = 2;

impl Model {
    /// An IKE daemon installs an SA.
    pub(crate) fn install(&self, record: IpsecSa) {
        let window = window(&record);
        let state = &mut *self.0.lock();
        let usage = Usage {
            added_unix_s: state.unix_s,
            ..Usage::default()
        };
        let replay = ReplayState {
            window,
            ..ReplayState::default()
        };
        state.put(KernelSa {
            record,
            replay,
            usage,
            refused: 0,
        });
    }

    /// An IKE daemon deletes an SA.
    pub(crate) fn delete(&self, id: SaId) {
        let state = &mut *self.0.lock();
        if let Some(entry) = state.sas.remove(&id) {
            state.tell(KernelEvent::Sa(SaRef::of(&entry.sa.record)));
        }
    }

    pub(crate) fn install_policy(&self, policy: xfrm::Policy) {
        let state = &mut *self.0.lock();
        state.policies.push(policy);
        state.tell(KernelEvent::Policies);
    }

    pub(crate) fn policies_held(&self) -> usize {
        self.0.lock().policies.len()
    }

    /// Packets leave; their numbers.
    pub(crate) fn send(&self, id: SaId, packets: u64) -> Vec<u64> {
        let state = &mut *self.0.lock();
        let entry = state.sas.get_mut(&id).expect("an outbound SA");
        let first = entry.sa.replay.outbound + 1;
        entry.sa.replay.outbound += packets;
        entry.sa.usage.packets += packets;
        entry.sa.usage.bytes += 100 * packets;
        entry.numbers.extend(first..first + packets);
        let position = entry.sa.replay.outbound;
        state.moved(id, position);
        (first..first + packets).collect()
    }

    /// A packet arrives; whether it is accepted.
    pub(crate) fn receive(&self, id: SaId, number: u64) -> bool {
        let state = &mut *self.0.lock();
        let entry = state.sas.get_mut(&id).expect("an inbound SA");
        if number == 0 || entry.sa.replay.is_seen(number) {
            entry.sa.refused += 1;
            return false;
        }
        entry.numbers.insert(number);
        entry.sa.replay = received(&entry.sa.replay, number);
        let position = entry.sa.replay.inbound;
        state.moved(id, position);
        true
    }

    pub(crate) fn held(&self, id: SaId) -> Option<KernelSa> {
        self.0.lock().sas.get(&id).map(|entry| entry.sa.clone())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().sas.len()
    }

    pub(crate) fn threshold(&self, id: SaId) -> u32 {
        self.0.lock().sas[&id].threshold
    }

    pub(crate) fn soft_expired(&self) -> Vec<SaId> {
        self.0.lock().soft_expired.clone()
    }

    pub(crate) fn reads(&self) -> usize {
        self.0.lock().read
    }

    /// Somebody sets an SA back, as a stale NEWAE does.
    pub(crate) fn rewind(&self, id: SaId) {
        let state = &mut *self.0.lock();
        let entry = state.sas.get_mut(&id).expect("an SA");
        entry.sa.replay.outbound = 0;
        entry.told = u64::MAX;
        state.moved(id, 0);
    }

    pub(crate) fn break_down(&self, broken: bool) {
        self.0.lock().broken = broken;
    }

    pub(crate) fn set_unix_s(&self, unix_s: u64) {
        self.0.lock().unix_s = unix_s;
    }
}

impl State {
    fn put(&mut self, sa: KernelSa) {
        let event = KernelEvent::Sa(SaRef::of(&sa.record));
        let entry = Entry {
            sa,
            threshold: THRESHOLD,
            told: 0,
            numbers: HashSet::new(),
        };
        self.sas.insert(entry.sa.record.id, entry);
        self.tell(event);
    }

    fn tell(&mut self, event: KernelEvent) {
        if self.events.len() == BUFFER {
            self.lost = true;
            return;
        }
        self.events.push_back(event);
    }

    fn moved(&mut self, id: SaId, position: u64) {
        let Some(entry) = self.sas.get_mut(&id) else {
            return;
        };
        if position.abs_diff(entry.told) < entry.threshold.into() {
            return;
        }
        entry.told = position;
        let event = KernelEvent::Counters {
            sa: SaRef::of(&entry.sa.record),
            replay: entry.sa.replay.clone(),
            usage: Some(entry.sa.usage),
        };
        self.tell(event);
    }

    /// The timer of async events (net.core.xfrm_aevent_etime): what moved is told.
    fn timer(&mut self) {
        let ids: Vec<_> = self.sas.keys().copied().collect();
        for id in ids {
            let Some(entry) = self.sas.get_mut(&id) else {
                continue;
            };
            let position = entry.sa.replay.outbound.max(entry.sa.replay.inbound);
            let threshold = core::mem::replace(&mut entry.threshold, 1);
            self.moved(id, position);
            if let Some(entry) = self.sas.get_mut(&id) {
                entry.threshold = threshold;
            }
        }
    }

    fn carry_out(&mut self, command: &Command) -> Answer {
        match command {
            Command::Install { record, .. } if self.sas.contains_key(&record.id) => {
                return Err(Refusal::Exists);
            }
            Command::Install {
                record,
                replay,
                usage,
            } => {
                let record = IpsecSa::clone(record);
                let replay = widened(replay, window(&record));
                self.put(KernelSa {
                    record,
                    replay,
                    usage: *usage,
                    refused: 0,
                });
            }
            Command::SetCounters {
                sa, replay, usage, ..
            } => {
                let entry = self.sas.get_mut(&sa.id).ok_or(Refusal::NotFound)?;
                // As the kernel: without a look at what is there. The mirror has to have looked.
                assert!(
                    replay.outbound >= entry.sa.replay.outbound,
                    "{}: set back",
                    sa.id
                );
                entry.sa.replay = widened(replay, entry.sa.replay.window);
                entry.sa.usage = *usage;
                let position = replay.outbound.max(replay.inbound);
                self.moved(sa.id, position);
            }
            Command::SetThreshold { sa, packets } => {
                let entry = self.sas.get_mut(&sa.id).ok_or(Refusal::NotFound)?;
                entry.threshold = *packets;
            }
            Command::SoftExpire(record) => self.soft_expired.push(record.id),
            Command::Remove(sa) => {
                self.sas.remove(&sa.id).ok_or(Refusal::NotFound)?;
                self.tell(KernelEvent::Sa(*sa));
            }
            Command::InstallPolicy(policy) => {
                self.policies.push(xfrm::Policy::clone(policy));
                self.tell(KernelEvent::Policies);
            }
            Command::RemovePolicy(policy) => {
                let at = self
                    .policies
                    .iter()
                    .position(|held| held.info.sel == policy.info.sel);
                self.policies.remove(at.ok_or(Refusal::NotFound)?);
                self.tell(KernelEvent::Policies);
            }
        }
        Ok(())
    }
}

impl Model {
    pub(crate) fn fire_timers(&self) {
        self.0.lock().timer();
    }
}

impl Kernel for Model {
    fn sas(&mut self) -> Result<Vec<KernelSa>, KernelError> {
        let state = self.0.lock();
        Ok(state.sas.values().map(|entry| entry.sa.clone()).collect())
    }

    fn sa(&mut self, id: &SaRef) -> Result<Option<KernelSa>, KernelError> {
        self.0.lock().read += 1;
        Ok(self.held(id.id))
    }

    fn policies(&mut self) -> Result<Vec<xfrm::Policy>, KernelError> {
        Ok(self.0.lock().policies.clone())
    }

    fn next_event(&mut self) -> Result<Option<KernelEvent>, KernelError> {
        let state = &mut *self.0.lock();
        if core::mem::take(&mut state.lost) {
            state.events.clear();
            return Ok(Some(KernelEvent::Lost));
        }
        Ok(state.events.pop_front())
    }

    fn apply(&mut self, commands: &[Command]) -> Result<Vec<Answer>, KernelError> {
        let state = &mut *self.0.lock();
        if state.broken {
            return Err(KernelError("broken by the test".to_owned()));
        }
        Ok(commands
            .iter()
            .map(|command| state.carry_out(command))
            .collect())
    }
}

fn window(record: &IpsecSa) -> u32 {
    match record.direction {
        Direction::Outbound => 0,
        Direction::Inbound => record.window.packets(),
    }
}

/// The state with a window of `window` packets: what the given one does not reach counts as received.
fn widened(replay: &ReplayState, window: u32) -> ReplayState {
    let mut seen = vec![0_u64; window.div_ceil(64) as usize];
    for back in 0..u64::from(window).min(replay.inbound) {
        if replay.is_seen(replay.inbound - back) {
            seen[(back / 64) as usize] |= 1 << (back % 64);
        }
    }
    ReplayState {
        seen,
        window,
        ..*replay
    }
}

/// The state after one more packet.
fn received(replay: &ReplayState, number: u64) -> ReplayState {
    let top = replay.inbound.max(number);
    let mut after = ReplayState {
        inbound: top,
        seen: vec![0; replay.window.div_ceil(64) as usize],
        ..*replay
    };
    for back in 0..u64::from(replay.window).min(top) {
        let is_seen =
            top - back == number || top - back <= replay.inbound && replay.is_seen(top - back);
        if is_seen {
            after.seen[(back / 64) as usize] |= 1 << (back % 64);
        }
    }
    after
}
