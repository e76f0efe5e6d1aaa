//! The response's body on its way to the client, and the end of every request.
//!
//! When the body ends, the connection goes back to the pool and the record is closed; when it is
//! dropped early, the client has left.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_LENGTH, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use crate::access::Visit;
use crate::carrier::Held;
use crate::clock;
use crate::code::Code;
use crate::pace::Offer;
use crate::upload::Progress;

/// What the router sends to a client.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Of the router's own making; taken when sent.
    Page(Option<Bytes>),
    Relay(Box<Relay>),
}

/// A response under way.
#[derive(Debug)]
pub(crate) struct Relay {
    inner: Incoming,
    visit: Visit,
    status: u16,
    held: Option<Held>,
    upload: Option<Arc<Progress>>,
    idle: Option<Duration>,
    /// Where the stream's task learns what the client has to take, on HTTP/2.
    offer: Option<Arc<Offer>>,
    /// When the last bytes came, [`clock::millis`].
    last: u64,
    /// Made when the first wait begins: most responses never wait.
    timer: Option<Pin<Box<Sleep>>>,
    /// What ended it before its end, until the client's connection is told.
    broken: Option<RelayError>,
    ended: bool,
}

/// Why a response was cut off. The client sees its connection (or stream) reset.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    #[error("the upstream ended its response early")]
    Interrupted(#[source] hyper::Error),
    #[error("neither side sent anything for too long")]
    Idle,
}

/// Makes a page of the router's own the answer to HEAD: its length stays, and its text is not sent.
pub(crate) fn leave_out_page(response: &mut Response<Answer>) {
    if let Answer::Page(page) = response.body_mut()
        && let Some(page) = page.take()
    {
        let length = HeaderValue::from(page.len());
        response.headers_mut().insert(CONTENT_LENGTH, length);
    }
}

impl Relay {
    /// `held` is the connection the response comes over if it can be used again, `upload` the request's body if it had one.
    pub(crate) fn new(
        inner: Incoming,
        status: u16,
        visit: Visit,
        mut held: Option<Held>,
        upload: Option<Arc<Progress>>,
        idle: Option<Duration>,
    ) -> Relay {
        // A client may read nothing before all of its request is gone.
        if let Some(held) = &mut held
            && upload.as_ref().is_some_and(|upload| !upload.done())
        {
            held.detach();
        }
        Relay {
            inner,
            visit,
            status,
            held,
            upload,
            idle,
            offer: Offer::current(),
            last: clock::millis(),
            timer: None,
            broken: None,
            ended: false,
        }
    }

    /// The dyno's part is over and complete.
    fn finish(&mut self) {
        self.ended = true;
        self.visit.succeed(self.status);
        self.park();
    }

    /// Gives the connection back.
    fn park(&mut self) {
        let reusable = self.upload.as_ref().is_none_or(|upload| upload.done());
        if let (Some(held), Some(upstream)) = (self.held.take(), self.visit.upstream())
            && reusable
            && !upstream.is_retired()
        {
            held.park(&upstream.pool);
        }
    }

    /// Ends it early. The client's connection is told at the next poll: it closes at once and without what it has not yet
    /// sent, which may be the head.
    fn fail(&mut self, cx: &Context<'_>, code: Code, error: RelayError) {
        self.visit.fail(code);
        self.broken = Some(error);
        cx.waker().wake_by_ref();
    }

    /// Ready when neither side has sent anything for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(idle) = self.idle else {
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(idle)));
        loop {
            ready!(timer.as_mut().poll(cx));
            let uploaded = self.upload.as_ref().map_or(0, |upload| upload.last());
            let silent = clock::millis().saturating_sub(self.last.max(uploaded));
            match idle.checked_sub(Duration::from_millis(silent)) {
                Some(left) if !left.is_zero() => timer.as_mut().reset(Instant::now() + left),
                _ => return Poll::Ready(()),
            }
        }
    }

    /// What has come, else what comes when the connection moves.
    fn poll_inner(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        let Some(held) = self.held.as_mut().filter(|_| polled.is_pending()) else {
            return polled;
        };
        if held.poll_ended(cx).is_ready() {
            self.held = None;
        }
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        if let Some(error) = self.broken.take() {
            self.ended = true;
            return Poll::Ready(Some(Err(error)));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(offer) = &self.offer {
            offer.taken();
        }
        match self.poll_inner(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.visit.add_bytes(data.len());
                }
                self.last = clock::millis();
                if let (Some(offer), Some(idle)) = (&self.offer, self.idle) {
                    offer.make(idle);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                self.fail(cx, Code::H18, RelayError::Interrupted(error));
                Poll::Pending
            }
            Poll::Pending => {
                ready!(self.poll_idle(cx));
                self.fail(cx, Code::H15, RelayError::Idle);
                Poll::Pending
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if self.ended || self.broken.is_some() {
            return;
        }
        let complete = self.inner.is_end_stream();
        if complete {
            self.park();
        }
        if self.offer.as_ref().is_some_and(|offer| offer.is_refused()) {
            return;
        }
        // A body of known length is not asked for its end, and a stream without a promised length is
        // over when the client says so.
        if complete || self.inner.size_hint().upper().is_none() {
            self.visit.succeed(self.status);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        match self.get_mut() {
            Answer::Page(page) => Poll::Ready(page.take().map(|page| Ok(Frame::data(page)))),
            Answer::Relay(relay) => relay.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Answer::Page(page) => page.is_none(),
            Answer::Relay(relay) => relay.ended || relay.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Page(page) => {
                SizeHint::with_exact(page.as_ref().map_or(0, |page| page.len() as u64))
            }
            Answer::Relay(relay) => relay.inner.size_hint(),
        }
    }
}
