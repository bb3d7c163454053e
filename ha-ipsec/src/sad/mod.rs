//! The SA database: tables that survive, and a packet path that does not wait.
//!
//! # A gateway's packet loop
//! ```no_run
//! use ha_ipsec::id::SaId;
//! use ha_ipsec::replay::Accept;
//! use ha_ipsec::sad::Sad;
//! # struct Packet { id: SaId, sequence: u32, bytes: Vec<u8> }
//! # fn verify_and_decrypt(_: &ha_ipsec::record::IpsecSa, _: u64, _: &mut Packet) -> bool { true }
//! # fn forward(_: Packet) {}
//!
//! fn inbound(sad: &Sad, mut packet: Packet) -> Result<(), Box<dyn std::error::Error>> {
//!     let sad = sad.pin(); // once for a burst of packets
//!     let sa = sad.inbound(&packet.id)?; // no lock, once the SA was used
//!     let number = sa.infer(packet.sequence); // the high half with ESN
//!     sa.check(number)?; // cheap, before the cryptography
//!     if !verify_and_decrypt(sa.record(), number, &mut packet) {
//!         return Ok(()); // drop and count
//!     }
//!     match sa.accept(number) {
//!         Accept::Deliver { .. } => {
//!             sa.charge(packet.bytes.len() as u64);
//!             forward(packet);
//!         }
//!         // The standby does not know yet that packets may have got so far: keep it, and ask again
//!         // with `retry` when `acknowledgements` has grown. See `replay::Parked`.
//!         Accept::Pending(_pending) => {}
//!         Accept::Replay(_) => {} // drop and count
//!         _ => {}
//!     }
//!     Ok(())
//! }
//!
//! fn outbound(sad: &Sad, id: &SaId, packet: Packet) -> Result<(), Box<dyn std::error::Error>> {
//!     let sad = sad.pin();
//!     let sa = sad.outbound(id)?; // chosen by your policy
//!     let number = sa.next()?; // never handed out before, by either unit
//!     sa.charge(packet.bytes.len() as u64);
//!     // encrypt with `sa.record().keys` and `number`, and send
//! #   let _ = number;
//!     Ok(())
//! }
//! ```
//!
//! # Around it
//! - Register [`Sad::clients`] with a group of a node; the driver in `ha-transport` does the rest.
//! - Call [`Sad::tick`] every few milliseconds, and carry out what [`Sad::poll_event`] says.
//! - Change SAs through [`Sad::change`], and await its commit before the peer hears of an SA.
//!
//! On a unit that is not active every lookup is refused: nothing can be sent or accepted by mistake.

mod agenda;
mod change;
mod clock;
mod deadline;
mod index;
mod lookup;
mod observe;
mod path;

use core::net::IpAddr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use ha_core::checkpoint::{
    BuildError, CheckpointClient, ClientDescriptor, FlushPolicy, StateTable,
};
use ha_core::id::{ClientId, UnitId};
use ha_core::time::Time;
use parking_lot::Mutex;

#[cfg(any(test, feature = "planted"))]
#[doc(hidden)]
pub use crate::counters::Planted;
pub use agenda::{SadEvent, Which};
pub use change::{Change, ChangeError};
pub use lookup::{InUse, LookupError, Pinned};
pub use observe::{Begin, Observed};
pub use path::{InboundSa, OutboundSa, SaCounters};

use crate::counters::{Counters, CountersConfig};
use crate::id::{IkeId, SaId};
use crate::lifetime::Spreading;
use crate::record::{IkeProgress, IkeSa, IpsecSa, StoredSa};
use agenda::Agenda;
use clock::Clock;
use index::Index;
use path::Path;

