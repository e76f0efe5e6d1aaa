//! `/apps/:app/dynos` and `/apps/:app/formations/:type`, the verbs on what runs.

use http::{HeaderMap, HeaderValue, Method, header};
use ropewalk_api_types::Dyno;
use ropewalk_api_types::dyno::{DynoCreate, DynoStatus};

use crate::client::Client;
use crate::error::Result;

/// Other clients are given an address of Heroku's protocol.
const ACCEPT: &str = "application/vnd.heroku+json; version=3.ropewalk";

impl Client {
    pub async fn dynos(&self, app: &str) -> Result<Vec<Dyno>> {
        self.list(&["apps", app, "dynos"]).await
    }

    /// With why they are in their states.
    pub async fn dyno_statuses(&self, app: &str) -> Result<Vec<DynoStatus>> {
        self.list(&["ropewalk", "apps", app, "dynos"]).await
    }

    /// A one-off dyno, to be attached to over a WebSocket if at all.
    pub async fn create_dyno(&self, app: &str, dyno: &DynoCreate) -> Result<Dyno> {
        self.start(&["apps", app, "dynos"], dyno).await
    }

    /// A command inside a running dyno, to be attached to over a WebSocket. Gives that dyno.
    pub async fn run_inside(&self, app: &str, dyno: &str, run: &DynoCreate) -> Result<Dyno> {
        self.start(&["apps", app, "dynos", dyno], run).await
    }

    async fn start(&self, path: &[&str], dyno: &DynoCreate) -> Result<Dyno> {
        let ours = [(header::ACCEPT, HeaderValue::from_static(ACCEPT))];
        let request = self
            .request(Method::POST, path)?
            .headers(HeaderMap::from_iter(ours));
        self.json(request.json(dyno)).await
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
