//! Requests whose answer is a stream of bytes: logs, and the two-way streams of attach and exec.
//!
//! Spoken to the engine's socket directly: bollard takes a terminal's bytes 0 to 2 for frame headers, and knows log
//! times by the second only.

use std::path::Path;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::task::JoinHandle;

use super::failure::Call;
use super::frames::{Form, Piece, Splitter, split_time};
use crate::container::{Attached, Output};
use crate::{BoxStream, EngineError, Result};

/// Bytes read at a time from an attached stream.
const CHUNK: usize = 16 * 1024;

/// Longest refusal that is read, in bytes.
const MAX_REFUSAL: usize = 64 * 1024;

/// Starts `path` (a POST that the engine answers by handing over the connection) with a JSON body.
pub(super) async fn attach(
    socket: &Path,
    call: Call<'_>,
    path: &str,
    body: Bytes,
    form: Form,
) -> Result<Attached> {
    let request = Request::post(path)
        .header(HOST, "localhost")
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "tcp");
    let request = request.body(Full::new(body)).map_err(unreachable)?;
    let (response, connection) = send(socket, call, request).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(call.refused("the connection was not handed over"));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(unreachable)?;
    connection.finished();
    let parts = upgraded
        .downcast::<TokioIo<UnixStream>>()
        .map_err(|_| call.refused("the connection is not ours"))?;
    let (read, write) = parts.io.into_inner().into_split();
    let mut splitter = Splitter::new(form);
    splitter.push(&parts.read_buf);
    let reader = Reader {
        source: Source::Upgraded(read),
        splitter,
        since: None,
        timed: false,
        ended: false,
    };
    Ok(Attached {
        input: Box::pin(write),
        output: reader.into_stream(),
    })
}

/// Reads `path` as log messages with their times; those before `since` are left out.
pub(super) async fn logs(
    socket: &Path,
    call: Call<'_>,
    path: &str,
    since: Option<Timestamp>,
    form: Form,
) -> Result<BoxStream<Result<Output>>> {
    let request = Request::builder()
        .method(Method::GET)
        .uri(path)
        .header(HOST, "localhost")
        .body(Full::new(Bytes::new()))
        .map_err(unreachable)?;
    let (response, connection) = send(socket, call, request).await?;
    let reader = Reader {
        source: Source::Body(response.into_body(), connection),
        splitter: Splitter::new(form),
        since,
        timed: true,
        ended: false,
    };
    Ok(reader.into_stream())
}

/// The task that moves the bytes of one connection; the connection closes with it.
struct Connection(Option<JoinHandle<()>>);

impl Connection {
    /// The connection was handed over, so that its end is no longer ours.
    fn finished(mut self) {
        self.0 = None;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

async fn send(
    socket: &Path,
    call: Call<'_>,
    request: Request<Full<Bytes>>,
) -> Result<(Response<Incoming>, Connection)> {
    let exchange = async {
        let stream = UnixStream::connect(socket).await.map_err(unreachable)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(unreachable)?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "A connection to Docker Engine broke.");
            }
        });
        let connection = Connection(Some(task));
        let response = sender.send_request(request).await.map_err(unreachable)?;
        let status = response.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok((response, connection));
        }
        let body = http_body_util::Limited::new(response.into_body(), MAX_REFUSAL)
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        Err(call.status(status.as_u16(), message(&body)))
    };
    call.within(exchange).await
}

/// The text of a refusal: `{"message": "…"}`, or the body as it stands.
fn message(body: &[u8]) -> String {
    serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|value| Some(value.get("message")?.as_str()?.to_owned()))
        .unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned())
}

enum Source {
    Upgraded(OwnedReadHalf),
    Body(Incoming, Connection),
}

struct Reader {
    source: Source,
    splitter: Splitter,
    since: Option<Timestamp>,
    timed: bool,
    ended: bool,
}

impl Reader {
    fn into_stream(self) -> BoxStream<Result<Output>> {
        Box::pin(stream::unfold(self, |mut reader| async {
            let output = reader.next().await?;
            Some((output, reader))
        }))
    }

    async fn next(&mut self) -> Option<Result<Output>> {
        loop {
            let piece = match self.splitter.next() {
                Some(piece) => piece,
                None if self.ended => self.splitter.rest()?,
                None => {
                    match self.source.read().await {
                        Ok(Some(bytes)) => self.splitter.push(&bytes),
                        Ok(None) => self.ended = true,
                        Err(error) => {
                            self.ended = true;
                            return Some(Err(error));
                        }
                    }
                    continue;
                }
            };
            match self.output(piece) {
                Ok(Some(output)) => return Some(Ok(output)),
                Ok(None) => {}
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
    }

    fn output(&self, piece: Piece) -> Result<Option<Output>> {
        let (stream, bytes) = match piece {
            Piece::Output(stream, bytes) => (stream, bytes),
            Piece::Complaint(message) => {
                return Err(EngineError::Refused {
                    verb: "read",
                    name: "output".to_owned(),
                    message,
                });
            }
        };
        let (at, bytes) = if self.timed {
            split_time(bytes)
        } else {
            (None, bytes)
        };
        let early = matches!((at, self.since), (Some(at), Some(since)) if at < since);
        Ok((!early).then_some(Output { stream, at, bytes }))
    }
}

impl Source {
    /// The next bytes; `None` when there will be none.
    async fn read(&mut self) -> Result<Option<Bytes>> {
        match self {
            Self::Upgraded(read) => {
                let mut chunk = vec![0; CHUNK];
                let length = read.read(&mut chunk).await.map_err(unreachable)?;
                chunk.truncate(length);
                Ok((length > 0).then(|| chunk.into()))
            }
            Self::Body(body, _connection) => match body.frame().await {
                None => Ok(None),
                Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
                Some(Err(error)) => Err(unreachable(error)),
            },
        }
    }
}

fn unreachable(error: impl std::fmt::Display) -> EngineError {
    EngineError::Unreachable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn a_refusal_tells_its_message() {
        assert_eq!(message(br#"{"message":"no such thing"}"#), "no such thing");
        assert_eq!(message(b" page not found\n"), "page not found");
    }
}
