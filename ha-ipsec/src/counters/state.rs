//! The counters of a group.

use core::time::Duration;
use std::sync::{Arc, OnceLock};

use ha_core::checkpoint::{ClientDescriptor, Notice, Receipt, Shared};
use ha_core::id::{ClientId, Slot};
use ha_core::time::Time;
use parking_lot::Mutex;

use super::control::Control;
use super::key::CounterKey;
use super::live::{Core, Live};
use super::rows::Rows;
use crate::id::SaId;
use crate::replay::{CeilingConfig, Receipt as WindowReceipt};
use crate::sequence::LeadConfig;
use crate::sync::Ordering;

/// How counters are kept.
#[derive(Clone, Debug)]
pub(crate) struct CountersConfig {
    pub(crate) id: ClientId,
    /// Upper bound of the number of counters.
    pub(crate) max_counters: u32,
    /// How long the loss of a standby may go unnoticed: reservations last as long. Ceilings do not:
    /// at a takeover all up to the ceiling is lost, so each of them lasts for one flush.
    pub(crate) detection: Duration,
    /// How old marks get before they are sent.
    pub(crate) flush_interval: Duration,
    /// How long an outside data path may move unobserved.
    pub(crate) observe_interval: Duration,
    /// An inbound SA without packets for so long has its ceiling closed on the exact top.
    pub(crate) quiet: Duration,
    /// Most numbers that are reserved ahead.
    pub(crate) replay_interval_outbound: u64,
    /// Most packets that a ceiling is ahead.
    pub(crate) replay_interval_inbound: u64,
    #[cfg(any(test, feature = "planted"))]
    pub(crate) planted: super::Planted,
}

/// The table of counters; the node sees it as a checkpoint client.
pub(crate) struct Counters {
    pub(super) descriptor: ClientDescriptor,
    pub(super) config: CountersConfig,
    pub(crate) core: Arc<Core>,
    pub(super) shared: OnceLock<Arc<Shared>>,
    pub(super) rows: Mutex<Rows>,
    /// What must happen when all entries go.
    on_drop: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl core::fmt::Debug for Counters {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Counters").finish_non_exhaustive()
    }
}

/// How far to reserve.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) lead: LeadConfig,
    pub(super) ceiling: CeilingConfig,
    pub(super) latency: Duration,
}

/// How long acknowledgements take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latency {
    /// A moving average.
    pub(crate) average: Duration,
    /// An entry under way, and when it was sent.
    sample: Option<(Receipt, Time)>,
}

/// An SA whose packets come at least as often keeps its ceiling open until the data path stops. A
/// packet that comes after its ceiling was closed waits for an acknowledgement, and a shorter time
/// would have more of them wait; a longer one delays the handover.
const PREPARED_QUIET: Duration = Duration::from_millis(20);

/// Fewer ceilings than this are closed in less than a millisecond: nothing is won by preparing that.
const FEW_OPEN: usize = 200;

/// An acknowledgement that takes longer is not measured.
const SAMPLE_LIMIT: Duration = Duration::from_secs(1);

impl Latency {
    pub(super) fn sent(&mut self, receipt: Receipt, now: Time) {
        // What was lost with its link, and not sent again, is not waited for.
        let waits = self
            .sample
            .is_some_and(|(_, at)| now.since(at) < SAMPLE_LIMIT);
        if !waits {
            self.sample = Some((receipt, now));
        }
    }

    fn acknowledged(&mut self, receipt: &Receipt, now: Time) {
        if let Some((sample, at)) = self.sample
            && (sample.slot, sample.tag) == (receipt.slot, receipt.tag)
            && sample.number <= receipt.number
        {
            self.sample = None;
            self.average = (self.average * 7 + now.since(at)) / 8;
        }
    }

    pub(super) fn forget(&mut self) {
        self.sample = None;
    }
}

impl Counters {
    pub(crate) fn new(config: CountersConfig, descriptor: ClientDescriptor) -> Arc<Self> {
        let core = Core::new();
        #[cfg(any(test, feature = "planted"))]
        let core = core.plant(config.planted);
        Arc::new(Self {
            descriptor,
            config,
            core: Arc::new(core),
            shared: OnceLock::new(),
            rows: Mutex::new(Rows::default()),
            on_drop: OnceLock::new(),
        })
    }

