//! `/apps/:app/config-vars`: a flat map; each change is a release.
//!
//! Values never go to any log; names do.

use std::collections::BTreeMap;

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_model::ReleaseId;
use ropewalk_store::NewRelease;
use serde_json::Value;
use uuid::Uuid;

use crate::authorise::{Actor, Verb};
use crate::resource::path::Path;
use crate::resource::{app, release};
use crate::state::State;
use crate::transport::body::{Json, ok};
use crate::transport::error::{ApiError, ApiResult};

/// Those of the newest release on its way, else of the one that serves.
pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    let app = app::find_for_config(&state, &actor, &app, Verb::Read).await?;
    let vars = state
        .ctx
        .store
        .read(move |view| {
            let head = view.head_release(&app)?;
            view.config_vars(app.id, head.version)
        })
        .await?;
    Ok(ok(&vars.0))
}

pub(crate) async fn of_release(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, release)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find_for_config(&state, &actor, &app, Verb::Read).await?;
    let vars = state
        .ctx
        .store
        .read(move |view| {
            let release = release::find(view, &app, &release)?;
            view.config_vars(app.id, release.version)
        })
        .await?;
    Ok(ok(&vars.0))
}

pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    Json(asked): Json<BTreeMap<String, Value>>,
) -> ApiResult {
    let app = app::find_for_config(&state, &actor, &app, Verb::Write).await?;
    let patch = patch(asked)?;
    let (id, user) = (app.id, actor.user.id);
    let (vars, change) = state
        .ctx
        .store
        .write(move |tx| {
            let app = tx.app(id)?;
            let head = tx.head_release(&app)?;
            let (vars, change) = tx.config_vars(id, head.version)?.patched(&patch)?;
            if change.is_empty() {
                return Ok((vars, None));
            }
            let new = NewRelease {
                id: ReleaseId(Uuid::new_v4()),
                app: id,
                user,
                description: change.description(),
                slug: None,
                config: Some(vars.clone()),
                stack: None,
            };
            let release = tx.create_release(new, Timestamp::now())?;
            Ok((vars, Some((change, release))))
        })
        .await?;
    if let Some((change, made)) = change {
        release::announce(&state, &actor, &made, &change.description());
    }
    Ok(ok(&vars.0))
}

/// What is to be set, and with `None` what is to be removed.
pub(crate) fn patch(asked: BTreeMap<String, Value>) -> ApiResult<BTreeMap<String, Option<String>>> {
    asked
        .into_iter()
        .map(|(name, value)| match value {
            Value::Null => Ok((name, None)),
            Value::String(text) => Ok((name, Some(text))),
            // The value is not repeated: it is a secret all the same.
            _ => Err(ApiError::invalid(format!(
                "Config var {name:?} must be a text, or null to be removed."
            ))),
        })
        .collect()
}
