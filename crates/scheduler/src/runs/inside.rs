//! Commands inside running dynos: another process in a dyno's container, with a terminal of its own.
//!
//! Nothing of it is in the ledger: it waits for its terminal as a one-off dyno does, but what it runs in is there
//! already, goes on without it, and takes it along when it ends.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use ropewalk_engine::{ContainerId, Engine, ExecSpec};
use ropewalk_model::dyno::DYNO_UID;
use ropewalk_model::{DynoId, DynoState};
use ropewalk_store::{Dyno, Retire, StoreError, View};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::serve::{Client, Process, serve};
use super::{Attachment, MAX_COMMAND, new_secret, resolve};
use crate::launch::{self, LAUNCHER, container_name};
use crate::reconcile::{Scheduler, Shared};
use crate::{SchedulerError, environment};

/// Commands inside one dyno at the same time, with those that wait for their terminal.
const MAX_INSIDE: usize = 10;

/// What is asked for.
#[derive(Clone)]
pub struct NewInside {
    pub dyno: DynoId,
    /// A shell line; a first word that names a process type stands for that type's command.
    pub command: String,
    /// On top of what the dyno has.
    pub env: BTreeMap<String, String>,
    /// A terminal rather than pipes.
    pub tty: bool,
}

impl std::fmt::Debug for NewInside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values of variables and the command may be secrets.
        f.debug_struct("NewInside")
            .field("dyno", &self.dyno)
            .field("tty", &self.tty)
            .finish_non_exhaustive()
    }
}

/// Commands that wait for their terminal, and how many there are in each dyno. Lost with the process, as they are.
#[derive(Debug, Default)]
pub(super) struct Inside {
    /// By the secret that was handed out.
    waiting: Mutex<HashMap<String, Waiting>>,
    /// [`MAX_INSIDE`] permits for a dyno, for as long as any is out.
    places: Mutex<HashMap<DynoId, Weak<Semaphore>>>,
}

