//! `/oauth/authorizations`: tokens. Making one is the only request of clients that takes an account's password.

use axum::extract::State as Shared;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use ropewalk_api_types::Secret;
use ropewalk_api_types::oauth::{
    Authorization, AuthorizationCreate, AuthorizationUpdate, AuthorizedUser, Token,
};
use ropewalk_api_types::reference::ById;
use ropewalk_model::TokenId;
use ropewalk_store as store;
use ropewalk_store::{NewToken, User};
use uuid::Uuid;

use crate::authorise::{Actor, Resource, Scope, Verb, authorise};
use crate::password;
use crate::resource::path::Path;
use crate::state::State;
use crate::text;
use crate::transport::auth::{Credentials, two_factor_code};
use crate::transport::body::{Json, created, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};

const ATTRIBUTES: [Attribute<Authorization>; 1] = [("id", |authorization| {
    Key::Text(authorization.id.to_string())
})];
/// Longest life that can be asked for, in seconds: ten years.
const MAX_LIFE: u64 = 10 * 365 * 86_400;
/// Longest description, in characters.
const MAX_DESCRIPTION: usize = 255;
/// Tokens that one account may have at the same time.
const MAX_TOKENS: usize = 1_000;

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

/// By Basic `email:password`, which is a login, or by a token that may make others.
pub(crate) async fn create(
    Shared(state): Shared<State>,
    headers: HeaderMap,
    Json(asked): Json<AuthorizationCreate>,
) -> ApiResult {
    let (user, session) = who_asks(&state, &headers).await?;
    if asked.client.is_some() {
        return Err(no_clients());
    }
    let scope = match asked.scope.as_slice() {
        [] => "global".to_owned(),
        names => scopes(names)?,
    };
    let description = asked.description.as_deref().unwrap_or("Long-lived token");
    let wanted = Wish {
        description,
        scope,
        life: asked.expires_in,
        session,
    };
    let (token, text) = issue(&state, &user, wanted).await?;
    Ok(created(&wire(&user, &token, &text)))
}

/// A token to be made.
pub(crate) struct Wish<'a> {
    pub(crate) description: &'a str,
    pub(crate) scope: String,
    /// Seconds; `None` and 0 are for ever.
    pub(crate) life: Option<u64>,
    pub(crate) session: bool,
}

/// Makes a token; its text is known only here and now.
pub(crate) async fn issue(
    state: &State,
    user: &User,
    wish: Wish<'_>,
) -> ApiResult<(store::Token, String)> {
    let life = wish.life.filter(|seconds| *seconds > 0);
    if life.is_some_and(|seconds| seconds > MAX_LIFE) {
        return Err(ApiError::invalid("`expires_in` is more than ten years."));
    }
    let now = Timestamp::now();
    let expires_at = match life {
        Some(seconds) => Some(after(now, seconds)?),
        None => None,
    };
    let text = new_text();
    let new = NewToken {
        id: TokenId(Uuid::new_v4()),
        user: user.id,
        text: text.clone(),
        description: text::plain(wish.description, MAX_DESCRIPTION),
        scope: wish.scope,
        session: wish.session,
        expires_at,
    };
    let token = state
        .ctx
        .store
        .write(move |tx| {
            // Not to somebody who was deleted meanwhile.
            tx.find_user(&new.user.to_string())?;
            if tx.tokens(new.user)?.len() >= MAX_TOKENS {
                return Err(store::StoreError::Refused(format!(
                    "This account has {MAX_TOKENS} tokens already; revoke some first."
                )));
            }
            tx.create_token(&new, now)
        })
        .await?;
    Ok((token, text))
}

fn new_text() -> String {
    format!(
        "RWK-{}",
        BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
    )
}

fn after(now: Timestamp, seconds: u64) -> ApiResult<Timestamp> {
    now.checked_add(SignedDuration::from_secs(seconds.cast_signed()))
        .map_err(|error| ApiError::internal(&error))
}

/// The names as the ledger keeps them.
fn scopes(names: &[String]) -> ApiResult<String> {
    for name in names {
        if Scope::parse(name).is_none() {
            let all = Scope::ALL.map(Scope::as_str).join(", ");
            return Err(ApiError::invalid(format!(
                "There is no scope {name:?}. Scopes are: {all}."
            )));
        }
    }
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    Ok(names.join(","))
}

