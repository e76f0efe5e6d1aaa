//! A pipe by which the bytes of a large body go from socket to socket inside the kernel: the router neither copies them
//! in nor out.
//!
//! Each core keeps a few, as it does buffers. Only between bare sockets; what TLS has to see takes the other way.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Bytes of a body from which a conduit is worth its calls.
pub(crate) const LEAST: u64 = 64 * 1024;

/// Most bytes that are asked for at once. What the pipe has room for is counted in pieces of the sockets' own.
const MOST: usize = 1024 * 1024;

/// How many are kept on each core, and how many it has in use at most: slow clients of large bodies are to have no part
/// in how many descriptors there are, nor in the pages that a user may have in pipes.
const KEPT: usize = 16;
const USED: usize = 256;

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

thread_local! {
    static SPARE: RefCell<Vec<Ends>> = const { RefCell::new(Vec::new()) };
    static IN_USE: Cell<usize> = const { Cell::new(0) };
}

/// One that somebody uses.
#[derive(Debug)]
pub(crate) struct Conduit {
    /// `None` only while it is dropped.
    ends: Option<Ends>,
    /// Bytes in it.
    held: usize,
}

impl Conduit {
    /// An empty one; `None` when there are enough, or the process has no descriptors left.
    pub(crate) fn take() -> Option<Conduit> {
        if IN_USE.get() >= USED {
            return None;
        }
        let kept = SPARE.with_borrow_mut(Vec::pop);
        let ends = match kept {
            Some(ends) => ends,
            None => {
                let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
                let (read, write) = pipe_with(flags).ok()?;
                Ends { read, write }
            }
        };
        IN_USE.set(IN_USE.get() + 1);
        Some(Conduit {
            ends: Some(ends),
            held: 0,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Takes at most `most` bytes of what has come, and returns how many; none when no more will come. Only while it is
    /// empty: a full one could not be told from a silent sender.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
        most: u64,
    ) -> Poll<io::Result<usize>> {
        let Some(ends) = &self.ends else {
            return Poll::Ready(Ok(0));
        };
        let most = usize::try_from(most).unwrap_or(MOST).min(MOST);
        loop {
            ready!(from.poll_read_ready(cx))?;
            let moved = from.try_io(Interest::READABLE, || {
                Ok(splice(from, None, &ends.write, None, most, flags())?)
            });
            match moved {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(count) => {
                    self.held += count;
                    return Poll::Ready(Ok(count));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Passes on what it holds; ready when that was all.
    pub(crate) fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        to: &TcpStream,
    ) -> Poll<io::Result<()>> {
        let Some(ends) = &self.ends else {
            return Poll::Ready(Ok(()));
        };
        while self.held > 0 {
            ready!(to.poll_write_ready(cx))?;
            let moved = to.try_io(Interest::WRITABLE, || {
                Ok(splice(&ends.read, None, to, None, self.held, flags())?)
            });
            match moved {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => self.held -= count,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Conduit {
    fn drop(&mut self) {
        IN_USE.set(IN_USE.get().saturating_sub(1));
        // What lies in it was for somebody who left.
        if let Some(ends) = self.ends.take().filter(|_| self.held == 0) {
            SPARE.with_borrow_mut(|spare| {
                if spare.len() < KEPT {
                    spare.push(ends);
                }
            });
        }
    }
}

/// Whether the kernel, or what guards the process, knows no such way for these sockets.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    let refusals = [Errno::INVAL, Errno::NOSYS, Errno::PERM];
    let code = error.raw_os_error();
    refusals
        .iter()
        .any(|known| Some(known.raw_os_error()) == code)
}

fn flags() -> SpliceFlags {
    SpliceFlags::NONBLOCK | SpliceFlags::MOVE
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (one, other) = tokio::join!(TcpStream::connect(address), listener.accept());
        (one.unwrap(), other.unwrap().0)
    }

    #[tokio::test]
    async fn bytes_pass_whole_and_in_order_however_slowly_they_are_read() {
        const SIZE: usize = 5 << 20;
        let sent: Vec<u8> = (0..SIZE)
            .map(|n| (n * 31 % 251) as u8 ^ (n >> 12) as u8)
            .collect();
        let ((mut sender, from), (to, mut reader)) = tokio::join!(pair(), pair());
        let expected = sent.clone();
        let sending = tokio::spawn(async move {
            sender.write_all(&sent).await.unwrap();
        });
        let reading = tokio::spawn(async move {
            let mut got = Vec::new();
            let mut piece = vec![0; 7_000];
            loop {
                let count = reader.read(&mut piece).await.unwrap();
                if count == 0 {
                    return got;
                }
                got.extend_from_slice(&piece[..count]);
                tokio::task::yield_now().await;
            }
        });
        let mut conduit = Conduit::take().unwrap();
        let mut left = SIZE as u64;
        while left > 0 {
            let count = poll_fn(|cx| conduit.poll_fill(cx, &from, left))
                .await
                .unwrap();
            assert!(count > 0 && count as u64 <= left);
            left -= count as u64;
            poll_fn(|cx| conduit.poll_drain(cx, &to)).await.unwrap();
            assert!(conduit.is_empty());
        }
        sending.await.unwrap();
        // The sender has left.
        let ended = poll_fn(|cx| conduit.poll_fill(cx, &from, 1)).await.unwrap();
        assert_eq!(ended, 0);
        drop(to);
        assert!(reading.await.unwrap() == expected);
    }

    #[tokio::test]
    async fn what_nobody_took_reaches_nobody_else() {
        let ((mut sender, from), (to, mut reader)) = tokio::join!(pair(), pair());
        sender.write_all(b"for one").await.unwrap();
        let mut conduit = Conduit::take().unwrap();
        poll_fn(|cx| conduit.poll_fill(cx, &from, 100))
            .await
            .unwrap();
        assert!(!conduit.is_empty());
        drop(conduit);
        sender.write_all(b"for another").await.unwrap();
        let mut conduit = Conduit::take().unwrap();
        let count = poll_fn(|cx| conduit.poll_fill(cx, &from, 100))
            .await
            .unwrap();
        poll_fn(|cx| conduit.poll_drain(cx, &to)).await.unwrap();
        let mut got = vec![0; count];
        reader.read_exact(&mut got).await.unwrap();
        assert_eq!(got, b"for another");
    }

    #[test]
    fn there_is_an_end_to_how_many_are_used() {
        let used: Vec<Conduit> = std::iter::from_fn(Conduit::take).take(USED + 1).collect();
        assert_eq!(used.len(), USED);
        drop(used);
        assert!(Conduit::take().is_some());
        assert_eq!(SPARE.with_borrow(Vec::len), KEPT);
    }
}
