//! The route table: host to app to upstreams, swapped whole, read without a lock.
//!
//! Made of what the server sends. A new table shares with the last what is the same, and an app is made ready by its first
//! request: so a change of one app of ten thousand costs microseconds, and an idle app little more than its text.
//! Upstreams and counters that stay are carried over by reference. Knows no HTTP.

mod shards;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use ropewalk_api_types::router::{
    AppRoute, AppStats, Changes, DynoProtocol, Table, Target, WhenEmpty,
};
use tokio::sync::{Notify, watch};
use tokio::task::yield_now;

use self::shards::Shards;
use crate::balance::{self, Candidate, Choice};
use crate::clock;
use crate::edge;
use crate::health::{Answers, Event};
use crate::line::Line;
use crate::pool::Address;
use crate::stats::Tally;
use crate::tcp::{RawSockets, Tcp};
use crate::upstream::Upstream;
use crate::wakes::Wakes;

/// The table in force and what is still leaving.
#[derive(Debug)]
pub(crate) struct Tables {
    current: ArcSwap<RouteTable>,
    /// Upstreams no longer named that may still have requests in flight; also serialises updates.
    leaving: Mutex<Vec<Arc<Upstream>>>,
    /// Rung when one of `leaving` has become empty, and when anything else is to be acknowledged anew.
    drained: Arc<Notify>,
    /// What is not HTTP.
    pub(crate) tcp: Tcp,
    /// Sleeping apps that somebody asks for.
    pub(crate) wakes: Wakes,
    /// Number of tables applied; held requests wait on it.
    applied: watch::Sender<u64>,
}

/// One table. A copy shares what is the same, so that a change costs what it changes, however large the table is.
#[derive(Debug, Clone, Default)]
pub(crate) struct RouteTable {
    pub(crate) generation: u64,
    /// Where the server takes terminals of clients that speak rendezvous.
    pub(crate) rendezvous: Option<PathBuf>,
    exact: Shards<Box<str>, Place>,
    /// `*.zone` under `zone`, and `*` under the empty name.
    wildcard: Shards<Box<str>, Place>,
    apps: Shards<Arc<str>, Arc<Entry>>,
    /// The server's sockets, by their paths.
    sockets: BTreeMap<Box<str>, Arc<Upstream>>,
}

/// What a host names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// By its id.
    App(Arc<str>),
    /// By its path.
    Socket(Box<str>),
}

/// Where a host leads.
#[derive(Debug, Clone)]
pub(crate) enum Route {
    App(Arc<App>),
    Platform(Arc<Upstream>),
}

/// Another table has taken this one's place, and is about to be in force.
#[derive(Debug)]
pub(crate) struct Superseded;

/// An app as the server sent it, and what became of it on its first request: most apps of a large table have none.
#[derive(Debug)]
struct Entry {
    id: Arc<str>,
    /// JSON of its [`AppRoute`].
    wire: Box<[u8]>,
    made: OnceLock<Made>,
}

/// What became of an entry.
#[derive(Debug)]
enum Made {
    App(Arc<App>),
    /// Another entry has its place, so nobody begins with this one.
    Superseded,
    Unreadable,
}

/// One app's part of a table.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) maintenance: bool,
    pub(crate) session_affinity: bool,
    pub(crate) error_page_url: Option<String>,
    pub(crate) maintenance_page_url: Option<String>,
    /// `None` where nothing is asked of a request.
    pub(crate) edge: Option<Box<edge::Policy>>,
    hold: Option<u32>,
    /// It has no dynos until somebody asks for it.
    pub(crate) asleep: bool,
    /// Browsers see a page while it wakes.
    pub(crate) waiting_page: bool,
    pub(crate) when_empty: WhenEmpty,
    pub(crate) protocol: DynoProtocol,
    pub(crate) upstreams: Box<[Arc<Upstream>]>,
    /// Carried from table to table.
    pub(crate) tally: Arc<Tally>,
    /// Where requests wait for a dyno that has a place; carried from table to table.
    pub(crate) line: Arc<Line>,
    /// Carried from table to table.
    shared: Arc<Shared>,
}

