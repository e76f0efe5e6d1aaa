//! Test runs of pipelines, each with its one node, and what their tests said.

use jiff::Timestamp;
use ropewalk_model::test_run::TestStatus;
use ropewalk_model::{AppId, DynoId, PipelineId, TestNodeId, TestRunId, UserId};
use rusqlite::{Row, params};
use uuid::Uuid;

use crate::row::{all, first, parse, parse_opt, parse_with, time};
use crate::{Result, StoreError, Tx, View};

/// Test runs kept of one pipeline; the oldest go first.
const KEPT: u32 = 1_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestRun {
    pub id: TestRunId,
    pub pipeline: PipelineId,
    /// Counts the pipeline's runs from 1.
    pub number: u32,
    pub user: UserId,
    pub status: TestStatus,
    pub commit_branch: String,
    pub commit_message: String,
    pub commit_sha: String,
    /// As it may be shown: without a login.
    pub source_url: String,
    /// Why it ended as it did, for the user.
    pub message: Option<String>,
    pub node: TestNodeId,
    pub dyno: Option<DynoId>,
    /// Of the tests.
    pub exit_code: Option<i64>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone)]
pub struct NewTestRun {
    pub id: TestRunId,
    pub pipeline: PipelineId,
    pub user: UserId,
    pub commit_branch: String,
    pub commit_message: String,
    pub commit_sha: String,
    pub source_url: String,
    pub node: TestNodeId,
}

/// One test, as TAP tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestCase {
    pub id: Uuid,
    pub number: u32,
    pub passed: bool,
    pub description: String,
    /// `SKIP why`, `TODO why`, or nothing.
    pub directive: String,
    pub diagnostic: String,
    pub created_at: Timestamp,
}

fn test_run(row: &Row<'_>) -> Result<TestRun> {
    Ok(TestRun {
        id: parse(row, "id")?,
        pipeline: parse(row, "pipeline_id")?,
        number: row.get("number")?,
        user: parse(row, "user_id")?,
        status: parse_with(row, "status", TestStatus::parse)?,
        commit_branch: row.get("commit_branch")?,
        commit_message: row.get("commit_message")?,
        commit_sha: row.get("commit_sha")?,
        source_url: row.get("source_url")?,
        message: row.get("message")?,
        node: parse(row, "node_id")?,
        dyno: parse_opt(row, "dyno_id")?,
        exit_code: row.get("exit_code")?,
        created_at: parse(row, "created_at")?,
        updated_at: parse(row, "updated_at")?,
    })
}

fn test_case(row: &Row<'_>) -> Result<TestCase> {
    Ok(TestCase {
        id: parse(row, "id")?,
        number: row.get("number")?,
        passed: row.get("passed")?,
        description: row.get("description")?,
        directive: row.get("directive")?,
        diagnostic: row.get("diagnostic")?,
        created_at: parse(row, "created_at")?,
    })
}

impl View<'_> {
    pub fn test_run(&self, id: TestRunId) -> Result<TestRun> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM test_runs WHERE id = ?1")?;
        first(&mut statement, [id.to_string()], test_run)?.ok_or(StoreError::NotFound("test_run"))
    }

    pub fn test_run_by_number(&self, pipeline: PipelineId, number: u32) -> Result<TestRun> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM test_runs WHERE pipeline_id = ?1 AND number = ?2")?;
        first(
            &mut statement,
            params![pipeline.to_string(), number],
            test_run,
        )?
        .ok_or(StoreError::NotFound("test_run"))
    }

    /// Newest first.
    pub fn test_runs(&self, pipeline: PipelineId) -> Result<Vec<TestRun>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT * FROM test_runs WHERE pipeline_id = ?1 ORDER BY number DESC",
        )?;
        all(&mut statement, [pipeline.to_string()], test_run)
    }

    /// In the order in which they came.
    pub fn test_cases(&self, run: TestRunId) -> Result<Vec<TestCase>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM test_cases WHERE test_run_id = ?1 ORDER BY number")?;
        all(&mut statement, [run.to_string()], test_case)
    }
}

