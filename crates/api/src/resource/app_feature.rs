//! `/apps/:app/features`: switches of one app. There are none yet.

use axum::extract::State as Shared;

use crate::authorise::{Actor, Verb};
use crate::resource::app;
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::body::ok;
use crate::transport::error::{ApiError, ApiResult};

pub(crate) async fn list(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    app::find(&state, &actor, &app, Verb::Read).await?;
    Ok(ok::<[(); 0]>(&[]))
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, _)): Path<(String, String)>,
) -> ApiResult {
    app::find(&state, &actor, &app, Verb::Read).await?;
    Err(ApiError::not_found("app_feature"))
}
