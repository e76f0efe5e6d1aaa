//! Pipelines: their names and owners, the apps in them by stage, and the config vars of a stage.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ropewalk_model::pipeline::{PipelineName, Stage};
use ropewalk_model::rights::Relation;
use ropewalk_model::{AppId, ConfigVars, CouplingId, PipelineId, UserId};
use rusqlite::{Row, params};

use crate::row::{all, first, is_taken, parse, parse_with, time};
use crate::{Result, StoreError, Tx, View};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    pub id: PipelineId,
    pub name: PipelineName,
    pub owner: UserId,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// An app's place in a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coupling {
    pub id: CouplingId,
    pub pipeline: PipelineId,
    pub app: AppId,
    pub stage: Stage,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

fn pipeline(row: &Row<'_>) -> Result<Pipeline> {
    Ok(Pipeline {
        id: parse(row, "id")?,
        name: parse_with(row, "name", |text| PipelineName::parse(text).ok())?,
        owner: parse(row, "owner_id")?,
        created_at: parse(row, "created_at")?,
        updated_at: parse(row, "updated_at")?,
    })
}

fn coupling(row: &Row<'_>) -> Result<Coupling> {
    Ok(Coupling {
        id: parse(row, "id")?,
        pipeline: parse(row, "pipeline_id")?,
        app: parse(row, "app_id")?,
        stage: parse_with(row, "stage", |text| Stage::parse(text).ok())?,
        created_at: parse(row, "created_at")?,
        updated_at: parse(row, "updated_at")?,
    })
}

fn context(pipeline: PipelineId, stage: Stage) -> String {
    format!("pipeline config {pipeline} {stage}")
}

impl View<'_> {
    pub fn pipeline(&self, id: PipelineId) -> Result<Pipeline> {
        self.find_pipeline(&id.to_string())
    }

    /// By name or id, as paths of the API allow both.
    pub fn find_pipeline(&self, name_or_id: &str) -> Result<Pipeline> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM pipelines WHERE name = ?1 OR id = ?1")?;
        first(&mut statement, [name_or_id], pipeline)?.ok_or(StoreError::NotFound("pipeline"))
    }

    /// All pipelines by name.
    pub fn pipelines(&self) -> Result<Vec<Pipeline>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM pipelines ORDER BY name")?;
        all(&mut statement, [], pipeline)
    }

    /// Names of the pipelines that a user owns.
    pub fn owned_pipelines(&self, user: UserId) -> Result<Vec<String>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT name FROM pipelines WHERE owner_id = ?1 ORDER BY name")?;
        all(&mut statement, [user.to_string()], |row| Ok(row.get(0)?))
    }

    /// What `user` is to `pipeline`: whoever owns or works on an app in it works on it.
    pub fn pipeline_relation(&self, user: UserId, pipeline: &Pipeline) -> Result<Relation> {
        let mut statement = self.conn.prepare_cached(
            "SELECT 1 FROM pipeline_couplings c JOIN apps a ON a.id = c.app_id
             WHERE c.pipeline_id = ?1
               AND (a.owner_id = ?2
                    OR EXISTS (SELECT 1 FROM collaborators k WHERE k.app_id = a.id AND k.user_id = ?2))
             LIMIT 1",
        )?;
        let works = statement.exists([pipeline.id.to_string(), user.to_string()])?;
        Ok(Relation::of(user, pipeline.owner, works))
    }

    /// All couplings, oldest first.
    pub fn couplings(&self) -> Result<Vec<Coupling>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM pipeline_couplings ORDER BY created_at, id")?;
        all(&mut statement, [], coupling)
    }

    /// Those of one pipeline, oldest first.
    pub fn couplings_of(&self, pipeline: PipelineId) -> Result<Vec<Coupling>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT * FROM pipeline_couplings WHERE pipeline_id = ?1 ORDER BY created_at, id",
        )?;
        all(&mut statement, [pipeline.to_string()], coupling)
    }

    pub fn coupling(&self, id: CouplingId) -> Result<Coupling> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM pipeline_couplings WHERE id = ?1")?;
        first(&mut statement, [id.to_string()], coupling)?
            .ok_or(StoreError::NotFound("pipeline_coupling"))
    }

    /// Of an app, if it is in a pipeline.
    pub fn coupling_of_app(&self, app: AppId) -> Result<Option<Coupling>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM pipeline_couplings WHERE app_id = ?1")?;
        first(&mut statement, [app.to_string()], coupling)
    }

    /// Config vars of a stage.
    pub fn stage_config(&self, pipeline: PipelineId, stage: Stage) -> Result<ConfigVars> {
        let mut statement = self.conn.prepare_cached(
            "SELECT config FROM pipeline_config_vars WHERE pipeline_id = ?1 AND stage = ?2",
        )?;
        let sealed: Option<Vec<u8>> = first(
            &mut statement,
            params![pipeline.to_string(), stage.as_str()],
            |row| Ok(row.get(0)?),
        )?;
        let Some(sealed) = sealed else {
            return Ok(ConfigVars::default());
        };
        let plain = self.key.unseal(&context(pipeline, stage), &sealed)?;
        let vars: BTreeMap<String, String> =
            serde_json::from_slice(&plain).map_err(|_| StoreError::Unseal)?;
        Ok(ConfigVars(vars))
    }
}

