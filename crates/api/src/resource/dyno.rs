//! `/apps/:app/dynos`: what runs, one-off dynos, restarting and stopping.

use std::collections::{BTreeMap, HashMap};

use axum::extract::State as Shared;
use jiff::{SignedDuration, Timestamp};
use ropewalk_api_types::dyno::{DynoCreate, DynoStatus};
use ropewalk_api_types::{Dyno, ReleaseRef};
use ropewalk_model::dyno::jittered_delay;
use ropewalk_model::{DynoState, ProcessType, Sizes};
use ropewalk_store as store;
use ropewalk_store::{Retire, View};

use crate::authorise::{Actor, Verb};
use crate::grant::Grant;
use crate::platform::{InsideRequest, RunError, RunRequest};
use crate::resource::path::Path;
use crate::resource::{app, dyno_size};
use crate::state::State;
use crate::transport::body::{Json, accepted, created, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};
use crate::transport::variant::Attaching;
use ropewalk_api_types::attach::{STATUS_MARK, Ticket, Window};

const ATTRIBUTES: [Attribute<Dyno>; 3] = [
    ("id", |dyno| Key::Text(dyno.id.to_string())),
    ("name", |dyno| Key::Text(dyno.name.clone())),
    ("updated_at", |dyno| Key::Time(dyno.updated_at)),
];
const STATUS_ATTRIBUTES: [Attribute<DynoStatus>; 1] =
    [("id", |status| Key::Text(status.dyno.id.to_string()))];
/// Variables that one request may give a one-off dyno, names and values, in bytes.
const MAX_ENV: usize = 64 << 10;
/// Longest that a one-off dyno may be asked to be ended after, in seconds: a day.
const MAX_LIFE: u32 = 86_400;
/// Longest command, in bytes.
const MAX_COMMAND: usize = 64 << 10;

pub(crate) async fn list(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let dynos = state
        .ctx
        .store
        .read(move |view| {
            let rows = view.dynos(app.id)?;
            let mut releases = HashMap::new();
            rows.iter()
                .map(|row| wire(view, &app, row, &mut releases))
                .collect()
        })
        .await?;
    wanted.page::<Dyno>(dynos, &ATTRIBUTES)
}

/// `/ropewalk/apps/:app/dynos`: the same with why and what next, for which Heroku's form has no keys.
pub(crate) async fn list_statuses(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let statuses = state
        .ctx
        .store
        .read(move |view| {
            let rows = view.dynos(app.id)?;
            let mut releases = HashMap::new();
            rows.iter()
                .map(|row| {
                    Ok(DynoStatus {
                        dyno: wire(view, &app, row, &mut releases)?,
                        reason: row.reason.clone(),
                        crashes: row.crashes,
                        restarts_at: restarts_at(row),
                    })
                })
                .collect()
        })
        .await?;
    wanted.page::<DynoStatus>(statuses, &STATUS_ATTRIBUTES)
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, dyno)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let row = find(&state, &app, &dyno).await?;
    let dyno = state
        .ctx
        .store
        .read(move |view| wire(view, &app, &row, &mut HashMap::new()))
        .await?;
    Ok(ok(&dyno))
}

