//! The request's body on its way to the dyno.
//!
//! Streams, never buffers. Notes how far the client got, because the time a dyno has for its first
//! byte begins only when it has the whole request.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::clock;
use crate::http3;

/// What the router sends to an upstream.
#[derive(Debug, Default)]
pub(crate) enum Upload {
    /// No body: such a request can be sent twice.
    #[default]
    Empty,
    Stream {
        inner: Client,
        progress: Arc<Progress>,
        /// Bytes that may still come.
        left: u64,
    },
}

/// A request's body as its client sends it.
#[derive(Debug)]
pub(crate) enum Client {
    /// HTTP/1 and 2.
    Tcp(Incoming),
    /// HTTP/3.
    Quic(Box<http3::Body>),
}

/// Why a client's body broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(transparent)]
    Tcp(#[from] hyper::Error),
    #[error(transparent)]
    Quic(#[from] http3::BodyError),
}

/// Why a body ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("the client ended its request early")]
    Client(#[source] ClientError),
    #[error("the client sent more than the app takes")]
    TooLarge,
}

/// How far the client's body got; shared with whoever waits for the response.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    started: AtomicBool,
    done: AtomicBool,
    broken: AtomicBool,
    too_large: AtomicBool,
    /// The router wants more of the body and the client has not sent it.
    waiting: AtomicBool,
    /// When the last bytes came, [`clock::millis`].
    last: AtomicU64,
}

impl Upload {
    /// `most`: bytes that may come, if the client has not said how many do.
    pub(crate) fn new(inner: Client, most: Option<u64>) -> Upload {
        if inner.is_end_stream() {
            return Upload::Empty;
        }
        let progress = Arc::new(Progress::default());
        progress.last.store(clock::millis(), Relaxed);
        Upload::Stream {
            inner,
            progress,
            left: most.unwrap_or(u64::MAX),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Upload::Empty)
    }

    pub(crate) fn progress(&self) -> Option<Arc<Progress>> {
        match self {
            Upload::Empty => None,
            Upload::Stream { progress, .. } => Some(Arc::clone(progress)),
        }
    }
}

impl Progress {
    /// Some of the body has been asked for, so it cannot be sent to another dyno any more.
    pub(crate) fn started(&self) -> bool {
        self.started.load(Relaxed)
    }

    /// The whole body was handed over.
    pub(crate) fn done(&self) -> bool {
        self.done.load(Relaxed)
    }

    /// The client's side ended in an error.
    pub(crate) fn broken(&self) -> bool {
        self.broken.load(Relaxed)
    }

    /// More came than the app takes.
    pub(crate) fn too_large(&self) -> bool {
        self.too_large.load(Relaxed)
    }

    /// Whether it is the client that keeps everybody waiting.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Relaxed)
    }

    /// When the last bytes came, [`clock::millis`].
    pub(crate) fn last(&self) -> u64 {
        self.last.load(Relaxed)
    }
}

impl Body for Client {
    type Data = Bytes;
    type Error = ClientError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientError>>> {
        match self.get_mut() {
            Client::Tcp(body) => Pin::new(body).poll_frame(cx).map_err(ClientError::from),
            Client::Quic(body) => Pin::new(body.as_mut())
                .poll_frame(cx)
                .map_err(ClientError::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Client::Tcp(body) => body.is_end_stream(),
            Client::Quic(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Client::Tcp(body) => body.size_hint(),
            Client::Quic(body) => body.size_hint(),
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let Upload::Stream {
            inner,
            progress,
            left,
        } = self.get_mut()
        else {
            return Poll::Ready(None);
        };
        progress.started.store(true, Relaxed);
        let polled = Pin::new(&mut *inner).poll_frame(cx);
        match &polled {
            Poll::Pending => {
                progress.waiting.store(true, Relaxed);
                return Poll::Pending;
            }
            Poll::Ready(Some(Err(_))) => progress.broken.store(true, Relaxed),
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match left.checked_sub(length) {
                    Some(rest) => *left = rest,
                    None => {
                        progress.too_large.store(true, Relaxed);
                        return Poll::Ready(Some(Err(UploadError::TooLarge)));
                    }
                }
            }
            Poll::Ready(None) => {}
        }
        progress.waiting.store(false, Relaxed);
        progress.last.store(clock::millis(), Relaxed);
        let is_last = match &polled {
            Poll::Ready(Some(Ok(frame))) => frame.is_trailers(),
            polled => matches!(polled, Poll::Ready(None)),
        };
        if is_last || inner.is_end_stream() {
            progress.done.store(true, Relaxed);
        }
        polled.map_err(UploadError::Client)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Upload::Empty => true,
            Upload::Stream { inner, .. } => inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Upload::Empty => SizeHint::with_exact(0),
            Upload::Stream { inner, .. } => inner.size_hint(),
        }
    }
}
