//! `/ropewalk/apps/:app/formation/:type/autoscale`, and what was decided by it.

use http::Method;
use ropewalk_api_types::autoscale::AutoscaleUpdate;
use ropewalk_api_types::{AutoscaleEvent, AutoscaleRule};

use crate::client::Client;
use crate::error::Result;

impl Client {
    /// Of each process type that has one.
    pub async fn autoscale_rules(&self, app: &str) -> Result<Vec<AutoscaleRule>> {
        self.list(&["ropewalk", "apps", app, "autoscale"]).await
    }

    pub async fn set_autoscale(
        &self,
        app: &str,
        process_type: &str,
        update: &AutoscaleUpdate,
    ) -> Result<AutoscaleRule> {
        let path = [
            "ropewalk",
            "apps",
            app,
            "formation",
            process_type,
            "autoscale",
        ];
        self.send(Method::PUT, &path, update).await
    }

    pub async fn remove_autoscale(&self, app: &str, process_type: &str) -> Result<AutoscaleRule> {
        let path = [
            "ropewalk",
            "apps",
            app,
            "formation",
            process_type,
            "autoscale",
        ];
        self.delete(&path).await
    }

    /// Oldest first.
    pub async fn autoscale_events(&self, app: &str) -> Result<Vec<AutoscaleEvent>> {
        self.list(&["ropewalk", "apps", app, "autoscale-events"])
            .await
    }
}
