//! `/apps/:app/sni-endpoints`: certificates.

use http::Method;
use ropewalk_api_types::SniEndpoint;
use ropewalk_api_types::sni_endpoint::SniEndpointCreate;

use crate::client::Client;
use crate::error::Result;

impl Client {
    pub async fn sni_endpoints(&self, app: &str) -> Result<Vec<SniEndpoint>> {
        self.list(&["apps", app, "sni-endpoints"]).await
    }

    /// By name or id.
    pub async fn sni_endpoint(&self, app: &str, endpoint: &str) -> Result<SniEndpoint> {
        self.get(&["apps", app, "sni-endpoints", endpoint]).await
    }

    pub async fn add_sni_endpoint(
        &self,
        app: &str,
        endpoint: &SniEndpointCreate,
    ) -> Result<SniEndpoint> {
        self.send(Method::POST, &["apps", app, "sni-endpoints"], endpoint)
            .await
    }

    pub async fn update_sni_endpoint(
        &self,
        app: &str,
        endpoint: &str,
        update: &SniEndpointCreate,
    ) -> Result<SniEndpoint> {
        let path = ["apps", app, "sni-endpoints", endpoint];
        self.send(Method::PATCH, &path, update).await
    }

    pub async fn remove_sni_endpoint(&self, app: &str, endpoint: &str) -> Result<SniEndpoint> {
        self.delete(&["apps", app, "sni-endpoints", endpoint]).await
    }
}
