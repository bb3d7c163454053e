//! What a simulation is made of; all of it follows from the seed unless changed by hand.

use core::time::Duration;

use super::rng::Rng;
use crate::checkpoint::CommitPolicy;
use crate::node::Planted;
use crate::redundancy::KeepaliveConfig;

/// How one simulation runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SimConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// How long faults happen.
    pub safety: Duration,
    /// How soon after that the pair must be ACTIVE and STANDBY HOT again.
    pub liveness: Duration,
    /// How soon after the last write both tables must be equal.
    pub settling: Duration,
    /// Failure detection of both units.
    pub keepalive: KeepaliveConfig,
    /// Window for changes that each unit grants, in bytes.
    pub changes_window_bytes: usize,
    /// Window for bulk chunks that each unit grants, in bytes.
    pub bulk_window_bytes: usize,
    /// How often digests are compared and tables audited.
    pub digest_interval: Duration,
    /// What commits do without a standby.
    pub commit_policy: CommitPolicy,
    /// The time between two steps of the workload, on average.
    pub step_interval: Duration,
    /// One-way delay of the links: the least, and how much is added at random, in microseconds.
    pub delay_us: (u64, u64),
    /// Which faults happen, and how often.
    pub adversity: Adversity,
    /// Protections to leave out, to prove that the simulator finds that.
    #[doc(hidden)]
    pub planted: Planted,
}

/// Which faults happen, and how often.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Adversity {
    /// The time between two faults, on average.
    pub interval: Duration,
    /// How likely each kind is, relative to the others; 0 leaves it out.
    pub weights: [(Fault, u64); Fault::ALL.len()],
    /// Messages that arrive twice, per mille.
    pub duplicates: u64,
}

/// Something that goes wrong, or that an operator does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// A unit loses its memory and starts again later. Its links are reset, or just fall silent.
    Crash,
    /// A unit ends in order and starts again later.
    Stop,
    /// A unit does not run for a while, shorter or much longer than the detection time.
    Pause,
    /// A path, or all, carry nothing in either direction.
    Cut,
    /// A path, or all, carry nothing in one direction.
    OneWayCut,
    /// A connection breaks with what is in flight; the two ends learn at different times.
    Reset,
    /// The active unit is told to hand over.
    Switchover,
    /// The active unit is told to hand over whatever the standby holds.
    ForcedSwitchover,
    /// The standby is told to ask for everything again.
    Resync,
    /// A unit is in maintenance mode for a while.
    Maintenance,
    /// A client of the standby cannot apply the next changes.
    ApplyFailure,
    /// An entry in the standby's table changes by itself.
    Corruption,
    /// The workload writes much more than the window holds, while the standby stands still.
    Burst,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::Crash,
        Self::Stop,
        Self::Pause,
        Self::Cut,
        Self::OneWayCut,
        Self::Reset,
        Self::Switchover,
        Self::ForcedSwitchover,
        Self::Resync,
        Self::Maintenance,
        Self::ApplyFailure,
        Self::Corruption,
        Self::Burst,
    ];
}

impl SimConfig {
    /// The simulation that `seed` stands for. Seeds differ in timers, windows, delays and in the
    /// mix of faults: some kinds are left out of each, so that the others show undisturbed.
    pub fn from_seed(seed: u64) -> Self {
        // Not the sequence that the run itself draws from.
        let mut rng = Rng::new(seed ^ 0x5eed_c0f1_65ee_d5ee);
        let keepalive = match rng.below(3) {
            0 => KeepaliveConfig::fast(),
            _ => KeepaliveConfig::default(),
        };
        let policies = [CommitPolicy::Strict, CommitPolicy::Degrade];
        Self {
            seed,
            safety: rng.millis(10_000..=30_000),
            liveness: Duration::from_secs(30),
            settling: Duration::from_secs(5),
            keepalive,
            changes_window_bytes: 64 * 1024,
            bulk_window_bytes: if rng.chance(500) {
                64 * 1024
            } else {
                256 * 1024
            },
            digest_interval: rng.millis(300..=2_000),
            commit_policy: policies[rng.index(2)],
            step_interval: rng.millis(5..=50),
            delay_us: (rng.range(20..=500), rng.range(0..=20_000)),
            adversity: Adversity::random(&mut rng),
            planted: Planted::default(),
        }
    }
}

impl Adversity {
    fn random(rng: &mut Rng) -> Self {
        let interval = rng.millis(200..=2_500);
        let weights = Fault::ALL.map(|fault| {
            (
                fault,
                if rng.chance(400) {
                    0
                } else {
                    rng.range(1..=10)
                },
            )
        });
        Self {
            interval,
            weights,
            duplicates: if rng.chance(300) { 2 } else { 0 },
        }
    }

    /// No faults at all.
    pub fn none() -> Self {
        let weights = Fault::ALL.map(|fault| (fault, 0));
        Self {
            interval: Duration::from_secs(1),
            weights,
            duplicates: 0,
        }
    }

    /// Draws a fault.
    pub(crate) fn draw(&self, rng: &mut Rng) -> Option<Fault> {
        let mut at = rng.below(self.weights.iter().map(|(_, weight)| weight).sum());
        for (fault, weight) in self.weights {
            if at < weight {
                return Some(fault);
            }
            at -= weight;
        }
        None
    }
}