/// What all requests of an app share.
#[derive(Debug, Default)]
struct Shared {
    answered: AtomicU64,
    failed: AtomicU64,
    /// Made on the first request that is limited.
    buckets: OnceLock<Box<edge::Buckets>>,
}

impl Tables {
    /// Without sockets for TCP routes.
    pub(crate) fn new() -> Tables {
        Tables::with_sockets(RawSockets::default())
    }

    pub(crate) fn with_sockets(sockets: RawSockets) -> Tables {
        let drained = Arc::new(Notify::new());
        Tables {
            current: ArcSwap::from_pointee(RouteTable::default()),
            leaving: Mutex::new(Vec::new()),
            tcp: Tcp::new(sockets, Arc::clone(&drained)),
            drained,
            wakes: Wakes::default(),
            applied: watch::Sender::new(0),
        }
    }

    pub(crate) fn load(&self) -> Guard<Arc<RouteTable>> {
        self.current.load()
    }

    /// The table, to hold on to.
    pub(crate) fn load_full(&self) -> Arc<RouteTable> {
        self.current.load_full()
    }

    /// The route of a host (lower case, no port): exact first, then the closest wildcard.
    pub(crate) async fn route(&self, host: &str) -> Option<Route> {
        loop {
            if let Ok(route) = self.look(host) {
                return route;
            }
            yield_now().await;
        }
    }

    /// The same, if no other table is about to be in force.
    pub(crate) fn look(&self, host: &str) -> Result<Option<Route>, Superseded> {
        self.load().route(host, &self.drained)
    }

    /// An app of the table in force, by its id.
    pub(crate) async fn app(&self, id: &str) -> Option<Arc<App>> {
        loop {
            if let Ok(app) = self.load().app(id, &self.drained) {
                return app;
            }
            yield_now().await;
        }
    }

    /// The canary of an app, if that can answer.
    pub(crate) async fn canary(&self, app: &App) -> Option<Arc<App>> {
        let canary = app.edge.as_ref()?.canary()?;
        let canary = self.app(&canary.app).await?;
        canary.stands_in().then_some(canary)
    }

    /// Gives those in the app's line what places there are; if another table is about to be in force, that does it.
    pub(crate) fn serve_line(&self, id: &str) {
        if let Ok(Some(app)) = self.load().app(id, &self.drained) {
            app.serve_line();
        }
    }

    /// Puts a table in force. When this returns, no request can begin on an upstream it does not name.
    pub(crate) fn apply(&self, table: &Table) {
        let leaving = self.lock();
        self.tcp.apply(table);
        let old = self.current.load_full();
        let new = RouteTable {
            generation: table.generation,
            rendezvous: table.rendezvous.as_ref().map(PathBuf::from),
            ..RouteTable::default()
        };
        let apps = table.apps.iter().map(|(id, app)| (id, Some(app)));
        let hosts = table.hosts.iter().map(|(host, to)| (host, Some(to)));
        self.build(leaving, &old, new, apps, hosts);
    }

    /// Puts a table in force that differs from the one in force by this. `false`, and nothing is done, when the changes
    /// are to another one. What it costs does not depend on the size of the table.
    pub(crate) fn change(&self, changes: &Changes) -> bool {
        let leaving = self.lock();
        let old = self.current.load_full();
        if old.generation != changes.since {
            return false;
        }
        self.tcp.change(changes);
        let new = RouteTable {
            generation: changes.generation,
            ..RouteTable::clone(&old)
        };
        let apps = changes.apps.iter().map(|(id, app)| (id, app.as_ref()));
        let hosts = changes.hosts.iter().map(|(host, to)| (host, to.as_ref()));
        self.build(leaving, &old, new, apps, hosts);
        true
    }

