//! `/ropewalk/apps/:app/edge`: what an app asks of the router before a request reaches it.
//!
//! Answers once the router asks it.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::Edge;
use ropewalk_api_types::edge::{self as wire, BasicAuthUser, EdgeUpdate};
use ropewalk_model::AppId;
use ropewalk_model::edge::{
    BasicAuth, CookieName, EdgeError, Hsts, MaxBody, Name, Policy, RateLimit, TrustedIps, Weight,
};
use ropewalk_store as store;
use ropewalk_store::{StoreError, View};

use crate::authorise::{Actor, Resource, Verb, authorise};
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
    let (policy, canary) = state
        .ctx
        .store
        .read(move |view| {
            let policy = view.edge_policy(id)?;
            let canary = canary_of(view, &policy)?;
            Ok((policy, canary))
        })
        .await?;
    Ok(ok(&shown(&app, &policy, canary.as_ref())))
}

pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    Json(asked): Json<EdgeUpdate>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let canary = canary(&state, &actor, &app, &asked).await?;
    let change = Change::read(&state, asked, canary)?;
    let id = app.id;
    let (policy, changed, canary) = state
        .ctx
        .store
        .write(move |tx| {
            // It may have been destroyed meanwhile.
            tx.app(id)?;
            let mut policy = tx.edge_policy(id)?;
            change
                .apply(&mut policy)
                .and_then(|()| policy.check())
                .map_err(|error| StoreError::Refused(error.to_string()))?;
            let changed = tx.set_edge_policy(id, &policy, Timestamp::now())?;
            let canary = canary_of(tx, &policy)?;
            Ok((policy, changed, canary))
        })
        .await?;
    if !changed.is_empty() {
        let names: Vec<&str> = changed.into_iter().map(Name::as_str).collect();
        let text = format!("Edge settings changed: {}", names.join(", "));
        state.ctx.say_who(app.id, &actor.user, &text);
        state.ctx.platform.settled().await;
    }
    Ok(ok(&shown(&app, &policy, canary.as_ref())))
}

/// Refuses to send requests to a canary that the actor may not deploy. Gives the one that is asked for.
async fn canary(
    state: &State,
    actor: &Actor,
    app: &store::App,
    asked: &EdgeUpdate,
) -> Result<Option<AppId>, ApiError> {
    let named = asked.canary.clone().flatten();
    let sends = named.is_some()
        || asked.canary_weight_percent.flatten().is_some()
        || asked.canary_cookie.iter().flatten().next().is_some();
    if !sends {
        return Ok(None);
    }
    let (id, user, key) = (app.id, actor.user.id, named.clone());
    let found = state
        .ctx
        .store
        .read(move |view| {
            let found = match &key {
                Some(key) => view.find_app(key),
                None => match view.edge_policy(id)?.canary {
                    Some(canary) => view.app(canary),
                    None => return Ok(None),
                },
            };
            match found {
                Ok(other) => {
                    let relation = view.relation(user, &other)?;
                    Ok(Some((other, relation)))
                }
                Err(StoreError::NotFound(_)) => Ok(None),
                Err(error) => Err(error),
            }
        })
        .await?;
    let permitted = found
        .filter(|(_, relation)| authorise(actor, Verb::Write, Resource::App(*relation)).is_ok());
    match (permitted, named) {
        (Some((other, _)), _) if other.id == app.id || other.owner != app.owner => {
            Err(ApiError::invalid(format!(
                "{} can't be the canary of {}: that must be another app of the same owner.",
                other.name, app.name
            )))
        }
        (Some((other, _)), named) => Ok(named.map(|_| other.id)),
        (None, Some(_)) => Err(ApiError::invalid(
            "canary must be an app that you may deploy, too. Which those are: ropewalk apps.",
        )),
        // Either there is none, which the policy says, or it is not theirs.
        (None, None) => {
            let id = app.id;
            let policy = state.ctx.store.read(move |view| view.edge_policy(id));
            match policy.await?.canary {
                Some(_) => Err(ApiError::invalid(
                    "You may not deploy this app's canary, so you can end it, but send nothing more to it.",
                )),
                None => Ok(None),
            }
        }
    }
}

/// The app that answers some of the requests.
fn canary_of(view: &View<'_>, policy: &Policy) -> store::Result<Option<store::App>> {
    policy.canary.map(|app| view.app(app)).transpose()
}

