//! Which protocol a client begins with, read from its first bytes without losing them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use ropewalk_api_types::attach::SECRET_MARK;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What an HTTP/2 client with prior knowledge sends first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose first bytes were read already and are given out again.
#[derive(Debug)]
pub(crate) struct Rewound<S> {
    head: Vec<u8>,
    /// How much of `head` was given out; nothing is kept once it was all of it.
    given: usize,
    stream: S,
}

/// What a client begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Anything else: HTTP/1, or nothing that we know.
    Http1,
    Http2,
    /// The secret of a one-off dyno's terminal.
    Rendezvous,
}

const OPENINGS: [(&[u8], Opening); 2] = [
    (PREFACE, Opening::Http2),
    (SECRET_MARK.as_bytes(), Opening::Rendezvous),
];

/// Bytes read at first: the usual head of a request, so that it need not be read in two pieces.
const FIRST: usize = 4 * 1024;

/// What `stream` begins with; waits for no more than it takes to tell.
pub(crate) async fn opening<S: AsyncRead + Unpin>(stream: S) -> io::Result<(Opening, Rewound<S>)> {
    opening_of(Vec::with_capacity(FIRST), stream).await
}

/// The same when the `head` of it was read already.
pub(crate) async fn opening_of<S: AsyncRead + Unpin>(
    mut head: Vec<u8>,
    mut stream: S,
) -> io::Result<(Opening, Rewound<S>)> {
    let found = loop {
        let read = head.as_slice();
        if let Some((_, opening)) = OPENINGS.iter().find(|(mark, _)| read.starts_with(mark)) {
            break *opening;
        }
        if !OPENINGS.iter().any(|(mark, _)| mark.starts_with(read)) {
            break Opening::Http1;
        }
        if stream.read_buf(&mut head).await? == 0 {
            break Opening::Http1;
        }
    };
    let rewound = Rewound {
        head,
        given: 0,
        stream,
    };
    Ok((found, rewound))
}

impl<S> Rewound<S> {
    pub(crate) fn new(head: Vec<u8>, stream: S) -> Rewound<S> {
        Rewound {
            head,
            given: 0,
            stream,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.given < this.head.len() {
            let left = &this.head[this.given..];
            let count = left.len().min(buf.remaining());
            buf.put_slice(&left[..count]);
            this.given += count;
            if this.given == this.head.len() {
                (this.head, this.given) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sniff(bytes: &'static [u8]) -> (Opening, Vec<u8>) {
        let (opening, mut rewound) = opening(bytes).await.expect("read");
        let mut all = Vec::new();
        rewound.read_to_end(&mut all).await.expect("read");
        (opening, all)
    }

    #[tokio::test]
    async fn nothing_is_lost() {
        for (bytes, expected) in [
            (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrest"[..], Opening::Http2),
            (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", Opening::Http1),
            (b"PRI", Opening::Http1),
            (
                b"POST / HTTP/1.1\r\nHost: a.very.long.name\r\n\r\n",
                Opening::Http1,
            ),
            (b"rendezvous.0123\r\n", Opening::Rendezvous),
            (b"rend / HTTP/1.1\r\n", Opening::Http1),
            (b"", Opening::Http1),
        ] {
            assert_eq!(sniff(bytes).await, (expected, bytes.to_vec()));
        }
    }
}
