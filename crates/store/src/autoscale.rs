//! Rules by which process types are scaled, and what was decided by them. Addresses that are told of it are sealed.

use jiff::Timestamp;
use ropewalk_model::scaling::schedule::zone;
use ropewalk_model::scaling::{
    Bounds, Days, MetricName, Pace, Rule, RuleError, Schedule, Settings, Source, Target, Webhook,
};
use ropewalk_model::{AppId, ProcessType};
use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::row::{all, first, json, parse, parse_opt, parse_with, time, to_json};
use crate::seal::Key;
use crate::{Result, StoreError, Tx, View};

/// Events that are kept of an app.
pub const KEPT_EVENTS: u32 = 1000;

/// What one process type is scaled by.
#[derive(Debug, Clone, PartialEq)]
pub struct AutoscaleRule {
    pub id: Uuid,
    pub app: AppId,
    pub process_type: ProcessType,
    /// One that is not is kept, and does nothing.
    pub is_active: bool,
    pub settings: Settings,
    pub webhook: Option<Webhook>,
    /// Least minutes between two notices.
    pub notice_period: u32,
    /// The newest event that was told.
    pub told_event: i64,
    /// When telling was last tried.
    pub told_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A rule to be kept in the place of the one before.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAutoscaleRule {
    pub is_active: bool,
    pub settings: Settings,
    pub webhook: WebhookChange,
    pub notice_period: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum WebhookChange {
    #[default]
    Keep,
    End,
    /// Told of what is decided from now on.
    Set(Webhook),
}

/// What was decided, and carried out unless it was advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoscaleEvent {
    /// Grows with each of the installation.
    pub id: i64,
    pub app: AppId,
    pub process_type: ProcessType,
    pub at: Timestamp,
    pub from: u32,
    pub to: u32,
    pub applied: bool,
    pub panic: bool,
    /// Part of a sentence.
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAutoscaleEvent {
    pub app: AppId,
    pub process_type: ProcessType,
    pub at: Timestamp,
    pub from: u32,
    pub to: u32,
    pub applied: bool,
    pub panic: bool,
    pub reason: String,
}

/// As it stands in a column.
#[derive(Debug, Serialize, Deserialize)]
struct StoredTarget {
    kind: String,
    goal: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    shared: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredSchedule {
    days: Vec<String>,
    /// Minutes after midnight.
    from: u16,
    to: u16,
    zone: String,
    min: u32,
    max: u32,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct StoredPace {
    #[serde(skip_serializing_if = "Option::is_none")]
    up_rest: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    down_after: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    down_rest: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    most_up: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    most_down: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    panic: Option<bool>,
}

#[derive(Serialize, Deserialize)]
struct StoredWebhook {
    url: String,
    secret: String,
}

fn context(id: Uuid) -> String {
    format!("autoscale webhook {id}")
}

fn rule(row: &Row<'_>, key: &Key) -> Result<AutoscaleRule> {
    let id = parse(row, "id")?;
    let webhook: Option<Vec<u8>> = row.get("webhook")?;
    let webhook = webhook.map(|sealed| {
        let plain = key.unseal(&context(id), &sealed)?;
        let corrupt = || StoreError::Corrupt {
            what: "webhook",
            value: "of an autoscale rule".to_owned(),
        };
        let stored: StoredWebhook = serde_json::from_slice(&plain).map_err(|_| corrupt())?;
        Webhook::new(&stored.url, &stored.secret).map_err(|_| corrupt())
    });
    Ok(AutoscaleRule {
        id,
        app: parse(row, "app_id")?,
        process_type: parse_with(row, "type", |text| ProcessType::parse(text).ok())?,
        is_active: row.get("is_active")?,
        settings: settings(row)?,
        webhook: webhook.transpose()?,
        notice_period: row.get("notice_period")?,
        told_event: row.get("told_event")?,
        told_at: parse_opt(row, "told_at")?,
        created_at: parse(row, "created_at")?,
        updated_at: parse(row, "updated_at")?,
    })
}

fn settings(row: &Row<'_>) -> Result<Settings> {
    let targets: Vec<StoredTarget> = json(row, "targets")?;
    let schedules: Vec<StoredSchedule> = json(row, "schedules")?;
    let pace: StoredPace = json(row, "pace")?;
    let (min, max): (u32, u32) = (row.get("min_quantity")?, row.get("max_quantity")?);
    let dry_run: bool = row.get("dry_run")?;
    let read = || {
        let goals = targets.iter().map(|one| Target::parse(&one.kind, one.goal));
        let rule = Rule::new(
            Bounds::to_zero(min.into(), max.into())?,
            goals.collect::<std::result::Result<_, RuleError>>()?,
        )?
        .with_schedules(
            schedules
                .iter()
                .map(schedule)
                .collect::<std::result::Result<_, RuleError>>()?,
        )?
        .with_pace(Pace {
            up_rest: pace.up_rest,
            down_after: pace.down_after,
            down_rest: pace.down_rest,
            most_up: pace.most_up,
            most_down: pace.most_down,
            panic: pace.panic.unwrap_or(Pace::default().panic),
        })?
        .with_dry_run(dry_run);
        let mut sources = Vec::new();
        for (target, one) in rule.targets().iter().zip(&targets) {
            let Target::Own { name, .. } = target else {
                continue;
            };
            let source = match (&one.path, &one.command) {
                (Some(path), _) => Source::path(path, one.shared)?,
                (None, Some(command)) => Source::command(command)?,
                (None, None) => continue,
            };
            sources.push((name.clone(), source));
        }
        Settings::new(rule, sources)
    };
    read().map_err(|error| StoreError::Corrupt {
        what: "autoscale rule",
        value: error.to_string(),
    })
}

fn schedule(stored: &StoredSchedule) -> std::result::Result<Schedule, RuleError> {
    Schedule::new(
        Days::parse(&stored.days.join(","))?,
        stored.from,
        stored.to,
        zone(&stored.zone)?,
        Bounds::new(stored.min.into(), stored.max.into())?,
    )
}

/// Targets, schedules and pace as they stand in their columns.
fn columns(settings: &Settings) -> Result<[String; 3]> {
    let rule = settings.rule();
    let source_of = |name: &MetricName| {
        let mut sources = settings.sources().iter();
        sources.find_map(|(known, source)| (known == name).then_some(source))
    };
    let targets: Vec<StoredTarget> = rule
        .targets()
        .iter()
        .map(|target| {
            let source = match target {
                Target::Own { name, .. } => source_of(name),
                _ => None,
            };
            let (path, shared, command) = match source {
                Some(Source::Path { path, shared }) => (Some(path.clone()), *shared, None),
                Some(Source::Command(command)) => (None, false, Some(command.clone())),
                None => (None, false, None),
            };
            StoredTarget {
                kind: target.kind(),
                goal: target.goal(),
                path,
                shared,
                command,
            }
        })
        .collect();
    let schedules: Vec<StoredSchedule> = rule
        .schedules()
        .iter()
        .map(|schedule| StoredSchedule {
            days: schedule.days().names(),
            from: schedule.hours().0,
            to: schedule.hours().1,
            zone: schedule.zone().iana_name().unwrap_or("UTC").to_owned(),
            min: schedule.bounds().min(),
            max: schedule.bounds().max(),
        })
        .collect();
    let pace = rule.pace();
    let pace = StoredPace {
        up_rest: pace.up_rest,
        down_after: pace.down_after,
        down_rest: pace.down_rest,
        most_up: pace.most_up,
        most_down: pace.most_down,
        panic: (!pace.panic).then_some(false),
    };
    Ok([to_json(&targets)?, to_json(&schedules)?, to_json(&pace)?])
}

fn event(row: &Row<'_>) -> Result<AutoscaleEvent> {
    Ok(AutoscaleEvent {
        id: row.get("id")?,
        app: parse(row, "app_id")?,
        process_type: parse_with(row, "type", |text| ProcessType::parse(text).ok())?,
        at: parse(row, "at")?,
        from: row.get("from_quantity")?,
        to: row.get("to_quantity")?,
        applied: row.get("applied")?,
        panic: row.get("panic")?,
        reason: row.get("reason")?,
    })
}

impl View<'_> {
    /// Those of an app, by process type.
    pub fn autoscale_rules(&self, app: AppId) -> Result<Vec<AutoscaleRule>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM autoscale_rules WHERE app_id = ?1 ORDER BY type")?;
        all(&mut statement, [app.to_string()], |row| rule(row, self.key))
    }

    pub fn autoscale_rule(
        &self,
        app: AppId,
        process_type: &ProcessType,
    ) -> Result<Option<AutoscaleRule>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM autoscale_rules WHERE app_id = ?1 AND type = ?2")?;
        let key = [app.to_string(), process_type.to_string()];
        first(&mut statement, key, |row| rule(row, self.key))
    }

    /// Those of all apps that are to scale, by app and process type.
    pub fn active_autoscale_rules(&self) -> Result<Vec<AutoscaleRule>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT * FROM autoscale_rules WHERE is_active = 1 ORDER BY app_id, type",
        )?;
        all(&mut statement, [], |row| rule(row, self.key))
    }

    /// Of an app, oldest first.
    pub fn autoscale_events(&self, app: AppId) -> Result<Vec<AutoscaleEvent>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM autoscale_events WHERE app_id = ?1 ORDER BY id")?;
        all(&mut statement, [app.to_string()], event)
    }

    /// Of one process type after the event of this number, oldest first; at most so many.
    pub fn autoscale_events_since(
        &self,
        app: AppId,
        process_type: &ProcessType,
        after: i64,
        most: u32,
    ) -> Result<Vec<AutoscaleEvent>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT * FROM autoscale_events WHERE app_id = ?1 AND type = ?2 AND id > ?3
             ORDER BY id LIMIT ?4",
        )?;
        let key = params![app.to_string(), process_type.as_str(), after, most];
        all(&mut statement, key, event)
    }

    /// The number of the newest event of any app; 0 without one.
    pub fn newest_autoscale_event(&self) -> Result<i64> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT coalesce(max(id), 0) FROM autoscale_events")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }
}

