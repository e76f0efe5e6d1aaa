//! The TCP routes in force: found by port or name, swapped whole, read without a lock.
//!
//! What an app has is made anew when the server says anything new of it; counts, and dynos that stay, are carried over by
//! reference. Opens no socket itself.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use ropewalk_api_types::router::{self as wire, AppRoute, Changes, Table, TcpEntrance, TcpStats};
use ropewalk_api_types::tcp_route::ProxyProtocol;
use ropewalk_model::egress::Cidr;
use tokio::sync::Notify;

use super::record::{Counts, Fault};
use super::sockets::RawSockets;
use crate::balance::{self, Candidate, Choice};
use crate::clock;
use crate::health::Standing;
use crate::pool::Address;
use crate::stats::Tally;
use crate::upstream::Upstream;

/// For which a dyno that took no connection is the last to be asked, in ms.
const SHUNNED: u64 = 2_000;

/// The TCP routes in force, and the ports that are open for them.
#[derive(Debug)]
pub(crate) struct Tcp {
    pub(crate) sockets: RawSockets,
    index: ArcSwap<Index>,
    known: Mutex<Known>,
    /// Rung when the last connection of a dyno that is no longer named has ended.
    drained: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Index {
    ports: HashMap<u16, Arc<Route>>,
    names: HashMap<String, Arc<Route>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Apps with routes, by id.
    apps: BTreeMap<String, Vec<Arc<Route>>>,
    /// Dynos no longer named that may still have connections.
    leaving: Vec<Arc<Upstream>>,
    /// Routes that are gone, whose connections may still count.
    gone: Vec<Arc<Shared>>,
}

/// One way to an app's dynos.
#[derive(Debug)]
pub(crate) struct Route {
    id: String,
    pub(crate) entrance: TcpEntrance,
    pub(crate) process_type: String,
    /// Without a byte in either direction, in ms.
    pub(crate) idle: u64,
    /// Dynos are told who comes.
    pub(crate) proxy_protocol: Option<ProxyProtocol>,
    /// Dynos of the type are wanted.
    pub(crate) wanted: bool,
    pub(crate) maintenance: bool,
    /// The app sleeps.
    pub(crate) asleep: bool,
    /// Connections wait until the app says otherwise.
    pub(crate) paused: bool,
    /// Who alone gets through; `None` for everybody.
    trusted: Option<Box<[Cidr]>>,
    pub(crate) dynos: Box<[Dyno]>,
    /// Carried from table to table.
    pub(crate) shared: Arc<Shared>,
}

/// A dyno as a route has it.
#[derive(Debug)]
pub(crate) struct Dyno {
    pub(crate) upstream: Arc<Upstream>,
    /// Until when it is the last to be asked, in ms.
    shunned: AtomicU64,
}

/// What all connections of a route share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// By the app's id, for the log.
    pub(crate) tally: Arc<Tally>,
    pub(crate) counts: Counts,
    /// Picks so far.
    picks: AtomicU64,
    /// Open connections by client: those that have any.
    clients: Mutex<HashMap<u64, u64>>,
}

/// A connection's place among those of its route and of its client; free again when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    shared: Arc<Shared>,
    client: u64,
}

impl Tcp {
    pub(crate) fn new(sockets: RawSockets, drained: Arc<Notify>) -> Tcp {
        Tcp {
            sockets,
            index: ArcSwap::default(),
            known: Mutex::default(),
            drained,
        }
    }

    /// The route of a port or a name (lower case).
    pub(crate) fn find(&self, entrance: &TcpEntrance) -> Option<Arc<Route>> {
        let index = self.index.load();
        match entrance {
            TcpEntrance::Port(port) => index.ports.get(port).cloned(),
            TcpEntrance::ServerName(name) => index.names.get(name).cloned(),
        }
    }

    /// Whether any name has a route.
    pub(crate) fn has_names(&self) -> bool {
        !self.index.load().names.is_empty()
    }

    /// Puts a table in force. When this returns, no connection can begin on a dyno that it does not name.
    pub(crate) fn apply(&self, table: &Table) {
        let mut known = self.lock();
        let routed = table.apps.iter().filter(|(_, app)| !app.tcp.is_empty());
        let gone = known.apps.keys().filter(|id| {
            let after = table.apps.get(id.as_str());
            after.is_none_or(|app| app.tcp.is_empty())
        });
        let gone: Vec<String> = gone.cloned().collect();
        let routed: Vec<(&str, Option<&AppRoute>)> = routed
            .map(|(id, app)| (id.as_str(), Some(app)))
            .chain(gone.iter().map(|id| (id.as_str(), None)))
            .collect();
        self.build(&mut known, &routed);
    }

