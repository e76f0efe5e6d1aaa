//! The bytes of one exchange, both ways at once: the request to the dyno, its answer to the client.
//!
//! Says what happened and decides nothing: what a failure means, and whether to try again, is `turn`'s.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

use super::answer::Framing;
use super::chunks::{self, Chunks};
use super::client::Client;
use super::conduit::{self, Conduit};
use super::room;
use crate::clock;

/// Times that a body is read and written before others have their turn.
pub(crate) const ROUNDS: usize = 8;

/// The request on its way.
#[derive(Debug)]
pub(crate) struct Up {
    /// What the dyno gets next: at first the head.
    pub(crate) bytes: Vec<u8>,
    /// How much of it it has.
    pub(crate) sent: usize,
    /// What the client has still to send.
    pub(crate) left: u64,
    /// Something was sent.
    pub(crate) begun: bool,
    /// The dyno takes no more.
    pub(crate) refused: bool,
    /// It is the client that everybody waits for.
    pub(crate) waiting: bool,
    /// When the client's last bytes came, [`clock::millis`].
    pub(crate) last: u64,
}

/// The answer on its way.
#[derive(Debug)]
pub(crate) struct Down {
    /// What came of the dyno and was not looked at.
    pub(crate) input: Vec<u8>,
    /// What the client gets next.
    pub(crate) out: Vec<u8>,
    pub(crate) sent: usize,
    /// What comes behind that, of a large body on its way from socket to socket.
    conduit: Option<Conduit>,
    /// The kernel does not take this body that way.
    copied: bool,
    pub(crate) body: Body,
    pub(crate) status: u16,
    /// The dyno takes another request on its connection.
    pub(crate) keeps: bool,
    /// Nobody has said how long the body is.
    pub(crate) open_ended: bool,
    /// A read filled its buffer, so there is more than that.
    pub(crate) crowded: bool,
    /// The body breaks its framing.
    pub(crate) cut: bool,
    /// Bytes of answers that went before this one.
    pub(crate) interim: usize,
    /// Bytes of the body that came since this was looked at.
    pub(crate) bytes: usize,
    /// When the dyno's last bytes came, [`clock::millis`].
    pub(crate) last: u64,
    /// Since when the client has had no room for more.
    pub(crate) full: Option<u64>,
}

/// What is still to come of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    Length(u64),
    Chunked(Chunks),
    /// Until the connection ends.
    Close,
    Done,
}

/// Who broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    Client,
    Dyno,
}

impl Up {
    pub(crate) fn is_done(&self) -> bool {
        self.refused || (self.left == 0 && self.sent == self.bytes.len())
    }

    /// Sends what there is; ready when it was all.
    pub(crate) fn poll<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut S,
        input: &mut Vec<u8>,
        dyno: &mut TcpStream,
    ) -> Poll<Result<(), Broken>> {
        let mut rounds = 0;
        loop {
            if self.refused {
                return Poll::Ready(Ok(()));
            }
            if let Some(rest) = self.bytes.get(self.sent..).filter(|rest| !rest.is_empty()) {
                match ready!(Pin::new(&mut *dyno).poll_write(cx, rest)) {
                    Ok(count) if count > 0 => {
                        self.begun = true;
                        self.sent += count;
                    }
                    _ => self.refused = true,
                }
                continue;
            }
            if self.left == 0 {
                return Poll::Ready(Ok(()));
            }
            if !input.is_empty() {
                self.bytes.clear();
                self.sent = 0;
                self.take(input);
                continue;
            }
            let most = usize::try_from(self.left).unwrap_or(usize::MAX);
            self.sent = 0;
            room::fit(&mut self.bytes, most);
            let most = most.min(self.bytes.capacity());
            if rounds == ROUNDS {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            rounds += 1;
            let mut into = (&mut self.bytes).limit(most);
            match poll_read_buf(Pin::new(&mut *client), cx, &mut into) {
                Poll::Pending => {
                    room::give_up(&mut self.bytes);
                    self.waiting = true;
                    return Poll::Pending;
                }
                Poll::Ready(Ok(count)) if count > 0 => {
                    self.waiting = false;
                    self.left -= count as u64;
                    self.last = clock::millis();
                }
                Poll::Ready(_) => return Poll::Ready(Err(Broken::Client)),
            }
        }
    }

    /// Appends what came of the body already.
    pub(crate) fn take(&mut self, input: &mut Vec<u8>) {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let count = input.len().min(most);
        self.bytes.extend_from_slice(&input[..count]);
        self.left -= count as u64;
        match count == input.len() {
            true => input.clear(),
            false => drop(input.drain(..count)),
        }
    }
}

