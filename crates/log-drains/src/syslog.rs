//! Lines over one TCP or TLS connection, one behind the other.
//!
//! Syslog has no answers: what the connection took counts as sent, and a line that was cut off is sent again whole.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ropewalk_logs::Entry;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{sleep, timeout};

use crate::connect::Stream;
use crate::drain::{Dialler, Drain};
use crate::format::write_frame;

/// Lines taken at once, and their bytes.
const LINES: usize = 128;
const BYTES: usize = 256 << 10;
/// For the farewell of a connection that is not needed any more.
const FINISH: Duration = Duration::from_secs(1);

pub(crate) async fn run(drain: &Drain) {
    let timing = drain.shared.timing;
    let mut dialler = Dialler::new(&timing);
    let mut open: Option<Connection> = None;
    loop {
        let more = match &mut open {
            None => drain.has_more().await,
            Some(connection) => tokio::select! {
                biased;
                more = drain.has_more() => more,
                () = connection.closed() => {
                    connection.note_end(&mut dialler, timing.healthy);
                    open = None;
                    continue;
                }
                () = sleep(timing.idle) => {
                    finish(&mut open).await;
                    continue;
                }
            },
        };
        if !more {
            finish(&mut open).await;
            return;
        }
        let mut pending = Pending::new(&drain.row.token, &drain.tap.take(LINES, BYTES));
        while !pending.is_sent() {
            let mut connection = match open.take() {
                Some(connection) => connection,
                None => match dialler.dial(drain).await {
                    Some(stream) => Connection::new(stream),
                    None => return,
                },
            };
            match connection.send(&mut pending, timing.stall).await {
                Ok(()) => open = Some(connection),
                Err(error) => {
                    tracing::debug!(drain = drain.row.token, %error, "A log drain's connection broke.");
                    match error.kind() {
                        // It was open for long enough, but to no purpose.
                        io::ErrorKind::TimedOut => dialler.failed(),
                        _ => connection.note_end(&mut dialler, timing.healthy),
                    }
                    pending.rewind();
                }
            }
        }
    }
}

/// Ends a connection in good order.
async fn finish(open: &mut Option<Connection>) {
    if let Some(mut connection) = open.take() {
        let _ = timeout(FINISH, connection.writer.shutdown()).await;
    }
}

/// Lines on their way.
struct Pending {
    bytes: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
    sent: usize,
}

impl Pending {
    fn new(host: &str, entries: &[Arc<Entry>]) -> Self {
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(entries.len()));
        for entry in entries {
            write_frame(&mut bytes, host, entry);
            ends.push(bytes.len());
        }
        Self {
            bytes,
            ends,
            sent: 0,
        }
    }

    fn is_sent(&self) -> bool {
        self.sent >= self.bytes.len()
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    /// On the next connection, the line that was begun begins again.
    fn rewind(&mut self) {
        let whole = self.ends.iter().rev().find(|end| **end <= self.sent);
        self.sent = whole.copied().unwrap_or(0);
    }
}

struct Connection {
    reader: ReadHalf<Stream>,
    writer: WriteHalf<Stream>,
    since: Instant,
}

impl Connection {
    fn new(stream: Stream) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader,
            writer,
            since: Instant::now(),
        }
    }

    async fn send(&mut self, pending: &mut Pending, stall: Duration) -> io::Result<()> {
        while !pending.is_sent() {
            let written = tokio::select! {
                written = timeout(stall, self.writer.write(pending.rest())) => written??,
                () = drained(&mut self.reader) => 0,
            };
            if written == 0 {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            pending.sent += written;
        }
        timeout(stall, self.writer.flush()).await?
    }

    /// Completes when the other side hangs up; what it says is thrown away.
    async fn closed(&mut self) {
        drained(&mut self.reader).await;
    }

    fn note_end(&self, dialler: &mut Dialler, healthy: Duration) {
        if self.since.elapsed() >= healthy {
            dialler.reset();
        }
        dialler.failed();
    }
}

async fn drained(reader: &mut ReadHalf<Stream>) {
    let mut buffer = [0; 512];
    while !matches!(reader.read(&mut buffer).await, Ok(0) | Err(_)) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_off_is_sent_again_whole() {
        let mut pending = Pending {
            bytes: vec![0; 30],
            ends: vec![10, 20, 30],
            sent: 19,
        };
        pending.rewind();
        assert_eq!(pending.sent, 10);
        pending.rewind();
        assert_eq!(pending.sent, 10);
        pending.sent = 9;
        pending.rewind();
        assert_eq!(pending.sent, 0);
        pending.sent = 30;
        pending.rewind();
        assert!(pending.is_sent());
    }
}
