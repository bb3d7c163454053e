//! SAs by what the control path looks for.

use core::net::{IpAddr, Ipv4Addr};
use core::sync::atomic::Ordering;
use std::collections::BTreeSet;

use super::{Control, Inner};
use crate::id::{IkeId, Protocol, SaId};
use crate::record::IkeSa;

/// IPsec SAs by IKE SA, and IKE SAs by peer. Made from the tables when first asked for, so that a
/// takeover does not wait for it; kept by [`Change`](super::Change) from then on, for as long as this
/// unit stays active: on a standby the tables change by themselves.
#[derive(Debug, Default)]
pub(super) struct Index {
    children: Children,
    peers: BTreeSet<(IpAddr, IkeId)>,
    /// The activation in which it was made.
    takeovers: u64,
}

/// IPsec SAs by the IKE SA that made them: one set for all, so that neither many children nor many
/// IKE SAs make a change slow.
#[derive(Debug, Default)]
pub(super) struct Children(BTreeSet<(IkeId, SaId)>);

impl Children {
    pub(super) fn of(&self, ike: &IkeId) -> impl Iterator<Item = SaId> + '_ {
        let ike = *ike;
        let from = self.0.range((ike, FIRST_SA)..);
        from.take_while(move |it| it.0 == ike).map(|it| it.1)
    }

    pub(super) fn add(&mut self, id: SaId, ike: Option<IkeId>) {
        self.0.extend(ike.map(|ike| (ike, id)));
    }

    pub(super) fn remove(&mut self, id: SaId, ike: Option<IkeId>) {
        if let Some(ike) = ike {
            self.0.remove(&(ike, id));
        }
    }
}

impl Index {
    pub(super) fn children(&self, ike: &IkeId) -> Vec<SaId> {
        self.children.of(ike).collect()
    }

    pub(super) fn by_peer(&self, peer: IpAddr) -> Vec<IkeId> {
        let from = self.peers.range((peer, FIRST_IKE)..);
        from.take_while(|it| it.0 == peer).map(|it| it.1).collect()
    }

    pub(super) fn add(&mut self, id: SaId, ike: Option<IkeId>) {
        self.children.add(id, ike);
    }

    pub(super) fn remove(&mut self, id: SaId, ike: Option<IkeId>) {
        self.children.remove(id, ike);
    }

    pub(super) fn add_ike(&mut self, id: IkeId, ike: &IkeSa) {
        self.peers.insert((ike.remote.ip(), id));
    }

    pub(super) fn remove_ike(&mut self, id: IkeId, ike: &IkeSa) {
        self.peers.remove(&(ike.remote.ip(), id));
    }
}

/// Below all others.
const FIRST_SA: SaId = SaId {
    spi: 0,
    destination: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    protocol: Protocol::Esp,
};
const FIRST_IKE: IkeId = IkeId {
    initiator: 0,
    responder: 0,
};

impl Inner {
    /// Looks at the index; makes it if need be. On a standby it is not kept.
    pub(super) fn with_index<R>(&self, look: impl FnOnce(&Index) -> R) -> R {
        if !self.counters.core.gate.is_open() {
            return look(&self.make_index());
        }
        let mut control = self.control.lock();
        self.forget_if_told(&mut control);
        look(self.index(&mut control))
    }

    /// The index of this activation.
    pub(super) fn index<'a>(&self, control: &'a mut Control) -> &'a Index {
        let takeovers = self.counters.takeovers();
        let made = control.index.take();
        let current = made.filter(|index| index.takeovers == takeovers);
        control
            .index
            .insert(current.unwrap_or_else(|| self.make_index()))
    }

    pub(super) fn forget_if_told(&self, control: &mut Control) {
        if self.forgotten.swap(false, Ordering::AcqRel) {
            let clock = control.clock;
            *control = Control {
                clock,
                ..Control::default()
            };
        }
    }

    fn make_index(&self) -> Index {
        let mut index = Index {
            // Before the tables are read: what changes them from outside ends the activation.
            takeovers: self.counters.takeovers(),
            ..Index::default()
        };
        self.ipsec.for_each(|id, sa| {
            index.add(*id, sa.outline().and_then(|sa| sa.ike));
        });
        self.ike.for_each(|id, ike| index.add_ike(*id, ike));
        index
    }
}
