//! One connection: may it come in, which dyno has it, and bytes both ways until both sides have ended.
//!
//! A connection that no dyno gets is reset: an end would look like an answer of nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ropewalk_api_types::tcp_route::ProxyProtocol;
use rustix::net::sockopt::set_socket_linger;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::index::Route;
use super::preface;
use super::record::{Fault, Outcome, Record};
use crate::clock;
use crate::pipe;
use crate::pool::Address;
use crate::router::Router;
use crate::tunnel::Side;
use crate::upstream::InFlight;

/// Between two rounds of dynos that take no connection.
const PAUSE: Duration = Duration::from_millis(250);

/// Between two counts of what has passed, at most.
const COUNT: Duration = Duration::from_secs(2);

/// A connection's whole life. `head`: what was read of it already.
pub(crate) async fn serve(
    router: Arc<Router>,
    stream: TcpStream,
    head: Vec<u8>,
    ip: IpAddr,
    route: Arc<Route>,
) {
    let mut record = Record::begin(&router, &route, ip);
    let found = match admit(&router, &route, ip, &mut record) {
        Ok(()) => find(&router, route).await,
        Err(fault) => Err(fault),
    };
    match found {
        Ok(found) => {
            let told = found
                .proxy_protocol
                .map(|version| preface(version, &stream, ip));
            let opening = Opening {
                told: told.unwrap_or_default(),
                head,
            };
            join(&router, stream, opening, found, &mut record).await;
        }
        Err(fault) => {
            record.end(Outcome::Failed(fault));
            reset(&stream);
        }
    }
}

/// A dyno that took the connection.
struct Found {
    stream: TcpStream,
    place: InFlight,
    /// As in [`Route`].
    idle: u64,
    proxy_protocol: Option<ProxyProtocol>,
}

/// What is sent to a dyno before anything more is read.
struct Opening {
    /// By the router itself.
    told: Vec<u8>,
    /// By the client.
    head: Vec<u8>,
}

/// The client's port is known only where nobody in front has named the client; it is 0 otherwise.
fn preface(version: ProxyProtocol, stream: &TcpStream, ip: IpAddr) -> Vec<u8> {
    let peer = stream.peer_addr().ok();
    let client = peer.filter(|peer| peer.ip().to_canonical() == ip);
    let client = client.unwrap_or(SocketAddr::new(ip, 0));
    // It is always known of a connection that was accepted.
    let server = stream
        .local_addr()
        .unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0));
    preface::header(version, client, server)
}

fn admit(router: &Router, route: &Route, ip: IpAddr, record: &mut Record) -> Result<(), Fault> {
    if route.maintenance {
        return Err(Fault::Maintenance);
    }
    if !route.trusts(ip) {
        return Err(Fault::Untrusted);
    }
    let limits = &router.limits;
    record.take_seat(route.enter(ip, limits.tcp_open, limits.tcp_client)?);
    Ok(())
}

/// Asks the dynos that there are, and those that come, until one takes the connection. Nothing was sent to any before.
async fn find(router: &Router, mut route: Arc<Route>) -> Result<Found, Fault> {
    let until = Instant::now() + router.limits.tcp_wait;
    let mut tables = router.tables.watch();
    let mut fault = Fault::Booting;
    loop {
        tables.borrow_and_update();
        // It may say something else by now, be gone, or another app's.
        let now = router.tables.tcp.find(&route.entrance);
        let same = now.filter(|now| Arc::ptr_eq(&now.shared, &route.shared));
        route = same.ok_or(Fault::NoDynos)?;
        if route.maintenance {
            return Err(Fault::Maintenance);
        }
        let mut pause = until.saturating_duration_since(Instant::now());
        if !route.paused {
            if route.dynos.is_empty() && !route.wanted {
                return Err(Fault::NoDynos);
            }
            if route.asleep && route.dynos.is_empty() {
                router.tables.wakes.ask(&route.shared.tally.app);
            }
            match attempt(router, &route, until).await {
                Ok(found) => return Ok(found),
                Err(Some(refused)) => {
                    fault = refused;
                    pause = pause.min(PAUSE);
                }
                Err(None) => {}
            }
        }
        if Instant::now() >= until {
            return Err(fault);
        }
        // The sender lives as long as the router.
        let _ = timeout(pause, tables.changed()).await;
    }
}

