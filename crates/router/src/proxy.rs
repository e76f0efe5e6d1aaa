//! One request from its head to its response: the straight line of the router.
//!
//! `docs/lifecycles/request.md` follows it. A request is sent again only when nothing of it was sent
//! before, or when it is idempotent, has no body and met a connection that had been idle.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::Body;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use ropewalk_api_types::router::WhenEmpty;
use tokio::time::{Instant, sleep};

use crate::access::Visit;
use crate::affinity;
use crate::clock;
use crate::code::Code;
use crate::exchange::{Fault, Patience, exchange};
use crate::health::Event;
use crate::hold::Hold;
use crate::line::{self, Left};
use crate::pages::{self, Reader};
use crate::pool::{self, ConnectError, Sender};
use crate::relay::{Answer, Relay};
use crate::request::{self, Peer, Refusal};
use crate::router::Router;
use crate::table::{App, Pick, Route};
use crate::tunnel;
use crate::upload::Upload;
use crate::upstream::{InFlight, Upstream};

/// Most dynos one request is offered to.
const ATTEMPTS: usize = 10;

/// Between two attempts to reach a server that is restarting.
const KNOCK: Duration = Duration::from_millis(50);

/// How long a client of the platform's own hosts may read nothing: a terminal that sleeps, a pull that
/// waits for its disk.
const PLATFORM_STALL: Duration = Duration::from_secs(60 * 60);

/// Answers one request of a client.
pub(crate) async fn serve(
    router: Arc<Router>,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let (parts, body) = request.into_parts();
    let reader = Reader::of(&parts.headers);
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
    // Many requests share a connection of HTTP/2; there each has its own limit, in `relay`.
    if parts.version != Version::HTTP_2 {
        peer.stall.set(match route {
            Route::App(_) => router.limits.idle,
            Route::Platform(_) => PLATFORM_STALL,
        });
    }
    let refusal = request::check(&parts, router.limits.request_line).err();
    let subject = request::subject(&parts, &peer, host);
    Ok(match route {
        Route::App(app) => {
            let tally = Some(Arc::clone(&app.tally));
            let visit = Visit::begin(Arc::clone(&router), tally, subject);
            if let Some(refusal) = refusal {
                return Ok(refuse(visit, refusal, reader));
            }
            let outgoing = Outgoing::new(parts, body, &visit, &peer);
            to_app(&router, app, visit, outgoing, reader).await
        }
        Route::Platform(socket) => {
            let visit = Visit::begin(Arc::clone(&router), None, subject);
            if let Some(refusal) = refusal {
                return Ok(refuse(visit, refusal, reader));
            }
            let outgoing = Outgoing::new(parts, body, &visit, &peer);
            to_platform(&router, &socket, visit, outgoing, reader).await
        }
    })
}

/// The route of a host. Before the first table ever, waits for it a little.
async fn lookup(router: &Router, host: &str) -> Option<Route> {
    let mut hold = Hold::new(router.limits.first_table);
    loop {
        if let Some(route) = router.tables.load().route(host) {
            return Some(route.clone());
        }
        if !router.tables.is_blank() {
            return router.tables.load().route(host).cloned();
        }
        hold.wait(&router.tables, None, 0).await.ok()?;
    }
}

/// What is sent to an upstream, and sent again.
struct Outgoing {
    request: Request<Upload>,
    /// Present when the client asks to switch protocols.
    upgrade: Option<OnUpgrade>,
    /// Sending it twice does no harm.
    repeatable: bool,
}

impl Outgoing {
    fn new(mut parts: Parts, body: Incoming, visit: &Visit, peer: &Peer) -> Outgoing {
        let wants_upgrade = request::wants_upgrade(&parts);
        let upgrade = parts
            .extensions
            .remove::<OnUpgrade>()
            .filter(|_| wants_upgrade);
        request::rewrite(&mut parts, visit.subject(), peer, upgrade.is_some());
        let body = Upload::new(body);
        if body.size_hint().exact().is_none() {
            // Left to itself, hyper sends a GET or HEAD of unknown length without its body.
            let chunked = HeaderValue::from_static("chunked");
            parts.headers.insert(header::TRANSFER_ENCODING, chunked);
        }
        Outgoing {
            repeatable: body.is_empty()
                && upgrade.is_none()
                && request::is_idempotent(&parts.method),
            request: Request::from_parts(parts, body),
            upgrade,
        }
    }

