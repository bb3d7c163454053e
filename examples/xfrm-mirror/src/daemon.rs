//! The running unit.

use core::time::Duration;
use std::os::fd::OwnedFd;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ha_core::redundancy::RfState;
use ha_core::scheme::{PeerHealth, Static};
use ha_core::time::Time;
use ha_ipsec::linux::mirror::{Clocks, Mirror, Netlink};
use ha_ipsec::linux::route::{RouteConfig, RouteError, Routes};
use ha_ipsec::sad::Sad;
use ha_ipsec::show::{Show, StatusFilter};
use ha_transport::Node;
use ha_transport::runtime::{BlockingNode, GroupView, NodeError, View};
use ha_transport::vip::VirtualAddresses;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogLevel, Mode, SchemeSettings, Settings};
use crate::hooks::{self, Occasion};
use crate::link;
use crate::lock::{self, Lock, LockError};
use crate::orders;
use crate::plane::{Plane, Role};
use crate::status::{self, Asked, MirrorStatus, Request, Status, TakeoverStatus};

/// Why the daemon could not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DaemonError {
    #[error("the kernel: {0}")]
    Kernel(#[from] ha_ipsec::linux::socket::SocketError),
    #[error("routes: {0}")]
    Route(#[from] RouteError),
    #[error("virtual addresses: {0}")]
    Vip(#[from] ha_transport::vip::VipError),
    #[error("links: {0}")]
    Link(#[from] ha_transport::LinkError),
    #[error("the SA database: {0}")]
    Sad(#[from] ha_ipsec::sad::SadError),
    #[error("the tables: {0}")]
    Table(#[from] ha_core::checkpoint::BuildError),
    #[error("the node: {0}")]
    Start(#[from] ha_transport::runtime::StartError),
    #[error("the node ended by itself, which is a defect; this unit gives up its addresses")]
    NodeEnded,
    #[error(
        "the other unit has the same unit.id, {0}: both would use the same sequence numbers; give one of \
         them 0 and the other one 1"
    )]
    SameUnit(u32),
    #[error(transparent)]
    Socket(#[from] status::SocketError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

type Reload = reload::Handle<LevelFilter, tracing_subscriber::Registry>;

/// Runs until SIGTERM or SIGINT, which hand over first.
///
/// # Errors
/// When it cannot be set up.
pub(crate) fn run(settings: Settings) -> Result<(), DaemonError> {
    let (reload, _lines) = start_log(settings.log_level());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (node, done) = runtime.block_on(async {
        let mut daemon = Daemon::start(settings, reload)?;
        let done = daemon.serve().await;
        // Addresses never outlive the daemon, however it ends.
        daemon.plane.end();
        Ok::<_, DaemonError>((daemon.node, done))
    })?;
    // It waits for its thread, which must not happen within a runtime.
    drop(node);
    done
}

/// A full pipe or disk must not stop the unit: lines wait in a bounded queue, and what does not fit is
/// lost.
fn start_log(level: LogLevel) -> (Reload, WorkerGuard) {
    let (filter, handle) = reload::Layer::new(filter(level));
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUED_LINES)
        .finish(std::io::stderr());
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .log_internal_errors(false)
        .with_writer(writer);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
    (handle, guard)
}

const fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Everything that runs.
struct Daemon {
    settings: Settings,
    reload: Reload,
    node: BlockingNode,
    plane: Plane<Netlink>,
    events: AsyncFd<OwnedFd>,
    asked: mpsc::Receiver<Asked>,
    signals: Signals,
    origin: Instant,
    known: Option<View>,
    /// When the watchdog was told last.
    fed: Time,
    /// When to say that the other unit was never seen.
    lonely: Option<Time>,
    _lock: Lock,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
}

/// What woke the daemon.
enum Woken {
    Tick,
    Kernel,
    Node,
    Asked(Asked),
    Reload,
    Report,
    End,
}

impl Daemon {
    fn start(settings: Settings, reload: Reload) -> Result<Self, DaemonError> {
        // Before anything is touched: what another one holds is not a former life's.
        let lock = lock::take(&settings.addresses)?;
        let (questions, asked) = mpsc::channel(QUESTIONS);
        let listener = status::listen(&settings.file.unit.status_socket)?;
        let mut addresses = VirtualAddresses::new(settings.addresses.clone())?;
        let left = addresses.clean_up()?;
        if left > 0 {
            tracing::warn!(left, "removed virtual addresses that a former life left");
        }
        let config = settings.mirror();
        let room = settings.file.mirror.receive_buffer_kib as usize * 1024;
        let kernel = Netlink::open(config.filter.clone(), room)?;
        let events = watched(kernel.events_fd().try_clone_to_owned()?)?;
        let mirror = Mirror::new(config, Sad::new(settings.sad())?, kernel)?;
        let routes = settings.routes().map(open_routes).transpose()?;
        let node = start_node(&settings, &mirror)?;
        tokio::spawn(status::serve(listener, questions));
        let daemon = Self {
            reload,
            node,
            plane: Plane::new(mirror, addresses, routes),
            events,
            asked,
            signals: Signals::listen()?,
            origin: now(),
            known: None,
            fed: Time::ZERO,
            lonely: Some(Time::ZERO + LONELY),
            settings,
            _lock: lock,
        };
        tracing::info!(unit = daemon.settings.unit.value(), "running");
        notify(&[sd_notify::NotifyState::Ready]);
        Ok(daemon)
    }

    async fn serve(&mut self) -> Result<(), DaemonError> {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let woken = self.wait(&mut ticks).await;
            let handle = self.node.handle().clone();
            match woken {
                Woken::Tick | Woken::Kernel | Woken::Node => {}
                Woken::Asked(asked) => self.answer(asked, &handle).await,
                Woken::Reload => self.reread(),
                Woken::Report => {
                    let status = self.status();
                    tracing::info!("{}", status.to_string().trim_end().replace('\n', "; "));
                }
                Woken::End => {
                    self.end(&handle).await;
                    return Ok(());
                }
            }
            self.look();
            let view = self.node.view();
            if view.stopped {
                return Err(DaemonError::NodeEnded);
            }
            // One that serves goes on: the other one, which just started, ends.
            if view.same_unit && self.plane.role() != Role::Active {
                return Err(DaemonError::SameUnit(self.settings.unit.value()));
            }
        }
    }

    async fn wait(&mut self, ticks: &mut tokio::time::Interval) -> Woken {
        let node = self.node.handle().clone();
        let known = self.known.clone();
        tokio::select! {
            biased;
            _ = self.signals.terminate.recv() => Woken::End,
            _ = self.signals.interrupt.recv() => Woken::End,
            () = changed(&node, known) => Woken::Node,
            Some(asked) = self.asked.recv() => Woken::Asked(asked),
            _ = self.signals.hangup.recv() => Woken::Reload,
            _ = self.signals.user1.recv() => Woken::Report,
            ready = self.events.readable() => {
                if let Ok(mut ready) = ready {
                    // All events are read at each turn.
                    ready.clear_ready();
                }
                Woken::Kernel
            }
            _ = ticks.tick() => Woken::Tick,
        }
    }

    /// Follows the role, and looks after what is due.
    fn look(&mut self) {
        let clocks = self.clocks();
        self.plane.mirror().sad().tick(clocks.now, clocks.unix_s);
        let view = self.node.view();
        let was_up = self.known.as_ref().is_some_and(|view| view.peer_up);
        if was_up && !view.peer_up {
            hooks::start(
                self.settings.hooks().peer_lost.as_ref(),
                self.occasion("peer_lost"),
            );
        }
        let wanted = self.wanted(&view);
        if let Some(role) = self.plane.follow(wanted, clocks) {
            let hooks = self.settings.hooks();
            let command = match role {
                Role::Active => hooks.active.as_ref(),
                Role::Standby | Role::Unknown => hooks.standby.as_ref(),
            };
            hooks::start(command, self.occasion(role.name()));
        }
        if self.known.as_ref() != Some(&view) {
            let state =
                group(&view).map_or_else(|| "starting".to_owned(), |it| it.state.to_string());
            notify(&[sd_notify::NotifyState::Status(&state)]);
        }
        self.known = Some(view);
        while self.plane.poll(self.clocks()) {}
        if clocks.now.since(self.fed) >= FEED {
            self.fed = clocks.now;
            notify(&[sd_notify::NotifyState::Watchdog]);
        }
        self.look_for_peer(clocks.now);
    }

    fn look_for_peer(&mut self, now: Time) {
        if self.known.as_ref().is_some_and(|view| view.peer_up) {
            self.lonely = None;
        }
        if self.lonely.is_some_and(|due| now >= due) {
            self.lonely = None;
            tracing::error!(
                "the other unit was not seen yet; does it run, and do the links reach it?"
            );
        }
    }

    /// Until a unit knows of the other one, or is active itself, it leaves the kernel as it is: after a
    /// crash of the mirror alone the SAs in it may be all there is.
    fn wanted(&self, view: &View) -> Role {
        let open = self.plane.mirror().sad().stats().open;
        match group(view) {
            Some(group) if group.active && open => Role::Active,
            // Going to be active, or just not any more: the latter is told by the state below.
            Some(group) if group.active => self.plane.role(),
            Some(group) if is_standby(group.state) => Role::Standby,
            _ if self.plane.role() == Role::Active => Role::Standby,
            _ => self.plane.role(),
        }
    }

    async fn answer(&mut self, asked: Asked, node: &Node) {
        let group = self.settings.group;
        let answer = match asked.request {
            Request::Status { json: true } => {
                serde_json::to_string(&self.status()).map_err(|error| error.to_string())
            }
            Request::Status { json: false } => Ok(self.status().to_string()),
            Request::Order(order) => {
                let (node, answer) = (node.clone(), asked.answer);
                tokio::spawn(async move {
                    // Who asked may be gone.
                    let _ = answer.send(orders::carry_out(node, group, order).await);
                });
                return;
            }
            Request::Sa => {
                let sad = self.plane.mirror().sad();
                Ok(Show::new(sad, sad.unix_s())
                    .ipsec_sa(StatusFilter::Any)
                    .to_string())
            }
            Request::Switchover => self.switch_over(node).await,
            Request::PeerFenced => self.peer_fenced(node).await,
        };
        // Who asked may be gone.
        let _ = asked.answer.send(answer);
    }

    async fn switch_over(&mut self, node: &Node) -> Result<String, String> {
        let view = group(&self.node.view());
        if view.and_then(|view| view.peer_state) != Some(RfState::StandbyHot) {
            return Err(
                "refused: the other unit is not STANDBY HOT, or this one not active".to_owned(),
            );
        }
        self.hand_over(node)
            .await
            .map(|()| "the other unit is active".to_owned())
    }

    async fn peer_fenced(&mut self, node: &Node) -> Result<String, String> {
        let told = node.peer_fenced(self.settings.group).await;
        told.map_err(|error| error.to_string())?;
        tracing::warn!("told that the other unit is off: what was set apart for it is free");
        self.plane.set_forward(self.clocks());
        Ok("the numbers that were set apart for the other unit are free".to_owned())
    }

    /// No more packets; what they moved goes to the standby; then the role.
    async fn hand_over(&mut self, node: &Node) -> Result<(), String> {
        self.plane.settle(self.clocks());
        let done = self.give_role(node).await;
        if done.is_err() {
            self.plane.resume(self.clocks());
        }
        done
    }

    async fn give_role(&self, node: &Node) -> Result<(), String> {
        let asked = node.switchover_of(self.settings.group, false);
        match tokio::time::timeout(HANDOVER_LIMIT, asked).await {
            Ok(done) => done.map_err(|error| error.to_string()),
            Err(_) => Err(format!("not within {HANDOVER_LIMIT:?}")),
        }
    }

    async fn end(&mut self, node: &Node) {
        notify(&[sd_notify::NotifyState::Stopping]);
        let view = group(&self.node.view());
        let whole =
            view.is_some_and(|view| view.active && view.peer_state == Some(RfState::StandbyHot));
        if whole {
            self.plane.settle(self.clocks());
            match self.give_role(node).await {
                Ok(()) => tracing::info!("handed over"),
                Err(why) => tracing::error!(why, "could not hand over; ending nevertheless"),
            }
        }
        let was_active = self.plane.role() == Role::Active;
        self.plane.end();
        node.stop().await;
        if was_active {
            let occasion = self.occasion("standby");
            hooks::finish(self.settings.hooks().standby.as_ref(), &occasion).await;
        }
        let _ = std::fs::remove_file(&self.settings.file.unit.status_socket);
    }

    /// SIGHUP: takes over what can change while it runs.
    fn reread(&mut self) {
        let read = match Settings::load(&self.settings.path) {
            Ok(read) => read,
            Err(why) => {
                tracing::error!(%why, "the file is not taken over; everything stays as it was");
                return;
            }
        };
        for section in self.settings.differences(&read) {
            tracing::warn!(section, "changed in the file; takes effect after a restart");
        }
        let _ = self.reload.reload(filter(read.log_level()));
        self.settings.file.hooks = read.file.hooks;
        self.settings.file.log = read.file.log;
        tracing::info!("hooks and log level are those of the file");
    }

    fn status(&self) -> Status {
        let view = self.node.view();
        let group = group(&view);
        let (sad, stats) = (
            self.plane.mirror().sad().stats(),
            self.plane.mirror().stats(),
        );
        Status {
            unit: self.settings.unit.value(),
            group: self.settings.group.value(),
            role: self.plane.role().name(),
            state: group.map_or_else(|| "starting".to_owned(), |group| group.state.to_string()),
            peer_state: group
                .and_then(|group| group.peer_state)
                .map(|state| state.to_string()),
            peer_up: view.peer_up,
            term: group.map_or(0, |group| group.term.counter),
            mode: match self.settings.file.mirror.mode {
                Mode::Counters => "counters",
                Mode::Full => "full",
            },
            addresses_here: self.plane.has_addresses(),
            sas: sad.ipsec_sas,
            isolated: sad.isolated,
            exposed_packets: sad.exposed,
            mirror: MirrorStatus {
                followed: stats.followed,
                events: stats.events,
                lost: stats.lost,
                dumps: stats.dumps,
                overrun: stats.overrun,
                beyond_budget: stats.beyond_budget,
                written: stats.written,
                ahead: stats.ahead,
                installed: stats.installed,
                removed: stats.removed,
                refused: stats.refused,
                missing: stats.missing,
                other_keys: stats.other_keys,
                unusable: stats.unusable,
                rekeys_asked: stats.rekeys_asked,
                held_out: stats.held_out,
            },
            last_takeover: self.plane.last_takeover.map(TakeoverStatus::from),
            last_error: self.plane.last_error.clone(),
        }
    }

    fn occasion(&self, event: &'static str) -> Occasion {
        let group = group(&self.node.view());
        Occasion {
            event,
            unit: self.settings.unit.value(),
            state: group.map_or_else(String::new, |group| group.state.to_string()),
            term: group.map_or(0, |group| group.term.counter),
        }
    }

    fn clocks(&self) -> Clocks {
        Clocks {
            now: Time::ZERO + now().duration_since(self.origin),
            unix_s: unix_s(),
        }
    }
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
        })
    }
}

/// Without the routes of a former life.
fn open_routes(config: RouteConfig) -> Result<Routes, RouteError> {
    let mut routes = Routes::open(config)?;
    let left = routes.clear()?;
    if left > 0 {
        tracing::warn!(left, "removed routes that a former life left");
    }
    Ok(routes)
}

/// On a thread of its own: keepalives do not wait for the kernel.
fn start_node(settings: &Settings, mirror: &Mirror<Netlink>) -> Result<BlockingNode, DaemonError> {
    let mut node = Node::builder(settings.unit)
        .group(settings.group)
        .software(concat!("xfrm-mirror ", env!("CARGO_PKG_VERSION")))
        .keepalive(settings.keepalive);
    node = match settings.scheme {
        SchemeSettings::PeerHealth(config) => node.scheme(PeerHealth::new(config)),
        SchemeSettings::Static(role) => node.scheme(Static::new(role)),
    };
    for client in mirror.clients() {
        node = node.client(&client);
    }
    Ok(link::add(node, settings)?.start_thread()?)
}

#[allow(
    deprecated,
    reason = "unsound for types that do not own their descriptor; this one does, and the successor is \
              unsafe to call"
)]
fn watched(events: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(events)
}

