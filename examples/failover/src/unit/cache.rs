//! Ready ciphers, each beside the SA that it belongs to.

use std::sync::Arc;

use failover::esp::Cipher;
use ha_ipsec::record::IpsecSa;

/// The ciphers that one thread of a packet path has used, by flow.
///
/// A cipher is for exactly the record that it was made from: after a resync or a rekey the
/// database holds another one.
pub(super) struct Ciphers {
    by_flow: Vec<Option<(Arc<IpsecSa>, Cipher)>>,
}

impl Ciphers {
    pub(super) fn new(flows: u32) -> Self {
        Self {
            by_flow: (0..flows).map(|_| None).collect(),
        }
    }

    /// The cipher of an SA; made at its first packet. `None` if the SA cannot be used: its flow is
    /// not one of the policy, or its keys are of no use to this gateway.
    pub(super) fn of(&mut self, sa: &Arc<IpsecSa>) -> Option<&Cipher> {
        let flow = usize::try_from(sa.flow_id).ok()?;
        let place = self.by_flow.get_mut(flow)?;
        let made = place
            .as_ref()
            .is_some_and(|(from, _)| Arc::ptr_eq(from, sa));
        if !made {
            let cipher = Cipher::new(sa.id.spi, sa.keys.encryption.expose(), sa.esn).ok()?;
            *place = Some((Arc::clone(sa), cipher));
        }
        place.as_ref().map(|(_, cipher)| cipher)
    }
}