impl From<Framing> for Body {
    fn from(framing: Framing) -> Body {
        match framing {
            Framing::None | Framing::Length(0) => Body::Done,
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunked(Chunks::new()),
            Framing::Close => Body::Close,
        }
    }
}

impl Down {
    pub(crate) fn new() -> Down {
        Down {
            input: Vec::new(),
            out: Vec::new(),
            sent: 0,
            conduit: None,
            copied: false,
            body: Body::Close,
            status: 0,
            keeps: false,
            open_ended: false,
            crowded: false,
            cut: false,
            interim: 0,
            bytes: 0,
            last: 0,
            full: None,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.body, Body::Done)
    }

    /// Whether the client has all of it: what was written but not flushed may lie in TLS still.
    pub(crate) fn is_flushed(&self) -> bool {
        self.out.is_empty() && self.conduit.as_ref().is_none_or(Conduit::is_empty)
    }

    /// Puts what came of the body into what the client gets.
    pub(crate) fn digest(&mut self) -> Result<(), Broken> {
        let Down {
            input,
            out,
            body,
            bytes,
            ..
        } = self;
        let used = match body {
            Body::Length(left) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX);
                let count = input.len().min(most);
                out.extend_from_slice(&input[..count]);
                *left -= count as u64;
                *bytes += count;
                if *left == 0 {
                    *body = Body::Done;
                }
                count
            }
            Body::Chunked(decoder) => {
                let taken = decoder.take(input, |piece| {
                    chunks::append(out, piece);
                    *bytes += piece.len();
                });
                let taken = taken.map_err(|_| Broken::Dyno)?;
                if decoder.is_done() {
                    out.extend_from_slice(chunks::END);
                    *body = Body::Done;
                }
                taken
            }
            Body::Close => {
                if !input.is_empty() {
                    chunks::append(out, input);
                    *bytes += input.len();
                }
                input.len()
            }
            Body::Done => 0,
        };
        match used == self.input.len() {
            true => self.input.clear(),
            false => drop(self.input.drain(..used)),
        }
        Ok(())
    }

    /// Reads more of a head.
    pub(crate) fn poll_input(
        &mut self,
        cx: &mut Context<'_>,
        dyno: &mut TcpStream,
    ) -> Poll<io::Result<usize>> {
        if self.input.capacity() == 0 {
            self.input = room::small();
        }
        if self.input.len() == self.input.capacity() {
            self.input.reserve(room::SMALL);
        }
        let polled = poll_read_buf(Pin::new(dyno), cx, &mut self.input);
        if polled.is_pending() && self.input.is_empty() {
            room::give_up(&mut self.input);
        }
        polled
    }

    /// Writes to the client what it has to get; ready when it has it.
    pub(crate) fn poll_out<S: Client>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut S,
    ) -> Poll<Result<(), Broken>> {
        // What is not flushed is still there.
        if !self.out.is_empty() {
            ready!(self.poll_written(cx, client))?;
        }
        let Some((conduit, socket)) = self.conduit.as_mut().zip(client.socket()) else {
            return Poll::Ready(Ok(()));
        };
        match conduit.poll_drain(cx, socket) {
            Poll::Pending => {
                self.full.get_or_insert_with(clock::millis);
                Poll::Pending
            }
            Poll::Ready(Ok(())) => {
                self.full = None;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(Broken::Client)),
        }
    }

    fn poll_written<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut S,
    ) -> Poll<Result<(), Broken>> {
        while self.sent < self.out.len() {
            match Pin::new(&mut *client).poll_write(cx, &self.out[self.sent..]) {
                Poll::Pending => {
                    self.full.get_or_insert_with(clock::millis);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(count)) if count > 0 => self.sent += count,
                Poll::Ready(_) => return Poll::Ready(Err(Broken::Client)),
            }
            self.full = None;
        }
        let flushed = Pin::new(client).poll_flush(cx);
        match flushed {
            Poll::Pending => {
                self.full.get_or_insert_with(clock::millis);
                Poll::Pending
            }
            Poll::Ready(Ok(())) => {
                self.full = None;
                self.out.clear();
                self.sent = 0;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(Broken::Client)),
        }
    }

    /// Reads more of the body; only when the client has had what came before.
    pub(crate) fn poll_more<S: Client>(
        &mut self,
        cx: &mut Context<'_>,
        dyno: &mut TcpStream,
        client: &S,
    ) -> Poll<Result<(), Broken>> {
        if self.is_done() {
            return Poll::Ready(Ok(()));
        }
        let spliced = match client.socket() {
            Some(_) if !self.copied => ready!(self.poll_splice(cx, dyno)),
            _ => None,
        };
        let read = match spliced {
            Some(read) => read,
            None => ready!(self.poll_read(cx, dyno)),
        };
        self.last = clock::millis();
        let count = match read {
            Ok(0) if matches!(self.body, Body::Close) => {
                self.out.extend_from_slice(chunks::END);
                self.body = Body::Done;
                return Poll::Ready(Ok(()));
            }
            Ok(count) if count > 0 => count,
            _ => return Poll::Ready(Err(Broken::Dyno)),
        };
        if let Body::Length(left) = &mut self.body {
            *left -= count as u64;
            self.bytes += count;
            if *left == 0 {
                self.body = Body::Done;
            }
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(self.digest())
    }

    /// Reads more of the body into a buffer.
    fn poll_read(&mut self, cx: &mut Context<'_>, dyno: &mut TcpStream) -> Poll<io::Result<usize>> {
        if let Body::Length(left) = self.body {
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            room::fit(&mut self.out, most);
            let most = most.min(self.out.capacity());
            let mut into = (&mut self.out).limit(most);
            let polled = poll_read_buf(Pin::new(dyno), cx, &mut into);
            if polled.is_pending() {
                room::give_up(&mut self.out);
            }
            return polled;
        }
        let size = if self.crowded {
            room::LARGE
        } else {
            room::SMALL
        };
        room::fit(&mut self.input, size);
        room::fit(&mut self.out, size);
        // What is put around chunks has to have room too.
        let most = self.input.capacity() / 2;
        let mut into = (&mut self.input).limit(most);
        let polled = poll_read_buf(Pin::new(dyno), cx, &mut into);
        if polled.is_pending() {
            room::give_up(&mut self.input);
            room::give_up(&mut self.out);
        }
        let read = ready!(polled);
        self.crowded = read.as_ref().is_ok_and(|count| *count == most);
        Poll::Ready(read)
    }

    /// Takes more of a large body into the conduit; `None` when it is to be read instead.
    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        dyno: &TcpStream,
    ) -> Poll<Option<io::Result<usize>>> {
        let Body::Length(left) = self.body else {
            return Poll::Ready(None);
        };
        if self.conduit.is_none() && left >= conduit::LEAST {
            self.conduit = Conduit::take();
        }
        let Some(conduit) = &mut self.conduit else {
            return Poll::Ready(None);
        };
        let filled = ready!(conduit.poll_fill(cx, dyno, left));
        if filled.as_ref().is_err_and(conduit::is_refusal) {
            // Nothing was taken, so nothing is lost.
            self.copied = true;
            return Poll::Ready(None);
        }
        Poll::Ready(Some(filled))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::ReadBuf;

    use super::*;

    /// Takes everything at once, and has passed it on at the second flush, as TLS over a full socket.
    #[derive(Default)]
    struct Late {
        taken: Vec<u8>,
        flushes: usize,
    }

    impl AsyncRead for Late {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl Client for Late {
        fn socket(&self) -> Option<&TcpStream> {
            None
        }
    }

    impl AsyncWrite for Late {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.taken.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            match self.flushes {
                1 => Poll::Pending,
                _ => Poll::Ready(Ok(())),
            }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_is_not_flushed_is_not_sent() {
        let (mut down, mut client) = (Down::new(), Late::default());
        down.out.extend_from_slice(b"the end");
        let mut cx = Context::from_waker(Waker::noop());
        assert!(down.poll_out(&mut cx, &mut client).is_pending());
        assert!(!down.is_flushed(), "it was taken, and no more");
        assert_eq!(down.poll_out(&mut cx, &mut client), Poll::Ready(Ok(())));
        assert!(down.is_flushed());
        assert_eq!(
            (client.taken.as_slice(), client.flushes),
            (b"the end".as_slice(), 2)
        );
    }
}
