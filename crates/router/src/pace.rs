//! The tasks of HTTP/2 streams, each given up when its client takes nothing of the response.
//!
//! HTTP/2 lets a client hold back one stream while its socket is anything but full. Then nobody asks
//! the response's body for more, so neither the body's own limits nor `stall` see the silence.
//!
//! A stream that has become a tunnel goes on in a second task, which sends; the tunnel learns here that its client has
//! reset the stream, and resets it here itself.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Poll, ready};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::clock;

tokio::task_local! {
    static OFFER: Arc<Offer>;
}

/// Runs the streams of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streams;

/// The piece of a response that the client has not taken yet, as its body tells its stream's task.
#[derive(Debug)]
pub(crate) struct Offer {
    /// Until when it must be taken, [`clock::millis`]; [`NEVER`] while there is none.
    due: AtomicU64,
    refused: AtomicBool,
    /// The task that sends what a tunnel says has ended.
    sent: Notify,
    /// That task is to end without a goodbye.
    cut: Notify,
}

const NEVER: u64 = u64::MAX;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        // Begun by the task of a stream: it sends what a tunnel says.
        if let Some(offer) = Offer::current() {
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    () = offer.cut.notified() => {}
                    () = stream => {}
                }
                offer.sent.notify_one();
            });
            return;
        }
        let offer = Arc::new(Offer {
            due: AtomicU64::new(NEVER),
            refused: AtomicBool::new(false),
            sent: Notify::new(),
            cut: Notify::new(),
        });
        let stream = OFFER.scope(Arc::clone(&offer), stream);
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = stream => {}
                // Dropping the stream resets it.
                () = offer.lapsed() => {}
            }
        });
    }
}

impl Offer {
    /// That of the stream in whose task this is called; `None` outside of HTTP/2.
    pub(crate) fn current() -> Option<Arc<Offer>> {
        OFFER.try_with(Arc::clone).ok()
    }

    /// A piece was handed over, to be taken within `limit`.
    pub(crate) fn make(&self, limit: Duration) {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(NEVER);
        self.due
            .store(clock::millis().saturating_add(limit), Relaxed);
    }

    /// The client has it, or asks for one.
    pub(crate) fn taken(&self) {
        self.due.store(NEVER, Relaxed);
    }

    /// The client did not take it in time.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.load(Relaxed)
    }

    /// Of a tunnel: the client has reset the stream, or everything was said.
    pub(crate) async fn sent(&self) {
        self.sent.notified().await;
    }

    /// Of a tunnel: nothing more is said. Once the other half is dropped too, the client sees a reset and no end.
    pub(crate) fn cut(&self) {
        self.cut.notify_one();
    }

    /// Returns when the client has not taken a piece in time. To be polled after each poll of the
    /// stream, in the same task: nothing else wakes it when a piece is handed over.
    async fn lapsed(&self) {
        // Made when a client holds a stream back for the first time: most never do.
        let mut timer = None;
        poll_fn(|cx| {
            loop {
                let due = self.due.load(Relaxed);
                if due == NEVER {
                    return Poll::Pending;
                }
                let left = Duration::from_millis(due.saturating_sub(clock::millis()));
                if left.is_zero() {
                    self.refused.store(true, Relaxed);
                    return Poll::Ready(());
                }
                let timer = timer.get_or_insert_with(|| Box::pin(sleep(left)));
                timer.as_mut().reset(Instant::now() + left);
                ready!(timer.as_mut().poll(cx));
            }
        })
        .await;
    }
}