    /// The same for what changes.
    pub(crate) fn change(&self, changes: &Changes) {
        let mut known = self.lock();
        let told = changes.apps.iter().map(|(id, app)| {
            let app = app.as_ref().filter(|app| !app.tcp.is_empty());
            (id.as_str(), app)
        });
        let told: Vec<_> = told
            .filter(|(id, app)| app.is_some() || known.apps.contains_key(*id))
            .collect();
        if !told.is_empty() {
            self.build(&mut known, &told);
        }
    }

    fn build(&self, known: &mut Known, told: &[(&str, Option<&AppRoute>)]) {
        let mut before = Vec::new();
        for (id, app) in told {
            let old = known.apps.remove(*id).unwrap_or_default();
            if let Some(app) = app {
                let routes = app.tcp.iter().map(|route| {
                    let kept = old.iter().find(|kept| kept.id == route.id);
                    let leaving = &known.leaving;
                    Arc::new(Route::new(id, app, route, kept, leaving, &self.drained))
                });
                let routes = routes.collect();
                known.apps.insert((*id).to_owned(), routes);
            }
            before.extend(old);
        }
        let mut index = Index::default();
        for route in known.apps.values().flatten() {
            let taken = match &route.entrance {
                TcpEntrance::Port(port) => index.ports.insert(*port, Arc::clone(route)),
                TcpEntrance::ServerName(name) => {
                    index.names.insert(name.clone(), Arc::clone(route))
                }
            };
            if taken.is_some() {
                tracing::warn!(entrance = ?route.entrance, "Two TCP routes have the same entrance.");
            }
        }
        for dyno in known.apps.values().flatten().flat_map(|route| &route.dynos) {
            dyno.upstream.reinstate();
        }
        let ports: BTreeSet<u16> = index.ports.keys().copied().collect();
        self.index.store(Arc::new(index));

        // Only now: a connection that meets a retired dyno looks again, and finds the new table.
        let routes = || known.apps.values().flatten();
        let dynos = routes().flat_map(|route| &route.dynos);
        let named: HashSet<_> = dynos.map(|dyno| Arc::as_ptr(&dyno.upstream)).collect();
        let kept: HashSet<_> = routes().map(|route| Arc::as_ptr(&route.shared)).collect();
        let mut leaving = Vec::new();
        for dyno in before.iter().flat_map(|route| &route.dynos) {
            let stays = named.contains(&Arc::as_ptr(&dyno.upstream));
            if !stays && dyno.upstream.retire() > 0 {
                leaving.push(Arc::clone(&dyno.upstream));
            }
        }
        let gone: Vec<_> = before
            .iter()
            .filter(|old| !kept.contains(&Arc::as_ptr(&old.shared)))
            .map(|old| Arc::clone(&old.shared))
            .collect();
        known.leaving.extend(leaving);
        known
            .leaving
            .retain(|upstream| upstream.is_retired() && upstream.load() > 0);
        known.gone.extend(gone);
        self.sockets.listen_on(ports);
    }

    /// Adds connections of dynos that are no longer named, by the dyno's id.
    pub(crate) fn draining(&self, sum: &mut BTreeMap<String, u64>) {
        let mut known = self.lock();
        known.leaving.retain(|upstream| upstream.load() > 0);
        for upstream in &known.leaving {
            *sum.entry(upstream.id.clone()).or_default() += upstream.load();
        }
    }

