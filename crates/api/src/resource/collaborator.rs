//! `/apps/:app/collaborators`: who may work on an app. So far that is its owner alone.

use axum::extract::State as Shared;
use ropewalk_api_types::Collaborator;
use ropewalk_api_types::collaborator::{CollaboratorUser, Permission};
use ropewalk_store as store;

use crate::authorise::{Actor, Verb};
use crate::resource::app;
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::body::ok;
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::sign::named_id;

pub(crate) async fn list(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    Ok(ok(&[owner(&state, app).await?]))
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, key)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let owner = owner(&state, app).await?;
    match is(&owner, &key) {
        true => Ok(ok(&owner)),
        false => Err(ApiError::not_found("collaborator")),
    }
}

pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    app::find(&state, &actor, &app, Verb::Write).await?;
    Err(ApiError::invalid(
        "Apps cannot be shared yet; only their owner and administrators work on them.",
    ))
}

pub(crate) async fn delete(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, key)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    match is(&owner(&state, app).await?, &key) {
        true => Err(ApiError::invalid("The owner of an app cannot be removed.")),
        false => Err(ApiError::not_found("collaborator")),
    }
}

fn is(collaborator: &Collaborator, key: &str) -> bool {
    collaborator.id.to_string() == key || collaborator.user.email.eq_ignore_ascii_case(key)
}

async fn owner(state: &State, app: store::App) -> ApiResult<Collaborator> {
    let id = app.owner;
    let user = state.ctx.store.read(move |view| view.user(id)).await?;
    let permissions = [
        ("view", "See the app and its log."),
        ("deploy", "Push, and change config vars."),
        ("operate", "Scale, restart and roll back."),
        ("manage", "Rename and destroy the app."),
    ];
    Ok(Collaborator {
        id: named_id("collaborator", &format!("{} {}", app.id, user.id)),
        app: app::named(&app),
        permissions: permissions
            .map(|(name, description)| Permission {
                name: name.to_owned(),
                description: description.to_owned(),
            })
            .to_vec(),
        role: Some("owner".to_owned()),
        user: CollaboratorUser {
            id: user.id.0,
            email: user.email,
            federated: false,
        },
        created_at: app.created_at,
        updated_at: app.created_at,
    })
}
