//! One request and its answer.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use serde_json::Value;

/// For one request.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks one API with one token.
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token: String,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.text).context("the answer is not JSON")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

impl Client {
    pub(crate) fn new(base: &str, token: &str) -> Result<Self> {
        let base = Url::parse(base).context("the base address is not a URL")?;
        let host = base.host_str().context("the base address has no host")?;
        let mut builder = reqwest::Client::builder()
            .timeout(PATIENCE)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        // Resolvers differ in what they know of names below localhost.
        if host.ends_with(".localhost") {
            let port = base.port_or_known_default().unwrap_or(80);
            let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
            builder = builder.resolve(host, address);
        }
        Ok(Self {
            http: builder.build()?,
            token: token.to_owned(),
            base,
        })
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<&str>,
    ) -> Result<Answer> {
        let mut request = self.http.request(
            Method::from_bytes(method.as_bytes())?,
            self.base.join(path)?,
        );
        let has = |name: &str| headers.iter().any(|(key, _)| *key == name);
        if !has("accept") {
            request = request.header("accept", "application/vnd.heroku+json; version=3");
        }
        // A preflight carries no credentials.
        if method != "OPTIONS" {
            request = request.bearer_auth(&self.token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_owned());
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => bail!("{method} {path}: {error}"),
        };
        Ok(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await?,
        })
    }
}