    /// What happened since the last call, by app; those without connections are left out.
    pub(crate) fn take_stats(&self) -> BTreeMap<String, TcpStats> {
        let mut known = self.lock();
        let mut apps: BTreeMap<String, TcpStats> = BTreeMap::new();
        let routes = known.apps.values().flatten().map(|route| &route.shared);
        for shared in routes.chain(&known.gone) {
            let stats = shared.counts.take();
            if stats != TcpStats::default() {
                let sum = apps.entry(shared.tally.app.clone()).or_default();
                for (code, count) in stats.ended {
                    *sum.ended.entry(code).or_default() += count;
                }
                sum.open += stats.open;
                sum.bytes_in += stats.bytes_in;
                sum.bytes_out += stats.bytes_out;
            }
        }
        known.gone.retain(|shared| shared.counts.open() > 0);
        apps
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Route {
    fn new(
        id: &str,
        app: &AppRoute,
        route: &wire::TcpRoute,
        before: Option<&Arc<Route>>,
        leaving: &[Arc<Upstream>],
        drained: &Arc<Notify>,
    ) -> Route {
        let edge = app.edge.as_deref();
        let ranges = edge.map_or(&[][..], |edge| &edge.trusted_ips);
        let dyno = |wire: &wire::Upstream| {
            let Ok(addr) = wire.addr.parse() else {
                tracing::warn!(app = %app.name, dyno = %wire.dyno, "Left out a dyno without an address.");
                return None;
            };
            let address = Address::Tcp(addr);
            let old = before.into_iter().flat_map(|before| &before.dynos);
            let known = old.map(|dyno| &dyno.upstream).chain(leaving);
            let mut known = known.filter(|known| known.id == wire.id);
            let kept = known.find(|known| known.address == address && known.dyno == wire.dyno);
            let upstream = kept.cloned().unwrap_or_else(|| {
                let (id, dyno) = (wire.id.clone(), wire.dyno.clone());
                Arc::new(Upstream::new(id, dyno, address, None, Arc::clone(drained)))
            });
            Some(Dyno {
                upstream,
                shunned: AtomicU64::new(0),
            })
        };
        Route {
            id: route.id.clone(),
            entrance: route.entrance.clone(),
            process_type: route.process_type.clone(),
            idle: u64::from(route.idle) * 1_000,
            proxy_protocol: route.proxy_protocol,
            wanted: route.wanted,
            maintenance: app.maintenance,
            asleep: app.asleep,
            paused: edge.is_some_and(|edge| edge.pause),
            // What is no range trusts nobody: the server sends none such.
            trusted: (!ranges.is_empty()).then(|| {
                ranges
                    .iter()
                    .filter_map(|range| range.parse().ok())
                    .collect()
            }),
            dynos: route.upstreams.iter().filter_map(dyno).collect(),
            shared: before.map_or_else(
                || Arc::new(Shared::new(id)),
                |before| Arc::clone(&before.shared),
            ),
        }
    }

    /// Whether the app lets this address in at all.
    pub(crate) fn trusts(&self, ip: IpAddr) -> bool {
        let trusted = self.trusted.as_deref();
        trusted.is_none_or(|ranges| ranges.iter().any(|range| range.contains(ip)))
    }

    /// A place for one more connection, `most` of the route and `most_of_client` of one address.
    pub(crate) fn enter(&self, ip: IpAddr, most: u64, most_of_client: u64) -> Result<Seat, Fault> {
        self.shared.enter(ip, most, most_of_client)
    }

    /// The dyno for a connection, leaving out those that it has tried: the one with the fewest.
    pub(crate) fn pick(&self, tried: &[usize]) -> Option<(usize, &Dyno)> {
        let now = clock::millis();
        let choice = balance::pick(self.dynos.len(), None, |index| {
            let dyno = &self.dynos[index];
            Candidate {
                load: dyno.upstream.load(),
                picked: dyno.upstream.picked.load(Relaxed),
                standing: match now < dyno.shunned.load(Relaxed) {
                    true => Standing::Out,
                    false => Standing::Well,
                },
                tried: tried.contains(&index),
            }
        });
        let Choice::Send(index) = choice else {
            return None;
        };
        let dyno = self.dynos.get(index)?;
        let number = self.shared.picks.fetch_add(1, Relaxed) + 1;
        dyno.upstream.picked.store(number, Relaxed);
        Some((index, dyno))
    }
}

impl Dyno {
    /// It took no connection.
    pub(crate) fn shun(&self) {
        self.shunned.store(clock::millis() + SHUNNED, Relaxed);
    }
}

impl Shared {
    fn new(app: &str) -> Shared {
        Shared {
            tally: Arc::new(Tally::new(app)),
            counts: Counts::default(),
            picks: AtomicU64::new(0),
            clients: Mutex::default(),
        }
    }

    fn enter(self: &Arc<Self>, ip: IpAddr, most: u64, most_of_client: u64) -> Result<Seat, Fault> {
        let client = client(ip);
        let mut clients = self.clients();
        let open = self.counts.open.load(SeqCst);
        if open >= most {
            return Err(Fault::Crowded);
        }
        let of_client = clients.entry(client).or_default();
        if *of_client >= most_of_client {
            return Err(Fault::CrowdedByClient);
        }
        *of_client += 1;
        // Under the lock, so that no two take the last place.
        self.counts.open.fetch_add(1, SeqCst);
        drop(clients);
        Ok(Seat {
            shared: Arc::clone(self),
            client,
        })
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut clients = self.shared.clients();
        if let Some(open) = clients.get_mut(&self.client) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                clients.remove(&self.client);
            }
        }
        self.shared.counts.open.fetch_sub(1, SeqCst);
    }
}

/// Clients of IPv6 have a network of 64 bits to choose addresses from.
fn client(ip: IpAddr) -> u64 {
    match ip {
        // A network that no client has.
        IpAddr::V4(v4) => (0xffff << 32) | u64::from(v4.to_bits()),
        IpAddr::V6(v6) => u64::try_from(v6.to_bits() >> 64).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests;
