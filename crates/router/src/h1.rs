//! The ordinary exchange of HTTP/1.1: heads are read, rewritten and sent on as bytes, without a map of headers between.
//!
//! Serves a client's connection as long as its requests are ordinary (`h1/head.rs` says which are). The first that is not
//! leaves here with all that was read, for the path that knows everything; nothing is refused or repaired here. Which dyno
//! is asked, when it is asked again and what is counted are the same functions on both paths.

mod answer;
mod chunks;
mod client;
mod conduit;
mod flow;
pub(crate) mod fuzz;
mod head;
mod page;
mod pass;
mod pool;
mod rewrite;
mod room;
mod turn;
mod watch;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Method;
use http::uri::PathAndQuery;
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_util::io::poll_read_buf;

pub(crate) use self::client::Client;
pub(crate) use self::pool::Pool;

use self::flow::Up;
use self::head::{Kind, Verdict};
use self::turn::{Asked, Seat, Turn};
use crate::access::{Subject, Visit};
use crate::alarm::Alarm;
use crate::challenge;
use crate::clock;
use crate::pages::Reader;
use crate::proxy;
use crate::request::{self, Peer};
use crate::router::Router;
use crate::table::Route;

/// Longest wait for a client of TLS to take the word that the connection ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// What came of a wait for a request.
enum Come {
    Ordinary(Box<Asked>),
    /// For the other path.
    Odd,
    /// The connection is over.
    Over,
}

/// What was read of a request that is not ordinary.
#[derive(Debug)]
pub(crate) struct Odd {
    pub(crate) bytes: Vec<u8>,
    /// No other came before it.
    pub(crate) is_first: bool,
}

/// How long a client is waited for once the router stops.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// When it has asked for nothing yet.
    pub(crate) last_call: Duration,
    /// When another router accepts.
    pub(crate) last_request: Duration,
}

/// Serves the ordinary requests of a connection. What was read of the first other one, or `None` when the connection is
/// over.
pub(crate) async fn serve<S>(
    router: &Arc<Router>,
    peer: &Peer,
    stream: &mut S,
    patience: Patience,
) -> Option<Odd>
where
    S: Client,
{
    let mut alarm = Alarm::take();
    let mut input = Vec::new();
    let mut stopped = None;
    let mut served = false;
    loop {
        let begun = Instant::now();
        let due = begun + router.limits.header;
        let mut looked = 0;
        let come = poll_fn(|cx| {
            loop {
                if input.len() > looked {
                    let is_worth_it = turn::is_worth_a_look(&input, looked);
                    looked = input.len();
                    match is_worth_it.then(|| look(router, peer, &input)).flatten() {
                        Some(come) => return Poll::Ready(come),
                        None if looked > router.limits.head => return Poll::Ready(Come::Odd),
                        None => {}
                    }
                }
                match poll_read(cx, stream, &mut input) {
                    Poll::Ready(true) => {}
                    Poll::Ready(false) => return Poll::Ready(Come::Over),
                    Poll::Pending => break,
                }
            }
            // The task of a connection is woken when the router stops.
            if stopped.is_none() && router.is_stopping.load(Relaxed) {
                let patience = match (router.succeeded.load(Relaxed), served) {
                    (true, _) => patience.last_request,
                    (false, true) => Duration::ZERO,
                    (false, false) => patience.last_call,
                };
                stopped = Some(Instant::now() + patience);
            }
            let stopped = stopped.filter(|_| input.is_empty());
            let due = stopped.map_or(due, |stopped| stopped.min(due));
            alarm.poll_at(cx, due).map(|()| Come::Over)
        })
        .await;
        let asked = match come {
            Come::Ordinary(asked) => asked,
            Come::Odd => return Some(odd(input, served)),
            Come::Over => break,
        };
        let seat = Seat {
            router,
            client: stream,
            input: &mut input,
            alarm: &mut alarm,
        };
        match seat.serve(asked).await {
            Turn::Next => served = true,
            Turn::Last => break,
            Turn::Odd => return Some(odd(input, served)),
        }
    }
    room::give_up(&mut input);
    if peer.https {
        // A client that reads nothing is told nothing.
        let _ = timeout(FAREWELL, stream.shutdown()).await;
    }
    None
}

