//! `/apps/:app/acm`: whether the platform gets and renews the certificates of the app's own domains.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::app::AcmRefresh;
use ropewalk_store as store;

use crate::authorise::{Actor, Verb};
use crate::resource::app;
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::body::{Json, ok};
use crate::transport::error::{ApiError, ApiResult};

pub(crate) async fn enable(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    let app = app::find_for_config(&state, &actor, &app, Verb::Write).await?;
    if let Some(why_not) = &state.ctx.no_acm {
        return Err(ApiError::invalid(why_not.clone()));
    }
    let text = "Automatic certificates enabled";
    let app = change(&state, &actor, &app, text, |tx, app| {
        tx.enable_acm(app.id, Timestamp::now())
    })
    .await?;
    app::show(&state, app).await.map(|app| ok(&app))
}

pub(crate) async fn refresh(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    Json(asked): Json<AcmRefresh>,
) -> ApiResult {
    let app = app::find_for_config(&state, &actor, &app, Verb::Write).await?;
    if !asked.acm_refresh {
        return app::show(&state, app).await.map(|app| ok(&app));
    }
    if !app.acm {
        return Err(ApiError::invalid(format!(
            "Automatic certificates are not enabled on {}. Enable them: `ropewalk certs:auto:enable`.",
            app.name
        )));
    }
    let text = "Automatic certificates are tried anew";
    let app = change(&state, &actor, &app, text, |tx, app| {
        tx.enable_acm(app.id, Timestamp::now())
    })
    .await?;
    app::show(&state, app).await.map(|app| ok(&app))
}

pub(crate) async fn disable(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    let app = app::find_for_config(&state, &actor, &app, Verb::Write).await?;
    let text = "Automatic certificates disabled";
    let app = change(&state, &actor, &app, text, |tx, app| {
        tx.disable_acm(app.id, Timestamp::now())
    })
    .await?;
    state.ctx.platform.certificates_settled().await;
    app::show(&state, app).await.map(|app| ok(&app))
}

async fn change(
    state: &State,
    actor: &Actor,
    app: &store::App,
    text: &str,
    change: impl FnOnce(&store::Tx<'_>, &store::App) -> store::Result<store::App> + Send + 'static,
) -> ApiResult<store::App> {
    let id = app.id;
    let app = state
        .ctx
        .store
        .write(move |tx| {
            // It may have been destroyed meanwhile.
            let app = tx.app(id)?;
            change(tx, &app)
        })
        .await?;
    state.ctx.say_who(id, &actor.user, text);
    state.ctx.platform.acm_changed();
    Ok(app)
}
