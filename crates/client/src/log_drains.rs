//! `/apps/:app/log-drains`

use http::Method;
use ropewalk_api_types::LogDrain;
use ropewalk_api_types::log_drain::LogDrainCreate;

use crate::client::Client;
use crate::error::Result;

impl Client {
    pub async fn log_drains(&self, app: &str) -> Result<Vec<LogDrain>> {
        self.list(&["apps", app, "log-drains"]).await
    }

    pub async fn add_log_drain(&self, app: &str, drain: &LogDrainCreate) -> Result<LogDrain> {
        self.send(Method::POST, &["apps", app, "log-drains"], drain)
            .await
    }

    /// By id, token or URL.
    pub async fn remove_log_drain(&self, app: &str, drain: &str) -> Result<LogDrain> {
        self.delete(&["apps", app, "log-drains", drain]).await
    }
}
