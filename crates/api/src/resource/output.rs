//! `/ropewalk/outputs/:token`: the output of a build or release command, live. The address alone authorises, for a
//! day, and as long as the token it was given to may see the app.

use axum::body::Body;
use axum::extract::State as Shared;
use axum::response::Response;
use futures_util::StreamExt;
use http::{HeaderValue, header};
use ropewalk_logs::OutputError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::context::Context;
use crate::grant::{Grant, Need};
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::error::{ApiError, ApiResult};

const KIND: &str = "output";
/// An address is good for this time, in seconds; the next answer has another.
const LIFE: i64 = 86_400;

/// What an address says.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Claims {
    /// Of the build or release.
    id: Uuid,
    #[serde(flatten)]
    grant: Grant,
}

/// Where the output of this build or release is, for whom `grant` names; an empty text if it cannot be said.
pub(crate) fn url(ctx: &Context, grant: Grant, id: Uuid) -> String {
    let grant = grant.within_the_hour();
    match ctx.signing_key.seal(KIND, &Claims { id, grant }) {
        Ok(token) => ctx.urls.api(&format!("/ropewalk/outputs/{token}")),
        Err(error) => {
            tracing::error!(%error, "Address could not be sealed.");
            String::new()
        }
    }
}

pub(crate) async fn stream(Shared(state): Shared<State>, Path(token): Path<String>) -> ApiResult {
    let gone = || ApiError::not_found("output");
    let Claims { id, grant } = state.ctx.signing_key.open(KIND, &token).ok_or_else(gone)?;
    if grant.age() > LIFE || !grant.holds(&state.ctx.store, Need::See).await? {
        return Err(gone());
    }
    match state.ctx.outputs.read(id).await {
        Ok(stream) => {
            let lost = Box::pin(grant.lost(state.ctx.store.clone(), Need::See));
            let mut response = Response::new(Body::from_stream(stream.take_until(lost)));
            let headers = response.headers_mut();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/plain; charset=utf-8"),
            );
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            Ok(response)
        }
        Err(OutputError::NotFound(_)) => Err(gone()),
        Err(error) => Err(ApiError::internal(&error)),
    }
}
