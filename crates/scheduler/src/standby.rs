//! Dynos that stand by: while an app is being built, and for some minutes after, the containers of its next web dynos are
//! there already, were started, and wait to be told what to run. Docker Engine needs longer to start a container than a small app to boot.
//!
//! One has the id of the dyno that it will be and a name that says that it stands by; only once it was told does it get
//! the dyno's name. What has the other name is nobody's dyno, whatever became of the server in between. What cannot be
//! used is removed, and the dyno starts as any other.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ropewalk_engine::{
    ContainerId, ContainerSpec, EngineError, ImageIds, Result as EngineResult,
    waiting::{self, Blank},
};
use ropewalk_model::{AppId, DynoId, DynoName, DynoSize, ProcessType};
use ropewalk_store::{StoreError, View};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use crate::SchedulerError;
use crate::environment::of_init;
use crate::launch::{self, container_name};
use crate::reconcile::{Scheduler, Shared};

/// Most that stand by for one app: the others start when they are wanted.
const MOST: u32 = 4;
/// Most that stand by on a host; each holds some 11 MiB, most of it Docker's shim.
const MOST_ON_HOST: usize = 16;

/// For how long one stands by for whichever app wakes first, unless it is said again that it should.
const SPARE: Duration = Duration::from_secs(60);

/// For those that wait to be removed when the server stops.
const ENDED_WITHIN: Duration = Duration::from_secs(5);

/// Those that wait, and those whose dyno is being launched.
#[derive(Debug, Default)]
pub(crate) struct Standbys(Mutex<HashMap<DynoId, Standby>>);

#[derive(Debug)]
struct Standby {
    place: Place,
    until: Instant,
    /// Its dyno has a row.
    taken: bool,
    /// Until it is being told.
    making: Option<JoinHandle<EngineResult<Blank>>>,
}

/// What it is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// `None` for whichever app wakes first.
    app: Option<AppId>,
    name: DynoName,
    size: DynoSize,
    image: String,
}

impl Standbys {
    fn all(&self) -> MutexGuard<'_, HashMap<DynoId, Standby>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a dyno's container stands by, or is being told.
    pub(crate) fn holds(&self, dyno: DynoId) -> bool {
        self.all().contains_key(&dyno)
    }

    /// The id for a new dyno of this name, if a container stands by for one.
    pub(crate) fn take(&self, app: AppId, name: &DynoName, size: DynoSize) -> Option<DynoId> {
        let mut all = self.all();
        let fits = |one: &Standby, of: Option<AppId>| {
            let place = &one.place;
            let named = of.map_or(name.process_type.is_web(), |_| place.name == *name);
            !one.taken && place.app == of && named && place.size == size
        };
        let found = |of| all.iter().find(|(_, one)| fits(one, of)).map(|(id, _)| *id);
        let id = found(Some(app)).or_else(|| found(None))?;
        all.get_mut(&id)?.taken = true;
        Some(id)
    }

    /// Those that wait for whichever app wakes first stay for a while; how many there are.
    fn keep_spares(&self, until: Instant) -> usize {
        let mut all = self.all();
        let spares = (all.values_mut()).filter(|one| one.place.app.is_none() && !one.taken);
        spares.map(|one| one.until = until).count()
    }

    fn claim(&self, dyno: DynoId) -> Option<(Place, JoinHandle<EngineResult<Blank>>)> {
        let mut all = self.all();
        let one = all.get_mut(&dyno)?;
        Some((one.place.clone(), one.making.take()?))
    }

    /// When one is to go, if it is still there and nobody is telling it.
    fn until(&self, dyno: DynoId) -> Option<Instant> {
        let all = self.all();
        let one = all.get(&dyno)?;
        one.making.is_some().then_some(one.until)
    }
}

impl Scheduler {
    /// A build of this app is under way, or may soon be: its web dynos will be others. Returns at once; nothing is promised.
    pub fn expect(&self, app: AppId) {
        let long = self.shared.config.standby;
        if long.is_zero() {
            return;
        }
        let shared = self.shared.clone();
        self.shared.spawn(async move {
            match wanted(&shared, app).await {
                Ok(wanted) => stand_by(&shared, app, wanted, long),
                Err(error) => tracing::debug!(%app, %error, "No dyno stands by."),
            }
        });
    }
}

/// Apps are stopped, this one the last: a container stands by for whichever wakes first.
pub(crate) fn keep_spare(shared: &Shared, app: AppId) {
    let until = Instant::now() + SPARE;
    if shared.standbys.keep_spares(until) >= shared.config.spares {
        return;
    }
    let task = shared.clone();
    shared.spawn(async move {
        let place = match wanted(&task, app).await {
            Ok(places) => places.into_iter().next(),
            Err(error) => return tracing::debug!(%app, %error, "No dyno stands by."),
        };
        let mut all = task.standbys.all();
        let spares = all
            .values()
            .filter(|one| one.place.app.is_none() && !one.taken);
        let room = spares.count() < task.config.spares && all.len() < MOST_ON_HOST;
        if let Some(place) = place.filter(|_| room) {
            begin(&task, &mut all, Place { app: None, ..place }, until);
        }
    });
}

