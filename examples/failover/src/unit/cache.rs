//! Ready ciphers, each beside the SA that it belongs to.

use std::sync::Arc;

use failover::esp::Cipher;

use super::sas::IpsecSa;

/// The ciphers that one thread of a packet path has used, by flow.
///
/// A cipher is valid for exactly the SA object that it was made for: after a resync or a rekey the
/// table holds another one.
pub(super) struct Ciphers<S> {
    by_flow: Vec<Option<(Arc<S>, Cipher)>>,
}

impl<S> Ciphers<S> {
    pub(super) fn new(flows: u32) -> Self {
        Self {
            by_flow: (0..flows).map(|_| None).collect(),
        }
    }

    /// The cipher of an SA; made at its first packet. `None` if the SA cannot be used: its flow is
    /// not one of the policy, or its keys are of no use to this gateway.
    pub(super) fn of(&mut self, sa: &Arc<S>, record: &IpsecSa) -> Option<&Cipher> {
        let place = self.by_flow.get_mut(record.flow_id as usize)?;
        if !place.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, sa)) {
            let keys = record.keys.encryption.expose();
            let cipher = Cipher::new(record.id.spi, keys, record.esn).ok()?;
            *place = Some((Arc::clone(sa), cipher));
        }
        place.as_ref().map(|(_, cipher)| cipher)
    }
}
