//! The link to the server: tables and certificates in; acknowledgements, log lines and counts out.
//!
//! Lives as long as the router and survives any number of servers. Nothing a request needs goes
//! through here, so its absence costs nothing but news.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use ropewalk_api_types::router::{MAX_LINE, ToRouter, ToServer};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::logs::Lines;
use crate::router::Router;
use crate::saved::{News, Raw};

/// Silence after which the server is taken for dead.
const SILENCE: Duration = Duration::from_secs(30);
/// First and longest pause between two attempts to connect.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Log lines of one message, and the most bytes of them before they are written as JSON, which may
/// double them: far below [`MAX_LINE`].
const BATCH: (usize, usize) = (512, 1 << 20);
/// How often a message may break off with its connection before it is given up: it may be the
/// message that breaks the connection.
const TRIES: u8 = 2;
/// Messages sent in one go, so that a flood of lines does not delay an acknowledgement.
const ROUNDS: usize = 8;
/// How long a log line may wait for company; short enough that the queue does not fill meanwhile.
const LINGER: Duration = Duration::from_millis(20);
/// Period of the counts.
const STATS: Duration = Duration::from_secs(1);

/// The router's end of the link.
pub(crate) struct Link {
    pub(crate) router: Arc<Router>,
    pub(crate) socket: PathBuf,
    pub(crate) lines: Lines,
    /// Lines that no server has taken whole: the next one gets them.
    pub(crate) unsent: Option<Unsent>,
    pub(crate) saved: Saved,
}

/// What is on its way to the disk.
#[derive(Clone)]
pub(crate) struct Saved {
    pub(crate) table: Arc<News>,
    pub(crate) certificates: watch::Sender<Option<Raw>>,
}

/// What was put in force on one connection, and is to be acknowledged there.
#[derive(Debug, Default)]
struct Applied {
    table: Notify,
    certificates: Notify,
    /// Of the certificates.
    generation: AtomicU64,
}

/// A message on its way.
#[derive(Debug)]
pub(crate) struct Unsent {
    message: ToServer,
    /// How many log lines are in it.
    lines: usize,
    /// How often it was begun.
    tries: u8,
}

