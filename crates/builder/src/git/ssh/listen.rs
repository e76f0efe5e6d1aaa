//! Takes connections, as many as there are places, and ends those that do not log in, do nothing, or outlive the
//! server.

use std::borrow::Cow;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{Algorithm, EcdsaCurve};
use russh::server::{Config, Handle, RunningSession, run_stream};
use russh::{Disconnect, MethodKind, MethodSet, Preferred, SshId};
use rustix::net::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::HostKey;
use super::session::{Connection, Stage};
use crate::context::Context;

/// Connections at once; more are turned away.
const MAX_CONNECTIONS: usize = 32;
/// From a connection's first byte until a key was shown that is somebody's.
const LOG_IN: Duration = Duration::from_secs(20);
/// Refusals after which a client may try no more: six keys of nobody, and the question what there is to try.
const MAX_REFUSALS: usize = 7;
/// A connection on which no command runs is kept this long.
const IDLE: Duration = Duration::from_secs(300);
/// Between signs of life that clients are asked for, also while a build says nothing.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Signs of life that may be missed.
const MISSED: usize = 4;
/// A client that takes nothing of what is sent to it is given up after this long.
const STUCK: Duration = Duration::from_secs(300);
/// For commands under way to say that the server stops.
const LAST_WORDS: Duration = Duration::from_secs(6);
/// For a client to hear that the connection ends.
const GOODBYE: Duration = Duration::from_secs(1);

/// The kinds of keys that are checked here, the server's own first.
const KINDS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP384,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP521,
    },
];

/// Serves until the builder stops.
pub(crate) async fn listen(context: Arc<Context>, listener: TcpListener, key: &HostKey) {
    let config = Arc::new(config(key));
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = context.shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "Could not accept a connection for git over SSH.");
                // Out of file descriptors: others must end first.
                sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            // A line before the greeting: clients show it.
            let _ = stream.try_write(b"Too many connections; try again in a minute.\r\n");
            continue;
        };
        let stage = Arc::new(watch::Sender::new(Stage::default()));
        let session = Connection::new(Arc::clone(&context), Arc::clone(&stage), place);
        let (config, inner) = (Arc::clone(&config), Arc::clone(&context));
        context.tasks.spawn(async move {
            if let Err(error) = connection(&inner, stream, config, session, &stage).await {
                tracing::debug!(%error, "A connection for git over SSH ended early.");
            }
        });
    }
}

fn config(key: &HostKey) -> Config {
    Config {
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-Ropewalk")),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        // Keys are no secrets, so a refusal need not take as long as a success.
        auth_rejection_time: Duration::ZERO,
        keys: vec![key.private()],
        preferred: Preferred {
            key: Cow::Borrowed(KINDS),
            ..Preferred::DEFAULT
        },
        max_auth_attempts: MAX_REFUSALS,
        inactivity_timeout: Some(STUCK),
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: MISSED,
        nodelay: true,
        ..Config::default()
    }
}

async fn connection(
    context: &Context,
    stream: TcpStream,
    config: Arc<Config>,
    session: Connection,
    stage: &watch::Sender<Stage>,
) -> Result<(), russh::Error> {
    stream.set_nodelay(true)?;
    // Ends the connection whatever the other side is in the middle of.
    let cut = Cut(stream.as_fd().try_clone_to_owned()?);
    let log_in = tokio::time::Instant::now() + LOG_IN;
    let greeting = run_stream(config, stream, session);
    let mut running = tokio::select! {
        greeted = tokio::time::timeout_at(log_in, greeting) => greeted??,
        () = context.shutdown.cancelled() => return Ok(()),
    };
    let too_late = async {
        let mut logged_in = stage.subscribe();
        let in_time = logged_in.wait_for(|stage| stage.logged_in);
        if tokio::time::timeout_at(log_in, in_time).await.is_ok() {
            std::future::pending().await
        }
    };
    let why = tokio::select! {
        ended = &mut running => return ended,
        () = too_late => return Err(russh::Error::ConnectionTimeout),
        () = idle(stage) => "Nothing was asked for.",
        () = context.shutdown.cancelled() => "Ropewalk is restarting.",
    };
    let mut commands = stage.subscribe();
    let ended = commands.wait_for(|stage| stage.running == 0);
    let _ = timeout(LAST_WORDS, ended).await;
    let goodbye = say_goodbye(running.handle(), &mut running, why);
    let _ = timeout(GOODBYE, goodbye).await;
    drop(cut);
    Ok(())
}

/// Returns when no command has run for [`IDLE`].
async fn idle(stage: &watch::Sender<Stage>) {
    let mut stage = stage.subscribe();
    loop {
        if stage.wait_for(|stage| stage.running == 0).await.is_err() {
            return std::future::pending().await;
        }
        tokio::select! {
            _ = stage.changed() => {}
            () = sleep(IDLE) => return,
        }
    }
}

async fn say_goodbye(handle: Handle, running: &mut RunningSession<Connection>, why: &str) {
    let told = handle.disconnect(Disconnect::ByApplication, why.to_owned(), String::new());
    if told.await.is_ok() {
        let _ = running.await;
    }
}

/// The connection's socket; dropping it ends the connection.
struct Cut(OwnedFd);

impl Drop for Cut {
    fn drop(&mut self) {
        // A connection that has ended already needs no end.
        let _ = rustix::net::shutdown(&self.0, Shutdown::Both);
    }
}