/// Waits for the view to be another one.
async fn changed(node: &Node, known: Option<View>) {
    let other = |view: &View| Some(view) != known.as_ref();
    loop {
        match node.wait_for(HOUR, other).await {
            Ok(_) => return,
            Err(NodeError::TimedOut(_)) => {}
            // The node ended: so will the daemon.
            Err(_) => return,
        }
    }
}

fn group(view: &View) -> Option<GroupView> {
    view.groups.values().next().copied()
}

fn is_standby(state: RfState) -> bool {
    (RfState::StandbyCold.number()..=RfState::StandbyHot.number()).contains(&state.number())
}

/// Without systemd nobody listens.
fn notify(states: &[sd_notify::NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

#[allow(clippy::disallowed_methods, reason = "the clock of the whole program")]
fn now() -> Instant {
    Instant::now()
}

#[allow(
    clippy::disallowed_methods,
    reason = "the kernel's lifetimes are in calendar time"
)]
fn unix_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// How often what is due is looked after.
const TICK: Duration = Duration::from_millis(5);
const HOUR: Duration = Duration::from_secs(3600);
const HANDOVER_LIMIT: Duration = Duration::from_secs(10);
const QUESTIONS: usize = 16;
const QUEUED_LINES: usize = 4096;
/// How often the watchdog is told that all is well.
const FEED: Duration = Duration::from_secs(1);
/// How long the other unit may be missing after the start before that is worth an error.
const LONELY: Duration = Duration::from_secs(10);
