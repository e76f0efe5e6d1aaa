//! `/ropewalk/apps/:app/tcp-routes`

use http::Method;
use ropewalk_api_types::TcpRoute;
use ropewalk_api_types::tcp_route::TcpRouteCreate;

use crate::client::Client;
use crate::error::Result;

impl Client {
    pub async fn tcp_routes(&self, app: &str) -> Result<Vec<TcpRoute>> {
        self.list(&["ropewalk", "apps", app, "tcp-routes"]).await
    }

    /// Answers once clients can come in.
    pub async fn add_tcp_route(&self, app: &str, route: &TcpRouteCreate) -> Result<TcpRoute> {
        let path = ["ropewalk", "apps", app, "tcp-routes"];
        self.send(Method::POST, &path, route).await
    }

    /// By port, host name or id.
    pub async fn remove_tcp_route(&self, app: &str, route: &str) -> Result<TcpRoute> {
        self.delete(&["ropewalk", "apps", app, "tcp-routes", route])
            .await
    }
}
