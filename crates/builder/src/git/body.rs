//! A request's body on its way into git: inflated when it is gzip, counted, never held as a whole.

use std::io::{self, Write};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio_util::sync::CancellationToken;

/// Compressed bytes given to the inflater at a time: at gzip's best ratio of 1,032 they become half a MiB.
const STEP: usize = 512;

/// How long a client that still sends after git's answer has ended may go on, so that it gets to hear that answer:
/// closing a connection with unread bytes throws away what was sent on it.
pub(crate) const LINGER: Duration = Duration::from_secs(10);

/// How the body comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Plain,
    Gzip,
}

/// Lets a feeding go on until it ends, the server stops, or the response has been over for `linger`.
pub(crate) async fn bounded(
    feeding: impl Future<Output = io::Result<()>>,
    shutdown: &CancellationToken,
    over: &CancellationToken,
    linger: Duration,
) -> io::Result<()> {
    let lingered = async {
        over.cancelled().await;
        tokio::time::sleep(linger).await;
    };
    tokio::select! {
        fed = feeding => fed,
        () = shutdown.cancelled() => Ok(()),
        () = lingered => Ok(()),
    }
}

/// Feeds a body to git's standard input and closes it. After `limit` bytes, or when git listens no more, the rest is
/// read and thrown away, so that the client gets to hear git's answer; at most as much again.
pub(crate) async fn feed(
    body: Body,
    encoding: Encoding,
    limit: u64,
    input: ChildStdin,
) -> io::Result<()> {
    let mut body = body.into_data_stream();
    let mut sink = Sink {
        input: Some(input),
        left: limit,
    };
    let mut inflater = (encoding == Encoding::Gzip).then(|| MultiGzDecoder::new(Vec::new()));
    let mut drained: u64 = 0;
    while let Some(chunk) = body.next().await {
        // The client is gone: git sees the end of its input, finds the pack cut short and keeps nothing.
        let chunk = chunk.map_err(io::Error::other)?;
        if sink.input.is_none() {
            drained = drained.saturating_add(chunk.len() as u64);
            if drained > limit {
                return Ok(());
            }
            continue;
        }
        match &mut inflater {
            None => sink.take(&chunk).await,
            Some(inflater) => inflate(inflater, &chunk, &mut sink).await?,
        }
    }
    if let Some(inflater) = inflater {
        let rest = inflater.finish()?;
        sink.take(&rest).await;
    }
    Ok(())
}

struct Sink {
    /// `None` once git listens no more.
    input: Option<ChildStdin>,
    left: u64,
}

impl Sink {
    async fn take(&mut self, bytes: &[u8]) {
        let Some(input) = &mut self.input else {
            return;
        };
        let count = bytes.len() as u64;
        if count > self.left || input.write_all(bytes).await.is_err() {
            self.input = None;
            return;
        }
        self.left -= count;
    }
}

async fn inflate(
    inflater: &mut MultiGzDecoder<Vec<u8>>,
    chunk: &Bytes,
    sink: &mut Sink,
) -> io::Result<()> {
    for part in chunk.chunks(STEP) {
        inflater.write_all(part)?;
        inflater.flush()?;
        let inflated = std::mem::take(inflater.get_mut());
        sink.take(&inflated).await;
        if sink.input.is_none() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tokio::io::AsyncReadExt;

    use super::*;

    /// What a process that reads everything gets.
    async fn fed(body: Vec<u8>, encoding: Encoding, limit: u64) -> (io::Result<()>, usize) {
        let mut child = tokio::process::Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = child.stdout.take().unwrap();
        let mut got = Vec::new();
        let (result, read) = tokio::join!(
            feed(Body::from(body), encoding, limit, input),
            output.read_to_end(&mut got)
        );
        read.unwrap();
        child.wait().await.unwrap();
        (result, got.len())
    }

    #[tokio::test]
    async fn an_endless_body_ends_with_the_server_or_after_the_response() {
        let tokens = || (CancellationToken::new(), CancellationToken::new());
        let short = Duration::from_millis(5);
        let within = Duration::from_secs(20);
        for stops in [true, false] {
            let (shutdown, over) = tokens();
            let feeding = bounded(std::future::pending(), &shutdown, &over, short);
            if stops {
                shutdown.cancel()
            } else {
                over.cancel()
            };
            let ended = tokio::time::timeout(within, feeding).await;
            assert!(ended.is_ok(), "server stops: {stops}");
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn bodies_arrive_whole_up_to_the_limit() {
        assert_eq!(fed(vec![7; 1000], Encoding::Plain, 1000).await.1, 1000);
        assert_eq!(fed(vec![7; 1001], Encoding::Plain, 1000).await.1, 0);
        let zipped = gzip(&vec![7; 1 << 20]);
        assert_eq!(
            fed(zipped.clone(), Encoding::Gzip, 1 << 20).await.1,
            1 << 20
        );
    }

    #[tokio::test]
    async fn a_bomb_stops_at_the_limit_and_noise_is_an_error() {
        let bomb = gzip(&vec![0; 16 << 20]);
        assert!(fed(bomb, Encoding::Gzip, 1 << 20).await.1 <= 1 << 20);
        assert!(
            fed(b"not gzip at all".to_vec(), Encoding::Gzip, 1000)
                .await
                .0
                .is_err()
        );
    }
}