/// What a request changes: the settings and their texts, `None` for those that end. Checked.
#[derive(Default)]
struct Change {
    texts: Vec<(Name, Option<String>)>,
    basic_auth: Option<BasicAuth>,
}

impl Change {
    fn read(state: &State, asked: EdgeUpdate, canary: Option<AppId>) -> ApiResult<Self> {
        let mut change = Self::default();
        let refuse = |error: EdgeError| ApiError::invalid(error.to_string());
        if let Some(on) = asked.pause {
            change.add(Name::Pause, on.then(|| "on".to_owned()));
        }
        if let Some(on) = asked.https_redirect {
            change.add(Name::HttpsRedirect, on.then(|| "on".to_owned()));
        }
        if let Some(hsts) = asked.hsts_max_age {
            change.add(Name::Hsts, hsts.map(|seconds| seconds.to_string()));
        }
        if let Some(trusted) = asked.trusted_ips {
            let trusted = trusted.filter(|list| !list.is_empty());
            change.add(Name::TrustedIps, trusted.map(|list| list.join(",")));
        }
        if let Some(limit) = asked.rate_limit {
            let limit = limit
                .map(|limit| RateLimit::new(limit.requests, limit.seconds, limit.burst))
                .transpose()
                .map_err(refuse)?;
            change.add(Name::RateLimit, limit.map(|limit| limit.to_string()));
        }
        if let Some(size) = asked.max_body_bytes {
            change.add(Name::MaxBody, size.map(|bytes| bytes.to_string()));
        }
        if asked.canary.is_some() {
            change.add(Name::Canary, canary.map(|app| app.to_string()));
        }
        if let Some(percent) = asked.canary_weight_percent {
            let weight = percent.map(Weight::from_percent).transpose();
            let text = weight.map_err(refuse)?.map(|weight| weight.to_string());
            change.add(Name::CanaryWeight, text);
        }
        if let Some(cookie) = asked.canary_cookie {
            change.add(Name::CanaryCookie, cookie);
        }
        match asked.basic_auth {
            Some(Some(asked)) => {
                let auth = BasicAuth::new(&asked.user, &asked.password.0, rand::random());
                change.basic_auth = Some(auth.map_err(refuse)?);
            }
            Some(None) => change.add(Name::BasicAuth, None),
            None => {}
        }
        let mut wanted = Policy::default();
        change.apply(&mut wanted).map_err(refuse)?;
        if (wanted.https_redirect || wanted.hsts.is_some()) && !state.ctx.urls.speaks_https() {
            return Err(ApiError::invalid(
                "This server speaks no HTTPS, so clients could not reach the app. Its administrator gives it \
                 certificates first: ropewalk install --acme-email EMAIL, or --cert FILE --key FILE.",
            ));
        }
        Ok(change)
    }

    fn add(&mut self, name: Name, text: Option<String>) {
        self.texts.push((name, text));
    }

    fn apply(&self, policy: &mut Policy) -> Result<(), EdgeError> {
        for (name, text) in &self.texts {
            match text {
                Some(text) => policy.set(*name, text)?,
                None => policy.unset(*name),
            }
        }
        if let Some(auth) = &self.basic_auth {
            policy.basic_auth = Some(auth.clone());
        }
        Ok(())
    }
}

fn shown(app: &store::App, policy: &Policy, canary: Option<&store::App>) -> Edge {
    let trusted = policy.trusted_ips.iter().flat_map(TrustedIps::ranges);
    Edge {
        app: app::named(app),
        pause: policy.pause,
        https_redirect: policy.https_redirect,
        hsts_max_age: policy.hsts.map(Hsts::seconds),
        trusted_ips: trusted.map(ToString::to_string).collect(),
        basic_auth: policy.basic_auth.as_ref().map(|auth| BasicAuthUser {
            user: auth.user().to_owned(),
        }),
        rate_limit: policy.rate_limit.map(|limit| wire::RateLimit {
            requests: limit.requests(),
            seconds: limit.seconds(),
            burst: Some(limit.burst()),
        }),
        max_body_bytes: policy.max_body.map(MaxBody::bytes),
        canary: canary.map(app::named),
        canary_weight_percent: policy.canary_weight.map(Weight::percent),
        canary_cookie: policy.canary_cookie.as_ref().map(CookieName::to_string),
    }
}
