//! `/filters/apps`: many apps in one request, by their ids. What the actor may not see is left out.

use std::collections::HashSet;

use axum::extract::State as Shared;
use ropewalk_api_types::app::{AppFilter, FilteredApp};
use ropewalk_model::AppId;

use crate::authorise::Actor;
use crate::resource::app;
use crate::state::State;
use crate::transport::body::Json;
use crate::transport::error::ApiResult;
use crate::transport::range::Wanted;

/// In the form of a list: with pages, although it is a POST.
pub(crate) async fn list(
    Shared(state): Shared<State>,
    actor: Actor,
    wanted: Wanted,
    Json(asked): Json<AppFilter>,
) -> ApiResult {
    let ids: Option<HashSet<String>> = asked
        .within
        .id
        .map(|ids| ids.iter().map(|id| id.to_ascii_lowercase()).collect());
    let apps = app::visible(&state, &actor, |app, _| {
        ids.as_ref()
            .is_none_or(|ids| ids.contains(&app.id.to_string()))
    })
    .await?;
    let user = actor.user.id;
    let shared = state
        .ctx
        .store
        .read(move |view| view.collaborations(user))
        .await?;
    app::answer(&state, wanted, apps, |app| FilteredApp {
        joined: app.owner.id == user.0 || shared.contains(&AppId(app.id)),
        app,
    })
    .await
}