    /// Has `forget` called whenever all entries go, before any can come again.
    pub(crate) fn when_dropped(&self, forget: impl Fn() + Send + Sync + 'static) {
        let _ = self.on_drop.set(Box::new(forget));
    }

    /// The counter of an instance, in use from now on: hands it to `with`, while no flush can come
    /// between. `None` if this unit does not have it, or is not active.
    pub(crate) fn live<R>(&self, instance: u64, with: impl FnOnce(Live) -> R) -> Option<R> {
        let mut rows = self.rows.lock();
        if !rows.active {
            return None;
        }
        let slot = rows.find(instance)?;
        rows.wake(slot, &self.core).map(with)
    }

    /// What the standby holds or was told last, for display: key, and the bytes of the value.
    pub(crate) fn held(&self, instance: u64) -> Option<(CounterKey, Vec<u8>)> {
        let rows = self.rows.lock();
        let slot = rows.find(instance)?;
        let key = rows.key(slot)?;
        let mut value = Vec::new();
        rows.encode_told(slot, &mut value);
        Some((key, value))
    }

    /// Time goes on: to be called every few milliseconds on the active unit.
    pub(crate) fn tick(&self, now: Time) {
        let mut rows = self.rows.lock();
        rows.now = now;
        let sizes = self.sizes(rows.latency.average);
        let quiet = if rows.preparing {
            self.prepared_quiet()
        } else {
            sizes.ceiling.idle
        };
        while let Some(slot) = rows.next_quiet(now, quiet, &sizes) {
            self.core.dirty.mark(slot);
        }
        drop(rows);
        if self.core.urgent.swap(false, Ordering::AcqRel)
            && let Some(shared) = self.shared.get()
        {
            // A barrier has everything that is marked sent at once. Nobody waits for this one.
            drop(shared.barrier());
        }
    }

    /// Counters whose SA wants attention.
    pub(crate) fn take_alerts(&self) -> Vec<Slot> {
        let mut alerts = Vec::new();
        let mut cursor = 0;
        while !self
            .core
            .alerts
            .collect(&mut cursor, &mut alerts, usize::MAX)
        {}
        alerts
    }

    /// The SA that uses the counter at a slot.
    pub(crate) fn user_of(&self, slot: Slot) -> Option<SaId> {
        let rows = self.rows.lock();
        rows.control(slot.index())?.live.user().get().copied()
    }

    /// Whether the counter of an instance is as it arrived: nothing used it, and nothing of it was sent,
    /// since this unit became active.
    #[cfg(all(feature = "linux", target_os = "linux"))]
    pub(crate) fn is_dormant(&self, instance: u64) -> bool {
        let rows = self.rows.lock();
        let row = rows.find(instance).and_then(|slot| rows.row(slot));
        row.is_some_and(|row| matches!(row.state, super::rows::State::Dormant(_)))
    }

    /// Whether the counter of an instance is here.
    pub(crate) fn holds(&self, instance: u64) -> bool {
        self.rows.lock().find(instance).is_some()
    }

    /// Bytes that passed through an instance, as far as this unit knows.
    pub(crate) fn bytes(&self, instance: u64) -> u64 {
        let rows = self.rows.lock();
        let slot = rows.find(instance);
        slot.and_then(|slot| rows.bytes(slot)).unwrap_or(0)
    }

    /// Nothing passes through an instance any more; it stays until it is removed.
    pub(crate) fn close(&self, instance: u64) {
        let mut rows = self.rows.lock();
        if let Some(slot) = rows.find(instance)
            && let Some(live) = rows.wake(slot, &self.core)
        {
            live.close();
        }
    }

    /// The same, by slot.
    pub(crate) fn close_slot(&self, slot: Slot) {
        if let Some(control) = self.rows.lock().control(slot.index()) {
            control.live.close();
        }
    }

    /// How often this unit took up the active role.
    pub(crate) fn takeovers(&self) -> u64 {
        self.rows.lock().takeovers
    }

    pub(super) fn settle(&self, receipts: &[Receipt]) {
        let mut rows = self.rows.lock();
        let now = rows.now;
        for receipt in receipts {
            rows.latency.acknowledged(receipt, now);
            let index = receipt.slot.index();
            if rows.key(index).is_some_and(|key| key.tag() == receipt.tag)
                && let Some(control) = rows.control(index)
            {
                control.acknowledge(receipt.number);
                rows.rest(index);
            }
        }
        drop(rows);
        self.core.release();
    }

