//! `/ropewalk/apps/:app/formation/:type/autoscale`: what a process type is scaled by, and what was decided.
//!
//! Nothing is scaled here: the server's autoscaler reads what is written.

use axum::extract::State as Shared;
use http::StatusCode;
use jiff::Timestamp;
use ropewalk_api_types::autoscale::{
    AutoscaleEvent, AutoscalePace, AutoscaleRule, AutoscaleSchedule, AutoscaleTarget,
    AutoscaleUpdate, AutoscaleWebhook,
};
use ropewalk_api_types::secret::Secret;
use ropewalk_model::ProcessType;
use ropewalk_model::formation::FormationError;
use ropewalk_model::scaling::schedule::{clock, minute_of, zone};
use ropewalk_model::scaling::settings::{DEFAULT_NOTICE_PERIOD, MAX_NOTICE_PERIOD};
use ropewalk_model::scaling::{
    Bounds, Days, Pace, Rule, RuleError, Schedule, Settings, Source, Target, Webhook,
};
use ropewalk_store as store;
use ropewalk_store::{NewAutoscaleRule, StoreError, WebhookChange};

use crate::authorise::{Actor, Verb};
use crate::resource::app;
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::body::{Json, json, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};

const RULES: [Attribute<AutoscaleRule>; 2] = [
    ("process_type", |rule| Key::Text(rule.process_type.clone())),
    ("id", |rule| Key::Text(rule.id.to_string())),
];

const EVENTS: [Attribute<AutoscaleEvent>; 1] = [("id", |event| Key::Number(event.id))];

pub(crate) async fn list(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let id = app.id;
    let rows = state.ctx.store.read(move |view| view.autoscale_rules(id));
    let rows = rows.await?;
    wanted.page(rows.iter().map(|row| shown(&app, row)).collect(), &RULES)
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, process_type)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let (id, process_type) = (app.id, parse(&process_type)?);
    let row = state
        .ctx
        .store
        .read(move |view| view.autoscale_rule(id, &process_type))
        .await?
        .ok_or(StoreError::NotFound("autoscale_rule"))?;
    Ok(ok(&shown(&app, &row)))
}

pub(crate) async fn set(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, process_type)): Path<(String, String)>,
    Json(asked): Json<AutoscaleUpdate>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let (id, process_type) = (app.id, parse(&process_type)?);
    if asked.max.is_none() {
        return Err(ApiError::invalid("`max` is missing."));
    }
    let settings = settings(&asked).and_then(|settings| {
        settings.check_for(&process_type)?;
        Ok(settings)
    });
    let settings = settings.map_err(|error| ApiError::invalid(error.to_string()))?;
    let (webhook, made) = webhook(&asked)?;
    let new = NewAutoscaleRule {
        is_active: asked.is_active.unwrap_or(true),
        settings,
        webhook,
        notice_period: notice_period(asked.notice_period)?,
    };
    let (row, is_new) = state
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
            let is_new = tx.autoscale_rule(id, &process_type)?.is_none();
            let row = tx.set_autoscale_rule(id, &process_type, &new, Timestamp::now())?;
            Ok((row, is_new))
        })
        .await?;
    say(&state, &actor, &row);
    let mut shown = shown(&app, &row);
    if let Some(webhook) = &mut shown.webhook {
        webhook.secret = made.map(Secret);
    }
    let status = match is_new {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    Ok(json(status, &shown))
}

pub(crate) async fn delete(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, process_type)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let (id, process_type) = (app.id, parse(&process_type)?);
    let row = state
        .ctx
        .store
        .write(move |tx| {
            let row = tx
                .autoscale_rule(id, &process_type)?
                .ok_or(StoreError::NotFound("autoscale_rule"))?;
            tx.remove_autoscale_rule(id, &process_type)?;
            Ok(row)
        })
        .await?;
    let text = format!("Autoscale {} no longer", row.process_type);
    state.ctx.say_who(app.id, &actor.user, &text);
    Ok(ok(&shown(&app, &row)))
}

pub(crate) async fn events(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let id = app.id;
    let rows = state.ctx.store.read(move |view| view.autoscale_events(id));
    let rows = rows.await?.into_iter();
    let events = rows.map(|row| AutoscaleEvent {
        id: u64::try_from(row.id).unwrap_or(0),
        process_type: row.process_type.to_string(),
        at: row.at,
        from: row.from,
        to: row.to,
        applied: row.applied,
        panic: row.panic,
        reason: row.reason,
    });
    wanted.page(events.collect(), &EVENTS)
}

/// A name that cannot be one is a type that is not there.
pub(crate) fn parse(process_type: &str) -> ApiResult<ProcessType> {
    Ok(ProcessType::parse(process_type)
        .map_err(|_| FormationError::UnknownType(process_type.to_owned()))?)
}

/// One line of the app's log, whoever set the rule by whatever path.
pub(crate) fn say(state: &State, actor: &Actor, row: &store::AutoscaleRule) {
    let rule = row.settings.rule();
    let goals: Vec<String> = rule
        .targets()
        .iter()
        .map(|target| match target {
            Target::P95 { ms } => format!("a p95 of {ms} ms"),
            other => format!("{} {}", other.kind(), other.goal()),
        })
        .collect();
    let text = match row.is_active {
        true => format!(
            "Autoscale {} between {} and {} dynos for {}{}",
            row.process_type,
            rule.bounds().least(),
            rule.bounds().max(),
            goals.join(", "),
            match rule.is_dry_run() {
                true => ", as advice only",
                false => "",
            }
        ),
        false => format!("Autoscale {} no longer", row.process_type),
    };
    state.ctx.say_who(row.app, &actor.user, &text);
}

