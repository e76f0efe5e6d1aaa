//! Which apps sleep, and when apps were last asked for something.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use ropewalk_model::{AppId, SleepTier};
use rusqlite::{Row, params};

use crate::row::{all, first, parse, parse_with, time};
use crate::{Result, Tx, View};

/// An app that sleeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSleep {
    pub app: AppId,
    pub tier: SleepTier,
    /// When it fell asleep; a later tier does not change it.
    pub since: Timestamp,
    /// Why, in words.
    pub reason: String,
}

fn sleep(row: &Row<'_>) -> Result<AppSleep> {
    Ok(AppSleep {
        app: parse(row, "app_id")?,
        tier: parse_with(row, "tier", SleepTier::parse)?,
        since: parse(row, "since")?,
        reason: row.get("reason")?,
    })
}

impl View<'_> {
    /// `None` for an app that is awake.
    pub fn app_sleep(&self, app: AppId) -> Result<Option<AppSleep>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM app_sleeps WHERE app_id = ?1")?;
        first(&mut statement, [app.to_string()], sleep)
    }

    pub fn app_sleeps(&self) -> Result<HashMap<AppId, AppSleep>> {
        let mut statement = self.conn.prepare_cached("SELECT * FROM app_sleeps")?;
        let sleeps = all(&mut statement, [], sleep)?;
        Ok(sleeps.into_iter().map(|one| (one.app, one)).collect())
    }

    /// When an app was last asked for something, as far as that was noted.
    pub fn app_last_used(&self, app: AppId) -> Result<Option<Timestamp>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT last_used_at FROM app_traffic WHERE app_id = ?1")?;
        first(&mut statement, [app.to_string()], |row| {
            parse(row, "last_used_at")
        })
    }

    /// Apps whose web dynos may go to zero by a rule.
    pub fn apps_to_zero(&self) -> Result<HashSet<AppId>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT app_id FROM autoscale_rules WHERE type = 'web' AND is_active = 1 AND min_quantity = 0",
        )?;
        let apps = all(&mut statement, [], |row| parse(row, "app_id"))?;
        Ok(apps.into_iter().collect())
    }

    /// When apps were last asked for something; those that never were are not among them.
    pub fn apps_last_used(&self) -> Result<HashMap<AppId, Timestamp>> {
        let mut statement = self.conn.prepare_cached("SELECT * FROM app_traffic")?;
        let rows = all(&mut statement, [], |row| {
            Ok((parse(row, "app_id")?, parse(row, "last_used_at")?))
        })?;
        Ok(rows.into_iter().collect())
    }
}

impl Tx<'_> {
    /// An app falls asleep, or sleeps deeper than before. Tells whether that changed anything.
    pub fn put_to_sleep(
        &self,
        app: AppId,
        tier: SleepTier,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool> {
        // It may have been destroyed meanwhile.
        self.app(app)?;
        let changed = self.conn.execute(
            "INSERT INTO app_sleeps (app_id, tier, since, reason) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET tier = excluded.tier WHERE tier = 'frozen' AND excluded.tier = 'stopped'",
            params![app.to_string(), tier.as_str(), time(now), reason],
        )?;
        Ok(changed > 0)
    }

    /// An app is awake, and its dynos that were frozen are up; it counts as used now. What it was, if it slept.
    pub fn wake_app(&self, app: AppId, now: Timestamp) -> Result<Option<AppSleep>> {
        let before = self.app_sleep(app)?;
        if before.is_some() {
            let id = app.to_string();
            self.conn
                .execute("DELETE FROM app_sleeps WHERE app_id = ?1", [&id])?;
            self.thaw_dynos(app, now)?;
            self.note_use(app, now)?;
        }
        Ok(before)
    }

    /// An app's dynos that were frozen are up.
    pub fn thaw_dynos(&self, app: AppId, now: Timestamp) -> Result<()> {
        self.conn.execute(
            "UPDATE dynos SET state = 'up', reason = NULL, updated_at = ?2 WHERE app_id = ?1 AND state = 'idle'",
            params![app.to_string(), time(now)],
        )?;
        Ok(())
    }

    /// An app was asked for something. One that is gone is passed over.
    pub fn note_use(&self, app: AppId, at: Timestamp) -> Result<()> {
        self.conn.execute(
            "INSERT INTO app_traffic (app_id, last_used_at) SELECT id, ?2 FROM apps WHERE id = ?1
             ON CONFLICT DO UPDATE SET last_used_at = excluded.last_used_at",
            params![app.to_string(), time(at)],
        )?;
        Ok(())
    }
}
