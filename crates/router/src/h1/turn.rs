//! One ordinary exchange: a dyno is chosen, asked, and its answer passed on, by the rules of `proxy`.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use super::answer::{self, Answer as Came};
use super::client::Client;
use super::flow::{Body, Down, ROUNDS, Up};
use super::pool::Open;
use super::rewrite::{self, Besides};
use super::room;
use super::watch::{poll_gone, watched};
use crate::access::Visit;
use crate::alarm::Alarm;
use crate::canary::Side;
use crate::clock;
use crate::code::Code;
use crate::health::Event;
use crate::hold::Hold;
use crate::line;
use crate::pages::Reader;
use crate::pool::{self, Address, BUFFER, ConnectError};
use crate::proxy::{self, ATTEMPTS};
use crate::router::Router;
use crate::table::App;
use crate::upstream::Upstream;
use ropewalk_api_types::router::DynoProtocol;

/// An ordinary request whose head is read.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) app: Arc<App>,
    pub(crate) visit: Visit,
    /// With the head for the dyno.
    pub(crate) up: Up,
    pub(crate) is_head: bool,
    /// Bytes of the head, which stay where they came until there is a connection to send it on.
    pub(crate) size: usize,
    /// Sending it twice does no harm.
    pub(crate) repeatable: bool,
    /// It is the connection's last.
    pub(crate) close: bool,
    /// For how long it waited for its app to wake, in ms.
    pub(crate) cold_start: Option<u64>,
    /// Who reads a page of the router's own.
    pub(crate) reader: Reader,
}

/// What a turn has of its client's connection.
pub(crate) struct Seat<'a, S> {
    pub(crate) router: &'a Arc<Router>,
    pub(crate) client: &'a mut S,
    /// What came behind the head.
    pub(crate) input: &'a mut Vec<u8>,
    pub(crate) alarm: &'a mut Alarm,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection to the dyno ended.
    Closed,
    /// Nothing can make it better.
    Final(Code),
    /// There is nobody to be answered.
    Gone,
    /// Before anything was sent the app's dynos became such as the other path alone can ask.
    Odd,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The client may send another request.
    Next,
    /// The connection is over.
    Last,
    /// Nothing was done, and the request lies where it came: it is for the other path.
    Odd,
}

impl Turn {
    pub(crate) fn last_if(last: bool) -> Turn {
        if last { Turn::Last } else { Turn::Next }
    }
}

