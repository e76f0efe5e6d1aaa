//! The pre-receive hook: git has received a push and asks whether to keep it. The answer is the whole deploy.
//!
//! The hook itself is a short process of git's that passes words to and fro; everything is decided in the server.
//! When that process ends, the client is gone, and the build ends with it.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::frame::{self, Frame, MAX_REQUEST, Request, write_exit, write_output};
use super::refs::{self, RefUpdate};
use crate::build;
use crate::build::order::Order;
use crate::context::{Builder, Context};

/// Longest wait for a hook to say what it is about.
const ASKING: Duration = Duration::from_secs(30);
/// Longest input of the hook, in bytes; what is made of it is less than twice as long.
const MAX_INPUT: u64 = MAX_REQUEST / 2;
/// Pieces of output on their way to the client; a slow client slows its own build.
const OUTPUT_AHEAD: usize = 64;

/// The hook's process: run by `ropewalk git-hook` in git's environment. Returns the exit status for git.
pub async fn hook_main(socket: &Path) -> u8 {
    let mut stderr = tokio::io::stderr();
    let said = match ask(socket, &mut stderr).await {
        Ok(Some(status)) => return status,
        Ok(None) => {
            "Ropewalk stopped while it worked on this push; nothing was changed. Push again."
                .to_owned()
        }
        Err(error) => {
            format!("Ropewalk's server does not answer ({error}); nothing was changed. Push again.")
        }
    };
    let _ = stderr
        .write_all(format!("\n !     {said}\n\n").as_bytes())
        .await;
    let _ = stderr.flush().await;
    1
}

async fn ask(socket: &Path, to: &mut (impl AsyncWriteExt + Unpin)) -> std::io::Result<Option<u8>> {
    let mut input = Vec::new();
    let count = tokio::io::stdin()
        .take(MAX_INPUT + 1)
        .read_to_end(&mut input)
        .await?;
    let updates = updates(&input).filter(|_| count as u64 <= MAX_INPUT);
    let Some(updates) = updates else {
        to.write_all(b"\n !     This push changes too many refs at once, or git named them in an unknown way.\n\n")
            .await?;
        return Ok(Some(1));
    };
    let request = Request {
        push: std::env::var("ROPEWALK_PUSH").unwrap_or_default(),
        updates,
        quarantine: std::env::var_os("GIT_QUARANTINE_PATH").map(PathBuf::from),
    };
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(&line).await?;
    loop {
        match frame::read(&mut stream).await? {
            Some(Frame::Output(bytes)) => {
                to.write_all(&bytes).await?;
                to.flush().await?;
            }
            Some(Frame::Exit(status)) => return Ok(Some(status)),
            None => return Ok(None),
        }
    }
}

/// Every line, or nothing: a line that was passed over could be the one that matters.
fn updates(input: &[u8]) -> Option<Vec<RefUpdate>> {
    let text = String::from_utf8_lossy(input);
    text.lines().map(RefUpdate::parse).collect()
}

/// The server's side.
pub(crate) async fn serve(builder: Builder, listener: UnixListener) {
    let context = builder.0;
    loop {
        let accepted = tokio::select! {
            () = context.shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let inner = Arc::clone(&context);
                context.tasks.spawn(async move {
                    if let Err(error) = answer(&inner, stream).await {
                        tracing::debug!(%error, "A hook went away.");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "Could not accept a hook.");
                // Out of file descriptors: others must end first.
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn answer(context: &Arc<Context>, stream: UnixStream) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let request = tokio::time::timeout(ASKING, read_request(&mut reader)).await??;
    let Some(push) = context.pushes.find(&request.push) else {
        write_output(
            &mut writer,
            b" !     This is not a push that Ropewalk knows of.\n",
        )
        .await?;
        return write_exit(&mut writer, 1).await;
    };
    push.received.store(true, Ordering::Release);
    let plan = match refs::plan(&request.updates, context.options.limits.refs) {
        Ok(plan) => plan,
        Err(lines) => {
            write_output(&mut writer, refusal(&lines).as_bytes()).await?;
            return write_exit(&mut writer, 1).await;
        }
    };
    if !plan.notes.is_empty() {
        let mut text = String::new();
        for note in &plan.notes {
            text.push_str(&format!("       {note}\n"));
        }
        write_output(&mut writer, text.as_bytes()).await?;
    }
    let Some(deploy) = plan.deploy else {
        return write_exit(&mut writer, 0).await;
    };
    let cancel = context.shutdown.child_token();
    let _gone = cancel.clone().drop_guard();
    let (log, mut lines) = mpsc::channel::<Bytes>(OUTPUT_AHEAD);
    let order = Order::of_push(&push, deploy, request.quarantine);
    let task = context
        .tasks
        .spawn(build::deploy(Arc::clone(context), order, log, cancel));
    let mut ended = pin!(hook_ends(&mut reader));
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                Some(bytes) => write_output(&mut writer, &bytes).await?,
                None => break,
            },
            () = &mut ended => return Ok(()),
        }
    }
    let keep = match task.await {
        Ok(keep) => keep,
        Err(error) => {
            tracing::error!(%error, "A deploy panicked.");
            write_output(
                &mut writer,
                b"\n !     Ropewalk failed on this push; this is a fault of the platform.\n",
            )
            .await?;
            false
        }
    };
    write_exit(&mut writer, u8::from(!keep)).await
}

async fn read_request(reader: &mut BufReader<OwnedReadHalf>) -> std::io::Result<Request> {
    let mut line = Vec::new();
    reader
        .take(MAX_REQUEST)
        .read_until(b'\n', &mut line)
        .await?;
    Request::parse(&line)
}

/// The hook says nothing more: whatever comes is its end.
async fn hook_ends(reader: &mut BufReader<OwnedReadHalf>) {
    let _ = reader.read_u8().await;
}

fn refusal(lines: &[String]) -> String {
    let mut text = String::from("\n");
    for line in lines {
        text.push_str(&format!(" !     {line}\n"));
    }
    text.push('\n');
    text
}
