//! Slugs: which built tree they are, and the form that travels once it was made.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ropewalk_model::{AppId, SlugId};
use rusqlite::{Row, params};

use crate::row::{all, first, json, parse, time, to_json};
use crate::{FileCheck, FileJob, Result, StoreError, Tx, View};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slug {
    pub id: SlugId,
    pub app: AppId,
    pub commit: Option<String>,
    pub commit_description: Option<String>,
    /// `sha256:…` of what is in it.
    pub digest: String,
    /// `sha256:…` of the read-only images of which it is made, the lowest first.
    pub images: Vec<String>,
    /// Bytes of these images.
    pub image_size: u64,
    pub process_types: BTreeMap<String, String>,
    pub buildpack_description: Option<String>,
    pub stack: String,
    /// Those that its app.json names.
    pub jobs: Vec<FileJob>,
    /// Those of its files that say when its dynos are well.
    pub checks: Vec<FileCheck>,
    pub tgz: Option<Tgz>,
    pub created_at: Timestamp,
}

/// The form that travels, which is also an OCI layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tgz {
    pub digest: String,
    pub diff_id: String,
    pub size: u64,
}

#[derive(Debug, Clone)]
pub struct NewSlug {
    pub id: SlugId,
    pub app: AppId,
    pub commit: Option<String>,
    pub digest: String,
    pub images: Vec<String>,
    pub image_size: u64,
    pub process_types: BTreeMap<String, String>,
    pub buildpack_description: Option<String>,
    pub stack: String,
}

fn slug(row: &Row<'_>) -> Result<Slug> {
    let digest: Option<String> = row.get("tgz_digest")?;
    let diff_id: Option<String> = row.get("tgz_diff_id")?;
    let size: Option<u64> = row.get("tgz_size")?;
    let tgz = match (digest, diff_id, size) {
        (Some(digest), Some(diff_id), Some(size)) => Some(Tgz {
            digest,
            diff_id,
            size,
        }),
        _ => None,
    };
    Ok(Slug {
        id: parse(row, "id")?,
        app: parse(row, "app_id")?,
        commit: row.get("commit_sha")?,
        commit_description: row.get("commit_description")?,
        digest: row.get("digest")?,
        images: json(row, "images")?,
        image_size: row.get("image_size")?,
        process_types: json(row, "process_types")?,
        buildpack_description: row.get("buildpack_description")?,
        stack: row.get("stack")?,
        jobs: json(row, "jobs")?,
        checks: json(row, "checks")?,
        tgz,
        created_at: parse(row, "created_at")?,
    })
}

impl View<'_> {
    pub fn slug(&self, id: SlugId) -> Result<Slug> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM slugs WHERE id = ?1")?;
        first(&mut statement, [id.to_string()], slug)?.ok_or(StoreError::NotFound("slug"))
    }

    /// Digests of every image that a slug row names.
    pub fn slug_images(&self) -> Result<Vec<String>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT DISTINCT value FROM slugs, json_each(slugs.images)")?;
        all(&mut statement, [], |row| Ok(row.get(0)?))
    }

    /// Every slug in which there is the same.
    pub fn slugs_by_digest(&self, digest: &str) -> Result<Vec<Slug>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM slugs WHERE digest = ?1")?;
        all(&mut statement, [digest], slug)
    }
}

impl Tx<'_> {
    pub fn create_slug(&self, new: &NewSlug, now: Timestamp) -> Result<Slug> {
        self.conn.execute(
            "INSERT INTO slugs (id, app_id, commit_sha, digest, images, image_size, process_types,
                                buildpack_description, stack, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                new.id.to_string(),
                new.app.to_string(),
                new.commit,
                new.digest,
                to_json(&new.images)?,
                new.image_size,
                to_json(&new.process_types)?,
                new.buildpack_description,
                new.stack,
                time(now),
            ],
        )?;
        self.slug(new.id)
    }

    /// The same tree as a slug of another app; one that the app has already serves. Gives its id.
    pub fn share_slug(
        &self,
        slug: &Slug,
        app: AppId,
        id: SlugId,
        now: Timestamp,
    ) -> Result<SlugId> {
        let known = self.slugs_by_digest(&slug.digest)?.into_iter();
        let same = |known: &Slug| {
            known.app == app
                && known.process_types == slug.process_types
                && known.commit == slug.commit
                && known.stack == slug.stack
                && known.jobs == slug.jobs
                && known.checks == slug.checks
        };
        if let Some(known) = known.into_iter().find(same) {
            return Ok(known.id);
        }
        self.conn.execute(
            "INSERT INTO slugs (id, app_id, commit_sha, commit_description, digest, images, image_size, process_types,
                                buildpack_description, stack, jobs, checks, tgz_digest, tgz_diff_id, tgz_size, created_at)
             SELECT ?2, ?3, commit_sha, commit_description, digest, images, image_size, process_types,
                    buildpack_description, stack, jobs, checks, tgz_digest, tgz_diff_id, tgz_size, ?4
             FROM slugs WHERE id = ?1",
            params![slug.id.to_string(), id.to_string(), app.to_string(), time(now)],
        )?;
        Ok(id)
    }

    /// Notes the travelling form on every slug in which there is the same.
    pub fn set_tgz(&self, slug_digest: &str, tgz: &Tgz) -> Result<()> {
        self.conn.execute(
            "UPDATE slugs SET tgz_digest = ?2, tgz_diff_id = ?3, tgz_size = ?4 WHERE digest = ?1",
            params![slug_digest, tgz.digest, tgz.diff_id, tgz.size],
        )?;
        Ok(())
    }
}