/// Runs a command in a one-off dyno. Who may, can read the config vars there, so it takes that right.
pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    attaching: Attaching,
    Path(app): Path<String>,
    Json(asked): Json<DynoCreate>,
) -> ApiResult {
    let app = app::find_for_config(&state, &actor, &app, Verb::Write).await?;
    let current = app.clone();
    let release = state
        .ctx
        .store
        .read(move |view| view.current_release(&current))
        .await?;
    if release.slug.is_none() {
        return Err(ApiError::invalid(format!(
            "Nothing is deployed to {} yet, so there is nothing to run the command in.",
            app.name
        )));
    }
    let sizes = state.ctx.store.read(|view| view.sizes()).await?;
    let request = request(&app, &sizes, asked)?;
    let way = request
        .attach
        .then(|| {
            Way::find(
                &state,
                attaching,
                &request.command,
                &request.env,
                request.tty,
            )
        })
        .transpose()?;
    let said = format!("Starting one-off dyno of type {}", request.process_type);
    let started = match state.ctx.platform.run(request).await {
        Ok(started) => started,
        Err(RunError::Refused(text)) => return Err(ApiError::invalid(text)),
        Err(error @ RunError::Failed(_)) => return Err(ApiError::internal(&error)),
    };
    state.ctx.say_who(app.id, &actor.user, &said);
    if let Some(secret) = &started.attach_secret {
        let grant = Grant::of(&actor, app.id);
        state.ctx.terminals.give(secret, grant);
    }
    let attach_url = started
        .attach_secret
        .zip(way)
        .map(|(secret, way)| way.url(&state, secret));
    let row = started.dyno;
    let dyno = state
        .ctx
        .store
        .read(move |view| wire(view, &app, &row, &mut HashMap::new()))
        .await?;
    Ok(created(&Dyno { attach_url, ..dyno }))
}

/// Where a client attaches.
enum Way {
    WebSocket,
    Rendezvous {
        host: String,
        window: Window,
        status: bool,
    },
}

impl Way {
    fn find(
        state: &State,
        attaching: Attaching,
        command: &str,
        env: &BTreeMap<String, String>,
        tty: bool,
    ) -> ApiResult<Self> {
        if attaching == Attaching::WebSocket {
            return Ok(Self::WebSocket);
        }
        let Some(host) = state.ctx.urls.rendezvous.clone() else {
            return Err(ApiError::invalid(
                "This server has no certificate, and clients other than `ropewalk run` attach over TLS only. \
                 Use `ropewalk run`, or run it detached.",
            ));
        };
        let number = |name: &str| env.get(name)?.parse().ok();
        let window = match tty {
            true => Window::Terminal(number("LINES").zip(number("COLUMNS"))),
            false => Window::Pipe,
        };
        Ok(Self::Rendezvous {
            host,
            window,
            status: command.contains(STATUS_MARK),
        })
    }

    fn url(self, state: &State, secret: String) -> String {
        match self {
            Self::WebSocket => state
                .ctx
                .urls
                .api_socket(&format!("/ropewalk/attach/{secret}")),
            Self::Rendezvous {
                host,
                window,
                status,
            } => {
                let ticket = Ticket {
                    secret,
                    window,
                    status,
                };
                format!("rendezvous://{host}/{}", ticket.encode())
            }
        }
    }
}

/// What is typed and what is set, within bounds.
fn line(asked: &mut DynoCreate) -> ApiResult<(String, BTreeMap<String, String>)> {
    let command = std::mem::take(&mut asked.command);
    if command.trim().is_empty() || command.len() > MAX_COMMAND {
        return Err(ApiError::invalid(
            "`command` must be a shell line of at most 64 KiB.",
        ));
    }
    let env: BTreeMap<String, String> = asked
        .env
        .take()
        .unwrap_or_default()
        .into_iter()
        .map(|(name, value)| (name, value.to_string()))
        .collect();
    let bytes: usize = env
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > MAX_ENV {
        return Err(ApiError::invalid("`env` is larger than 64 KiB."));
    }
    for (name, value) in &env {
        ropewalk_model::ConfigVarName::parse(name)
            .map_err(|error| ApiError::invalid(error.to_string()))?;
        if value.contains('\0') {
            return Err(ApiError::invalid(format!("`env` {name} holds a NUL byte.")));
        }
    }
    if command.contains('\0') {
        return Err(ApiError::invalid("`command` holds a NUL byte."));
    }
    Ok((command, env))
}

