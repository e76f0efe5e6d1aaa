//! One-off dynos: a command in a container of its own, with a terminal or without.
//!
//! An attached one waits, without a container, for its terminal to connect with the secret it was given; so no
//! output is lost. When the terminal goes the command gets SIGHUP, and SIGKILL after the grace.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use ropewalk_api_types::attach::{FromDyno, ToDyno};
use ropewalk_engine::{Attached, ContainerId, OutputStream};
use ropewalk_model::dyno::STOP_GRACE;
use ropewalk_model::{AppId, DynoId, DynoName, DynoSize, DynoState, ProcessType};
use ropewalk_store::{Dyno, NewDyno, Retire, StoreError};
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::launch::{self, Terminal};
use crate::reconcile::{Scheduler, Shared};
use crate::{SchedulerError, observe, output};

/// Longest command line, in bytes.
const MAX_COMMAND: usize = 32 << 10;
/// One-off dynos of one app at the same time.
const MAX_RUNS: usize = 50;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct NewRun {
    pub app: AppId,
    /// A shell line; a first word that names a process type stands for that type's command.
    pub command: String,
    pub size: DynoSize,
    pub env: BTreeMap<String, String>,
    pub attach: bool,
    /// A terminal rather than pipes.
    pub tty: bool,
}

#[derive(Debug, Clone)]
pub struct Started {
    pub dyno: Dyno,
    /// Opens the attachment, once.
    pub secret: Option<String>,
}

/// Both ends of an attached dyno's terminal.
#[derive(Debug)]
pub struct Attachment {
    pub input: mpsc::Sender<ToDyno>,
    pub output: mpsc::Receiver<FromDyno>,
}

/// Secrets that were handed out and not used yet. Lost with the process, as attached dynos are.
#[derive(Debug, Default)]
pub(crate) struct Runs(Mutex<HashMap<String, (DynoId, bool)>>);

impl Runs {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (DynoId, bool)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scheduler {
    /// Starts a one-off dyno on the app's current release.
    ///
    /// # Errors
    /// [`SchedulerError::Refused`] with a text for the user: nothing deployed, command too long, too many.
    pub async fn start_run(&self, run: NewRun) -> Result<Started, SchedulerError> {
        if run.command.trim().is_empty() || run.command.len() > MAX_COMMAND {
            let text = format!("A command of 1 to {MAX_COMMAND} bytes is needed.");
            return Err(SchedulerError::Refused(text));
        }
        let id = DynoId(Uuid::new_v4());
        let (attach, tty) = (run.attach, run.tty);
        let dyno = self
            .shared
            .store
            .write(move |tx| insert(tx, id, run))
            .await??;
        let secret = attach.then(|| {
            let secret = Uuid::new_v4().simple().to_string() + &Uuid::new_v4().simple().to_string();
            self.shared.runs.lock().insert(secret.clone(), (id, tty));
            secret
        });
        let text = format!("Starting process with command `{}`", dyno.command);
        output::say(&self.shared, dyno.app, &dyno.name.to_string(), &text);
        self.changed();
        Ok(Started { dyno, secret })
    }

