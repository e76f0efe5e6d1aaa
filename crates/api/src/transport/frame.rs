//! What surrounds every request: its id, the version asked for, the deadline, the headers of every answer.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use ropewalk_api_types::error::id;
use tracing::Instrument;
use uuid::Uuid;

use crate::transport::error::ApiError;
use crate::transport::quota::Remaining;
use crate::transport::{about, cors, error, etag};

/// Clients give up after 60 s without a byte; whatever takes longer than this answers as pending instead.
const DEADLINE: Duration = Duration::from_secs(25);

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
pub(crate) const RATE_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");

/// Around resources: JSON in, JSON out.
pub(crate) async fn resource(mut request: Request, next: Next) -> Response {
    // A HEAD is made as a GET, so that its headers are those of one; the body is dropped behind this.
    if *request.method() == Method::HEAD {
        *request.method_mut() = Method::GET;
    }
    let method = request.method().clone();
    let if_none_match = request
        .headers()
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let remaining = Remaining::default();
    request.extensions_mut().insert(remaining.clone());
    let version = check_version(request.headers());
    let preflight = cors::is_preflight(&method, request.headers());
    let answer = surround(request, async |request| {
        match version {
        _ if preflight => cors::preflight(),
        Err(error) => error.into_response(),
        Ok(()) => match tokio::time::timeout(DEADLINE, next.run(request)).await {
            Ok(response) => response,
            Err(_) => ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                id::MAINTENANCE,
                "The platform took too long to answer; look whether it happened before trying again.",
            )
            .into_response(),
        },
    }
    });
    let (response, app) = about::with_note(answer).await;
    let mut response = error::with_app(response, app);
    let headers = response.headers_mut();
    cors::allow(headers);
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-cache"),
    );
    headers.insert(
        header::VARY,
        HeaderValue::from_static("Authorization, Accept"),
    );
    if let Some(left) = remaining.get() {
        headers.insert(RATE_REMAINING, left.into());
    }
    etag::tag(&method, if_none_match.as_deref(), response).await
}

/// Around streams: only the id, and no panic gets through.
pub(crate) async fn stream(request: Request, next: Next) -> Response {
    surround(request, async |request| next.run(request).await).await
}

/// Around what holds a secret and is neither resource nor stream: nobody keeps it.
pub(crate) async fn private(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn surround(request: Request, answer: impl AsyncFnOnce(Request) -> Response) -> Response {
    let request_id = Uuid::new_v4();
    let began = Instant::now();
    let method = request.method().clone();
    // The route and not the path: paths of streams are secrets.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "(none)".to_owned(), |path| path.as_str().to_owned());
    let span = tracing::info_span!("request", %request_id, %method, route);
    let outcome = AssertUnwindSafe(answer(request))
        .catch_unwind()
        .instrument(span.clone())
        .await;
    let _inside = span.enter();
    let mut response =
        outcome.unwrap_or_else(|_| ApiError::internal(&"a handler panicked").into_response());
    tracing::debug!(
        status = response.status().as_u16(),
        ms = began.elapsed().as_millis() as u64,
        "Request answered."
    );
    if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// `Accept: application/vnd.heroku+json; version=3[.variant]`. What names no version is taken as 3.
fn check_version(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(accept) = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
    else {
        return Ok(());
    };
    let versions: Vec<&str> = accept
        .split([',', ';'])
        .filter_map(|part| part.trim().strip_prefix("version="))
        .map(|version| version.trim_matches('"'))
        .collect();
    let known = |version: &&str| *version == "3" || version.starts_with("3.");
    if versions.is_empty() || versions.iter().any(known) {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::NOT_ACCEPTABLE,
        id::NOT_ACCEPTABLE,
        "Only version 3 of the API is here: `Accept: application/vnd.heroku+json; version=3`.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_spelling_of_version_3_is_taken_and_no_other_version() {
        for (accept, fits) in [
            ("application/vnd.heroku+json; version=3", true),
            ("application/vnd.heroku+json; version=3.sdk", true),
            (
                "application/vnd.heroku+json;version=3.docker-releases",
                true,
            ),
            ("*/*", true),
            ("application/json", true),
            ("text/html, application/vnd.heroku+json; version=3", true),
            ("application/vnd.heroku+json; version=2", false),
            ("application/vnd.heroku+json; version=30", false),
            ("application/vnd.heroku+json; version=edge", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(check_version(&headers).is_ok(), fits, "{accept}");
        }
        assert!(check_version(&HeaderMap::new()).is_ok());
    }
}
