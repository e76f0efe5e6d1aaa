//! `/apps/:app/dynos` and `/apps/:app/formations/:type`, the verbs on what runs.

use http::Method;
use ropewalk_api_types::Dyno;
use ropewalk_api_types::dyno::DynoCreate;

use crate::client::Client;
use crate::error::Result;

impl Client {
    pub async fn dynos(&self, app: &str) -> Result<Vec<Dyno>> {
        self.list(&["apps", app, "dynos"]).await
    }

    /// A one-off dyno.
    pub async fn create_dyno(&self, app: &str, dyno: &DynoCreate) -> Result<Dyno> {
        self.send(Method::POST, &["apps", app, "dynos"], dyno).await
    }

    pub async fn restart_all(&self, app: &str) -> Result<()> {
        self.command(Method::DELETE, &["apps", app, "dynos"]).await
    }

    pub async fn restart_dyno(&self, app: &str, dyno: &str) -> Result<()> {
        self.command(Method::DELETE, &["apps", app, "dynos", dyno])
            .await
    }

    pub async fn restart_formation(&self, app: &str, process_type: &str) -> Result<()> {
        self.command(Method::DELETE, &["apps", app, "formations", process_type])
            .await
    }

    pub async fn stop_dyno(&self, app: &str, dyno: &str) -> Result<()> {
        self.command(
            Method::POST,
            &["apps", app, "dynos", dyno, "actions", "stop"],
        )
        .await
    }

    pub async fn stop_formation(&self, app: &str, process_type: &str) -> Result<()> {
        self.command(
            Method::POST,
            &["apps", app, "formations", process_type, "actions", "stop"],
        )
        .await
    }
}
