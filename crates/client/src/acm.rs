//! `/apps/:app/acm`: certificates that the platform gets by itself.

use http::Method;
use ropewalk_api_types::App;
use ropewalk_api_types::app::AcmRefresh;

use crate::client::Client;
use crate::error::Result;

impl Client {
    pub async fn enable_acm(&self, app: &str) -> Result<App> {
        let nothing = std::collections::BTreeMap::<String, String>::new();
        self.send(Method::POST, &["apps", app, "acm"], &nothing)
            .await
    }

    /// Tries anew what failed.
    pub async fn refresh_acm(&self, app: &str) -> Result<App> {
        let refresh = AcmRefresh { acm_refresh: true };
        self.send(Method::PATCH, &["apps", app, "acm"], &refresh)
            .await
    }

    pub async fn disable_acm(&self, app: &str) -> Result<App> {
        self.delete(&["apps", app, "acm"]).await
    }
}
