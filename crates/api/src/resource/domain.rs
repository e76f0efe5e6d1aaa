//! `/apps/:app/domains`: the app's own host name, and those that people bring.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::domain::{DomainCreate, DomainKind, DomainUpdate};
use ropewalk_api_types::{Domain, Named};
use ropewalk_model::acm::AcmStatus;
use ropewalk_store as store;
use uuid::Uuid;

use crate::authorise::{Actor, Verb};
use crate::context::Context;
use crate::resource::path::Path;
use crate::resource::{app, certificate};
use crate::state::State;
use crate::transport::body::{Json, json, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};
use crate::transport::sign::named_id;

const ATTRIBUTES: [Attribute<Domain>; 2] = [
    ("id", |domain| Key::Text(domain.id.to_string())),
    ("hostname", |domain| Key::Text(domain.hostname.clone())),
];

pub(crate) async fn list(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    wanted.page(all(&state, &app).await?, &ATTRIBUTES)
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, domain)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    Ok(ok(&find(&state, &app, &domain).await?))
}

pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    Json(asked): Json<DomainCreate>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let hostname = hostname(&asked.hostname, &state.ctx.urls.domain)?;
    let endpoint = certificate_for(&state, &app, asked.sni_endpoint, &hostname).await?;
    let id = app.id;
    let row = state
        .ctx
        .store
        .write(move |tx| {
            tx.app(id)?;
            let (domain, now) = (Uuid::new_v4(), Timestamp::now());
            tx.add_domain(domain, id, &hostname, now)?;
            tx.set_domain_certificate(domain, endpoint, now)?;
            tx.find_domain(id, &domain.to_string())
        })
        .await?;
    let text = format!("Domain {} added", row.hostname);
    state.ctx.say_who(app.id, &actor.user, &text);
    serve_by_it(&state).await;
    Ok(json(
        http::StatusCode::ACCEPTED,
        &find(&state, &app, &row.hostname).await?,
    ))
}

pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, domain)): Path<(String, String)>,
    Json(asked): Json<DomainUpdate>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let domain = find(&state, &app, &domain).await?;
    if domain.kind == DomainKind::Heroku && asked.sni_endpoint.is_some() {
        return Err(ApiError::invalid(format!(
            "{} is served with the platform's own certificate.",
            domain.hostname
        )));
    }
    let endpoint = certificate_for(&state, &app, asked.sni_endpoint, &domain.hostname).await?;
    let id = domain.id;
    state
        .ctx
        .store
        .write(move |tx| tx.set_domain_certificate(id, endpoint, Timestamp::now()))
        .await?;
    state.ctx.platform.acm_changed();
    state.ctx.platform.certificates_settled().await;
    Ok(ok(&find(&state, &app, &domain.hostname).await?))
}

pub(crate) async fn delete(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, domain)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let domain = find(&state, &app, &domain).await?;
    if domain.kind == DomainKind::Heroku {
        return Err(ApiError::invalid(format!(
            "{} is the app's own name and stays as long as the app is called so.",
            domain.hostname
        )));
    }
    let id = domain.id;
    state
        .ctx
        .store
        .write(move |tx| tx.remove_domain(id))
        .await?;
    let text = format!("Domain {} removed", domain.hostname);
    state.ctx.say_who(app.id, &actor.user, &text);
    serve_by_it(&state).await;
    Ok(ok(&domain))
}

/// Both at once: the host's way, and its certificate.
async fn serve_by_it(state: &State) {
    let platform = &state.ctx.platform;
    platform.acm_changed();
    tokio::join!(platform.certificates_settled(), platform.settled());
}

/// The certificate of that name or id, if it is good for the host name.
async fn certificate_for(
    state: &State,
    app: &store::App,
    endpoint: Option<String>,
    hostname: &str,
) -> ApiResult<Option<Uuid>> {
    let Some(key) = endpoint else {
        return Ok(None);
    };
    let (id, asked) = (app.id, key.clone());
    let found = state
        .ctx
        .store
        .read(move |view| view.find_sni_endpoint(id, &asked))
        .await;
    let row = match found {
        Err(store::StoreError::NotFound(_)) => {
            return Err(ApiError::invalid(format!(
                "{} has no certificate {key:?}.",
                app.name
            )));
        }
        found => found?,
    };
    if row.acm {
        return Err(ApiError::invalid(format!(
            "The certificate {} was got by the platform for one domain, and serves no other.",
            row.name
        )));
    }
    if !certificate::covers(&row.certificate_chain, hostname)? {
        return Err(ApiError::invalid(format!(
            "The certificate {} is not good for {hostname}.",
            row.name
        )));
    }
    Ok(Some(row.id))
}

