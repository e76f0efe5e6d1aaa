//! One request from its head to its response: the straight line of the router.
//!
//! `docs/lifecycles/request.md` follows it. A request is sent again only when nothing of it was sent
//! before, or when it is idempotent, has no body and met a connection that had been idle.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::request::Parts;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header,
};
use http_body::Body;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use ropewalk_api_types::router::{DynoProtocol, WhenEmpty};
use tokio::time::{Instant, sleep};

use crate::access::Visit;
use crate::affinity;
use crate::canary::{self, Draw, Side};
use crate::carrier::{Carrier, Held};
use crate::clock;
use crate::code::Code;
use crate::edge::{self, Decision, Facts, Gate, Reply};
use crate::exchange::{Fault, Patience, exchange};
use crate::grpc;
use crate::health::Event;
use crate::hold::Hold;
use crate::line::{self, Left};
use crate::pace::Offer;
use crate::pages::{self, Reader};
use crate::pool::ConnectError;
use crate::relay::{Answer, Relay};
use crate::request::{self, Peer, Refusal};
use crate::router::Router;
use crate::table::{App, Pick, Route};
use crate::tunnel;
use crate::upload::{Client, Upload};
use crate::upstream::{InFlight, Upstream};
use crate::websocket::{self, Handshake, Upgrade};

/// Most dynos one request is offered to.
pub(crate) const ATTEMPTS: usize = 10;

/// Between two attempts to reach a server that is restarting.
const KNOCK: Duration = Duration::from_millis(50);

/// How long a client of the platform's own hosts may read nothing: a terminal that sleeps, a pull that
/// waits for its disk.
const PLATFORM_STALL: Duration = Duration::from_secs(60 * 60);

/// How long a browser waits for an app that wakes before it is shown a page: one that was frozen is there by then.
const PAGE_AFTER: Duration = Duration::from_millis(500);
/// Seconds after which that page asks again.
const AGAIN_AFTER: &str = "2";

/// Tells for how many milliseconds a request waited for its app to wake.
const COLD_START: HeaderName = HeaderName::from_static("ropewalk-cold-start");

/// Answers one request of a client.
pub(crate) async fn serve(
    router: Arc<Router>,
    peer: Arc<Peer>,
    request: Request<Client>,
) -> Result<Response<Answer>, Infallible> {
    let (mut parts, body) = request.into_parts();
    let handshake = websocket::translate(&mut parts);
    let reader = Reader::of(&parts);
    let host = match request::host(&parts) {
        Ok(host) => host,
        Err(Refusal { status, cause }) => return Ok(pages::bad_request(reader, status, cause)),
    };
    if let Some(text) = router.certificates.challenges.page(&host, &parts) {
        return Ok(pages::challenge(text));
    }
    let route = match lookup(&router, &host).await {
        Some(route) => route,
        None if router.tables.is_blank() => return Ok(pages::platform_away(reader)),
        None => return Ok(pages::no_such_app(reader, &host)),
    };
    // Many requests share a connection of HTTP/2 or 3; there each has its own limit, in `relay`.
    if parts.version < Version::HTTP_2 {
        peer.stall.set(match route {
            Route::App(_) => router.limits.idle,
            Route::Platform(_) => PLATFORM_STALL,
        });
    }
    let refusal = match is_misdirected(&router, &peer, &host) {
        true => Some(Refusal::MISDIRECTED),
        false => request::check(&parts, router.limits.request_line).err(),
    };
    let subject = request::subject(&parts, &peer, host);
    Ok(match route {
        Route::App(app) => {
            let tally = Some(Arc::clone(&app.tally));
            let visit = Visit::begin(Arc::clone(&router), tally, subject);
            if let Some(refusal) = refusal {
                return Ok(refuse(visit, refusal, reader));
            }
            let (mut hsts, mut max_body, mut drawn) = (None, None, Draw::OWN);
            if let Some(policy) = &app.edge {
                (hsts, max_body) = (policy.hsts(peer.https), policy.max_body());
                let length = body.size_hint().exact();
                let facts = Facts::new(&parts, visit.subject(), &peer, router.https_at, length);
                if let Decision::Answer(reply) =
                    edge::decide(&facts, policy, |rate| app.spend(peer.ip, rate))
                {
                    let mut response = turn_away(visit, reply, reader);
                    edge::keep_to_https(&mut response, hsts);
                    return Ok(response);
                }
                policy.strip(&mut parts.headers);
                if let Some(canary) = policy.canary() {
                    let fwd = &visit.subject().forwarded_for;
                    let fwd = fwd.to_str().unwrap_or_default();
                    drawn = canary::draw(canary, &app.id, &parts.headers, fwd);
                }
            }
            let upload = Upload::new(body, max_body);
            let outgoing = Outgoing::new(parts, upload, handshake, &visit, &peer);
            let mut response = to_app(&router, app, drawn, visit, outgoing, reader).await;
            edge::keep_to_https(&mut response, hsts);
            response
        }
        Route::Platform(socket) => {
            let visit = Visit::begin(Arc::clone(&router), None, subject);
            if let Some(refusal) = refusal {
                return Ok(refuse(visit, refusal, reader));
            }
            let outgoing = Outgoing::new(parts, Upload::new(body, None), handshake, &visit, &peer);
            to_platform(&router, &socket, visit, outgoing, reader).await
        }
    })
}