impl Tx<'_> {
    /// A run that waits, with the pipeline's next number.
    pub fn create_test_run(&self, new: &NewTestRun, now: Timestamp) -> Result<TestRun> {
        self.conn.execute(
            "INSERT INTO test_runs (id, pipeline_id, number, user_id, status, commit_branch, commit_message,
                                    commit_sha, source_url, node_id, created_at, updated_at)
             VALUES (?1, ?2, (SELECT COALESCE(MAX(number), 0) + 1 FROM test_runs WHERE pipeline_id = ?2), ?3,
                     'pending', ?4, ?5, ?6, ?7, ?8, ?9, ?9)",
            params![
                new.id.to_string(),
                new.pipeline.to_string(),
                new.user.to_string(),
                new.commit_branch,
                new.commit_message,
                new.commit_sha,
                new.source_url,
                new.node.to_string(),
                time(now)
            ],
        )?;
        let made = self.test_run(new.id)?;
        self.conn.execute(
            "DELETE FROM test_runs WHERE pipeline_id = ?1 AND number <= ?2
                 AND status IN ('succeeded', 'failed', 'errored', 'cancelled')",
            params![new.pipeline.to_string(), made.number.saturating_sub(KEPT)],
        )?;
        Ok(made)
    }

    /// The run goes on, or has ended. `false` when it had ended before: its end stands.
    pub fn set_test_status(
        &self,
        id: TestRunId,
        status: TestStatus,
        message: Option<&str>,
        now: Timestamp,
    ) -> Result<bool> {
        let changed = self.conn.execute(
            "UPDATE test_runs SET status = ?2, message = COALESCE(?3, message), updated_at = ?4
             WHERE id = ?1 AND status NOT IN ('succeeded', 'failed', 'errored', 'cancelled')",
            params![id.to_string(), status.as_str(), message, time(now)],
        )?;
        Ok(changed > 0)
    }

    pub fn set_test_dyno(&self, id: TestRunId, dyno: DynoId, now: Timestamp) -> Result<()> {
        self.conn.execute(
            "UPDATE test_runs SET dyno_id = ?2, updated_at = ?3 WHERE id = ?1",
            params![id.to_string(), dyno.to_string(), time(now)],
        )?;
        Ok(())
    }

    pub fn set_test_exit_code(&self, id: TestRunId, code: i64, now: Timestamp) -> Result<()> {
        self.conn.execute(
            "UPDATE test_runs SET exit_code = ?2, updated_at = ?3 WHERE id = ?1",
            params![id.to_string(), code, time(now)],
        )?;
        Ok(())
    }

    pub fn add_test_cases(&self, run: TestRunId, cases: &[TestCase]) -> Result<()> {
        for case in cases {
            self.conn.execute(
                "INSERT INTO test_cases (id, test_run_id, number, passed, description, directive, diagnostic, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    case.id.to_string(),
                    run.to_string(),
                    case.number,
                    case.passed,
                    case.description,
                    case.directive,
                    case.diagnostic,
                    time(case.created_at)
                ],
            )?;
        }
        Ok(())
    }

    /// After a restart: no run of an earlier run of the server is going on any more, and the apps that they made are
    /// to go. Returns how many runs there were, and the apps.
    pub fn end_interrupted_tests(&self, now: Timestamp) -> Result<(usize, Vec<AppId>)> {
        let ended = self.conn.execute(
            "UPDATE test_runs SET status = 'errored', message = 'Interrupted by a restart of the platform.',
                                  updated_at = ?1
             WHERE status NOT IN ('succeeded', 'failed', 'errored', 'cancelled')",
            [time(now)],
        )?;
        let apps: Vec<AppId> = self
            .apps()?
            .into_iter()
            .filter(|app| app.ephemeral)
            .map(|app| app.id)
            .collect();
        for app in &apps {
            self.delete_app(*app)?;
        }
        Ok((ended, apps))
    }
}
