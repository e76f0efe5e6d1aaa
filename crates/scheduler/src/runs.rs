//! One-off dynos: a command in a container of its own, with a terminal or without; and terminals in general.
//!
//! An attached one waits, without a container, for its terminal to connect with the secret it was given; so no
//! output is lost. When the terminal goes the command gets SIGHUP, and SIGKILL after the grace. As long as it is
//! attached its dyno is `busy`, so what a pass finds to be its end reaches it by [`Runs::interrupt`].

mod inside;
mod serve;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ropewalk_api_types::attach::{FromDyno, ToDyno};
use ropewalk_model::{AppId, DynoId, DynoName, DynoSize, DynoState, ProcessType};
use ropewalk_store::{Dyno, NewDyno, Retire, StoreError};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::launch::{self, Terminal};
use crate::reconcile::{Scheduler, Shared};
use crate::{SchedulerError, execute, observe, output};
use inside::Inside;
pub use inside::NewInside;
use serve::{Client, Process, serve};

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
    /// The first half of the dyno's name.
    pub process_type: ProcessType,
    /// That of the process type where none is said.
    pub size: Option<DynoSize>,
    pub env: BTreeMap<String, String>,
    pub attach: bool,
    /// A terminal rather than pipes.
    pub tty: bool,
    /// Seconds that it may run.
    pub time_to_live: Option<u32>,
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

/// Attached dynos that wait for their terminal, and those that have it. Lost with the process, as they are.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// By the secret that was handed out: which dyno, and whether with a tty.
    waiting: Mutex<HashMap<String, (DynoId, bool)>>,
    attached: Mutex<HashMap<DynoId, CancellationToken>>,
    inside: Inside,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runs {
    /// Dynos that have their terminal.
    pub(crate) fn attached(&self) -> Vec<DynoId> {
        lock(&self.attached).keys().copied().collect()
    }

    /// Ends an attached dyno as any other is stopped: SIGTERM, grace, SIGKILL. One that is not attached is left alone.
    pub(crate) fn interrupt(&self, id: DynoId) {
        if let Some(stop) = lock(&self.attached).get(&id) {
            stop.cancel();
        }
    }

    fn begin(&self, id: DynoId) -> CancellationToken {
        let stop = CancellationToken::new();
        lock(&self.attached).insert(id, stop.clone());
        stop
    }

    fn end(&self, id: DynoId) {
        lock(&self.attached).remove(&id);
    }
}

impl Scheduler {
    /// Starts a one-off dyno on the app's current release.
    ///
    /// # Errors
    /// [`SchedulerError::Refused`] with a text for the user: nothing deployed, command too long, too many, a type that
    /// is not for one-offs.
    pub async fn start_run(&self, run: NewRun) -> Result<Started, SchedulerError> {
        if run.command.trim().is_empty() || run.command.len() > MAX_COMMAND {
            let text = format!("A command of 1 to {MAX_COMMAND} bytes is needed.");
            return Err(SchedulerError::Refused(text));
        }
        if run.process_type == ProcessType::release() {
            let text = "Dynos of type release are release commands, which run with a release: \
                        `ropewalk releases:retry` runs the last one again.";
            return Err(SchedulerError::Refused(text.to_owned()));
        }
        let id = DynoId(Uuid::new_v4());
        let (attach, tty) = (run.attach, run.tty);
        let dyno = self
            .shared
            .store
            .write(move |tx| insert(tx, id, run))
            .await??;
        let secret = attach.then(|| {
            let secret = new_secret();
            lock(&self.shared.runs.waiting).insert(secret.clone(), (id, tty));
            secret
        });
        let text = format!("Starting process with command `{}`", dyno.command);
        output::say(&self.shared, dyno.app, &dyno.name.to_string(), &text);
        self.changed();
        Ok(Started { dyno, secret })
    }

