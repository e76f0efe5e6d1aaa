//! Lists of things that nobody can have yet. Clients ask for them beside what they are about.

use axum::extract::State as Shared;

use crate::authorise::{Actor, Resource, Verb, authorise};
use crate::state::State;
use crate::transport::body::ok;
use crate::transport::error::ApiResult;

pub(crate) async fn of_account(_: Shared<State>, actor: Actor) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Account)?;
    Ok(ok::<[(); 0]>(&[]))
}
