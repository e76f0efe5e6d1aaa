//! `/ropewalk/apps/:app/sleep`

use http::Method;
use ropewalk_api_types::sleep::{AppSleep, AppSleepUpdate};

use crate::client::Client;
use crate::error::Result;

impl Client {
    /// Whether an app sleeps.
    pub async fn app_sleep(&self, app: &str) -> Result<AppSleep> {
        self.get(&["ropewalk", "apps", app, "sleep"]).await
    }

    pub async fn put_to_sleep(&self, app: &str, update: &AppSleepUpdate) -> Result<AppSleep> {
        let path = ["ropewalk", "apps", app, "sleep"];
        self.send(Method::PUT, &path, update).await
    }

    pub async fn wake(&self, app: &str) -> Result<AppSleep> {
        self.send(Method::DELETE, &["ropewalk", "apps", app, "sleep"], &())
            .await
    }
}
