//! `/apps/:app/formation/:type/monitors`: between how many dynos web is scaled, and for which response time.
//!
//! Nothing is scaled here: the server's autoscaler reads what is written.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::Monitor;
use ropewalk_api_types::monitor::MonitorUpdate;
use ropewalk_model::ProcessType;
use ropewalk_model::formation::FormationError;
use ropewalk_model::monitor::{
    ACTION_TYPE, DEFAULT_NOTIFICATION_PERIOD, DEFAULT_P95_MS, LATENCY_SCALE,
    MAX_NOTIFICATION_PERIOD, OP, PERIOD, Rule,
};
use ropewalk_store as store;
use ropewalk_store::{MonitorSettings, StoreError};

use crate::authorise::{Actor, Verb};
use crate::resource::app;
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::body::{Json, created, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};

const ATTRIBUTES: [Attribute<Monitor>; 2] = [
    ("id", |monitor| Key::Text(monitor.id.to_string())),
    ("name", |monitor| Key::Text(monitor.name.clone())),
];

pub(crate) async fn list(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, process_type)): Path<(String, String)>,
    wanted: Wanted,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let (id, process_type) = (app.id, parse(&process_type)?);
    let rows = state
        .ctx
        .store
        .read(move |view| view.monitors(id, &process_type))
        .await?;
    wanted.page(
        rows.iter().map(|row| wire(&app, row)).collect(),
        &ATTRIBUTES,
    )
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, process_type, monitor)): Path<(String, String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let (id, process_type) = (app.id, parse(&process_type)?);
    let row = state
        .ctx
        .store
        .read(move |view| view.find_monitor(id, &process_type, &monitor))
        .await?;
    Ok(ok(&wire(&app, &row)))
}

pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, process_type)): Path<(String, String)>,
    Json(asked): Json<MonitorUpdate>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let (id, process_type) = (app.id, parse(&process_type)?);
    if !process_type.is_web() {
        return Err(ApiError::invalid(format!(
            "Only web is scaled by response time; scale {process_type} with ps:scale."
        )));
    }
    let settings = settings(&asked, None)?;
    let row = state
        .ctx
        .store
        .write(move |tx| {
            let deployed = tx.formation(id)?;
            if !deployed.iter().any(|row| row.process_type == process_type) {
                let text = format!(
                    "There is no process type {process_type} to scale yet; deploy one first."
                );
                return Err(StoreError::Refused(text));
            }
            if !tx.monitors(id, &process_type)?.is_empty() {
                let text =
                    format!("There is a monitor of {process_type} already; change it with PATCH.");
                return Err(StoreError::Refused(text));
            }
            tx.create_monitor(id, &process_type, &settings, Timestamp::now())
        })
        .await?;
    say(&state, &actor, &row);
    Ok(created(&wire(&app, &row)))
}

pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, process_type, monitor)): Path<(String, String, String)>,
    Json(asked): Json<MonitorUpdate>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let (id, process_type) = (app.id, parse(&process_type)?);
    let before = state
        .ctx
        .store
        .read(move |view| view.find_monitor(id, &process_type, &monitor))
        .await?;
    let settings = settings(&asked, Some(&before))?;
    let row = state
        .ctx
        .store
        .write(move |tx| tx.update_monitor(&before, &settings, Timestamp::now()))
        .await?;
    say(&state, &actor, &row);
    Ok(ok(&wire(&app, &row)))
}

/// A name that cannot be one is a type that is not there.
fn parse(process_type: &str) -> ApiResult<ProcessType> {
    Ok(ProcessType::parse(process_type)
        .map_err(|_| FormationError::UnknownType(process_type.to_owned()))?)
}

/// What is asked for over what there is, checked.
fn settings(asked: &MonitorUpdate, before: Option<&store::Monitor>) -> ApiResult<MonitorSettings> {
    only(asked.name.as_deref(), "name", LATENCY_SCALE)?;
    only(asked.action_type.as_deref(), "action_type", ACTION_TYPE)?;
    only(asked.op.as_deref(), "op", OP)?;
    if asked
        .period
        .is_some_and(|period| period != i64::from(PERIOD))
    {
        return Err(ApiError::invalid(format!("`period` must be {PERIOD}.")));
    }
    if asked
        .notification_channels
        .as_ref()
        .is_some_and(|channels| !channels.is_empty())
    {
        return Err(ApiError::invalid(
            "Notifications are not available; `notification_channels` must be empty. The app's log tells of each \
             step.",
        ));
    }
    let rule = before.map(|monitor| monitor.rule);
    let bound = |asked: Option<i64>, known: Option<u32>, name: &str| {
        asked
            .or(known.map(i64::from))
            .ok_or_else(|| ApiError::invalid(format!("`{name}` is missing.")))
    };
    let value = asked
        .value
        .unwrap_or_else(|| rule.map_or(DEFAULT_P95_MS, |rule| rule.p95_ms()).into());
    let min = bound(
        asked.min_quantity,
        rule.map(|rule| rule.min()),
        "min_quantity",
    )?;
    let max = bound(
        asked.max_quantity,
        rule.map(|rule| rule.max()),
        "max_quantity",
    )?;
    let rule = Rule::new(value, min, max).map_err(|error| ApiError::invalid(error.to_string()))?;
    Ok(MonitorSettings {
        is_active: asked
            .is_active
            .unwrap_or(before.is_none_or(|monitor| monitor.is_active)),
        rule,
        notification_period: notification_period(asked, before)?,
    })
}

fn only(asked: Option<&str>, key: &str, value: &str) -> ApiResult<()> {
    match asked {
        Some(asked) if asked != value => {
            Err(ApiError::invalid(format!("`{key}` must be {value}.")))
        }
        _ => Ok(()),
    }
}

fn notification_period(asked: &MonitorUpdate, before: Option<&store::Monitor>) -> ApiResult<u32> {
    let Some(asked) = asked.notification_period else {
        return Ok(before.map_or(DEFAULT_NOTIFICATION_PERIOD, |monitor| {
            monitor.notification_period
        }));
    };
    u32::try_from(asked)
        .ok()
        .filter(|minutes| (1..=MAX_NOTIFICATION_PERIOD).contains(minutes))
        .ok_or_else(|| {
            ApiError::invalid(format!(
                "`notification_period` must be between 1 and {MAX_NOTIFICATION_PERIOD} minutes."
            ))
        })
}

fn say(state: &State, actor: &Actor, row: &store::Monitor) {
    let text = match row.is_active {
        true => format!(
            "Autoscale {} between {} and {} dynos for a p95 of {} ms",
            row.process_type,
            row.rule.min(),
            row.rule.max(),
            row.rule.p95_ms()
        ),
        false => format!("Autoscale {} no longer", row.process_type),
    };
    state.ctx.say_who(row.app, &actor.user, &text);
}

fn wire(app: &store::App, row: &store::Monitor) -> Monitor {
    Monitor {
        id: row.id,
        app: app::named(app),
        process_type: row.process_type.to_string(),
        name: row.name.clone(),
        action_type: ACTION_TYPE.to_owned(),
        is_active: row.is_active,
        op: row.op.clone(),
        period: row.period,
        value: row.rule.p95_ms(),
        min_quantity: row.rule.min(),
        max_quantity: row.rule.max(),
        notification_channels: Vec::new(),
        notification_period: row.notification_period,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}
