//! After `101 Switching Protocols`: bytes both ways until one side ends it or both fall silent.
//!
//! A client that speaks HTTP/2 has a stream instead of a connection: its reset ends the tunnel at once, and what ends
//! the tunnel without a goodbye resets the stream.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;

use crate::access::Visit;
use crate::carrier::Held;
use crate::clock;
use crate::code::Code;
use crate::pace::Offer;
use crate::pipe;

/// Joins the two sides once both have switched; the record is closed at the end. `held` is the connection that switches
/// on the upstream's side. `stream`: the client's, on HTTP/2.
pub(crate) async fn run(
    client: OnUpgrade,
    upstream: OnUpgrade,
    held: Option<Held>,
    stream: Option<Arc<Offer>>,
    mut visit: Visit,
    idle: Option<Duration>,
) {
    if let Some(mut held) = held {
        held.detach();
    }
    let (client, upstream) = match tokio::try_join!(client, upstream) {
        Ok(sides) => sides,
        Err(error) => {
            tracing::debug!(%error, "A switch of protocols did not happen.");
            return;
        }
    };
    let last = Arc::new(AtomicU64::new(clock::millis()));
    let down = Arc::new(AtomicU64::new(0));
    let farewell = Arc::new(AtomicBool::new(false));
    let mut client = Side {
        io: TokioIo::new(client),
        last: Arc::clone(&last),
        read: Arc::new(AtomicU64::new(0)),
        closed: Arc::clone(&farewell),
    };
    let mut upstream = Side {
        io: TokioIo::new(upstream),
        last: Arc::clone(&last),
        read: Arc::clone(&down),
        closed: Arc::new(AtomicBool::new(false)),
    };
    let mut silence = false;
    let clean = tokio::select! {
        // Either side may go without a goodbye: that is how most WebSockets end.
        joined = pipe::join(&mut client, &mut upstream) => joined.is_ok(),
        () = reset(stream.as_deref(), &farewell) => false,
        () = silent(&last, idle) => {
            silence = true;
            false
        }
    };
    if let Some(stream) = &stream
        && !clean
    {
        stream.cut();
    }
    visit.add_bytes(usize::try_from(down.load(Relaxed)).unwrap_or(usize::MAX));
    if silence {
        visit.fail(Code::H15);
    } else {
        visit.succeed(101);
    }
}

/// Returns once the client has reset its stream; `farewell`: we have ended it ourselves.
async fn reset(stream: Option<&Offer>, farewell: &AtomicBool) {
    if let Some(stream) = stream {
        stream.sent().await;
        if !farewell.load(Relaxed) {
            return;
        }
    }
    std::future::pending().await
}

/// Returns once `last` lies `idle` in the past.
async fn silent(last: &AtomicU64, idle: Option<Duration>) {
    let Some(idle) = idle else {
        return std::future::pending().await;
    };
    loop {
        let quiet = Duration::from_millis(clock::millis().saturating_sub(last.load(Relaxed)));
        match idle.checked_sub(quiet) {
            Some(left) if !left.is_zero() => sleep(left).await,
            _ => return,
        }
    }
}

/// One side of a tunnel, noting when and how much it read, and that it was told the end.
pub(crate) struct Side<T> {
    pub(crate) io: T,
    pub(crate) last: Arc<AtomicU64>,
    pub(crate) read: Arc<AtomicU64>,
    pub(crate) closed: Arc<AtomicBool>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Side<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let side = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut side.io).poll_read(cx, buf);
        let count = buf.filled().len() - before;
        if count > 0 {
            side.read.fetch_add(count as u64, Relaxed);
            side.last.store(clock::millis(), Relaxed);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Side<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let side = self.get_mut();
        side.closed.store(true, Relaxed);
        Pin::new(&mut side.io).poll_shutdown(cx)
    }
}