    /// A copy of a request without a body.
    fn copy(&self) -> Request<Upload> {
        let mut copy = Request::new(Upload::Empty);
        *copy.method_mut() = self.request.method().clone();
        *copy.uri_mut() = self.request.uri().clone();
        *copy.headers_mut() = self.request.headers().clone();
        copy
    }
}

async fn to_app(
    router: &Arc<Router>,
    mut app: Arc<App>,
    mut visit: Visit,
    mut outgoing: Outgoing,
    reader: Reader,
) -> Response<Answer> {
    let limits = &router.limits;
    let patience = Patience {
        first_byte: Some(limits.first_byte),
        idle: Some(limits.idle),
    };
    let mut hold = Hold::new(limits.boot);
    let mut in_line = line::Patience::new(limits.line);
    let mut tried: Vec<Arc<Upstream>> = Vec::new();
    let mut fault = Code::H99;
    let mut returned = 0;
    // An upgrade takes its connection with it, so it brings a new one.
    let mut reuse = outgoing.upgrade.is_none();
    let brought = match app.session_affinity {
        true => affinity::brought(outgoing.request.headers()),
        false => Vec::new(),
    };
    loop {
        let place = match choose(router, &mut app, &tried, &brought, &mut hold, &mut in_line).await
        {
            Ok(Some(place)) if tried.len() < ATTEMPTS => place,
            Ok(_) => return fail(visit, fault, &app, reader),
            Err(code) => return fail(visit, code, &app, reader),
        };
        let upstream = Arc::clone(place.upstream());
        visit.occupy(place);

        let pooled = match reuse {
            true => upstream.pool.checkout(max_idle(router, &outgoing)).await,
            false => None,
        };
        let reused = pooled.is_some();
        let sender = match pooled {
            Some(sender) => {
                visit.connected(0);
                sender
            }
            None => match connect(router, &app, &upstream, &mut visit, tried.len()).await {
                Ok(sender) => sender,
                Err(error) => {
                    fault = code_of(&error);
                    app.observe(&upstream, Event::Refused);
                    tracing::debug!(dyno = %upstream.dyno, %error, "Could not connect to a dyno.");
                    router.counters.retries.fetch_add(1, Relaxed);
                    tried.push(upstream);
                    continue;
                }
            },
        };
        if upstream.is_retired() {
            // It left the table while we connected. Nothing was sent: look again.
            continue;
        }

        let spare = (reused && outgoing.repeatable).then(|| outgoing.copy());
        let upload = outgoing.request.body().progress();
        visit.sending();
        match exchange(sender, outgoing.request, patience).await {
            Ok((mut response, sender)) => {
                let failed = response.status().is_server_error();
                let event = if failed {
                    Event::Failed
                } else {
                    Event::Answered
                };
                app.observe(&upstream, event);
                let upgrade = outgoing.upgrade;
                if app.session_affinity
                    && !brought.iter().any(|value| value == upstream.affinity())
                    && let Some(cookie) =
                        affinity::cookie(upstream.affinity(), visit.subject().https)
                {
                    response.headers_mut().append(header::SET_COOKIE, cookie);
                }
                return respond(router, response, visit, sender, upload, upgrade, patience);
            }
            Err(Fault::NotSent(request)) if returned < ATTEMPTS => {
                returned += 1;
                outgoing.request = *request;
            }
            Err(Fault::Closed) if spare.is_some() => {
                outgoing.request = spare.unwrap_or_default();
            }
            Err(Fault::NotSent(_)) => return fail(visit, Code::H13, &app, reader),
            Err(Fault::Closed) => {
                app.observe(&upstream, Event::Failed);
                let cut = upload.is_some_and(|upload| upload.started() && !upload.done());
                let code = if cut { Code::H18 } else { Code::H13 };
                return fail(visit, code, &app, reader);
            }
            Err(Fault::Final(code)) => {
                if code.is_of_the_dyno() {
                    app.observe(&upstream, Event::Failed);
                }
                return fail(visit, code, &app, reader);
            }
        }
        // The idle connection was dead; others may be, so the next one is new.
        router.counters.retries.fetch_add(1, Relaxed);
        reuse = false;
    }
}

