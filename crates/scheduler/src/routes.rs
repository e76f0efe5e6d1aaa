//! What the router is told, and what it says back.
//!
//! A table is made from each look at the dynos and sent when it differs from the last. The router's answers tell
//! which dynos can still have requests in flight, and that is what stopping a dyno waits for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use jiff::Timestamp;
use ropewalk_api_types::router::{
    AppRoute, AppStats, Canary, Certificate, Certificates, Challenge, Changes, EdgePolicy,
    MAX_LINE, Own, RateLimit, Table, Target, TcpEntrance, TcpRoute, ToRouter, ToServer, Unbound,
    Upstream, WhenEmpty,
};
use ropewalk_api_types::tcp_route::ProxyProtocol;
use ropewalk_logs::Logs;
use ropewalk_model::dyno::PORT;
use ropewalk_model::log_line::LogSource;
use ropewalk_model::tcp::{self, Ports};
use ropewalk_model::traffic::{Recent, Totals};
use ropewalk_model::{AppId, AppName, DynoId, DynoState, ProcessType, SleepTier, Traffic, edge};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::codec::{Framed, LinesCodec};
use tokio_util::sync::CancellationToken;

use crate::observe::{AppWorld, World};
use crate::plan::{Seat, Way, is_web};
use crate::traffic::Recorder;

/// Between two signs of life.
const PING: Duration = Duration::from_secs(5);

/// By then a router has told what is under way: it does each second.
const HEARD_AFTER: Duration = Duration::from_secs(3);

/// Reports of routers that a reader of [`Routes::traffic`] may be behind.
const REPORTS: usize = 64;

/// What apps with traffic did in the last second, as one router counted it.
pub type Report = Arc<HashMap<AppId, AppStats>>;

/// Where the platform itself is found.
#[derive(Debug, Clone)]
pub struct Platform {
    /// `example.com` or `localhost`: apps are below it.
    pub domain: String,
    /// The socket that serves `api.`, `git.` and `registry.`.
    pub socket: PathBuf,
    /// The socket that takes terminals of clients that speak rendezvous.
    pub rendezvous: PathBuf,
    /// Ports of the host that TCP routes may have, if any.
    pub tcp_ports: Option<Ports>,
}

/// Seconds for which a request is held beyond a boot timeout, so that it hears of that (H10) and not of its own end (H20).
const HOLD_BEYOND_BOOT: u32 = 15;

/// Host labels of the platform.
const PLATFORM_HOSTS: [&str; 3] = ["api", "git", "registry"];

/// The route table and the routers that hold it; clones share it.
#[derive(Debug, Clone)]
pub struct Routes {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    platform: Platform,
    logs: Logs,
    table: watch::Sender<Arc<Table>>,
    /// `None` before the ledger was looked at: the router's own are better.
    certificates: watch::Sender<Option<Arc<Certificates>>>,
    /// Bumped when a router connects, leaves or answers.
    changes: watch::Sender<u64>,
    traffic: broadcast::Sender<Report>,
    began: Instant,
    recorder: Mutex<Recorder>,
    state: Mutex<State>,
    sleep: Mutex<Sleep>,
    /// Rung when somebody asks for an app that sleeps.
    asked: Notify,
}

/// What is known of apps that sleep, or may.
#[derive(Debug, Default)]
struct Sleep {
    /// When each app was last seen at work, since the server began.
    used: HashMap<AppId, Instant>,
    /// Those that somebody asks for.
    asked: HashSet<AppId>,
    /// Those that are being woken.
    waking: HashSet<AppId>,
    /// Those, and all that were since the last look began.
    since_look: HashSet<AppId>,
    /// Those that were woken, and whose dynos boot.
    booting: HashSet<AppId>,
    /// What is said of frozen apps once they are thawed.
    awake: HashMap<AppId, AppRoute>,
}

/// An app that is being woken; what looks find of it meanwhile is old.
#[derive(Debug)]
pub(crate) struct Waking {
    routes: Routes,
    app: AppId,
}

impl Drop for Waking {
    fn drop(&mut self) {
        let mut sleep = self.routes.sleep();
        sleep.waking.remove(&self.app);
        // Of a look that is under way, too.
        sleep.since_look.insert(self.app);
    }
}