/// Whether a request came over a connection whose certificate is another app's: a client that reuses a connection for
/// each host that its certificate names is told to open one of its own.
pub(crate) fn is_misdirected(router: &Router, peer: &Peer, host: &str) -> bool {
    peer.server_name.as_deref().is_some_and(|name| {
        name != host
            && !router.certificates.is_same(name, host)
            && !router.tables.load().is_same(name, host)
    })
}

/// The route of a host. Before the first table ever, waits for it a little.
async fn lookup(router: &Router, host: &str) -> Option<Route> {
    let mut hold = Hold::new(router.limits.first_table);
    loop {
        if let Some(route) = router.tables.route(host).await {
            return Some(route);
        }
        if !router.tables.is_blank() {
            return router.tables.route(host).await;
        }
        hold.wait(&router.tables, None, 0).await.ok()?;
    }
}

/// What is sent to an upstream, and sent again.
struct Outgoing {
    request: Request<Upload>,
    /// Present when the client asks to switch protocols.
    upgrade: Option<Upgrade>,
    /// Sending it twice does no harm.
    repeatable: bool,
    /// The client takes trailers.
    trailers: bool,
}

impl Outgoing {
    fn new(
        mut parts: Parts,
        body: Upload,
        handshake: Option<Handshake>,
        visit: &Visit,
        peer: &Peer,
    ) -> Outgoing {
        let wants_upgrade = handshake.is_some() || request::wants_upgrade(&parts);
        let upgrade = parts
            .extensions
            .remove::<OnUpgrade>()
            .filter(|_| wants_upgrade)
            .map(|client| Upgrade { client, handshake });
        let trailers = request::takes_trailers(&parts.headers);
        request::rewrite(&mut parts, visit.subject(), peer, upgrade.is_some());
        let mut request = Request::from_parts(parts, body);
        request::chunk(&mut request);
        Outgoing {
            repeatable: request.body().is_empty()
                && upgrade.is_none()
                && request::is_idempotent(request.method()),
            request,
            upgrade,
            trailers,
        }
    }

    /// A copy of a request without a body.
    fn copy(&self) -> Request<Upload> {
        let mut copy = Request::new(Upload::Empty);
        *copy.method_mut() = self.request.method().clone();
        *copy.uri_mut() = self.request.uri().clone();
        *copy.version_mut() = self.request.version();
        *copy.headers_mut() = self.request.headers().clone();
        copy
    }
}