impl Tx<'_> {
    pub fn create_pipeline(
        &self,
        id: PipelineId,
        name: &PipelineName,
        owner: UserId,
        now: Timestamp,
    ) -> Result<Pipeline> {
        self.conn
            .execute(
                "INSERT INTO pipelines (id, name, owner_id, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)",
                params![id.to_string(), name.as_str(), owner.to_string(), time(now)],
            )
            .map_err(|error| taken(error, name))?;
        self.pipeline(id)
    }

    pub fn rename_pipeline(
        &self,
        id: PipelineId,
        name: &PipelineName,
        now: Timestamp,
    ) -> Result<Pipeline> {
        self.conn
            .execute(
                "UPDATE pipelines SET name = ?2, updated_at = ?3 WHERE id = ?1",
                params![id.to_string(), name.as_str(), time(now)],
            )
            .map_err(|error| taken(error, name))?;
        self.pipeline(id)
    }

    pub fn give_pipeline(&self, id: PipelineId, owner: UserId, now: Timestamp) -> Result<Pipeline> {
        self.revoke();
        self.conn.execute(
            "UPDATE pipelines SET owner_id = ?2, updated_at = ?3 WHERE id = ?1",
            params![id.to_string(), owner.to_string(), time(now)],
        )?;
        self.pipeline(id)
    }

    /// Removes the pipeline and what belongs to it; its apps stay.
    ///
    /// # Errors
    /// [`StoreError::Refused`] while one of its test runs goes on.
    pub fn delete_pipeline(&self, id: PipelineId) -> Result<()> {
        let going_on = self.test_runs(id)?.iter().any(|run| !run.status.is_over());
        if going_on {
            return Err(StoreError::Refused(
                "A test run of that pipeline is going on; cancel it or wait for its end."
                    .to_owned(),
            ));
        }
        self.revoke();
        self.conn
            .execute("DELETE FROM pipelines WHERE id = ?1", [id.to_string()])?;
        Ok(())
    }

    /// Puts an app into a pipeline.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when it is in one already, or for the stage `test`, in which apps are not.
    pub fn couple(
        &self,
        id: CouplingId,
        pipeline: PipelineId,
        app: AppId,
        stage: Stage,
        now: Timestamp,
    ) -> Result<Coupling> {
        check_stage(stage)?;
        self.conn
            .execute(
                "INSERT INTO pipeline_couplings (id, pipeline_id, app_id, stage, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
                params![
                    id.to_string(),
                    pipeline.to_string(),
                    app.to_string(),
                    stage.as_str(),
                    time(now)
                ],
            )
            .map_err(|error| match is_taken(&error) {
                true => StoreError::Refused("App is already coupled to a pipeline.".to_owned()),
                false => error.into(),
            })?;
        self.coupling(id)
    }

    /// Moves an app to another stage of its pipeline.
    ///
    /// # Errors
    /// As for [`Tx::couple`].
    pub fn move_coupling(&self, id: CouplingId, stage: Stage, now: Timestamp) -> Result<Coupling> {
        check_stage(stage)?;
        self.conn.execute(
            "UPDATE pipeline_couplings SET stage = ?2, updated_at = ?3 WHERE id = ?1",
            params![id.to_string(), stage.as_str(), time(now)],
        )?;
        self.coupling(id)
    }

    pub fn uncouple(&self, id: CouplingId) -> Result<()> {
        self.revoke();
        self.conn.execute(
            "DELETE FROM pipeline_couplings WHERE id = ?1",
            [id.to_string()],
        )?;
        Ok(())
    }

    pub fn set_stage_config(
        &self,
        pipeline: PipelineId,
        stage: Stage,
        config: &ConfigVars,
        now: Timestamp,
    ) -> Result<()> {
        let plain = serde_json::to_vec(&config.0).map_err(|_| StoreError::Unseal)?;
        let sealed = self.key.seal(&context(pipeline, stage), &plain)?;
        self.conn.execute(
            "INSERT INTO pipeline_config_vars (pipeline_id, stage, config, updated_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (pipeline_id, stage) DO UPDATE SET config = ?3, updated_at = ?4",
            params![pipeline.to_string(), stage.as_str(), sealed, time(now)],
        )?;
        Ok(())
    }
}

fn check_stage(stage: Stage) -> Result<()> {
    match stage {
        Stage::Test => Err(StoreError::Refused(
            "No app is at the stage test: test runs make what they need. Choose review, development, staging or \
             production."
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

fn taken(error: rusqlite::Error, name: &PipelineName) -> StoreError {
    match is_taken(&error) {
        true => StoreError::Taken {
            what: "pipeline name",
            name: name.to_string(),
        },
        false => error.into(),
    }
}
