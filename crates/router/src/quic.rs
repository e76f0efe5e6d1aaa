//! Streams of a QUIC connection in the form that the HTTP/3 library wants, with what it lacks: bounds on what it holds of
//! a stream, a reset where an answer is given up, and word of a client that takes back its request.
//!
//! Knows neither requests nor answers.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use quinn::{ConnectionError, ReadError, StoppedError, VarInt, WriteError};

use crate::frames::Frames;

/// Bytes read of a stream at once.
const CHUNK: usize = 16 * 1024;

type Waiting<T> = Pin<Box<dyn Future<Output = Result<T, ConnectionError>> + Send>>;

/// A client's connection.
pub(crate) struct Connection {
    opener: Opener,
    requests: Option<Waiting<(quinn::SendStream, quinn::RecvStream)>>,
    one_way: Option<Waiting<quinn::RecvStream>>,
    newest: Arc<Mutex<Option<Line>>>,
    /// Most bytes of a frame that is held.
    most: u64,
}

/// The client's newest request, as seen from below the library.
#[derive(Debug, Clone)]
pub(crate) struct Newest(Arc<Mutex<Option<Line>>>);

/// What the library does not tell of a request's stream.
pub(crate) struct Line {
    answered: Arc<AtomicBool>,
    stopped: Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>> + Send>>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

impl Newest {
    /// To be called once for each request that the library brings.
    pub(crate) fn take(&self) -> Option<Line> {
        lock(&self.0).take()
    }
}

impl Line {
    /// From here on a stream that is dropped before its end is reset: it must not look like a whole answer.
    pub(crate) fn answers(&self) {
        self.answered.store(true, Relaxed);
    }

    /// Returns when the client has all of the answer, wants no more of it, or is gone.
    pub(crate) async fn stopped(&mut self) {
        let _ = poll_fn(|cx| self.stopped.as_mut().poll(cx)).await;
    }
}

impl Connection {
    /// `most`: bytes of a frame, but for DATA, that is held.
    pub(crate) fn new(connection: quinn::Connection, most: u64) -> (Connection, Newest) {
        let newest = Arc::new(Mutex::new(None));
        let own = Connection {
            opener: Opener {
                connection,
                opening: None,
            },
            requests: None,
            one_way: None,
            newest: Arc::clone(&newest),
            most,
        };
        (own, Newest(newest))
    }
}

impl quic::Connection<Bytes> for Connection {
    type RecvStream = Receiver;
    type OpenStreams = Opener;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Receiver, ConnectionErrorIncoming>> {
        let connection = &self.opener.connection;
        let waiting = self.one_way.get_or_insert_with(|| {
            let connection = connection.clone();
            Box::pin(async move { connection.accept_uni().await })
        });
        let accepted = ready!(waiting.as_mut().poll(cx));
        self.one_way = None;
        let stream = accepted.map_err(of_connection)?;
        Poll::Ready(Receiver::new(stream, Frames::of_one_way(self.most)))
    }

    fn poll_accept_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Both, ConnectionErrorIncoming>> {
        let connection = &self.opener.connection;
        let waiting = self.requests.get_or_insert_with(|| {
            let connection = connection.clone();
            Box::pin(async move { connection.accept_bi().await })
        });
        let accepted = ready!(waiting.as_mut().poll(cx));
        self.requests = None;
        let (send, receive) = accepted.map_err(of_connection)?;
        let answered = Arc::new(AtomicBool::new(false));
        *lock(&self.newest) = Some(Line {
            answered: Arc::clone(&answered),
            stopped: Box::pin(send.stopped()),
        });
        Poll::Ready(Ok(Both {
            send: Sender::new(send, Some(answered))?,
            receive: Receiver::new(receive, Frames::of_request(self.most))?,
        }))
    }

