//! `/apps/:app/features`: switches of one app. Only what truly exists is listed.
//!
//! There is one, and it is always on: every rollout starts the new web dynos before it ends the old ones, which
//! clients know as the feature `preboot`.

use axum::extract::State as Shared;
use ropewalk_api_types::AppFeature;
use ropewalk_api_types::app_feature::AppFeatureUpdate;
use ropewalk_store as store;

use crate::authorise::{Actor, Verb};
use crate::resource::app;
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::body::{Json, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};
use crate::transport::sign::named_id;

const PREBOOT: &str = "preboot";
const ATTRIBUTES: [Attribute<AppFeature>; 2] = [
    ("id", |feature| Key::Text(feature.id.to_string())),
    ("name", |feature| Key::Text(feature.name.clone())),
];

pub(crate) async fn list(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    wanted.page(vec![preboot(&app)], &ATTRIBUTES)
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, feature)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    Ok(ok(&find(&app, &feature)?))
}

/// Switching on what is on changes nothing; it cannot be switched off.
pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, feature)): Path<(String, String)>,
    Json(asked): Json<AppFeatureUpdate>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let feature = find(&app, &feature)?;
    if !asked.enabled {
        return Err(ApiError::invalid(
            "preboot cannot be switched off: every rollout starts the new web dynos first, so that no request is lost. \
             To have no two releases at work at the same time, use `ropewalk ps:scale web=0` around the deploy.",
        ));
    }
    Ok(ok(&feature))
}

/// By name or id.
fn find(app: &store::App, key: &str) -> ApiResult<AppFeature> {
    let preboot = preboot(app);
    if preboot.name == key || preboot.id.to_string() == key {
        Ok(preboot)
    } else {
        Err(ApiError::not_found("app_feature"))
    }
}

/// As old as the app.
fn preboot(app: &store::App) -> AppFeature {
    AppFeature {
        id: named_id("app feature", PREBOOT),
        name: PREBOOT.to_owned(),
        display_name: "Preboot".to_owned(),
        description: "New web dynos pass their check before the old ones end. Always on."
            .to_owned(),
        doc_url: String::new(),
        feedback_email: String::new(),
        enabled: true,
        state: "general".to_owned(),
        created_at: app.created_at,
        updated_at: app.created_at,
    }
}
