//! A stream that remembers what was read of it, for as long as somebody may want it again.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Debug)]
pub(crate) struct Tape<S> {
    io: S,
    /// All that was read, while it is remembered.
    heard: Option<Vec<u8>>,
}

impl<S> Tape<S> {
    /// `remembers`: from the first byte on.
    pub(crate) fn new(io: S, remembers: bool) -> Tape<S> {
        let heard = remembers.then(Vec::new);
        Tape { io, heard }
    }

    /// Nobody will want it again.
    pub(crate) fn forget(&mut self) {
        self.heard = None;
    }

    /// The stream, and what was read of it.
    pub(crate) fn rewind(self) -> (S, Vec<u8>) {
        (self.io, self.heard.unwrap_or_default())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tape<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.io).poll_read(cx, buf);
        if let Some(heard) = &mut this.heard {
            heard.extend_from_slice(buf.filled().get(before..).unwrap_or_default());
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tape<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn what_was_read_comes_again_unless_it_was_forgotten() {
        let read = async |remembers, forgets: bool| {
            let mut tape = Tape::new(&b"hello world"[..], remembers);
            tape.read_exact(&mut [0; 5]).await.unwrap();
            if forgets {
                tape.forget();
            }
            tape.read_exact(&mut [0; 1]).await.unwrap();
            let (rest, heard) = tape.rewind();
            assert_eq!(rest, b"world");
            heard
        };
        assert_eq!(read(true, false).await, b"hello ");
        assert!(read(true, true).await.is_empty());
        assert!(read(false, false).await.is_empty());
    }
}