    fn opener(&self) -> Opener {
        Opener {
            connection: self.opener.connection.clone(),
            opening: None,
        }
    }
}

impl quic::OpenStreams<Bytes> for Connection {
    type BidiStream = Both;
    type SendStream = Sender;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Both, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Sender, StreamErrorIncoming>> {
        self.opener.poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.opener.close(code, reason);
    }
}

/// Opens the few streams that a server opens.
pub(crate) struct Opener {
    connection: quinn::Connection,
    opening: Option<Waiting<quinn::SendStream>>,
}

impl quic::OpenStreams<Bytes> for Opener {
    type BidiStream = Both;
    type SendStream = Sender;

    /// A server of HTTP/3 opens none in both directions (RFC 9114, 6.1).
    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<Both, StreamErrorIncoming>> {
        let error = std::io::Error::from(std::io::ErrorKind::Unsupported);
        Poll::Ready(Err(StreamErrorIncoming::Unknown(Box::new(error))))
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Sender, StreamErrorIncoming>> {
        let connection = &self.connection;
        let opening = self.opening.get_or_insert_with(|| {
            let connection = connection.clone();
            Box::pin(async move { connection.open_uni().await })
        });
        let opened = ready!(opening.as_mut().poll(cx));
        self.opening = None;
        let sender = opened
            .map_err(of_connection)
            .and_then(|stream| Sender::new(stream, None));
        Poll::Ready(sender.map_err(|connection_error| {
            StreamErrorIncoming::ConnectionErrorIncoming { connection_error }
        }))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.connection.close(number(code.value()), reason);
    }
}

/// A request's stream.
pub(crate) struct Both {
    send: Sender,
    receive: Receiver,
}

impl quic::BidiStream<Bytes> for Both {
    type SendStream = Sender;
    type RecvStream = Receiver;

    fn split(self) -> (Sender, Receiver) {
        (self.send, self.receive)
    }
}

impl quic::RecvStream for Both {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        let polled = self.receive.poll_data(cx);
        if let Poll::Ready(Err(error)) = &polled {
            // Nobody will answer it.
            let too_much = Code::H3_EXCESSIVE_LOAD.value();
            let code = match error {
                StreamErrorIncoming::StreamTerminated { error_code } if *error_code == too_much => {
                    too_much
                }
                _ => Code::H3_REQUEST_INCOMPLETE.value(),
            };
            quic::SendStream::<Bytes>::reset(&mut self.send, code);
        }
        polled
    }

    fn stop_sending(&mut self, code: u64) {
        self.receive.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.receive.recv_id()
    }
}

impl quic::SendStream<Bytes> for Both {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_finish(cx)
    }

    fn reset(&mut self, code: u64) {
        self.send.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.send.send_id()
    }
}

/// What goes to the client.
pub(crate) struct Sender {
    id: StreamId,
    stream: quinn::SendStream,
    writing: Option<WriteBuf<Bytes>>,
    /// Whether an answer has begun, of a request; what the library says by itself ends when it is dropped.
    answered: Option<Arc<AtomicBool>>,
    ended: bool,
}

impl Sender {
    fn new(
        stream: quinn::SendStream,
        answered: Option<Arc<AtomicBool>>,
    ) -> Result<Sender, ConnectionErrorIncoming> {
        Ok(Sender {
            id: id(stream.id())?,
            stream,
            writing: None,
            answered,
            ended: false,
        })
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let begun = self.answered.as_ref().is_some_and(|it| it.load(Relaxed));
        if begun && !self.ended {
            // quinn would end it as if that were all.
            let code = number(Code::H3_INTERNAL_ERROR.value());
            let _ = self.stream.reset(code);
        }
    }
}

impl quic::SendStream<Bytes> for Sender {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        if let Some(data) = &mut self.writing {
            while data.has_remaining() {
                let written = Pin::new(&mut self.stream).poll_write(cx, data.chunk());
                data.advance(ready!(written).map_err(of_write)?);
            }
        }
        self.writing = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if self.writing.is_some() {
            let text = "sent before the last was gone".to_owned();
            return Err(StreamErrorIncoming::ConnectionErrorIncoming {
                connection_error: ConnectionErrorIncoming::InternalError(text),
            });
        }
        self.writing = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.ended = true;
        let finished = self.stream.finish();
        Poll::Ready(finished.map_err(|error| StreamErrorIncoming::Unknown(Box::new(error))))
    }

    fn reset(&mut self, code: u64) {
        self.ended = true;
        let _ = self.stream.reset(number(code));
    }

    fn send_id(&self) -> StreamId {
        self.id
    }
}

