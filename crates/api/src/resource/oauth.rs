//! `/oauth/authorizations`: tokens. The only place where an account's password is taken.

use axum::extract::State as Shared;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use ropewalk_api_types::oauth::{Authorization, AuthorizationCreate, AuthorizedUser, Token};
use ropewalk_api_types::{Secret, oauth};
use ropewalk_model::TokenId;
use ropewalk_store as store;
use ropewalk_store::{NewToken, User};
use uuid::Uuid;

use crate::authorise::{Actor, Resource, SCOPES, Verb, authorise, scopes_of};
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::auth::Credentials;
use crate::transport::body::{Json, created, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};

const ATTRIBUTES: [Attribute<Authorization>; 1] = [("id", |authorization| {
    Key::Text(authorization.id.to_string())
})];
/// Longest life that can be asked for, in seconds: ten years.
const MAX_LIFE: u64 = 10 * 365 * 86_400;
const MAX_PASSWORD: usize = 1_024;

pub(crate) async fn list(Shared(state): Shared<State>, actor: Actor, wanted: Wanted) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Tokens)?;
    let tokens = own(&state, &actor).await?;
    let wires = tokens
        .iter()
        .map(|token| wire(&actor.user, token, &token.hint))
        .collect();
    wanted.page(wires, &ATTRIBUTES)
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(authorization): Path<String>,
) -> ApiResult {
    let token = find(&state, &actor, &authorization, Verb::Read).await?;
    Ok(ok(&wire(&actor.user, &token, &token.hint)))
}

/// By Basic `email:password`, or by a token that may make others.
pub(crate) async fn create(
    Shared(state): Shared<State>,
    headers: HeaderMap,
    Json(asked): Json<AuthorizationCreate>,
) -> ApiResult {
    let (user, granted) = who_logs_in(&state, &headers).await?;
    let mut scope: Vec<&str> = asked.scope.iter().map(String::as_str).collect();
    if scope.is_empty() {
        scope.push("global");
    }
    for one in &scope {
        if !SCOPES.contains(one) {
            return Err(ApiError::invalid(format!(
                "There is no scope {one:?}. Scopes are: {}.",
                SCOPES.join(", ")
            )));
        }
    }
    if granted.is_some_and(|granted| !granted.contains(&"global")) {
        return Err(ApiError::from(crate::authorise::Denied::Scope("global")));
    }
    let expires_in = asked.expires_in.filter(|seconds| *seconds > 0);
    if expires_in.is_some_and(|seconds| seconds > MAX_LIFE) {
        return Err(ApiError::invalid("`expires_in` is more than ten years."));
    }
    let now = Timestamp::now();
    let expires_at = match expires_in {
        Some(seconds) => Some(
            now.checked_add(SignedDuration::from_secs(seconds.cast_signed()))
                .map_err(|error| ApiError::internal(&error))?,
        ),
        None => None,
    };
    let text = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let description: String = asked
        .description
        .unwrap_or_else(|| "Long-lived token".to_owned())
        .chars()
        .filter(|c| !c.is_control())
        .take(255)
        .collect();
    let new = NewToken {
        id: TokenId(Uuid::new_v4()),
        user: user.id,
        text: text.clone(),
        description,
        scope: scope.join(","),
        expires_at,
    };
    let token = state
        .ctx
        .store
        .write(move |tx| tx.create_token(&new, now))
        .await?;
    Ok(created(&wire(&user, &token, &text)))
}

/// The account, and the scopes of the token that was shown, if it was a token.
async fn who_logs_in(
    state: &State,
    headers: &HeaderMap,
) -> ApiResult<(User, Option<Vec<&'static str>>)> {
    let Some(Credentials {
        user: Some(email),
        secret,
    }) = Credentials::read(headers)
        .filter(|found| found.user.as_deref().is_some_and(|user| user.contains('@')))
    else {
        return by_token(state, headers).await;
    };
    // Known only by its length: an address of megabytes must not become a key.
    let key: String = email.to_ascii_lowercase().chars().take(254).collect();
    if state.logins.take(&key).is_none() {
        return Err(ApiError::rate_limit());
    }
    let refused = || ApiError::unauthorized("The e-mail address or the password is wrong.");
    if secret.len() > MAX_PASSWORD {
        return Err(refused());
    }
    let checked = {
        let _turn = state
            .password_checks
            .acquire()
            .await
            .map_err(|error| ApiError::internal(&error))?;
        let password = secret.clone();
        state
            .ctx
            .store
            .read(move |view| view.verify_password(&email, &password))
            .await?
    };
    match checked {
        Some(user) => Ok((user, None)),
        // Some clients send the token in the password's place here too.
        None => match Actor::of_token(state, &secret).await? {
            Some(actor) => Ok((actor.user.clone(), Some(scopes_of(&actor.token).collect()))),
            None => Err(refused()),
        },
    }
}

async fn by_token(
    state: &State,
    headers: &HeaderMap,
) -> ApiResult<(User, Option<Vec<&'static str>>)> {
    let actor = Actor::of_request(state, headers).await?;
    if state.quota.take(&actor.user.id.to_string()).is_none() {
        return Err(ApiError::rate_limit());
    }
    let scopes = scopes_of(&actor.token).collect();
    Ok((actor.user, Some(scopes)))
}

pub(crate) async fn delete(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(authorization): Path<String>,
) -> ApiResult {
    let token = find(&state, &actor, &authorization, Verb::Write).await?;
    let id = token.id;
    state.ctx.store.write(move |tx| tx.delete_token(id)).await?;
    Ok(ok(&wire(&actor.user, &token, &token.hint)))
}

/// Sessions are a browser's; there are none.
pub(crate) async fn sessions(_: Shared<State>, actor: Actor) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Account)?;
    Ok(ok::<[oauth::Session; 0]>(&[]))
}

pub(crate) async fn delete_session(_: Shared<State>, actor: Actor) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Account)?;
    Err(ApiError::not_found("session"))
}

async fn own(state: &State, actor: &Actor) -> ApiResult<Vec<store::Token>> {
    let user = actor.user.id;
    let now = Timestamp::now();
    let mut tokens = state.ctx.store.read(move |view| view.tokens(user)).await?;
    tokens.retain(|token| token.expires_at.is_none_or(|at| at > now));
    Ok(tokens)
}

/// By id, or `~` for the one in hand, which everybody may see and end.
async fn find(state: &State, actor: &Actor, key: &str, verb: Verb) -> ApiResult<store::Token> {
    if key == "~" || key == actor.token.id.to_string() {
        return Ok(actor.token.clone());
    }
    authorise(actor, verb, Resource::Tokens)?;
    own(state, actor)
        .await?
        .into_iter()
        .find(|token| token.id.to_string() == key)
        .ok_or_else(|| ApiError::not_found("authorization"))
}

/// `text` is the token whole right after it was made, redacted ever after.
fn wire(user: &User, token: &store::Token, text: &str) -> Authorization {
    let expires_in = token.expires_at.map(|at| {
        let left = at.as_second().saturating_sub(Timestamp::now().as_second());
        u64::try_from(left).unwrap_or(0)
    });
    Authorization {
        id: token.id.0,
        access_token: Some(Token {
            id: token.id.0,
            expires_in,
            token: Secret(text.to_owned()),
        }),
        client: None,
        description: token.description.clone(),
        grant: None,
        refresh_token: None,
        scope: scopes_of(token).map(str::to_owned).collect(),
        session: None,
        user: AuthorizedUser {
            id: user.id.0,
            email: user.email.clone(),
            full_name: user.name.clone(),
        },
        created_at: token.created_at,
        updated_at: token.created_at,
    }
}
