//! Cross-origin requests: a page of any origin may use the API with a token of its own.
//!
//! Nothing here works by cookies or other things that a browser adds by itself, so an origin gains no right by
//! being let in; it has to know a token. Answers are therefore shown to every origin.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

/// What a page may send.
const REQUEST_HEADERS: &str = "Accept, Accept-Expansion, Accept-Inclusion, Authorization, Content-Type, \
    Heroku-Two-Factor-Code, If-None-Match, Range, Request-Id";
/// What a page may read besides the body.
const RESPONSE_HEADERS: &str = "Accept-Ranges, Content-Range, ETag, Next-Range, RateLimit-Remaining, Request-Id, \
    Warning-Message, X-Heroku-Warning";
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// Seconds for which a browser need not ask again.
const MAX_AGE: &str = "86400";

/// Whether a browser asks if it may send something; it shows no credentials with that.
pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to that: yes.
pub(crate) fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
    ] {
        put(headers, name, value);
    }
    response
}

/// Lets pages of any origin read the answer.
pub(crate) fn allow(headers: &mut HeaderMap) {
    put(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    put(
        headers,
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        RESPONSE_HEADERS,
    );
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