impl Link {
    /// Connects, serves the connection, and again, until the router has ended.
    pub(crate) async fn run(mut self) {
        let mut pause = BACKOFF.0;
        let ended = self.router.ended.clone();
        while !ended.is_cancelled() {
            if let Ok(stream) = UnixStream::connect(&self.socket).await {
                tracing::info!("Connected to the server.");
                let error = self.converse(stream).await;
                tracing::info!(%error, "Lost the server; serving on with the last table.");
                pause = BACKOFF.0;
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = ended.cancelled() => {}
            }
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    /// One connection, until it fails.
    async fn converse(&mut self, stream: UnixStream) -> io::Error {
        let (reader, writer) = stream.into_split();
        let applied = Applied::default();
        let router = Arc::clone(&self.router);
        let saved = self.saved.clone();
        let result = tokio::select! {
            result = listen(&router, reader, &saved, &applied) => result,
            result = self.report(writer, &applied) => result,
        };
        result
            .err()
            .unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Tells the server what the router saw and did.
    async fn report(&mut self, mut writer: OwnedWriteHalf, applied: &Applied) -> io::Result<()> {
        let hello = ToServer::Hello {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            changes: true,
        };
        send(&mut writer, &hello).await?;
        self.send_lines(&mut writer).await?;
        let mut stats = interval(STATS);
        stats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut flush = interval(LINGER);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut acknowledged = false;
        let mut waiting = false;
        let router = Arc::clone(&self.router);
        let ended = self.router.ended.clone();
        loop {
            tokio::select! {
                () = ended.cancelled() => {
                    while !self.lines.is_empty() {
                        self.send_lines(&mut writer).await?;
                    }
                    return self.send_stats(&mut writer).await;
                }
                () = applied.table.notified() => {
                    acknowledged = true;
                    self.acknowledge(&mut writer).await?;
                }
                apps = router.tables.wakes.next() => {
                    for app in apps {
                        send(&mut writer, &ToServer::Wake { app }).await?;
                    }
                }
                () = applied.certificates.notified() => {
                    let generation = applied.generation.load(Relaxed);
                    send(&mut writer, &ToServer::Certified { generation }).await?;
                }
                // Before the first table of this server there is nothing it could match it to.
                () = self.router.tables.drained().notified(), if acknowledged => {
                    self.acknowledge(&mut writer).await?;
                }
                // The first line starts the clock; the others of the moment wait in the queue for
                // it, so that a busy router does not wake up for each.
                more = self.lines.arrived(), if !waiting => {
                    if !more {
                        return Ok(());
                    }
                    waiting = true;
                    flush.reset();
                }
                _ = flush.tick(), if waiting => {
                    self.send_lines(&mut writer).await?;
                    waiting = false;
                }
                _ = stats.tick() => self.send_stats(&mut writer).await?,
            }
        }
    }

    async fn acknowledge(&self, writer: &mut OwnedWriteHalf) -> io::Result<()> {
        let generation = self.router.tables.load().generation;
        let draining = self.router.tables.draining();
        let unbound = self.router.tables.tcp.sockets.failed();
        let ack = ToServer::Ack {
            generation,
            draining,
            unbound,
        };
        send(writer, &ack).await
    }

    /// Sends what waits, at most [`BATCH`] to a message.
    async fn send_lines(&mut self, writer: &mut OwnedWriteHalf) -> io::Result<()> {
        for _ in 0..ROUNDS {
            if let Some(lost) = self.unsent.take_if(|unsent| unsent.tries >= TRIES) {
                tracing::warn!(lines = lost.lines, "No server took these lines of the log.");
                let dropped = &self.router.counters.log_dropped;
                dropped.fetch_add(lost.lines as u64, Relaxed);
            }
            let unsent = match &mut self.unsent {
                Some(unsent) => unsent,
                None => {
                    let lines = self.lines.take(BATCH.0, BATCH.1);
                    if lines.is_empty() {
                        break;
                    }
                    self.unsent.insert(Unsent {
                        lines: lines.len(),
                        message: ToServer::Log { lines },
                        tries: 0,
                    })
                }
            };
            unsent.tries += 1;
            send(writer, &unsent.message).await?;
            self.unsent = None;
        }
        Ok(())
    }

    async fn send_stats(&self, writer: &mut OwnedWriteHalf) -> io::Result<()> {
        let mut apps = self
            .router
            .tables
            .load()
            .apps()
            .filter_map(|app| Some((app.id.clone(), app.take_stats()?)))
            .collect::<std::collections::BTreeMap<_, _>>();
        for (app, tcp) in self.router.tables.tcp.take_stats() {
            apps.entry(app).or_default().tcp = Some(tcp);
        }
        if apps.is_empty() {
            return Ok(());
        }
        send(writer, &ToServer::Stats { apps }).await
    }
}

/// Takes tables until the server falls silent.
async fn listen(
    router: &Arc<Router>,
    reader: OwnedReadHalf,
    saved: &Saved,
    applied: &Applied,
) -> io::Result<()> {
    let mut reader = BufReader::new(reader);
    // A server's generations begin anew with it.
    let mut newest = None;
    loop {
        let line = timeout(SILENCE, read_line(&mut reader))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let Some(line) = line else { return Ok(()) };
        let router = Arc::clone(router);
        // A large table takes a while to parse; requests must not wait for it.
        let outcome = tokio::task::spawn_blocking(move || take(&router, newest, line))
            .await
            .map_err(io::Error::other)??;
        match outcome {
            Taken::Table(generation, raw) => {
                newest = Some(generation);
                applied.table.notify_one();
                saved.table.whole(raw);
            }
            Taken::Changes(generation, raw) => {
                newest = Some(generation);
                applied.table.notify_one();
                // The next connection begins with a whole table.
                saved.table.more(raw).map_err(io::Error::other)?;
            }
            Taken::Certificates(generation, raw) => {
                // A server that numbers none would not understand the answer.
                if generation > 0 {
                    applied.generation.store(generation, Relaxed);
                    applied.certificates.notify_one();
                }
                saved.certificates.send_replace(Some(raw));
            }
            Taken::Nothing => {}
        }
    }
}

/// What became of a line: its part that is to be kept.
enum Taken {
    Table(u64, Raw),
    Changes(u64, Raw),
    Certificates(u64, Raw),
    Nothing,
}

/// Applies a line, if it is certificates, a table newer than `newest` or changes to it.
///
/// # Errors
/// Changes to another table than the one in force, or what is no message at all.
fn take(router: &Router, newest: Option<u64>, line: Vec<u8>) -> io::Result<Taken> {
    let table = match serde_json::from_slice(&line) {
        Ok(ToRouter::Table(table)) => table,
        Ok(ToRouter::Changes(changes)) => {
            if newest != Some(changes.since) || !router.tables.change(&changes) {
                let error = "changes to a table that is not in force";
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            router.counters.tables.fetch_add(1, Relaxed);
            return Ok(Taken::Changes(changes.generation, Arc::new(line)));
        }
        Ok(ToRouter::Certificates(certificates)) => {
            router.certificates.apply(&certificates);
            return Ok(Taken::Certificates(certificates.generation, Arc::new(line)));
        }
        Ok(ToRouter::Ping) => return Ok(Taken::Nothing),
        Ok(ToRouter::Unknown) => {
            tracing::debug!("A newer server sent a message of a type that is not known.");
            return Ok(Taken::Nothing);
        }
        Err(error) if error.is_data() => {
            // A newer server may say more than we know.
            tracing::warn!(%error, "Did not understand a message of the server.");
            return Ok(Taken::Nothing);
        }
        Err(error) => return Err(error.into()),
    };
    if newest.is_some_and(|newest| table.generation <= newest) {
        return Ok(Taken::Nothing);
    }
    if newest.is_none() {
        router.tables.wakes.forget();
    }
    router.tables.apply(&table);
    router.counters.tables.fetch_add(1, Relaxed);
    Ok(Taken::Table(table.generation, Arc::new(line)))
}

/// One line without its end, `None` at the end of the stream.
async fn read_line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(None);
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        if line.len() + part.len() > MAX_LINE {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a line of the server is too long",
            ));
        }
        line.extend_from_slice(part);
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

async fn send(writer: &mut OwnedWriteHalf, message: &ToServer) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    // A server that stopped reading is as good as gone.
    timeout(SILENCE, writer.write_all(&line))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
