//! The route table: host to app to upstreams, swapped whole, read without a lock.
//!
//! Compiled from what the server sends; upstreams and counters that stay are carried over by
//! reference, so a new table costs nothing to what it does not change. Knows no HTTP.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use ropewalk_api_types::router::{AppRoute, AppStats, DynoProtocol, Table, Target, WhenEmpty};
use tokio::sync::{Notify, watch};

use crate::balance::{self, Candidate, Choice};
use crate::clock;
use crate::edge;
use crate::health::{Answers, Event};
use crate::line::Line;
use crate::pool::Address;
use crate::stats::Tally;
use crate::upstream::Upstream;

/// The table in force and what is still leaving.
#[derive(Debug)]
pub(crate) struct Tables {
    current: ArcSwap<RouteTable>,
    /// Upstreams no longer named that may still have requests in flight; also serialises updates.
    leaving: Mutex<Vec<Arc<Upstream>>>,
    /// Rung when one of `leaving` has become empty.
    drained: Arc<Notify>,
    /// Number of tables applied; held requests wait on it.
    applied: watch::Sender<u64>,
}

/// One compiled table.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    pub(crate) generation: u64,
    /// Where the server takes terminals of clients that speak rendezvous.
    pub(crate) rendezvous: Option<PathBuf>,
    exact: HashMap<Box<str>, Route>,
    /// `*.zone` under `zone`, and `*` under the empty name.
    wildcard: HashMap<Box<str>, Route>,
    apps: HashMap<Box<str>, Arc<App>>,
    /// By id and address.
    upstreams: HashMap<String, Arc<Upstream>>,
}

/// Where a host leads.
#[derive(Debug, Clone)]
pub(crate) enum Route {
    App(Arc<App>),
    Platform(Arc<Upstream>),
}

impl Route {
    /// Whether both lead to the same app, or both to the platform.
    fn is_same(&self, other: &Route) -> bool {
        match (self, other) {
            (Route::App(one), Route::App(other)) => one.id == other.id,
            (Route::Platform(one), Route::Platform(other)) => one.id == other.id,
            _ => false,
        }
    }
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
    /// Where the next choice begins.
    turn: AtomicUsize,
    answered: AtomicU64,
    failed: AtomicU64,
    /// Made on the first request that is limited.
    buckets: OnceLock<Box<edge::Buckets>>,
}

