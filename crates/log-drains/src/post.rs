//! Lines by HTTP: batches posted one after the other over a connection that is kept.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::batch::{Batch, Verdict};
use crate::connect::Stream;
use crate::drain::{Dialler, Drain};

/// Lines of a request at most, and their bytes.
const LINES: usize = 1_000;
const BYTES: usize = 1 << 20;
/// Requests for one batch that were answered badly or not at all; then it is dropped.
const TRIES: u32 = 5;
/// Largest answer that is read to its end, so that the connection can be used again.
const MAX_ANSWER: usize = 64 << 10;

pub(crate) async fn run(drain: &Drain) {
    let mut dialler = Dialler::new(&drain.shared.timing);
    let mut open: Option<Connection> = None;
    loop {
        let more = tokio::select! {
            biased;
            more = drain.has_more() => more,
            () = sleep(drain.shared.timing.idle), if open.is_some() => {
                open = None;
                continue;
            }
        };
        if !more {
            return;
        }
        drain.gather(LINES).await;
        let batch = Batch::new(&drain.tap.take(LINES, BYTES));
        if batch.lines > 0 && !deliver(drain, &batch, &mut dialler, &mut open).await {
            return;
        }
    }
}

/// Until the batch is taken or given up; `false` when the server ends meanwhile.
async fn deliver(
    drain: &Drain,
    batch: &Batch,
    dialler: &mut Dialler,
    open: &mut Option<Connection>,
) -> bool {
    let mut bad = 0;
    loop {
        let (mut connection, is_used) = match open.take().filter(Connection::is_ready) {
            Some(connection) => (connection, true),
            None => match dialler.dial(drain).await.map(Connection::new) {
                Some(dialled) => match dialled.await {
                    Ok(connection) => (connection, false),
                    Err(_) => {
                        dialler.failed();
                        continue;
                    }
                },
                None => return false,
            },
        };
        let status = timeout(drain.shared.timing.answer, connection.post(drain, batch)).await;
        let status = match status {
            Ok(Ok((status, is_reusable))) => {
                *open = is_reusable.then_some(connection);
                Some(status)
            }
            // The target closed a connection that was kept: that says nothing about the batch.
            Ok(Err(_)) if is_used => continue,
            Ok(Err(_)) | Err(_) => None,
        };
        match status.map_or(Verdict::Later, Verdict::of) {
            Verdict::Taken => {
                dialler.reset();
                return true;
            }
            Verdict::Later => {
                bad += 1;
                dialler.failed();
                if bad < TRIES {
                    if !dialler.rest(drain).await {
                        return false;
                    }
                    continue;
                }
            }
            Verdict::Never => {}
        }
        if let Some(status) = status {
            drain.report.rejected(status);
        }
        drain.report.dropped(batch.lines);
        return true;
    }
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Moves the bytes; ends with the connection's owner.
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    async fn new(stream: Stream) -> hyper::Result<Self> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "A log drain's connection broke.");
            }
        });
        Ok(Self {
            sender,
            _driver: AbortOnDropHandle::new(driver),
        })
    }

    fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// The status, and whether the connection can be used again.
    async fn post(&mut self, drain: &Drain, batch: &Batch) -> Result<(u16, bool), PostError> {
        let request = batch.request(&drain.row)?;
        let response = self.sender.send_request(request).await?;
        let status = response.status().as_u16();
        let rest = Limited::new(response.into_body(), MAX_ANSWER).collect();
        // A slow answer's body must not make a success a failure.
        let read = timeout(drain.shared.timing.connect, rest).await;
        Ok((status, matches!(read, Ok(Ok(_)))))
    }
}

#[derive(Debug, thiserror::Error)]
enum PostError {
    #[error("the request cannot be made: {0}")]
    Request(#[from] http::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
}
