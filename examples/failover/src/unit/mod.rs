//! One gateway of the pair: a process that knows nothing of the laboratory around it.
//!
//! - [`sas`]: the SAs, which the other unit gets as they are made and change
//! - [`link`](mod@link): the node and its link to the other unit
//! - [`claim`]: the virtual address follows the role
//! - [`exposure`]: what a unit may deliver that has lost its standby
//! - [`inbound`], [`outbound`]: the packet paths, a thread each ([`path`])
//!
//! The threads of the packet paths share nothing with the node but the SAs.

mod cache;
mod claim;
mod exposure;
mod inbound;
mod link;
mod outbound;
mod packet;
mod path;
mod policy;
mod sas;

use core::time::Duration;
use std::io::{self, BufRead, Write};
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ha_transport::Node;
use ha_transport::runtime::{BlockingNode, GroupView, View};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use self::claim::Claims;
use self::exposure::ActiveSince;
use self::path::Paths;
use self::sas::Sas;
use crate::control::{self, Command, Event, Install, Setup};
use crate::lab::MemoryEnd;
use failover::wire::Gateway;

/// The argument that makes this program a unit. Not for people: it expects its commands on
/// standard input.
pub(crate) const ARGUMENT: &str = "unit";

/// Why a unit ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnitError {
    #[error("the first line is not how to start; a unit is started by the laboratory only")]
    NoSetup,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the link: {0}")]
    Link(String),
    #[error("the SAs: {0}")]
    Sas(String),
}

/// Runs a unit until its commands end.
///
/// # Errors
/// When it cannot be set up, or its events are not read any more.
pub(crate) fn run(
    mut from: impl BufRead + Send + 'static,
    mut to: impl Write,
    memory: Option<MemoryEnd>,
) -> Result<(), UnitError> {
    let Some(Command::Start(setup)) = control::receive(&mut from)? else {
        return Err(UnitError::NoSetup);
    };
    let (told, commands) = mpsc::channel(COMMANDS);
    std::thread::Builder::new()
        .name("commands".to_owned())
        .spawn(move || {
            while let Ok(Some(command)) = control::receive(&mut from) {
                if told.blocking_send(command).is_err() {
                    return;
                }
            }
        })?;
    let outcome = Unit::start(&setup, memory).and_then(|mut unit| unit.run(commands, &mut to));
    if let Err(error) = &outcome {
        // The laboratory may be gone.
        let why = error.to_string();
        let _ = control::send(&mut to, &Event::Failed { why });
    }
    outcome
}

/// A running unit. When dropped it says goodbye to its peer and ends.
struct Unit {
    sas: Sas,
    // Before the packet paths: its end closes them in order.
    node: BlockingNode,
    active_since: Arc<ActiveSince>,
    claims: Claims,
    /// Keeps the threads.
    _paths: Paths,
    /// Answers of commands that take their time.
    answers: mpsc::Receiver<Event>,
    answer: mpsc::Sender<Event>,
}

impl Unit {
    fn start(setup: &Setup, memory: Option<MemoryEnd>) -> Result<Self, UnitError> {
        let unit = usize::try_from(setup.unit).ok();
        let gateway = unit
            .and_then(Gateway::from_index)
            .ok_or(UnitError::NoSetup)?;
        let sas = Sas::new(setup)?;
        let node = link::start(setup, &sas, memory)?;
        let [outside, inside] = [bind()?, bind()?];
        let claims = Claims::new(
            gateway,
            [
                (outside.try_clone()?, setup.outside),
                (inside.try_clone()?, setup.inside),
            ],
        );
        let active_since = Arc::default();
        let paths = Paths::start(setup, &sas, &active_since, [&outside, &inside])?;
        let (answer, answers) = mpsc::channel(COMMANDS);
        Ok(Self {
            sas,
            node,
            active_since,
            claims,
            _paths: paths,
            answers,
            answer,
        })
    }

    fn run(
        &mut self,
        commands: mpsc::Receiver<Command>,
        to: &mut impl Write,
    ) -> Result<(), UnitError> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(self.serve(commands, to))
    }

    async fn serve(
        &mut self,
        mut commands: mpsc::Receiver<Command>,
        to: &mut impl Write,
    ) -> Result<(), UnitError> {
        let node = self.node.handle().clone();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known: Option<GroupView> = None;
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Install(install)) => self.install(install),
                    Some(Command::Switchover) => self.switch_over(&node),
                    Some(Command::Start(_)) => {}
                    Some(Command::Stop) | None => return Ok(()),
                },
                Some(answer) = self.answers.recv() => control::send(to, &answer)?,
                view = next_view(&node, known) => {
                    let Some(view) = view else { return Ok(()) };
                    let was_active = known.replace(view).is_some_and(|known| known.active);
                    if view.active && !was_active {
                        self.active_since.set(self.sas.now());
                    }
                    self.claims.follow(view);
                    control::send(to, &state(view))?;
                }
                _ = ticks.tick() => {
                    self.claims.repeat();
                    self.sas.tick(unix_s());
                }
            }
        }
    }

    fn install(&self, install: Install) {
        let (sas, answer) = (self.sas.clone(), self.answer.clone());
        tokio::spawn(async move {
            // Nobody reads when the unit ends.
            if let Err(error) = sas.install(&install, &answer).await {
                let why = error.to_string();
                let _ = answer.send(Event::Failed { why }).await;
            }
        });
    }

    fn switch_over(&self, node: &Node) {
        let (node, answer) = (node.clone(), self.answer.clone());
        tokio::spawn(async move {
            let event = match node.switchover().await {
                Ok(()) => Event::SwitchedOver,
                Err(error) => Event::Failed {
                    why: error.to_string(),
                },
            };
            let _ = answer.send(event).await;
        });
    }
}

/// Waits for the group to stand elsewhere than `known`; `None` when the node has stopped.
async fn next_view(node: &Node, known: Option<GroupView>) -> Option<GroupView> {
    let group = |view: &View| view.groups.values().next().copied();
    let changed = |view: &View| group(view).is_some() && group(view) != known;
    loop {
        match node.wait_for(HOUR, changed).await {
            Ok(view) => return group(&view),
            Err(ha_transport::runtime::NodeError::TimedOut(_)) => {}
            Err(_) => return None,
        }
    }
}

fn state(view: GroupView) -> Event {
    Event::State {
        mine: view.state.name().to_owned(),
        peer: view.peer_state.map(|state| state.name().to_owned()),
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "lifetimes in seconds survive the unit, so they are counted in calendar time"
)]
fn unix_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn bind() -> io::Result<UdpSocket> {
    UdpSocket::bind((core::net::Ipv4Addr::LOCALHOST, 0))
}

/// How often the SAs are looked after.
const TICK: Duration = Duration::from_millis(2);
const HOUR: Duration = Duration::from_secs(3600);
const COMMANDS: usize = 16;
/// Packets of one direction that may wait for the standby.
const WAITING_LIMIT: usize = 4096;