async fn all(state: &State, app: &store::App) -> ApiResult<Vec<Domain>> {
    let id = app.id;
    let (rows, endpoints) = state
        .ctx
        .store
        .read(move |view| Ok((view.domains(id)?, view.sni_endpoints(id)?)))
        .await?;
    let mut domains = vec![own(&state.ctx, app)];
    domains.extend(rows.iter().map(|row| {
        let endpoint = endpoints
            .iter()
            .find(|one| Some(one.id) == row.sni_endpoint);
        custom(&state.ctx, app, row, endpoint)
    }));
    Ok(domains)
}

/// By host name or id.
async fn find(state: &State, app: &store::App, key: &str) -> ApiResult<Domain> {
    let host = key.to_ascii_lowercase();
    all(state, app)
        .await?
        .into_iter()
        .find(|domain| domain.hostname == host || domain.id.to_string() == host)
        .ok_or_else(|| ApiError::not_found("domain"))
}

fn own(ctx: &Context, app: &store::App) -> Domain {
    let hostname = own_host(ctx, app);
    Domain {
        id: named_id("domain", &app.id.to_string()),
        app: app::named(app),
        hostname,
        cname: None,
        kind: DomainKind::Heroku,
        status: "succeeded".to_owned(),
        acm_status: None,
        acm_status_reason: None,
        sni_endpoint: None,
        created_at: app.created_at,
        updated_at: app.created_at,
    }
}

fn custom(
    ctx: &Context,
    app: &store::App,
    row: &store::Domain,
    endpoint: Option<&store::SniEndpoint>,
) -> Domain {
    Domain {
        id: row.id,
        app: app::named(app),
        hostname: row.hostname.clone(),
        cname: Some(own_host(ctx, app)),
        kind: DomainKind::Custom,
        // Ready at once: the router takes it from the next table on.
        status: "none".to_owned(),
        acm_status: row.acm_status.map(acm_status),
        acm_status_reason: row.acm_status_reason.clone(),
        sni_endpoint: endpoint.map(|one| Named {
            id: one.id,
            name: one.name.clone(),
        }),
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

/// The word that Heroku's CLI waits for is another one than it prints as good.
fn acm_status(status: AcmStatus) -> String {
    match status {
        AcmStatus::Ok => "cert issued",
        status => status.as_str(),
    }
    .to_owned()
}

fn own_host(ctx: &Context, app: &store::App) -> String {
    format!("{}.{}", app.name, ctx.urls.domain)
}

/// The name as the router compares it: lower case, no dot at its end; `*.` may stand in front.
pub(crate) fn hostname(asked: &str, platform: &str) -> ApiResult<String> {
    let host = asked.trim().trim_end_matches('.').to_ascii_lowercase();
    let labels: Vec<&str> = host
        .strip_prefix("*.")
        .unwrap_or(&host)
        .split('.')
        .collect();
    let label = |label: &&str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let numeric_end = labels
        .last()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if host.len() > 253 || labels.len() < 2 || !labels.iter().all(label) || numeric_end {
        return Err(ApiError::invalid(format!(
            "{:?} is no host name such as www.example.com or *.example.com (names with other letters in their xn-- form).",
            asked.chars().take(253).collect::<String>()
        )));
    }
    let bare = host.strip_prefix("*.").unwrap_or(&host);
    if bare == platform || bare.ends_with(&format!(".{platform}")) {
        return Err(ApiError::invalid(format!(
            "Names under {platform} belong to the platform: there an app is reached by its name alone."
        )));
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_made_equal_and_the_platforms_own_refused() {
        for (asked, kept) in [
            ("www.Example.com.", Some("www.example.com")),
            ("*.example.com", Some("*.example.com")),
            ("xn--bcher-kva.example", Some("xn--bcher-kva.example")),
            ("example.com:80", None),
            ("http://example.com", None),
            ("localhost", None),
            ("a.*.example.com", None),
            ("-a.example.com", None),
            ("10.0.0.1", None),
            ("bücher.example", None),
            ("api.apps.test", None),
            ("*.apps.test", None),
            ("apps.test", None),
            ("myapps.test", Some("myapps.test")),
            ("", None),
        ] {
            assert_eq!(
                hostname(asked, "apps.test").ok().as_deref(),
                kept,
                "{asked}"
            );
        }
        assert!(hostname(&format!("{}.com", "a".repeat(64)), "x").is_err());
    }
}