/// A place on the best upstream of the app as the table now says, `None` when all were tried.
async fn choose(
    router: &Router,
    app: &mut Arc<App>,
    tried: &[Arc<Upstream>],
    brought: &[String],
    hold: &mut Hold,
    in_line: &mut line::Patience,
) -> Result<Option<InFlight>, Code> {
    let mut fresh = tried.is_empty();
    loop {
        if !fresh {
            match router.tables.load().app(&app.id) {
                Some(current) => *app = Arc::clone(current),
                // Destroyed while its request waited.
                None => return Err(Code::H14),
            }
        }
        fresh = false;
        if app.maintenance {
            return Err(Code::H80);
        }
        if app.upstreams.is_empty() {
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
                    if let Some(current) = router.tables.load().app(&app.id) {
                        current.serve_line();
                    }
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
        let pooled = match reuse {
            true => socket.pool.checkout(max_idle(router, &outgoing)).await,
            false => None,
        };
        let reused = pooled.is_some();
        let sender = match pooled {
            Some(sender) => sender,
            None => match open(router, socket, &mut visit, router.limits.connect).await {
                Ok(sender) => sender,
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
        match exchange(sender, outgoing.request, patience).await {
            Ok((response, sender)) => {
                let upgrade = outgoing.upgrade;
                return respond(router, response, visit, sender, upload, upgrade, patience);
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

/// The upstream's head is here: answer with it and leave the body to stream.
fn respond(
    router: &Router,
    response: Response<Incoming>,
    visit: Visit,
    sender: Option<Sender>,
    upload: Option<Arc<crate::upload::Progress>>,
    upgrade: Option<OnUpgrade>,
    patience: Patience,
) -> Response<Answer> {
    let (mut parts, body) = response.into_parts();
    let switched = parts.extensions.remove::<OnUpgrade>();
    parts.extensions = http::Extensions::new();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS
        && let (Some(client), Some(upstream)) = (upgrade, switched)
    {
        let tunnel = tunnel::run(client, upstream, visit, patience.idle);
        let cut = router.cut.clone();
        router
            .tasks
            .spawn(async move { cut.run_until_cancelled_owned(tunnel).await });
        let protocol = parts.headers.get(header::UPGRADE).cloned();
        request::strip_hop_by_hop(&mut parts.headers);
        if let Some(protocol) = protocol {
            parts.headers.insert(header::UPGRADE, protocol);
            let upgrade = HeaderValue::from_static("upgrade");
            parts.headers.insert(header::CONNECTION, upgrade);
        }
        return Response::from_parts(parts, Answer::Page(None));
    }
    request::strip_hop_by_hop(&mut parts.headers);
    parts.headers.append(header::VIA, request::VIA);
    let status = parts.status.as_u16();
    let relay = Relay::new(body, status, visit, sender, upload, patience.idle);
    Response::from_parts(parts, Answer::Relay(Box::new(relay)))
}

/// A new connection to one of an app's dynos. While there are others to try, none is waited for for long.
async fn connect(
    router: &Router,
    app: &App,
    upstream: &Arc<Upstream>,
    visit: &mut Visit,
    tried: usize,
) -> Result<Sender, ConnectError> {
    let others = app.upstreams.len() > tried + 1;
    let limit = match others {
        true => router.limits.connect_first,
        false => router.limits.connect,
    };
    let connected = open(router, upstream, visit, limit).await;
    if connected.is_ok() {
        app.observe(upstream, Event::Connected);
    }
    connected
}

async fn open(
    router: &Router,
    upstream: &Upstream,
    visit: &mut Visit,
    limit: Duration,
) -> Result<Sender, ConnectError> {
    let begun = clock::millis();
    let connected = pool::connect(&upstream.address, limit).await;
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

fn code_of(error: &ConnectError) -> Code {
    match error {
        ConnectError::Refused(_) => Code::H21,
        ConnectError::Timeout => Code::H19,
    }
}

fn fail(mut visit: Visit, code: Code, app: &App, reader: Reader) -> Response<Answer> {
    visit.fail(code);
    let frame = match code {
        Code::H80 => app.maintenance_page_url.as_deref(),
        _ => app.error_page_url.as_deref(),
    };
    // 499 is for the log only: what a client that may still listen gets is a real status.
    let status = match code.status() {
        499 => 408,
        status => status,
    };
    let id = visit.subject().request_id.to_str().unwrap_or_default();
    pages::code(code, status, reader, id, frame)
}

fn refuse(mut visit: Visit, refusal: Refusal, reader: Reader) -> Response<Answer> {
    visit.refuse(Refusal::CODE, refusal.status, Some(refusal.cause));
    let id = visit.subject().request_id.to_str().unwrap_or_default();
    pages::code(Refusal::CODE, refusal.status, reader, id, None)
}

fn away(mut visit: Visit, reader: Reader) -> Response<Answer> {
    visit.fail(Code::H99);
    pages::platform_away(reader)
}
