//! The outside network: the switch before the gateways, and the tap on its line.
//!
//! Peers send to its socket as to the virtual address. It forwards to the unit that claimed the
//! address last, and passes what units send on to the remote site. Everything it sees it writes
//! down before it forwards it. It can open no packet: it has no keys.

use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::timeout;

use crate::attacker::Capture;
use crate::esp::Header;
use crate::lan::claimed;
use crate::site::{Site, Switches};
use crate::tap::{Event, Tap, What};
use crate::wire::plan::Plan;
use crate::wire::socket::{self, Sender};
use crate::wire::{Claim, Direction, Gateway, Source, Switch};

/// What the relay needs.
#[derive(Debug)]
pub struct RelayConfig {
    /// Tells the SA of an SPI.
    pub plan: Plan,
    /// The virtual address: peers, units and the attacker send to it.
    pub socket: std::net::UdpSocket,
    /// The remote site's socket.
    pub remote: SocketAddr,
    /// The attacker's socket.
    pub attacker: SocketAddr,
    /// Where to write down what passes.
    pub tap: Tap,
    /// The attacker listens here.
    pub capture: Capture,
}

/// Starts the relay in a thread.
///
/// # Errors
/// If the system gives no thread.
pub fn spawn(config: RelayConfig, switches: &Arc<Switches>) -> io::Result<Site> {
    let looked_at = Arc::clone(switches);
    Site::spawn("relay", switches, move || run(config, looked_at))
}

async fn run(config: RelayConfig, switches: Arc<Switches>) -> io::Result<()> {
    let (mut receiver, mut sender) = socket::adopt(config.socket)?;
    let mut relay = Relay {
        plan: config.plan,
        remote: config.remote,
        attacker: config.attacker,
        switch: Switch::default(),
        tap: config.tap,
        capture: config.capture,
        switches: Arc::clone(&switches),
    };
    while !switches.is_stopped() {
        if let Ok(readable) = timeout(LOOK_INTERVAL, receiver.readable()).await {
            readable?;
        }
        let at_ns = relay.tap.now_ns();
        receiver.receive(|from, packet| relay.pass(from, packet, at_ns, &mut sender))?;
        sender.flush();
        relay.tap.flush();
    }
    Ok(())
}

struct Relay {
    plan: Plan,
    remote: SocketAddr,
    attacker: SocketAddr,
    switch: Switch,
    tap: Tap,
    capture: Capture,
    switches: Arc<Switches>,
}

impl Relay {
    fn pass(&mut self, from: SocketAddr, packet: &[u8], at_ns: u64, sender: &mut Sender) {
        if let Some(claim) = Claim::decode(packet) {
            self.switch.learn(claim, from);
            if claim.term > 0 {
                self.tap.write(claimed(claim, at_ns));
            }
        } else if let Source::Unit(unit) = self.switch.source(from) {
            self.pass_from_unit(unit, packet, at_ns, sender);
        } else if from == self.remote {
            self.pass_to_unit(What::Sent(Direction::Inbound), packet, at_ns, sender);
        } else if from == self.attacker {
            self.pass_to_unit(What::Injected, packet, at_ns, sender);
            if let Some(other) = self.switch.other().filter(|_| self.switches.has_spread()) {
                sender.send(other, packet);
            }
        }
    }

    fn pass_from_unit(&mut self, unit: Gateway, packet: &[u8], at_ns: u64, sender: &mut Sender) {
        let Some((Direction::Outbound, sa, number)) = self.find(packet) else {
            return;
        };
        self.tap.write(Event {
            at_ns,
            number,
            sa,
            unit: Some(unit),
            what: What::Esp,
        });
        self.capture.offer(Direction::Outbound, sa, number, packet);
        sender.send(self.remote, packet);
    }

    fn pass_to_unit(&mut self, what: What, packet: &[u8], at_ns: u64, sender: &mut Sender) {
        let Some((direction, sa, number)) = self.find(packet) else {
            return;
        };
        let holder = self.switch.holder();
        self.tap.write(Event {
            at_ns,
            number,
            sa,
            unit: holder.map(|(unit, _)| unit),
            what,
        });
        if what == What::Sent(Direction::Inbound) {
            self.capture.offer(direction, sa, number, packet);
        }
        if let Some((_, to)) = holder {
            sender.send(to, packet);
        }
    }

    /// Direction, SA pair and number of an ESP packet. The 32 bits in the packet are the whole
    /// number: no run sends 2^32 packets, and jumps are far smaller.
    fn find(&self, packet: &[u8]) -> Option<(Direction, u32, u64)> {
        let header = Header::parse(packet).ok()?;
        let (direction, sa) = self.plan.find(header.spi)?;
        Some((direction, sa, header.sequence.into()))
    }
}

/// How often an idle relay looks whether it shall end.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