/// Asks each dyno once. `None`: there is none.
async fn attempt(router: &Router, route: &Route, until: Instant) -> Result<Found, Option<Fault>> {
    let mut tried = Vec::new();
    let mut fault = None;
    while let Some((index, dyno)) = route.pick(&tried) {
        tried.push(index);
        let Address::Tcp(addr) = dyno.upstream.address else {
            continue;
        };
        // It has left the table, which then is another one.
        let Some(place) = dyno.upstream.enter() else {
            fault = Some(Fault::Refused);
            continue;
        };
        let limit = match tried.len() < route.dynos.len() {
            true => router.limits.connect_first,
            false => router.limits.connect,
        };
        let left = until.saturating_duration_since(Instant::now());
        router.counters.connects.fetch_add(1, Relaxed);
        match connect(addr, limit.min(left)).await {
            Ok(stream) => {
                return Ok(Found {
                    stream,
                    place,
                    idle: route.idle,
                    proxy_protocol: route.proxy_protocol,
                });
            }
            Err(refused) => {
                router.counters.connect_failures.fetch_add(1, Relaxed);
                dyno.shun();
                fault = Some(refused);
            }
        }
    }
    Err(fault)
}

async fn connect(addr: SocketAddr, limit: Duration) -> Result<TcpStream, Fault> {
    let stream = match timeout(limit, TcpStream::connect(addr)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(_)) => return Err(Fault::Refused),
        Err(_) => return Err(Fault::Timeout),
    };
    // Without it small pieces would wait for others.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn join(
    router: &Router,
    client: TcpStream,
    opening: Opening,
    found: Found,
    record: &mut Record,
) {
    record.connected(found.place);
    let last = Arc::new(AtomicU64::new(clock::millis()));
    let mut client = Side {
        io: client,
        last: Arc::clone(&last),
        read: Arc::clone(&record.bytes_in),
        closed: Arc::new(AtomicBool::new(false)),
    };
    let mut dyno = Side {
        io: found.stream,
        last: Arc::clone(&last),
        read: Arc::clone(&record.bytes_out),
        closed: Arc::new(AtomicBool::new(false)),
    };
    let Opening { mut told, head } = opening;
    record.bytes_in.fetch_add(head.len() as u64, Relaxed);
    told.extend(head);
    // It finds room in a connection that is new.
    let sent = timeout(router.limits.connect, dyno.write_all(&told)).await;
    let outcome = match sent {
        Ok(Ok(())) => tokio::select! {
            joined = pipe::join(&mut client, &mut dyno) => match joined {
                Ok(()) => Outcome::Ended,
                Err(_) => Outcome::Reset,
            },
            () = silence(&last, found.idle, record) => Outcome::Failed(Fault::Idle),
        },
        Ok(Err(_)) | Err(_) => Outcome::Reset,
    };
    if outcome == Outcome::Reset {
        // Whoever is left must not take it for an end.
        reset(&client.io);
        reset(&dyno.io);
    }
    record.end(outcome);
}

/// Returns once `last` lies `idle` in the past, both in ms; counts what passes meanwhile.
async fn silence(last: &AtomicU64, idle: u64, record: &mut Record) {
    loop {
        let quiet = clock::millis().saturating_sub(last.load(Relaxed));
        match idle.checked_sub(quiet) {
            Some(left) if left > 0 => sleep(Duration::from_millis(left).min(COUNT)).await,
            _ => return,
        }
        record.count();
    }
}

/// Lets the other end know, when the stream is dropped, that this is no end.
fn reset(stream: &TcpStream) {
    // A connection that is gone already needs no goodbye.
    let _ = set_socket_linger(stream, Some(Duration::ZERO));
}
