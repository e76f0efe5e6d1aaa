//! A router is replaced while it runs: it starts the program that is installed now with the arguments of its own, hands
//! it the listening sockets, and goes when that one serves.
//!
//! ```text
//! old                                   new, with `--take-over` and one end of a socket pair as its standard input
//! SIGHUP; starts the new ──sockets────▶ serves by the table that was kept
//!                        ◀──one byte─── notes its pid
//! tells systemd; accepts no more, finishes what is in flight
//! ```
//! Must not decide when: that is whoever sends the signal.

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use ropewalk_router::Listeners;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The argument by which a router knows that another waits for it.
pub(super) const TAKE_OVER: &str = "--take-over";

/// For the new router to serve.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// What the new router says when it serves.
const READY: u8 = b'!';

/// What it takes to be replaced.
#[derive(Debug)]
pub(super) struct Heir {
    /// Where the program was when this process began: a newer one lies there by now.
    program: PathBuf,
    listeners: Listeners,
    hangup: Signal,
}

impl Heir {
    /// From now on SIGHUP is heard.
    pub(super) fn new(listeners: &Listeners) -> Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            program: std::env::current_exe().context("the program's path is unknown")?,
            listeners: listeners
                .try_clone()
                .context("the listening sockets could not be kept")?,
        })
    }

    /// Returns when another router serves in this one's place, which begins with SIGHUP. One that does not come to
    /// serve is ended, and nothing has changed.
    pub(super) async fn succeeds(mut self) {
        while self.hangup.recv().await.is_some() {
            match start(&self.program, arguments(), &self.listeners).await {
                Ok(pid) => {
                    tracing::info!(pid, "Another router serves; this one finishes what it has.");
                    let _ = sd_notify::notify(&[sd_notify::NotifyState::MainPid(pid)]);
                    return;
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(%error, "The new router does not serve; this one goes on.");
                }
            }
        }
        std::future::pending().await
    }
}

/// The new router's side: the sockets, and whom to tell.
#[derive(Debug)]
pub(super) struct Predecessor(UnixStream);

impl Predecessor {
    /// The one at the other end of standard input.
    pub(super) fn at_stdin() -> Result<Self> {
        let socket = std::io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Self(UnixStream::from(socket)))
    }

    pub(super) fn listeners(&self) -> Result<Listeners> {
        Listeners::receive(&self.0).context("no router hands over its sockets")
    }

    /// It may go. One that is gone already changes nothing: the sockets are here.
    pub(super) fn dismiss(mut self) {
        let _ = self.0.write_all(&[READY]);
    }
}

/// Those of this process, and the one more.
fn arguments() -> Vec<OsString> {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.iter().all(|argument| argument != TAKE_OVER) {
        arguments.push(TAKE_OVER.into());
    }
    arguments
}

/// Starts a router and waits until it serves. Its pid.
async fn start(program: &Path, arguments: Vec<OsString>, listeners: &Listeners) -> Result<u32> {
    let (ours, theirs) = UnixStream::pair()?;
    listeners.send(&ours)?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        // They are for the one process that systemd started.
        .env_remove("LISTEN_PID")
        .env_remove("LISTEN_FDS")
        .env_remove("LISTEN_FDNAMES")
        .env_remove("WATCHDOG_PID")
        .spawn()
        .with_context(|| format!("{} could not be started", program.display()))?;
    ours.set_nonblocking(true)?;
    let mut ours = tokio::net::UnixStream::from_std(ours)?;
    let serves = match tokio::time::timeout(READY_WITHIN, ours.read_u8()).await {
        Ok(Ok(READY)) => child.id().context("it ended at once"),
        Ok(Ok(_)) => Err(anyhow::anyhow!(
            "it said something else than that it serves"
        )),
        Ok(Err(_)) => Err(anyhow::anyhow!("it ended before it served")),
        Err(_) => Err(anyhow::anyhow!(
            "it did not serve within {} seconds",
            READY_WITHIN.as_secs()
        )),
    };
    if serves.is_err() {
        let _ = child.kill().await;
    }
    serves
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listeners() -> Result<Listeners> {
        Ok(Listeners {
            plain: vec![std::net::TcpListener::bind("127.0.0.1:0")?],
            ..Listeners::default()
        })
    }

    #[tokio::test]
    async fn a_program_that_does_not_serve_is_no_heir() -> Result<()> {
        let listeners = listeners()?;
        for (program, why) in [
            ("/nowhere/ropewalk", "could not be started"),
            ("true", "it ended before it served"),
        ] {
            let error = start(Path::new(program), Vec::new(), &listeners).await;
            let error = error.err().map(|error| format!("{error:#}"));
            assert!(error.as_ref().is_some_and(|e| e.contains(why)), "{error:?}");
        }
        Ok(())
    }
}
