//! `/apps/:app/config-vars`

use http::Method;
use ropewalk_api_types::config_var::{ConfigVars, ConfigVarsUpdate};

use crate::client::Client;
use crate::error::Result;

impl Client {
    pub async fn config_vars(&self, app: &str) -> Result<ConfigVars> {
        self.get(&["apps", app, "config-vars"]).await
    }

    /// As they were in one release, by version number or id.
    pub async fn release_config_vars(&self, app: &str, release: &str) -> Result<ConfigVars> {
        self.get(&["apps", app, "releases", release, "config-vars"])
            .await
    }

    /// Sets and (with `None`) deletes; answers with all of them.
    pub async fn update_config_vars(
        &self,
        app: &str,
        update: &ConfigVarsUpdate,
    ) -> Result<ConfigVars> {
        self.send(Method::PATCH, &["apps", app, "config-vars"], update)
            .await
    }
}
