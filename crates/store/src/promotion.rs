//! Promotions: which release of which app went on to which others. How a target is doing is read from its release.

use jiff::Timestamp;
use ropewalk_model::{AppId, PipelineId, PromotionId, ReleaseId};
use rusqlite::{Row, params};
use uuid::Uuid;

use crate::row::{all, first, parse, time};
use crate::{Release, Result, StoreError, Tx, View};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promotion {
    pub id: PromotionId,
    pub pipeline: PipelineId,
    pub source_app: AppId,
    pub source_release: ReleaseId,
    pub created_at: Timestamp,
}

/// One app that was promoted to, and the release that this made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromotionTarget {
    pub id: Uuid,
    pub app: AppId,
    pub release: Release,
}

fn promotion(row: &Row<'_>) -> Result<Promotion> {
    Ok(Promotion {
        id: parse(row, "id")?,
        pipeline: parse(row, "pipeline_id")?,
        source_app: parse(row, "source_app_id")?,
        source_release: parse(row, "source_release_id")?,
        created_at: parse(row, "created_at")?,
    })
}

impl View<'_> {
    pub fn promotion(&self, id: PromotionId) -> Result<Promotion> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM pipeline_promotions WHERE id = ?1")?;
        first(&mut statement, [id.to_string()], promotion)?
            .ok_or(StoreError::NotFound("pipeline_promotion"))
    }

    /// Those whose app is still there.
    pub fn promotion_targets(&self, promotion: PromotionId) -> Result<Vec<PromotionTarget>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT * FROM pipeline_promotion_targets WHERE promotion_id = ?1 ORDER BY id",
        )?;
        let rows = all(&mut statement, [promotion.to_string()], |row| {
            let version: u32 = row.get("release_version")?;
            Ok((parse(row, "id")?, parse(row, "app_id")?, version))
        })?;
        rows.into_iter()
            .map(|(id, app, version)| {
                Ok(PromotionTarget {
                    id,
                    app,
                    release: self.release(app, version)?,
                })
            })
            .collect()
    }
}

impl Tx<'_> {
    /// Notes a promotion whose releases were made in this transaction.
    pub fn create_promotion(
        &self,
        new: &Promotion,
        targets: &[(AppId, u32)],
        now: Timestamp,
    ) -> Result<()> {
        self.conn.execute(
            "INSERT INTO pipeline_promotions (id, pipeline_id, source_app_id, source_release_id, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                new.id.to_string(),
                new.pipeline.to_string(),
                new.source_app.to_string(),
                new.source_release.to_string(),
                time(now)
            ],
        )?;
        for (app, version) in targets {
            self.conn.execute(
                "INSERT INTO pipeline_promotion_targets (id, promotion_id, app_id, release_version)
                 VALUES (?1, ?2, ?3, ?4)",
                params![
                    Uuid::new_v4().to_string(),
                    new.id.to_string(),
                    app.to_string(),
                    version
                ],
            )?;
        }
        Ok(())
    }
}
