//! The data plane of this machine: the kernel's SAs and the virtual addresses, as the role wants them.

use core::time::Duration;
use std::time::Instant;

use ha_core::time::Time;
use ha_ipsec::linux::mirror::{Clocks, Kernel, Mirror, Takeover};
use ha_ipsec::linux::route::{Routes, protected};
use ha_transport::vip::VirtualAddresses;

/// What the data plane was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// The role is not known yet: the kernel is as it was found.
    Unknown,
    Standby,
    Active,
}

impl Role {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Standby => "standby",
            Self::Active => "active",
        }
    }
}

/// The kernel's SAs and the virtual addresses of one group.
pub(crate) struct Plane<K> {
    mirror: Mirror<K>,
    addresses: VirtualAddresses,
    routes: Option<Routes>,
    /// The change of policies that the routes follow, and when they are looked at again.
    routed: (u64, Time),
    role: Role,
    /// After a failure, when to try again.
    retry: Time,
    addresses_failed: bool,
    pub(crate) last_error: Option<String>,
    pub(crate) last_takeover: Option<Activation>,
}

/// What the last takeover did, and how long it took from the decision on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Activation {
    pub(crate) takeover: Takeover,
    /// Until the kernel had the last number.
    pub(crate) counters: Duration,
    /// Until the addresses and routes were here.
    pub(crate) took: Duration,
}

impl<K: Kernel> Plane<K> {
    pub(crate) const fn new(
        mirror: Mirror<K>,
        addresses: VirtualAddresses,
        routes: Option<Routes>,
    ) -> Self {
        Self {
            mirror,
            addresses,
            routes,
            routed: (0, Time::ZERO),
            role: Role::Unknown,
            retry: Time::ZERO,
            addresses_failed: false,
            last_error: None,
            last_takeover: None,
        }
    }

    pub(crate) const fn role(&self) -> Role {
        self.role
    }

    pub(crate) const fn mirror(&self) -> &Mirror<K> {
        &self.mirror
    }

    pub(crate) const fn has_addresses(&self) -> bool {
        self.addresses.is_taken()
    }

    /// Makes the data plane what the role wants. Returns the new role if that changed.
    pub(crate) fn follow(&mut self, wanted: Role, clocks: Clocks) -> Option<Role> {
        if wanted == self.role || wanted == Role::Unknown || clocks.now < self.retry {
            return None;
        }
        let done = match wanted {
            Role::Active => self.activate(clocks),
            Role::Standby | Role::Unknown => self.deactivate(),
        };
        match done {
            Ok(()) => {
                self.role = wanted;
                Some(wanted)
            }
            Err(why) => {
                self.retry = clocks.now + RETRY;
                self.failed(why);
                None
            }
        }
    }

    /// First the numbers, then the packets.
    fn activate(&mut self, clocks: Clocks) -> Result<(), String> {
        let began = now();
        let takeover = self
            .mirror
            .become_active(clocks)
            .map_err(|e| e.to_string())?;
        let counters = now().duration_since(began);
        let taken = self.addresses.take(clocks.now);
        self.route(clocks.now);
        let took = now().duration_since(began);
        tracing::info!(
            sas = takeover.sas,
            written = takeover.written,
            installed = takeover.installed,
            missing = takeover.missing,
            refused = takeover.refused,
            ?counters,
            ?took,
            "the data plane is here"
        );
        self.last_takeover = Some(Activation {
            takeover,
            counters,
            took,
        });
        // The SAs are right: an address that is missing is no reason to give them up.
        if let Err(error) = taken {
            self.addresses_failed = true;
            self.failed(error.to_string());
        }
        Ok(())
    }

    /// First the packets, then the SAs.
    fn deactivate(&mut self) -> Result<(), String> {
        let released = self.addresses.release();
        self.unroute();
        self.mirror.become_standby().map_err(|e| e.to_string())?;
        released.map_err(|error| error.to_string())
    }

    /// Before the role is handed over in order: no more packets come, and the standby is to get exactly
    /// where the counters stand.
    pub(crate) fn settle(&mut self, clocks: Clocks) {
        if self.role != Role::Active {
            return;
        }
        if let Err(error) = self.addresses.release() {
            self.failed(error.to_string());
        }
        if let Err(error) = self.mirror.settle(clocks) {
            self.failed(error.to_string());
        }
    }

    /// What the other unit may have used until it was cut off is skipped in the kernel too.
    pub(crate) fn set_forward(&mut self, clocks: Clocks) {
        if let Err(error) = self.mirror.settle(clocks) {
            self.failed(error.to_string());
        }
    }

    /// The handover did not happen: packets come here again.
    pub(crate) fn resume(&mut self, clocks: Clocks) {
        if self.role == Role::Active
            && let Err(error) = self.addresses.take(clocks.now)
        {
            self.failed(error.to_string());
        }
    }

    /// Looks after what is due. Returns whether there is more to do at once.
    pub(crate) fn poll(&mut self, clocks: Clocks) -> bool {
        self.keep_addresses(clocks.now);
        if clocks.now < self.retry {
            return false;
        }
        match self.mirror.poll(clocks) {
            Ok(more) => {
                let changes = self.mirror.stats().policy_changes;
                if self.role == Role::Active
                    && (changes != self.routed.0 || clocks.now >= self.routed.1)
                {
                    self.route(clocks.now);
                }
                if !self.addresses_failed {
                    self.last_error = None;
                }
                more
            }
            Err(error) => {
                self.retry = clocks.now + RETRY;
                self.failed(error.to_string());
                false
            }
        }
    }

    /// Addresses that are missing come back as soon as they can.
    fn keep_addresses(&mut self, now: Time) {
        match self.addresses.tick(now) {
            Ok(()) => self.addresses_failed = false,
            Err(error) => {
                self.addresses_failed = true;
                self.failed(error.to_string());
            }
        }
    }

    /// Routes to the networks behind the peers, as the policies say.
    fn route(&mut self, now: Time) {
        let Some(routes) = &mut self.routes else {
            return;
        };
        self.routed = (self.mirror.stats().policy_changes, now + REROUTE);
        let synced = match self.mirror.kernel_policies() {
            Ok(policies) => routes
                .refresh()
                .and_then(|()| routes.sync(&protected(policies.iter())))
                .map(drop),
            Err(error) => return self.failed(error.to_string()),
        };
        if let Err(error) = synced {
            self.failed(error.to_string());
        }
    }

    fn unroute(&mut self) {
        if let Some(Err(error)) = self.routes.as_mut().map(Routes::clear) {
            self.failed(error.to_string());
        }
    }

    /// Nothing of this program stays on the interfaces.
    pub(crate) fn end(&mut self) {
        self.unroute();
        if let Err(error) = self.addresses.release() {
            self.failed(error.to_string());
        }
    }

    fn failed(&mut self, why: String) {
        // The same thing over and over is said once.
        if self.last_error.as_ref() != Some(&why) {
            tracing::error!(why, "the data plane is not as it should be; trying again");
        }
        self.last_error = Some(why);
    }
}

#[allow(clippy::disallowed_methods, reason = "a duration for people")]
fn now() -> Instant {
    Instant::now()
}

/// Routes that somebody removed come back within this time.
const REROUTE: Duration = Duration::from_secs(10);
/// How long to leave the kernel alone after it failed.
const RETRY: Duration = Duration::from_millis(100);
