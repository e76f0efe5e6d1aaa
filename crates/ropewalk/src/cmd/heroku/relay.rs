//! One request to the helper: refused, or passed on to the server, with the addresses in its JSON changed.

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body::Body as _;
use hyper::body::Incoming;
use ropewalk_client::types::error::id;
use ropewalk_client::{Client, Error};
use serde_json::json;

use crate::cmd::heroku::rewrite::Rewrite;

/// Largest JSON whose addresses are changed, in bytes; the API's lists stay far below.
const LARGEST: usize = 16 << 20;

/// The way to the server and back.
pub(super) struct Relay {
    client: Client,
    /// From the server's addresses to the helper's.
    outward: Rewrite,
    /// From the helper's to the server's.
    homeward: Rewrite,
}

impl Relay {
    /// `base` is the helper's own address.
    pub(super) fn new(client: Client, base: &str) -> Self {
        let server = client.base().as_str().trim_end_matches('/').to_owned();
        Self {
            client,
            outward: Rewrite {
                from: server.clone(),
                to: base.to_owned(),
            },
            homeward: Rewrite {
                from: base.to_owned(),
                to: server,
            },
        }
    }

    /// Passes `request` on. A server that is away is an answer too: the CLI shows its message.
    pub(super) async fn pass(&self, request: Request<Incoming>) -> Response<Body> {
        let addresses = !request.uri().path().ends_with("/config-vars");
        match self.try_pass(request, addresses).await {
            Ok(response) => response,
            Err(error) => {
                let reason = match &error {
                    Error::Unreachable { .. } | Error::Timeout { .. } => {
                        format!("ropewalk: {error}.")
                    }
                    _ => format!("ropewalk: the request could not be passed on: {error}."),
                };
                refuse(StatusCode::BAD_GATEWAY, id::INTERNAL_SERVER_ERROR, &reason)
            }
        }
    }

    async fn try_pass(
        &self,
        request: Request<Incoming>,
        addresses: bool,
    ) -> Result<Response<Body>, Error> {
        let (mut parts, body) = request.into_parts();
        let body = if addresses && is_small_json(&parts.headers, body.size_hint().upper()) {
            match to_bytes(Body::new(body), LARGEST).await {
                Ok(bytes) => {
                    reqwest::Body::from(changed(&self.homeward, bytes, &mut parts.headers))
                }
                Err(_) => {
                    return Ok(refuse(
                        StatusCode::BAD_REQUEST,
                        id::BAD_REQUEST,
                        "The request's body broke off.",
                    ));
                }
            }
        } else {
            reqwest::Body::wrap(body)
        };
        let response = self.client.relay(Request::from_parts(parts, body)).await?;
        let (mut parts, body) = response.into_parts();
        if is_events(&parts.headers) && body.size_hint().exact().is_none() {
            return Ok(Response::from_parts(parts, ending_cleanly(body)));
        }
        if !(addresses && is_small_json(&parts.headers, body.size_hint().upper())) {
            return Ok(Response::from_parts(parts, Body::new(body)));
        }
        let Ok(bytes) = to_bytes(Body::new(body), LARGEST).await else {
            return Ok(refuse(
                StatusCode::BAD_GATEWAY,
                id::INTERNAL_SERVER_ERROR,
                "ropewalk: the server's answer broke off.",
            ));
        };
        let bytes = changed(&self.outward, bytes, &mut parts.headers);
        Ok(Response::from_parts(parts, Body::from(bytes)))
    }
}

fn is_events(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}

/// A log that is followed and breaks off, for the server was restarted, ends instead: the CLI resumes after an end,
/// and gives up after a break.
fn ending_cleanly(body: reqwest::Body) -> Body {
    let chunks = Body::new(body).into_data_stream();
    Body::from_stream(chunks.take_while(|chunk| std::future::ready(chunk.is_ok())))
}

/// Whether this is JSON of a length that is known, and not too much to look through.
fn is_small_json(headers: &HeaderMap, length: Option<u64>) -> bool {
    let json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    json && length.is_some_and(|length| length <= LARGEST as u64)
}

fn changed(rewrite: &Rewrite, bytes: Bytes, headers: &mut HeaderMap) -> Bytes {
    match rewrite.json(&bytes) {
        Some(new) => {
            headers.insert(header::CONTENT_LENGTH, new.len().into());
            new.into()
        }
        None => bytes,
    }
}

/// An error in the form of the API's, so that the CLI shows it as one.
pub(super) fn refuse(status: StatusCode, error_id: &str, message: &str) -> Response<Body> {
    let body = json!({"id": error_id, "message": message});
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    response
}