fn odd(bytes: Vec<u8>, served: bool) -> Odd {
    Odd {
        bytes,
        is_first: !served,
    }
}

/// Reads what is there; ready with whether it was anything. While nothing is, no buffer is held.
fn poll_read<S: AsyncRead + Unpin>(
    cx: &mut Context<'_>,
    stream: &mut S,
    input: &mut Vec<u8>,
) -> Poll<bool> {
    if input.capacity() == 0 {
        *input = room::small();
    }
    if input.len() == input.capacity() {
        input.reserve(room::SMALL);
    }
    let polled = poll_read_buf(Pin::new(stream), cx, input);
    if polled.is_pending() && input.is_empty() {
        room::give_up(input);
    }
    polled.map(|read| read.is_ok_and(|count| count > 0))
}

/// Looks whether the head of a request is there, and what it is.
fn look(router: &Arc<Router>, peer: &Peer, input: &[u8]) -> Option<Come> {
    let mut headers = head::room();
    let head = match head::read(input, &mut headers) {
        Verdict::Partial => return None,
        Verdict::Odd => return Some(Come::Odd),
        Verdict::Ordinary(head) => head,
    };
    Some(match admit(router, peer, input, &head) {
        Some(asked) => Come::Ordinary(Box::new(asked)),
        None => Come::Odd,
    })
}

/// The request as it goes on, if nothing but a dyno of the app is asked about it.
fn admit(
    router: &Arc<Router>,
    peer: &Peer,
    came: &[u8],
    head: &head::Head<'_, '_>,
) -> Option<Asked> {
    let limits = &router.limits;
    // Two spaces, `HTTP/1.1` and the line's end.
    let line = head.method.len() + head.target.len() + 12;
    if line > limits.request_line || head.size > limits.head || head.headers.len() > limits.headers
    {
        return None;
    }
    let subject = subject(head, peer)?;
    let host = &subject.host;
    if head.target.starts_with(challenge::FOLDER) || proxy::is_misdirected(router, peer, host) {
        return None;
    }
    let Ok(Some(Route::App(app))) = router.tables.look(host) else {
        return None;
    };
    let asks = app.edge.is_some() || app.session_affinity || app.maintenance;
    if asks || app.upstreams.is_empty() || !turn::is_plain(&app) {
        return None;
    }
    let mut bytes = Vec::with_capacity(room::HEAD);
    rewrite::request(&mut bytes, came, head, &subject, peer);
    let repeatable = head.length == 0 && request::is_idempotent(&subject.method);
    let is_head = subject.method == Method::HEAD;
    let tally = Some(Arc::clone(&app.tally));
    let visit = Visit::begin(Arc::clone(router), tally, subject);
    Some(Asked {
        app,
        visit,
        up: Up {
            bytes,
            sent: 0,
            left: head.length,
            begun: false,
            refused: false,
            waiting: false,
            last: clock::millis(),
        },
        size: head.size,
        is_head,
        repeatable,
        close: head.close,
        cold_start: None,
        reader: Reader::who_accepts(head.accept.and_then(request::visible)),
    })
}

/// What the record of a request needs of its head, unless the other path would read it otherwise.
fn subject(head: &head::Head<'_, '_>, peer: &Peer) -> Option<Subject> {
    let forwarded = head
        .headers
        .iter()
        .filter(|header| Kind::of(header.name) == Kind::ForwardedFor);
    Some(Subject {
        method: Method::from_bytes(head.method.as_bytes()).ok()?,
        path: PathAndQuery::try_from(head.target).ok()?,
        host: request::host_of(head.host).ok()?,
        request_id: request::request_id(head.request_id),
        forwarded_for: request::forwarded_for(forwarded.map(|header| header.value), peer.ip),
        https: peer.https,
    })
}
