//! `/ropewalk/outputs/:token`: the output of a build or release command, live. The address alone authorises, for a
//! day, and as long as the token it was given to may see the app.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State as Shared;
use axum::response::Response;
use futures_util::StreamExt;
use http::{HeaderValue, header};
use ropewalk_logs::OutputError;
use ropewalk_model::ReleaseId;
use ropewalk_model::release::ReleaseStatus;
use ropewalk_store::StoreError;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use uuid::Uuid;

use crate::context::Context;
use crate::grant::{Grant, Need};
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::error::{ApiError, ApiResult};

const KIND: &str = "output";
/// How long a reader waits for a release command to begin. Clients give up after 60 s without a byte.
const BEGINS_WITHIN: Duration = Duration::from_secs(30);
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
    let outputs = &state.ctx.outputs;
    let mut found = outputs.read(id).await;
    if matches!(found, Err(OutputError::NotFound(_))) && is_to_come(&state, grant, id).await? {
        let _ = timeout(BEGINS_WITHIN, outputs.begun(id)).await;
        found = outputs.read(id).await;
    }
    match found {
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

/// Whether it is of a release that is not decided: its command may be about to start, for clients ask at once.
async fn is_to_come(state: &State, grant: Grant, id: Uuid) -> ApiResult<bool> {
    let (app, id) = (grant.app(), ReleaseId(id));
    let release = state
        .ctx
        .store
        .read(move |view| view.release_by_id(app, id))
        .await;
    match release {
        Ok(release) => Ok(release.status == ReleaseStatus::Pending),
        Err(StoreError::NotFound(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
