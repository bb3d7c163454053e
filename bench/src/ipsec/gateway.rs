//! An SA database as a table of a unit.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ha_core::checkpoint::{CheckpointClient, Record};
use ha_core::sync::Commit;
use ha_core::time::Time;
use ha_ipsec::record::Direction;
use ha_ipsec::replay::Accept;
use ha_ipsec::sad::{SaCounters, Sad, SadConfig};

use super::sample::{SaSpec, direction, id};
use crate::held::{Held, checksum};
use crate::suite::BenchError;

/// A database, and the thread that tells it the time.
pub(crate) struct Gateway {
    spec: SaSpec,
    sad: Sad,
    ticking: Arc<AtomicBool>,
    ticker: Option<JoinHandle<()>>,
}

impl Gateway {
    pub(crate) fn new(spec: SaSpec) -> Result<Self, BenchError> {
        let mut config = SadConfig::default();
        if spec.replay_interval > 0 {
            config.replay_interval_outbound = spec.replay_interval;
            config.replay_interval_inbound = spec.replay_interval;
        }
        let sad = Sad::new(config).map_err(BenchError::failed("an SA database"))?;
        let ticking = Arc::new(AtomicBool::new(true));
        let ticker = thread::spawn({
            let (sad, ticking) = (sad.clone(), Arc::clone(&ticking));
            move || tick(&sad, &ticking)
        });
        Ok(Self {
            spec,
            sad,
            ticking,
            ticker: Some(ticker),
        })
    }

    fn insert(&self, numbers: std::ops::Range<u32>, unix_s: u64) -> Result<(), BenchError> {
        let mut change = self.sad.change();
        for number in numbers {
            if self.spec.ike && number.is_multiple_of(2) {
                change.insert_ike(SaSpec::ike(number / 2, unix_s));
            }
            change.insert(self.spec.sa(number, unix_s));
        }
        let commit = change.commit();
        commit.map(drop).map_err(BenchError::failed("filling"))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.ticking.store(false, Ordering::Relaxed);
        if let Some(ticker) = self.ticker.take() {
            // If it panicked, its message was printed.
            let _ = ticker.join();
        }
    }
}

/// As often as a gateway's main loop would.
fn tick(sad: &Sad, ticking: &AtomicBool) {
    let began = Instant::now();
    while ticking.load(Ordering::Relaxed) {
        let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        sad.tick(Time::from_nanos(nanos), unix_s());
        while sad.poll_event().is_some() {}
        thread::sleep(Duration::from_millis(2));
    }
}

impl Held for Gateway {
    fn clients(&self) -> Vec<Arc<dyn CheckpointClient>> {
        self.sad.clients()
    }

    fn sad(&self) -> Option<&Sad> {
        Some(&self.sad)
    }

    fn fill(&self, entries: u32) -> Result<(), BenchError> {
        let unix_s = unix_s();
        (0..entries).step_by(CHANGE as usize).try_for_each(|from| {
            let to = entries.min(from + CHANGE);
            self.insert(from..to, unix_s)
        })
    }

    fn len(&self) -> usize {
        self.sad.stats().ipsec_sas
    }

    /// Of records and of what the standby was told of counters.
    fn checksum(&self, entries: u32) -> u64 {
        let mut scratch = Vec::new();
        checksum(entries, |number, hasher| {
            let id = id(number as u32);
            scratch.clear();
            if let Some(sa) = self.sad.record(&id) {
                sa.encode(1, &mut scratch);
            }
            match self.sad.counters(&id) {
                Some(SaCounters::Outbound {
                    reserved,
                    used,
                    kib,
                }) => (reserved, used, kib).hash(hasher),
                Some(SaCounters::Inbound { image, kib }) => {
                    image.encode(&mut scratch);
                    kib.hash(hasher);
                }
                _ => {}
            }
            scratch.hash(hasher);
        })
    }

    /// A packet of a mebibyte, so that the standby is to be told of each one.
    fn write(&self, key: u32, _number: u64) -> bool {
        let (sad, id) = (self.sad.pin(), id(key));
        match direction(key) {
            Direction::Outbound => sad.outbound(&id).is_ok_and(|sa| {
                sa.charge(MEBIBYTE);
                sa.next().is_ok()
            }),
            Direction::Inbound => sad.inbound(&id).is_ok_and(|sa| {
                sa.charge(MEBIBYTE);
                matches!(sa.accept(sa.top() + 1), Accept::Deliver { .. })
            }),
        }
    }

    /// The record of an SA changes: the path MTU.
    fn transaction(&self, key: u32, number: u64) -> Result<Commit, BenchError> {
        let missing = || BenchError::failed("a transaction")("no such SA");
        let record = self.sad.record(&id(key)).ok_or_else(missing)?;
        let mut sa = (*record).clone();
        sa.path_mtu = Some(1280 + (number % 220) as u16);
        let mut change = self.sad.change();
        change.replace(sa);
        change.commit().map_err(BenchError::failed("a transaction"))
    }
}

fn unix_s() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// SAs inserted in one change.
const CHANGE: u32 = 512;
const MEBIBYTE: u64 = 1 << 20;
