//! `/apps/:app/releases`

use http::Method;
use ropewalk_api_types::Release;
use ropewalk_api_types::release::ReleaseCreate;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::error::Result;

impl Client {
    /// The newest `max` releases, newest first.
    pub async fn releases(&self, app: &str, max: u32) -> Result<Vec<Release>> {
        self.releases_as(app, max).await
    }

    /// The same, as whoever asks wants to read them.
    pub async fn releases_as<T: DeserializeOwned>(&self, app: &str, max: u32) -> Result<Vec<T>> {
        let range = format!("version ..; max={max}, order=desc");
        Ok(self.page(&["apps", app, "releases"], Some(&range)).await?.0)
    }

    /// By version number or id.
    pub async fn release(&self, app: &str, release: &str) -> Result<Release> {
        self.get(&["apps", app, "releases", release]).await
    }

    /// Releases a slug, or goes back to a release.
    pub async fn create_release(&self, app: &str, release: &ReleaseCreate) -> Result<Release> {
        self.send(Method::POST, &["apps", app, "releases"], release)
            .await
    }
}
