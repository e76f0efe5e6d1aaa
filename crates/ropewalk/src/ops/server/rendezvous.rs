//! Terminals of one-off dynos for clients that speak rendezvous: a line with a ticket, a greeting, then bytes.
//!
//! The router has taken off the TLS. Frames, sizes and exit codes have no place in this protocol: clients that want the
//! exit code have the command print it, and where the command could not, it is said here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ropewalk_api::Terminals;
use ropewalk_api_types::attach::{FromDyno, MAX_SECRET_LINE, STATUS_MARK, Ticket, ToDyno, Window};
use ropewalk_scheduler::{Attachment, Scheduler};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader,
};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// For the ticket to arrive.
const TICKET: Duration = Duration::from_secs(10);
/// Connections at the same time.
const MOST: usize = 1_000;
/// Read at once, in bytes.
const PIECE: usize = 16 * 1024;
/// What clients wait for.
const GREETING: &[u8] = b"rendezvous\r\n";
/// What clients without a terminal send behind the last of their input.
const END_OF_INPUT: u8 = 0x04;
/// How long that byte may be the last before it is the end.
const SILENCE: Duration = Duration::from_millis(200);

/// Takes terminals until `shutdown`.
pub(super) async fn serve(
    listener: UnixListener,
    scheduler: Scheduler,
    terminals: Terminals,
    shutdown: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(MOST));
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "A terminal could not be accepted.");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = shutdown.cancelled() => return,
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (scheduler, terminals) = (scheduler.clone(), terminals.clone());
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            let joined = shutdown
                .run_until_cancelled_owned(join(stream, scheduler, terminals))
                .await;
            if let Some(Err(error)) = joined {
                tracing::debug!(%error, "A terminal ended.");
            }
            drop(place);
        });
    }
}

async fn join(
    stream: UnixStream,
    scheduler: Scheduler,
    terminals: Terminals,
) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::with_capacity(PIECE, reader);
    let Some(ticket) = timeout(TICKET, read_ticket(&mut reader)).await?? else {
        return Ok(());
    };
    // The greeting comes before the dyno does: what follows it in the same piece would be lost.
    writer.write_all(GREETING).await?;
    let right = terminals.right(&ticket.secret).await;
    let attached = match right {
        Some(lost) => scheduler
            .attach(&ticket.secret)
            .await
            .map(|it| it.zip(Some(lost))),
        None => Ok(None),
    };
    let Ok(Some((Attachment { input, output }, lost))) = attached else {
        return writer
            .write_all(b"This dyno cannot be attached to (any more).\r\n")
            .await;
    };
    if let Window::Terminal(Some((rows, columns))) = ticket.window {
        let _ = input.send(ToDyno::Resize { rows, columns }).await;
    }
    tokio::select! {
        result = show(output, &mut writer, ticket.status) => result,
        result = listen(&mut reader, input, ticket.window) => result,
        () = lost => Ok(()),
    }
}

