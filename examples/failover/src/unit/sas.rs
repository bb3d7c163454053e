//! The SAs of a unit (stand-in).
use std::sync::Arc;

use failover::wire::Direction;
use failover::wire::plan::{Plan, VIRTUAL_ADDRESS};
use ha_core::checkpoint::CheckpointClient;
use ha_core::time::Time;
use ha_ipsec::id::{Protocol, SaId};
use tokio::sync::mpsc;

use super::UnitError;
pub(super) use super::standin::{Accept, InboundSa, IpsecSa, OutboundSa, Pending, Refused, Sad};
use crate::control::{Event, Install, Setup};

#[derive(Clone)]
pub(super) struct Sas {
    sad: Sad,
    setup: Setup,
}

impl Sas {
    pub(super) fn new(setup: &Setup) -> Result<Self, UnitError> {
        let it = Self { sad: Sad::new(), setup: setup.clone() };
        it.fill(7);
        Ok(it)
    }
    fn fill(&self, seed: u64) {
        let plan = Plan { seed, sas: self.setup.sas, peers: self.setup.peers, esn: false };
        for pair in plan.pairs() {
            let id = SaId { spi: pair.outbound_spi, destination: pair.peer_address.into(), protocol: Protocol::Esp };
            self.sad.insert(id, plan.keying_material(pair.index, Direction::Outbound).to_vec(), false, pair.index, true);
            let id = SaId { spi: pair.inbound_spi, destination: VIRTUAL_ADDRESS.into(), protocol: Protocol::Esp };
            self.sad.insert(id, plan.keying_material(pair.index, Direction::Inbound).to_vec(), false, pair.index, false);
        }
    }
    pub(super) fn clients(&self) -> Vec<Arc<dyn CheckpointClient>> { Vec::new() }
    pub(super) fn acknowledgements(&self) -> u64 { 0 }
    pub(super) fn tick(&self, _: Time, _: u64) {}
    pub(super) fn outbound(&self, id: &SaId) -> Result<Arc<OutboundSa>, ()> { self.sad.outbound(id) }
    pub(super) fn inbound(&self, id: &SaId) -> Result<Arc<InboundSa>, ()> { self.sad.inbound(id) }
    pub(super) async fn install(&self, _install: &Install, answer: &mpsc::Sender<Event>) -> Result<(), UnitError> {
        let _ = answer.send(Event::Installed { pairs: self.setup.sas }).await;
        Ok(())
    }
}
