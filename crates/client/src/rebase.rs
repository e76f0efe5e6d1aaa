//! `/ropewalk/apps/:app/rebase`

use http::Method;
use ropewalk_api_types::rebase::Rebase;

use crate::client::Client;
use crate::error::Result;

impl Client {
    /// Which version of its stack an app is on, and which is the newest.
    pub async fn stack_versions(&self, app: &str) -> Result<Rebase> {
        self.get(&["ropewalk", "apps", app, "rebase"]).await
    }

    /// Puts the app on the newest version of its stack.
    pub async fn rebase(&self, app: &str) -> Result<Rebase> {
        self.send(Method::POST, &["ropewalk", "apps", app, "rebase"], &())
            .await
    }
}