    /// Makes `new`, which is empty or what `old` is, say this too, and puts it in force.
    fn build<'a>(
        &self,
        mut leaving: MutexGuard<'_, Vec<Arc<Upstream>>>,
        old: &RouteTable,
        mut new: RouteTable,
        apps: impl Iterator<Item = (&'a String, Option<&'a AppRoute>)>,
        hosts: impl Iterator<Item = (&'a String, Option<&'a Target>)>,
    ) {
        let mut changed = Vec::new();
        for (id, route) in apps {
            if route.is_none_or(|route| !route.asleep) {
                self.wakes.is_awake(id);
            }
            let before = old.apps.get(id.as_str());
            let Some(entry) = route.and_then(|route| Entry::new(id, route, before)) else {
                new.apps.remove(id.as_str());
                continue;
            };
            if before.is_none_or(|before| !Arc::ptr_eq(before, &entry)) {
                changed.push((Arc::clone(&entry), before));
            }
            new.apps.insert(Arc::clone(&entry.id), entry);
        }
        for (host, target) in hosts {
            new.point(host, target, old, &leaving, &self.drained);
        }
        let gone: Vec<_> = old.apps.without(&new.apps).map(Arc::clone).collect();

        // From here to the new table being in force, requests of these apps wait for it.
        let mut served = Vec::new();
        for (entry, before) in &changed {
            let before = before.and_then(|before| before.supersede());
            let known = |id: &str| {
                let before = before.iter().flat_map(|app| app.upstreams.iter());
                let mut known = before.chain(leaving.iter());
                known.find(|upstream| upstream.id == id).cloned()
            };
            let is_known = before.is_some() || !leaving.is_empty();
            if is_known && let Some(app) = entry.compile(&known, before.as_ref(), &self.drained) {
                for upstream in &app.upstreams {
                    upstream.reinstate();
                }
                served.push((before, Some(Arc::clone(&app))));
                let _ = entry.made.set(Made::App(app));
            } else {
                served.push((before, None));
            }
        }
        for entry in gone {
            served.push((entry.supersede(), None));
        }
        for socket in new.sockets.values() {
            socket.reinstate();
        }
        let sockets: Vec<_> = old
            .sockets
            .iter()
            .filter(|(path, _)| !new.sockets.contains_key(*path))
            .map(|(_, socket)| Arc::clone(socket))
            .collect();
        self.current.store(Arc::new(new));

        // Only now: a request that meets a retired upstream looks again, and finds the new table.
        leaving.retain(|upstream| upstream.is_retired() && upstream.load() > 0);
        for upstream in sockets {
            if upstream.retire() > 0 {
                leaving.push(upstream);
            }
        }
        for (before, after) in &served {
            for upstream in before.iter().flat_map(|app| app.upstreams.iter()) {
                let mut stay = after.iter().flat_map(|app| app.upstreams.iter());
                let stays = stay.any(|kept| Arc::ptr_eq(kept, upstream));
                if !stays && upstream.retire() > 0 {
                    leaving.push(Arc::clone(upstream));
                }
            }
        }
        drop(leaving);
        for (before, after) in served {
            match (before, after) {
                (_, Some(app)) => app.serve_line(),
                // The app is gone, and requests in line find that out when they look.
                (Some(app), None) => app.line.dissolve(),
                (None, None) => {}
            }
        }
        self.applied.send_modify(|count| *count += 1);
    }

    /// Upstreams no longer named that still have requests in flight.
    pub(crate) fn draining(&self) -> BTreeMap<String, u64> {
        let mut leaving = self.lock();
        leaving.retain(|upstream| upstream.load() > 0);
        let mut draining = leaving
            .iter()
            .map(|upstream| (upstream.id.clone(), upstream.load()))
            .collect();
        self.tcp.draining(&mut draining);
        draining
    }

    /// Rung when [`Tables::draining`] has lost an entry.
    pub(crate) fn drained(&self) -> &Notify {
        &self.drained
    }

    /// Changes with each table; mark it seen before looking at the table, then wait.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    /// No table was ever applied.
    pub(crate) fn is_blank(&self) -> bool {
        *self.applied.borrow() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Upstream>>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RouteTable {
    fn route(&self, host: &str, drained: &Arc<Notify>) -> Result<Option<Route>, Superseded> {
        Ok(match self.place(host) {
            Some(Place::App(id)) => self.app(id, drained)?.map(Route::App),
            Some(Place::Socket(path)) => self.sockets.get(path).cloned().map(Route::Platform),
            None => None,
        })
    }

    fn app(&self, id: &str, drained: &Arc<Notify>) -> Result<Option<Arc<App>>, Superseded> {
        match self.apps.get(id) {
            Some(entry) => entry.app(drained),
            None => Ok(None),
        }
    }

    /// Whether two hosts lead to the same.
    pub(crate) fn is_same(&self, one: &str, other: &str) -> bool {
        match (self.place(one), self.place(other)) {
            (Some(one), Some(other)) => one == other,
            _ => false,
        }
    }

    /// Those that had a request, ever.
    pub(crate) fn apps(&self) -> impl Iterator<Item = &Arc<App>> {
        self.apps
            .values()
            .filter_map(|entry| entry.made.get()?.app())
    }

    /// Of [`RouteTable::apps`], and the server's sockets.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        let dynos = self.apps().flat_map(|app| app.upstreams.iter());
        dynos.chain(self.sockets.values())
    }

    fn place(&self, host: &str) -> Option<&Place> {
        if let Some(place) = self.exact.get(host) {
            return Some(place);
        }
        if self.wildcard.is_empty() {
            return None;
        }
        let mut rest = host;
        while let Some((_, zone)) = rest.split_once('.') {
            if let Some(place) = self.wildcard.get(zone) {
                return Some(place);
            }
            rest = zone;
        }
        self.wildcard.get("")
    }

    /// Lets a host lead there, or nowhere.
    fn point(
        &mut self,
        host: &str,
        target: Option<&Target>,
        old: &RouteTable,
        leaving: &[Arc<Upstream>],
        drained: &Arc<Notify>,
    ) {
        let place = match target {
            Some(Target::App { app }) => match self.apps.get(app.as_str()) {
                Some(entry) => Some(Place::App(Arc::clone(&entry.id))),
                None => {
                    tracing::warn!(%host, %app, "Left out a host whose app the table lacks.");
                    None
                }
            },
            Some(Target::Platform { socket }) => {
                if !self.sockets.contains_key(socket.as_str()) {
                    let known = old.sockets.get(socket.as_str());
                    let known = known.or_else(|| leaving.iter().find(|known| known.id == *socket));
                    let upstream = known.cloned().unwrap_or_else(|| {
                        Arc::new(Upstream::new(
                            socket.clone(),
                            "platform".to_owned(),
                            Address::Unix(PathBuf::from(socket)),
                            None,
                            Arc::clone(drained),
                        ))
                    });
                    self.sockets.insert(socket.as_str().into(), upstream);
                }
                Some(Place::Socket(socket.as_str().into()))
            }
            None => None,
        };
        let (places, name) = match host.strip_prefix('*') {
            Some(zone) => (&mut self.wildcard, zone.strip_prefix('.').unwrap_or(zone)),
            None => (&mut self.exact, host),
        };
        match place {
            Some(place) => places.insert(name.into(), place),
            None => places.remove(name),
        }
    }
}