impl Tables {
    pub(crate) fn new() -> Tables {
        Tables {
            current: ArcSwap::from_pointee(RouteTable::default()),
            leaving: Mutex::new(Vec::new()),
            drained: Arc::new(Notify::new()),
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

    /// Puts a table in force. When this returns, no request can begin on an upstream it does not name.
    pub(crate) fn apply(&self, table: &Table) {
        let mut leaving = self.lock();
        let old = self.current.load_full();
        let known = |id: &str| {
            old.upstreams
                .get(id)
                .or_else(|| leaving.iter().find(|upstream| upstream.id == id))
                .cloned()
        };
        let new = RouteTable::compile(table, &old, &known, &self.drained);
        for upstream in new.upstreams.values() {
            upstream.reinstate();
        }
        let new = Arc::new(new);
        self.current.store(Arc::clone(&new));
        // Only now: a request that meets a retired upstream looks again, and finds the new table.
        leaving.retain(|upstream| upstream.is_retired() && upstream.load() > 0);
        for upstream in old.upstreams.values() {
            let stays = new
                .upstreams
                .get(&upstream.id)
                .is_some_and(|kept| Arc::ptr_eq(kept, upstream));
            if !stays && upstream.retire() > 0 {
                leaving.push(Arc::clone(upstream));
            }
        }
        drop(leaving);
        for app in new.apps.values() {
            app.serve_line();
        }
        // Their apps are gone, and requests in line find that out when they look.
        for (id, app) in &old.apps {
            if !new.apps.contains_key(id) {
                app.line.dissolve();
            }
        }
        self.applied.send_modify(|count| *count += 1);
    }

    /// Upstreams no longer named that still have requests in flight.
    pub(crate) fn draining(&self) -> BTreeMap<String, u64> {
        let mut leaving = self.lock();
        leaving.retain(|upstream| upstream.load() > 0);
        leaving
            .iter()
            .map(|upstream| (upstream.id.clone(), upstream.load()))
            .collect()
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
    /// The route of a host (lower case, no port): exact first, then the closest wildcard.
    pub(crate) fn route(&self, host: &str) -> Option<&Route> {
        if let Some(route) = self.exact.get(host) {
            return Some(route);
        }
        if self.wildcard.is_empty() {
            return None;
        }
        let mut rest = host;
        while let Some((_, zone)) = rest.split_once('.') {
            if let Some(route) = self.wildcard.get(zone) {
                return Some(route);
            }
            rest = zone;
        }
        self.wildcard.get("")
    }

    /// Whether two hosts lead to the same.
    pub(crate) fn is_same(&self, one: &str, other: &str) -> bool {
        match (self.route(one), self.route(other)) {
            (Some(one), Some(other)) => one.is_same(other),
            _ => false,
        }
    }

    pub(crate) fn app(&self, id: &str) -> Option<&Arc<App>> {
        self.apps.get(id)
    }

    /// The canary of an app, if that can answer.
    pub(crate) fn canary(&self, app: &App) -> Option<&Arc<App>> {
        let canary = app.edge.as_ref()?.canary()?;
        let canary = self.app(&canary.app)?;
        canary.stands_in().then_some(canary)
    }

    pub(crate) fn apps(&self) -> impl Iterator<Item = &Arc<App>> {
        self.apps.values()
    }

    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.upstreams.values()
    }

    fn compile(
        table: &Table,
        old: &RouteTable,
        known: &impl Fn(&str) -> Option<Arc<Upstream>>,
        drained: &Arc<Notify>,
    ) -> RouteTable {
        let mut new = RouteTable {
            generation: table.generation,
            rendezvous: table.rendezvous.as_ref().map(PathBuf::from),
            ..RouteTable::default()
        };
        for (id, route) in &table.apps {
            let before = old.apps.get(id.as_str());
            let line = before.map_or_else(Arc::default, |app| Arc::clone(&app.line));
            let upstreams = route
                .upstreams
                .iter()
                .filter_map(|wire| {
                    let address = match wire.addr.parse() {
                        Ok(addr) => Address::Tcp(addr),
                        Err(_) => {
                            tracing::warn!(
                                app = %route.name,
                                dyno = %wire.dyno,
                                addr = %wire.addr,
                                "Left out a dyno whose address is not ip:port."
                            );
                            return None;
                        }
                    };
                    let line = Some(&line);
                    Some(new.upstream(&wire.id, &wire.dyno, address, line, known, drained))
                })
                .collect();
            let app = App::compile(id, route, upstreams, line, before);
            new.apps.insert(id.as_str().into(), Arc::new(app));
        }
        for (host, target) in &table.hosts {
            let route = match target {
                Target::App { app } => match new.apps.get(app.as_str()) {
                    Some(app) => Route::App(Arc::clone(app)),
                    None => {
                        tracing::warn!(%host, %app, "Left out a host whose app the table lacks.");
                        continue;
                    }
                },
                Target::Platform { socket } => {
                    let address = Address::Unix(PathBuf::from(socket));
                    Route::Platform(new.upstream(socket, "platform", address, None, known, drained))
                }
            };
            match host.strip_prefix('*') {
                Some(zone) => {
                    let zone = zone.strip_prefix('.').unwrap_or(zone);
                    new.wildcard.insert(zone.into(), route);
                }
                None => {
                    new.exact.insert(host.as_str().into(), route);
                }
            }
        }
        new
    }

    /// The upstream of this id, carried over unless its address or name changed.
    fn upstream(
        &mut self,
        id: &str,
        dyno: &str,
        address: Address,
        line: Option<&Arc<Line>>,
        known: &impl Fn(&str) -> Option<Arc<Upstream>>,
        drained: &Arc<Notify>,
    ) -> Arc<Upstream> {
        if let Some(upstream) = self.upstreams.get(id) {
            return Arc::clone(upstream);
        }
        let upstream = known(id)
            .filter(|kept| kept.address == address && kept.dyno == dyno)
            .unwrap_or_else(|| {
                Arc::new(Upstream::new(
                    id.to_owned(),
                    dyno.to_owned(),
                    address,
                    line.cloned(),
                    Arc::clone(drained),
                ))
            });
        self.upstreams.insert(id.to_owned(), Arc::clone(&upstream));
        upstream
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
        let start = self.shared.turn.fetch_add(1, Relaxed);
        let choice = balance::pick(self.upstreams.len(), start, limit, |index| {
            let upstream = &self.upstreams[index];
            Candidate {
                load: upstream.load(),
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
