//! The threads of the packet paths.

use core::time::Duration;
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::thread::JoinHandle;

use failover::wire::socket::{self, Receiver, Sender};
use tokio::sync::watch;

use super::UnitError;
use super::inbound::Inbound;
use super::outbound::Outbound;
use super::policy::Policy;
use super::sas::Sas;
use crate::control::Setup;

/// What one direction does with packets.
pub(super) trait Path: Send {
    /// Takes a packet, in place.
    fn packet(&mut self, packet: &mut [u8]);

    /// Whether packets wait for the standby.
    fn is_waiting(&self) -> bool;

    /// The standby has acknowledged something: what waited may try again.
    fn retry(&mut self);

    /// Lets packets leave that were gathered.
    fn flush(&mut self);
}

/// Both directions. When dropped they end.
pub(super) struct Paths {
    end: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Paths {
    /// Starts a thread for each direction.
    pub(super) fn start(
        setup: &Setup,
        sas: &Sas,
        outside: &UdpSocket,
        inside: &UdpSocket,
    ) -> Result<Self, UnitError> {
        let policy = Arc::new(Policy::new(setup));
        let mut paths = Self {
            end: watch::Sender::new(false),
            threads: Vec::new(),
        };
        let (from, to) = (outside.try_clone()?, inside.try_clone()?);
        let (own, rules, setup_in) = (sas.clone(), Arc::clone(&policy), setup.clone());
        paths.spawn("inbound", sas, from, to, move |sender| {
            Inbound::new(&setup_in, own, rules, sender)
        })?;
        let (from, to) = (inside.try_clone()?, outside.try_clone()?);
        let (own, setup_out) = (sas.clone(), setup.clone());
        paths.spawn("outbound", sas, from, to, move |sender| {
            Outbound::new(&setup_out, own, policy, sender)
        })?;
        Ok(paths)
    }

    fn spawn<P: Path>(
        &mut self,
        name: &str,
        sas: &Sas,
        from: UdpSocket,
        to: UdpSocket,
        make: impl FnOnce(Sender) -> P + Send + 'static,
    ) -> io::Result<()> {
        let (end, sas) = (self.end.subscribe(), sas.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new().name(name.to_owned());
        let thread = thread.spawn(move || {
            let outcome = runtime.block_on(async {
                let (receiver, _) = socket::adopt(from)?;
                let (_, sender) = socket::adopt(to)?;
                run(receiver, make(sender), &sas, end).await;
                io::Result::Ok(())
            });
            if let Err(error) = outcome {
                tracing::error!(%error, "a packet path could not start");
            }
        })?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Paths {
    fn drop(&mut self) {
        self.end.send_replace(true);
        for thread in self.threads.drain(..) {
            // A panic was printed already.
            let _ = thread.join();
        }
    }
}

async fn run(
    mut receiver: Receiver,
    mut path: impl Path,
    sas: &Sas,
    mut end: watch::Receiver<bool>,
) {
    let mut acknowledged = sas.acknowledgements();
    loop {
        let received = tokio::select! {
            _ = end.wait_for(|end| *end) => return,
            readable = receiver.readable() => {
                readable.and_then(|()| receiver.receive(|_, packet| path.packet(packet)))
            }
            () = tokio::time::sleep(PATIENCE), if path.is_waiting() => Ok(0),
        };
        if let Err(error) = received {
            tracing::warn!(%error, "cannot receive");
            tokio::time::sleep(PATIENCE).await;
        }
        let now = sas.acknowledgements();
        if core::mem::replace(&mut acknowledged, now) != now {
            path.retry();
        }
        path.flush();
    }
}

/// How long packets wait before it is looked whether the standby has answered.
const PATIENCE: Duration = Duration::from_millis(1);
