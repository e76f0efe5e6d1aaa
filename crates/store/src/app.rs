//! Apps and what belongs to them one to one: buildpack list, maintenance, stack.

use jiff::Timestamp;
use ropewalk_model::{AppId, AppName, ConfigVars, ReleaseId, UserId};
use rusqlite::{Row, params};

use crate::row::{all, first, is_taken, parse, parse_opt, parse_with, time};
use crate::{Result, StoreError, Tx, View};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    pub id: AppId,
    pub name: AppName,
    pub owner: UserId,
    /// Stack name; the version is chosen when a release is made.
    pub stack: String,
    pub maintenance: bool,
    /// A client comes to the web dyno again that it came to before.
    pub session_affinity: bool,
    /// Certificates for its domains are got and renewed by the platform.
    pub acm: bool,
    /// A test run's own: it has the run's id, ends with it, and is shown to nobody.
    pub ephemeral: bool,
    /// The release that serves.
    pub current_version: u32,
    /// The release that is being put in its place.
    pub candidate_version: Option<u32>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub released_at: Option<Timestamp>,
}

#[derive(Debug, Clone)]
pub struct NewApp {
    pub id: AppId,
    pub name: AppName,
    pub owner: UserId,
    pub stack: String,
    /// Id of the release v1 that every app begins with.
    pub release: ReleaseId,
}

fn app(row: &Row<'_>) -> Result<App> {
    Ok(App {
        id: parse(row, "id")?,
        name: parse_with(row, "name", |text| AppName::parse(text).ok())?,
        owner: parse(row, "owner_id")?,
        stack: row.get("stack")?,
        maintenance: row.get("maintenance")?,
        session_affinity: row.get("session_affinity")?,
        acm: row.get("acm")?,
        ephemeral: row.get("ephemeral")?,
        current_version: row.get("current_version")?,
        candidate_version: row.get("candidate_version")?,
        created_at: parse(row, "created_at")?,
        updated_at: parse(row, "updated_at")?,
        released_at: parse_opt(row, "released_at")?,
    })
}

impl View<'_> {
    pub fn app(&self, id: AppId) -> Result<App> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM apps WHERE id = ?1")?;
        first(&mut statement, [id.to_string()], app)?.ok_or(StoreError::NotFound("app"))
    }

    /// By name or id, as paths of the API allow both. Apps of test runs are not found.
    pub fn find_app(&self, name_or_id: &str) -> Result<App> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM apps WHERE (name = ?1 OR id = ?1) AND NOT ephemeral")?;
        first(&mut statement, [name_or_id], app)?.ok_or(StoreError::NotFound("app"))
    }

    /// All apps by id, those of test runs too.
    pub fn apps(&self) -> Result<Vec<App>> {
        let mut statement = self.conn.prepare_cached("SELECT * FROM apps ORDER BY id")?;
        all(&mut statement, [], app)
    }

    /// The app's explicit buildpacks in order; empty means detection.
    pub fn buildpacks(&self, id: AppId) -> Result<Vec<String>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT url FROM buildpacks WHERE app_id = ?1 ORDER BY ordinal")?;
        all(&mut statement, [id.to_string()], |row| Ok(row.get(0)?))
    }
}

impl Tx<'_> {
    /// Makes the app with its release v1, "Initial release".
    pub fn create_app(&self, new: &NewApp, now: Timestamp) -> Result<App> {
        self.conn
            .execute(
                "INSERT INTO apps (id, name, owner_id, stack, current_version, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, 1, ?5, ?5)",
                params![
                    new.id.to_string(),
                    new.name.as_str(),
                    new.owner.to_string(),
                    new.stack,
                    time(now)
                ],
            )
            .map_err(|error| taken(error, &new.name))?;
        self.insert_initial_release(new, &ConfigVars::default(), now)?;
        self.app(new.id)
    }

    /// The app that a test run makes for itself.
    pub fn create_ephemeral_app(&self, new: &NewApp, now: Timestamp) -> Result<App> {
        self.create_app(new, now)?;
        self.conn.execute(
            "UPDATE apps SET ephemeral = 1 WHERE id = ?1",
            [new.id.to_string()],
        )?;
        self.app(new.id)
    }

    pub fn rename_app(&self, id: AppId, name: &AppName, now: Timestamp) -> Result<App> {
        self.conn
            .execute(
                "UPDATE apps SET name = ?2, updated_at = ?3 WHERE id = ?1",
                params![id.to_string(), name.as_str(), time(now)],
            )
            .map_err(|error| taken(error, name))?;
        self.app(id)
    }

    pub fn set_maintenance(&self, id: AppId, on: bool, now: Timestamp) -> Result<App> {
        self.conn.execute(
            "UPDATE apps SET maintenance = ?2, updated_at = ?3 WHERE id = ?1",
            params![id.to_string(), on, time(now)],
        )?;
        self.app(id)
    }

    pub fn set_session_affinity(&self, id: AppId, on: bool, now: Timestamp) -> Result<App> {
        self.conn.execute(
            "UPDATE apps SET session_affinity = ?2, updated_at = ?3 WHERE id = ?1",
            params![id.to_string(), on, time(now)],
        )?;
        self.app(id)
    }

    /// The stack of the next build.
    pub fn set_stack(&self, id: AppId, stack: &str, now: Timestamp) -> Result<App> {
        self.conn.execute(
            "UPDATE apps SET stack = ?2, updated_at = ?3 WHERE id = ?1",
            params![id.to_string(), stack, time(now)],
        )?;
        self.app(id)
    }

    pub fn set_buildpacks(&self, id: AppId, urls: &[String]) -> Result<()> {
        self.conn
            .execute("DELETE FROM buildpacks WHERE app_id = ?1", [id.to_string()])?;
        for (ordinal, url) in urls.iter().enumerate() {
            self.conn.execute(
                "INSERT INTO buildpacks (app_id, ordinal, url) VALUES (?1, ?2, ?3)",
                params![id.to_string(), ordinal as i64, url],
            )?;
        }
        Ok(())
    }

    /// Removes the app and every row of it. Containers and files go when the scheduler next looks.
    pub fn delete_app(&self, id: AppId) -> Result<bool> {
        self.revoke();
        // Rows that refer to slugs go before the slugs that the cascade removes.
        for sql in [
            "DELETE FROM builds WHERE app_id = ?1",
            "DELETE FROM releases WHERE app_id = ?1",
        ] {
            self.conn.execute(sql, [id.to_string()])?;
        }
        Ok(self
            .conn
            .execute("DELETE FROM apps WHERE id = ?1", [id.to_string()])?
            > 0)
    }
}

fn taken(error: rusqlite::Error, name: &AppName) -> StoreError {
    if is_taken(&error) {
        StoreError::Taken {
            what: "app name",
            name: name.to_string(),
        }
    } else {
        error.into()
    }
}