/// The web dynos that a release made now would have.
async fn wanted(shared: &Shared, id: AppId) -> Result<Vec<Place>, SchedulerError> {
    let read = move |view: &View<'_>| {
        let app = view.app(id)?;
        let stack = view.newest_stack(&app.stack)?;
        let rows = view.quantities(id)?;
        Ok((stack, rows, view.sizes()?.usual()))
    };
    let (stack, rows, usual) = shared.store.read(read).await?;
    let stack = stack.ok_or(StoreError::NotFound("stack"))?;
    let images = ImageIds::read(&stack.images["run"]).ok_or(StoreError::NotFound("stack image"))?;
    let Some(image) = images.find(shared.engine.as_ref()).await? else {
        return Ok(Vec::new());
    };
    // One that was never deployed will have one.
    let (quantity, size) = rows
        .iter()
        .find(|row| row.process_type.is_web())
        .map_or((1, usual), |row| (row.quantity, row.size));
    let places = (1..=quantity.min(MOST)).map(|number| Place {
        app: Some(id),
        name: DynoName {
            process_type: ProcessType::web(),
            number,
        },
        size,
        image: image.clone(),
    });
    Ok(places.collect())
}

/// Makes what is missing, lets wait on what fits, and removes what does not.
fn stand_by(shared: &Shared, app: AppId, mut wanted: Vec<Place>, long: Duration) {
    let until = Instant::now() + long;
    let mut all = shared.standbys.all();
    for one in all.values_mut() {
        if one.place.app != Some(app) || one.taken {
            continue;
        }
        match wanted.iter().position(|place| *place == one.place) {
            Some(index) => {
                wanted.swap_remove(index);
                one.until = until;
            }
            None => one.until = Instant::now(),
        }
    }
    let room = MOST_ON_HOST.saturating_sub(all.len());
    for place in wanted.into_iter().take(room) {
        begin(shared, &mut all, place, until);
    }
}

fn begin(shared: &Shared, all: &mut HashMap<DynoId, Standby>, place: Place, until: Instant) {
    let dyno = DynoId(Uuid::new_v4());
    let spec = blank(shared, dyno, &place);
    let task = shared.clone();
    let making = shared.spawn(async move { waiting::start(task.engine.as_ref(), &spec).await });
    let one = Standby {
        place,
        until,
        taken: false,
        making: Some(making),
    };
    all.insert(dyno, one);
    shared.spawn(expire(shared.clone(), dyno));
}

fn name(shared: &Shared, dyno: DynoId) -> String {
    format!("rw-{}-standby-{dyno}", shared.config.instance)
}

/// Whether a container of this name stands by for a dyno, and is not the dyno's.
pub(crate) fn is_name(shared: &Shared, name: &str) -> bool {
    name.strip_prefix("rw-")
        .and_then(|rest| rest.strip_prefix(shared.config.instance.as_str()))
        .is_some_and(|rest| rest.starts_with("-standby-"))
}

fn blank(shared: &Shared, dyno: DynoId, place: &Place) -> ContainerSpec {
    let image = place.image.clone();
    let app = place.app.unwrap_or(AppId(Uuid::nil()));
    ContainerSpec {
        name: name(shared, dyno),
        command: waiting::command("/app"),
        env: of_init(),
        open_stdin: true,
        ..launch::outline(shared, app, dyno, &place.name, place.size, image)
    }
}

/// Makes the container that stands by for this dyno, if one does, into what `spec` asks for: shows it its mounts, tells
/// it variables and command, and names it. `None` when none does, or it was of no use and is gone.
pub(crate) async fn become_dyno(
    shared: &Shared,
    dyno: DynoId,
    spec: &ContainerSpec,
) -> Option<ContainerId> {
    let (place, making) = shared.standbys.claim(dyno)?;
    let became = match making.await {
        Ok(Ok(blank)) => {
            let id = blank.id.clone();
            let told = tell(shared, &place, blank, dyno, spec).await;
            if told.is_err() {
                remove(shared, &id).await;
            }
            told.map(|()| id)
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(EngineError::Unreachable(
            "its making ended early".to_owned(),
        )),
    };
    // Last, so that every look until now knows whose it is.
    shared.standbys.all().remove(&dyno);
    became
        .inspect_err(|error| {
            tracing::info!(%dyno, %error, "A container that stood by is of no use; another is made.");
        })
        .ok()
}

async fn tell(
    shared: &Shared,
    place: &Place,
    mut blank: Blank,
    dyno: DynoId,
    spec: &ContainerSpec,
) -> EngineResult<()> {
    let names = spec.env.iter().map(|(name, _)| name.as_str());
    if spec.image != place.image || !waiting::can_be_told(names) {
        return Err(EngineError::Refused {
            verb: "use",
            name: blank.id.0,
            message: "it is not what the release needs".to_owned(),
        });
    }
    shared.engine.furnish(&blank.process, &spec.mounts).await?;
    waiting::tell(&mut blank.attached.input, &spec.env, &spec.command).await?;
    let name = container_name(shared, dyno);
    shared.engine.rename(&blank.id, &name).await
}

/// Removes one that nobody was told to use in time.
async fn expire(shared: Shared, dyno: DynoId) {
    while let Some(until) = shared.standbys.until(dyno) {
        if until <= Instant::now() {
            discard(&shared, dyno).await;
            return;
        }
        tokio::time::sleep_until(until).await;
    }
}

/// Removes those that wait: the server stops.
pub(crate) async fn end_all(shared: &Shared) {
    let all: Vec<DynoId> = shared.standbys.all().keys().copied().collect();
    let gone = futures_util::future::join_all(all.into_iter().map(|dyno| discard(shared, dyno)));
    // The next start removes what is left.
    let _ = tokio::time::timeout(ENDED_WITHIN, gone).await;
}

async fn discard(shared: &Shared, dyno: DynoId) {
    let Some((_, making)) = shared.standbys.claim(dyno) else {
        return;
    };
    if let Ok(Ok(blank)) = making.await {
        remove(shared, &blank.id).await;
    }
    shared.standbys.all().remove(&dyno);
}

async fn remove(shared: &Shared, id: &ContainerId) {
    if let Err(error) = shared.engine.remove(id).await {
        tracing::info!(container = %id, %error, "A container that stood by could not be removed yet.");
    }
}
