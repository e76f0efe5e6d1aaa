//! Bytes both ways between two sides until both have ended. Nothing is held while nothing is under way: most tunnels are
//! idle most of the time, and a buffer for each way would be most of what one costs.
//!
//! Knows no limits: who runs it decides how long it may be silent.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most that is read at once, in bytes, onto the stack.
const PIECE: usize = 8 * 1024;

/// Returns when both sides have ended and were told so, each as soon as the other has.
///
/// # Errors
/// The first of either side.
pub(crate) async fn join<A, B>(one: &mut A, other: &mut B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut there, mut back) = (Pipe::default(), Pipe::default());
    poll_fn(|cx| {
        let there = there.poll(cx, one, other)?;
        let back = back.poll(cx, other, one)?;
        match there.is_ready() && back.is_ready() {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    })
    .await
}

/// One way.
#[derive(Debug, Default)]
struct Pipe {
    /// What was read and has found no room yet, from `sent` on.
    held: Vec<u8>,
    sent: usize,
    unflushed: bool,
    /// Nothing more comes.
    ended: bool,
    /// And that was passed on.
    told: bool,
}

impl Pipe {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while !self.told {
            if !self.held.is_empty() {
                self.sent += ready!(self.write(cx, to))?;
                if self.sent == self.held.len() {
                    (self.held, self.sent) = (Vec::new(), 0);
                }
            } else if self.ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.told = true;
            } else {
                ready!(self.read(cx, from, to))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes of what is held.
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<usize>> {
        let rest = self.held.get(self.sent..).unwrap_or_default();
        match ready!(Pin::new(to).poll_write(cx, rest))? {
            0 => Poll::Ready(Err(ErrorKind::WriteZero.into())),
            count => {
                self.unflushed = true;
                Poll::Ready(Ok(count))
            }
        }
    }

    /// Reads a piece and passes it on; what finds no room is held.
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        let mut space = [const { MaybeUninit::uninit() }; PIECE];
        let mut piece = ReadBuf::uninit(&mut space);
        if Pin::new(from).poll_read(cx, &mut piece)?.is_pending() {
            if self.unflushed {
                ready!(Pin::new(to).poll_flush(cx))?;
                self.unflushed = false;
            }
            return Poll::Pending;
        }
        let piece = piece.filled();
        if piece.is_empty() {
            self.ended = true;
            return Poll::Ready(Ok(()));
        }
        let sent = match Pin::new(to).poll_write(cx, piece)? {
            Poll::Ready(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
            Poll::Ready(count) => count,
            Poll::Pending => 0,
        };
        self.unflushed = true;
        self.held = piece.get(sent..).unwrap_or_default().to_vec();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// More than a piece and than what lies between two ends.
    fn much(seed: u8) -> Vec<u8> {
        (0..200_000_u32).map(|at| seed ^ (at % 251) as u8).collect()
    }

    #[tokio::test]
    async fn everything_passes_both_ways_through_narrow_places() {
        let (mut client, mut inner) = duplex(100);
        let (mut dyno, mut outer) = duplex(3_000);
        let joined = tokio::spawn(async move { join(&mut inner, &mut outer).await });
        let (mut from_client, mut to_client) = tokio::io::split(&mut client);
        let (mut from_dyno, mut to_dyno) = tokio::io::split(&mut dyno);
        let (there, back) = (much(1), much(2));
        let (mut got_there, mut got_back) = (Vec::new(), Vec::new());
        let _ = tokio::join!(
            async {
                to_client.write_all(&there).await.unwrap();
                to_client.shutdown().await.unwrap();
            },
            async {
                to_dyno.write_all(&back).await.unwrap();
                to_dyno.shutdown().await.unwrap();
            },
            from_dyno.read_to_end(&mut got_there),
            from_client.read_to_end(&mut got_back),
        );
        assert_eq!(got_there, there);
        assert_eq!(got_back, back);
        joined.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_end_of_one_way_leaves_the_other_open() {
        let (mut client, mut inner) = duplex(100);
        let (mut dyno, mut outer) = duplex(100);
        let joined = tokio::spawn(async move { join(&mut inner, &mut outer).await });
        client.shutdown().await.unwrap();
        assert_eq!(dyno.read(&mut [0; 8]).await.unwrap(), 0);
        dyno.write_all(b"late").await.unwrap();
        let mut late = [0; 4];
        client.read_exact(&mut late).await.unwrap();
        assert_eq!(&late, b"late");
        assert!(!joined.is_finished());
        drop(dyno);
        joined.await.unwrap().unwrap();
        assert_eq!(client.read(&mut late).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn nothing_is_held_once_it_has_found_room() {
        let (mut client, mut inner) = duplex(PIECE);
        let (mut dyno, mut outer) = duplex(10);
        let mut pipe = Pipe::default();
        client
            .write_all(b"more than there is room for")
            .await
            .unwrap();
        let poll = poll_fn(|cx| Poll::Ready(pipe.poll(cx, &mut inner, &mut outer).is_pending()));
        assert!(poll.await);
        assert_eq!(&pipe.held[pipe.sent..], b"there is room for");
        let mut got = [0; 27];
        while !pipe.held.is_empty() {
            let free = got.iter().position(|byte| *byte == 0).unwrap();
            let count = dyno.read(&mut got[free..]).await.unwrap();
            assert!(count > 0);
            let poll = poll_fn(|cx| Poll::Ready(pipe.poll(cx, &mut inner, &mut outer)));
            assert!(poll.await.is_pending());
        }
        assert_eq!(pipe.held.capacity(), 0);
    }
}