/// Whose token it will be, and whether this is a login.
async fn who_asks(state: &State, headers: &HeaderMap) -> ApiResult<(User, bool)> {
    let Some(Credentials {
        user: Some(email),
        secret,
    }) = Credentials::read(headers)
        .filter(|found| found.user.as_deref().is_some_and(|user| user.contains('@')))
    else {
        let actor = Actor::of_request(state, headers).await?;
        return by_token(state, actor).map(|user| (user, false));
    };
    // Some clients send the token in the password's place here too.
    if let Some(actor) = Actor::of_token(state, &secret).await? {
        return by_token(state, actor).map(|user| (user, false));
    }
    let Some(user) = password::who(state, &email, &secret).await? else {
        return Err(ApiError::unauthorized(
            "The e-mail address or the password is wrong.",
        ));
    };
    password::second_factor(state, &user, two_factor_code(headers)).await?;
    Ok((user, true))
}

fn by_token(state: &State, actor: Actor) -> ApiResult<User> {
    if state.quota.take(&actor.user.id.to_string()).is_none() {
        return Err(ApiError::rate_limit());
    }
    authorise(&actor, Verb::Write, Resource::Tokens)?;
    Ok(actor.user)
}

pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(authorization): Path<String>,
    Json(asked): Json<AuthorizationUpdate>,
) -> ApiResult {
    authorise(&actor, Verb::Write, Resource::Tokens)?;
    let mut token = find(&state, &actor, &authorization, Verb::Write).await?;
    if asked.client.is_some() {
        return Err(no_clients());
    }
    if let Some(description) = asked.description {
        let (id, description) = (token.id, text::plain(&description, MAX_DESCRIPTION));
        token = state
            .ctx
            .store
            .write(move |tx| tx.describe_token(id, &description, Timestamp::now()))
            .await?;
    }
    Ok(ok(&wire(&actor.user, &token, &token.hint)))
}

/// `POST …/actions/regenerate-tokens`: another text, for as long again as the first was given.
pub(crate) async fn regenerate(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(authorization): Path<String>,
) -> ApiResult {
    authorise(&actor, Verb::Write, Resource::Tokens)?;
    let token = find(&state, &actor, &authorization, Verb::Write).await?;
    let now = Timestamp::now();
    let expires_at = match token.expires_at {
        Some(at) => {
            let life = at.duration_since(token.updated_at).as_secs();
            Some(after(now, life.try_into().unwrap_or(0))?)
        }
        None => None,
    };
    let (id, text) = (token.id, new_text());
    let kept = text.clone();
    let token = state
        .ctx
        .store
        .write(move |tx| tx.renew_token(id, &kept, expires_at, now))
        .await?;
    Ok(created(&wire(&actor.user, &token, &text)))
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

/// The actor's tokens that have not expired.
pub(crate) async fn own(state: &State, actor: &Actor) -> ApiResult<Vec<store::Token>> {
    let user = actor.user.id;
    let now = Timestamp::now();
    let mut tokens = state.ctx.store.read(move |view| view.tokens(user)).await?;
    tokens.retain(|token| !token.has_expired(now));
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

fn no_clients() -> ApiError {
    ApiError::invalid("There are no OAuth clients here.")
}

/// Seconds that a token is still good for; `None` is for ever.
pub(crate) fn seconds_left(token: &store::Token) -> Option<u64> {
    token.expires_at.map(|at| {
        let left = at.as_second().saturating_sub(Timestamp::now().as_second());
        u64::try_from(left).unwrap_or(0)
    })
}

/// `text` is the token whole right after it was made, redacted ever after.
fn wire(user: &User, token: &store::Token, text: &str) -> Authorization {
    Authorization {
        id: token.id.0,
        access_token: Some(Token {
            id: token.id.0,
            expires_in: seconds_left(token),
            token: Secret(text.to_owned()),
        }),
        client: None,
        description: token.description.clone(),
        grant: None,
        refresh_token: None,
        scope: token
            .scopes()
            .iter()
            .map(|scope| scope.as_str().to_owned())
            .collect(),
        session: token.session.then_some(ById { id: token.id.0 }),
        user: AuthorizedUser {
            id: user.id.0,
            email: user.email.clone(),
            full_name: user.name.clone(),
        },
        created_at: token.created_at,
        updated_at: token.updated_at,
    }
}
