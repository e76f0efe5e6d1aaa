//! An attached dyno: our input, size and signals to it, its output and exit code to us.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use ropewalk_client::attach::{FromDyno, Receiver, Sender, ToDyno};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::cmd::run::terminal::{self, Raw};
use crate::ui::Failure;

/// Proxies on the way close what is silent for a minute.
const PING_EVERY: Duration = Duration::from_secs(25);

/// Runs until the dyno's command ends, and passes its exit code on.
pub(super) async fn run(
    (mut sender, mut receiver): (Sender, Receiver),
    tty: bool,
) -> anyhow::Result<ExitCode> {
    let raw = if tty { Some(Raw::start()?) } else { None };
    let (to_dyno, mut queue) = mpsc::channel::<ToDyno>(16);
    let input = tokio::spawn(read_input(to_dyno.clone()));
    let signals = tokio::spawn(watch_signals(to_dyno, tty));
    let sending = tokio::spawn(async move {
        let mut pings = tokio::time::interval(PING_EVERY);
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
    let outcome = receive(&mut receiver).await;
    for task in [input, signals, sending] {
        task.abort();
    }
    drop(raw);
    outcome
}

/// Writes what comes until the exit code does.
async fn receive(receiver: &mut Receiver) -> anyhow::Result<ExitCode> {
    loop {
        match receiver.next().await? {
            Some(FromDyno::Stdout(bytes)) => write(&mut std::io::stdout().lock(), &bytes)?,
            Some(FromDyno::Stderr(bytes)) => write(&mut std::io::stderr().lock(), &bytes)?,
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

/// What a dyno writes is for the terminal as it is: that is what attaching means.
fn write(stream: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
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

/// On a terminal Ctrl-C is a key like any other; without one it is a signal to pass on.
async fn watch_signals(to_dyno: mpsc::Sender<ToDyno>, tty: bool) {
    let listeners = (
        signal(SignalKind::window_change()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
        signal(SignalKind::hangup()),
    );
    let (Ok(mut resized), Ok(mut interrupted), Ok(mut terminated), Ok(mut hung_up)) = listeners
    else {
        return;
    };
    // The size may have changed since the dyno was asked for.
    if let Some((rows, columns)) = terminal::size().filter(|_| tty)
        && to_dyno
            .send(ToDyno::Resize { rows, columns })
            .await
            .is_err()
    {
        return;
    }
    loop {
        let message = tokio::select! {
            _ = resized.recv() => match terminal::size() {
                Some((rows, columns)) if tty => ToDyno::Resize { rows, columns },
                _ => continue,
            },
            _ = interrupted.recv() => ToDyno::Signal("INT".to_owned()),
            _ = terminated.recv() => ToDyno::Signal("TERM".to_owned()),
            _ = hung_up.recv() => ToDyno::Signal("HUP".to_owned()),
        };
        if to_dyno.send(message).await.is_err() {
            return;
        }
    }
}
