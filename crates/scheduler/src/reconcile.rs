//! The loop: look, publish the route table, plan, act; on every signal and at least every few seconds.
//!
//! A pass takes no input and retries nothing: what it could not do, the next one sees again. Long actions
//! (booting, stopping) run beside the loop; a dyno that one of them holds is `busy` and left alone.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use ropewalk_engine::Engine;
use ropewalk_logs::{Logs, Outputs};
use ropewalk_model::{AppName, DynoId, InstanceId};
use ropewalk_slug::Mounts;
use ropewalk_store::Store;
use ropewalk_telemetry::Round;
use tokio::sync::{Notify, RwLock, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ages::Clock;
use crate::checks::{self, Checks};
use crate::disk::Disk;
use crate::observe::{Memory, World};
use crate::output::{self, Readers, Start};
use crate::plan::{Action, Policy, Seat, is_web, plan, serves, web_first};
use crate::ports::{self, Ports};
use crate::routes::Routes;
use crate::runs::Runs;
use crate::sleeper::{self, Sleepers};
use crate::standby::{self, Standbys};
use crate::{SchedulerError, execute, observe, sweep};

/// Longest time between two passes.
const PERIOD: Duration = Duration::from_secs(10);
/// How long a request waits for the routers to serve by what it changed.
const SETTLED_WITHIN: Duration = Duration::from_secs(2);
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
    /// How long containers stand by for the dynos of a build's release; zero is not at all.
    pub standby: Duration,
    /// Containers that stand by, while apps are stopped, for whichever wakes first.
    pub spares: usize,
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
    pub(crate) standbys: Standbys,
    pub(crate) sleepers: Sleepers,
    pub(crate) ports: Ports,
    pub(crate) checks: Checks,
    pub(crate) disk: Disk,
    pub(crate) readers: Readers,
    pub(crate) clock: Clock,
    pub(crate) parallel: Semaphore,
    /// Held (shared) while a slug and what lies over it are mounted, and (alone) while unused slugs are looked for.
    pub(crate) mounting: RwLock<()>,
    memory: Mutex<Memory>,
    signal: Notify,
    /// Jobs, or what is known of their runs, changed.
    pub(crate) jobs_changed: Notify,
    passes: watch::Sender<u64>,
    looks: Looks,
    status: Mutex<Status>,
    busy: Mutex<Busy>,
    tasks: TaskTracker,
}

/// The first part of passes, up to the table for the routers, by number.
#[derive(Debug)]
struct Looks {
    begun: AtomicU64,
    /// The last one that is over: its table is published, or there is none because it failed.
    over: watch::Sender<u64>,
}

impl Default for Looks {
    fn default() -> Self {
        Self {
            begun: AtomicU64::new(0),
            over: watch::Sender::new(0),
        }
    }
}

/// Dynos that an action holds.
#[derive(Debug, Default)]
struct Busy {
    now: HashSet<DynoId>,
    /// Those, and all that one has held since the last look began.
    since_look: HashSet<DynoId>,
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
    /// Of the last pass; that of one app fails no other.
    pub last_error: Option<String>,
    /// Whether the last pass could look at engine and ledger.
    pub could_look: bool,
    /// When that was last so.
    pub last_success: Option<std::time::Instant>,
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

    /// Takes a dyno for an action; `false` when another one has it.
    pub(crate) fn take(&self, id: DynoId) -> bool {
        let mut busy = lock(&self.busy);
        busy.since_look.insert(id);
        busy.now.insert(id)
    }

    pub(crate) fn give_back(&self, id: DynoId) {
        lock(&self.busy).now.remove(&id);
        self.wake();
    }

    pub(crate) fn begin_look(&self) {
        let mut busy = lock(&self.busy);
        busy.since_look = busy.now.clone();
    }

    pub(crate) fn busy_since_look(&self) -> HashSet<DynoId> {
        lock(&self.busy).since_look.clone()
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        lock(&self.memory)
    }

