//! The threads of the packet paths.

use core::time::Duration;
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::thread::JoinHandle;

use failover::wire::socket::{self, Receiver, Sender};
use ha_ipsec::sad::Pinned;
use tokio::sync::watch;

use super::UnitError;
use super::exposure::ActiveSince;
use super::inbound::Inbound;
use super::outbound::Outbound;
use super::policy::Policy;
use super::sas::Sas;
use crate::control::Setup;

/// What one direction does with packets.
pub(super) trait Path: Send {
    /// Before each burst of packets.
    fn begin(&mut self, sas: &Sas);

    /// Takes a packet, in place.
    fn packet(&mut self, sas: &Pinned<'_>, packet: &mut [u8]);

    /// Whether packets wait for the standby.
    fn is_waiting(&self) -> bool;

    /// After each burst: tries again with what waited, if the standby has acknowledged something,
    /// and lets everything leave that was gathered.
    fn end(&mut self, sas: &Sas);
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
        active_since: &Arc<ActiveSince>,
        [outside, inside]: [&UdpSocket; 2],
    ) -> Result<Self, UnitError> {
        let policy = Arc::new(Policy::new(setup));
        let mut paths = Self {
            end: watch::Sender::new(false),
            threads: Vec::new(),
        };
        let (from, to) = (outside.try_clone()?, inside.try_clone()?);
        let (own, rules, since) = (setup.clone(), Arc::clone(&policy), Arc::clone(active_since));
        paths.spawn("inbound", sas, from, to, move |sender| {
            Inbound::new(&own, rules, since, sender)
        })?;
        let (from, to) = (inside.try_clone()?, outside.try_clone()?);
        let own = setup.clone();
        paths.spawn("outbound", sas, from, to, move |sender| {
            Outbound::new(&own, policy, sender)
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
    loop {
        let readable = tokio::select! {
            _ = end.wait_for(|end| *end) => return,
            readable = receiver.readable() => readable,
            () = tokio::time::sleep(PATIENCE), if path.is_waiting() => Ok(()),
        };
        path.begin(sas);
        let received = readable.and_then(|()| {
            let pinned = sas.pin();
            receiver.receive(|_, packet| path.packet(&pinned, packet))
        });
        if let Err(error) = received {
            tracing::warn!(%error, "cannot receive");
            tokio::time::sleep(PATIENCE).await;
        }
        path.end(sas);
    }
}

/// How long packets wait before it is looked whether the standby has answered.
const PATIENCE: Duration = Duration::from_millis(1);
