//! `/test-runs`: a pipeline's tests, run once.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::reference::{ById, UserRef};

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestRun {
    pub id: Uuid,
    pub actor_email: String,
    pub clear_cache: Option<bool>,
    pub commit_branch: String,
    pub commit_message: String,
    pub commit_sha: String,
    pub debug: bool,
    pub app_setup: Option<ById>,
    pub dyno: Option<TestDynoSize>,
    /// Why it ended as it did.
    pub message: Option<String>,
    /// Counts the pipeline's runs from 1.
    pub number: u32,
    pub organization: Option<serde_json::Value>,
    pub pipeline: ById,
    pub status: TestStatus,
    pub source_blob_url: String,
    /// Who began it.
    pub user: UserRef,
    pub warning_message: Option<String>,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

/// The size of a run's dyno.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestDynoSize {
    pub size: String,
}

/// How far a run or a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestStatus {
    Pending,
    Cancelled,
    Creating,
    Building,
    Running,
    Succeeded,
    /// The tests failed.
    Failed,
    /// Something kept the tests from being run.
    Errored,
    Debugging,
}

impl TestStatus {
    /// Nothing follows it.
    pub fn is_over(self) -> bool {
        matches!(
            self,
            Self::Cancelled | Self::Succeeded | Self::Failed | Self::Errored
        )
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Cancelled => "cancelled",
            Self::Creating => "creating",
            Self::Building => "building",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Errored => "errored",
            Self::Debugging => "debugging",
        }
    }
}

impl fmt::Display for TestStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// `POST /test-runs`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TestRunCreate {
    pub commit_branch: String,
    pub commit_message: String,
    pub commit_sha: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debug: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// Name or id.
    pub pipeline: String,
    pub source_blob_url: String,
}

/// `PATCH /test-runs/:id`: `cancelled` is the only status that can be asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TestRunUpdate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One of the dynos that a run is spread over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestNode {
    pub id: Uuid,
    pub dyno: Option<TestDyno>,
    /// Where it was when it errored.
    pub error_status: Option<String>,
    /// Of the tests.
    pub exit_code: Option<i64>,
    /// From 0.
    pub index: u32,
    pub message: Option<String>,
    /// Of the tests: plain text, live; needs no token.
    pub output_stream_url: String,
    pub pipeline: ById,
    /// The same of everything before them.
    pub setup_stream_url: String,
    pub status: TestStatus,
    pub test_run: ById,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestDyno {
    pub id: Uuid,
    pub attach_url: Option<String>,
}

/// One test of a run whose tests speak TAP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestCase {
    pub id: Uuid,
    pub description: String,
    pub diagnostic: String,
    pub directive: String,
    pub passed: bool,
    pub number: u32,
    pub test_node: ById,
    pub test_run: ById,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}
