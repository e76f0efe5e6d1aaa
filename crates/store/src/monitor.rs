//! Monitors: between how many dynos a process type is scaled, and for which response time.

use jiff::Timestamp;
use ropewalk_model::monitor::{LATENCY_SCALE, OP, PERIOD, Rule};
use ropewalk_model::{AppId, ProcessType};
use rusqlite::{Row, params};
use uuid::Uuid;

use crate::row::{all, first, is_taken, parse, parse_with, time};
use crate::{Result, StoreError, Tx, View};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monitor {
    pub id: Uuid,
    pub app: AppId,
    pub process_type: ProcessType,
    pub name: String,
    /// One that is not is kept with its numbers, and does nothing.
    pub is_active: bool,
    pub op: String,
    /// Minutes.
    pub period: u32,
    pub rule: Rule,
    /// Minutes.
    pub notification_period: u32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A monitor to be kept, or what one becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorSettings {
    pub is_active: bool,
    pub rule: Rule,
    /// Minutes.
    pub notification_period: u32,
}

fn monitor(row: &Row<'_>) -> Result<Monitor> {
    let (value, min, max): (u32, u32, u32) = (
        row.get("value")?,
        row.get("min_quantity")?,
        row.get("max_quantity")?,
    );
    let rule =
        Rule::new(value.into(), min.into(), max.into()).map_err(|error| StoreError::Corrupt {
            what: "monitor",
            value: error.to_string(),
        })?;
    Ok(Monitor {
        id: parse(row, "id")?,
        app: parse(row, "app_id")?,
        process_type: parse_with(row, "type", |text| ProcessType::parse(text).ok())?,
        name: row.get("name")?,
        is_active: row.get("is_active")?,
        op: row.get("op")?,
        period: row.get("period")?,
        rule,
        notification_period: row.get("notification_period")?,
        created_at: parse(row, "created_at")?,
        updated_at: parse(row, "updated_at")?,
    })
}

impl View<'_> {
    /// Those of one process type.
    pub fn monitors(&self, app: AppId, process_type: &ProcessType) -> Result<Vec<Monitor>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT * FROM monitors WHERE app_id = ?1 AND type = ?2 ORDER BY created_at, id",
        )?;
        let key = [app.to_string(), process_type.to_string()];
        all(&mut statement, key, monitor)
    }

    /// By id or name.
    pub fn find_monitor(
        &self,
        app: AppId,
        process_type: &ProcessType,
        id_or_name: &str,
    ) -> Result<Monitor> {
        let mut statement = self.conn.prepare_cached(
            "SELECT * FROM monitors
             WHERE app_id = ?1 AND type = ?2 AND (id = ?3 OR name = ?3)",
        )?;
        let key = [
            &app.to_string(),
            &process_type.to_string(),
            &id_or_name.to_owned(),
        ];
        first(&mut statement, key, monitor)?.ok_or(StoreError::NotFound("monitor"))
    }

    /// Those of all apps that are to scale, by app.
    pub fn active_monitors(&self) -> Result<Vec<Monitor>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM monitors WHERE is_active = 1 ORDER BY app_id, type")?;
        all(&mut statement, [], monitor)
    }
}

impl Tx<'_> {
    /// The first monitor of a process type.
    pub fn create_monitor(
        &self,
        app: AppId,
        process_type: &ProcessType,
        settings: &MonitorSettings,
        now: Timestamp,
    ) -> Result<Monitor> {
        let id = Uuid::new_v4().to_string();
        let rule = settings.rule;
        self.conn
            .execute(
                "INSERT INTO monitors
                     (id, app_id, type, name, is_active, op, period, value, min_quantity,
                      max_quantity, notification_period, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12)",
                params![
                    id,
                    app.to_string(),
                    process_type.as_str(),
                    LATENCY_SCALE,
                    settings.is_active,
                    OP,
                    PERIOD,
                    rule.p95_ms(),
                    rule.min(),
                    rule.max(),
                    settings.notification_period,
                    time(now)
                ],
            )
            .map_err(|error| match is_taken(&error) {
                true => StoreError::Taken {
                    what: "monitor",
                    name: LATENCY_SCALE.to_owned(),
                },
                false => error.into(),
            })?;
        self.find_monitor(app, process_type, &id)
    }

    pub fn update_monitor(
        &self,
        monitor: &Monitor,
        settings: &MonitorSettings,
        now: Timestamp,
    ) -> Result<Monitor> {
        let (id, rule) = (monitor.id.to_string(), settings.rule);
        self.conn.execute(
            "UPDATE monitors SET is_active = ?2, value = ?3, min_quantity = ?4, max_quantity = ?5,
                 notification_period = ?6, updated_at = ?7
             WHERE id = ?1",
            params![
                id,
                settings.is_active,
                rule.p95_ms(),
                rule.min(),
                rule.max(),
                settings.notification_period,
                time(now)
            ],
        )?;
        self.find_monitor(monitor.app, &monitor.process_type, &id)
    }
}
