//! `/ropewalk/outputs/:token`: the output of a build or release command, live. The address alone authorises.

use axum::body::Body;
use axum::extract::State as Shared;
use axum::response::Response;
use http::{HeaderValue, header};
use ropewalk_logs::OutputError;
use uuid::Uuid;

use crate::context::Context;
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::error::{ApiError, ApiResult};

const KIND: &str = "output";

/// Where the output of this build or release is; an empty text if it cannot be said.
pub(crate) fn url(ctx: &Context, id: Uuid) -> String {
    match ctx.signing_key.seal(KIND, &id) {
        Ok(token) => ctx.urls.api(&format!("/ropewalk/outputs/{token}")),
        Err(error) => {
            tracing::error!(%error, "Address could not be sealed.");
            String::new()
        }
    }
}

pub(crate) async fn stream(Shared(state): Shared<State>, Path(token): Path<String>) -> ApiResult {
    let id: Uuid = state
        .ctx
        .signing_key
        .open(KIND, &token)
        .ok_or_else(|| ApiError::not_found("output"))?;
    match state.ctx.outputs.read(id).await {
        Ok(stream) => {
            let mut response = Response::new(Body::from_stream(stream));
            let headers = response.headers_mut();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/plain; charset=utf-8"),
            );
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            Ok(response)
        }
        Err(OutputError::NotFound(_)) => Err(ApiError::not_found("output")),
        Err(error) => Err(ApiError::internal(&error)),
    }
}