    pub(super) fn handle_notice(&self, notice: Notice) {
        let core = &self.core;
        match notice {
            Notice::TookOver => {
                let mut rows = self.rows.lock();
                (rows.active, rows.takeovers) = (true, rows.takeovers + 1);
                (rows.took_over, rows.alone) = (rows.now, false);
                drop(rows);
                core.gate.set_isolated(true);
            }
            Notice::Contested => {
                self.count_contest();
                core.gate.set_isolated(true);
            }
            Notice::StandbyRestarted => self.count_contest(),
            Notice::PeerFenced => self.rows.lock().lift(),
            Notice::Opened => {
                self.rows.lock().closing = false;
                core.gate.set_open(true);
            }
            Notice::HandoverAhead => self.rows.lock().preparing = true,
            Notice::HandoverOff => self.rows.lock().preparing = false,
            Notice::Closed => {
                core.gate.set_open(false);
                self.close_ceilings();
            }
            Notice::StandbySynced => core.gate.set_isolated(false),
            Notice::StandbyLost => {
                self.rows.lock().latency.forget();
                core.gate.set_isolated(true);
            }
            _ => {}
        }
        core.release();
    }

    /// Another unit may know by now what it had received, or will.
    fn count_contest(&self) {
        let mut rows = self.rows.lock();
        (rows.contests, rows.alone) = (rows.contests + 1, false);
    }

    /// The data path has stopped: whoever takes over shall know exactly where it stood.
    fn close_ceilings(&self) {
        let mut rows = self.rows.lock();
        (rows.closing, rows.preparing) = (true, false);
        for slot in rows.open_slots() {
            self.core.dirty.mark(slot);
        }
    }

    /// Ceilings of SAs that had no packets for so long are closed while a handover is prepared: at
    /// least as long as an outside data path moves unobserved.
    fn prepared_quiet(&self) -> Duration {
        let unobserved = 2 * self.config.observe_interval;
        PREPARED_QUIET.min(self.config.quiet).max(unobserved)
    }

    /// After this each open ceiling was looked at twice.
    pub(super) fn time_to_prepare(&self) -> Duration {
        if self.rows.lock().open_slots().len() < FEW_OPEN {
            Duration::ZERO
        } else {
            2 * self.prepared_quiet()
        }
    }

    pub(super) fn drop_all(&self) {
        let mut rows = self.rows.lock();
        self.core.gate.set_open(false);
        for control in rows.controls() {
            control.live.close();
        }
        *rows = rows.emptied();
        self.core.dirty.clear();
        self.core.alerts.clear();
        if let Some(forget) = self.on_drop.get() {
            forget();
        }
    }

    /// How far reservations and ceilings are ahead: what moves until the next one is acknowledged,
    /// even if the standby has just been lost and nobody knows yet.
    ///
    /// Ceilings cover a part of the detection time only. The numbers below one are lost at a
    /// takeover, unless they pass by during the outage, and that lasts for a detection: the rest is
    /// room for the error of the measured rate. What comes above the ceiling until the loss is noticed
    /// waits.
    pub(super) fn sizes(&self, latency: Duration) -> Sizes {
        let config = &self.config;
        let unseen = config.flush_interval + config.observe_interval;
        let wait = config.detection + unseen;
        // An outside path does not wait for its ceiling: beyond it is exposed, not stopped. So the
        // ceiling need not last until a loss is noticed, and costs less at a takeover.
        let unnoticed = if config.observe_interval.is_zero() {
            config.detection * 5 / 8
        } else {
            Duration::ZERO
        };
        Sizes {
            lead: LeadConfig {
                max: config.replay_interval_outbound,
                flush_interval: wait,
                round_trip: latency,
                ..LeadConfig::default()
            },
            ceiling: CeilingConfig {
                max: config.replay_interval_inbound,
                flush_interval: unseen + unnoticed,
                // What is told about seldom is not quiet in between.
                idle: config.quiet.max(config.observe_interval * 2),
                ..CeilingConfig::default()
            },
            latency,
        }
    }
}

impl Control {
    fn acknowledge(&self, number: u64) {
        match &self.live {
            Live::Outbound(live) => live.counter.acknowledge(number),
            Live::Inbound(live) => live.window.acknowledge(WindowReceipt::from_bits(number)),
        }
    }
}
