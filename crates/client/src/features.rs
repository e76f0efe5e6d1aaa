//! `/apps/:app/features`

use http::Method;
use ropewalk_api_types::AppFeature;
use ropewalk_api_types::app_feature::AppFeatureUpdate;

use crate::client::Client;
use crate::error::Result;

impl Client {
    pub async fn features(&self, app: &str) -> Result<Vec<AppFeature>> {
        self.list(&["apps", app, "features"]).await
    }

    /// By name or id.
    pub async fn feature(&self, app: &str, feature: &str) -> Result<AppFeature> {
        self.get(&["apps", app, "features", feature]).await
    }

    pub async fn switch_feature(
        &self,
        app: &str,
        feature: &str,
        enabled: bool,
    ) -> Result<AppFeature> {
        let update = AppFeatureUpdate { enabled };
        self.send(Method::PATCH, &["apps", app, "features", feature], &update)
            .await
    }
}
