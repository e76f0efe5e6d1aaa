//! `/ropewalk/apps/:app/dyno-settings`

use http::Method;
use ropewalk_api_types::DynoSettings;
use ropewalk_api_types::dyno_setting::DynoSettingsUpdate;

use crate::client::Client;
use crate::error::Result;

impl Client {
    /// How an app's dynos start and stop, where it differs from the platform's habits.
    pub async fn dyno_settings(&self, app: &str) -> Result<DynoSettings> {
        self.get(&["ropewalk", "apps", app, "dyno-settings"]).await
    }

    pub async fn update_dyno_settings(
        &self,
        app: &str,
        update: &DynoSettingsUpdate,
    ) -> Result<DynoSettings> {
        let path = ["ropewalk", "apps", app, "dyno-settings"];
        self.send(Method::PATCH, &path, update).await
    }
}