impl Entry {
    /// `None` for an app that cannot be written down. It is `before` itself if that is the same.
    fn new(id: &str, route: &AppRoute, before: Option<&Arc<Entry>>) -> Option<Arc<Entry>> {
        let wire = match serde_json::to_vec(route) {
            Ok(wire) => wire.into_boxed_slice(),
            Err(error) => {
                tracing::warn!(app = %route.name, %error, "Left out an app.");
                return None;
            }
        };
        if let Some(before) = before
            && before.wire == wire
        {
            return Some(Arc::clone(before));
        }
        let id = before.map_or_else(|| id.into(), |before| Arc::clone(&before.id));
        let made = OnceLock::new();
        Some(Arc::new(Entry { id, wire, made }))
    }

    /// The app, made ready if nobody has asked for it before.
    fn app(&self, drained: &Arc<Notify>) -> Result<Option<Arc<App>>, Superseded> {
        let make = || match self.compile(&|_| None, None, drained) {
            Some(app) => Made::App(app),
            None => Made::Unreadable,
        };
        match self.made.get_or_init(make) {
            Made::App(app) => Ok(Some(Arc::clone(app))),
            Made::Superseded => Err(Superseded),
            Made::Unreadable => Ok(None),
        }
    }

    /// Lets nobody begin with it any more, except by the app that there is already.
    fn supersede(&self) -> Option<Arc<App>> {
        self.made.get_or_init(|| Made::Superseded).app().cloned()
    }

