//! Which protocol a client begins with, read from its first bytes without losing them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What an HTTP/2 client with prior knowledge sends first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose first bytes were read already and are given out again.
#[derive(Debug)]
pub(crate) struct Rewound<S> {
    head: [u8; PREFACE.len()],
    /// The part of `head` not yet given out.
    given: usize,
    filled: usize,
    stream: S,
}

/// Whether `stream` begins with the preface of HTTP/2; reads no more than the preface.
pub(crate) async fn is_http2<S: AsyncRead + Unpin>(
    mut stream: S,
) -> io::Result<(bool, Rewound<S>)> {
    let mut head = [0; PREFACE.len()];
    let mut filled = 0;
    let mut prefix = true;
    while prefix && filled < PREFACE.len() {
        let count = stream.read(&mut head[filled..]).await?;
        if count == 0 {
            break;
        }
        filled += count;
        prefix = PREFACE.starts_with(&head[..filled]);
    }
    let http2 = filled == PREFACE.len() && prefix;
    let rewound = Rewound {
        head,
        given: 0,
        filled,
        stream,
    };
    Ok((http2, rewound))
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.given < this.filled {
            let left = &this.head[this.given..this.filled];
            let count = left.len().min(buf.remaining());
            buf.put_slice(&left[..count]);
            this.given += count;
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

    async fn sniff(bytes: &'static [u8]) -> (bool, Vec<u8>) {
        let (http2, mut rewound) = is_http2(bytes).await.expect("read");
        let mut all = Vec::new();
        rewound.read_to_end(&mut all).await.expect("read");
        (http2, all)
    }

    #[tokio::test]
    async fn nothing_is_lost() {
        for (bytes, http2) in [
            (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrest"[..], true),
            (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", false),
            (b"PRI", false),
            (b"POST / HTTP/1.1\r\nHost: a.very.long.name\r\n\r\n", false),
            (b"", false),
        ] {
            assert_eq!(sniff(bytes).await, (http2, bytes.to_vec()));
        }
    }
}