async fn to_app(
    router: &Arc<Router>,
    mut home: Arc<App>,
    drawn: Draw,
    mut visit: Visit,
    mut outgoing: Outgoing,
    reader: Reader,
) -> Response<Answer> {
    let limits = &router.limits;
    let patience = Patience {
        first_byte: Some(limits.first_byte),
        idle: Some(limits.idle),
    };
    let shows_page = home.asleep && home.waiting_page && is_browsers(&outgoing.request);
    let mut hold = Hold::new(match shows_page {
        true => PAGE_AFTER,
        false => home.hold(limits.boot),
    });
    let mut in_line = line::Patience::new(limits.line);
    let mut tried: Vec<Arc<Upstream>> = Vec::new();
    let mut fault = Code::H99;
    let mut returned = 0;
    // An upgrade takes its connection with it, so it brings a new one.
    let mut reuse = outgoing.upgrade.is_none();
    let mut canary = match stand_in(router, &mut home, drawn.side, &mut hold).await {
        Ok(canary) => canary,
        Err(code) => return fail(visit, code, &home, reader),
    };
    visit.lead(canary.clone());
    let mut app = canary.clone().unwrap_or_else(|| Arc::clone(&home));
    let mut brought = came_to(&app, &outgoing);
    loop {
        let of = canary.as_ref().map_or(Side::Own, |_| Side::Canary);
        let chosen = choose(
            router,
            &mut app,
            of,
            &tried,
            &brought,
            &mut hold,
            &mut in_line,
        );
        let place = match chosen.await {
            Ok(Some(place)) if tried.len() < ATTEMPTS => place,
            // The canary cannot answer any more, and nothing was sent to it.
            Ok(_) | Err(Code::H14) if canary.is_some() => {
                canary = None;
                visit.lead(None);
                app = Arc::clone(&home);
                brought = came_to(&app, &outgoing);
                tried.clear();
                continue;
            }
            Ok(_) => return fail(visit, fault, &home, reader),
            Err(Code::H20) if shows_page => return waiting(visit, reader),
            Err(code) => return fail(visit, code, &home, reader),
        };
        let cold_start = hold.cold_start();
        let upstream = Arc::clone(place.upstream());
        visit.occupy(place);

        let protocol = match outgoing.upgrade {
            None => app.protocol,
            Some(_) => DynoProtocol::Http1,
        };
        let pooled = pooled(router, &upstream, protocol, &outgoing, reuse).await;
        let reused = pooled.is_some();
        let carrier = match pooled {
            Some(carrier) => {
                visit.connected(0);
                carrier
            }
            None => match connect(router, &app, &upstream, protocol, &mut visit, tried.len()).await
            {
                Ok(carrier) => carrier,
                Err(error) => {
                    fault = unreached(router, &app, &upstream, &error);
                    tried.push(upstream);
                    continue;
                }
            },
        };
        if upstream.is_retired() {
            // It left the table while we connected. Nothing was sent: look again.
            continue;
        }
        match protocol {
            DynoProtocol::Http1 => request::to_http1(&mut outgoing.request),
            DynoProtocol::H2c => {
                if let Err(refusal) = request::to_http2(&mut outgoing.request, outgoing.trailers) {
                    return refuse(visit, refusal, reader);
                }
            }
        }

        let spare = (reused && outgoing.repeatable).then(|| outgoing.copy());
        let upload = outgoing.request.body().progress();
        visit.sending();
        match exchange(carrier, outgoing.request, patience).await {
            Ok((mut response, held)) => {
                let failed =
                    response.status().is_server_error() || grpc::is_failed(response.headers());
                let event = if failed {
                    Event::Failed
                } else {
                    Event::Answered
                };
                app.observe(&upstream, event);
                let upgrade = outgoing.upgrade;
                if let Some(cause) = breach(upgrade.as_ref(), &response) {
                    return misled(visit, cause, reader);
                }
                if app.session_affinity
                    && !brought.iter().any(|value| value == upstream.affinity())
                    && let Some(cookie) =
                        affinity::cookie(upstream.affinity(), visit.subject().https)
                {
                    response.headers_mut().append(header::SET_COOKIE, cookie);
                }
                if let Some(ms) = cold_start {
                    response.headers_mut().insert(COLD_START, ms.into());
                }
                if let Some(cookie) = drawn.cookie(visit.subject().https) {
                    response.headers_mut().append(header::SET_COOKIE, cookie);
                }
                return respond(router, response, visit, held, upload, upgrade, patience);
            }
            Err(Fault::NotSent(request)) if returned < ATTEMPTS => {
                returned += 1;
                outgoing.request = *request;
            }
            Err(Fault::Closed) if spare.is_some() => {
                outgoing.request = spare.unwrap_or_default();
            }
            Err(Fault::NotSent(_)) => return fail(visit, Code::H13, &home, reader),
            Err(Fault::Closed) => {
                app.observe(&upstream, Event::Failed);
                let cut = upload.is_some_and(|upload| upload.started() && !upload.done());
                let code = if cut { Code::H18 } else { Code::H13 };
                return fail(visit, code, &home, reader);
            }
            Err(Fault::TooLarge) => return turn_away(visit, Reply::TOO_LARGE, reader),
            Err(Fault::Final(code)) => {
                if code.is_of_the_dyno() {
                    app.observe(&upstream, Event::Failed);
                }
                return fail(visit, code, &home, reader);
            }
        }
        // The idle connection was dead; others may be, so the next one is new.
        router.counters.retries.fetch_add(1, Relaxed);
        reuse = false;
    }
}