#[derive(Debug, Default)]
struct State {
    next_connection: u64,
    routers: HashMap<u64, RouterView>,
    /// Generation of the first table without this dyno.
    excluded: HashMap<DynoId, u64>,
}

/// One connected router.
#[derive(Debug, Clone, Default)]
pub struct RouterView {
    pub pid: u32,
    pub version: String,
    /// Generation of the table that it serves by.
    pub acked: u64,
    /// And of the certificates.
    pub certified: u64,
    draining: BTreeMap<String, u64>,
    unbound: Vec<Unbound>,
    /// It has told what it counted, or had time to.
    heard: bool,
}

impl Routes {
    pub fn new(platform: Platform, logs: Logs) -> Self {
        let inner = Inner {
            platform,
            logs,
            table: watch::Sender::new(Arc::new(Table::default())),
            certificates: watch::Sender::new(None),
            changes: watch::Sender::new(0),
            traffic: broadcast::Sender::new(REPORTS),
            began: Instant::now(),
            recorder: Mutex::default(),
            state: Mutex::default(),
            sleep: Mutex::default(),
            asked: Notify::new(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Routers that are connected now.
    pub fn routers(&self) -> Vec<RouterView> {
        self.lock().routers.values().cloned().collect()
    }

    /// Ports of TCP routes that a router could not listen on, and why. `None` while no router is connected.
    pub fn unbound(&self) -> Option<BTreeMap<u16, String>> {
        let state = self.lock();
        let all = state.routers.values().flat_map(|router| &router.unbound);
        let all = all.map(|one| (one.port, one.reason.clone()));
        (!state.routers.is_empty()).then(|| all.collect())
    }

    /// What routers measured of an app in the last minutes, and what is under way.
    pub fn measured(&self, app: AppId) -> Traffic {
        let routers: Vec<u64> = self.lock().routers.keys().copied().collect();
        self.recorder()
            .read(app, &routers, self.inner.began.elapsed().as_secs())
    }

    /// What routers measured of every app that had a request since the server began.
    pub fn totals(&self) -> BTreeMap<AppId, Totals> {
        let routers: Vec<u64> = self.lock().routers.keys().copied().collect();
        self.recorder()
            .totals(&routers, self.inner.began.elapsed().as_secs())
    }

    /// What routers measured in the last seconds: of one app, or of every one that had a request or has one.
    pub fn recent(&self, only: Option<AppId>) -> Recent {
        let routers: Vec<u64> = self.lock().routers.keys().copied().collect();
        self.recorder()
            .recent(only, &routers, self.inner.began.elapsed().as_secs())
    }

    /// Every router's reports from now on, about one a second while there is traffic. Who is behind by more than
    /// [`REPORTS`] misses some, and is told.
    pub fn traffic(&self) -> broadcast::Receiver<Report> {
        self.inner.traffic.subscribe()
    }

    /// Serves routers on a socket until `shutdown`.
    pub async fn serve(
        &self,
        listener: UnixListener,
        shutdown: CancellationToken,
    ) -> std::io::Result<()> {
        loop {
            let (stream, _) = tokio::select! {
                accepted = listener.accept() => accepted?,
                () = shutdown.cancelled() => return Ok(()),
            };
            let this = self.clone();
            let shutdown = shutdown.clone();
            tokio::spawn(async move { this.serve_one(stream, shutdown).await });
        }
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// Waits until every router that is connected serves by the table that is the newest now, or by a later one.
    pub(crate) async fn acked(&self) {
        let generation = self.inner.table.borrow().generation;
        self.all(|router| router.acked >= generation).await;
    }

    /// Waits until new connections get the certificates that are the newest now, or later ones, of every router that is
    /// connected.
    pub async fn certified(&self) {
        let newest = self.inner.certificates.borrow().clone();
        let generation = newest.map_or(0, |newest| newest.generation);
        self.all(|router| router.certified >= generation).await;
    }

    /// Waits until there is a router, and authorities get the answers that are the newest now, or later ones, of every
    /// router that is connected.
    pub async fn answering(&self) {
        let mut changes = self.changes();
        loop {
            self.certified().await;
            if !self.lock().routers.is_empty() || changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until it is true of every router that is connected.
    async fn all(&self, is: impl Fn(&RouterView) -> bool) {
        // Before the first look, so that no change is missed.
        let mut changes = self.changes();
        let holds = || self.lock().routers.values().all(&is);
        while !holds() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// The name by which an app is always known.
    pub(crate) fn host(&self, app: &AppName) -> String {
        format!("{app}.{}", self.inner.platform.domain)
    }

    /// Whether no request is, or can come, in flight to a dyno. Unknown without a router, and then `false`.
    pub(crate) fn is_drained(&self, dyno: DynoId) -> bool {
        let id = dyno.to_string();
        let named = self.is_named(&id);
        let state = self.lock();
        let since = state.excluded.get(&dyno).copied().unwrap_or(1);
        !named
            && !state.routers.is_empty()
            && state
                .routers
                .values()
                .all(|router| router.acked >= since && !router.draining.contains_key(&id))
    }

    /// Whether no connection can come to a dyno any more, whatever it has; without a router none does.
    pub(crate) fn is_left(&self, dyno: DynoId) -> bool {
        let named = self.is_named(&dyno.to_string());
        let state = self.lock();
        let since = state.excluded.get(&dyno).copied().unwrap_or(0);
        let left = |router: &RouterView| !named && router.acked >= since;
        state.routers.values().all(left)
    }

    fn is_named(&self, id: &str) -> bool {
        let table = self.inner.table.borrow().clone();
        table
            .apps
            .values()
            .any(|app| upstreams(app).any(|one| one.id == id))
    }

    /// A look begins: what was woken before it, it sees.
    pub(crate) fn begin_look(&self) {
        let mut sleep = self.sleep();
        sleep.since_look = sleep.waking.clone();
    }

    /// Somebody asks for an app that sleeps.
    pub(crate) fn ask(&self, app: AppId) {
        self.sleep().asked.insert(app);
        self.inner.asked.notify_one();
    }

    /// Apps that somebody asks for, once there are any.
    pub(crate) async fn asked(&self) -> HashSet<AppId> {
        loop {
            let asked = std::mem::take(&mut self.sleep().asked);
            if !asked.is_empty() {
                return asked;
            }
            self.inner.asked.notified().await;
        }
    }

    /// How long ago an app was last seen at work, if it was since the server began.
    pub(crate) fn last_used(&self, app: AppId) -> Option<Duration> {
        self.sleep().used.get(&app).map(Instant::elapsed)
    }

    /// Requests, WebSockets and TCP connections of an app that are under way; `None` while nobody can tell.
    pub(crate) fn open(&self, app: AppId) -> Option<u64> {
        let routers: Vec<u64> = {
            let state = self.lock();
            if !state.routers.values().all(|router| router.heard) {
                return None;
            }
            state.routers.keys().copied().collect()
        };
        let now = self.inner.began.elapsed().as_secs();
        let open = self.recorder().open(app, &routers, now);
        (!routers.is_empty()).then_some(open)
    }

    /// Until it is dropped, looks change nothing of what routers are told of the app.
    pub(crate) fn begin_waking(&self, app: AppId) -> Waking {
        let mut sleep = self.sleep();
        sleep.waking.insert(app);
        sleep.since_look.insert(app);
        sleep.booting.insert(app);
        sleep.used.insert(app, Instant::now());
        Waking {
            routes: self.clone(),
            app,
        }
    }

    /// Tells routers at once, without a look, that a frozen app goes on where it was.
    pub(crate) fn show_awake(&self, app: AppId) {
        // Held to the end, as by whoever publishes: each table is made of the one before.
        let mut sleep = self.sleep();
        let Some(route) = sleep.awake.remove(&app) else {
            return;
        };
        self.inner.table.send_modify(|table| {
            let table = Arc::make_mut(table);
            table.generation += 1;
            table.apps.insert(app.to_string(), route);
        });
    }

    /// Makes the table of what is seen, and sends it if it says anything new.
    pub(crate) fn publish(&self, world: &World) {
        let apps = world.apps.iter().map(|app| app.app.id).collect();
        self.recorder().keep(&apps);
        // Held to the end, so that each table is made of the one before.
        let mut sleep = self.sleep();
        sleep.keep(&apps, world);
        let mut table = table(&self.inner.platform, world, &sleep.booting);
        let before = self.inner.table.borrow().clone();
        for app in sleep.since_look.iter().map(ToString::to_string) {
            // What was seen may be older than that it was woken.
            if let (Some(before), Some(route)) = (before.apps.get(&app), table.apps.get_mut(&app)) {
                route.clone_from(before);
            }
        }
        for app in &world.apps {
            let route = table.apps.get(&app.app.id.to_string());
            if route.is_some_and(|route| !route.asleep) {
                sleep.booting.remove(&app.app.id);
            }
        }
        if before.hosts == table.hosts && before.apps == table.apps && before.generation > 0 {
            return;
        }
        table.generation = before.generation + 1;
        let mut state = self.lock();
        let named: HashSet<&str> = table
            .apps
            .values()
            .flat_map(upstreams)
            .map(|one| one.id.as_str())
            .collect();
        for upstream in before.apps.values().flat_map(upstreams) {
            if let Ok(id) = upstream.id.parse()
                && !named.contains(upstream.id.as_str())
            {
                state.excluded.insert(id, table.generation);
            }
        }
        let present: HashSet<DynoId> = world
            .apps
            .iter()
            .flat_map(|app| app.seen.iter().map(|one| one.dyno.id))
            .collect();
        state.excluded.retain(|id, _| present.contains(id));
        drop(state);
        self.inner.table.send_replace(Arc::new(table));
    }

    /// Takes the place of the certificates published before, and tells the routers if they differ.
    pub fn publish_certificates(&self, endpoints: Vec<Certificate>, own: Option<Own>) {
        self.inner.certificates.send_if_modified(|known| {
            let before = known.as_deref();
            let news = before.is_none_or(|known| known.endpoints != endpoints || known.own != own);
            if news {
                *known = Some(Arc::new(Certificates {
                    generation: before.map_or(0, |known| known.generation) + 1,
                    endpoints,
                    own,
                    challenges: before.map_or_else(Vec::new, |known| known.challenges.clone()),
                }));
            }
            news
        });
    }

    /// Takes the place of the answers published before. Not before the first certificates, without which a router would
    /// forget its own; then it is `false`.
    pub fn publish_challenges(&self, challenges: Vec<Challenge>) -> bool {
        let mut published = false;
        self.inner.certificates.send_if_modified(|known| {
            let Some(before) = known.as_deref() else {
                return false;
            };
            published = true;
            let news = before.challenges != challenges;
            if news {
                *known = Some(Arc::new(Certificates {
                    generation: before.generation + 1,
                    endpoints: before.endpoints.clone(),
                    own: before.own.clone(),
                    challenges,
                }));
            }
            news
        });
        published
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn sleep(&self) -> MutexGuard<'_, Sleep> {
        self.inner
            .sleep
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.inner
            .recorder
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn bump(&self) {
        self.inner.changes.send_modify(|count| *count += 1);
    }

    async fn serve_one(&self, stream: UnixStream, shutdown: CancellationToken) {
        let connection = {
            let mut state = self.lock();
            state.next_connection += 1;
            let connection = state.next_connection;
            state.routers.insert(connection, RouterView::default());
            connection
        };
        let ended = tokio::select! {
            ended = self.converse(stream, connection) => ended,
            () = shutdown.cancelled() => Ok(()),
        };
        if let Err(error) = ended {
            tracing::info!(%error, "A router's connection ended.");
        }
        self.lock().routers.remove(&connection);
        self.bump();
    }

    async fn converse(
        &self,
        stream: UnixStream,
        connection: u64,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(MAX_LINE));
        let mut tables = self.inner.table.subscribe();
        tables.mark_changed();
        let mut certificates = self.inner.certificates.subscribe();
        certificates.mark_changed();
        let mut ping = tokio::time::interval(PING);
        let heard = tokio::time::sleep(HEARD_AFTER);
        tokio::pin!(heard);
        let mut silent = true;
        let mut understands = false;
        let mut sent: Option<Arc<Table>> = None;
        loop {
            tokio::select! {
                changed = tables.changed() => {
                    changed?;
                    let table = tables.borrow_and_update().clone();
                    // Generation 0 is a server that has not looked yet; the router's own table is better.
                    if table.generation > 0 {
                        let message = match &sent {
                            Some(sent) if understands => Changes::between(sent, &table),
                            _ => None,
                        };
                        let message = match message {
                            Some(changes) => ToRouter::Changes(changes),
                            None => ToRouter::Table(Table::clone(&table)),
                        };
                        lines.send(serde_json::to_string(&message)?).await?;
                        sent = Some(table);
                    }
                }
                changed = certificates.changed() => {
                    changed?;
                    let known = certificates.borrow_and_update().clone();
                    if let Some(certificates) = known {
                        let message = ToRouter::Certificates(Certificates::clone(&certificates));
                        lines.send(serde_json::to_string(&message)?).await?;
                    }
                }
                () = &mut heard, if silent => {
                    silent = false;
                    if let Some(router) = self.lock().routers.get_mut(&connection) {
                        router.heard = true;
                    }
                    self.bump();
                }
                _ = ping.tick() => lines.send(serde_json::to_string(&ToRouter::Ping)?).await?,
                line = lines.next() => match line {
                    None => return Ok(()),
                    Some(line) => {
                        let message = match serde_json::from_str(&line?) {
                            Ok(message) => message,
                            Err(error) if error.is_data() => {
                                // A newer router may say more than we know.
                                tracing::warn!(%error, "Did not understand a message of a router.");
                                ToServer::Unknown
                            }
                            Err(error) => return Err(error.into()),
                        };
                        if let ToServer::Hello { changes, .. } = message {
                            understands = changes;
                        }
                        self.hear(connection, message);
                    }
                },
            }
        }
    }

    fn hear(&self, connection: u64, message: ToServer) {
        match message {
            ToServer::Hello { pid, version, .. } => {
                if let Some(router) = self.lock().routers.get_mut(&connection) {
                    (router.pid, router.version) = (pid, version);
                }
                self.bump();
            }
            ToServer::Ack {
                generation,
                draining,
                unbound,
            } => {
                if let Some(router) = self.lock().routers.get_mut(&connection) {
                    (router.acked, router.draining) = (generation, draining);
                    router.unbound = unbound;
                }
                self.bump();
            }
            ToServer::Certified { generation } => {
                if let Some(router) = self.lock().routers.get_mut(&connection) {
                    router.certified = generation;
                }
                self.bump();
            }
            ToServer::Log { lines } => {
                for line in lines {
                    let at = line.at.parse().unwrap_or_else(|_| Timestamp::now());
                    if let Ok(app) = line.app.parse::<AppId>() {
                        self.inner.logs.append(
                            app,
                            at,
                            LogSource::Heroku,
                            "router",
                            line.text.as_bytes(),
                        );
                    }
                }
            }
            ToServer::Stats { apps } => {
                let apps: HashMap<AppId, AppStats> = apps
                    .into_iter()
                    .filter_map(|(app, stats)| Some((app.parse().ok()?, stats)))
                    .collect();
                let mut sleep = self.sleep();
                for app in apps.keys() {
                    sleep.used.insert(*app, Instant::now());
                }
                drop(sleep);
                let now = self.inner.began.elapsed().as_secs();
                let mut recorder = self.recorder();
                for (app, stats) in &apps {
                    recorder.hear(*app, connection, stats, now);
                }
                drop(recorder);
                // Without readers there is nobody to tell.
                let _ = self.inner.traffic.send(Arc::new(apps));
            }
            ToServer::Wake { app } => {
                if let Ok(app) = app.parse() {
                    self.ask(app);
                }
            }
            ToServer::Unknown => {}
        }
    }
}

impl Sleep {
    /// Forgets apps that are gone, and notes what is to be said of those that are frozen when they are thawed.
    fn keep(&mut self, apps: &HashSet<AppId>, world: &World) {
        self.used.retain(|app, _| apps.contains(app));
        self.booting.retain(|app| apps.contains(app));
        let frozen = (world.apps.iter())
            .filter(|app| app.desired.sleep == Some(SleepTier::Frozen) && !app.app.ephemeral);
        self.awake = frozen
            .map(|app| (app.app.id, awake(app, world)))
            .filter(|(_, route)| !route.upstreams.is_empty())
            .collect();
    }
}

/// `booting`: apps that were woken and are not there yet.
fn table(platform: &Platform, world: &World, booting: &HashSet<AppId>) -> Table {
    let mut table = Table {
        rendezvous: Some(platform.rendezvous.to_string_lossy().into_owned()),
        ..Table::default()
    };
    for label in PLATFORM_HOSTS {
        let socket = platform.socket.to_string_lossy().into_owned();
        table.hosts.insert(
            format!("{label}.{}", platform.domain),
            Target::Platform { socket },
        );
    }
    // Docker resolves `localhost` and nothing below it, so the registry is found at the domain itself too.
    let socket = platform.socket.to_string_lossy().into_owned();
    table
        .hosts
        .insert(platform.domain.clone(), Target::Platform { socket });
    // Apps of test runs serve nobody.
    for app in world.apps.iter().filter(|app| !app.app.ephemeral) {
        let target = Target::App {
            app: app.app.id.to_string(),
        };
        table
            .hosts
            .insert(format!("{}.{}", app.app.name, platform.domain), target);
        let route = AppRoute {
            tcp: tcp(app, world, platform.tcp_ports),
            ..route(app, world, booting.contains(&app.app.id))
        };
        table.apps.insert(app.app.id.to_string(), route);
    }
    for domain in &world.domains {
        let target = Target::App {
            app: domain.app.to_string(),
        };
        table.hosts.entry(domain.hostname.clone()).or_insert(target);
    }
    table
}

/// All that an app's requests and connections may go to.
fn upstreams(app: &AppRoute) -> impl Iterator<Item = &Upstream> {
    let tcp = app.tcp.iter().flat_map(|route| &route.upstreams);
    app.upstreams.iter().chain(tcp)
}

/// What is said of a frozen app once its dynos go on. Its TCP routes follow with the next look.
fn awake(app: &AppWorld, world: &World) -> AppRoute {
    AppRoute {
        asleep: false,
        upstreams: standing(app, world, &ProcessType::web(), PORT, true),
        ..route(app, world, false)
    }
}

/// The dynos of a type that serve, as they are reached on a port; none while they sleep.
fn serving(app: &AppWorld, world: &World, process_type: &ProcessType, port: u16) -> Vec<Upstream> {
    match app.desired.tier_of(process_type) {
        Some(_) => Vec::new(),
        None => standing(app, world, process_type, port, false),
    }
}

/// `frozen`: those too that are.
fn standing(
    app: &AppWorld,
    world: &World,
    process_type: &ProcessType,
    port: u16,
    frozen: bool,
) -> Vec<Upstream> {
    // Dynos of two releases serve while those of one take the others' places.
    let in_place = Way::of(&app.desired.settings, process_type).is_in_place();
    let serving = app.seen.iter().filter(|one| {
        !one.dyno.one_off
            && one.dyno.name.process_type == *process_type
            && (in_place || one.dyno.release_version == app.desired.current.version)
            && match one.dyno.state {
                DynoState::Up => frozen || !one.frozen,
                DynoState::Idle => frozen,
                _ => false,
            }
            && matches!(one.seat, Seat::Running { .. })
    });
    let mut upstreams: Vec<Upstream> = serving
        .filter_map(|one| {
            let ip = world.containers.get(&one.dyno.id)?.ip?;
            Some(Upstream {
                id: one.dyno.id.to_string(),
                dyno: one.dyno.name.to_string(),
                addr: std::net::SocketAddr::new(ip, port).to_string(),
            })
        })
        .collect();
    upstreams.sort();
    upstreams
}

/// `open`: the ports that routes may have now.
fn tcp(app: &AppWorld, world: &World, open: Option<Ports>) -> Vec<TcpRoute> {
    let may = |row: &&ropewalk_store::TcpRoute| match row.entrance {
        ropewalk_store::TcpEntrance::Port(port) => open.is_some_and(|open| open.contains(port)),
        ropewalk_store::TcpEntrance::Hostname(_) => true,
    };
    let route = |row: &ropewalk_store::TcpRoute| TcpRoute {
        id: row.id.to_string(),
        process_type: row.process_type.to_string(),
        entrance: match &row.entrance {
            ropewalk_store::TcpEntrance::Port(port) => TcpEntrance::Port(*port),
            ropewalk_store::TcpEntrance::Hostname(name) => TcpEntrance::ServerName(name.clone()),
        },
        idle: row.idle_timeout,
        proxy_protocol: row.proxy_protocol.map(|version| match version {
            tcp::ProxyProtocol::V1 => ProxyProtocol::V1,
            tcp::ProxyProtocol::V2 => ProxyProtocol::V2,
        }),
        wanted: wants(app, &row.process_type) || app.desired.tier_of(&row.process_type).is_some(),
        upstreams: serving(app, world, &row.process_type, row.dyno_port),
    };
    app.tcp.iter().filter(may).map(route).collect()
}

/// Whether the app is to have dynos of the type, and can.
fn wants(app: &AppWorld, process_type: &ProcessType) -> bool {
    let mut formation = app.desired.formation.iter();
    formation.any(|wanted| wanted.process_type == *process_type && wanted.quantity > 0)
        && (app.desired.current.commands.contains_key(process_type)
            || takes_place(app, process_type))
}

/// Whether a candidate's dynos of a type serve before it has passed.
fn takes_place(app: &AppWorld, process_type: &ProcessType) -> bool {
    let candidate = app.desired.candidate.as_ref();
    candidate.is_some_and(|spec| spec.commands.contains_key(process_type))
        && Way::of(&app.desired.settings, process_type).is_in_place()
}

fn route(app: &AppWorld, world: &World, booting: bool) -> AppRoute {
    let web = ProcessType::web();
    let upstreams = serving(app, world, &web, PORT);
    let when_empty = when_empty(app);
    let asleep = app.desired.sleep.is_some() || (booting && upstreams.is_empty());
    AppRoute {
        asleep: asleep && when_empty == WhenEmpty::Booting,
        waiting_page: app.desired.settings.of(&web).waiting_page == Some(true),
        name: app.app.name.to_string(),
        maintenance: app.app.maintenance,
        session_affinity: app.app.session_affinity,
        concurrency: app.concurrency,
        protocol: app.protocol,
        error_page_url: app.error_page_url.clone(),
        maintenance_page_url: app.maintenance_page_url.clone(),
        edge: edge(&app.edge),
        hold: hold(app),
        when_empty,
        upstreams,
        tcp: Vec::new(),
    }
}

/// Longest that requests wait for a boot, however long that may take.
const LONGEST_BOOT: Duration = Duration::from_secs(180);

/// Where an app says how long its web dynos may boot: as long, and a little more.
fn hold(app: &AppWorld) -> Option<u32> {
    let web = ProcessType::web();
    let check = app.desired.current.checks.get(&web);
    let grace = check.and_then(|check| check.grace);
    let boot = grace.or(app.desired.settings.of(&web).boot_timeout)?;
    let boot = u32::try_from(boot.min(LONGEST_BOOT).as_secs()).ok()?;
    boot.checked_add(HOLD_BEYOND_BOOT)
}

/// A policy as the router is told it; nothing for one that asks for nothing.
fn edge(policy: &edge::Policy) -> Option<Box<EdgePolicy>> {
    let trusted = policy.trusted_ips.iter();
    let trusted = trusted.flat_map(edge::TrustedIps::ranges);
    (!policy.is_empty()).then(|| {
        Box::new(EdgePolicy {
            pause: policy.pause,
            https_redirect: policy.https_redirect,
            hsts: policy.hsts.map(edge::Hsts::seconds),
            trusted_ips: trusted.map(ToString::to_string).collect(),
            basic_auth: policy.basic_auth.as_ref().map(|auth| auth.kept().into()),
            rate_limit: policy.rate_limit.map(|limit| RateLimit {
                requests: limit.requests(),
                seconds: limit.seconds(),
                burst: limit.burst(),
            }),
            max_body: policy.max_body.map(edge::MaxBody::bytes),
            canary: policy.canary.map(|app| Canary {
                app: app.to_string(),
                weight: policy.canary_weight.map_or(0, edge::Weight::parts),
                cookie: policy.canary_cookie.as_ref().map(ToString::to_string),
            }),
        })
    })
}

fn when_empty(app: &AppWorld) -> WhenEmpty {
    let web = || {
        app.seen.iter().filter(|one| {
            is_web(&one.dyno) && one.dyno.release_version == app.desired.current.version
        })
    };
    if app.blank {
        WhenEmpty::Blank
    } else if !app.wants_web || !(app.desired.current.commands).contains_key(&ProcessType::web()) {
        WhenEmpty::NoWebDynos
    } else if app.desired.sleep.is_some() {
        WhenEmpty::Booting
    } else if web().any(|one| one.dyno.state == DynoState::Crashed)
        && !web().any(|one| one.dyno.state == DynoState::Starting && one.dyno.crashes == 0)
    {
        WhenEmpty::Crashed
    } else {
        WhenEmpty::Booting
    }
}

#[cfg(test)]
mod tests;