    fn compile(
        &self,
        known: &dyn Fn(&str) -> Option<Arc<Upstream>>,
        before: Option<&Arc<App>>,
        drained: &Arc<Notify>,
    ) -> Option<Arc<App>> {
        let route: AppRoute = match serde_json::from_slice(&self.wire) {
            Ok(route) => route,
            Err(error) => {
                tracing::warn!(app = %self.id, %error, "Left out an app.");
                return None;
            }
        };
        let line = before.map_or_else(Arc::default, |app| Arc::clone(&app.line));
        let upstreams = route.upstreams.iter().filter_map(|wire| {
            let Ok(addr) = wire.addr.parse() else {
                tracing::warn!(
                    app = %route.name,
                    dyno = %wire.dyno,
                    addr = %wire.addr,
                    "Left out a dyno whose address is not ip:port."
                );
                return None;
            };
            let address = Address::Tcp(addr);
            // Carried over unless its address or name changed.
            let kept =
                known(&wire.id).filter(|kept| kept.address == address && kept.dyno == wire.dyno);
            Some(kept.unwrap_or_else(|| {
                Arc::new(Upstream::new(
                    wire.id.clone(),
                    wire.dyno.clone(),
                    address,
                    Some(Arc::clone(&line)),
                    Arc::clone(drained),
                ))
            }))
        });
        let upstreams = upstreams.collect();
        Some(Arc::new(App::compile(
            &self.id, &route, upstreams, line, before,
        )))
    }
}

impl Made {
    fn app(&self) -> Option<&Arc<App>> {
        match self {
            Made::App(app) => Some(app),
            Made::Superseded | Made::Unreadable => None,
        }
    }
}

impl App {
    fn compile(
        id: &str,
        route: &AppRoute,
        upstreams: Box<[Arc<Upstream>]>,
        line: Arc<Line>,
        old: Option<&Arc<App>>,
    ) -> App {
        line.set_limit(route.concurrency.map(u64::from));
        App {
            id: id.to_owned(),
            name: route.name.clone(),
            maintenance: route.maintenance,
            session_affinity: route.session_affinity,
            error_page_url: route.error_page_url.clone(),
            maintenance_page_url: route.maintenance_page_url.clone(),
            hold: route.hold,
            asleep: route.asleep,
            waiting_page: route.waiting_page,
            edge: route
                .edge
                .as_ref()
                .map(|policy| Box::new(edge::Policy::compile(policy))),
            when_empty: route.when_empty,
            protocol: route.protocol,
            upstreams,
            tally: old.map_or_else(|| Arc::new(Tally::new(id)), |old| Arc::clone(&old.tally)),
            line,
            shared: old.map_or_else(Arc::default, |old| Arc::clone(&old.shared)),
        }
    }

    /// Whether its dynos can answer requests of another app whose canary it is.
    pub(crate) fn stands_in(&self) -> bool {
        !self.maintenance && !self.is_paused() && !self.upstreams.is_empty()
    }

    /// For how long a request waits for a dyno that boots: the router's own `limit`, or longer where dynos may boot longer.
    pub(crate) fn hold(&self, limit: Duration) -> Duration {
        let own = self.hold.map(|seconds| Duration::from_secs(seconds.into()));
        own.map_or(limit, |own| own.max(limit))
    }

    /// Whether requests wait until the app says otherwise.
    pub(crate) fn is_paused(&self) -> bool {
        self.edge.as_ref().is_some_and(|edge| edge.is_paused())
    }

    /// Takes a request off what its address may do, or says how long that has to wait.
    pub(crate) fn spend(&self, ip: IpAddr, rate: edge::Rate) -> Result<(), Duration> {
        let buckets = self.shared.buckets.get_or_init(Box::default);
        buckets.spend(ip, rate, clock::millis() * 1_000)
    }

    /// What happened since the last call, or `None` for an app without traffic.
    pub(crate) fn take_stats(&self) -> Option<AppStats> {
        let stats = self.tally.take()?;
        let dynos = self.upstreams.iter().filter_map(|upstream| {
            let stats = upstream.ended.take_with(upstream.load())?;
            Some((upstream.id.clone(), stats))
        });
        Some(AppStats {
            waiting: self.tally.held.load(Relaxed) + self.line.length(),
            dynos: dynos.collect(),
            ..stats
        })
    }