    pub(crate) fn passes(&self) -> watch::Receiver<u64> {
        self.passes.subscribe()
    }

    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.tasks.spawn(task)
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
            standbys: Standbys::default(),
            sleepers: Sleepers::default(),
            ports: Ports::default(),
            checks: Checks::default(),
            disk: Disk::default(),
            readers: Readers::default(),
            clock: Clock::start(),
            parallel: Semaphore::new(PARALLEL),
            mounting: RwLock::default(),
            memory: Mutex::default(),
            signal: Notify::new(),
            jobs_changed: Notify::new(),
            passes: watch::Sender::new(0),
            looks: Looks::default(),
            status: Mutex::default(),
            busy: Mutex::default(),
            tasks: TaskTracker::new(),
        }));
        Self { shared }
    }

    /// Something that is wanted has changed: look now.
    pub fn changed(&self) {
        self.shared.wake();
    }

    /// Something that is wanted has changed: looks now, and waits until requests are served by it, but at most for
    /// [`SETTLED_WITHIN`]. Nobody is waited for where nobody can follow: no router, or no engine.
    pub async fn settled(&self) {
        let _ = tokio::time::timeout(SETTLED_WITHIN, self.followed()).await;
    }

    /// Waits for a look that began after the call to be over, and for the routers that are connected to serve by it.
    pub(crate) async fn followed(&self) {
        let looks = &self.shared.looks;
        // One that is under way may have read what was there before.
        let before = looks.begun.load(Ordering::SeqCst);
        self.changed();
        let mut over = looks.over.subscribe();
        if over.wait_for(|over| *over > before).await.is_ok() {
            self.shared.routes.acked().await;
        }
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
        let wakes = shared
            .tasks
            .spawn(sleeper::run(shared.clone(), shutdown.clone()));
        let mut adopted = false;
        let routes = shared.routes.changes();
        let waker = shared
            .tasks
            .spawn(wake_on(shared.clone(), routes, shutdown.clone()));
        while !shutdown.is_cancelled() {
            if !adopted {
                // Before anything is asked of a container that may be frozen.
                adopted = sleeper::adopt(shared).await.is_ok();
            }
            let next = self.pass().await;
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = shared.signal.notified() => {}
                () = tokio::time::sleep(next.wait) => {}
                () = ports::one_serves(shared, &next.booting) => {}
            }
        }
        events.abort();
        waker.abort();
        wakes.abort();
        sleeper::thaw_all(shared).await;
        standby::end_all(shared).await;
        shared.readers.end_all().await;
        Ok(())
    }

    /// Says, until `shutdown`, which dynos use more memory than is meant for them.
    pub async fn run_watch(&self, shutdown: CancellationToken) {
        crate::watch::run(&self.shared, shutdown).await;
    }

    /// Looks, until `shutdown`, at how much dynos write.
    pub async fn run_disk(&self, shutdown: CancellationToken) {
        crate::disk::run(&self.shared, shutdown).await;
    }

    /// Removes, until `shutdown`, the mounts and files that nothing refers to. Beside [`Self::run`], because deleting
    /// what dynos wrote may take minutes.
    pub async fn run_sweeps(&self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let round = Round::begin(SWEEP);
            let swept = sweep::run(&self.shared).await;
            if let Err(error) = &swept {
                tracing::warn!(%error, "What nothing refers to could not all be removed.");
            }
            round.end(swept);
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(SWEEP) => {}
            }
        }
    }

    /// One pass; returns what to wait for until the next if nothing happens.
    async fn pass(&self) -> Next {
        let began = std::time::Instant::now();
        let round = Round::begin(PERIOD);
        let outcome = one_pass(&self.shared).await;
        let mut status = lock(&self.shared.status);
        status.passes += 1;
        status.last_at = Some(observe::now());
        status.last_took = began.elapsed();
        status.could_look = outcome.is_ok();
        let (next, error) = match outcome {
            Ok(done) => {
                status.last_actions = done.actions;
                status.last_success = Some(std::time::Instant::now());
                (done.next, done.error)
            }
            Err(error) => {
                let wait = Duration::from_secs(1);
                let booting = Vec::new();
                (Next { wait, booting }, Some(error.to_string()))
            }
        };
        if let Some(text) = &error
            && status.last_error.as_ref() != Some(text)
        {
            tracing::warn!(error = %text, "A look at the dynos failed.");
        }
        round.end(error.clone().map_or(Ok(()), Err));
        status.last_error = error;
        let passes = status.passes;
        drop(status);
        self.shared.passes.send_replace(passes);
        next
    }
}

/// What a pass came to.
#[derive(Debug)]
pub(crate) struct Done {
    actions: usize,
    next: Next,
    /// What could not be done for some app.
    error: Option<String>,
}

/// When to look again, if nothing happens.
#[derive(Debug)]
pub(crate) struct Next {
    /// At the latest.
    wait: Duration,
    /// When one of these serves: web dynos that boot, and their first processes.
    booting: Vec<(DynoId, u32)>,
}