/// Whether somebody looks at what comes of it.
fn is_browsers(request: &Request<Upload>) -> bool {
    let accept = request.headers().get(header::ACCEPT);
    let accept = accept.and_then(|value| value.to_str().ok());
    *request.method() == Method::GET && accept.is_some_and(|accept| accept.contains("text/html"))
}

/// A page that asks again by itself, for an app that wakes.
fn waiting(visit: Visit, reader: Reader) -> Response<Answer> {
    let again = HeaderValue::from_static(AGAIN_AFTER);
    let reply = Reply {
        gate: Gate::WaitingPage,
        status: 503,
        header: Some((header::RETRY_AFTER, again.clone())),
    };
    let mut response = turn_away(visit, reply, reader);
    response.headers_mut().insert(header::REFRESH, again);
    response
}

/// The app whose dynos answer instead of the own of `home`: its canary, where that side was drawn and it can. While `home`
/// lets its requests wait, they wait here.
async fn stand_in(
    router: &Router,
    home: &mut Arc<App>,
    drawn: Side,
    hold: &mut Hold,
) -> Result<Option<Arc<App>>, Code> {
    if drawn == Side::Own {
        return Ok(None);
    }
    while home.is_paused() && !home.maintenance {
        let seats = router.limits.held;
        hold.wait(&router.tables, Some(&home.tally), seats).await?;
        match router.tables.app(&home.id).await {
            Some(current) => *home = current,
            None => return Err(Code::H14),
        }
    }
    if home.maintenance {
        return Ok(None);
    }
    Ok(router.tables.canary(home).await)
}

/// The dynos that the client came to before, where the app wants it to come there again.
fn came_to(app: &App, outgoing: &Outgoing) -> Vec<String> {
    match app.session_affinity {
        true => affinity::brought(outgoing.request.headers()),
        false => Vec::new(),
    }
}

/// What [`choose`] gives a request that has tried nothing, where it need not wait for anything.
pub(crate) fn choose_at_once(app: &App) -> Option<InFlight> {
    if app.maintenance || app.is_paused() || app.line.is_waiting() {
        return None;
    }
    match app.pick(&[], &[]) {
        Pick::Send(upstream) => upstream.enter_within(app.line.limit()),
        Pick::Full | Pick::Nobody => None,
    }
}

