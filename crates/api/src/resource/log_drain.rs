//! `/apps/:app/log-drains`: where an app's log is sent besides.
//!
//! A drain's address is a secret like a config var; who may not read those sees scheme, host and port of it.

use std::net::IpAddr;

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::LogDrain;
use ropewalk_api_types::log_drain::LogDrainCreate;
use ropewalk_model::drain::Transport;
use ropewalk_model::{DrainUrl, Egress};
use ropewalk_store as store;
use uuid::Uuid;

use crate::authorise::{Actor, Verb};
use crate::resource::app;
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::body::{Json, created, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};

const ATTRIBUTES: [Attribute<LogDrain>; 1] =
    [("id", |drain: &LogDrain| Key::Text(drain.id.to_string()))];

pub(crate) async fn list(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    let (app, whole) = find_app(&state, &actor, &app).await?;
    let id = app.id;
    let rows = state
        .ctx
        .store
        .read(move |view| view.log_drains(id))
        .await?;
    let drains = rows.iter().map(|row| wire(&app, row, whole)).collect();
    wanted.page(drains, &ATTRIBUTES)
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, drain)): Path<(String, String)>,
) -> ApiResult {
    let (app, whole) = find_app(&state, &actor, &app).await?;
    let id = app.id;
    let row = state
        .ctx
        .store
        .read(move |view| view.find_log_drain(id, &drain))
        .await?;
    Ok(ok(&wire(&app, &row, whole)))
}

pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    Json(asked): Json<LogDrainCreate>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let url = checked(&asked.url, &state.ctx.egress)?;
    let id = app.id;
    let token = format!("d.{}", Uuid::new_v4());
    let row = state
        .ctx
        .store
        .write(move |tx| {
            tx.app(id)?;
            tx.add_log_drain(Uuid::new_v4(), id, &token, &url, Timestamp::now())
        })
        .await?;
    let text = format!("Log drain {} added", row.token);
    state.ctx.say_who(app.id, &actor.user, &text);
    state.ctx.platform.log_drains_changed();
    // Who made it knows the address.
    Ok(created(&wire(&app, &row, true)))
}

pub(crate) async fn delete(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, drain)): Path<(String, String)>,
) -> ApiResult {
    let key = app;
    let app = app::find(&state, &actor, &key, Verb::Write).await?;
    let (_, whole) = find_app(&state, &actor, &key).await?;
    let id = app.id;
    let row = state
        .ctx
        .store
        .write(move |tx| {
            let row = tx.find_log_drain(id, &drain)?;
            tx.remove_log_drain(row.id)?;
            Ok(row)
        })
        .await?;
    let text = format!("Log drain {} removed", row.token);
    state.ctx.say_who(app.id, &actor.user, &text);
    state.ctx.platform.log_drains_changed();
    Ok(ok(&wire(&app, &row, whole)))
}

/// The app, and whether the actor may read secrets of it.
async fn find_app(state: &State, actor: &Actor, key: &str) -> ApiResult<(store::App, bool)> {
    let found = app::find(state, actor, key, Verb::Read).await?;
    let whole = app::find_for_config(state, actor, key, Verb::Read).await;
    Ok((found, whole.is_ok()))
}

/// Names are judged when they are connected to, for they may lead elsewhere by then.
fn checked(text: &str, egress: &Egress) -> ApiResult<DrainUrl> {
    let url = DrainUrl::parse(text).map_err(|error| ApiError::invalid(error.to_string()))?;
    if url.transport() == Transport::Http && !egress.lists_any() {
        return Err(ApiError::invalid(
            "A drain's URL begins with https://: http is only for private networks, and the administrator of this server allows none.",
        ));
    }
    let forbidden = match url.host().parse::<IpAddr>() {
        Ok(address) if url.transport() == Transport::Http => !egress.lists(address),
        Ok(address) => !egress.permits(address),
        Err(_) => false,
    };
    if forbidden {
        return Err(ApiError::invalid(format!(
            "Drains may not connect to {}; the administrator of this server can allow it (--allow-egress).",
            url.host()
        )));
    }
    Ok(url)
}

fn wire(app: &store::App, row: &store::LogDrain, whole: bool) -> LogDrain {
    LogDrain {
        id: row.id,
        addon: None,
        app: Some(app::named(app)),
        token: row.token.clone(),
        url: match whole {
            true => row.url.as_str().to_owned(),
            false => row.url.redacted(),
        },
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}
