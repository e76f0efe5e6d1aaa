//! `/account`, `/users/~`: who the token speaks for.

use axum::extract::State as Shared;
use ropewalk_api_types::Account;
use ropewalk_store::User;

use crate::authorise::{Actor, Resource, Verb, authorise};
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::body::ok;
use crate::transport::error::{ApiError, ApiResult};

pub(crate) async fn own(_: Shared<State>, actor: Actor) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Account)?;
    Ok(ok(&wire(&actor.user)))
}

pub(crate) async fn info(_: Shared<State>, actor: Actor, Path(user): Path<String>) -> ApiResult {
    check_self(&actor, &user)?;
    authorise(&actor, Verb::Read, Resource::Account)?;
    Ok(ok(&wire(&actor.user)))
}

/// `~`, one's id or one's address; nobody else is shown.
pub(crate) fn check_self(actor: &Actor, user: &str) -> ApiResult<()> {
    let own = user == "~"
        || user == actor.user.id.to_string()
        || user.eq_ignore_ascii_case(&actor.user.email);
    if own {
        Ok(())
    } else {
        Err(ApiError::not_found("user"))
    }
}

fn wire(user: &User) -> Account {
    Account {
        id: user.id.0,
        email: user.email.clone(),
        name: user.name.clone(),
        allow_tracking: false,
        beta: false,
        federated: false,
        identity_provider: None,
        sms_number: None,
        two_factor_authentication: false,
        verified: true,
        country_of_residence: None,
        default_organization: None,
        default_team: None,
        last_login: None,
        suspended_at: None,
        delinquent_at: None,
        created_at: user.created_at,
        updated_at: user.updated_at,
    }
}
