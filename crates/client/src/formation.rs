//! `/apps/:app/formation`

use http::Method;
use ropewalk_api_types::Formation;
use ropewalk_api_types::formation::{FormationBatchUpdate, FormationUpdate};

use crate::client::Client;
use crate::error::Result;

impl Client {
    pub async fn formation(&self, app: &str) -> Result<Vec<Formation>> {
        self.list(&["apps", app, "formation"]).await
    }

    /// All of it happens or none; answers with at least the process types that were named.
    pub async fn update_formation(
        &self,
        app: &str,
        updates: Vec<FormationUpdate>,
    ) -> Result<Vec<Formation>> {
        self.send(
            Method::PATCH,
            &["apps", app, "formation"],
            &FormationBatchUpdate { updates },
        )
        .await
    }
}
