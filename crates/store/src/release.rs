//! Releases: one transaction makes a release the candidate, another concludes it.
//!
//! A release that needs dynos is `pending` and the app's candidate until the scheduler has seen its release
//! command and its new dynos pass; the current release serves all that time. A newer release overtakes a
//! pending one (`expired`), building on its slug and config vars.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ropewalk_model::release::ReleaseStatus;
use ropewalk_model::{AppId, ConfigVars, ReleaseId, SlugId, UserId};
use rusqlite::{Row, params};

use crate::app::NewApp;
use crate::row::{all, first, parse, parse_opt, parse_with, time};
use crate::{App, Result, StoreError, Tx, View};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    pub id: ReleaseId,
    pub app: AppId,
    pub version: u32,
    pub description: String,
    pub status: ReleaseStatus,
    /// Why it failed, in words for the user.
    pub failure: Option<String>,
    pub user: UserId,
    pub slug: Option<SlugId>,
    pub stack: String,
    /// Digest of the stack version that its dynos run on; `None` before anything was deployed.
    pub stack_version: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A release to be made. What is `None` is taken over from the release it follows.
#[derive(Debug, Clone)]
pub struct NewRelease {
    pub id: ReleaseId,
    pub app: AppId,
    pub user: UserId,
    pub description: String,
    pub slug: Option<SlugId>,
    pub config: Option<ConfigVars>,
    /// Stack name and version digest.
    pub stack: Option<(String, String)>,
}

fn release(row: &Row<'_>) -> Result<Release> {
    Ok(Release {
        id: parse(row, "id")?,
        app: parse(row, "app_id")?,
        version: row.get("version")?,
        description: row.get("description")?,
        status: parse_with(row, "status", ReleaseStatus::parse)?,
        failure: row.get("failure")?,
        user: parse(row, "user_id")?,
        slug: parse_opt(row, "slug_id")?,
        stack: row.get("stack")?,
        stack_version: row.get("stack_version")?,
        created_at: parse(row, "created_at")?,
        updated_at: parse(row, "updated_at")?,
    })
}

fn context(app: AppId, version: u32) -> String {
    format!("config {app} v{version}")
}

impl View<'_> {
    pub fn release(&self, app: AppId, version: u32) -> Result<Release> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM releases WHERE app_id = ?1 AND version = ?2")?;
        first(&mut statement, params![app.to_string(), version], release)?
            .ok_or(StoreError::NotFound("release"))
    }

    pub fn release_by_id(&self, app: AppId, id: ReleaseId) -> Result<Release> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM releases WHERE app_id = ?1 AND id = ?2")?;
        first(&mut statement, [app.to_string(), id.to_string()], release)?
            .ok_or(StoreError::NotFound("release"))
    }

    /// Newest first, at most `limit`.
    pub fn releases(&self, app: AppId, limit: u32) -> Result<Vec<Release>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT * FROM releases WHERE app_id = ?1 ORDER BY version DESC LIMIT ?2",
        )?;
        all(&mut statement, params![app.to_string(), limit], release)
    }

    /// The release that serves.
    pub fn current_release(&self, app: &App) -> Result<Release> {
        self.release(app.id, app.current_version)
    }

    /// The release that new ones follow: the candidate if there is one, else the current.
    pub fn head_release(&self, app: &App) -> Result<Release> {
        self.release(app.id, app.candidate_version.unwrap_or(app.current_version))
    }

    pub fn config_vars(&self, app: AppId, version: u32) -> Result<ConfigVars> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT config FROM releases WHERE app_id = ?1 AND version = ?2")?;
        let sealed: Vec<u8> = first(&mut statement, params![app.to_string(), version], |row| {
            Ok(row.get(0)?)
        })?
        .ok_or(StoreError::NotFound("release"))?;
        let plain = self.key.unseal(&context(app, version), &sealed)?;
        let vars: BTreeMap<String, String> =
            serde_json::from_slice(&plain).map_err(|_| StoreError::Unseal)?;
        Ok(ConfigVars(vars))
    }

    /// Slugs that some release of any app still names.
    pub fn released_slugs(&self) -> Result<Vec<SlugId>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT DISTINCT slug_id FROM releases WHERE slug_id IS NOT NULL")?;
        all(&mut statement, [], |row| parse(row, "slug_id"))
    }
}

