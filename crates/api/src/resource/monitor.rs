//! `/apps/:app/formation/:type/monitors`: between how many dynos web is scaled, and for which response time.
//!
//! A monitor is how clients of Heroku's API see the rule of a process type that has a target for the p95. What else the
//! rule has stays as it is when they change it.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::Monitor;
use ropewalk_api_types::monitor::MonitorUpdate;
use ropewalk_model::ProcessType;
use ropewalk_model::monitor::{
    ACTION_TYPE, DEFAULT_NOTIFICATION_PERIOD, DEFAULT_P95_MS, LATENCY_SCALE,
    MAX_NOTIFICATION_PERIOD, OP, PERIOD, Rule,
};
use ropewalk_model::scaling::{self, Settings};
use ropewalk_store as store;
use ropewalk_store::{AutoscaleRule, NewAutoscaleRule, StoreError, View, WebhookChange};

use crate::authorise::{Actor, Verb};
use crate::resource::app;
use crate::resource::autoscale::{parse, say};
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
        .read(move |view| view.autoscale_rule(id, &process_type))
        .await?;
    wanted.page(
        rows.iter().filter_map(|row| wire(&app, row)).collect(),
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
        .read(move |view| find(view, id, &process_type, &monitor))
        .await?;
    shown(&app, &row, ok)
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
    let asked = Asked::read(&asked, None)?;
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
            let before = tx.autoscale_rule(id, &process_type)?;
            if before.as_ref().and_then(p95_ms).is_some() {
                let text =
                    format!("There is a monitor of {process_type} already; change it with PATCH.");
                return Err(StoreError::Refused(text));
            }
            let new = asked.over(before.as_ref())?;
            tx.set_autoscale_rule(id, &process_type, &new, Timestamp::now())
        })
        .await?;
    say(&state, &actor, &row);
    shown(&app, &row, created)
}

pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, process_type, monitor)): Path<(String, String, String)>,
    Json(asked): Json<MonitorUpdate>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let (id, process_type) = (app.id, parse(&process_type)?);
    let (key, of_type) = (monitor, process_type.clone());
    let before = state
        .ctx
        .store
        .read(move |view| find(view, id, &of_type, &key))
        .await?;
    let asked = Asked::read(&asked, Some(&before))?;
    let row = state
        .ctx
        .store
        .write(move |tx| {
            let before = tx.autoscale_rule(id, &process_type)?;
            let new = asked.over(before.as_ref())?;
            tx.set_autoscale_rule(id, &process_type, &new, Timestamp::now())
        })
        .await?;
    say(&state, &actor, &row);
    shown(&app, &row, ok)
}

/// By id or name.
fn find(
    view: &View<'_>,
    app: ropewalk_model::AppId,
    process_type: &ProcessType,
    key: &str,
) -> store::Result<AutoscaleRule> {
    view.autoscale_rule(app, process_type)?
        .filter(|rule| p95_ms(rule).is_some())
        .filter(|rule| key == LATENCY_SCALE || rule.id.to_string() == key)
        .ok_or(StoreError::NotFound("monitor"))
}

fn p95_ms(rule: &AutoscaleRule) -> Option<u32> {
    rule.settings.p95_ms()
}

/// What a monitor is to be.
struct Asked {
    is_active: bool,
    /// It was said that it is to scale.
    enables: bool,
    rule: Rule,
    notification_period: u32,
}

impl Asked {
    /// The rule that this makes of the one before.
    fn over(&self, before: Option<&AutoscaleRule>) -> store::Result<NewAutoscaleRule> {
        let settings = match before {
            Some(before) => before.settings.with_monitor(self.rule),
            None => Settings::try_from(scaling::Rule::from(self.rule)),
        };
        let settings = settings.map_err(|error| StoreError::Refused(error.to_string()))?;
        Ok(NewAutoscaleRule {
            is_active: self.is_active,
            settings: match self.enables {
                true => settings.with_dry_run(false),
                false => settings,
            },
            webhook: WebhookChange::Keep,
            notice_period: self.notification_period,
        })
    }
}

impl Asked {
    /// What is asked for over what there is, checked.
    fn read(asked: &MonitorUpdate, before: Option<&AutoscaleRule>) -> ApiResult<Self> {
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
                "Notifications are not available here; `notification_channels` must be empty. The app's log tells of each \
             step, and so does a webhook: ropewalk autoscale:set.",
            ));
        }
        let bounds = before.map(|rule| rule.settings.rule().bounds());
        let bound = |asked: Option<i64>, known: Option<u32>, name: &str| {
            asked
                .or(known.map(i64::from))
                .ok_or_else(|| ApiError::invalid(format!("`{name}` is missing.")))
        };
        let p95 = before.and_then(p95_ms).unwrap_or(DEFAULT_P95_MS);
        let value = asked.value.unwrap_or(p95.into());
        let min = bound(
            asked.min_quantity,
            bounds.map(|bounds| bounds.min()),
            "min_quantity",
        )?;
        let max = bound(
            asked.max_quantity,
            bounds.map(|bounds| bounds.max()),
            "max_quantity",
        )?;
        let rule =
            Rule::new(value, min, max).map_err(|error| ApiError::invalid(error.to_string()))?;
        Ok(Self {
            is_active: asked
                .is_active
                .unwrap_or(before.is_none_or(|rule| rule.is_active)),
            enables: asked.is_active == Some(true),
            rule,
            notification_period: notification_period(asked, before)?,
        })
    }
}

fn only(asked: Option<&str>, key: &str, value: &str) -> ApiResult<()> {
    match asked {
        Some(asked) if asked != value => {
            Err(ApiError::invalid(format!("`{key}` must be {value}.")))
        }
        _ => Ok(()),
    }
}

fn notification_period(asked: &MonitorUpdate, before: Option<&AutoscaleRule>) -> ApiResult<u32> {
    let Some(asked) = asked.notification_period else {
        return Ok(before.map_or(DEFAULT_NOTIFICATION_PERIOD, |rule| rule.notice_period));
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

fn shown(
    app: &store::App,
    row: &AutoscaleRule,
    answer: fn(&Monitor) -> axum::response::Response,
) -> ApiResult {
    let monitor = wire(app, row).ok_or(StoreError::NotFound("monitor"))?;
    Ok(answer(&monitor))
}

/// `None` for a rule without a target for the p95.
fn wire(app: &store::App, row: &AutoscaleRule) -> Option<Monitor> {
    let bounds = row.settings.rule().bounds();
    Some(Monitor {
        id: row.id,
        app: app::named(app),
        process_type: row.process_type.to_string(),
        name: LATENCY_SCALE.to_owned(),
        action_type: ACTION_TYPE.to_owned(),
        is_active: row.is_active,
        op: OP.to_owned(),
        period: PERIOD,
        value: p95_ms(row)?,
        min_quantity: bounds.min(),
        max_quantity: bounds.max(),
        notification_channels: Vec::new(),
        notification_period: row.notice_period,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}