fn request(app: &store::App, sizes: &Sizes, mut asked: DynoCreate) -> ApiResult<RunRequest> {
    let (command, env) = line(&mut asked)?;
    let attach = asked.attach.unwrap_or(false);
    Ok(RunRequest {
        app: app.id,
        command,
        size: match asked.size.as_deref() {
            Some(name) => Some(dyno_size::find(sizes, name)?),
            None => None,
        },
        process_type: match asked.process_type.as_deref() {
            Some(name) => {
                ProcessType::parse(name).map_err(|error| ApiError::invalid(error.to_string()))?
            }
            None => ProcessType::run(),
        },
        tty: attach && !asked.force_no_tty.unwrap_or(false),
        attach,
        env,
        time_to_live: asked.time_to_live.map(time_to_live).transpose()?,
    })
}

fn time_to_live(seconds: u64) -> ApiResult<u32> {
    u32::try_from(seconds)
        .ok()
        .filter(|seconds| (1..=MAX_LIFE).contains(seconds))
        .ok_or_else(|| ApiError::invalid(format!("`time_to_live` is 1 to {MAX_LIFE} seconds.")))
}

/// `POST /apps/:app/dynos/:dyno`: runs a command inside a dyno. It takes the right that a one-off dyno takes.
pub(crate) async fn run_inside(
    Shared(state): Shared<State>,
    actor: Actor,
    attaching: Attaching,
    Path((app, dyno)): Path<(String, String)>,
    Json(mut asked): Json<DynoCreate>,
) -> ApiResult {
    let app = app::find_for_config(&state, &actor, &app, Verb::Write).await?;
    let row = find(&state, &app, &dyno).await?;
    let (command, env) = line(&mut asked)?;
    if asked.size.is_some() || asked.process_type.is_some() || asked.time_to_live.is_some() {
        return Err(ApiError::invalid(
            "`size`, `type` and `time_to_live` are for dynos of their own, not for commands inside one.",
        ));
    }
    if asked.attach == Some(false) {
        return Err(ApiError::invalid(
            "Commands inside a dyno are attached to; leave `attach` out.",
        ));
    }
    let tty = !asked.force_no_tty.unwrap_or(false);
    let way = Way::find(&state, attaching, &command, &env, tty)?;
    let request = InsideRequest {
        dyno: row.id,
        command,
        env,
        tty,
    };
    let secret = match state.ctx.platform.run_inside(request).await {
        Ok(secret) => secret,
        Err(RunError::Refused(text)) => return Err(ApiError::invalid(text)),
        Err(error @ RunError::Failed(_)) => return Err(ApiError::internal(&error)),
    };
    let said = format!("Running a command inside {}", row.name);
    state.ctx.say_who(app.id, &actor.user, &said);
    let grant = Grant::of(&actor, app.id);
    state.ctx.terminals.give(&secret, grant);
    let dyno = state
        .ctx
        .store
        .read(move |view| wire(view, &app, &row, &mut HashMap::new()))
        .await?;
    let attach_url = Some(way.url(&state, secret));
    Ok(created(&Dyno { attach_url, ..dyno }))
}

pub(crate) async fn restart_all(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    retire(&state, &actor, &app, None, None, Retire::Replace).await
}

pub(crate) async fn restart_type(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, process_type)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let process_type = known_type(&state, &app, &process_type).await?;
    let how = restart(&state, &app, &process_type).await?;
    retire(&state, &actor, &app, Some(process_type), None, how).await
}

pub(crate) async fn restart_one(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, dyno)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let row = find(&state, &app, &dyno).await?;
    let how = match row.one_off {
        true => Retire::Stop,
        false => restart(&state, &app, &row.name.process_type).await?,
    };
    let name = row.name;
    retire(
        &state,
        &actor,
        &app,
        Some(name.process_type),
        Some(name.number),
        how,
    )
    .await
}

pub(crate) async fn stop_one(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, dyno)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let name = find(&state, &app, &dyno).await?.name;
    retire(
        &state,
        &actor,
        &app,
        Some(name.process_type),
        Some(name.number),
        Retire::Stop,
    )
    .await
}