    /// Connects a terminal to the dyno, or the command inside a dyno, whose secret this is, and starts it. `None` for a
    /// secret that is unknown, used or too old.
    pub async fn attach(&self, secret: &str) -> Result<Option<Attachment>, SchedulerError> {
        let shared = &self.shared;
        let Some((id, tty)) = lock(&shared.runs.waiting).remove(secret) else {
            return inside::attach(shared, secret).await;
        };
        let dyno = shared.store.read(move |view| view.dyno(id)).await?;
        let waits =
            |dyno: &Dyno| dyno.state == DynoState::Starting && dyno.retire != Some(Retire::Stop);
        if !dyno.as_ref().is_some_and(waits) || !shared.take(id) {
            return Ok(None);
        }
        let stop = shared.runs.begin(id);
        // In a task of its own: a client that goes while the container is made must not leave it half made.
        let (answer, connected) = oneshot::channel();
        let task = shared.clone();
        shared.spawn(async move {
            connect(&task, id, tty, stop, answer).await;
            finish(&task, id).await;
            task.runs.end(id);
            task.give_back(id);
        });
        match connected.await {
            Ok(outcome) => outcome.map(Some),
            Err(_) => Ok(None),
        }
    }
}

/// 244 bits of randomness, safe in a path.
fn new_secret() -> String {
    Uuid::new_v4().simple().to_string() + &Uuid::new_v4().simple().to_string()
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

pub(crate) fn insert(
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
    if others.iter().filter(|dyno| dyno.one_off).count() >= MAX_RUNS {
        let text = format!(
            "{} has {MAX_RUNS} one-off dynos already; stop one first.",
            app.name
        );
        return Ok(Err(SchedulerError::Refused(text)));
    }
    // Numbers that no formation reaches.
    let used: Vec<u32> = others.iter().map(|dyno| dyno.name.number).collect();
    let Some(number) = (0..100)
        .map(|_| rand::random_range(1_000..10_000))
        .find(|n| !used.contains(n))
    else {
        return Ok(Err(SchedulerError::Refused(
            "No free dyno name was found; try again.".to_owned(),
        )));
    };
    let rows = tx.formation(app.id)?;
    let of_type = rows
        .iter()
        .find(|row| row.process_type == run.process_type)
        .map(|row| row.size);
    let size = match run.size.or(of_type) {
        Some(size) => size,
        None => tx.sizes()?.usual(),
    };
    match tx.admit_one_off(&run.process_type, size) {
        Err(StoreError::Formation(full)) => {
            return Ok(Err(SchedulerError::Refused(full.to_string())));
        }
        admitted => admitted?,
    }
    let command = resolve(&run.command, &tx.slug(slug)?.process_types);
    let new = NewDyno {
        id,
        app: app.id,
        name: DynoName {
            process_type: run.process_type,
            number,
        },
        release_version: release.version,
        size,
        command,
        crashes: 0,
        one_off: true,
        attached: run.attach,
        time_to_live: run.time_to_live,
        env: run.env,
    };
    tx.create_dyno(&new, observe::now())?;
    tx.dyno(id)?.map(Ok).ok_or(StoreError::NotFound("dyno"))
}

/// A first word that names a process type stands for its command: `worker --once`, `worker; echo $?`.
fn resolve(command: &str, process_types: &BTreeMap<String, String>) -> String {
    let trimmed = command.trim_start();
    let end = trimmed
        .find(|c: char| c.is_whitespace() || c == ';')
        .unwrap_or(trimmed.len());
    let (first, rest) = trimmed.split_at(end);
    match process_types.get(first) {
        Some(known) => format!("{known}{rest}"),
        None => command.to_owned(),
    }
}

/// Makes and starts the container, says so through `answer`, and serves it to its end.
async fn connect(
    shared: &Shared,
    id: DynoId,
    tty: bool,
    stop: CancellationToken,
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
            let client = Client {
                input: from_client,
                output: to_client,
            };
            let stopped = async {
                stop.cancelled().await;
                // One that could not be stopped is seen by the next pass, which takes over then.
                if let Err(error) = execute::end_process(shared, id, &container).await {
                    tracing::info!(dyno = %id, %error, "An attached dyno could not be stopped yet.");
                }
            };
            let process = Process::Dyno(container.clone());
            serve(&*shared.engine, &process, attached, client, stopped).await;
        }
        Err(error) => drop(answer.send(Err(error))),
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
mod tests;
