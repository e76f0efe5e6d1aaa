//! `/ropewalk/apps/:app/metrics`

use ropewalk_api_types::Metrics;

use crate::client::Client;
use crate::error::Result;

impl Client {
    /// What was measured of an app in the last minutes.
    pub async fn metrics(&self, app: &str) -> Result<Metrics> {
        self.get(&["ropewalk", "apps", app, "metrics"]).await
    }
}