/// A place on the best upstream of the app as the table now says, `None` when all were tried. A canary that cannot answer
/// is H14, whyever that is.
pub(crate) async fn choose(
    router: &Router,
    app: &mut Arc<App>,
    side: Side,
    tried: &[Arc<Upstream>],
    brought: &[String],
    hold: &mut Hold,
    in_line: &mut line::Patience,
) -> Result<Option<InFlight>, Code> {
    let mut fresh = tried.is_empty();
    loop {
        if !fresh {
            match router.tables.app(&app.id).await {
                Some(current) => *app = current,
                // Destroyed while its request waited.
                None => return Err(Code::H14),
            }
        }
        fresh = false;
        if side == Side::Canary && !app.stands_in() {
            return Err(Code::H14);
        }
        if app.maintenance {
            return Err(Code::H80);
        }
        if app.is_paused() {
            let seats = router.limits.held;
            hold.wait(&router.tables, Some(&app.tally), seats).await?;
            continue;
        }
        if app.upstreams.is_empty() {
            if app.asleep {
                hold.note_asleep();
                router.tables.wakes.ask(&app.id);
            }
            match app.when_empty {
                WhenEmpty::NoWebDynos => return Err(Code::H14),
                WhenEmpty::Blank => return Err(Code::H81),
                WhenEmpty::Crashed => return Err(Code::H10),
                WhenEmpty::Booting => {
                    let seats = router.limits.held;
                    hold.wait(&router.tables, Some(&app.tally), seats).await?;
                    continue;
                }
            }
        }
        let line = &app.line;
        // Those who came earlier go first; who has tried a dyno came earlier still.
        let pick = match line.is_waiting() && tried.is_empty() {
            true => Pick::Full,
            false => app.pick(tried, brought),
        };
        match pick {
            Pick::Nobody => return Ok(None),
            // No place: somebody took the last one, or it has left the table since we read it.
            Pick::Send(upstream) => {
                if let Some(place) = upstream.enter_within(line.limit()) {
                    return Ok(Some(place));
                }
            }
            Pick::Full => {
                let most = usize::try_from(router.limits.held).unwrap_or(usize::MAX);
                let wait = line.wait(most, in_line.until(), || {
                    // As the table now is: it may have changed before we stood in line.
                    router.tables.serve_line(&app.id);
                });
                match wait.await {
                    Ok(place) => return Ok(Some(place)),
                    Err(Left::Look) => {}
                    Err(Left::Failed(code)) => return Err(code),
                }
            }
        }
    }
}

/// To the server's socket: no limit on time, since a push builds for minutes in silence.
async fn to_platform(
    router: &Arc<Router>,
    socket: &Arc<Upstream>,
    mut visit: Visit,
    mut outgoing: Outgoing,
    reader: Reader,
) -> Response<Answer> {
    let patience = Patience {
        first_byte: None,
        idle: None,
    };
    let until = Instant::now() + router.limits.connect;
    let mut reuse = outgoing.upgrade.is_none();
    loop {
        let Some(place) = socket.enter() else {
            return away(visit, reader);
        };
        visit.occupy(place);
        let protocol = DynoProtocol::Http1;
        let pooled = pooled(router, socket, protocol, &outgoing, reuse).await;
        let reused = pooled.is_some();
        let carrier = match pooled {
            Some(carrier) => carrier,
            None => match open(router, socket, protocol, &mut visit, router.limits.connect).await {
                Ok(carrier) => carrier,
                // A restart of the server takes a moment; clients need not notice it.
                Err(_) if Instant::now() < until => {
                    sleep(KNOCK).await;
                    continue;
                }
                Err(error) => {
                    tracing::debug!(%error, "The server does not answer.");
                    return away(visit, reader);
                }
            },
        };
        let spare = (reused && outgoing.repeatable).then(|| outgoing.copy());
        let upload = outgoing.request.body().progress();
        visit.sending();
        match exchange(carrier, outgoing.request, patience).await {
            Ok((response, held)) => {
                let upgrade = outgoing.upgrade;
                if let Some(cause) = breach(upgrade.as_ref(), &response) {
                    return misled(visit, cause, reader);
                }
                return respond(router, response, visit, held, upload, upgrade, patience);
            }
            Err(Fault::NotSent(request)) if reused => outgoing.request = *request,
            Err(Fault::Closed) if spare.is_some() => {
                outgoing.request = spare.unwrap_or_default();
            }
            Err(_) => return away(visit, reader),
        }
        reuse = false;
    }
}