pub(crate) async fn stop_type(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, process_type)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let process_type = known_type(&state, &app, &process_type).await?;
    retire(&state, &actor, &app, Some(process_type), None, Retire::Stop).await
}

async fn retire(
    state: &State,
    actor: &Actor,
    app: &store::App,
    process_type: Option<ProcessType>,
    number: Option<u32>,
    how: Retire,
) -> ApiResult {
    let which = match (&process_type, number) {
        (Some(name), Some(number)) => format!("{name}.{number}"),
        (Some(name), None) => format!("all {name} dynos"),
        (None, _) => "all dynos".to_owned(),
    };
    let id = app.id;
    state
        .ctx
        .store
        .write(move |tx| tx.retire_dynos(id, process_type.as_ref(), number, how))
        .await?;
    let verb = match how {
        Retire::Replace => "Restart",
        Retire::Stop => "Stop",
    };
    let text = format!("{verb} of {which} requested");
    state.ctx.say_who(app.id, &actor.user, &text);
    state.ctx.platform.changed();
    Ok(accepted())
}

/// By name or id; the newest where two share a name, as they do while one takes over from the other.
async fn find(state: &State, app: &store::App, key: &str) -> ApiResult<store::Dyno> {
    let id = app.id;
    let rows = state.ctx.store.read(move |view| view.dynos(id)).await?;
    rows.into_iter()
        .rev()
        .find(|row| row.name.to_string() == key || row.id.to_string() == key)
        .ok_or_else(|| ApiError::not_found("dyno"))
}

/// What a restart of a type is: a one-off dyno has no successor, so restarting it is stopping it.
async fn restart(state: &State, app: &store::App, name: &ProcessType) -> ApiResult<Retire> {
    let id = app.id;
    let rows = state.ctx.store.read(move |view| view.formation(id)).await?;
    let succeeded = !name.is_one_off() && rows.iter().any(|row| row.process_type == *name);
    Ok(match succeeded {
        true => Retire::Replace,
        false => Retire::Stop,
    })
}

/// A type that the app declares, or that something runs under.
async fn known_type(state: &State, app: &store::App, name: &str) -> ApiResult<ProcessType> {
    let unknown = || ropewalk_model::formation::FormationError::UnknownType(name.to_owned());
    let process_type = ProcessType::parse(name).map_err(|_| unknown())?;
    let id = app.id;
    let wanted = process_type.clone();
    let known = state
        .ctx
        .store
        .read(move |view| {
            let declared = view.formation(id)?;
            let running = view.dynos(id)?;
            Ok(declared.iter().any(|row| row.process_type == wanted)
                || running.iter().any(|row| row.name.process_type == wanted))
        })
        .await?;
    if known {
        Ok(process_type)
    } else {
        Err(unknown().into())
    }
}

/// Only what the formation has is started again.
fn restarts_at(row: &store::Dyno) -> Option<Timestamp> {
    let again =
        row.state == DynoState::Crashed && !row.one_off && !row.name.process_type.is_one_off();
    let delay = jittered_delay(row.id, row.crashes);
    let delay = SignedDuration::try_from(delay).ok().filter(|_| again)?;
    row.updated_at.checked_add(delay).ok()
}

/// `releases` keeps the ids of versions looked up before.
fn wire(
    view: &View<'_>,
    app: &store::App,
    row: &store::Dyno,
    releases: &mut HashMap<u32, ReleaseRef>,
) -> store::Result<Dyno> {
    let version = row.release_version;
    let release = match releases.get(&version) {
        Some(release) => release.clone(),
        None => {
            let release = ReleaseRef {
                id: view.release(app.id, version)?.id.0,
                version: version.into(),
            };
            releases.insert(version, release.clone());
            release
        }
    };
    Ok(Dyno {
        id: row.id.0,
        name: row.name.to_string(),
        process_type: row.name.process_type.to_string(),
        state: row.state.as_str().to_owned(),
        size: row.size.name.to_string(),
        command: row.command.clone(),
        attach_url: None,
        release,
        app: app::named(app),
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}