struct Waiting {
    dyno: DynoId,
    exec: ExecSpec,
    until: Instant,
    place: OwnedSemaphorePermit,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting")
            .field("dyno", &self.dyno)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inside {
    /// A place in a dyno, given back when it is dropped; `None` when all are taken.
    fn place(&self, dyno: DynoId) -> Option<OwnedSemaphorePermit> {
        let mut places = lock(&self.places);
        places.retain(|_, place| place.strong_count() > 0);
        let known = places.get(&dyno).and_then(Weak::upgrade);
        let room = known.unwrap_or_else(|| Arc::new(Semaphore::new(MAX_INSIDE)));
        places.insert(dyno, Arc::downgrade(&room));
        room.try_acquire_owned().ok()
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        let mut waiting = lock(&self.waiting);
        let now = Instant::now();
        waiting.retain(|_, one| one.until > now);
        waiting
    }
}

impl Scheduler {
    /// Makes ready to run a command inside a dyno that is up, and returns the secret that starts it by
    /// [`Scheduler::attach`], once and for as long as a one-off dyno would wait.
    ///
    /// # Errors
    /// [`SchedulerError::Refused`] with a text for the user: the dyno is not up, the command is too long, there are
    /// too many.
    pub async fn run_inside(&self, run: NewInside) -> Result<String, SchedulerError> {
        if run.command.trim().is_empty() || run.command.len() > MAX_COMMAND {
            let text = format!("A command of 1 to {MAX_COMMAND} bytes is needed.");
            return Err(SchedulerError::Refused(text));
        }
        let shared = &self.shared;
        let id = run.dyno;
        let found = shared.store.read(move |view| read(view, id)).await?;
        let Some((dyno, process_types)) = found else {
            let text = "The dyno has ended in the meantime.".to_owned();
            return Err(SchedulerError::Refused(text));
        };
        if let Some(text) = why_not(&dyno) {
            return Err(SchedulerError::Refused(text));
        }
        let env = launch::env_of(shared, id).await?;
        let inside = &shared.runs.inside;
        // What waited in vain gives its place back first.
        drop(inside.waiting());
        let Some(place) = inside.place(id) else {
            let text = format!(
                "{MAX_INSIDE} commands run inside {} already; end one first.",
                dyno.name
            );
            return Err(SchedulerError::Refused(text));
        };
        let exec = ExecSpec {
            command: vec![LAUNCHER.to_owned(), resolve(&run.command, &process_types)],
            // All of them: those of a container that stood by do not stand in its description.
            env: environment::inside(env, run.env),
            user: format!("{DYNO_UID}:{DYNO_UID}"),
            working_dir: "/app".to_owned(),
            tty: run.tty,
        };
        let waiting = Waiting {
            dyno: id,
            exec,
            until: Instant::now() + shared.config.policy.attach_timeout,
            place,
        };
        let secret = new_secret();
        inside.waiting().insert(secret.clone(), waiting);
        Ok(secret)
    }
}

fn read(
    view: &View<'_>,
    id: DynoId,
) -> ropewalk_store::Result<Option<(Dyno, BTreeMap<String, String>)>> {
    let Some(dyno) = view.dyno(id)? else {
        return Ok(None);
    };
    let release = view.release(dyno.app, dyno.release_version)?;
    let slug = view.slug(release.slug.ok_or(StoreError::NotFound("slug"))?)?;
    Ok(Some((dyno, slug.process_types)))
}

/// Why nothing can be run inside a dyno, for the user.
fn why_not(dyno: &Dyno) -> Option<String> {
    let name = &dyno.name;
    if dyno.retire == Some(Retire::Stop) {
        return Some(format!("{name} is being stopped."));
    }
    let (state, hint) = match dyno.state {
        DynoState::Up => return None,
        DynoState::Starting => ("starting", "; try again when it is up"),
        DynoState::Idle => ("idle", "; wake it with ropewalk ps:wake"),
        DynoState::Crashed => ("crashed", ""),
        DynoState::Down => ("down", ""),
    };
    Some(format!(
        "{name} is {state}, and commands run inside dynos that are up{hint}."
    ))
}

/// Starts what waits for `secret`. `None` when nothing does, or when its dyno is not up any more.
pub(super) async fn attach(
    shared: &Shared,
    secret: &str,
) -> Result<Option<Attachment>, SchedulerError> {
    let Some(waiting) = shared.runs.inside.waiting().remove(secret) else {
        return Ok(None);
    };
    let id = waiting.dyno;
    let dyno = shared.store.read(move |view| view.dyno(id)).await?;
    if dyno.is_none_or(|dyno| why_not(&dyno).is_some()) {
        return Ok(None);
    }
    // In a task of its own: a client that goes while the process is started must not leave it to itself.
    let (answer, connected) = oneshot::channel();
    let task = shared.clone();
    shared.spawn(async move { connect(&task, waiting, answer).await });
    match connected.await {
        Ok(outcome) => outcome.map(Some),
        Err(_) => Ok(None),
    }
}

/// Starts the process, says so through `answer`, and serves it to its end.
async fn connect(
    shared: &Shared,
    waiting: Waiting,
    answer: oneshot::Sender<Result<Attachment, SchedulerError>>,
) {
    let container = ContainerId(container_name(shared, waiting.dyno));
    match shared.engine.exec(&container, &waiting.exec).await {
        Ok(exec) => {
            let (input, from_client) = mpsc::channel(32);
            let (to_client, output) = mpsc::channel(32);
            // Nobody there any more: both channels are closed then, and that hangs up.
            drop(answer.send(Ok(Attachment { input, output })));
            let client = Client {
                input: from_client,
                output: to_client,
            };
            let engine = &*shared.engine;
            let stopped = ended(engine, &container);
            serve(
                engine,
                &Process::Exec(exec.id),
                exec.attached,
                client,
                stopped,
            )
            .await;
        }
        Err(error) => drop(answer.send(Err(error.into()))),
    }
    drop(waiting.place);
}

/// Over when the dyno is, and everything in it.
async fn ended(engine: &dyn Engine, container: &ContainerId) {
    if engine.wait(container).await.is_err() {
        // The engine is away; that shows on the streams too.
        std::future::pending::<()>().await;
    }
}