pub(crate) async fn one_pass(shared: &Shared) -> Result<Done, SchedulerError> {
    let look = shared.looks.begun.fetch_add(1, Ordering::SeqCst) + 1;
    shared.routes.begin_look();
    let world = observe::world(shared).await;
    if let Ok(world) = &world {
        shared.routes.publish(world);
    }
    shared.looks.over.send_replace(look);
    let world = world?;
    follow_outputs(shared, &world);
    let tires_at = sleeper::look(shared, &world).await;
    checks::keep(shared, &world);
    for orphan in world.orphans {
        execute::remove_orphan(shared, orphan);
    }
    for lost in world.lost_runs {
        shared.runs.interrupt(lost);
    }
    let now = shared.clock.now();
    let mut done = Done {
        actions: 0,
        next: Next {
            wait: PERIOD,
            booting: Vec::new(),
        },
        error: None,
    };
    if let Some(at) = tires_at {
        let until = Duration::try_from(at.duration_since(now)).unwrap_or_default();
        done.next.sooner(until.max(Duration::from_millis(20)));
    }
    let mut later = Vec::new();
    for app in &world.apps {
        let plan = plan(&app.desired, &app.seen, &shared.config.policy, now);
        if let Some(at) = plan.wake_at {
            let until = Duration::try_from(at.duration_since(now)).unwrap_or_default();
            done.next.sooner(until.max(Duration::from_millis(20)));
        }
        // What else one waits for that has bound its port is heard of otherwise.
        let booting = app.seen.iter().filter(|one| {
            is_booting(one) && !(app.desired.check(&one.dyno).is_some() && serves(&one.listening))
        });
        done.next.booting.extend(booting.filter_map(|one| {
            let container = world.containers.get(&one.dyno.id)?;
            Some((one.dyno.id, container.pid?))
        }));
        done.actions += plan.actions.len();
        let again = plan.actions.iter().any(|action| !is_long(action));
        let (at_once, after) = web_first(plan.actions, &app.seen);
        if let Err(error) = execute::all(shared, at_once, &world.containers).await {
            done.failed(&app.app.name, &error);
        } else if again {
            done.next.sooner(Duration::from_millis(1));
        }
        later.push((app, after));
    }
    for (app, actions) in later {
        if let Err(error) = execute::all(shared, actions, &world.containers).await {
            done.failed(&app.app.name, &error);
        }
    }
    Ok(done)
}

/// Whose end is heard of, however long it takes.
fn is_long(action: &Action) -> bool {
    matches!(
        action,
        Action::Stop { .. }
            | Action::Interrupt { .. }
            | Action::Freeze { .. }
            | Action::Thaw { .. }
    )
}

impl Done {
    fn failed(&mut self, app: &AppName, error: &SchedulerError) {
        self.error = Some(format!("app {app}: {error}"));
        self.next.sooner(Duration::from_secs(1));
    }
}

impl Next {
    fn sooner(&mut self, wait: Duration) {
        self.wait = self.wait.min(wait);
    }
}

/// Ended ones too: one that ended at once, or while the server was away, has something to say all the same.
fn follow_outputs(shared: &Shared, world: &World) {
    let idle = world.apps.iter().flat_map(|app| &app.seen);
    for one in idle.filter(|one| !one.busy && !one.dyno.attached) {
        if matches!(one.seat, Seat::Running { .. } | Seat::Ended { .. })
            && let Some(container) = world.containers.get(&one.dyno.id)
        {
            output::follow(shared, one.dyno.id, &container.id, Start::Resume);
        }
    }
}

fn is_booting(one: &crate::plan::Seen) -> bool {
    !one.busy
        && one.dyno.state == ropewalk_model::DynoState::Starting
        && is_web(&one.dyno)
        && matches!(one.seat, Seat::Running { .. })
}

/// Engine events wake the loop; they are hints, so a broken stream costs nothing but time.
async fn watch_events(shared: Shared, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        if let Ok(mut events) = shared.engine.events().await {
            shared.memory().outages.end(observe::now());
            while let Some(Ok(_)) = events.next().await {
                shared.wake();
            }
        }
        shared.memory().outages.begin(observe::now());
        shared.wake();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn wake_on(shared: Shared, mut changes: watch::Receiver<u64>, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() && changes.changed().await.is_ok() {
        shared.wake();
    }
}
