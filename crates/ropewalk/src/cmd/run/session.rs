//! An attached dyno: our input, size and signals to it, its output and exit code to us.

use std::future::pending;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use ropewalk_client::attach::{FromDyno, Receiver, Sender, ToDyno};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;

use crate::cmd::run::terminal::{self, Raw};
use crate::ui::Failure;

/// Proxies on the way close what is silent for a minute.
const PING_EVERY: Duration = Duration::from_secs(25);

/// For a signal to be on its way.
const HAND_OVER: Duration = Duration::from_secs(2);

/// The signals that are the dyno's from when this is made on: made before the user is told that the dyno is there.
pub(super) struct Signals {
    resized: Signal,
    interrupted: Signal,
    terminated: Signal,
    hung_up: Signal,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            resized: signal(SignalKind::window_change())?,
            interrupted: signal(SignalKind::interrupt())?,
            terminated: signal(SignalKind::terminate())?,
            hung_up: signal(SignalKind::hangup())?,
        })
    }
}

/// Runs until the dyno's command ends, and passes its exit code on.
pub(super) async fn run(
    (mut sender, mut receiver): (Sender, Receiver),
    signals: Signals,
    tty: bool,
) -> anyhow::Result<ExitCode> {
    let raw = if tty { Some(Raw::start()?) } else { None };
    let (to_dyno, mut queue) = mpsc::channel::<ToDyno>(16);
    let input = tokio::spawn(read_input(to_dyno.clone()));
    let sending = tokio::spawn(async move {
        let mut pings = tokio::time::interval(PING_EVERY);
        pings.reset();
        loop {
            let sent = tokio::select! {
                message = queue.recv() => match message {
                    Some(message) => sender.send(message).await,
                    None => return,
                },
                _ = pings.tick() => sender.ping().await,
            };
            // The receiving half meets the same broken connection, and tells.
            if sent.is_err() {
                return;
            }
        }
    });
    let outcome = tokio::select! {
        failure = watch_signals(signals, to_dyno, tty) => Err(failure.into()),
        outcome = receive(&mut receiver) => outcome,
    };
    for task in [input, sending] {
        task.abort();
    }
    drop(raw);
    outcome
}

/// Writes what comes until the exit code does.
async fn receive(receiver: &mut Receiver) -> anyhow::Result<ExitCode> {
    loop {
        match receiver.next().await? {
            Some(FromDyno::Stdout(bytes)) => write(tokio::io::stdout(), &bytes).await?,
            Some(FromDyno::Stderr(bytes)) => write(tokio::io::stderr(), &bytes).await?,
            Some(FromDyno::Exit(code)) => {
                return Ok(ExitCode::from(u8::try_from(code & 0xff).unwrap_or(1)));
            }
            None => {
                return Err(Failure::new(
                    "The connection to the dyno ended before its command did.",
                )
                .hint("The dyno may still be running: see ropewalk ps.")
                .into());
            }
        }
    }
}

/// What a dyno writes is for the terminal as it is: that is what attaching means. Where nobody reads it this waits,
/// while pings and signals go on.
async fn write(mut stream: impl AsyncWrite + Unpin, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

async fn read_input(to_dyno: mpsc::Sender<ToDyno>) {
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let message = match stdin.read(&mut buffer).await {
            Ok(0) | Err(_) => ToDyno::StdinClosed,
            Ok(length) => ToDyno::Stdin(Bytes::copy_from_slice(
                buffer.get(..length).unwrap_or_default(),
            )),
        };
        let last = message == ToDyno::StdinClosed;
        if to_dyno.send(message).await.is_err() || last {
            return;
        }
    }
}

/// On a terminal Ctrl-C is a key like any other; without one it is a signal to pass on. Ends only when a signal
/// cannot be passed on, because input that the dyno does not take is in its way.
async fn watch_signals(mut signals: Signals, to_dyno: mpsc::Sender<ToDyno>, tty: bool) -> Failure {
    // The size may have changed since the dyno was asked for.
    let mut message = terminal::size()
        .filter(|_| tty)
        .map(|(rows, columns)| ToDyno::Resize { rows, columns });
    loop {
        if let Some(message) = message {
            match to_dyno.send_timeout(message, HAND_OVER).await {
                Ok(()) => {}
                Err(SendTimeoutError::Timeout(ToDyno::Signal(_))) => return stuck(),
                // A size that comes too late is followed by the next one.
                Err(SendTimeoutError::Timeout(_)) => {}
                // The connection is broken, which the receiving half tells.
                Err(SendTimeoutError::Closed(_)) => return pending().await,
            }
        }
        message = tokio::select! {
            _ = signals.resized.recv() => terminal::size()
                .filter(|_| tty)
                .map(|(rows, columns)| ToDyno::Resize { rows, columns }),
            _ = signals.interrupted.recv() => Some(ToDyno::Signal("INT".to_owned())),
            _ = signals.terminated.recv() => Some(ToDyno::Signal("TERM".to_owned())),
            _ = signals.hung_up.recv() => Some(ToDyno::Signal("HUP".to_owned())),
        };
    }
}

fn stuck() -> Failure {
    Failure::new("The dyno takes no input, so the signal did not reach it.")
        .hint("Its terminal is hung up instead, which sends it SIGHUP.")
}