impl<S: Client> Seat<'_, S> {
    /// Serves the request.
    pub(crate) async fn serve(mut self, mut asked: Box<Asked>) -> Turn {
        let mut down = Down::new();
        let turn = match self.ask(&mut asked, &mut down).await {
            Ok(open) => self.pass_on(asked, &mut down, open).await,
            Err(Fault::Final(code)) => self.fail(asked, code, &mut down).await,
            Err(Fault::Gone | Fault::Closed) => Turn::Last,
            Err(Fault::Odd) => {
                asked.visit.withdraw();
                Turn::Odd
            }
        };
        room::give_up(&mut down.input);
        room::give_up(&mut down.out);
        turn
    }

    /// Asks dynos until one answers; then its head, for the client, lies in `down`.
    async fn ask(&mut self, asked: &mut Asked, down: &mut Down) -> Result<Open, Fault> {
        let router = self.router;
        let limits = &router.limits;
        let mut hold = Hold::new(asked.app.hold(limits.boot));
        let mut in_line = line::Patience::new(limits.line);
        let mut tried: Vec<Arc<Upstream>> = Vec::new();
        let mut fault = Code::H99;
        let mut returned = 0;
        let mut reuse = true;
        loop {
            // Behind it lies what is for later, or of a body, for which nobody has asked yet.
            let size = asked.size;
            let watches = asked.up.left == 0;
            let at_once = match tried.is_empty() {
                true => proxy::choose_at_once(&asked.app),
                false => None,
            };
            let place = match at_once {
                Some(place) => place,
                None => {
                    // In a box, as all that is seldom: the task is as large as its largest wait.
                    let chosen = Box::pin(proxy::choose(
                        router,
                        &mut asked.app,
                        Side::Own,
                        &tried,
                        &[],
                        &mut hold,
                        &mut in_line,
                    ));
                    match watched(chosen, self.client, self.input, size, watches).await? {
                        Ok(Some(place)) if tried.len() < ATTEMPTS => {
                            asked.cold_start = hold.cold_start();
                            place
                        }
                        Ok(_) => return Err(Fault::Final(fault)),
                        Err(code) => return Err(Fault::Final(code)),
                    }
                }
            };
            let upstream = Arc::clone(place.upstream());
            if !is_plain(&asked.app) {
                return Err(match asked.size {
                    0 => Fault::Final(Code::H13),
                    _ => Fault::Odd,
                });
            }
            asked.visit.occupy(place);
            let max_idle = match asked.repeatable {
                true => limits.pool_idle,
                false => limits.pool_idle_unrepeatable,
            };
            let pooled = reuse.then(|| upstream.bare.checkout(max_idle)).flatten();
            let reused = pooled.is_some();
            let mut open = match pooled {
                Some(open) => {
                    asked.visit.connected(0);
                    open
                }
                None => {
                    let connected = Box::pin(connect(router, &asked.app, &upstream, tried.len()));
                    let begun = clock::millis();
                    let connected =
                        watched(connected, self.client, self.input, size, watches).await?;
                    asked.visit.connected(clock::millis() - begun);
                    match connected {
                        Ok(open) => open,
                        Err(error) => {
                            fault = proxy::unreached(router, &asked.app, &upstream, &error);
                            tried.push(upstream);
                            continue;
                        }
                    }
                }
            };
            if upstream.is_retired() {
                // It left the table while we connected. Nothing was sent: look again.
                continue;
            }
            // The dyno's time begins now, however long a place was waited for.
            asked.up.last = asked.visit.sending();
            if asked.size > 0 {
                self.forget(asked.size);
                asked.size = 0;
                asked.up.take(self.input);
            }
            let got = poll_fn(|cx| self.poll_head(cx, asked, down, &mut open)).await;
            match got {
                Ok(()) => return Ok(open),
                Err(Fault::Closed) if !asked.up.begun && returned < ATTEMPTS => returned += 1,
                Err(Fault::Closed) if reused && asked.repeatable => {}
                Err(Fault::Closed) => {
                    asked.app.observe(&upstream, Event::Failed);
                    let cut = asked.up.left > 0;
                    return Err(Fault::Final(if cut { Code::H18 } else { Code::H13 }));
                }
                Err(Fault::Final(code)) => {
                    if code.is_of_the_dyno() {
                        asked.app.observe(&upstream, Event::Failed);
                    }
                    return Err(Fault::Final(code));
                }
                Err(fault) => return Err(fault),
            }
            // The idle connection was dead; others may be, so the next one is new.
            router.counters.retries.fetch_add(1, Relaxed);
            reuse = false;
            asked.up.sent = 0;
            asked.up.begun = false;
            asked.up.refused = false;
            down.interim = 0;
            down.input.clear();
        }
    }

    /// The head is on its way.
    pub(crate) fn forget(&mut self, size: usize) {
        match size == self.input.len() {
            true => self.input.clear(),
            false => drop(self.input.drain(..size)),
        }
    }

    /// Sends the request until the head of its answer is there.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        asked: &mut Asked,
        down: &mut Down,
        open: &mut Open,
    ) -> Poll<Result<(), Fault>> {
        let up = &mut asked.up;
        if let Poll::Ready(Err(_)) = up.poll(cx, self.client, self.input, &mut open.stream) {
            return Poll::Ready(Err(Fault::Final(Code::H27)));
        }
        if asked.up.refused && !asked.up.begun {
            // What it says is no answer to this.
            return Poll::Ready(Err(Fault::Closed));
        }
        let (at, code) = self.due(&asked.up);
        let mut rounds = 0;
        loop {
            if rounds == ROUNDS {
                // A dyno that has always more to say leaves no timer its turn.
                if clock::millis() >= at {
                    return Poll::Ready(Err(Fault::Final(code)));
                }
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            rounds += 1;
            let before = down.input.len();
            match down.poll_input(cx, &mut open.stream) {
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(_) => return Poll::Ready(Err(Fault::Closed)),
                Poll::Pending => break,
            }
            // A head beyond its limit need not have a line's end.
            if (is_worth_a_look(&down.input, before) || down.input.len() > BUFFER)
                && let Some(come) = self.look(asked, down)
            {
                return Poll::Ready(come);
            }
        }
        if self.poll_gone(cx, &asked.up).is_ready() {
            return Poll::Ready(Err(Fault::Gone));
        }
        match self.alarm.poll_at(cx, clock::at(at)) {
            Poll::Ready(()) => Poll::Ready(Err(Fault::Final(code))),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Until when the answer's head is waited for, and what it is called when it has not come, [`clock::millis`].
    fn due(&self, up: &Up) -> (u64, Code) {
        let limits = &self.router.limits;
        match (up.left > 0, up.waiting) {
            (true, true) => (after(up.last, limits.idle), Code::H28),
            (true, false) => (after(up.last, limits.idle), Code::H15),
            (false, _) => (after(up.last, limits.first_byte), Code::H12),
        }
    }

    /// Looks whether the head of the answer is there; then puts the client's in its place.
    fn look(&self, asked: &mut Asked, down: &mut Down) -> Option<Result<(), Fault>> {
        loop {
            if down.input.is_empty() {
                return None;
            }
            let mut room = answer::room();
            let reply = match answer::read(&down.input, &mut room, asked.is_head) {
                Came::Partial => return None,
                Came::Bad(code) => return Some(Err(Fault::Final(code))),
                Came::Interim(size) => {
                    down.input.drain(..size);
                    down.interim += size;
                    if down.interim > BUFFER {
                        return Some(Err(Fault::Final(Code::H25)));
                    }
                    continue;
                }
                Came::Final(reply) => reply,
            };
            let event = match reply.status >= 500 && reply.status < 600 || reply.grpc_failed {
                true => Event::Failed,
                false => Event::Answered,
            };
            if let Some(upstream) = asked.visit.upstream() {
                asked.app.observe(upstream, event);
            }
            asked.close |= self.router.is_stopping.load(Relaxed);
            let https = asked.visit.subject().https;
            let mut out = room::small();
            let besides = Besides {
                alt_svc: self.router.alt_svc.as_ref().filter(|_| https),
                close: asked.close,
                is_head: asked.is_head,
                cold_start: asked.cold_start,
            };
            rewrite::answer(&mut out, &down.input, &reply, besides);
            let (size, status, keeps) = (reply.size, reply.status, reply.keep_alive);
            down.body = Body::from(reply.framing);
            down.out = out;
            down.status = status;
            // Nobody asked to switch, so nobody knows what is spoken now.
            asked.close |= status == 101;
            down.keeps = keeps;
            match size == down.input.len() {
                true => down.input.clear(),
                false => drop(down.input.drain(..size)),
            }
            down.last = clock::millis();
            down.open_ended = matches!(down.body, Body::Chunked(_) | Body::Close);
            if down.digest().is_err() {
                down.cut = true;
            }
            return Some(Ok(()));
        }
    }

    /// Ready when the client has left. What it sends meanwhile is for later, and ends the look.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>, up: &Up) -> Poll<()> {
        if up.left > 0 || !self.input.is_empty() {
            return Poll::Pending;
        }
        poll_gone(cx, self.client, self.input)
    }
}

async fn connect(
    router: &Router,
    app: &App,
    upstream: &Arc<Upstream>,
    tried: usize,
) -> Result<Open, ConnectError> {
    let Address::Tcp(address) = &upstream.address else {
        let error = std::io::ErrorKind::Unsupported.into();
        return Err(ConnectError::Refused(error));
    };
    let limit = proxy::connect_limit(router, app, tried);
    let connected = pool::within(limit, pool::tcp(address)).await;
    let counter = match &connected {
        Ok(_) => &router.counters.connects,
        Err(_) => &router.counters.connect_failures,
    };
    counter.fetch_add(1, Relaxed);
    let open = Open::new(connected?);
    app.observe(upstream, Event::Connected);
    Ok(open)
}

/// Whether a head may have ended with what came behind the first `before` bytes; a first look is always worth it.
pub(crate) fn is_worth_a_look(input: &[u8], before: usize) -> bool {
    let news = input.get(before..).unwrap_or_default();
    before == 0 || news.contains(&b'\n')
}

/// Whether the app's dynos are asked by HTTP/1.1, over TCP.
pub(crate) fn is_plain(app: &App) -> bool {
    app.protocol == DynoProtocol::Http1
        && app
            .upstreams
            .iter()
            .all(|upstream| matches!(upstream.address, Address::Tcp(_)))
}

pub(crate) fn after(from: u64, limit: Duration) -> u64 {
    from + limit.as_millis() as u64
}