impl Tx<'_> {
    pub(crate) fn insert_initial_release(
        &self,
        app: &NewApp,
        config: &ConfigVars,
        now: Timestamp,
    ) -> Result<()> {
        let new = NewRelease {
            id: app.release,
            app: app.id,
            user: app.owner,
            description: "Initial release".to_owned(),
            slug: None,
            config: None,
            stack: None,
        };
        let stack = (app.stack.clone(), None);
        self.insert_release(&new, 1, ReleaseStatus::Succeeded, None, config, stack, now)
    }

    /// Makes the next release. One without a slug is current at once; any other becomes the candidate, and the
    /// candidate before it, if there is one, expires.
    pub fn create_release(&self, new: NewRelease, now: Timestamp) -> Result<Release> {
        let app = self.app(new.app)?;
        let head = self.head_release(&app)?;
        let config = match &new.config {
            Some(config) => config.clone(),
            None => self.config_vars(app.id, head.version)?,
        };
        let slug = new.slug.or(head.slug);
        let stack = match &new.stack {
            Some((name, version)) => (name.clone(), Some(version.clone())),
            None => (head.stack.clone(), head.stack_version.clone()),
        };
        let version = self.next_version(app.id)?;
        let status = if slug.is_some() {
            ReleaseStatus::Pending
        } else {
            ReleaseStatus::Succeeded
        };
        if let Some(candidate) = app.candidate_version {
            self.finish(app.id, candidate, ReleaseStatus::Expired, None, now)?;
        }
        self.insert_release(&new, version, status, slug, &config, stack, now)?;
        if let Some(slug) = slug {
            self.add_formations(app.id, slug, now)?;
            self.conn.execute(
                "UPDATE apps SET candidate_version = ?2, updated_at = ?3 WHERE id = ?1",
                params![app.id.to_string(), version, time(now)],
            )?;
        } else {
            self.make_current(app.id, version, now)?;
        }
        self.release(app.id, version)
    }

    /// The candidate passed: it is the current release from now on. `false` when it is not the candidate (any
    /// more), and then nothing has changed.
    pub fn promote_candidate(&self, app: AppId, version: u32, now: Timestamp) -> Result<bool> {
        if self.app(app)?.candidate_version != Some(version) {
            return Ok(false);
        }
        self.finish(app, version, ReleaseStatus::Succeeded, None, now)?;
        self.make_current(app, version, now)?;
        Ok(true)
    }

    /// The candidate did not pass: the current release stays. `false` as for [`Tx::promote_candidate`].
    pub fn fail_candidate(
        &self,
        app: AppId,
        version: u32,
        why: &str,
        now: Timestamp,
    ) -> Result<bool> {
        if self.app(app)?.candidate_version != Some(version) {
            return Ok(false);
        }
        self.finish(app, version, ReleaseStatus::Failed, Some(why), now)?;
        self.conn.execute(
            "UPDATE apps SET candidate_version = NULL, updated_at = ?2 WHERE id = ?1",
            params![app.to_string(), time(now)],
        )?;
        Ok(true)
    }

    fn make_current(&self, app: AppId, version: u32, now: Timestamp) -> Result<()> {
        let slug = self.release(app, version)?.slug;
        self.conn.execute(
            "UPDATE apps SET current_version = ?2, candidate_version = NULL, updated_at = ?3, released_at = ?3
             WHERE id = ?1",
            params![app.to_string(), version, time(now)],
        )?;
        self.follow_slug_jobs(app, slug, now)
    }

    fn finish(
        &self,
        app: AppId,
        version: u32,
        status: ReleaseStatus,
        failure: Option<&str>,
        now: Timestamp,
    ) -> Result<()> {
        self.conn.execute(
            "UPDATE releases SET status = ?3, failure = ?4, updated_at = ?5
             WHERE app_id = ?1 AND version = ?2 AND status = 'pending'",
            params![
                app.to_string(),
                version,
                status.as_str(),
                failure,
                time(now)
            ],
        )?;
        Ok(())
    }

    fn next_version(&self, app: AppId) -> Result<u32> {
        Ok(self.conn.query_row(
            "SELECT COALESCE(MAX(version), 0) + 1 FROM releases WHERE app_id = ?1",
            [app.to_string()],
            |row| row.get(0),
        )?)
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of one row")]
    fn insert_release(
        &self,
        new: &NewRelease,
        version: u32,
        status: ReleaseStatus,
        slug: Option<SlugId>,
        config: &ConfigVars,
        (stack, stack_version): (String, Option<String>),
        now: Timestamp,
    ) -> Result<()> {
        let plain = serde_json::to_vec(&config.0).map_err(|_| StoreError::Unseal)?;
        let sealed = self.key.seal(&context(new.app, version), &plain)?;
        self.conn.execute(
            "INSERT INTO releases (id, app_id, version, description, status, user_id, slug_id, config, stack,
                                   stack_version, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11)",
            params![
                new.id.to_string(),
                new.app.to_string(),
                version,
                new.description,
                status.as_str(),
                new.user.to_string(),
                slug.map(|id| id.to_string()),
                sealed,
                stack,
                stack_version,
                time(now),
            ],
        )?;
        Ok(())
    }
}