/// What is wrong with the answer to a handshake of ours.
fn breach(upgrade: Option<&Upgrade>, response: &Response<Incoming>) -> Option<&'static str> {
    upgrade?.handshake.as_ref()?.breach(response)
}

/// The upstream's head is here: answer with it and leave the body to stream.
fn respond(
    router: &Router,
    response: Response<Incoming>,
    visit: Visit,
    held: Option<Held>,
    upload: Option<Arc<crate::upload::Progress>>,
    upgrade: Option<Upgrade>,
    patience: Patience,
) -> Response<Answer> {
    let (mut parts, body) = response.into_parts();
    // What is spoken with the client is another matter (RFC 9110, 6.2).
    parts.version = Version::HTTP_11;
    let switched = parts.extensions.remove::<OnUpgrade>();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS
        && let (Some(upgrade), Some(upstream)) = (upgrade, switched)
    {
        let stream = Offer::current();
        let tunnel = tunnel::run(upgrade.client, upstream, held, stream, visit, patience.idle);
        let cut = router.cut.clone();
        router
            .tasks
            .spawn(async move { cut.run_until_cancelled_owned(tunnel).await });
        if upgrade.handshake.is_some() {
            // HTTP/2 has neither 101 nor a key.
            parts.status = StatusCode::OK;
            let key = Some(&header::SEC_WEBSOCKET_ACCEPT);
            request::strip_hop_by_hop(&mut parts.headers, &[], key);
            return Response::from_parts(parts, Answer::Page(None));
        }
        if parts.headers.contains_key(header::UPGRADE) {
            let both = [header::CONNECTION, header::UPGRADE];
            request::strip_hop_by_hop(&mut parts.headers, &both, None);
            let upgrade = HeaderValue::from_static("upgrade");
            parts.headers.insert(header::CONNECTION, upgrade);
        } else {
            request::strip_hop_by_hop(&mut parts.headers, &[], None);
        }
        return Response::from_parts(parts, Answer::Page(None));
    }
    // Chunks say where the body ends, whatever else was said (RFC 9112, 6.3).
    let chunked = parts.headers.contains_key(header::TRANSFER_ENCODING);
    let overruled = chunked.then_some(&header::CONTENT_LENGTH);
    let status = parts.status.as_u16();
    let is_over = body.is_end_stream() && may_trail(status, length(&parts.headers), chunked);
    let held = held.filter(|held| held.is_shared() || !is_over);
    request::strip_hop_by_hop(&mut parts.headers, &[], overruled);
    parts.headers.append(header::VIA, request::VIA);
    let relay = Relay::new(body, status, visit, held, upload, patience.idle);
    Response::from_parts(parts, Answer::Relay(Box::new(relay)))
}

/// Whether a body could follow an answer that has none, for its head declares one: to HEAD, with 204 and with 304. Some
/// dynos send it, a moment later, where it would be read as the beginning of the next answer.
pub(crate) fn may_trail(status: u16, length: Option<u64>, is_coded: bool) -> bool {
    match length {
        _ if is_coded => true,
        Some(length) => length > 0,
        None => !matches!(status, 204 | 304),
    }
}

/// What is declared; the most that can be where it cannot be read.
fn length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(header::CONTENT_LENGTH)?;
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    Some(number.unwrap_or(u64::MAX))
}

/// An open connection, unless it is to be a new one. Who shares one has nothing to fear of those that are dead: they are
/// known to be.
async fn pooled(
    router: &Router,
    upstream: &Upstream,
    protocol: DynoProtocol,
    outgoing: &Outgoing,
    reuse: bool,
) -> Option<Carrier> {
    let max_idle = max_idle(router, outgoing);
    match protocol {
        DynoProtocol::H2c => upstream.shared.take(max_idle).map(Carrier::Shared),
        DynoProtocol::Http1 if reuse => upstream.pool.checkout(max_idle).await.map(Carrier::Own),
        DynoProtocol::Http1 => None,
    }
}