/// What comes from the client.
pub(crate) struct Receiver {
    id: StreamId,
    stream: quinn::RecvStream,
    frames: Frames,
    /// Read, and not yet handed over.
    read: BytesMut,
    ended: bool,
}

impl Receiver {
    fn new(stream: quinn::RecvStream, frames: Frames) -> Result<Receiver, ConnectionErrorIncoming> {
        Ok(Receiver {
            id: id(stream.id())?,
            stream,
            frames,
            read: BytesMut::new(),
            ended: false,
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if !self.ended {
            // The answer does not need the rest (RFC 9114, 4.1).
            let _ = self.stream.stop(number(Code::H3_NO_ERROR.value()));
        }
    }
}

impl quic::RecvStream for Receiver {
    type Buf = Bytes;

    /// One piece at a time: the library holds all that it is given, and asks once for each piece that it gives away.
    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        if self.read.is_empty() {
            self.read.resize(CHUNK, 0);
            let polled = self.stream.poll_read(cx, &mut self.read);
            self.read.truncate(match &polled {
                Poll::Ready(Ok(count)) => *count,
                _ => 0,
            });
            if polled.is_pending() {
                // Most streams wait, and need no room for it.
                self.read = BytesMut::new();
            }
            match ready!(polled) {
                Ok(0) => {
                    self.ended = true;
                    return Poll::Ready(Ok(None));
                }
                Ok(_) => {}
                Err(error) => {
                    self.ended = true;
                    return Poll::Ready(Err(of_read(error)));
                }
            }
        }
        match self.frames.piece(&self.read) {
            Ok(length) => Poll::Ready(Ok(Some(self.read.split_to(length).freeze()))),
            Err(_) => {
                let error_code = Code::H3_EXCESSIVE_LOAD.value();
                self.stop_sending(error_code);
                Poll::Ready(Err(StreamErrorIncoming::StreamTerminated { error_code }))
            }
        }
    }

    fn stop_sending(&mut self, code: u64) {
        self.ended = true;
        let _ = self.stream.stop(number(code));
    }

    fn recv_id(&self) -> StreamId {
        self.id
    }
}

fn of_connection(error: ConnectionError) -> ConnectionErrorIncoming {
    match error {
        ConnectionError::ApplicationClosed(close) => ConnectionErrorIncoming::ApplicationClose {
            error_code: close.error_code.into_inner(),
        },
        ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        error => ConnectionErrorIncoming::Undefined(Arc::new(error)),
    }
}

fn of_read(error: ReadError) -> StreamErrorIncoming {
    match error {
        ReadError::Reset(code) => StreamErrorIncoming::StreamTerminated {
            error_code: code.into_inner(),
        },
        ReadError::ConnectionLost(error) => StreamErrorIncoming::ConnectionErrorIncoming {
            connection_error: of_connection(error),
        },
        error => StreamErrorIncoming::Unknown(Box::new(error)),
    }
}

fn of_write(error: WriteError) -> StreamErrorIncoming {
    match error {
        WriteError::Stopped(code) => StreamErrorIncoming::StreamTerminated {
            error_code: code.into_inner(),
        },
        WriteError::ConnectionLost(error) => StreamErrorIncoming::ConnectionErrorIncoming {
            connection_error: of_connection(error),
        },
        error => StreamErrorIncoming::Unknown(Box::new(error)),
    }
}

fn number(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

/// The library's name of a stream.
fn id(id: quinn::StreamId) -> Result<StreamId, ConnectionErrorIncoming> {
    StreamId::try_from(VarInt::from(id).into_inner())
        .map_err(|error| ConnectionErrorIncoming::InternalError(error.to_string()))
}

fn lock<T>(line: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}