/// What both units must agree on, and what is up to each.
#[derive(Clone, Debug)]
pub struct SadConfig {
    /// The first of five consecutive client ids (IKE SAs, their progress, IPsec SAs, counters, clock).
    pub first_client: ClientId,
    /// Most IPsec SAs, each direction counted; alike on both units.
    pub max_sas: u32,
    /// Most IKE SAs; alike on both units.
    pub max_ike_sas: u32,
    /// How long the loss of a standby may go unnoticed: keepalive interval × threshold. Numbers are
    /// reserved for as long, so that a lost standby does not hold up the active unit.
    pub detection: Duration,
    /// The longest that the standby may lag behind the counters of a busy SA.
    pub flush_interval: Duration,
    /// How long an SA may move unobserved, if its data path is outside of this process and only tells
    /// now and then how far it got (see [`OutboundSa::observe`]): reservations and ceilings last for as
    /// long on top. 0 for packets that ask.
    pub observe_interval: Duration,
    /// An inbound SA that was idle for so long has its ceiling closed on the exact top, so that
    /// nothing is lost at a takeover.
    pub quiet: Duration,
    /// Most packets that a reservation is ahead of the last one sent, per SA: Cisco's
    /// `redundancy replay-interval outbound`.
    pub replay_interval_outbound: u64,
    /// Most packets that a ceiling is ahead of the last one received, per SA: Cisco's
    /// `redundancy replay-interval inbound`.
    pub replay_interval_inbound: u64,
    /// This unit: rekeys of the two units, and of their SAs, are spread differently.
    pub unit: UnitId,
    /// How far apart the rekeys of different SAs are drawn.
    pub spreading: Spreading,
    /// Where the numbers of instances begin; `None` for a random place. Only tests and simulations
    /// want to know it.
    pub seed: Option<u64>,
    /// Protections to leave out, to prove that the simulator finds that.
    #[cfg(any(test, feature = "planted"))]
    #[doc(hidden)]
    pub planted: Planted,
}

impl Default for SadConfig {
    fn default() -> Self {
        Self {
            first_client: ClientId::new(100),
            max_sas: 2_200_000,
            max_ike_sas: 1_100_000,
            detection: Duration::from_millis(750),
            flush_interval: Duration::from_millis(10),
            observe_interval: Duration::ZERO,
            quiet: Duration::from_millis(100),
            replay_interval_outbound: 100_000,
            replay_interval_inbound: 1000,
            unit: UnitId::new(0),
            spreading: Spreading::default(),
            seed: None,
            #[cfg(any(test, feature = "planted"))]
            planted: Planted::default(),
        }
    }
}

/// Why there is no database.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SadError {
    /// A setting is out of range.
    #[error(transparent)]
    Table(#[from] BuildError),
    /// There is no room for five ids.
    #[error("client ids {0} to {0} + 4 do not exist; begin with a lower one")]
    ClientIds(ClientId),
    /// The system has no random numbers.
    #[error("no random number for the instances of SAs: {0}")]
    Random(String),
}

/// The SA database of a group. A handle: clones are the same database.
#[derive(Clone)]
pub struct Sad {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    config: SadConfig,
    ike: StateTable<IkeId, Arc<IkeSa>>,
    progress: StateTable<IkeId, IkeProgress>,
    ipsec: StateTable<SaId, StoredSa>,
    counters: Arc<Counters>,
    /// What time it is for the SAs: one entry.
    clock: StateTable<(), u64>,
    paths: Arc<papaya::HashMap<SaId, Path>>,
    control: Mutex<Control>,
    /// The entries have gone since `control` looked: what it remembers of them is void.
    forgotten: Arc<AtomicBool>,
    instances: AtomicU64,
}

/// What the control path keeps besides the tables; all of it follows from them.
#[derive(Debug, Default)]
struct Control {
    index: Option<Index>,
    agenda: Agenda,
    clock: Clock,
}

impl core::fmt::Debug for Sad {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sad")
            .field("ike_sas", &self.inner.ike.len())
            .field("ipsec_sas", &self.inner.ipsec.len())
            .finish_non_exhaustive()
    }
}

