//! Slugs that were announced and whose archive has not come yet. They cannot be released: they are no slugs so far.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ropewalk_model::{AppId, SlugId};
use rusqlite::{Row, params};

use crate::row::{first, json, parse, time, to_json};
use crate::{Result, Slug, StoreError, Tx, View};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedSlug {
    pub id: SlugId,
    pub app: AppId,
    pub commit: Option<String>,
    pub commit_description: Option<String>,
    /// `SHA256:…` that the archive must have.
    pub checksum: Option<String>,
    pub process_types: BTreeMap<String, String>,
    pub buildpack_description: Option<String>,
    pub stack: String,
    pub created_at: Timestamp,
}

fn expected(row: &Row<'_>) -> Result<ExpectedSlug> {
    Ok(ExpectedSlug {
        id: parse(row, "id")?,
        app: parse(row, "app_id")?,
        commit: row.get("commit_sha")?,
        commit_description: row.get("commit_description")?,
        checksum: row.get("checksum")?,
        process_types: json(row, "process_types")?,
        buildpack_description: row.get("buildpack_description")?,
        stack: row.get("stack")?,
        created_at: parse(row, "created_at")?,
    })
}

impl View<'_> {
    /// `None` when it was never announced, when its archive has come, or when that took too long.
    pub fn expected_slug(&self, id: SlugId) -> Result<Option<ExpectedSlug>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM expected_slugs WHERE id = ?1")?;
        first(&mut statement, [id.to_string()], expected)
    }

    /// How many archives an app waits for.
    pub fn expected_slugs(&self, app: AppId) -> Result<u32> {
        Ok(self.conn.query_row(
            "SELECT count(*) FROM expected_slugs WHERE app_id = ?1",
            [app.to_string()],
            |row| row.get(0),
        )?)
    }
}

impl Tx<'_> {
    pub fn expect_slug(&self, new: &ExpectedSlug) -> Result<()> {
        self.conn.execute(
            "INSERT INTO expected_slugs (id, app_id, commit_sha, commit_description, checksum, process_types,
                                         buildpack_description, stack, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                new.id.to_string(),
                new.app.to_string(),
                new.commit,
                new.commit_description,
                new.checksum,
                to_json(&new.process_types)?,
                new.buildpack_description,
                new.stack,
                time(new.created_at),
            ],
        )?;
        Ok(())
    }

    /// The archive has come, and what is in it are these images, of so many bytes: from now on it is a slug.
    pub fn fulfil_slug(
        &self,
        id: SlugId,
        digest: &str,
        images: &[String],
        image_size: u64,
        now: Timestamp,
    ) -> Result<Slug> {
        let made = self.conn.execute(
            "INSERT INTO slugs (id, app_id, commit_sha, commit_description, digest, images, image_size, process_types,
                                buildpack_description, stack, created_at)
             SELECT id, app_id, commit_sha, commit_description, ?2, ?3, ?4, process_types, buildpack_description,
                    stack, ?5
             FROM expected_slugs WHERE id = ?1",
            params![id.to_string(), digest, to_json(&images)?, image_size, time(now)],
        )?;
        if made == 0 {
            return Err(StoreError::NotFound("slug"));
        }
        self.conn
            .execute("DELETE FROM expected_slugs WHERE id = ?1", [id.to_string()])?;
        self.slug(id)
    }

    /// Gives up on archives that were announced before `before`. Returns how many.
    pub fn forget_expected_slugs(&self, before: Timestamp) -> Result<usize> {
        Ok(self.conn.execute(
            "DELETE FROM expected_slugs WHERE created_at < ?1",
            [time(before)],
        )?)
    }
}
