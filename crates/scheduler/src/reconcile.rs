//! The loop: look, publish the route table, plan, act; on every signal and at least every few seconds.
//!
//! A pass takes no input and retries nothing: what it could not do, the next one sees again. Long actions
//! (booting, stopping) run beside the loop; a dyno that one of them holds is `busy` and left alone.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use ropewalk_engine::Engine;
use ropewalk_logs::{Logs, Outputs};
use ropewalk_model::{DynoId, InstanceId};
use ropewalk_slug::Mounts;
use ropewalk_store::Store;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::plan::{Action, Policy, plan};
use crate::routes::Routes;
use crate::runs::Runs;
use crate::{SchedulerError, execute, observe, output, sweep};

/// Longest time between two passes.
const PERIOD: Duration = Duration::from_secs(10);
/// Between two looks at what a booting web dyno has bound.
const BOOT_POLL: Duration = Duration::from_millis(50);
/// Between two sweeps of mounts and files that nothing refers to.
const SWEEP: Duration = Duration::from_secs(60);
/// Containers that are started or stopped at the same time.
const PARALLEL: usize = 8;

#[derive(Debug, Clone)]
pub struct Config {
    pub instance: InstanceId,
    /// Where slug images lie, `<hex>.squashfs`.
    pub slugs: PathBuf,
    /// The bridge that dynos are on.
    pub network: String,
    pub policy: Policy,
}

/// What a scheduler is made of.
#[derive(Debug)]
pub struct Parts {
    pub config: Config,
    pub store: Store,
    pub engine: Arc<dyn Engine>,
    pub mounts: Mounts,
    pub logs: Logs,
    /// Where release commands' output is kept.
    pub outputs: Outputs,
    pub routes: Routes,
}

/// What every part of the scheduler works with.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) mounts: Mounts,
    pub(crate) logs: Logs,
    pub(crate) outputs: Outputs,
    pub(crate) routes: Routes,
    pub(crate) runs: Runs,
    pub(crate) parallel: Semaphore,
    signal: Notify,
    passes: watch::Sender<u64>,
    status: Mutex<Status>,
    busy: Mutex<HashSet<DynoId>>,
    readers: Mutex<HashMap<DynoId, JoinHandle<()>>>,
    tasks: TaskTracker,
}

impl std::ops::Deref for Shared {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

/// How the last pass went.
#[derive(Debug, Clone, Default)]
pub struct Status {
    pub passes: u64,
    pub last_at: Option<Timestamp>,
    pub last_took: Duration,
    pub last_actions: usize,
    pub last_error: Option<String>,
}

/// The dyno manager; clones share it.
#[derive(Debug, Clone)]
pub struct Scheduler {
    pub(crate) shared: Shared,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    pub(crate) fn wake(&self) {
        self.signal.notify_one();
    }

    pub(crate) fn is_busy(&self, id: DynoId) -> bool {
        lock(&self.busy).contains(&id)
    }

    /// Takes a dyno for an action; `false` when another one has it.
    pub(crate) fn take(&self, id: DynoId) -> bool {
        lock(&self.busy).insert(id)
    }

    pub(crate) fn give_back(&self, id: DynoId) {
        lock(&self.busy).remove(&id);
        self.wake();
    }

    pub(crate) fn passes(&self) -> watch::Receiver<u64> {
        self.passes.subscribe()
    }

    pub(crate) fn is_followed(&self, id: DynoId) -> bool {
        lock(&self.readers).contains_key(&id)
    }

    pub(crate) fn followed(&self, id: DynoId, task: impl Future<Output = ()> + Send + 'static) {
        lock(&self.readers).insert(id, self.tasks.spawn(task));
    }

    /// Waits a moment for the last lines of a container that has ended, then lets its reader go.
    pub(crate) async fn unfollow(&self, id: DynoId) {
        let reader = lock(&self.readers).remove(&id);
        if let Some(mut reader) = reader
            && tokio::time::timeout(Duration::from_secs(2), &mut reader)
                .await
                .is_err()
        {
            reader.abort();
        }
    }

    /// Waits a moment for the last lines of a container that has ended; its reader stays known.
    pub(crate) async fn reader_ended(&self, id: DynoId) {
        let reader = lock(&self.readers).remove(&id);
        if let Some(mut reader) = reader
            && tokio::time::timeout(Duration::from_secs(2), &mut reader)
                .await
                .is_err()
        {
            lock(&self.readers).insert(id, reader);
        }
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }
}

impl Scheduler {
    pub fn new(parts: Parts) -> Self {
        let Parts {
            config,
            store,
            engine,
            mounts,
            logs,
            outputs,
            routes,
        } = parts;
        let shared = Shared(Arc::new(Inner {
            config,
            store,
            engine,
            mounts,
            logs,
            outputs,
            routes,
            runs: Runs::default(),
            parallel: Semaphore::new(PARALLEL),
            signal: Notify::new(),
            passes: watch::Sender::new(0),
            status: Mutex::default(),
            busy: Mutex::default(),
            readers: Mutex::default(),
            tasks: TaskTracker::new(),
        }));
        Self { shared }
    }