/// What the database counts.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SadStats {
    /// IKE SAs.
    pub ike_sas: usize,
    /// IPsec SAs, each direction counted.
    pub ipsec_sas: usize,
    /// SAs that a packet, or a lookup, has used since this unit became active.
    pub used: usize,
    /// Packets delivered beyond the acknowledged ceiling while no standby was there (promise P2:
    /// this is the exposure under [`Isolated::Continue`](crate::replay::Isolated)).
    pub exposed: u64,
    /// Whether no standby acknowledges anything, so that the autonomy budget is in use.
    pub isolated: bool,
    /// Whether packets may pass.
    pub open: bool,
}

impl Sad {
    /// A database without SAs.
    ///
    /// # Errors
    /// When a setting is out of range, or the system has no random numbers.
    pub fn new(config: SadConfig) -> Result<Self, SadError> {
        let id = |plus| {
            let id = config.first_client.value().checked_add(plus);
            id.map(ClientId::new)
                .ok_or(SadError::ClientIds(config.first_client))
        };
        let limit = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
        let seed = config.seed.map_or_else(random, Ok)?;
        let ike = StateTable::builder(id(0)?, "ike-sa").max_entries(limit(config.max_ike_sas));
        let progress =
            StateTable::builder(id(1)?, "ike-progress").max_entries(limit(config.max_ike_sas));
        let ipsec = StateTable::builder(id(2)?, "ipsec-sa").max_entries(limit(config.max_sas));
        let clock = StateTable::builder(id(4)?, "sad-clock").max_entries(1);
        let paths = Arc::new(papaya::HashMap::new());
        let forgotten = Arc::new(AtomicBool::new(false));
        let counters = Counters::new(
            counters_config(&config, id(3)?),
            descriptor(&config, id(3)?),
        );
        counters.when_dropped({
            let (paths, forgotten) = (Arc::clone(&paths), Arc::clone(&forgotten));
            move || {
                paths.pin().clear();
                forgotten.store(true, Ordering::Release);
            }
        });
        Ok(Self {
            inner: Arc::new(Inner {
                ike: ike.build()?,
                progress: progress.build()?,
                ipsec: ipsec.build()?,
                counters,
                clock: clock.build()?,
                paths,
                control: Mutex::new(Control::default()),
                forgotten,
                instances: AtomicU64::new(seed),
                config,
            }),
        })
    }

    /// The tables, to be registered with one group of a node.
    pub fn clients(&self) -> Vec<Arc<dyn CheckpointClient>> {
        let inner = &self.inner;
        vec![
            inner.ike.client(),
            inner.progress.client(),
            inner.ipsec.client(),
            Arc::clone(&inner.counters) as Arc<dyn CheckpointClient>,
            inner.clock.client(),
        ]
    }

    /// The settings.
    pub fn config(&self) -> &SadConfig {
        &self.inner.config
    }

    /// Begins a change of SAs.
    pub fn change(&self) -> Change {
        Change::new(self.clone())
    }

    /// Message ids, DPD and the like of each IKE SA: what moves with each exchange. Update it
    /// directly; entries come and go with their IKE SA.
    pub fn progress(&self) -> &StateTable<IkeId, IkeProgress> {
        &self.inner.progress
    }

    /// An IKE SA.
    pub fn ike(&self, id: &IkeId) -> Option<Arc<IkeSa>> {
        self.inner.ike.get(id)
    }

    /// The record of an IPsec SA, on either unit. It is kept encoded, and decoded for each call: the
    /// packet path has it at hand ([`OutboundSa::record`], [`InboundSa::record`]).
    pub fn record(&self, id: &SaId) -> Option<Arc<IpsecSa>> {
        self.inner.ipsec.with(id, StoredSa::open)?
    }

    /// Visits all IKE SAs. The same caution as for [`StateTable::for_each`].
    pub fn for_each_ike(&self, visit: impl FnMut(&IkeId, &Arc<IkeSa>)) {
        self.inner.ike.for_each(visit);
    }

