//! `/ropewalk/apps/:app/edge`: what an app asks of the router before a request reaches it.
//!
//! Answers once the router asks it.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::Edge;
use ropewalk_api_types::edge::EdgeUpdate;
use ropewalk_model::edge::{Hsts, Name, Policy};
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
    let id = app.id;
    let policy = state
        .ctx
        .store
        .read(move |view| view.edge_policy(id))
        .await?;
    Ok(ok(&wire(&app, &policy)))
}

pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    Json(asked): Json<EdgeUpdate>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let change = Change::read(&state, asked)?;
    let id = app.id;
    let (policy, changed) = state
        .ctx
        .store
        .write(move |tx| {
            // It may have been destroyed meanwhile.
            tx.app(id)?;
            let mut policy = tx.edge_policy(id)?;
            change.apply(&mut policy);
            let changed = tx.set_edge_policy(id, &policy, Timestamp::now())?;
            Ok((policy, changed))
        })
        .await?;
    if !changed.is_empty() {
        let names: Vec<&str> = changed.into_iter().map(Name::as_str).collect();
        let text = format!("Edge settings changed: {}", names.join(", "));
        state.ctx.say_who(app.id, &actor.user, &text);
        state.ctx.platform.settled().await;
    }
    Ok(ok(&wire(&app, &policy)))
}

/// What a request changes, checked: `None` stays, `Some(None)` ends.
struct Change {
    https_redirect: Option<bool>,
    hsts: Option<Option<Hsts>>,
}

impl Change {
    fn read(state: &State, asked: EdgeUpdate) -> ApiResult<Self> {
        let refuse = |error: ropewalk_model::edge::EdgeError| ApiError::invalid(error.to_string());
        let hsts = match asked.hsts_max_age {
            Some(Some(seconds)) => Some(Some(Hsts::new(seconds).map_err(refuse)?)),
            Some(None) => Some(None),
            None => None,
        };
        let needs_https = asked.https_redirect == Some(true) || matches!(hsts, Some(Some(_)));
        if needs_https && !state.ctx.urls.speaks_https() {
            return Err(ApiError::invalid(
                "This server speaks no HTTPS, so clients could not reach the app. Its administrator gives it a \
                 certificate first: ropewalk install --cert FILE --key FILE.",
            ));
        }
        Ok(Self {
            https_redirect: asked.https_redirect,
            hsts,
        })
    }

    fn apply(self, policy: &mut Policy) {
        if let Some(on) = self.https_redirect {
            policy.https_redirect = on;
        }
        if let Some(hsts) = self.hsts {
            policy.hsts = hsts;
        }
    }
}

fn wire(app: &store::App, policy: &Policy) -> Edge {
    Edge {
        app: app::named(app),
        https_redirect: policy.https_redirect,
        hsts_max_age: policy.hsts.map(Hsts::seconds),
    }
}
