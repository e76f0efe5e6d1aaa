//! `/apps/:app/features`: switches of one app. Only what truly exists is listed.
//!
//! `preboot` is always on: every rollout starts the new web dynos before it ends the old ones. With
//! `http-session-affinity` the router sends a client to the web dyno again that it came to before. `daily-cycling` is the
//! dyno setting `cycle` of the whole app by another name.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::AppFeature;
use ropewalk_api_types::app_feature::AppFeatureUpdate;
use ropewalk_model::dyno_setting::Name;
use ropewalk_model::{AppDynoSettings, AppId};
use ropewalk_store as store;

use crate::authorise::{Actor, Verb};
use crate::resource::app;
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::body::{Json, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};
use crate::transport::sign::named_id;

const ATTRIBUTES: [Attribute<AppFeature>; 2] = [
    ("id", |feature| Key::Text(feature.id.to_string())),
    ("name", |feature| Key::Text(feature.name.clone())),
];

/// What there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Feature {
    Affinity,
    Cycling,
    Preboot,
}

/// How long dynos run with `daily-cycling`.
const DAY: &str = "24h";

impl Feature {
    const ALL: [Self; 3] = [Self::Affinity, Self::Cycling, Self::Preboot];

    fn name(self) -> &'static str {
        match self {
            Self::Affinity => "http-session-affinity",
            Self::Cycling => "daily-cycling",
            Self::Preboot => "preboot",
        }
    }

    fn of(self, app: &store::App, settings: &AppDynoSettings) -> AppFeature {
        let (display_name, description, enabled, updated_at) = match self {
            Self::Affinity => (
                "Session affinity",
                "A browser comes to the web dyno again that it came to before.",
                app.session_affinity,
                app.updated_at,
            ),
            Self::Cycling => (
                "Daily cycling",
                "A dyno runs no longer than a day before another takes its place.",
                settings.all.cycle.is_some(),
                app.created_at,
            ),
            Self::Preboot => (
                "Preboot",
                "New web dynos pass their check before the old ones end. Always on.",
                true,
                app.created_at,
            ),
        };
        AppFeature {
            id: named_id("app feature", self.name()),
            name: self.name().to_owned(),
            display_name: display_name.to_owned(),
            description: description.to_owned(),
            doc_url: String::new(),
            feedback_email: String::new(),
            enabled,
            state: "general".to_owned(),
            created_at: app.created_at,
            updated_at,
        }
    }
}

pub(crate) async fn list(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let settings = settings(&state, app.id).await?;
    let features = Feature::ALL.map(|feature| feature.of(&app, &settings));
    wanted.page(features.into(), &ATTRIBUTES)
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, feature)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let feature = find(&feature)?;
    let settings = settings(&state, app.id).await?;
    Ok(ok(&feature.of(&app, &settings)))
}

pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, feature)): Path<(String, String)>,
    Json(asked): Json<AppFeatureUpdate>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let feature = find(&feature)?;
    let app = match feature {
        Feature::Affinity if asked.enabled != app.session_affinity => {
            switch_affinity(&state, &actor, &app, asked.enabled).await?
        }
        Feature::Affinity => app,
        Feature::Cycling => {
            switch_cycling(&state, &actor, &app, asked.enabled).await?;
            app
        }
        // Switching on what is on changes nothing.
        Feature::Preboot if asked.enabled => app,
        Feature::Preboot => {
            return Err(ApiError::invalid(
                "preboot cannot be switched off: every rollout starts the new web dynos first, so that no request is lost. \
                 To have no two releases at work at the same time, use `ropewalk ps:scale web=0` around the deploy.",
            ));
        }
    };
    let settings = settings(&state, app.id).await?;
    Ok(ok(&feature.of(&app, &settings)))
}

async fn settings(state: &State, app: AppId) -> ApiResult<AppDynoSettings> {
    let settings = state.ctx.store.read(move |view| view.dyno_settings(app));
    Ok(settings.await?)
}

/// Whoever set a time of their own keeps it when this is switched on once more.
async fn switch_cycling(state: &State, actor: &Actor, app: &store::App, on: bool) -> ApiResult<()> {
    let id = app.id;
    let changed = state
        .ctx
        .store
        .write(move |tx| {
            tx.app(id)?;
            if tx.dyno_settings(id)?.all.cycle.is_some() == on {
                return Ok(false);
            }
            let text = on.then_some(DAY);
            tx.set_dyno_setting(id, None, Name::Cycle, text, Timestamp::now())
        })
        .await?;
    if changed {
        let verb = if on { "Enable" } else { "Disable" };
        let text = format!("{verb} {}", Feature::Cycling.name());
        state.ctx.say_who(id, &actor.user, &text);
        state.ctx.platform.settled().await;
    }
    Ok(())
}

async fn switch_affinity(
    state: &State,
    actor: &Actor,
    app: &store::App,
    on: bool,
) -> ApiResult<store::App> {
    let id = app.id;
    let app = state
        .ctx
        .store
        .write(move |tx| {
            // It may have been destroyed meanwhile.
            tx.app(id)?;
            tx.set_session_affinity(id, on, Timestamp::now())
        })
        .await?;
    let verb = if on { "Enable" } else { "Disable" };
    let text = format!("{verb} {}", Feature::Affinity.name());
    state.ctx.say_who(id, &actor.user, &text);
    state.ctx.platform.settled().await;
    Ok(app)
}

/// By name or id.
fn find(key: &str) -> ApiResult<Feature> {
    Feature::ALL
        .into_iter()
        .find(|feature| {
            feature.name() == key || named_id("app feature", feature.name()).to_string() == key
        })
        .ok_or_else(|| ApiError::not_found("app_feature"))
}
