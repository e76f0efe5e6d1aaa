//! Clients of the router that keep to a clock: so many requests a second whether or not the last ones are answered, and
//! each one's time counted from when it should have been sent.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::dyno::value;

/// For any one answer.
const LIMIT: Duration = Duration::from_secs(30);
/// Failures that are told one by one.
const TOLD: usize = 5;

/// What came of some requests.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Of each answer that was right, in microseconds.
    micros: Vec<u64>,
    pub(super) failures: usize,
    /// The first of them.
    pub(super) told: Vec<String>,
}

impl Outcome {
    pub(super) fn good(&self) -> usize {
        self.micros.len()
    }

    /// The part of the answers, of 1,000, that came in that many milliseconds.
    pub(super) fn quantile(&mut self, of_1000: usize) -> f64 {
        self.micros.sort_unstable();
        let last = self.micros.len().saturating_sub(1);
        let at = (self.micros.len() * of_1000 / 1000).min(last);
        self.micros
            .get(at)
            .map_or(f64::NAN, |micros| *micros as f64 / 1e3)
    }

    pub(super) fn add(&mut self, other: Outcome) {
        self.micros.extend(other.micros);
        self.failures += other.failures;
        self.told.extend(other.told);
        self.told.truncate(TOLD);
    }

    pub(super) fn note(&mut self, began: Instant, answer: Result<Answer>) {
        match answer {
            Ok(answer) if answer.status == 200 => {
                self.micros
                    .push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
            Ok(answer) => self.fail(format!("{} to a request", answer.status)),
            Err(error) => self.fail(format!("{error:#}")),
        }
    }

    fn fail(&mut self, what: String) {
        self.failures += 1;
        if self.told.len() < TOLD {
            self.told.push(what);
        }
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// The router said that it closes.
    closes: bool,
}

/// A connection from an address of this machine: one address has ports for some 28,000 connections to one other.
pub(super) async fn connect(to: SocketAddr, number: usize) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let last = u8::try_from(number % 8).unwrap_or_default() + 2;
    socket.bind(SocketAddr::new(
        IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)),
        0,
    ))?;
    let stream = timeout(LIMIT, socket.connect(to))
        .await
        .context("no connection in time")??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks and reads the answer.
pub(super) async fn ask<S>(stream: &mut S, request: &[u8]) -> Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let exchange = async {
        stream.write_all(request).await?;
        read(stream).await
    };
    timeout(LIMIT, exchange)
        .await
        .context("no answer in time")?
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Answer> {
    let mut bytes = Vec::with_capacity(2048);
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            bail!("the connection ended after {} bytes of a head", bytes.len());
        }
    };
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).to_ascii_lowercase();
    let status = head
        .get(9..12)
        .and_then(|code| code.parse().ok())
        .context("no status")?;
    let length: usize = match value(&head, "content-length") {
        Some(length) => length.parse()?,
        None if status == 101 => 0,
        None => bail!("an answer of unknown length"),
    };
    let mut body = bytes.split_off(end);
    while body.len() < length {
        if stream.read_buf(&mut body).await? == 0 {
            bail!("the connection ended {} bytes early", length - body.len());
        }
    }
    Ok(Answer {
        status,
        body,
        closes: value(&head, "connection") == Some("close"),
    })
}

/// How a client comes to the router.
#[derive(Clone)]
pub(super) enum Way {
    /// On one connection while it may.
    Kept,
    /// On a new one each time.
    Fresh,
    /// On a new one with TLS each time.
    Tls(TlsConnector),
}

/// One client of many: asks every `period` from `begin` on until it is told to stop.
pub(super) async fn keep_asking(
    (router, number): (SocketAddr, usize),
    way: Way,
    request: &[u8],
    (begin, period): (Instant, Duration),
    stop: Arc<AtomicBool>,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut kept: Option<TcpStream> = None;
    let mut due = begin;
    loop {
        sleep_until(due.into()).await;
        if stop.load(Relaxed) {
            return outcome;
        }
        let answer = async {
            let mut stream = match kept.take() {
                Some(stream) => stream,
                None => connect(router, number).await?,
            };
            match &way {
                Way::Kept => {
                    let answer = ask(&mut stream, request).await?;
                    kept = (!answer.closes).then_some(stream);
                    Ok(answer)
                }
                Way::Fresh => ask(&mut stream, request).await,
                Way::Tls(tls) => {
                    let name = ServerName::try_from("app.test")?;
                    let mut stream = timeout(LIMIT, tls.connect(name, stream))
                        .await
                        .context("no handshake in time")??;
                    ask(&mut stream, request).await
                }
            }
        };
        let answer = answer.await;
        outcome.note(due, answer);
        due += period;
    }
}

/// How often each word stands there.
pub(super) fn counted(words: impl IntoIterator<Item = String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_are_read_whole_and_no_further() -> Result<()> {
        let mut two = &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"[..];
        let answer = read(&mut two).await?;
        assert_eq!(
            (answer.status, answer.body.as_slice(), answer.closes),
            (200, &b"ok"[..], true)
        );
        for cut in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
        ] {
            assert!(read(&mut cut.as_bytes()).await.is_err());
        }
        Ok(())
    }

    #[test]
    fn quantiles_are_those_of_all() {
        let mut outcome = Outcome::default();
        let mut other = Outcome::default();
        outcome.micros = (0..50).map(|ms| ms * 1000).collect();
        other.micros = (50..100).rev().map(|ms| ms * 1000).collect();
        outcome.add(other);
        assert!((outcome.quantile(500) - 50.0).abs() < 1e-9);
        assert!((outcome.quantile(990) - 99.0).abs() < 1e-9);
        assert!((outcome.quantile(1000) - 99.0).abs() < 1e-9);
        assert!(Outcome::default().quantile(500).is_nan());
    }
}
