//! Terminals of one-off dynos for clients that speak Heroku's rendezvous: TLS, a secret, then bytes both ways.
//!
//! The server knows whose secret it is; here bytes are passed on. What the protocol asks of the form in which they
//! arrive is done here, for here the TLS records are made, and clients take one record for one piece: they throw the
//! first piece away (it is the greeting), and look for the line with the exit status within one piece.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::router::Router;

/// Most that is passed on at once, in bytes: what a TLS record holds.
const PIECE: usize = 16 * 1024;
/// Between the greeting and what follows it.
const GAP: Duration = Duration::from_millis(60);
/// How long the end of a begun status line is waited for.
const REST: Duration = Duration::from_millis(500);
/// For the server to take the connection.
const CONNECT: Duration = Duration::from_secs(5);
/// What the line with the exit status begins with: U+FFFF, as UTF-8.
const MARK: &[u8] = "\u{FFFF}".as_bytes();
/// Longest status line that is kept together, in bytes.
const STATUS_LINE: usize = 64;

/// Passes bytes both ways until one side ends, or nobody says anything for [`crate::Limits::terminal`].
///
/// # Errors
/// No server takes the connection.
pub(crate) async fn join<S>(router: &Router, client: S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(socket) = router.tables.load().rendezvous.clone() else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let server = timeout(CONNECT, UnixStream::connect(socket)).await??;
    let (mut from_server, mut to_server) = server.into_split();
    let (mut from_client, mut to_client) = split(client);
    let idle = router.limits.terminal;
    // What ends the one ends the other: a terminal has no use for half a connection.
    let result = tokio::select! {
        result = output(&mut from_server, &mut to_client, idle) => result,
        result = input(&mut from_client, &mut to_server, idle) => result,
    };
    let _ = timeout(CONNECT, to_client.shutdown()).await;
    result
}

/// What the client types. Its end is not the terminal's: output may follow.
async fn input(
    client: &mut (impl AsyncRead + Unpin),
    server: &mut (impl AsyncWrite + Unpin),
    idle: Duration,
) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        let count = timeout(idle, client.read(&mut buffer)).await??;
        if count == 0 {
            server.shutdown().await?;
            return std::future::pending().await;
        }
        timeout(idle, server.write_all(&buffer[..count])).await??;
    }
}

/// What the dyno says, in pieces as the client needs them.
async fn output(
    server: &mut (impl AsyncRead + Unpin),
    client: &mut (impl AsyncWrite + Unpin),
    idle: Duration,
) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    let mut filled = 0;
    let mut greeted = false;
    // Until when what is kept back waits for its rest; if that does not come, it was something else.
    let mut patience: Option<Instant> = None;
    loop {
        let until = patience.unwrap_or_else(|| Instant::now() + idle);
        match timeout_at(until, server.read(&mut buffer[filled..])).await {
            Ok(read) => match read? {
                0 => return send(client, &buffer[..filled], idle).await,
                count => filled += count,
            },
            Err(_) if patience.is_none() => return Err(io::ErrorKind::TimedOut.into()),
            Err(_) => {
                send(client, &buffer[..filled], idle).await?;
                (filled, patience) = (0, None);
                continue;
            }
        }
        let ready = match whole(&buffer[..filled]) {
            0 if filled == PIECE => filled,
            ready => ready,
        };
        if ready > 0 {
            send(client, &buffer[..ready], idle).await?;
            buffer.copy_within(ready..filled, 0);
            filled -= ready;
            if !greeted {
                greeted = true;
                sleep(GAP).await;
            }
        }
        patience = match filled {
            0 => None,
            _ => patience.or_else(|| Some(Instant::now() + REST)),
        };
    }
}

async fn send(
    client: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
    idle: Duration,
) -> io::Result<()> {
    let write = async {
        client.write_all(bytes).await?;
        client.flush().await
    };
    timeout(idle, write).await?
}

/// How many bytes hold no begun, unfinished status line at their end.
pub(crate) fn whole(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(STATUS_LINE);
    let tail = &bytes[from..];
    let begun = (0..tail.len()).rev().find(|at| {
        let rest = &tail[*at..];
        rest.starts_with(MARK) || MARK.starts_with(rest)
    });
    match begun {
        Some(at) if !tail[at..].contains(&b'\n') => from + at,
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "\u{FFFF} heroku-command-exit-status: 137\n";

    #[test]
    fn a_begun_status_line_is_kept_back() {
        for (text, kept) in [
            ("", ""),
            ("all of it\n", ""),
            (LINE, ""),
            (
                "out\n\u{FFFF} heroku-command-exit-status: 1",
                "\u{FFFF} heroku-command-exit-status: 1",
            ),
            ("out\u{FFFF}", "\u{FFFF}"),
        ] {
            let whole = whole(text.as_bytes());
            assert_eq!(&text.as_bytes()[whole..], kept.as_bytes(), "{text:?}");
        }
        assert_eq!(whole(b"out\xEF\xBF"), 3);
        assert_eq!(whole(b"out\xEF"), 3);
    }

    /// However the bytes come in, the greeting stands alone and the status line is in one piece.
    #[tokio::test]
    async fn pieces_are_as_clients_need_them() {
        let output_of_dyno = "x".repeat(3 * PIECE) + "\nend\n" + LINE;
        for step in [1, 7, 1000, PIECE - 1, PIECE, 5 * PIECE] {
            let (mut dyno, mut server) = tokio::io::duplex(1 << 20);
            let (mut to_client, mut client) = tokio::io::duplex(1 << 20);
            let relay = tokio::spawn(async move {
                output(&mut server, &mut to_client, Duration::from_secs(60)).await
            });
            let text = output_of_dyno.clone();
            let say = tokio::spawn(async move {
                dyno.write_all(b"rendezvous\r\n").await.expect("write");
                tokio::task::yield_now().await;
                for piece in text.as_bytes().chunks(step) {
                    dyno.write_all(piece).await.expect("write");
                    tokio::task::yield_now().await;
                }
            });
            let (mut pieces, mut buffer) = (Vec::new(), vec![0; 1 << 20]);
            loop {
                let count = client.read(&mut buffer).await.expect("read");
                if count == 0 {
                    break;
                }
                pieces.push(buffer[..count].to_vec());
            }
            say.await.expect("said");
            relay.await.expect("relayed").expect("relayed");
            assert_eq!(pieces[0], b"rendezvous\r\n", "{step}");
            assert_eq!(pieces[1..].concat(), output_of_dyno.as_bytes(), "{step}");
            let line = LINE.as_bytes();
            let holds = |piece: &Vec<u8>| piece.windows(line.len()).any(|part| part == line);
            assert!(pieces.iter().any(holds), "{step}");
        }
    }
}
