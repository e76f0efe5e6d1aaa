//! One attempt: a request handed to one connection, and the wait for the head of its response.
//!
//! Says precisely how it failed; whether to try again is not decided here.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use crate::alarm::Alarm;
use crate::carrier::{Carrier, Held};
use crate::clock;
use crate::code::Code;
use crate::shared;
use crate::upload::{Progress, Upload};

/// How long an upstream may be silent; `None` for ever.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) first_byte: Option<Duration>,
    pub(crate) idle: Option<Duration>,
}

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The connection was gone before a byte was sent: the request comes back untouched.
    NotSent(Box<Request<Upload>>),
    /// The connection ended after something was sent.
    Closed,
    /// The client sent more than the app takes.
    TooLarge,
    /// Nothing can make it better.
    Final(Code),
}

/// Sends `request` and waits for the head of the response. Gives the connection back while it lives.
pub(crate) async fn exchange(
    carrier: Carrier,
    request: Request<Upload>,
    patience: Patience,
) -> Result<(Response<Incoming>, Option<Held>), Fault> {
    let progress = request.body().progress();
    let begun = clock::millis();
    let (reply, held) = carrier.send(request);
    let mut reply = pin!(reply);
    let mut held = Some(held);
    let mut alarm = Alarm::take();
    loop {
        let look = look(progress.as_deref(), begun, patience);
        let overdue = poll_fn(|cx| match look {
            Some(at) => alarm.poll_at(cx, clock::at(at)),
            None => Poll::Pending,
        });
        let ended = poll_fn(|cx| match &mut held {
            Some(held) => held.poll_ended(cx),
            None => Poll::Pending,
        });
        tokio::select! {
            biased;
            // First, for it is what moves the request and its reply. The reply, if there is one, is there; if not, this
            // brings the request back.
            () = ended => {
                held = None;
                continue;
            }
            reply = &mut reply => {
                return match reply {
                    Ok(response) => Ok((response, held)),
                    Err(error) => {
                        let foreign = held.as_ref().is_some_and(Held::is_foreign);
                        Err(fault(error, progress.as_ref(), foreign))
                    }
                };
            }
            () = overdue => {}
        }
        // Bytes may have moved while we slept; only a deadline that still holds counts.
        if let Some((at, code)) = due(progress.as_deref(), begun, patience)
            && clock::millis() >= at
        {
            return Err(Fault::Final(code));
        }
    }
}

/// When to look at the deadline again. Nothing tells that an upload has ended, and from then on there is less time.
fn look(progress: Option<&Progress>, begun: u64, patience: Patience) -> Option<u64> {
    let (at, _) = due(progress, begun, patience)?;
    Some(match (progress, patience.first_byte) {
        (Some(progress), Some(limit)) if !progress.done() => at.min(after(clock::millis(), limit)),
        _ => at,
    })
}

/// The next deadline and what missing it means.
fn due(progress: Option<&Progress>, begun: u64, patience: Patience) -> Option<(u64, Code)> {
    match progress {
        Some(progress) if !progress.done() => {
            let code = if progress.is_waiting() {
                Code::H28
            } else {
                Code::H15
            };
            Some((after(progress.last(), patience.idle?), code))
        }
        Some(progress) => Some((after(progress.last(), patience.first_byte?), Code::H12)),
        None => Some((after(begun, patience.first_byte?), Code::H12)),
    }
}

fn after(from: u64, limit: Duration) -> u64 {
    from + limit.as_millis() as u64
}

fn fault(
    mut error: TrySendError<Request<Upload>>,
    progress: Option<&Arc<Progress>>,
    foreign: bool,
) -> Fault {
    if foreign {
        // Another connection would bring the same.
        return Fault::Final(Code::H17);
    }
    if let Some(request) = error.take_message() {
        return Fault::NotSent(Box::new(request));
    }
    if progress.is_some_and(|progress| progress.too_large()) {
        return Fault::TooLarge;
    }
    if progress.is_some_and(|progress| progress.broken()) {
        return Fault::Final(Code::H27);
    }
    let error = error.error();
    if error.is_parse_too_large() {
        return Fault::Final(Code::H25);
    }
    if error.is_parse() {
        return Fault::Final(Code::H17);
    }
    if shared::is_foreign(error) {
        return Fault::Final(Code::H17);
    }
    Fault::Closed
}
