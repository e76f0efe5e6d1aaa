//! `/account/rate-limits`: how many requests are left. Asking takes one.

use axum::Extension;
use axum::extract::State as Shared;
use ropewalk_api_types::rate_limit::RateLimit;

use crate::authorise::{Actor, Resource, Verb, authorise};
use crate::state::State;
use crate::transport::body::ok;
use crate::transport::error::ApiResult;
use crate::transport::quota::Remaining;

pub(crate) async fn info(
    _: Shared<State>,
    actor: Actor,
    Extension(remaining): Extension<Remaining>,
) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Account)?;
    Ok(ok(&RateLimit {
        remaining: remaining.get().unwrap_or(0),
    }))
}
