//! The commands on a group's database.

use core::net::IpAddr;
use std::sync::Arc;

use super::{
    PlainPlatform, Platform, SaFigures, Surroundings, crypto_ha, ikev2_sa, ipsec_sa_table,
};
use super::{isakmp_sa, session_table};
use crate::clear::{HaStatus, StatusFilter};
use crate::id::SaId;
use crate::record::{IkeSa, IpsecSa};
use crate::sad::{SaCounters, Sad};
use crate::show::{CryptoHaView, Ikev2SaTable, IpsecSaTable, IsakmpSaTable, SessionTable};

/// The show commands of one group.
///
/// A process with several groups shows them together by `merge` of the tables.
///
/// ```no_run
/// use ha_ipsec::show::{Show, StatusFilter};
/// # fn print(sad: &ha_ipsec::sad::Sad, unix_s: u64) -> Result<(), Box<dyn std::error::Error>> {
/// let show = Show::new(sad, unix_s);
/// println!("{}", show.session(StatusFilter::Active).detail());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Show<'a> {
    sad: &'a Sad,
    unix_s: u64,
    platform: &'a dyn Platform,
    peer: Option<IpAddr>,
}

impl core::fmt::Debug for Show<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Show")
            .field("unix_s", &self.unix_s)
            .finish_non_exhaustive()
    }
}

impl<'a> Show<'a> {
    /// Of this database, at `unix_s` seconds since 1970 by its own clock: [`Sad::unix_s`].
    pub fn new(sad: &'a Sad, unix_s: u64) -> Self {
        Self {
            sad,
            unix_s,
            platform: &PlainPlatform,
            peer: None,
        }
    }

    /// With what the gateway knows: names, MTUs, the packets of its data path.
    #[must_use]
    pub fn platform(self, platform: &'a dyn Platform) -> Self {
        Self { platform, ..self }
    }

    /// Only SAs with this peer, as with the keyword `peer`.
    #[must_use]
    pub const fn peer(self, peer: IpAddr) -> Self {
        Self {
            peer: Some(peer),
            ..self
        }
    }

    /// `show crypto isakmp sa`.
    pub fn isakmp_sa(&self, filter: StatusFilter) -> IsakmpSaTable {
        let around = self.surroundings();
        let sas = self.ike_sas(filter);
        IsakmpSaTable {
            sas: sas.iter().filter_map(|sa| isakmp_sa(sa, &around)).collect(),
        }
    }

    /// `show crypto ikev2 sa`.
    pub fn ikev2_sa(&self, filter: StatusFilter) -> Ikev2SaTable {
        let around = self.surroundings();
        let sas = self.ike_sas(filter);
        let views = sas.iter().filter_map(|sa| {
            let progress = self.sad.progress().get(&sa.id).unwrap_or_default();
            ikev2_sa(sa, &progress, &around)
        });
        Ikev2SaTable {
            sas: views.collect(),
        }
    }

    /// `show crypto ipsec sa`.
    pub fn ipsec_sa(&self, filter: StatusFilter) -> IpsecSaTable {
        let sas = self.ipsec_sas(filter);
        ipsec_sa_table(self.with_figures(&sas), &self.surroundings())
    }

    /// `show crypto session`.
    pub fn session(&self, filter: StatusFilter) -> SessionTable {
        let (ike, ipsec) = (self.ike_sas(filter), self.ipsec_sas(filter));
        let ike = ike.iter().map(|sa| &**sa);
        session_table(ike, self.with_figures(&ipsec), &self.surroundings())
    }

    /// `show crypto ha`.
    pub fn crypto_ha(&self) -> CryptoHaView {
        let ike = self.ike_sas(StatusFilter::Any);
        let mut vips = std::collections::BTreeSet::new();
        self.sad.for_each_sa(|_, sa| {
            vips.insert(sa.local_address());
        });
        crypto_ha(ike.iter().map(|sa| &**sa), vips)
    }

    fn status(&self) -> HaStatus {
        HaStatus::of(self.sad.stats().open)
    }

    fn surroundings(&self) -> Surroundings<'a> {
        Surroundings {
            unix_s: self.unix_s,
            status: self.status(),
            platform: self.platform,
        }
    }

    /// The IKE SAs, in the order of their connection numbers.
    fn ike_sas(&self, filter: StatusFilter) -> Vec<Arc<IkeSa>> {
        let mut sas = Vec::new();
        if !filter.admits(self.status()) {
            return sas;
        }
        self.sad.for_each_ike(|_, sa| {
            if self.peer.is_none_or(|peer| sa.remote.ip() == peer) {
                sas.push(Arc::clone(sa));
            }
        });
        sas.sort_by_key(|sa| (sa.conn_id, sa.id));
        sas
    }

    fn ipsec_sas(&self, filter: StatusFilter) -> Vec<Arc<IpsecSa>> {
        let mut sas = Vec::new();
        if !filter.admits(self.status()) {
            return sas;
        }
        self.sad.for_each_sa(|_, sa| {
            if self.peer.is_none_or(|peer| sa.peer() == peer) {
                sas.push(Arc::clone(sa));
            }
        });
        sas
    }

    fn with_figures<'s>(
        &'s self,
        sas: &'s [Arc<IpsecSa>],
    ) -> impl Iterator<Item = (&'s IpsecSa, SaFigures)> {
        sas.iter().map(|sa| (&**sa, self.figures(sa)))
    }

    fn figures(&self, sa: &IpsecSa) -> SaFigures {
        let told = self.sad.counters(&sa.id);
        let mut figures = told.as_ref().map_or_else(SaFigures::default, as_told);
        self.add_live(&sa.id, &mut figures);
        figures.packets = figures.highest;
        if let Some(counted) = self.platform.packets(&sa.id) {
            (figures.packets, figures.dropped) = (counted.passed, counted.dropped);
        }
        figures
    }

    /// On the active unit, of an SA in use: what no other unit was told yet.
    fn add_live(&self, id: &SaId, figures: &mut SaFigures) {
        let Some(live) = self.sad.in_use(id) else {
            return;
        };
        figures.kib = live.bytes.div_ceil(1024);
        figures.highest = live.highest;
        figures.acknowledged = live.acknowledged;
    }
}

/// What the other unit was told, or what this unit was told by it.
fn as_told(counters: &SaCounters) -> SaFigures {
    let (highest, acknowledged) = match counters {
        SaCounters::Outbound { used, reserved, .. } => (*used, Some(*reserved)),
        SaCounters::Inbound { image, .. } => (image.top(), image.ceiling()),
    };
    SaFigures {
        kib: counters.kib(),
        told_kib: Some(counters.kib()),
        highest,
        acknowledged,
        ..SaFigures::default()
    }
}
