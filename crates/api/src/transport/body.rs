//! Bodies: JSON in, at most [`MAX_BODY`], and JSON out.
//!
//! Keys that nobody knows are let be; text that is no JSON is 400, or 415 where the client calls it something else;
//! values of the wrong type are 422. JSON is taken whatever it is called: `curl -d` calls it a form.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use ropewalk_api_types::error::id;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::transport::error::ApiError;

/// Largest body of a request, in bytes.
pub(crate) const MAX_BODY: usize = 1 << 20;

/// A request's JSON. No body at all reads as `{}`.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let announced = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > MAX_BODY as u64) {
            return Err(too_large());
        }
        let other_type = other_type(request.headers());
        let collected = Limited::new(request.into_body(), MAX_BODY).collect().await;
        let bytes = match collected {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Err(too_large()),
            Err(_) => return Err(ApiError::bad_request("The request's body broke off.")),
        };
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let is_object = text.trim_ascii_start().starts_with(b"{");
        match serde_json::from_slice(text) {
            // A list would be read as an object's values in order.
            Ok(_) if !is_object => Err(ApiError::invalid("The request's JSON must be an object.")),
            Ok(value) => Ok(Self(value)),
            Err(error) if error.classify() == Category::Data => Err(ApiError::invalid(format!(
                "The request's JSON does not fit: {error}."
            ))),
            Err(_) if let Some(named) = other_type => Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                id::UNSUPPORTED,
                format!(
                    "Bodies are read as JSON (`Content-Type: application/json`), not as {named}."
                ),
            )),
            Err(error) => Err(ApiError::bad_request(format!(
                "The request's body is not JSON: {error}."
            ))),
        }
    }
}

/// What the client calls the body, if that is not JSON.
fn other_type(headers: &HeaderMap) -> Option<String> {
    let named = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = named
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let is_json = essence.is_empty() || essence == "application/json" || essence.ends_with("+json");
    (!is_json).then(|| essence.chars().take(100).collect())
}

fn too_large() -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        id::BAD_REQUEST,
        "The request's body is larger than 1 MiB.",
    )
}

/// An answer of JSON.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    let (status, bytes) = match serde_json::to_vec(value) {
        Ok(bytes) => (status, bytes),
        Err(error) => {
            tracing::error!(%error, "Answer could not be written as JSON.");
            let body =
                br#"{"id":"internal_server_error","message":"Something failed on our side."}"#;
            (StatusCode::INTERNAL_SERVER_ERROR, body.to_vec())
        }
    };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

/// 200 with `value`.
pub(crate) fn ok<T: Serialize>(value: &T) -> Response {
    json(StatusCode::OK, value)
}

/// 201 with `value`.
pub(crate) fn created<T: Serialize>(value: &T) -> Response {
    json(StatusCode::CREATED, value)
}

/// `202 {}`: it will happen.
pub(crate) fn accepted() -> Response {
    json(StatusCode::ACCEPTED, &ropewalk_api_types::dyno::Accepted {})
}
