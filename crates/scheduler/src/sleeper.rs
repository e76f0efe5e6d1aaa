//! Lets apps fall asleep and wakes them. What `sleep.rs` and the planner decide is done here, and a router's word that
//! somebody asks for an app is followed at once, without a look at everything.
//!
//! An app that falls asleep leaves the routers' table first; only when they have said that nothing is under way is it
//! frozen. Whoever asks for it from then on is held by its router and wakes it. The ledger is asked before every step, and
//! steps of one app go one after another, so that nothing freezes that has just been woken. A server that comes back
//! thaws what is not to be frozen, so that one that was killed leaves nothing stuck.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};
use ropewalk_engine::{Container, Status};
use ropewalk_model::{AppId, DynoId, DynoState, SleepTier};
use ropewalk_store::{AppSleep, Dyno, Formation, StoreError};
use tokio::sync::Mutex as Turn;
use tokio_util::sync::CancellationToken;

use crate::SchedulerError;
use crate::launch::LABEL_DYNO;
use crate::observe::{self, AppWorld, World};
use crate::output;
use crate::reconcile::{Scheduler, Shared};
use crate::sleep::{Life, Verdict, judge};
use crate::standby;

/// Apps share so many turns.
const TURNS: usize = 64;
/// After one that could not be frozen or thawed.
const PAUSE: Duration = Duration::from_secs(5);
/// Between two times that are kept of an app's last use.
const NOTED_EVERY: SignedDuration = SignedDuration::from_mins(1);
/// Thawed at the same time.
const PARALLEL: usize = 8;

const ASKED: &str = "somebody asked for it";

/// What is kept from step to step.
#[derive(Debug)]
pub(crate) struct Sleepers {
    turns: [Turn<()>; TURNS],
    /// Dynos that this run of the server has frozen.
    frozen: Mutex<HashSet<DynoId>>,
}

impl Default for Sleepers {
    fn default() -> Self {
        Self {
            turns: std::array::from_fn(|_| Turn::new(())),
            frozen: Mutex::default(),
        }
    }
}

impl Sleepers {
    fn turn(&self, app: AppId) -> &Turn<()> {
        let byte = usize::from(app.0.as_bytes()[15]);
        &self.turns[byte % TURNS]
    }

    fn all(&self) -> MutexGuard<'_, HashSet<DynoId>> {
        self.frozen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_frozen(&self, dyno: DynoId) -> bool {
        self.all().contains(&dyno)
    }
}

impl Scheduler {
    /// Puts an app to sleep, whatever it says about that itself. Whether it was awake, or slept less deep.
    ///
    /// # Errors
    /// A refusal that says why: a release is under way, or nothing could wake it.
    pub async fn put_to_sleep(&self, app: AppId, tier: SleepTier) -> Result<bool, StoreError> {
        let shared = &self.shared;
        let changed = {
            let _turn = shared.sleepers.turn(app).lock().await;
            let now = observe::now();
            shared
                .store
                .write(move |tx| {
                    let refuse = |text: &str| Err(StoreError::Refused(text.to_owned()));
                    if tx.app(app)?.candidate_version.is_some() {
                        return refuse(
                            "A release is under way: wait until it has passed or failed.",
                        );
                    }
                    let is_web = |row: &Formation| row.process_type.is_web() && row.quantity > 0;
                    if !tx.quantities(app)?.iter().any(is_web) {
                        return refuse("It has no web dynos: nothing would wake it.");
                    }
                    tx.put_to_sleep(app, tier, "put to sleep", now)
                })
                .await?
        };
        self.settled().await;
        Ok(changed)
    }

    /// Wakes an app. Whether it slept.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn wake(&self, app: AppId) -> Result<bool, StoreError> {
        let woken = wake(&self.shared, app, "woken").await?;
        self.settled().await;
        Ok(woken)
    }
}

/// Follows the routers' word until `shutdown`.
pub(crate) async fn run(shared: Shared, shutdown: CancellationToken) {
    loop {
        let asked = tokio::select! {
            asked = shared.routes.asked() => asked,
            () = shutdown.cancelled() => return,
        };
        for app in asked {
            let task = shared.clone();
            shared.spawn(async move {
                if let Err(error) = wake(&task, app, ASKED).await {
                    tracing::warn!(%app, %error, "An app could not be woken yet.");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    task.routes.ask(app);
                }
            });
        }
    }
}

