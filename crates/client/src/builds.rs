//! `/apps/:app/builds` and `/apps/:app/buildpack-installations`

use http::Method;
use ropewalk_api_types::build::BuildCreate;
use ropewalk_api_types::buildpack_installation::{BuildpackInstallationsUpdate, BuildpackUpdate};
use ropewalk_api_types::{Build, BuildpackInstallation};

use crate::client::Client;
use crate::error::Result;

impl Client {
    /// The newest `max` builds, newest first.
    pub async fn builds(&self, app: &str, max: u32) -> Result<Vec<Build>> {
        let range = format!("created_at ..; max={max}, order=desc");
        Ok(self.page(&["apps", app, "builds"], Some(&range)).await?.0)
    }

    /// By id.
    pub async fn build(&self, app: &str, build: &str) -> Result<Build> {
        self.get(&["apps", app, "builds", build]).await
    }

    /// Begins to build a source archive.
    pub async fn create_build(&self, app: &str, build: &BuildCreate) -> Result<Build> {
        self.send(Method::POST, &["apps", app, "builds"], build)
            .await
    }

    /// Ends a build under way.
    pub async fn cancel_build(&self, app: &str, build: &str) -> Result<Build> {
        self.delete(&["apps", app, "builds", build]).await
    }

    /// Throws the build cache away.
    pub async fn delete_build_cache(&self, app: &str) -> Result<()> {
        self.command(Method::DELETE, &["apps", app, "build-cache"])
            .await
    }

    /// In the order in which the next build uses them; empty means detection.
    pub async fn buildpacks(&self, app: &str) -> Result<Vec<BuildpackInstallation>> {
        let mut installed: Vec<BuildpackInstallation> =
            self.list(&["apps", app, "buildpack-installations"]).await?;
        installed.sort_by_key(|installation| installation.ordinal);
        Ok(installed)
    }

    /// Replaces the whole list.
    pub async fn set_buildpacks(
        &self,
        app: &str,
        buildpacks: &[String],
    ) -> Result<Vec<BuildpackInstallation>> {
        let updates = buildpacks
            .iter()
            .map(|buildpack| BuildpackUpdate {
                buildpack: buildpack.clone(),
            })
            .collect();
        let update = BuildpackInstallationsUpdate { updates };
        self.send(
            Method::PUT,
            &["apps", app, "buildpack-installations"],
            &update,
        )
        .await
    }
}
