//! `/ropewalk/users`: everybody's accounts, for administrators.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::Secret;
use ropewalk_api_types::user::{User, UserCreate, UserUpdate};
use ropewalk_model::UserId;
use ropewalk_store as store;
use uuid::Uuid;

use crate::authorise::{Actor, Resource, Verb, authorise};
use crate::password;
use crate::resource::account::{MAX_NAME, check_email};
use crate::resource::oauth::{self, Wish};
use crate::resource::path::Path;
use crate::state::State;
use crate::text;
use crate::transport::body::{Json, created, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};

const ATTRIBUTES: [Attribute<User>; 2] = [
    ("id", |user| Key::Text(user.id.to_string())),
    ("email", |user| Key::Text(user.email.clone())),
];
/// Seconds that the first token of an account without a password is good for: a week.
const FIRST_TOKEN: u64 = 7 * 86_400;

pub(crate) async fn list(Shared(state): Shared<State>, actor: Actor, wanted: Wanted) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Users)?;
    let users = state.ctx.store.read(|view| view.users()).await?;
    let wires = users.into_iter().map(wire).collect();
    wanted.page(wires, &ATTRIBUTES)
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(user): Path<String>,
) -> ApiResult {
    let user = find(&state, &actor, user, Verb::Read).await?;
    Ok(ok(&wire(user)))
}

/// With a password, or else with a first token in the answer.
pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Json(asked): Json<UserCreate>,
) -> ApiResult {
    authorise(&actor, Verb::Write, Resource::Users)?;
    check_email(&asked.email)?;
    let by = actor.user.id;
    let hash = match &asked.password {
        Some(password) => Some(password::hash(&state, &by.to_string(), &password.0).await?),
        None => None,
    };
    let id = UserId(Uuid::new_v4());
    let has_password = hash.is_some();
    let name = asked.name.map(|name| text::plain(&name, MAX_NAME));
    let user = state
        .ctx
        .store
        .write(move |tx| {
            let now = Timestamp::now();
            let user = tx.create_user(id, &asked.email, asked.admin.unwrap_or(false), now)?;
            if let Some(name) = name.as_deref().filter(|name| !name.is_empty()) {
                tx.set_user_name(user.id, Some(name), now)?;
            }
            if let Some(hash) = &hash {
                tx.set_password(user.id, hash, now)?;
            }
            tx.user(user.id)
        })
        .await?;
    tracing::info!(user = %user.id, admin = user.admin, %by, "Account made.");
    let login_token = if has_password {
        None
    } else {
        let wish = Wish {
            description: "First login",
            scope: "global".to_owned(),
            life: Some(FIRST_TOKEN),
            session: true,
        };
        let (_, text) = oauth::issue(&state, &user, wish).await?;
        Some(Secret(text))
    };
    Ok(created(&User {
        login_token,
        ..wire(user)
    }))
}

/// What an administrator may change about others. A new password ends the sessions of the old one.
pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(user): Path<String>,
    Json(asked): Json<UserUpdate>,
) -> ApiResult {
    let user = find(&state, &actor, user, Verb::Write).await?;
    if let Some(email) = &asked.email {
        check_email(email)?;
    }
    if asked.two_factor_authentication == Some(true) && !user.two_factor {
        return Err(ApiError::invalid(
            "Only the person can enable two-factor authentication: ropewalk auth:2fa:enable.",
        ));
    }
    let by = actor.user.id;
    let hash = match &asked.password {
        Some(password) => Some(password::hash(&state, &by.to_string(), &password.0).await?),
        None => None,
    };
    let (id, in_hand) = (user.id, actor.token.id);
    let name = asked.name.map(|name| text::plain(&name, MAX_NAME));
    let user = state
        .ctx
        .store
        .write(move |tx| {
            let now = Timestamp::now();
            if let Some(name) = &name {
                tx.set_user_name(id, Some(name.as_str()).filter(|name| !name.is_empty()), now)?;
            }
            if let Some(email) = asked.email.filter(|email| *email != user.email) {
                tx.set_email(id, &email, now)?;
            }
            if let Some(admin) = asked.admin.filter(|admin| *admin != user.admin) {
                tx.set_admin(id, admin, now)?;
            }
            if let Some(hash) = &hash {
                tx.set_password(id, hash, now)?;
                tx.delete_sessions(id, Some(in_hand))?;
            }
            if asked.two_factor_authentication == Some(false) {
                tx.disable_two_factor(id, now)?;
            }
            tx.user(id)
        })
        .await?;
    tracing::info!(user = %user.id, %by, "Account changed by an administrator.");
    Ok(ok(&wire(user)))
}

pub(crate) async fn delete(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(user): Path<String>,
) -> ApiResult {
    let user = find(&state, &actor, user, Verb::Write).await?;
    let id = user.id;
    state
        .ctx
        .store
        .write(move |tx| tx.delete_user(id, Timestamp::now()))
        .await?;
    tracing::info!(user = %id, by = %actor.user.id, "Account deleted.");
    Ok(ok(&wire(user)))
}

async fn find(state: &State, actor: &Actor, key: String, verb: Verb) -> ApiResult<store::User> {
    authorise(actor, verb, Resource::Users)?;
    Ok(state
        .ctx
        .store
        .read(move |view| view.find_user(&key))
        .await?)
}

fn wire(user: store::User) -> User {
    User {
        id: user.id.0,
        email: user.email,
        name: user.name,
        admin: user.admin,
        has_password: user.has_password,
        two_factor_authentication: user.two_factor,
        last_login: user.last_login,
        login_token: None,
        created_at: user.created_at,
        updated_at: user.updated_at,
    }
}