/// What a look found that nobody asked for: apps that have been idle for long, and when to look again.
pub(crate) async fn look(shared: &Shared, world: &World) -> Option<Timestamp> {
    let now = shared.clock.now();
    let canaries: HashSet<AppId> = (world.apps.iter())
        .filter_map(|app| app.edge.canary)
        .collect();
    let stopped = (world.apps.iter())
        .filter_map(|app| app.sleep.as_ref())
        .filter(|sleep| sleep.tier == SleepTier::Stopped)
        .max_by_key(|sleep| sleep.since);
    if let Some(stopped) = stopped {
        standby::keep_spare(shared, stopped.app);
    }
    let mut next: Option<Timestamp> = None;
    for app in &world.apps {
        let used = shared.routes.last_used(app.app.id);
        let used = used.and_then(|ago| now.checked_sub(SignedDuration::try_from(ago).ok()?).ok());
        let life = life(shared, app, used, canaries.contains(&app.app.id), now);
        let (verdict, look) = judge(&life, &app.rules, now);
        if let Some(look) = look {
            next = Some(next.map_or(look, |before| before.min(look)));
        }
        let done = match verdict {
            Verdict::Stay => note_use(shared, app, used).await,
            Verdict::Sleep(tier) => fall_asleep(shared, app, tier, &life).await,
            Verdict::Wake => {
                let woken = wake(shared, app.app.id, "a release is under way").await;
                woken.map(drop).map_err(SchedulerError::from)
            }
        };
        if let Err(error) = done {
            tracing::warn!(app = %app.app.name, %error, "An app's sleep could not be changed yet.");
        }
    }
    next
}

fn life(
    shared: &Shared,
    app: &AppWorld,
    used: Option<Timestamp>,
    is_canary: bool,
    now: Timestamp,
) -> Life {
    let dynos = || app.seen.iter().map(|one| &one.dyno);
    let standing =
        |dyno: &&Dyno| !dyno.one_off && matches!(dyno.state, DynoState::Up | DynoState::Starting);
    let changes = dynos().filter(standing).map(|dyno| dyno.updated_at);
    let last_used = [Some(app.released_at), app.last_used, used]
        .into_iter()
        .flatten()
        .chain(changes)
        .max();
    let busy = |dyno: &Dyno| {
        dyno.one_off || dyno.name.process_type.is_one_off() || dyno.state == DynoState::Starting
    };
    Life {
        sleep: app.sleep.as_ref().map(|sleep| (sleep.tier, sleep.since)),
        last_used: last_used.unwrap_or(now).min(now),
        open: shared.routes.open(app.app.id),
        candidate: app.desired.candidate.is_some(),
        at_work: is_canary || dynos().any(busy),
    }
}

/// Keeps when an app was last used, once a minute, of apps to which it matters.
async fn note_use(
    shared: &Shared,
    app: &AppWorld,
    used: Option<Timestamp>,
) -> Result<(), SchedulerError> {
    let Some(used) = used.filter(|_| app.rules.sleep_after.is_some()) else {
        return Ok(());
    };
    let noted = app.last_used.unwrap_or(Timestamp::MIN);
    if used.duration_since(noted) >= NOTED_EVERY {
        let id = app.app.id;
        shared.store.write(move |tx| tx.note_use(id, used)).await?;
    }
    Ok(())
}

/// Unless anything has changed since it was decided.
async fn fall_asleep(
    shared: &Shared,
    app: &AppWorld,
    tier: SleepTier,
    life: &Life,
) -> Result<(), SchedulerError> {
    let id = app.app.id;
    let before = app.sleep.clone();
    let _turn = shared.sleepers.turn(id).lock().await;
    let since = life.sleep.map_or(life.last_used, |(_, since)| since);
    let idle = shared.clock.now().duration_since(since);
    if shared.routes.open(id) != Some(0) {
        return Ok(());
    }
    let reason = format!("nobody asked for it for {} minutes", idle.as_secs() / 60);
    let changed = shared
        .store
        .write(move |tx| {
            let row = tx.app(id)?;
            if row.candidate_version.is_some() || tx.app_sleep(id)? != before {
                return Ok(false);
            }
            tx.put_to_sleep(id, tier, &reason, observe::now())
        })
        .await?;
    if changed {
        tracing::info!(app = %app.app.name, tier = tier.as_str(), "An app sleeps.");
        let text = match tier {
            SleepTier::Frozen => "Idling",
            SleepTier::Stopped => "Idling: its dynos stop",
        };
        output::say(shared, id, "api", text);
        shared.wake();
    }
    Ok(())
}