fn settings(asked: &AutoscaleUpdate) -> Result<Settings, RuleError> {
    let bounds = Bounds::to_zero(asked.min.unwrap_or(1), asked.max.unwrap_or(0))?;
    let mut targets = Vec::new();
    let mut sources = Vec::new();
    for one in &asked.targets {
        let target = Target::parse(&one.kind, one.goal)?;
        match (&target, &one.path, &one.command) {
            (_, None, None) => {}
            (Target::Own { name, .. }, Some(path), None) => {
                sources.push((name.clone(), Source::path(path, one.shared)?));
            }
            (Target::Own { name, .. }, None, Some(command)) => {
                sources.push((name.clone(), Source::command(command)?));
            }
            (Target::Own { name, .. }, Some(_), Some(_)) => {
                return Err(RuleError::TwoSources(name.as_str().to_owned()));
            }
            (other, ..) => return Err(RuleError::Unasked(other.kind())),
        }
        targets.push(target);
    }
    let schedules: Result<_, RuleError> = asked
        .schedules
        .iter()
        .map(|one| schedule(one, bounds))
        .collect();
    let pace = &asked.pace;
    let rule = Rule::new(bounds, targets)?
        .with_schedules(schedules?)?
        .with_pace(Pace {
            up_rest: pace.up_rest,
            down_after: pace.down_after,
            down_rest: pace.down_rest,
            most_up: pace.most_up,
            most_down: pace.most_down,
            panic: pace.panic,
        })?
        .with_dry_run(asked.dry_run);
    Settings::new(rule, sources)
}

fn schedule(asked: &AutoscaleSchedule, usual: Bounds) -> Result<Schedule, RuleError> {
    let (min, max) = match (asked.min, asked.max) {
        (None, None) => (usual.min(), usual.max()),
        (Some(min), None) => (min, usual.max().max(min)),
        (None, Some(max)) => (usual.min().min(max), max),
        (Some(min), Some(max)) => (min, max),
    };
    Schedule::new(
        Days::parse(&asked.days.join(","))?,
        minute_of(&asked.from)?,
        minute_of(&asked.to)?,
        zone(&asked.time_zone)?,
        Bounds::new(min.into(), max.into())?,
    )
}

/// What becomes of the webhook, and its secret if that was made here.
fn webhook(asked: &AutoscaleUpdate) -> ApiResult<(WebhookChange, Option<String>)> {
    let Some(asked) = &asked.webhook else {
        return Ok((WebhookChange::Keep, None));
    };
    let Some(asked) = asked else {
        return Ok((WebhookChange::End, None));
    };
    let made = match &asked.secret {
        Some(_) => None,
        None => Some(hex::encode(rand::random::<[u8; 24]>())),
    };
    let secret = asked.secret.as_ref().map(|secret| &secret.0);
    let secret = secret.or(made.as_ref()).map_or("", String::as_str);
    let webhook =
        Webhook::new(&asked.url.0, secret).map_err(|error| ApiError::invalid(error.to_string()))?;
    Ok((WebhookChange::Set(webhook), made))
}

fn notice_period(asked: Option<i64>) -> ApiResult<u32> {
    let minutes = asked.unwrap_or(DEFAULT_NOTICE_PERIOD.into());
    u32::try_from(minutes)
        .ok()
        .filter(|minutes| (1..=MAX_NOTICE_PERIOD).contains(minutes))
        .ok_or_else(|| {
            ApiError::invalid(format!(
                "`notice_period` must be between 1 and {MAX_NOTICE_PERIOD} minutes."
            ))
        })
}

fn shown(app: &store::App, row: &store::AutoscaleRule) -> AutoscaleRule {
    let rule = row.settings.rule();
    let targets = rule.targets().iter().map(|target| {
        let source = match target {
            Target::Own { name, .. } => {
                let mut sources = row.settings.sources().iter();
                sources.find_map(|(known, source)| (known == name).then_some(source))
            }
            _ => None,
        };
        let (path, shared, command) = match source {
            Some(Source::Path { path, shared }) => (Some(path.clone()), *shared, None),
            Some(Source::Command(command)) => (None, false, Some(command.clone())),
            None => (None, false, None),
        };
        AutoscaleTarget {
            kind: target.kind(),
            goal: target.goal(),
            path,
            shared,
            command,
        }
    });
    let schedules = rule.schedules().iter().map(|schedule| AutoscaleSchedule {
        days: schedule.days().names(),
        from: clock(schedule.hours().0),
        to: clock(schedule.hours().1),
        time_zone: schedule.zone().iana_name().unwrap_or("UTC").to_owned(),
        min: Some(schedule.bounds().min()),
        max: Some(schedule.bounds().max()),
    });
    let pace = rule.pace();
    AutoscaleRule {
        id: row.id,
        app: app::named(app),
        process_type: row.process_type.to_string(),
        is_active: row.is_active,
        dry_run: rule.is_dry_run(),
        min: rule.bounds().least(),
        max: rule.bounds().max(),
        targets: targets.collect(),
        schedules: schedules.collect(),
        pace: AutoscalePace {
            up_rest: pace.up_rest,
            down_after: pace.down_after,
            down_rest: pace.down_rest,
            most_up: pace.most_up,
            most_down: pace.most_down,
            panic: pace.panic,
        },
        webhook: row.webhook.as_ref().map(|webhook| AutoscaleWebhook {
            host: webhook.url().host().to_owned(),
            secret: None,
        }),
        notice_period: row.notice_period,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}
