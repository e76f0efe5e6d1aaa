//! `/test-runs`

use http::Method;
use ropewalk_api_types::test_run::{TestCase, TestNode, TestRun, TestRunCreate, TestRunUpdate};

use crate::client::Client;
use crate::error::Result;

impl Client {
    /// The newest `max` runs of a pipeline, newest first.
    pub async fn test_runs(&self, pipeline: &str, max: u32) -> Result<Vec<TestRun>> {
        let range = format!("number ..; order=desc,max={max}");
        let path = ["pipelines", pipeline, "test-runs"];
        Ok(self.page(&path, Some(&range)).await?.0)
    }

    /// By the pipeline's own number.
    pub async fn test_run_by_number(&self, pipeline: &str, number: u32) -> Result<TestRun> {
        let number = number.to_string();
        self.get(&["pipelines", pipeline, "test-runs", &number])
            .await
    }

    /// By id.
    pub async fn test_run(&self, run: &str) -> Result<TestRun> {
        self.get(&["test-runs", run]).await
    }

    pub async fn create_test_run(&self, run: &TestRunCreate) -> Result<TestRun> {
        self.send(Method::POST, &["test-runs"], run).await
    }

    /// Ends a run under way.
    pub async fn cancel_test_run(&self, run: &str) -> Result<TestRun> {
        let update = TestRunUpdate {
            status: Some("cancelled".to_owned()),
            message: Some("Cancelled".to_owned()),
        };
        self.send(Method::PATCH, &["test-runs", run], &update).await
    }

    pub async fn test_nodes(&self, run: &str) -> Result<Vec<TestNode>> {
        self.list(&["test-runs", run, "test-nodes"]).await
    }

    pub async fn test_cases(&self, run: &str) -> Result<Vec<TestCase>> {
        self.list(&["test-runs", run, "test-cases"]).await
    }
}
