//! `/apps/:app/formation/:type/monitors`: autoscaling.

use http::Method;
use ropewalk_api_types::Monitor;
use ropewalk_api_types::monitor::MonitorUpdate;

use crate::client::Client;
use crate::error::Result;

impl Client {
    pub async fn monitors(&self, app: &str, process_type: &str) -> Result<Vec<Monitor>> {
        self.list(&["apps", app, "formation", process_type, "monitors"])
            .await
    }

    pub async fn create_monitor(
        &self,
        app: &str,
        process_type: &str,
        monitor: &MonitorUpdate,
    ) -> Result<Monitor> {
        let path = ["apps", app, "formation", process_type, "monitors"];
        self.send(Method::POST, &path, monitor).await
    }

    /// By id or name.
    pub async fn update_monitor(
        &self,
        app: &str,
        process_type: &str,
        monitor: &str,
        update: &MonitorUpdate,
    ) -> Result<Monitor> {
        let path = ["apps", app, "formation", process_type, "monitors", monitor];
        self.send(Method::PATCH, &path, update).await
    }
}
