//! `/ropewalk/apps/:app/metrics`, `/ropewalk/top`, `/ropewalk/apps/:app/top`

use ropewalk_api_types::{Metrics, Top};

use crate::client::Client;
use crate::error::Result;

impl Client {
    /// What was measured of an app in the last minutes.
    pub async fn metrics(&self, app: &str) -> Result<Metrics> {
        self.get(&["ropewalk", "apps", app, "metrics"]).await
    }

    /// What was measured in the last seconds: of one app by its dynos, or of every app that has requests.
    pub async fn top(&self, app: Option<&str>) -> Result<Top> {
        match app {
            Some(app) => self.get(&["ropewalk", "apps", app, "top"]).await,
            None => self.get(&["ropewalk", "top"]).await,
        }
    }
}