async fn read_ticket(reader: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Ticket>> {
    let mut line = Vec::new();
    reader
        .take(MAX_SECRET_LINE as u64)
        .read_until(b'\n', &mut line)
        .await?;
    Ok(std::str::from_utf8(&line)
        .ok()
        .and_then(|line| Ticket::decode(line.trim_end())))
}

/// Until the command has ended. With `status` the exit code is said in the client's form, unless the command did.
async fn show(
    mut output: mpsc::Receiver<FromDyno>,
    client: &mut (impl AsyncWrite + Unpin),
    status: bool,
) -> std::io::Result<()> {
    let mut seen = Seen::default();
    while let Some(frame) = output.recv().await {
        match frame {
            FromDyno::Stdout(bytes) | FromDyno::Stderr(bytes) => {
                seen.look(&bytes);
                client.write_all(&bytes).await?;
            }
            FromDyno::Exit(code) => {
                if status && !seen.mark {
                    let line = format!("{STATUS_MARK}{code}\r\n");
                    client.write_all(line.as_bytes()).await?;
                }
                break;
            }
        }
    }
    client.flush().await
}

/// Whether the output held the mark of the exit code, over pieces of any size.
#[derive(Debug, Default)]
struct Seen {
    mark: bool,
    /// The last bytes, less than a mark of them.
    tail: Vec<u8>,
}

impl Seen {
    fn look(&mut self, bytes: &[u8]) {
        let mark = STATUS_MARK.as_bytes();
        self.tail.extend_from_slice(bytes);
        self.mark |= self.tail.windows(mark.len()).any(|part| part == mark);
        let from = self.tail.len().saturating_sub(mark.len() - 1);
        self.tail.drain(..from);
    }
}

/// Until the client has gone.
async fn listen(
    client: &mut (impl AsyncBufRead + Unpin),
    input: mpsc::Sender<ToDyno>,
    window: Window,
) -> std::io::Result<()> {
    loop {
        let piece = Bytes::copy_from_slice(client.fill_buf().await?);
        client.consume(piece.len());
        if piece.is_empty() {
            return Ok(());
        }
        let ends = window == Window::Pipe && piece.ends_with(&[END_OF_INPUT]);
        let (said, held) = piece.split_at(piece.len() - usize::from(ends));
        tell(&input, said).await;
        if !ends {
            continue;
        }
        let goes_on = match timeout(SILENCE, client.fill_buf()).await {
            Ok(more) => !more?.is_empty(),
            Err(_) => false,
        };
        if goes_on {
            // It was a byte like any other.
            tell(&input, held).await;
        } else {
            let _ = input.send(ToDyno::StdinClosed).await;
        }
    }
}

/// A command that takes no more input may still write.
async fn tell(input: &mpsc::Sender<ToDyno>, bytes: &[u8]) {
    if !bytes.is_empty() {
        let _ = input
            .send(ToDyno::Stdin(Bytes::copy_from_slice(bytes)))
            .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that sends each piece once what came of the one before was heard.
    async fn listens(window: Window, steps: &[(&[u8], &[ToDyno])]) {
        let (mut client, server) = tokio::io::duplex(1 << 16);
        let (input, mut frames) = mpsc::channel(64);
        let mut reader = BufReader::new(server);
        let listening = tokio::spawn(async move { listen(&mut reader, input, window).await });
        for (piece, expected) in steps {
            client.write_all(piece).await.expect("write");
            for frame in *expected {
                assert_eq!(frames.recv().await.as_ref(), Some(frame));
            }
        }
        drop(client);
        assert_eq!(frames.recv().await, None);
        listening.await.expect("listened").expect("listened");
    }

    #[tokio::test]
    async fn the_last_byte_of_piped_input_closes_it() {
        let said = |text: &'static [u8]| ToDyno::Stdin(Bytes::from_static(text));
        let closed = ToDyno::StdinClosed;
        listens(
            Window::Pipe,
            &[
                (b"one\n", &[said(b"one\n")]),
                (b"two\n\x04", &[said(b"two\n"), closed.clone()]),
            ],
        )
        .await;
        listens(Window::Pipe, &[(b"\x04", &[closed])]).await;
        listens(
            Window::Pipe,
            &[
                (b"a\x04", &[said(b"a")]),
                (b"b", &[said(b"\x04"), said(b"b")]),
            ],
        )
        .await;
        // A terminal makes of it what it likes.
        listens(Window::Terminal(None), &[(b"a\x04", &[said(b"a\x04")])]).await;
    }

    async fn shown(frames: Vec<FromDyno>, status: bool) -> String {
        let (output, receiver) = mpsc::channel(64);
        for frame in frames {
            output.send(frame).await.expect("send");
        }
        let mut client = Vec::new();
        show(receiver, &mut client, status).await.expect("shown");
        String::from_utf8(client).expect("text")
    }

    #[tokio::test]
    async fn the_exit_code_is_said_once() {
        let said = |text: &str| FromDyno::Stdout(Bytes::copy_from_slice(text.as_bytes()));
        let line = format!("{STATUS_MARK}3");
        let (first, second) = line.as_bytes().split_at(5);
        let halves = [first, second].map(|part| FromDyno::Stdout(Bytes::copy_from_slice(part)));
        let exits = FromDyno::Exit(3);
        assert_eq!(
            shown(vec![said("hi\n"), exits.clone()], false).await,
            "hi\n"
        );
        assert_eq!(
            shown(vec![said("hi\n"), exits.clone()], true).await,
            format!("hi\n{line}\r\n")
        );
        let [first, second] = halves;
        assert_eq!(shown(vec![first, second, exits], true).await, line);
    }

    #[tokio::test]
    async fn only_a_ticket_is_a_ticket() {
        let mut long = vec![b'x'; 10_000];
        long.extend_from_slice(b".pipe\r\n");
        for line in [&b"GET / HTTP/1.1\r\n"[..], b"", b"rendezvous.x", &long] {
            let ticket = read_ticket(&mut BufReader::new(line)).await.expect("read");
            assert!(ticket.is_none());
        }
        let line = &b"rendezvous.abc.24x80\r\nls\n"[..];
        let ticket = read_ticket(&mut BufReader::new(line))
            .await
            .expect("read")
            .expect("a ticket");
        assert_eq!(
            (ticket.secret.as_str(), ticket.window),
            ("abc", Window::Terminal(Some((24, 80))))
        );
    }
}
