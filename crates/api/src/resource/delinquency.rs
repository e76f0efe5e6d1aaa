//! `/account/delinquency`: when an account is to be closed over unpaid bills. There are no bills, so never.

use axum::extract::State as Shared;
use serde::Serialize;

use crate::authorise::{Actor, Resource, Verb, authorise};
use crate::state::State;
use crate::transport::body::ok;
use crate::transport::error::ApiResult;

/// Both are `null` for good.
#[derive(Debug, Serialize)]
struct Delinquency {
    scheduled_suspension_time: Option<()>,
    scheduled_deletion_time: Option<()>,
}

pub(crate) async fn info(_: Shared<State>, actor: Actor) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Account)?;
    Ok(ok(&Delinquency {
        scheduled_suspension_time: None,
        scheduled_deletion_time: None,
    }))
}
