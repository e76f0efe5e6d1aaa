//! A git that serves a client: its output becomes the answer, and it ends when the client goes away.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::command::spawn;
use super::push::Entered;
use super::repo::InUse;
use crate::Result;
use crate::context::Context;
use crate::error::chain;

/// Time between SIGTERM, on which git removes what it received so far, and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// How long a received push may take to end by itself while the server stops.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Bytes read from git at a time.
const CHUNK: usize = 32 * 1024;
/// Words of git kept for the log, in bytes.
const WORDS: u64 = 8 * 1024;

/// The push that a receiving git serves.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) entered: Entered,
    pub(crate) in_use: InUse,
}

/// A git under way. Dropping it ends the process and its children, unless the push stands already.
#[derive(Debug)]
pub(crate) struct Running {
    context: Arc<Context>,
    verb: &'static str,
    child: Option<Child>,
    output: Option<ChildStdout>,
    words: Option<JoinHandle<Vec<u8>>>,
    serving: Option<Serving>,
    _permit: OwnedSemaphorePermit,
    /// Cancelled when the answer has ended, however that came.
    pub(super) over: CancellationToken,
    _watch: DropGuard,
}

impl Running {
    /// Starts git with piped input and output. It ends after `limit`, unless it serves a push that was received.
    pub(crate) fn start(
        context: &Arc<Context>,
        verb: &'static str,
        command: &mut Command,
        limit: Duration,
        serving: Option<Serving>,
        permit: OwnedSemaphorePermit,
    ) -> Result<(Self, Option<ChildStdin>)> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = spawn(command)?;
        let input = child.stdin.take();
        let output = child.stdout.take();
        let words = child.stderr.take().map(|from| tokio::spawn(gather(from)));
        let over = CancellationToken::new();
        if let Some(group) = group(&child) {
            let push = serving.as_ref().map(|s| Arc::clone(&s.entered.push));
            let over = over.clone();
            let shutdown = context.shutdown.clone();
            context.tasks.spawn(async move {
                tokio::select! {
                    () = over.cancelled() => return,
                    () = shutdown.cancelled() => {
                        // A build under way tells its client that it ends; a release that was made stands.
                        if push.is_some_and(|push| push.is_received())
                            && tokio::time::timeout(LAST_WORDS, over.cancelled()).await.is_ok()
                        {
                            return;
                        }
                    }
                    () = tokio::time::sleep(limit) => {
                        if push.is_some_and(|push| push.is_received()) {
                            return;
                        }
                        tracing::warn!(verb, seconds = limit.as_secs(), "Ended a git that took too long.");
                    }
                }
                let _ = kill_process_group(group, Signal::TERM);
                if tokio::time::timeout(GRACE, over.cancelled()).await.is_err() {
                    let _ = kill_process_group(group, Signal::KILL);
                }
            });
        }
        let running = Self {
            context: Arc::clone(context),
            verb,
            child: Some(child),
            output,
            words,
            serving,
            _permit: permit,
            _watch: over.clone().drop_guard(),
            over,
        };
        Ok((running, input))
    }

    /// The response's body: `head`, then git's output as it comes.
    pub(crate) fn into_body(self, head: Bytes) -> Body {
        let chunks = stream::unfold((Some(head), self), async |(head, mut running)| {
            if let Some(head) = head.filter(|head| !head.is_empty()) {
                return Some((Ok(head), (None, running)));
            }
            match running.next().await {
                Ok(chunk) if chunk.is_empty() => {
                    running.conclude().await;
                    None
                }
                Ok(chunk) => Some((Ok(chunk), (None, running))),
                Err(error) => Some((Err(error), (None, running))),
            }
        });
        Body::from_stream(chunks)
    }

    /// The next piece of output; empty at its end.
    pub(super) async fn next(&mut self) -> std::io::Result<Bytes> {
        let Some(output) = &mut self.output else {
            return Ok(Bytes::new());
        };
        let mut buffer = BytesMut::with_capacity(CHUNK);
        output.read_buf(&mut buffer).await?;
        Ok(buffer.freeze())
    }

    /// Git closed its output: it has ended, or is about to. How it ended, if that can be known.
    pub(super) async fn conclude(&mut self) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        let ended = child.wait().await;
        match &ended {
            Ok(status) if !status.success() => {
                let words = match self.words.take() {
                    Some(words) => words.await.unwrap_or_default(),
                    None => Vec::new(),
                };
                let words = String::from_utf8_lossy(&words);
                tracing::info!(verb = self.verb, %status, words = words.trim(), "A git that served a client failed.");
            }
            Ok(_) => {
                if let Some(Serving { entered, in_use }) = self.serving.take() {
                    drop(in_use);
                    let context = Arc::clone(&self.context);
                    let app = entered.push.app.id;
                    self.context
                        .tasks
                        .spawn(async move { context.repos.maintain(&context, app).await });
                }
            }
            Err(error) => {
                tracing::warn!(
                    verb = self.verb,
                    error = chain(error),
                    "Could not wait for git."
                );
            }
        }
        ended.ok()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let context = Arc::clone(&self.context);
        let output = self.output.take();
        let serving = self.serving.take();
        self.context.tasks.spawn(async move {
            if serving.as_ref().is_some_and(|s| s.entered.push.is_settled()) {
                // The client is gone but the release stands: the ref must follow it.
                drain(output).await;
            } else if let Some(group) = group(&child) {
                let _ = kill_process_group(group, Signal::TERM);
                if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
                    let _ = kill_process_group(group, Signal::KILL);
                }
            }
            let _ = child.wait().await;
            let Some(Serving { entered, in_use }) = serving else {
                return;
            };
            drop(in_use);
            let app = entered.push.app.id;
            if let Err(error) = context.repos.tidy(app).await {
                tracing::warn!(%app, error = chain(&error), "Could not tidy a repository after a push that was cut off.");
            }
        });
    }
}

fn group(child: &Child) -> Option<Pid> {
    child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw)
}

async fn drain(output: Option<ChildStdout>) {
    if let Some(mut output) = output {
        let _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
    }
}

/// The first words of a stream; the rest is read and forgotten so that nobody blocks on it.
async fn gather(mut from: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut words = Vec::new();
    let _ = (&mut from).take(WORDS).read_to_end(&mut words).await;
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    words
}
