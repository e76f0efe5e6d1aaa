//! `/account`, `/users/~`: who the token speaks for, and what one may change about oneself.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::Account;
use ropewalk_api_types::account::AccountUpdate;
use ropewalk_store::User;

use crate::authorise::{Actor, Resource, Verb, authorise};
use crate::password;
use crate::resource::path::Path;
use crate::state::State;
use crate::text;
use crate::transport::body::{Json, ok};
use crate::transport::error::{ApiError, ApiResult};

/// Longest name, in characters.
pub(crate) const MAX_NAME: usize = 100;

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

pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Json(asked): Json<AccountUpdate>,
) -> ApiResult {
    change(&state, actor, asked).await
}

/// `PATCH /users/:user`
pub(crate) async fn update_self(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(user): Path<String>,
    Json(asked): Json<AccountUpdate>,
) -> ApiResult {
    check_self(&actor, &user)?;
    change(&state, actor, asked).await
}

/// Whatever one logs in by is changed only with the password, for a token that was lost must not take the account
/// with it.
async fn change(state: &State, actor: Actor, asked: AccountUpdate) -> ApiResult {
    authorise(&actor, Verb::Write, Resource::Account)?;
    if asked.two_factor_authentication == Some(true) && !actor.user.two_factor {
        return Err(ApiError::invalid(
            "Two-factor authentication is enabled in two steps: ropewalk auth:2fa:enable.",
        ));
    }
    let disables = asked.two_factor_authentication == Some(false) && actor.user.two_factor;
    let email = asked.email.filter(|email| *email != actor.user.email);
    if let Some(email) = &email {
        check_email(email)?;
    }
    if email.is_some() || asked.new_password.is_some() || disables {
        let given = asked.password.as_ref().map(|password| password.0.as_str());
        check_password(state, &actor.user, given).await?;
    }
    let id = actor.user.id;
    let hash = match &asked.new_password {
        Some(new) => Some(password::hash(state, &id.to_string(), &new.0).await?),
        None => None,
    };
    let name = asked.name.map(|name| text::plain(&name, MAX_NAME));
    let in_hand = actor.token.id;
    let user = state
        .ctx
        .store
        .write(move |tx| {
            let now = Timestamp::now();
            if let Some(name) = &name {
                tx.set_user_name(id, Some(name.as_str()).filter(|name| !name.is_empty()), now)?;
            }
            if let Some(email) = &email {
                tx.set_email(id, email, now)?;
            }
            if let Some(hash) = &hash {
                tx.set_password(id, hash, now)?;
                tx.delete_sessions(id, Some(in_hand))?;
            }
            if disables {
                tx.disable_two_factor(id, now)?;
            }
            tx.user(id)
        })
        .await?;
    Ok(ok(&wire(&user)))
}

/// # Errors
/// 422 unless `given` is the account's password; an account without one has nothing to give.
pub(crate) async fn check_password(
    state: &State,
    user: &User,
    given: Option<&str>,
) -> ApiResult<()> {
    if !user.has_password {
        return Ok(());
    }
    let given = given.ok_or_else(|| {
        ApiError::invalid("Send the account's password along: this changes how it is logged in to.")
    })?;
    match password::who(state, &user.email, given).await? {
        Some(found) if found.id == user.id => Ok(()),
        _ => Err(ApiError::invalid("The password is wrong.")),
    }
}

pub(crate) fn check_email(email: &str) -> ApiResult<()> {
    if text::is_email(email) {
        return Ok(());
    }
    Err(ApiError::invalid(
        "`email` must be an e-mail address of at most 254 characters.",
    ))
}

/// `PUT /apps/:app/pre-authorizations`: clients send a code here first when a refusal names an app. None of ours
/// does; who can see the app is told that all is well.
pub(crate) async fn pre_authorize(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    crate::resource::app::find(&state, &actor, &app, Verb::Read).await?;
    Ok(ok(&ropewalk_api_types::dyno::Accepted {}))
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
        two_factor_authentication: user.two_factor,
        verified: true,
        country_of_residence: None,
        default_organization: None,
        default_team: None,
        last_login: user.last_login,
        suspended_at: None,
        delinquent_at: None,
        created_at: user.created_at,
        updated_at: user.updated_at,
    }
}
