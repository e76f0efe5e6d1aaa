//! `/ropewalk/two-factor`: one's own second factor. A first POST gives a secret, a second one with a code makes it
//! count and gives the recovery codes.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::Secret;
use ropewalk_api_types::two_factor::{TwoFactor, TwoFactorChange};

use crate::authorise::{Actor, Resource, Verb, authorise};
use crate::password::{self, Spend};
use crate::resource::account::check_password;
use crate::state::State;
use crate::totp;
use crate::transport::body::{Json, created, ok};
use crate::transport::error::{ApiError, ApiResult};

pub(crate) async fn info(_: Shared<State>, actor: Actor) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Account)?;
    Ok(ok(&bare(actor.user.two_factor)))
}

pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Json(asked): Json<TwoFactorChange>,
) -> ApiResult {
    authorise(&actor, Verb::Write, Resource::Tokens)?;
    if actor.user.two_factor {
        return Err(ApiError::invalid(
            "Two-factor authentication is enabled already; disable it first.",
        ));
    }
    if !actor.user.has_password {
        return Err(ApiError::invalid(
            "The account has no password, so there is nothing for a second factor to guard; set one first.",
        ));
    }
    match asked.code {
        None => propose(&state, &actor, asked.password.as_ref()).await,
        Some(code) => enable(&state, &actor, &code.0).await,
    }
}

async fn propose(state: &State, actor: &Actor, given: Option<&Secret>) -> ApiResult {
    check_password(
        state,
        &actor.user,
        given.map(|password| password.0.as_str()),
    )
    .await?;
    let (id, secret) = (actor.user.id, totp::new_secret());
    state
        .ctx
        .store
        .write(move |tx| tx.propose_two_factor(id, &secret))
        .await?;
    let issuer = format!("Ropewalk ({})", state.ctx.urls.domain);
    Ok(created(&TwoFactor {
        secret: Some(Secret(totp::base32(&secret))),
        otpauth_uri: Some(Secret(totp::uri(&issuer, &actor.user.email, &secret))),
        ..bare(false)
    }))
}

async fn enable(state: &State, actor: &Actor, code: &str) -> ApiResult {
    if !password::spend_code(state, &actor.user, code, Spend::Proposed).await? {
        return Err(ApiError::invalid(
            "The code is wrong. Is the clock of this server and of your device right?",
        ));
    }
    let shown = totp::new_recovery_codes();
    let kept: Vec<String> = shown.iter().map(|code| totp::normal(code)).collect();
    let id = actor.user.id;
    state
        .ctx
        .store
        .write(move |tx| tx.enable_two_factor(id, &kept, Timestamp::now()))
        .await?;
    Ok(created(&TwoFactor {
        recovery_codes: Some(shown.into_iter().map(Secret).collect()),
        ..bare(true)
    }))
}

pub(crate) async fn delete(
    Shared(state): Shared<State>,
    actor: Actor,
    Json(asked): Json<TwoFactorChange>,
) -> ApiResult {
    authorise(&actor, Verb::Write, Resource::Tokens)?;
    let given = asked.password.as_ref().map(|password| password.0.as_str());
    check_password(&state, &actor.user, given).await?;
    let id = actor.user.id;
    state
        .ctx
        .store
        .write(move |tx| tx.disable_two_factor(id, Timestamp::now()))
        .await?;
    Ok(ok(&bare(false)))
}

fn bare(enabled: bool) -> TwoFactor {
    TwoFactor {
        enabled,
        secret: None,
        otpauth_uri: None,
        recovery_codes: None,
    }
}
