//! SAs by what the control path looks for.

use core::net::IpAddr;
use core::sync::atomic::Ordering;
use std::collections::HashMap;

use super::Inner;
use crate::id::{IkeId, SaId};
use crate::record::{IkeSa, IpsecSa};

/// IPsec SAs by IKE SA, and IKE SAs by peer. Made from the tables when first asked for, so that a
/// takeover does not wait for it; kept by [`Change`](super::Change) from then on.
#[derive(Debug, Default)]
pub(super) struct Index {
    children: HashMap<IkeId, Vec<SaId>>,
    peers: HashMap<IpAddr, Vec<IkeId>>,
}

impl Index {
    pub(super) fn children(&self, ike: &IkeId) -> Vec<SaId> {
        self.children.get(ike).cloned().unwrap_or_default()
    }

    pub(super) fn by_peer(&self, peer: IpAddr) -> Vec<IkeId> {
        self.peers.get(&peer).cloned().unwrap_or_default()
    }

    pub(super) fn add(&mut self, id: SaId, sa: &IpsecSa) {
        if let Some(ike) = sa.ike {
            self.children.entry(ike).or_default().push(id);
        }
    }

    pub(super) fn remove(&mut self, id: SaId, sa: &IpsecSa) {
        if let Some(ike) = sa.ike {
            take(&mut self.children, &ike, &id);
        }
    }

    pub(super) fn add_ike(&mut self, id: IkeId, ike: &IkeSa) {
        self.peers.entry(ike.remote.ip()).or_default().push(id);
    }

    pub(super) fn remove_ike(&mut self, id: IkeId, ike: &IkeSa) {
        take(&mut self.peers, &ike.remote.ip(), &id);
    }
}

fn take<K: core::hash::Hash + Eq, V: PartialEq>(map: &mut HashMap<K, Vec<V>>, key: &K, value: &V) {
    if let Some(list) = map.get_mut(key) {
        if let Some(at) = list.iter().position(|one| one == value) {
            list.swap_remove(at);
        }
        if list.is_empty() {
            map.remove(key);
        }
    }
}

impl Inner {
    /// Looks at the index; makes it if need be. On a standby, whose tables change by themselves, it
    /// is not kept.
    pub(super) fn with_index<R>(&self, look: impl FnOnce(&Index) -> R) -> R {
        if !self.counters.core.gate.is_open() {
            return look(&self.make_index());
        }
        let mut control = self.control.lock();
        self.forget_if_told(&mut control);
        look(control.index.get_or_insert_with(|| self.make_index()))
    }

    pub(super) fn forget_if_told(&self, control: &mut super::Control) {
        if self.forgotten.swap(false, Ordering::AcqRel) {
            let clock = control.clock;
            *control = super::Control {
                clock,
                ..super::Control::default()
            };
        }
    }

    pub(super) fn make_index(&self) -> Index {
        let mut index = Index::default();
        self.ipsec.for_each(|id, sa| index.add(*id, sa));
        self.ike.for_each(|id, ike| index.add_ike(*id, ike));
        index
    }
}
