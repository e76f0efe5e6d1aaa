//! `/apps`

use http::Method;
use ropewalk_api_types::App;
use ropewalk_api_types::app::{AppCreate, AppUpdate};

use crate::client::Client;
use crate::error::Result;

impl Client {
    /// The apps that the token's owner owns or works on.
    pub async fn own_apps(&self) -> Result<Vec<App>> {
        self.list(&["users", "~", "apps"]).await
    }

    /// Every app the token may see.
    pub async fn apps(&self) -> Result<Vec<App>> {
        self.list(&["apps"]).await
    }

    /// By name or id.
    pub async fn app(&self, app: &str) -> Result<App> {
        self.get(&["apps", app]).await
    }

    pub async fn create_app(&self, app: &AppCreate) -> Result<App> {
        self.send(Method::POST, &["apps"], app).await
    }

    pub async fn update_app(&self, app: &str, update: &AppUpdate) -> Result<App> {
        self.send(Method::PATCH, &["apps", app], update).await
    }

    pub async fn destroy_app(&self, app: &str) -> Result<App> {
        self.delete(&["apps", app]).await
    }
}
