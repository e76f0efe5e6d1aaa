//! `/schema`: what is served here, as JSON schema with links; for programs that make clients from it.
//!
//! The document is `schema/platform.json`. A test holds it against the routes, and answers against it.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, header};

const SCHEMA: &str = include_str!("../../schema/platform.json");

/// The same for everybody: no token is asked for.
pub(crate) async fn info() -> Response {
    let mut response = Response::new(Body::from(SCHEMA));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}