impl Tx<'_> {
    /// Takes the place of the rule before.
    pub fn set_autoscale_rule(
        &self,
        app: AppId,
        process_type: &ProcessType,
        new: &NewAutoscaleRule,
        now: Timestamp,
    ) -> Result<AutoscaleRule> {
        let before = self.autoscale_rule(app, process_type)?;
        let id = before.as_ref().map_or_else(Uuid::new_v4, |rule| rule.id);
        let [targets, schedules, pace] = columns(&new.settings)?;
        let bounds = new.settings.rule().bounds();
        self.conn.execute(
            "INSERT INTO autoscale_rules
                 (id, app_id, type, is_active, dry_run, min_quantity, max_quantity, targets, schedules, pace,
                  notice_period, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12)
             ON CONFLICT (app_id, type) DO UPDATE SET is_active = ?4, dry_run = ?5, min_quantity = ?6,
                 max_quantity = ?7, targets = ?8, schedules = ?9, pace = ?10, notice_period = ?11, updated_at = ?12",
            params![
                id.to_string(),
                app.to_string(),
                process_type.as_str(),
                new.is_active,
                new.settings.rule().is_dry_run(),
                bounds.least(),
                bounds.max(),
                targets,
                schedules,
                pace,
                new.notice_period,
                time(now)
            ],
        )?;
        let sealed = match &new.webhook {
            WebhookChange::Keep => return self.known_rule(app, process_type),
            WebhookChange::End => None,
            WebhookChange::Set(webhook) => {
                let stored = StoredWebhook {
                    url: webhook.url().as_str().to_owned(),
                    secret: webhook.secret().to_owned(),
                };
                Some(self.key.seal(&context(id), to_json(&stored)?.as_bytes())?)
            }
        };
        self.conn.execute(
            "UPDATE autoscale_rules SET webhook = ?2, told_event = ?3, told_at = NULL WHERE id = ?1",
            params![id.to_string(), sealed, self.newest_autoscale_event()?],
        )?;
        self.known_rule(app, process_type)
    }

    /// Whether there was one.
    pub fn remove_autoscale_rule(&self, app: AppId, process_type: &ProcessType) -> Result<bool> {
        let removed = self.conn.execute(
            "DELETE FROM autoscale_rules WHERE app_id = ?1 AND type = ?2",
            params![app.to_string(), process_type.as_str()],
        )?;
        Ok(removed > 0)
    }

    /// Notes that a rule's webhook was tried, and what it was told.
    pub fn told_autoscale(&self, rule: Uuid, event: Option<i64>, now: Timestamp) -> Result<()> {
        self.conn.execute(
            "UPDATE autoscale_rules SET told_at = ?2, told_event = coalesce(?3, told_event) WHERE id = ?1",
            params![rule.to_string(), time(now), event],
        )?;
        Ok(())
    }

    /// Adds an event; of an app's, the newest [`KEPT_EVENTS`] stay.
    pub fn add_autoscale_event(&self, new: &NewAutoscaleEvent) -> Result<()> {
        self.conn.execute(
            "INSERT INTO autoscale_events
                 (app_id, type, at, from_quantity, to_quantity, applied, panic, reason)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                new.app.to_string(),
                new.process_type.as_str(),
                time(new.at),
                new.from,
                new.to,
                new.applied,
                new.panic,
                new.reason
            ],
        )?;
        self.conn.execute(
            "DELETE FROM autoscale_events WHERE app_id = ?1 AND id <=
                 (SELECT id FROM autoscale_events WHERE app_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
            params![new.app.to_string(), KEPT_EVENTS],
        )?;
        Ok(())
    }

    fn known_rule(&self, app: AppId, process_type: &ProcessType) -> Result<AutoscaleRule> {
        self.autoscale_rule(app, process_type)?
            .ok_or(StoreError::NotFound("autoscale_rule"))
    }
}
