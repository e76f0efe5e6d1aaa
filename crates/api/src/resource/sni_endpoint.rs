//! `/apps/:app/sni-endpoints`: certificates that people bring for their domains, and those that the platform got.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::SniEndpoint;
use ropewalk_api_types::sni_endpoint::SniEndpointCreate;
use ropewalk_store as store;
use ropewalk_store::NewSniEndpoint;
use uuid::Uuid;

use crate::authorise::{Actor, Verb};
use crate::resource::path::Path;
use crate::resource::{app, app_name, certificate};
use crate::state::State;
use crate::transport::body::{Json, created, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};

const ATTRIBUTES: [Attribute<SniEndpoint>; 2] = [
    ("id", |endpoint| Key::Text(endpoint.id.to_string())),
    ("name", |endpoint| Key::Text(endpoint.name.clone())),
];

/// Certificates that people bring to one app.
const MOST: usize = 100;

pub(crate) async fn list(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let id = app.id;
    let (rows, domains) = state
        .ctx
        .store
        .read(move |view| Ok((view.sni_endpoints(id)?, view.domains(id)?)))
        .await?;
    let wires = rows
        .iter()
        .map(|row| wire(&state, &app, row, &domains))
        .collect::<ApiResult<_>>()?;
    wanted.page(wires, &ATTRIBUTES)
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, endpoint)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    show(&state, &app, endpoint).await.map(|wire| ok(&wire))
}

pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    Json(asked): Json<SniEndpointCreate>,
) -> ApiResult {
    let app = app::find_for_config(&state, &actor, &app, Verb::Write).await?;
    if state.ctx.urls.rendezvous.is_none() {
        return Err(ApiError::invalid(
            "This server does not speak HTTPS, so a certificate would serve nothing. \
             Install it with --acme-email, or with --cert and --key, first.",
        ));
    }
    certificate::check(&asked.certificate_chain, &asked.private_key.0)?;
    let new = NewSniEndpoint {
        id: Uuid::new_v4(),
        app: app.id,
        name: app_name::make_up()?.to_string(),
        certificate_chain: asked.certificate_chain,
        private_key: asked.private_key.0,
    };
    let row = state
        .ctx
        .store
        .write(move |tx| {
            tx.app(new.app)?;
            let brought = tx.sni_endpoints(new.app)?;
            if brought.iter().filter(|endpoint| !endpoint.acm).count() >= MOST {
                let text = format!("An app has at most {MOST} certificates of its own.");
                return Err(store::StoreError::Refused(text));
            }
            tx.create_sni_endpoint(&new, Timestamp::now())
        })
        .await?;
    let text = format!("Certificate {} added", row.name);
    state.ctx.say_who(app.id, &actor.user, &text);
    show(&state, &app, row.name)
        .await
        .map(|wire| created(&wire))
}

pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, endpoint)): Path<(String, String)>,
    Json(asked): Json<SniEndpointCreate>,
) -> ApiResult {
    let app = app::find_for_config(&state, &actor, &app, Verb::Write).await?;
    let (chain, key) = (asked.certificate_chain, asked.private_key.0);
    certificate::check(&chain, &key)?;
    let id = app.id;
    let row = state
        .ctx
        .store
        .write(move |tx| {
            let row = tx.find_sni_endpoint(id, &endpoint)?;
            if row.acm {
                return Err(store::StoreError::Refused(managed(&row.name)));
            }
            tx.update_sni_endpoint(id, row.id, &chain, &key, Timestamp::now())
        })
        .await?;
    let text = format!("Certificate {} updated", row.name);
    state.ctx.say_who(app.id, &actor.user, &text);
    state.ctx.platform.certificates_settled().await;
    show(&state, &app, row.name).await.map(|wire| ok(&wire))
}

pub(crate) async fn delete(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, endpoint)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find_for_config(&state, &actor, &app, Verb::Write).await?;
    let last = show(&state, &app, endpoint).await?;
    if last.ssl_cert.acm {
        return Err(ApiError::invalid(managed(&last.name)));
    }
    let (app_id, id) = (app.id, last.id);
    state
        .ctx
        .store
        .write(move |tx| tx.remove_sni_endpoint(app_id, id))
        .await?;
    let text = format!("Certificate {} removed", last.name);
    state.ctx.say_who(app.id, &actor.user, &text);
    state.ctx.platform.certificates_settled().await;
    Ok(ok(&last))
}

/// What the platform got, people do not touch.
fn managed(name: &str) -> String {
    format!(
        "The certificate {name} was got by the platform, which looks after it. Give the domain one of your own with \
         `ropewalk domains:update`, or disable automatic certificates with `ropewalk certs:auto:disable`."
    )
}

async fn show(state: &State, app: &store::App, key: String) -> ApiResult<SniEndpoint> {
    let id = app.id;
    let (row, domains) = state
        .ctx
        .store
        .read(move |view| Ok((view.find_sni_endpoint(id, &key)?, view.domains(id)?)))
        .await?;
    wire(state, app, &row, &domains)
}

fn wire(
    state: &State,
    app: &store::App,
    row: &store::SniEndpoint,
    domains: &[store::Domain],
) -> ApiResult<SniEndpoint> {
    let revocation = state.ctx.platform.revocation(&row.certificate_chain);
    Ok(SniEndpoint {
        id: row.id,
        name: row.name.clone(),
        display_name: None,
        app: app::named(app),
        ssl_cert: certificate::wire(row.id, &row.certificate_chain, row.acm, revocation)?,
        certificate_chain: row.certificate_chain.clone(),
        domains: domains
            .iter()
            .filter(|domain| domain.sni_endpoint == Some(row.id))
            .map(|domain| domain.id)
            .collect(),
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}