    /// Connects a terminal to the dyno whose secret this is, and starts it. `None` for a secret that is unknown,
    /// used or too old.
    pub async fn attach(&self, secret: &str) -> Result<Option<Attachment>, SchedulerError> {
        let shared = &self.shared;
        let Some((id, tty)) = shared.runs.lock().remove(secret) else {
            return Ok(None);
        };
        if shared
            .store
            .read(move |view| view.dyno(id))
            .await?
            .is_none()
            || !shared.take(id)
        {
            return Ok(None);
        }
        // In a task of its own: a client that goes while the container is made must not leave it half made.
        let (answer, connected) = oneshot::channel();
        let task = shared.clone();
        shared.spawn(async move {
            connect(&task, id, tty, answer).await;
            finish(&task, id).await;
            task.give_back(id);
        });
        match connected.await {
            Ok(outcome) => outcome.map(Some),
            Err(_) => Ok(None),
        }
    }
}

/// After a restart of the server the other ends of all terminals are gone.
pub(crate) async fn end_attached_of_earlier_runs(shared: &Shared) -> Result<(), SchedulerError> {
    shared
        .store
        .write(|tx| {
            for dyno in tx.all_dynos()?.into_iter().filter(|dyno| dyno.attached) {
                tx.retire_dynos(
                    dyno.app,
                    Some(&dyno.name.process_type),
                    Some(dyno.name.number),
                    Retire::Stop,
                )?;
            }
            Ok(())
        })
        .await?;
    Ok(())
}

fn insert(
    tx: &ropewalk_store::Tx<'_>,
    id: DynoId,
    run: NewRun,
) -> Result<Result<Dyno, SchedulerError>, StoreError> {
    let app = tx.app(run.app)?;
    let release = tx.current_release(&app)?;
    let Some(slug) = release.slug else {
        let text = format!(
            "Nothing has been deployed to {} yet; push an app first.",
            app.name
        );
        return Ok(Err(SchedulerError::Refused(text)));
    };
    let others = tx.dynos(app.id)?;
    if others
        .iter()
        .filter(|dyno| dyno.name.process_type == ProcessType::run())
        .count()
        >= MAX_RUNS
    {
        let text = format!(
            "{} has {MAX_RUNS} one-off dynos already; stop one first.",
            app.name
        );
        return Ok(Err(SchedulerError::Refused(text)));
    }
    let used: Vec<u32> = others.iter().map(|dyno| dyno.name.number).collect();
    let Some(number) = (0..100)
        .map(|_| rand::random_range(1_000..10_000))
        .find(|n| !used.contains(n))
    else {
        return Ok(Err(SchedulerError::Refused(
            "No free dyno name was found; try again.".to_owned(),
        )));
    };
    let command = resolve(&run.command, &tx.slug(slug)?.process_types);
    let new = NewDyno {
        id,
        app: app.id,
        name: DynoName {
            process_type: ProcessType::run(),
            number,
        },
        release_version: release.version,
        size: run.size,
        command,
        crashes: 0,
        attached: run.attach,
        env: run.env,
    };
    tx.create_dyno(&new, observe::now())?;
    tx.dyno(id)?.map(Ok).ok_or(StoreError::NotFound("dyno"))
}

/// `worker --once` where `worker` is a process type: its command with the rest behind it.
fn resolve(command: &str, process_types: &BTreeMap<String, String>) -> String {
    let (first, rest) = command.split_once(' ').unwrap_or((command, ""));
    match process_types.get(first) {
        Some(known) if rest.is_empty() => known.clone(),
        Some(known) => format!("{known} {rest}"),
        None => command.to_owned(),
    }
}

/// Makes and starts the container, says so through `answer`, and serves it to its end.
async fn connect(
    shared: &Shared,
    id: DynoId,
    tty: bool,
    answer: oneshot::Sender<Result<Attachment, SchedulerError>>,
) {
    let started = async {
        let container = launch::make(shared, id, Terminal::Attached { tty }).await?;
        let attached = shared.engine.attach(&container, tty).await?;
        shared.engine.start(&container).await?;
        let now = observe::now();
        shared
            .store
            .write(move |tx| tx.set_dyno_state(id, DynoState::Up, None, 0, now))
            .await?;
        Ok((container, attached))
    };
    match started.await {
        Ok((container, attached)) => {
            let (input, from_client) = mpsc::channel(32);
            let (to_client, output) = mpsc::channel(32);
            // Nobody there any more: both channels are closed then, and that hangs up.
            drop(answer.send(Ok(Attachment { input, output })));
            serve(shared, &container, attached, from_client, to_client).await;
        }
        Err(error) => drop(answer.send(Err(error))),
    }
}

async fn serve(
    shared: &Shared,
    container: &ContainerId,
    attached: Attached,
    mut from_client: mpsc::Receiver<ToDyno>,
    to_client: mpsc::Sender<FromDyno>,
) {
    let Attached { input, mut output } = attached;
    let mut input = Some(input);
    let wait = shared.engine.wait(container);
    tokio::pin!(wait);
    let mut exit = None;
    let mut output_open = true;
    loop {
        tokio::select! {
            chunk = output.next(), if output_open => match chunk {
                Some(Ok(chunk)) => {
                    let frame = match chunk.stream {
                        OutputStream::Stdout => FromDyno::Stdout(chunk.bytes),
                        OutputStream::Stderr => FromDyno::Stderr(chunk.bytes),
                    };
                    if to_client.send(frame).await.is_err() {
                        return hang_up(shared, container).await;
                    }
                }
                _ => output_open = false,
            },
            ended = &mut wait, if exit.is_none() => {
                exit = Some(ended.map(|exit| exit.code).unwrap_or(-1));
            }
            frame = from_client.recv() => match frame {
                Some(ToDyno::Stdin(bytes)) => write(&mut input, bytes).await,
                Some(ToDyno::StdinClosed) => {
                    if let Some(mut input) = input.take() {
                        let _ = input.shutdown().await;
                    }
                }
                Some(ToDyno::Resize { rows, columns }) => {
                    let _ = shared.engine.resize(container, rows, columns).await;
                }
                Some(ToDyno::Signal(name)) => {
                    let _ = shared.engine.signal(container, &name).await;
                }
                None => return hang_up(shared, container).await,
            },
        }
        if let (Some(code), false) = (exit, output_open) {
            let _ = to_client.send(FromDyno::Exit(code)).await;
            return;
        }
    }
}

async fn write(
    input: &mut Option<std::pin::Pin<Box<dyn tokio::io::AsyncWrite + Send>>>,
    bytes: Bytes,
) {
    let Some(open) = input.as_mut() else { return };
    if open.write_all(&bytes).await.is_err() || open.flush().await.is_err() {
        *input = None;
    }
}

/// The terminal is gone.
async fn hang_up(shared: &Shared, container: &ContainerId) {
    let _ = shared.engine.signal(container, "HUP").await;
    let ended = tokio::time::timeout(Duration::from_secs(5), shared.engine.wait(container)).await;
    if ended.is_err() {
        let _ = shared.engine.stop(container, STOP_GRACE).await;
    }
}

async fn finish(shared: &Shared, id: DynoId) {
    let outcome = shared
        .store
        .write(move |tx| {
            let dyno = tx.dyno(id)?;
            tx.set_dyno_state(id, DynoState::Down, Some("complete"), 0, observe::now())?;
            Ok(dyno)
        })
        .await;
    match outcome {
        Ok(Some(dyno)) => output::say(
            shared,
            dyno.app,
            &dyno.name.to_string(),
            "State changed from up to complete",
        ),
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(dyno = %id, %error, "A one-off dyno's end could not be written.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_type_stands_for_its_command() {
        let types = BTreeMap::from([("worker".to_owned(), "node worker.js".to_owned())]);
        assert_eq!(resolve("worker", &types), "node worker.js");
        assert_eq!(resolve("worker --once", &types), "node worker.js --once");
        assert_eq!(resolve("bash -c 'exit 7'", &types), "bash -c 'exit 7'");
    }
}