    /// Visits all IPsec SAs, each decoded for this. The same caution as for
    /// [`StateTable::for_each`].
    pub fn for_each_sa(&self, mut visit: impl FnMut(&SaId, &Arc<IpsecSa>)) {
        self.inner.ipsec.for_each(|id, sa| {
            if let Some(sa) = sa.open() {
                visit(id, &sa);
            }
        });
    }

    /// The IPsec SAs that an IKE SA made.
    pub fn children(&self, ike: &IkeId) -> Vec<SaId> {
        self.inner.with_index(|index| index.children(ike))
    }

    /// The IKE SAs with a peer's address.
    pub fn by_peer(&self, peer: IpAddr) -> Vec<IkeId> {
        self.inner.with_index(|index| index.by_peer(peer))
    }

    /// What is known of an SA's counters: the live ones on the active unit, what arrived last on
    /// the standby.
    pub fn counters(&self, id: &SaId) -> Option<SaCounters> {
        let outline = self.inner.ipsec.with(id, StoredSa::outline)??;
        let (key, value) = self.inner.counters.held(outline.instance)?;
        SaCounters::new(&key, &value)
    }

    /// Grows whenever the standby has acknowledged something, or the role changed: a packet that
    /// waits for an acknowledgement can look again. Cheap enough for each turn of a packet loop.
    #[inline]
    pub fn acknowledgements(&self) -> u64 {
        self.inner
            .counters
            .core
            .acknowledgements
            .load(Ordering::Acquire)
    }

    /// Time goes on: call it every 1 to 10 ms, on both units. `unix_s` is this unit's wall clock, in
    /// seconds, for lifetimes.
    pub fn tick(&self, now: Time, unix_s: u64) {
        self.inner.counters.tick(now);
        self.inner.advance(now, unix_s);
    }

    /// The wall clock that [`created_unix_s`](IpsecSa::created_unix_s) is told by, in seconds: that of
    /// the unit that was active first. It goes on through takeovers, whatever the other unit's clock
    /// says.
    pub fn unix_s(&self) -> u64 {
        self.inner.control.lock().clock.unix_s()
    }

    /// What the owner should do next, if anything.
    pub fn poll_event(&self) -> Option<SadEvent> {
        self.inner.control.lock().agenda.poll()
    }

    /// The counters of the database itself.
    pub fn stats(&self) -> SadStats {
        let core = &self.inner.counters.core;
        SadStats {
            ike_sas: self.inner.ike.len(),
            ipsec_sas: self.inner.ipsec.len(),
            used: self.inner.paths.len(),
            exposed: core.exposed.load(Ordering::Relaxed),
            isolated: core.gate.is_isolated(),
            open: core.gate.is_open(),
        }
    }
}

fn counters_config(config: &SadConfig, id: ClientId) -> CountersConfig {
    CountersConfig {
        id,
        max_counters: config.max_sas,
        detection: config.detection,
        flush_interval: config.flush_interval,
        observe_interval: config.observe_interval,
        quiet: config.quiet,
        replay_interval_outbound: config.replay_interval_outbound,
        replay_interval_inbound: config.replay_interval_inbound,
        #[cfg(any(test, feature = "planted"))]
        planted: config.planted,
    }
}

fn descriptor(config: &SadConfig, id: ClientId) -> ClientDescriptor {
    ClientDescriptor {
        id,
        name: "ipsec-counters".into(),
        sequence: id.value(),
        versions: 1..=1,
        config: vec![("max-sas".into(), config.max_sas.to_string())],
        flush: FlushPolicy {
            max_age: config.flush_interval,
            ..FlushPolicy::default()
        },
        notified: false,
    }
}

fn random() -> Result<u64, SadError> {
    getrandom::u64().map_err(|error| SadError::Random(error.to_string()))
}
