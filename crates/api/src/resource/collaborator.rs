//! `/apps/:app/collaborators`: who works on an app. Its owner does, and stands first.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::Collaborator;
use ropewalk_api_types::collaborator::{CollaboratorCreate, CollaboratorUser, Permission};
use ropewalk_store as store;
use ropewalk_store::{StoreError, User, View};
use uuid::Uuid;

use crate::authorise::{Actor, Resource, Verb};
use crate::resource::app;
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::body::{Json, created, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::sign::named_id;

/// Collaborators that an app may have.
const MAX: usize = 500;

pub(crate) async fn list(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    let app = app::find_for(&state, &actor, &app, Verb::Read, Resource::Sharing).await?;
    Ok(ok(&all(&state, app).await?))
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, key)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find_for(&state, &actor, &app, Verb::Read, Resource::Sharing).await?;
    let found = all(&state, app)
        .await?
        .into_iter()
        .find(|one| is(one, &key));
    Ok(ok(&found.ok_or_else(unknown)?))
}

pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    Json(asked): Json<CollaboratorCreate>,
) -> ApiResult {
    let app = app::find_for(&state, &actor, &app, Verb::Write, Resource::Sharing).await?;
    let id = app.id;
    let made = state
        .ctx
        .store
        .write(move |tx| {
            // It may have been destroyed meanwhile.
            tx.app(app.id)?;
            let user = match tx.find_user(&asked.user) {
                Err(StoreError::NotFound(_)) => {
                    return Err(StoreError::Refused(format!(
                        "There is no account {:?} on this server; an administrator makes accounts.",
                        asked.user
                    )));
                }
                found => found?,
            };
            if user.id == app.owner {
                return Err(StoreError::Refused(
                    "User is already a collaborator on app.".to_owned(),
                ));
            }
            if tx.collaborators(app.id)?.len() >= MAX {
                return Err(StoreError::Refused(format!(
                    "The app has {MAX} collaborators already."
                )));
            }
            let row = tx.add_collaborator(Uuid::new_v4(), app.id, user.id, Timestamp::now())?;
            Ok(wire(&app, user, Some(&row)))
        })
        .await?;
    let said = format!("Added collaborator {}", made.user.email);
    state.ctx.say_who(id, &actor.user, &said);
    Ok(created(&made))
}

pub(crate) async fn delete(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, key)): Path<(String, String)>,
) -> ApiResult {
    let seen = app::find(&state, &actor, &app, Verb::Read).await?;
    let found = all(&state, seen.clone())
        .await?
        .into_iter()
        .find(|one| is(one, &key));
    let oneself = found
        .as_ref()
        .is_some_and(|one| one.user.id == actor.user.id.0);
    // Whoever was let in may leave; everything else is the owner's.
    let app = match oneself {
        true => app::find(&state, &actor, &app, Verb::Write).await?,
        false => app::find_for(&state, &actor, &app, Verb::Write, Resource::Sharing).await?,
    };
    let gone = found.ok_or_else(unknown)?;
    if gone.user.id == app.owner.0 {
        return Err(ApiError::invalid("The owner of an app cannot be removed."));
    }
    let (id, user) = (app.id, ropewalk_model::UserId(gone.user.id));
    let removed = state
        .ctx
        .store
        .write(move |tx| tx.remove_collaborator(id, user))
        .await?;
    if !removed {
        return Err(unknown());
    }
    let said = format!("Removed collaborator {}", gone.user.email);
    state.ctx.say_who(id, &actor.user, &said);
    Ok(ok(&gone))
}

fn unknown() -> ApiError {
    ApiError::not_found("collaborator")
}

/// By its own id, the user's, or the address.
fn is(collaborator: &Collaborator, key: &str) -> bool {
    collaborator.id.to_string() == key
        || collaborator.user.id.to_string() == key
        || collaborator.user.email.eq_ignore_ascii_case(key)
}

async fn all(state: &State, app: store::App) -> ApiResult<Vec<Collaborator>> {
    Ok(state.ctx.store.read(move |view| of_app(view, &app)).await?)
}

fn of_app(view: &View<'_>, app: &store::App) -> store::Result<Vec<Collaborator>> {
    let mut all = vec![wire(app, view.user(app.owner)?, None)];
    for row in view.collaborators(app.id)? {
        let user = view.user(row.user)?;
        all.push(wire(app, user, Some(&row)));
    }
    Ok(all)
}

/// Without a row: the owner.
fn wire(app: &store::App, user: User, row: Option<&store::Collaborator>) -> Collaborator {
    let permissions = [
        ("view", "See the app and its log."),
        ("deploy", "Push, and change config vars."),
        ("operate", "Scale, restart and roll back."),
        ("manage", "Share, rename and destroy the app."),
    ];
    let has = match row {
        Some(_) => &permissions[..3],
        None => &permissions[..],
    };
    let at = row.map_or(app.created_at, |row| row.created_at);
    Collaborator {
        id: row.map_or_else(
            || named_id("collaborator", &format!("{} {}", app.id, user.id)),
            |row| row.id,
        ),
        app: app::named(app),
        permissions: has
            .iter()
            .map(|(name, description)| Permission {
                name: (*name).to_owned(),
                description: (*description).to_owned(),
            })
            .collect(),
        role: Some(
            if row.is_some() {
                "collaborator"
            } else {
                "owner"
            }
            .to_owned(),
        ),
        user: CollaboratorUser {
            id: user.id.0,
            email: user.email,
            federated: false,
        },
        created_at: at,
        updated_at: at,
    }
}