/// Wakes an app; whether it slept. What is frozen goes on before anything is written: that is what a request waits for.
pub(crate) async fn wake(
    shared: &Shared,
    app: AppId,
    why: &'static str,
) -> Result<bool, StoreError> {
    let _turn = shared.sleepers.turn(app).lock().await;
    let (sleep, dynos) = shared
        .store
        .read(move |view| Ok((view.app_sleep(app)?, view.dynos(app)?)))
        .await?;
    let Some(AppSleep { tier, .. }) = sleep else {
        // Whoever asked may have an old table.
        shared.wake();
        return Ok(false);
    };
    let waking = shared.routes.begin_waking(app);
    if tier == SleepTier::Frozen {
        let thawed = thaw_all_of(shared, &dynos).await;
        if thawed {
            shared.routes.show_awake(app);
        }
    }
    let woken = shared
        .store
        .write(move |tx| tx.wake_app(app, observe::now()))
        .await?;
    drop(waking);
    shared.wake();
    if woken.is_some() {
        tracing::info!(%app, why, "An app wakes.");
        output::say(shared, app, "api", &format!("Unidling: {why}"));
    }
    Ok(woken.is_some())
}

/// Whether all its frozen dynos go on; what could not be thawed is thawed by a later look.
async fn thaw_all_of(shared: &Shared, dynos: &[Dyno]) -> bool {
    let mut all = true;
    for dyno in dynos.iter().filter(|dyno| dyno.state == DynoState::Idle) {
        let container = shared.memory().container(dyno.id).cloned();
        all &= match container {
            Some(container) => thaw_container(shared, dyno.id, &container).await,
            None => false,
        };
        if !all {
            // Whatever the ledger is told, the planner sees to it.
            shared.sleepers.all().insert(dyno.id);
        }
    }
    all
}

async fn thaw_container(shared: &Shared, dyno: DynoId, container: &Container) -> bool {
    match shared.engine.thaw(container).await {
        Ok(()) => {
            shared.sleepers.all().remove(&dyno);
            true
        }
        Err(error) => {
            tracing::warn!(%dyno, %error, "A dyno could not be thawed yet.");
            false
        }
    }
}

/// Freezes a dyno of an app that sleeps, if it does still and nothing is under way.
pub(crate) fn freeze_later(shared: &Shared, id: DynoId, container: Option<Container>) {
    let Some(container) = container else { return };
    if !shared.take(id) {
        return;
    }
    let task = shared.clone();
    shared.spawn(async move {
        match freeze(&task, id, &container).await {
            Ok(true) => {
                if let Err(error) = task.engine.reclaim(&container).await {
                    tracing::debug!(dyno = %id, %error, "No memory of a frozen dyno could be given back.");
                }
            }
            Ok(false) => {}
            Err(error) => {
                tracing::info!(dyno = %id, %error, "A dyno could not be frozen; it runs on.");
                tokio::time::sleep(PAUSE).await;
            }
        }
        task.give_back(id);
    });
}

async fn freeze(
    shared: &Shared,
    id: DynoId,
    container: &Container,
) -> Result<bool, SchedulerError> {
    let Some(dyno) = shared.store.read(move |view| view.dyno(id)).await? else {
        return Ok(false);
    };
    let app = dyno.app;
    let _turn = shared.sleepers.turn(app).lock().await;
    let sleeps = shared
        .store
        .read(move |view| {
            let tier = view.app_sleep(app)?.map(|sleep| sleep.tier);
            let state = view.dyno(id)?.map(|dyno| dyno.state);
            let rests = matches!(state, Some(DynoState::Up | DynoState::Idle));
            Ok(tier == Some(SleepTier::Frozen) && rests)
        })
        .await?;
    if !sleeps || !shared.routes.is_drained(id) {
        return Ok(false);
    }
    let crashes = dyno.crashes;
    // The ledger first: what it calls frozen is thawed by whoever wakes the app.
    shared
        .store
        .write(move |tx| {
            tx.set_dyno_state(id, DynoState::Idle, Some("frozen"), crashes, observe::now())
        })
        .await?;
    if let Err(error) = shared.engine.freeze(container).await {
        shared
            .store
            .write(move |tx| tx.set_dyno_state(id, DynoState::Up, None, crashes, observe::now()))
            .await?;
        return Err(error.into());
    }
    shared.sleepers.all().insert(id);
    if dyno.state == DynoState::Up {
        let name = dyno.name.to_string();
        output::say(shared, app, &name, "State changed from up to idle");
    }
    Ok(true)
}

