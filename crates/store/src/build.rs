//! Builds: one row a run of buildpacks, from its start to its end.

use jiff::Timestamp;
use ropewalk_model::{AppId, BuildId, SlugId, UserId};
use rusqlite::{Row, params};
use serde_json::Value;

use crate::row::{all, first, json, parse, parse_opt, parse_with, time, to_json};
use crate::{Result, StoreError, Tx, View};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildStatus {
    Pending,
    Succeeded,
    Failed,
}

impl BuildStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Succeeded, Self::Failed]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Build {
    pub id: BuildId,
    pub app: AppId,
    pub user: UserId,
    pub status: BuildStatus,
    /// The commit, or what the sender of an archive calls it.
    pub commit: Option<String>,
    /// `None`: pushed with git.
    pub source: Option<BuildSource>,
    pub stack: String,
    /// `[{"name": …, "url": …}]`.
    pub buildpacks: Value,
    /// What the buildpacks reported, and milliseconds by phase.
    pub report: Value,
    pub failure: Option<String>,
    pub slug: Option<SlugId>,
    pub release_version: Option<u32>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Where an archive came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSource {
    /// As it may be shown: without a login.
    pub url: String,
    /// `SHA256:…`
    pub checksum: Option<String>,
    pub description: Option<String>,
}

#[derive(Debug, Clone)]
pub struct NewBuild {
    pub id: BuildId,
    pub app: AppId,
    pub user: UserId,
    pub commit: Option<String>,
    pub source: Option<BuildSource>,
    pub stack: String,
}

fn build(row: &Row<'_>) -> Result<Build> {
    let url: Option<String> = row.get("source_url")?;
    let source = match url {
        Some(url) => Some(BuildSource {
            url,
            checksum: row.get("source_checksum")?,
            description: row.get("source_description")?,
        }),
        None => None,
    };
    Ok(Build {
        source,
        id: parse(row, "id")?,
        app: parse(row, "app_id")?,
        user: parse(row, "user_id")?,
        status: parse_with(row, "status", BuildStatus::parse)?,
        commit: row.get("commit_sha")?,
        stack: row.get("stack")?,
        buildpacks: json(row, "buildpacks")?,
        report: json(row, "report")?,
        failure: row.get("failure")?,
        slug: parse_opt(row, "slug_id")?,
        release_version: row.get("release_version")?,
        created_at: parse(row, "created_at")?,
        updated_at: parse(row, "updated_at")?,
    })
}

impl View<'_> {
    pub fn build(&self, app: AppId, id: BuildId) -> Result<Build> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM builds WHERE app_id = ?1 AND id = ?2")?;
        first(&mut statement, [app.to_string(), id.to_string()], build)?
            .ok_or(StoreError::NotFound("build"))
    }

    /// Newest first, at most `limit`.
    pub fn builds(&self, app: AppId, limit: u32) -> Result<Vec<Build>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT * FROM builds WHERE app_id = ?1 ORDER BY created_at DESC LIMIT ?2",
        )?;
        all(&mut statement, params![app.to_string(), limit], build)
    }
}

impl Tx<'_> {
    pub fn create_build(&self, new: &NewBuild, now: Timestamp) -> Result<Build> {
        self.conn.execute(
            "INSERT INTO builds (id, app_id, user_id, status, commit_sha, stack, source_url, source_checksum,
                                 source_description, created_at, updated_at)
             VALUES (?1, ?2, ?3, 'pending', ?4, ?5, ?6, ?7, ?8, ?9, ?9)",
            params![
                new.id.to_string(),
                new.app.to_string(),
                new.user.to_string(),
                new.commit,
                new.stack,
                new.source.as_ref().map(|source| &source.url),
                new.source.as_ref().and_then(|source| source.checksum.as_ref()),
                new.source.as_ref().and_then(|source| source.description.as_ref()),
                time(now)
            ],
        )?;
        self.build(new.app, new.id)
    }

    /// What detection found, while the build goes on.
    pub fn set_build_buildpacks(
        &self,
        id: BuildId,
        buildpacks: &Value,
        now: Timestamp,
    ) -> Result<()> {
        self.conn.execute(
            "UPDATE builds SET buildpacks = ?2, updated_at = ?3 WHERE id = ?1",
            params![id.to_string(), to_json(buildpacks)?, time(now)],
        )?;
        Ok(())
    }

    pub fn set_build_report(&self, id: BuildId, report: &Value, now: Timestamp) -> Result<()> {
        self.conn.execute(
            "UPDATE builds SET report = ?2, updated_at = ?3 WHERE id = ?1",
            params![id.to_string(), to_json(report)?, time(now)],
        )?;
        Ok(())
    }

    /// The build made this slug and release.
    pub fn succeed_build(
        &self,
        id: BuildId,
        slug: SlugId,
        version: u32,
        now: Timestamp,
    ) -> Result<()> {
        self.conn.execute(
            "UPDATE builds SET status = 'succeeded', slug_id = ?2, release_version = ?3, updated_at = ?4
             WHERE id = ?1 AND status = 'pending'",
            params![id.to_string(), slug.to_string(), version, time(now)],
        )?;
        Ok(())
    }

    pub fn fail_build(&self, id: BuildId, why: &str, now: Timestamp) -> Result<()> {
        self.conn.execute(
            "UPDATE builds SET status = 'failed', failure = ?2, updated_at = ?3
             WHERE id = ?1 AND status = 'pending'",
            params![id.to_string(), why, time(now)],
        )?;
        Ok(())
    }

    /// After a restart: no build of an earlier run of the server is going on any more. Returns how many were.
    pub fn fail_interrupted_builds(&self, now: Timestamp) -> Result<usize> {
        Ok(self.conn.execute(
            "UPDATE builds SET status = 'failed', failure = 'interrupted by a restart of the platform',
                               updated_at = ?1
             WHERE status = 'pending'",
            [time(now)],
        )?)
    }
}