    /// The upstream for the next request, leaving out those it has tried: the one that the client came to before, by
    /// the values it `brought`, while that has a place; else the one with the fewest requests.
    pub(crate) fn pick(&self, tried: &[Arc<Upstream>], brought: &[String]) -> Pick<'_> {
        let is_tried = |upstream| tried.iter().any(|known| Arc::ptr_eq(known, upstream));
        let limit = self.line.limit();
        if self.session_affinity && !brought.is_empty() {
            let before = self.upstreams.iter().find(|upstream| {
                brought.iter().any(|value| value == upstream.affinity())
                    && limit.is_none_or(|limit| upstream.load() < limit)
                    && !upstream.is_left_out()
                    && !is_tried(upstream)
            });
            if let Some(before) = before {
                return Pick::Send(before);
            }
        }
        let choice = balance::pick(self.upstreams.len(), limit, |index| {
            let upstream = &self.upstreams[index];
            Candidate {
                load: upstream.load(),
                picked: upstream.picked.load(Relaxed),
                standing: upstream.standing(),
                tried: is_tried(upstream),
            }
        });
        match choice {
            Choice::Send(index) => match self.upstreams.get(index) {
                Some(upstream) => Pick::Send(upstream),
                None => Pick::Nobody,
            },
            Choice::Full => Pick::Full,
            Choice::Nobody => Pick::Nobody,
        }
    }

    /// Gives those in line what places there are.
    pub(crate) fn serve_line(&self) {
        if !self.line.is_waiting() {
            return;
        }
        if self.maintenance || self.upstreams.is_empty() {
            return self.line.dissolve();
        }
        self.line.serve(|| match self.pick(&[], &[]) {
            Pick::Send(upstream) => upstream.enter_within(self.line.limit()),
            Pick::Full | Pick::Nobody => None,
        });
    }

    /// Notes what happened on an upstream, within the caps on leaving dynos out.
    pub(crate) fn observe(&self, upstream: &Upstream, event: Event) {
        let counter = match event {
            Event::Answered => Some(&self.shared.answered),
            Event::Failed => Some(&self.shared.failed),
            Event::Refused | Event::Connected => None,
        };
        // Without this one.
        let answers = Answers {
            answered: self.shared.answered.load(Relaxed),
            failed: self.shared.failed.load(Relaxed),
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Relaxed);
        }
        let caps = || {
            let others = self.upstreams.iter();
            let left_out = others
                .filter(|other| other.id != upstream.id && other.is_left_out())
                .count();
            balance::may_eject(self.upstreams.len(), left_out)
        };
        let caps = matches!(event, Event::Failed | Event::Refused) && caps();
        upstream.observe(event, answers, caps);
    }
}

/// What [`App::pick`] found.
#[derive(Debug)]
pub(crate) enum Pick<'a> {
    Send(&'a Arc<Upstream>),
    /// Every dyno has as many requests as it takes.
    Full,
    /// The request has tried them all.
    Nobody,
}

/// A table in which every host leads to `upstreams` (`ip:port` each): the router without a server.
pub fn fixed_table(upstreams: &[std::net::SocketAddr], protocol: DynoProtocol) -> Table {
    let app = "fixed".to_owned();
    let route = AppRoute {
        name: app.clone(),
        maintenance: false,
        session_affinity: false,
        concurrency: None,
        error_page_url: None,
        maintenance_page_url: None,
        edge: None,
        hold: None,
        asleep: false,
        waiting_page: false,
        when_empty: WhenEmpty::NoWebDynos,
        protocol,
        upstreams: upstreams
            .iter()
            .enumerate()
            .map(|(index, addr)| ropewalk_api_types::router::Upstream {
                id: format!("fixed-{}", index + 1),
                dyno: format!("web.{}", index + 1),
                addr: addr.to_string(),
            })
            .collect(),
        tcp: Vec::new(),
    };
    Table {
        generation: 1,
        hosts: BTreeMap::from([("*".to_owned(), Target::App { app: app.clone() })]),
        apps: BTreeMap::from([(app, route)]),
        rendezvous: None,
    }
}

#[cfg(test)]
mod tests;