/// Thaws a dyno whose app does not sleep, or not so any more.
pub(crate) fn thaw_later(shared: &Shared, id: DynoId, container: Option<Container>) {
    let Some(container) = container else { return };
    if !shared.take(id) {
        return;
    }
    let task = shared.clone();
    shared.spawn(async move {
        if let Err(error) = thaw(&task, id, &container).await {
            tracing::warn!(dyno = %id, %error, "A dyno could not be thawed yet.");
            tokio::time::sleep(PAUSE).await;
        }
        task.give_back(id);
    });
}

async fn thaw(shared: &Shared, id: DynoId, container: &Container) -> Result<(), SchedulerError> {
    let Some(dyno) = shared.store.read(move |view| view.dyno(id)).await? else {
        return Ok(());
    };
    let app = dyno.app;
    let _turn = shared.sleepers.turn(app).lock().await;
    let tier = shared.store.read(move |view| view.app_sleep(app)).await?;
    if tier.is_some_and(|sleep| sleep.tier == SleepTier::Frozen) && dyno.state == DynoState::Idle {
        let settings = shared
            .store
            .read(move |view| view.dyno_settings(app))
            .await?;
        let process_type = &dyno.name.process_type;
        if process_type.is_web() || settings.of(process_type).sleep == Some(true) {
            return Ok(());
        }
    }
    shared.engine.thaw(container).await?;
    shared.sleepers.all().remove(&id);
    shared
        .store
        .write(move |tx| {
            let idle = tx
                .dyno(id)?
                .is_some_and(|dyno| dyno.state == DynoState::Idle);
            match idle {
                true => tx.set_dyno_state(id, DynoState::Up, None, dyno.crashes, observe::now()),
                false => Ok(()),
            }
        })
        .await?;
    Ok(())
}

/// Thaws what an earlier run of the server has left frozen and the ledger does not know as that. What it does know stays.
pub(crate) async fn adopt(shared: &Shared) -> Result<(), SchedulerError> {
    let containers = shared.engine.list().await?;
    let idle: HashSet<DynoId> = shared
        .store
        .read(|view| view.all_dynos())
        .await?
        .into_iter()
        .filter(|dyno| dyno.state == DynoState::Idle)
        .map(|dyno| dyno.id)
        .collect();
    let is_idle = |container: &Container| {
        let dyno = container.labels.get(LABEL_DYNO);
        let dyno = dyno.and_then(|text| text.parse().ok());
        dyno.is_some_and(|dyno| idle.contains(&dyno))
    };
    let awake = containers
        .iter()
        .filter(|container| container.status == Status::Running && !is_idle(container));
    thaw_these(shared, awake).await;
    Ok(())
}

/// Thaws all that is frozen, since nobody is there to do it later; the apps sleep on, and are frozen again when a server
/// is back.
pub(crate) async fn thaw_all(shared: &Shared) {
    let idle: Vec<Container> = {
        let memory = shared.memory();
        let frozen = shared.sleepers.all();
        (frozen.iter())
            .filter_map(|dyno| memory.container(*dyno).cloned())
            .collect()
    };
    thaw_these(shared, idle.iter()).await;
    shared.sleepers.all().clear();
}

async fn thaw_these(shared: &Shared, containers: impl Iterator<Item = &Container>) {
    futures_util::stream::iter(containers)
        .for_each_concurrent(PARALLEL, async |container| {
            if let Err(error) = shared.engine.thaw(container).await {
                tracing::warn!(container = %container.id, %error, "A container could not be thawed.");
            }
        })
        .await;
}
