//! `/apps/:app/domains`: the app's own host name, and those that people bring.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::Domain;
use ropewalk_api_types::domain::{DomainCreate, DomainKind, DomainUpdate};
use ropewalk_store as store;
use uuid::Uuid;

use crate::authorise::{Actor, Verb};
use crate::context::Context;
use crate::resource::app;
use crate::resource::path::Path;
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
    if let Some(endpoint) = asked.sni_endpoint {
        return Err(no_such_endpoint(&endpoint));
    }
    let hostname = hostname(&asked.hostname, &state.ctx.urls.domain)?;
    let id = app.id;
    let row = state
        .ctx
        .store
        .write(move |tx| {
            tx.app(id)?;
            tx.add_domain(Uuid::new_v4(), id, &hostname, Timestamp::now())
        })
        .await?;
    let text = format!("Domain {} added", row.hostname);
    state.ctx.say_who(app.id, &actor.user, &text);
    state.ctx.platform.changed();
    Ok(json(
        http::StatusCode::ACCEPTED,
        &custom(&state.ctx, &app, &row),
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
    match asked.sni_endpoint {
        Some(endpoint) => Err(no_such_endpoint(&endpoint)),
        // It has none; taking it away changes nothing.
        None => Ok(ok(&domain)),
    }
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
    state.ctx.platform.changed();
    Ok(ok(&domain))
}

fn no_such_endpoint(name: &str) -> ApiError {
    ApiError::invalid(format!(
        "There is no SNI endpoint {name}; certificates of one's own are not available yet."
    ))
}

async fn all(state: &State, app: &store::App) -> ApiResult<Vec<Domain>> {
    let id = app.id;
    let rows = state.ctx.store.read(move |view| view.domains(id)).await?;
    let mut domains = vec![own(&state.ctx, app)];
    domains.extend(rows.iter().map(|row| custom(&state.ctx, app, row)));
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

fn custom(ctx: &Context, app: &store::App, row: &store::Domain) -> Domain {
    Domain {
        id: row.id,
        app: app::named(app),
        hostname: row.hostname.clone(),
        cname: Some(own_host(ctx, app)),
        kind: DomainKind::Custom,
        // Ready at once: the router takes it from the next table on.
        status: "none".to_owned(),
        acm_status: None,
        acm_status_reason: None,
        sni_endpoint: None,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

fn own_host(ctx: &Context, app: &store::App) -> String {
    format!("{}.{}", app.name, ctx.urls.domain)
}

/// The name as the router compares it: lower case, no dot at its end; `*.` may stand in front.
fn hostname(asked: &str, platform: &str) -> ApiResult<String> {
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
