//! Sends a request, and reads what comes back: JSON, a list in pages, or an error body.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use reqwest::{RequestBuilder, Response, Url};
use ropewalk_api_types::ErrorBody;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::error::{ApiError, Error, Result};

/// The API answers at once, with a pending state where work is slow; a minute of silence is a fault.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

const ACCEPT: &str = "application/vnd.heroku+json; version=3";

impl Client {
    /// A request to `/segment/segment...`; each segment is percent-encoded on its own.
    pub(crate) fn request(&self, method: Method, segments: &[&str]) -> Result<RequestBuilder> {
        let url = self.url(segments)?;
        let request = self
            .http
            .request(method, url)
            .header(header::ACCEPT, ACCEPT)
            .timeout(ANSWER_WITHIN);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, segments: &[&str]) -> Result<T> {
        self.json(self.request(Method::GET, segments)?).await
    }

    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        segments: &[&str],
        body: &impl Serialize,
    ) -> Result<T> {
        self.json(self.request(method, segments)?.json(body)).await
    }

    /// Whatever is at a path, as whoever asks wants to read it: of servers that may be older or newer than this client.
    pub async fn read<T: DeserializeOwned>(&self, segments: &[&str]) -> Result<T> {
        self.get(segments).await
    }

    /// The same of a whole list.
    pub async fn read_list<T: DeserializeOwned>(&self, segments: &[&str]) -> Result<Vec<T>> {
        self.list(segments).await
    }

    /// Changes whatever is at a path, by `PATCH`, `PUT` or `POST`. The answer is not read.
    pub async fn change(
        &self,
        method: Method,
        segments: &[&str],
        body: &impl Serialize,
    ) -> Result<()> {
        let request = self.request(method, segments)?.json(body);
        self.answer(request).await.map(drop)
    }

    /// Sends what has no answer worth reading.
    pub(crate) async fn command(&self, method: Method, segments: &[&str]) -> Result<()> {
        self.answer(self.request(method, segments)?).await.map(drop)
    }

    /// Ends what is at a path. The answer is what it was.
    pub(crate) async fn delete<T: DeserializeOwned>(&self, segments: &[&str]) -> Result<T> {
        self.json(self.request(Method::DELETE, segments)?).await
    }

    /// A whole list: follows `Next-Range` to its end.
    pub(crate) async fn list<T: DeserializeOwned>(&self, segments: &[&str]) -> Result<Vec<T>> {
        let mut all = Vec::new();
        let mut range: Option<String> = None;
        loop {
            let (page, next) = self.page(segments, range.as_deref()).await?;
            all.extend(page);
            // A server that offers the same page again would keep us here for ever.
            match next {
                Some(next) if range.as_ref() != Some(&next) => range = Some(next),
                _ => return Ok(all),
            }
        }
    }

    /// One page of a list, and the range of the next one.
    pub(crate) async fn page<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        range: Option<&str>,
    ) -> Result<(Vec<T>, Option<String>)> {
        let mut request = self.request(Method::GET, segments)?;
        if let Some(range) = range {
            request = request.header(header::RANGE, range);
        }
        let (headers, body) = self.answer(request).await?;
        let next = headers
            .get("next-range")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        Ok((self.parse(&body)?, next))
    }

    pub(crate) async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let (_, body) = self.answer(request).await?;
        self.parse(&body)
    }

    async fn answer(&self, request: RequestBuilder) -> Result<(HeaderMap, Bytes)> {
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response
            .bytes()
            .await
            .map_err(|error| self.unreachable(error))?;
        if status.is_success() {
            Ok((headers, body))
        } else {
            Err(refusal(status, &body))
        }
    }

    fn parse<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T> {
        serde_json::from_slice(body).map_err(|source| Error::BadAnswer {
            host: self.host(),
            what: std::any::type_name::<T>().replace("ropewalk_api_types::", ""),
            source,
        })
    }

    pub(crate) fn unreachable(&self, source: reqwest::Error) -> Error {
        let host = source.url().map_or_else(|| self.host(), host_and_port);
        if source.is_timeout() {
            Error::Timeout { host }
        } else {
            Error::Unreachable { host, source }
        }
    }

    pub(crate) fn host(&self) -> String {
        host_and_port(&self.base)
    }

    pub(crate) fn url(&self, segments: &[&str]) -> Result<Url> {
        let mut url = self.base.clone();
        let bad = || Error::BadPath {
            what: segments.join("/"),
        };
        // `.` and `..` are dropped by URLs, and would ask for something else than what was named.
        if segments
            .iter()
            .any(|segment| matches!(*segment, "" | "." | ".."))
        {
            return Err(bad());
        }
        url.path_segments_mut()
            .map_err(|()| bad())?
            .clear()
            .extend(segments);
        Ok(url)
    }
}

/// The error of an answer that is no success; text that is no JSON becomes the message.
pub(crate) fn refusal(status: StatusCode, body: &[u8]) -> Error {
    let parsed = serde_json::from_slice::<ErrorBody>(body).ok();
    let body = parsed.unwrap_or_else(|| ErrorBody {
        id: String::new(),
        message: plain_message(status, body),
        ..ErrorBody::default()
    });
    Error::Api(Box::new(ApiError {
        status: status.as_u16(),
        body,
    }))
}

/// Reads the error of a streaming answer, which has no deadline of its own.
pub(crate) async fn refusal_of(response: Response) -> Error {
    let status = response.status();
    let body = tokio::time::timeout(ANSWER_WITHIN, response.bytes()).await;
    refusal(
        status,
        body.ok()
            .and_then(|body| body.ok())
            .as_deref()
            .unwrap_or_default(),
    )
}

fn plain_message(status: StatusCode, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let readable = !text.is_empty() && text.len() <= 300 && !text.starts_with('<');
    if readable {
        text.to_owned()
    } else {
        format!("The server answered with status {status}.")
    }
}

fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
