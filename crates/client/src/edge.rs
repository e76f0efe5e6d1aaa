//! `/ropewalk/apps/:app/edge`

use http::Method;
use ropewalk_api_types::Edge;
use ropewalk_api_types::edge::EdgeUpdate;

use crate::client::Client;
use crate::error::Result;

impl Client {
    /// What an app asks of the router before a request reaches it.
    pub async fn edge(&self, app: &str) -> Result<Edge> {
        self.get(&["ropewalk", "apps", app, "edge"]).await
    }

    /// Answers once the router asks it.
    pub async fn update_edge(&self, app: &str, update: &EdgeUpdate) -> Result<Edge> {
        self.send(Method::PATCH, &["ropewalk", "apps", app, "edge"], update)
            .await
    }
}
