//! `/ropewalk/status`: how the platform is; for `ropewalk status` and `ropewalk doctor`.

use axum::extract::State as Shared;

use crate::authorise::{Actor, Resource, Verb, authorise};
use crate::state::State;
use crate::transport::body::ok;
use crate::transport::error::ApiResult;

pub(crate) async fn info(Shared(state): Shared<State>, actor: Actor) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Platform)?;
    Ok(ok(&state.ctx.platform.status().await))
}
