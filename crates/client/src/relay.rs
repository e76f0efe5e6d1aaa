//! Passes somebody else's request on to the server as it came, and the answer back: for the loopback helper.

use std::time::Duration;

use http::{HeaderMap, HeaderName, Request, Response, header};
use reqwest::{Body, Url};

use crate::client::Client;
use crate::error::{Error, Result};

/// Until the answer begins. The API answers within 25 s, but a source may take long to be sent.
const ANSWER_WITHIN: Duration = Duration::from_secs(15 * 60);

/// Headers that belong to one connection and not to the request (RFC 9110, 7.6.1), and the host, which is ours.
const OF_A_CONNECTION: [HeaderName; 9] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::HOST,
    HeaderName::from_static("keep-alive"),
];

impl Client {
    /// Sends `request` with its own headers, its `Authorization` above all; nothing of this client's is added. Only
    /// path and query of its address count. Bodies are streamed both ways.
    ///
    /// # Errors
    /// A path that is none, a server that cannot be reached or does not begin to answer within 15 minutes.
    pub async fn relay(&self, request: Request<Body>) -> Result<Response<Body>> {
        let (parts, body) = request.into_parts();
        let url = self.same_path(&parts.uri)?;
        let request = self
            .http
            .request(parts.method, url)
            .headers(end_to_end(parts.headers))
            .body(body);
        let response = tokio::time::timeout(ANSWER_WITHIN, request.send())
            .await
            .map_err(|_| Error::Timeout { host: self.host() })?
            .map_err(|error| self.unreachable(error))?;
        let (mut parts, body) = Response::<Body>::from(response).into_parts();
        parts.headers = end_to_end(parts.headers);
        Ok(Response::from_parts(parts, body))
    }

    /// The path and query of `uri` on our server.
    fn same_path(&self, uri: &http::Uri) -> Result<Url> {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let base = self.base.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}{path}"))
            .ok()
            .filter(|url| url.origin() == self.base.origin())
            .ok_or_else(|| Error::BadPath {
                what: path.to_owned(),
            })
    }
}

fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in OF_A_CONNECTION {
        headers.remove(name);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Config;

    #[test]
    fn only_our_own_server_is_asked() {
        let client = Client::new(&Config {
            url: "http://api.localhost:8080".into(),
            ..Config::default()
        })
        .unwrap();
        for (asked, sent) in [
            ("/apps?x=1", Some("http://api.localhost:8080/apps?x=1")),
            (
                "/buildpacks/heroku%2Fnodejs",
                Some("http://api.localhost:8080/buildpacks/heroku%2Fnodejs"),
            ),
            (
                "http://evil.example.com/apps",
                Some("http://api.localhost:8080/apps"),
            ),
            (
                "//evil.example.com/apps",
                Some("http://api.localhost:8080//evil.example.com/apps"),
            ),
        ] {
            let url = client.same_path(&asked.parse().unwrap()).ok();
            assert_eq!(url.as_ref().map(Url::as_str), sent, "{asked}");
        }
    }

    #[test]
    fn what_belongs_to_the_connection_stays_there() {
        let mut headers = HeaderMap::new();
        for name in ["connection", "host", "authorization", "range"] {
            headers.insert(
                HeaderName::from_static(name),
                http::HeaderValue::from_static("x"),
            );
        }
        let mut left: Vec<String> = end_to_end(headers)
            .keys()
            .map(ToString::to_string)
            .collect();
        left.sort();
        assert_eq!(left, ["authorization", "range"]);
    }
}