    /// Something that is wanted has changed: look now.
    pub fn changed(&self) {
        self.shared.wake();
    }

    pub fn status(&self) -> Status {
        lock(&self.shared.status).clone()
    }

    /// Runs until `shutdown`. Dynos go on when it ends.
    ///
    /// # Errors
    /// Only when the ledger cannot be read at the start.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), SchedulerError> {
        let shared = &self.shared;
        crate::runs::end_attached_of_earlier_runs(shared).await?;
        let events = shared
            .tasks
            .spawn(watch_events(shared.clone(), shutdown.clone()));
        let routes = shared.routes.changes();
        let waker = shared
            .tasks
            .spawn(wake_on(shared.clone(), routes, shutdown.clone()));
        let mut swept_at = None;
        while !shutdown.is_cancelled() {
            let wait = self.pass().await;
            let due = swept_at.is_none_or(|at: std::time::Instant| at.elapsed() >= SWEEP);
            if due && sweep::run(shared).await.is_ok() {
                swept_at = Some(std::time::Instant::now());
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = shared.signal.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        events.abort();
        waker.abort();
        Ok(())
    }

    /// One pass; returns how long to wait for the next if nothing happens.
    async fn pass(&self) -> Duration {
        let began = std::time::Instant::now();
        let outcome = one_pass(&self.shared).await;
        let mut status = lock(&self.shared.status);
        status.passes += 1;
        status.last_at = Some(observe::now());
        status.last_took = began.elapsed();
        let wait = match outcome {
            Ok((actions, wait)) => {
                status.last_actions = actions;
                status.last_error = None;
                wait
            }
            Err(error) => {
                let text = error.to_string();
                if status.last_error.as_deref() != Some(&text) {
                    tracing::warn!(error = %text, "A look at the dynos failed.");
                }
                status.last_error = Some(text);
                Duration::from_secs(1)
            }
        };
        let passes = status.passes;
        drop(status);
        self.shared.passes.send_replace(passes);
        wait
    }
}

pub(crate) async fn one_pass(shared: &Shared) -> Result<(usize, Duration), SchedulerError> {
    let world = observe::world(shared).await?;
    shared.routes.publish(&world);
    for (id, container) in &world.containers {
        if container.status == ropewalk_engine::Status::Running && !shared.is_busy(*id) {
            output::follow(shared, *id, &container.id).await?;
        }
    }
    for orphan in world.orphans {
        execute::remove_orphan(shared, orphan);
    }
    for lost in world.lost_runs {
        shared.runs.interrupt(lost);
    }
    let now = observe::now();
    let mut actions = 0;
    let mut wait = PERIOD;
    for app in &world.apps {
        let plan = plan(&app.desired, &app.seen, &shared.config.policy, now);
        if let Some(at) = plan.wake_at {
            let until = Duration::try_from(at.duration_since(now)).unwrap_or_default();
            wait = wait.min(until.max(Duration::from_millis(20)));
        }
        if app.seen.iter().any(is_booting) {
            wait = wait.min(BOOT_POLL);
        }
        actions += plan.actions.len();
        let again = plan
            .actions
            .iter()
            .any(|action| !matches!(action, Action::Stop { .. } | Action::Interrupt { .. }));
        execute::all(shared, plan.actions, &world.containers).await?;
        if again {
            wait = wait.min(Duration::from_millis(1));
        }
    }
    Ok((actions, wait))
}

fn is_booting(one: &crate::plan::Seen) -> bool {
    one.dyno.state == ropewalk_model::DynoState::Starting
        && one.dyno.name.process_type.is_web()
        && matches!(one.seat, crate::plan::Seat::Running { .. })
}

/// Engine events wake the loop; they are hints, so a broken stream costs nothing but time.
async fn watch_events(shared: Shared, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        if let Ok(mut events) = shared.engine.events().await {
            while let Some(Ok(_)) = events.next().await {
                shared.wake();
            }
        }
        shared.wake();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn wake_on(shared: Shared, mut changes: watch::Receiver<u64>, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() && changes.changed().await.is_ok() {
        shared.wake();
    }
}