/// A new connection to one of an app's dynos. While there are others to try, none is waited for for long.
async fn connect(
    router: &Router,
    app: &App,
    upstream: &Arc<Upstream>,
    protocol: DynoProtocol,
    visit: &mut Visit,
    tried: usize,
) -> Result<Carrier, ConnectError> {
    let limit = connect_limit(router, app, tried);
    let connected = open(router, upstream, protocol, visit, limit).await;
    if connected.is_ok() {
        app.observe(upstream, Event::Connected);
    }
    connected
}

/// How long a connection may take when so many dynos were tried already.
pub(crate) fn connect_limit(router: &Router, app: &App, tried: usize) -> Duration {
    let others = app.upstreams.len() > tried + 1;
    match others {
        true => router.limits.connect_first,
        false => router.limits.connect,
    }
}

async fn open(
    router: &Router,
    upstream: &Upstream,
    protocol: DynoProtocol,
    visit: &mut Visit,
    limit: Duration,
) -> Result<Carrier, ConnectError> {
    let begun = clock::millis();
    let connected = upstream.connect(protocol, limit).await;
    visit.connected(clock::millis() - begun);
    let counter = match &connected {
        Ok(_) => &router.counters.connects,
        Err(_) => &router.counters.connect_failures,
    };
    counter.fetch_add(1, Relaxed);
    connected
}

fn max_idle(router: &Router, outgoing: &Outgoing) -> Duration {
    match outgoing.repeatable {
        true => router.limits.pool_idle,
        false => router.limits.pool_idle_unrepeatable,
    }
}

/// A dyno could not be connected to, and another is asked. What it is called if none can be.
pub(crate) fn unreached(
    router: &Router,
    app: &App,
    upstream: &Arc<Upstream>,
    error: &ConnectError,
) -> Code {
    app.observe(upstream, Event::Refused);
    tracing::debug!(dyno = %upstream.dyno, %error, "Could not connect to a dyno.");
    router.counters.retries.fetch_add(1, Relaxed);
    code_of(error)
}

fn code_of(error: &ConnectError) -> Code {
    match error {
        ConnectError::Refused(_) => Code::H21,
        ConnectError::Timeout => Code::H19,
    }
}

fn fail(mut visit: Visit, code: Code, app: &App, reader: Reader) -> Response<Answer> {
    visit.fail(code);
    let id = visit.subject().request_id.to_str().unwrap_or_default();
    page(code, app, reader, id)
}

/// The page of a code, as the app wants it.
pub(crate) fn page(code: Code, app: &App, reader: Reader, id: &str) -> Response<Answer> {
    let frame = match code {
        Code::H80 => app.maintenance_page_url.as_deref(),
        _ => app.error_page_url.as_deref(),
    };
    // 499 is for the log only: what a client that may still listen gets is a real status.
    let status = match code.status() {
        499 => 408,
        status => status,
    };
    pages::code(code, status, reader, id, frame)
}

fn refuse(mut visit: Visit, refusal: Refusal, reader: Reader) -> Response<Answer> {
    visit.refuse(Refusal::CODE, refusal.status, Some(refusal.cause));
    let id = visit.subject().request_id.to_str().unwrap_or_default();
    pages::code(Refusal::CODE, refusal.status, reader, id, None)
}

/// A dyno's answer that means something else than what was asked.
fn misled(mut visit: Visit, cause: &'static str, reader: Reader) -> Response<Answer> {
    visit.refuse(Code::H17, 502, Some(cause));
    let id = visit.subject().request_id.to_str().unwrap_or_default();
    pages::code(Code::H17, 502, reader, id, None)
}

/// Answers instead of the app, as the app asked.
fn turn_away(mut visit: Visit, reply: Reply, reader: Reader) -> Response<Answer> {
    visit.turn_away(reply.gate, reply.status);
    let id = visit.subject().request_id.to_str().unwrap_or_default();
    let mut response = pages::gate(reply.gate, reply.status, reader, id);
    if let Some((name, value)) = reply.header {
        response.headers_mut().insert(name, value);
    }
    response
}

fn away(mut visit: Visit, reader: Reader) -> Response<Answer> {
    visit.fail(Code::H99);
    pages::platform_away(reader)
}
