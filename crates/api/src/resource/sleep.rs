//! `/ropewalk/apps/:app/sleep`: whether an app sleeps, putting it to sleep and waking it.

use axum::extract::State as Shared;
use ropewalk_api_types::sleep::{AppSleep, AppSleepUpdate};
use ropewalk_model::SleepTier;
use ropewalk_store as store;

use crate::authorise::{Actor, Verb};
use crate::resource::app;
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::body::{Json, ok};
use crate::transport::error::{ApiError, ApiResult};

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    shown(&state, &app).await
}

pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    Json(asked): Json<AppSleepUpdate>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let text = asked.tier.as_deref().unwrap_or("frozen");
    let tier = SleepTier::parse(text)
        .ok_or_else(|| ApiError::invalid("tier must be frozen or stopped.".to_owned()))?;
    if state.ctx.platform.sleep(app.id, tier).await? {
        let text = format!("Put to sleep: {}", tier.as_str());
        state.ctx.say_who(app.id, &actor.user, &text);
    }
    shown(&state, &app).await
}

pub(crate) async fn delete(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    if state.ctx.platform.wake(app.id).await? {
        state.ctx.say_who(app.id, &actor.user, "Woken");
    }
    shown(&state, &app).await
}

async fn shown(state: &State, app: &store::App) -> ApiResult {
    let id = app.id;
    let look = move |view: &store::View<'_>| Ok((view.app_sleep(id)?, view.app_last_used(id)?));
    let (sleep, last_used_at) = state.ctx.store.read(look).await?;
    Ok(ok(&AppSleep {
        app: app::named(app),
        tier: sleep.as_ref().map(|sleep| sleep.tier.as_str().to_owned()),
        since: sleep.as_ref().map(|sleep| sleep.since),
        reason: sleep.map(|sleep| sleep.reason),
        last_used_at,
    }))
}
