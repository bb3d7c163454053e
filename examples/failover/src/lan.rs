//! The protected LAN: hosts that send to the remote site through the gateways, and a tap that
//! sees what the gateways deliver.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::site::{Pacer, Site, Switches, ticks};
use crate::tap::{Event, Tap, What};
use crate::wire::inner::{INNER_LEN, Inner};
use crate::wire::plan::Plan;
use crate::wire::socket::{self, Sender};
use crate::wire::{Claim, Direction, Source, Switch};

/// What the LAN needs.
#[derive(Debug)]
pub struct LanConfig {
    /// The SAs: one host for each.
    pub plan: Plan,
    /// Packets per second, over all hosts in turn.
    pub pps: u32,
    /// The socket of the LAN; units send what they decrypt, and their claims, to it.
    pub socket: std::net::UdpSocket,
    /// Where to write down what is sent and what arrives.
    pub tap: Tap,
}

/// Starts the LAN in a thread.
///
/// # Errors
/// If the system gives no thread.
pub fn spawn(config: LanConfig, switches: &Arc<Switches>) -> io::Result<Site> {
    let looked_at = Arc::clone(switches);
    Site::spawn("LAN", switches, move || run(config, looked_at))
}

async fn run(config: LanConfig, switches: Arc<Switches>) -> io::Result<()> {
    let (mut receiver, mut sender) = socket::adopt(config.socket)?;
    let mut lan = Lan {
        hosts: vec![0; config.plan.sas as usize],
        plan: config.plan,
        pacer: Pacer::new(config.pps),
        turn: 0,
        switch: Switch::default(),
        tap: config.tap,
    };
    let mut ticks = ticks();
    while !switches.is_stopped() {
        tokio::select! {
            _ = ticks.tick() => {
                if switches.has_traffic() {
                    lan.send(&mut sender, switches.has_flood());
                } else {
                    lan.pacer.pause();
                }
            }
            readable = receiver.readable() => {
                readable?;
                let at_ns = lan.tap.now_ns();
                receiver.receive(|from, packet| lan.receive(from, packet, at_ns))?;
            }
        }
        lan.tap.flush();
    }
    Ok(())
}

struct Lan {
    plan: Plan,
    pacer: Pacer,
    /// Packets that each host sent.
    hosts: Vec<u64>,
    turn: u32,
    switch: Switch,
    tap: Tap,
}

impl Lan {
    fn send(&mut self, sender: &mut Sender, flood: bool) {
        let now_ns = self.tap.now_ns();
        let mut copies = Vec::new();
        for _ in 0..self.pacer.due(now_ns) {
            let packet = self.send_one(sender, now_ns);
            copies.extend(packet.filter(|_| flood));
        }
        // After the others, so that packets to one destination can be joined.
        if let Some(to) = self.switch.other() {
            copies.iter().for_each(|packet| sender.send(to, packet));
        }
        sender.flush();
    }

    /// Sends the next packet to the unit that holds the address; returns it.
    fn send_one(&mut self, sender: &mut Sender, now_ns: u64) -> Option<[u8; INNER_LEN]> {
        let flow = self.turn;
        self.turn = (flow + 1) % self.plan.sas.max(1);
        let count = self.hosts.get_mut(flow as usize)?;
        *count += 1;
        let number = *count;
        let holder = self.switch.holder();
        self.tap.write(Event {
            at_ns: now_ns,
            number,
            sa: flow,
            unit: holder.map(|(unit, _)| unit),
            what: What::Sent(Direction::Outbound),
        });
        let (_, to) = holder?;
        let inner = Inner {
            direction: Direction::Outbound,
            flow,
            counter: number,
            sent_ns: now_ns,
        };
        let pair = self.plan.pair(flow);
        let mut packet = [0; INNER_LEN];
        inner.encode(pair.lan_host, pair.remote_host, &mut packet);
        sender.send(to, &packet);
        Some(packet)
    }

    fn receive(&mut self, from: SocketAddr, packet: &[u8], at_ns: u64) {
        if let Some(claim) = Claim::decode(packet) {
            self.switch.learn(claim, from);
            if claim.term > 0 {
                self.tap.write(claimed(claim, at_ns));
            }
            return;
        }
        let Source::Unit(unit) = self.switch.source(from) else {
            return;
        };
        let Some(inner) = Inner::decode(packet).filter(|inner| inner.flow < self.plan.sas) else {
            return;
        };
        let what = match inner.direction {
            Direction::Inbound => What::Delivered(Direction::Inbound),
            Direction::Outbound => What::Reflected,
        };
        self.tap.write(Event {
            at_ns,
            number: inner.counter,
            sa: inner.flow,
            unit: Some(unit),
            what,
        });
    }
}

/// The event of a claim.
pub(crate) fn claimed(claim: Claim, at_ns: u64) -> Event {
    Event {
        at_ns,
        number: claim.term,
        sa: 0,
        unit: Some(claim.unit),
        what: What::Claimed,
    }
}
